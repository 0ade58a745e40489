//! What `jsonb` cannot hold although it is JSON, beyond the characters that can be replaced.

use serde_json::value::RawValue;

/// Deeper text runs PostgreSQL's parser out of its default stack; this leaves room for smaller settings.
const MAX_DEPTH: usize = 1000;
/// `numeric` has this many digits before the decimal point, and no more.
const MAX_INTEGER_DIGITS: i64 = 131_072;
/// `numeric` has this many digits after the decimal point, and no more.
const MAX_FRACTION_DIGITS: i64 = 16_383;

/// Why PostgreSQL refuses this JSON text as `jsonb`, if so; reads on from "the output …".
pub(super) fn refusal(json: &RawValue) -> Option<&'static str> {
    let text = json.get();
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += match byte {
            b'"' => string_length(&bytes[at..]),
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Some("is nested too deeply for PostgreSQL");
                }
                1
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                1
            }
            b'-' | b'0'..=b'9' => {
                let length = number_length(&bytes[at..]);
                if !fits_numeric(&text[at..at + length]) {
                    return Some("has a number beyond the range of PostgreSQL's numeric");
                }
                length
            }
            _ => 1,
        };
    }
    None
}

/// The length of the string that `bytes` begin with, its quotes included.
fn string_length(bytes: &[u8]) -> usize {
    let mut at = 1;
    loop {
        match bytes.get(at) {
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
            None => return at,
        }
    }
}

/// The length of the number that `bytes` begin with.
fn number_length(bytes: &[u8]) -> usize {
    let is_part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    bytes.iter().take_while(is_part).count()
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
    use crate::job::RawJson;

    fn refused(text: &str) -> Option<&'static str> {
        let json: RawJson = serde_json::from_str(text).expect("the example is JSON");
        refusal(&json)
    }

    #[test]
    fn numbers_are_measured_in_digits() {
        for text in [
            "1e131073",
            "12e131072",
            "1e-16384",
            "0.5e-16383",
            "1e99999999999999999999",
            "[{\"a\":-1E+131073}]",
        ] {
            assert!(refused(text).is_some(), "{text}");
        }
        for text in [
            "1e131071",
            "1e-16383",
            "-0.5e10",
            "[12345678901234567890123]",
            "\"1e999999\\\" 1e999999\"",
        ] {
            assert_eq!(refused(text), None, "{text}");
        }
    }

    #[test]
    fn depth_is_counted_outside_strings() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(refused(&nested(MAX_DEPTH)), None);
        assert!(refused(&nested(MAX_DEPTH + 1)).is_some());
        assert_eq!(refused(&format!("\"{}\"", "[".repeat(MAX_DEPTH + 1))), None);
    }
}
