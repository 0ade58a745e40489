//! What a handler leaves behind: its output, as JSON text.

use serde_json::value::to_raw_value;

use crate::job::RawJson;

/// The output that a handler's bytes are: none if they are empty, no JSON, or JSON's `null`.
pub(super) fn from_bytes(bytes: &[u8]) -> Option<RawJson> {
    kept(serde_json::from_slice::<RawJson>(bytes).ok()?)
}

/// The output if it says anything; JSON's `null` does not.
pub(super) fn kept(output: RawJson) -> Option<RawJson> {
    (output.get() != "null").then_some(output)
}

/// What stands in for an output that could not be kept. The job is done all the same.
pub(crate) fn dropped(why: &str) -> RawJson {
    to_raw_value(&serde_json::json!({ "outputDropped": why })).expect("an object of one string has JSON text")
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn json_is_kept_byte_for_byte() {
        let text = r#"{"b": 1.0, "a": [12345678901234567890123, -0.5e-10, "\\u0000 é \ud83d\ude00"]}"#;
        let output = from_bytes(format!(" {text}\n").as_bytes());
        assert_eq!(output.as_deref().map(RawValue::get), Some(text));
    }

    #[test]
    fn null_and_no_json_are_no_output() {
        for text in ["null", " null\n", "", "ok", "{", "1 2", "\u{feff}1"] {
            assert!(from_bytes(text.as_bytes()).is_none(), "{text:?}");
        }
        assert!(from_bytes(b"\"\xff\"").is_none());
    }
}
