//! JSON text as a value, where serde_json gives up: at 128 levels of nesting, and at numbers beyond what an `f64` holds.
//!
//! For looking at a payload only. What is passed on is the text itself.

use serde_json::{Map, Number, Value};

/// Nested deeper than this, a payload is not looked into: whatever walks a value uses the stack for each level.
pub(super) const DEEPEST: usize = 512;

/// What is made of a number that no `f64` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Huge {
    /// The largest number there is, of the same sign: as good to compare with.
    Largest,
    /// An error.
    Refused,
}

/// Why a text is no value here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("it is nested deeper than {DEEPEST} levels")]
    Deep,
    #[error("it has a number beyond 1.7976931348623157e308")]
    Huge,
    #[error("it is no JSON")]
    Invalid,
}

/// A container that has begun.
enum Open {
    Array(Vec<Value>),
    /// With the key whose value is to come.
    Object(Map<String, Value>, Option<String>),
}

/// Reads a text that is JSON already, as that of a raw value is: commas and colons are passed over unchecked.
pub(super) fn read(text: &str, huge: Huge) -> Result<Value, Unreadable> {
    let bytes = text.as_bytes();
    let mut open = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let done = match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' => {
                at += 1;
                continue;
            }
            b'[' | b'{' => {
                if open.len() == DEEPEST {
                    return Err(Unreadable::Deep);
                }
                open.push(match byte {
                    b'[' => Open::Array(Vec::new()),
                    _ => Open::Object(Map::new(), None),
                });
                at += 1;
                continue;
            }
            b']' | b'}' => {
                at += 1;
                match open.pop() {
                    Some(Open::Array(items)) => Value::Array(items),
                    Some(Open::Object(members, _)) => Value::Object(members),
                    None => return Err(Unreadable::Invalid),
                }
            }
            b'"' => {
                let end = end_of_string(bytes, at).ok_or(Unreadable::Invalid)?;
                let string: String = serde_json::from_str(&text[at..end]).map_err(|_| Unreadable::Invalid)?;
                at = end;
                if let Some(Open::Object(_, key @ None)) = open.last_mut() {
                    *key = Some(string);
                    continue;
                }
                Value::String(string)
            }
            _ => {
                let rest = &bytes[at..];
                let length = rest.iter().position(|byte| b",:]} \t\n\r".contains(byte));
                let end = at + length.unwrap_or(rest.len());
                let value = scalar(&text[at..end], huge)?;
                at = end;
                value
            }
        };
        match open.last_mut() {
            None => return Ok(done),
            Some(Open::Array(items)) => items.push(done),
            Some(Open::Object(members, key)) => {
                members.insert(key.take().ok_or(Unreadable::Invalid)?, done);
            }
        }
    }
    Err(Unreadable::Invalid)
}

/// Where the string that begins there ends, behind its closing quote.
fn end_of_string(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn scalar(text: &str, huge: Huge) -> Result<Value, Unreadable> {
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    // Nothing else that begins like a number and is JSON is refused.
    match (text.as_bytes().first(), huge) {
        (Some(b'-' | b'0'..=b'9'), Huge::Refused) => Err(Unreadable::Huge),
        (Some(b'-'), Huge::Largest) => Number::from_f64(f64::MIN).map(Value::Number).ok_or(Unreadable::Huge),
        (Some(b'0'..=b'9'), Huge::Largest) => Number::from_f64(f64::MAX).map(Value::Number).ok_or(Unreadable::Huge),
        _ => Err(Unreadable::Invalid),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_serde_json_reads_is_read_the_same() {
        for text in [
            r#" {"a": [1, -2.5e3, true, null, {"b": {}}, []], "\u00e9\n\"": "x\\", "": "{[,:"} "#,
            "\"a string\"",
            "12",
            "[]",
            r#"{"a":1,"a":2}"#,
            r#""\ud83d\ude00 𝒳""#,
            "5e-324",
        ] {
            let expected: Value = serde_json::from_str(text).expect("it is JSON");
            assert_eq!(read(text, Huge::Refused), Ok(expected), "{text}");
        }
    }

    #[test]
    fn two_hundred_levels_are_read_and_more_than_the_deepest_are_not() {
        let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        let mut value = read(&nested(200), Huge::Refused).expect("it is read");
        for _ in 0..200 {
            value = value[0].take();
        }
        assert_eq!(value, json!(1));
        assert!(read(&nested(DEEPEST), Huge::Refused).is_ok());
        assert_eq!(read(&nested(DEEPEST + 1), Huge::Refused), Err(Unreadable::Deep));
    }

    #[test]
    fn a_number_that_nothing_holds_is_the_largest_or_refused() {
        let digits = format!("9{}", "0".repeat(309));
        assert_eq!(read(&digits, Huge::Refused), Err(Unreadable::Huge));
        assert_eq!(
            read(&format!("[{digits},-{digits}]"), Huge::Largest),
            Ok(json!([f64::MAX, f64::MIN]))
        );
        // It has 309 digits and fits.
        assert_eq!(read(&format!("1{}", "0".repeat(308)), Huge::Refused), Ok(json!(1e308)));
    }
}
