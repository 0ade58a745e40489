//! Outputs in the shape that pg-boss gives them, so that Node and its dashboard read ours as their own.

use serde_json::value::RawValue;

use crate::job::RawJson;

/// Wraps a handler's output: an object stays, `null` is none, anything else becomes `{"value": …}`.
pub fn wrap(output: RawJson) -> Option<RawJson> {
    match output.get().trim_start().as_bytes().first() {
        Some(b'{') => Some(output),
        Some(b'n') | None => None,
        Some(_) => RawValue::from_string(format!("{{\"value\":{}}}", output.get())).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> RawJson {
        RawValue::from_string(text.to_owned()).expect("the test's JSON")
    }

    #[test]
    fn scalars_and_arrays_are_wrapped_and_objects_are_not() {
        let wrapped = |text: &str| wrap(raw(text)).map(|output| output.get().to_owned());
        assert_eq!(wrapped("{\"a\": 1}").as_deref(), Some("{\"a\": 1}"));
        assert_eq!(wrapped("[1,2]").as_deref(), Some("{\"value\":[1,2]}"));
        assert_eq!(wrapped("0").as_deref(), Some("{\"value\":0}"));
        assert_eq!(wrapped("false").as_deref(), Some("{\"value\":false}"));
        assert_eq!(wrapped("\"\"").as_deref(), Some("{\"value\":\"\"}"));
        assert_eq!(wrapped("null"), None);
    }
}
