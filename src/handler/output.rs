//! What a handler may leave behind: JSON text that PostgreSQL takes as `jsonb`.

use serde_json::value::{RawValue, to_raw_value};

use crate::job::RawJson;

/// Deeper text runs PostgreSQL's parser out of its default stack; this leaves room for smaller settings.
const MAX_DEPTH: usize = 1000;
/// `numeric` has this many digits before the decimal point, and no more.
const MAX_INTEGER_DIGITS: i64 = 131_072;
/// `numeric` has this many digits after the decimal point, and no more.
const MAX_FRACTION_DIGITS: i64 = 16_383;

/// The output that a handler's bytes are: none if they are empty, no JSON, or JSON's `null`.
pub(super) fn from_bytes(bytes: &[u8]) -> Option<RawJson> {
    kept(serde_json::from_slice::<RawJson>(bytes).ok()?)
}

/// The output as it can be stored: `null` is none, and what `jsonb` refuses is replaced by a note that says so.
pub(super) fn kept(output: RawJson) -> Option<RawJson> {
    if output.get() == "null" {
        return None;
    }
    match refusal(&output) {
        None => Some(output),
        Some(why) => Some(dropped(&format!("the output {why}"))),
    }
}

/// What stands in for an output that could not be kept. The job is done all the same.
pub(crate) fn dropped(why: &str) -> RawJson {
    to_raw_value(&serde_json::json!({ "outputDropped": why })).expect("an object of one string has JSON text")
}

/// Why PostgreSQL would refuse this JSON text as `jsonb`, if so; reads on from "the text …".
///
/// JSON allows more than `jsonb` can hold: the character U+0000, halves of surrogate pairs, numbers beyond `numeric`
/// and any depth. A statement that settles many jobs must not fail for the output of one.
pub fn refusal(json: &RawValue) -> Option<&'static str> {
    let bytes = json.get().as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => match string_end(bytes, at + 1) {
                Ok(end) => at = end,
                Err(why) => return Some(why),
            },
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Some("is nested too deeply for PostgreSQL");
                }
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let length = bytes[at..]
                    .iter()
                    .take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
                    .count();
                if !fits_numeric(&json.get()[at..at + length]) {
                    return Some("has a number beyond the range of PostgreSQL's numeric");
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    None
}

/// Where the string that begins at `at`, after its quote, ends.
fn string_end(bytes: &[u8], mut at: usize) -> Result<usize, &'static str> {
    const LONE: &str = "has half of a surrogate pair, which PostgreSQL refuses";
    loop {
        match bytes.get(at) {
            None => return Ok(at),
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') if bytes.get(at + 1) == Some(&b'u') => {
                match escaped(bytes, at) {
                    Some(0) => return Err("has the character U+0000, which PostgreSQL refuses"),
                    Some(0xd800..=0xdbff) => match escaped(bytes, at + 6) {
                        Some(0xdc00..=0xdfff) => at += 6,
                        _ => return Err(LONE),
                    },
                    Some(0xdc00..=0xdfff) => return Err(LONE),
                    _ => {}
                }
                at += 6;
            }
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

/// The code unit of the escape `\uXXXX` at `at`, if there is one.
fn escaped(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Whether a JSON number is within what `numeric` holds.
fn fits_numeric(number: &str) -> bool {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    // An exponent that is no i64 is far out of range either way.
    let Ok(exponent) = exponent.parse::<i64>() else {
        return false;
    };
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let integer = integer.trim_start_matches('-').len() as i64;
    let fraction = fraction.len() as i64;
    exponent.saturating_add(integer) <= MAX_INTEGER_DIGITS && fraction.saturating_sub(exponent) <= MAX_FRACTION_DIGITS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Option<&'static str> {
        let json: RawJson = serde_json::from_str(text).expect("the example is JSON");
        refusal(&json)
    }

    #[test]
    fn ordinary_json_is_kept_byte_for_byte() {
        let text = r#"{"b": 1.0, "a": [12345678901234567890123, -0.5e-10, "\\u0000 é \ud83d\ude00 \u0041\""]}"#;
        assert_eq!(refused(text), None);
        assert_eq!(
            from_bytes(format!(" {text}\n").as_bytes())
                .as_deref()
                .map(RawValue::get),
            Some(text)
        );
    }

    #[test]
    fn null_and_no_json_are_no_output() {
        for text in ["null", " null\n", "", "ok", "{", "1 2", "\u{feff}1"] {
            assert!(from_bytes(text.as_bytes()).is_none(), "{text:?}");
        }
        assert!(from_bytes(b"\"\xff\"").is_none());
    }

    #[test]
    fn what_jsonb_refuses_is_replaced_by_a_note() {
        for text in [
            r#""\u0000""#,
            r#"{"\u0000":1}"#,
            r#""\ud800""#,
            r#""\ude00\ud83d""#,
            r#""\ud83dx""#,
            "1e131073",
            "1e-16384",
            "1e99999999999999999999",
        ] {
            assert!(refused(text).is_some(), "{text}");
            let note = from_bytes(text.as_bytes()).expect("a note");
            assert!(note.get().starts_with(r#"{"outputDropped":"#), "{}", note.get());
        }
        assert_eq!(refused("1e131071"), None);
        assert_eq!(refused("1e-16383"), None);
    }

    #[test]
    fn depth_is_counted_outside_strings() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(refused(&nested(MAX_DEPTH)), None);
        assert!(refused(&nested(MAX_DEPTH + 1)).is_some());
        assert_eq!(refused(&format!("\"{}\"", "[".repeat(MAX_DEPTH + 1))), None);
    }
}
