//! Outputs in the shape that pg-boss gives them, so that Node and its dashboard read ours as their own.

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::jsonb::refusal;
use crate::handler::HandlerError;
use crate::job::RawJson;

/// Wraps a handler's output: an object stays, `null` is none, anything else becomes `{"value": …}`.
pub fn wrap(output: RawJson) -> Option<RawJson> {
    match output.get().trim_start().as_bytes().first() {
        Some(b'{') => Some(output),
        Some(b'n') | None => None,
        Some(_) => RawValue::from_string(format!("{{\"value\":{}}}", output.get())).ok(),
    }
}

/// The output of a failed attempt: an object with `name`, `message` and, where known, `stack`, as JavaScript's errors
/// have, beside the error's detail.
pub fn failure(error: &HandlerError) -> Option<RawJson> {
    let mut object = error.detail.clone();
    object.insert("name".into(), Value::from(error.name.as_str()));
    object.insert("message".into(), Value::from(error.message.as_str()));
    if let Some(stack) = &error.stack {
        object.insert("stack".into(), Value::from(stack.as_str()));
    }
    to_raw_value(&object).ok()
}

/// The same JSON without what PostgreSQL's jsonb refuses: U+0000 and halves of surrogate pairs become U+FFFD. Where that
/// cannot help, a note takes the output's place: a job must not run again for what it left behind.
pub(super) fn storable(output: &RawValue) -> Option<RawJson> {
    if let Some(why) = refusal(output) {
        return to_raw_value(&json!({ "outputDropped": format!("the output {why}") })).ok();
    }
    let mut text = String::with_capacity(output.get().len());
    let mut rest = output.get();
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        text.push_str(before);
        // A backslash in JSON is always followed by another character; `\u` by four hexadecimal digits.
        let unit = |text: &str| {
            text.strip_prefix("\\u")
                .and_then(|digits| digits.get(..4))
                .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        };
        let taken = match unit(escape) {
            Some(high @ 0xD800..=0xDBFF) => match escape.get(6..).and_then(unit) {
                Some(0xDC00..=0xDFFF) => 12,
                _ => {
                    text.push_str("\\ufffd");
                    tracing::trace!(high, "half a surrogate pair in an output");
                    rest = &escape[6..];
                    continue;
                }
            },
            Some(0 | 0xDC00..=0xDFFF) => {
                text.push_str("\\ufffd");
                rest = &escape[6..];
                continue;
            }
            Some(_) => 6,
            None => 2,
        };
        text.push_str(&escape[..taken]);
        rest = &escape[taken..];
    }
    text.push_str(rest);
    RawValue::from_string(text).ok()
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

    #[test]
    fn what_cannot_be_mended_is_replaced_as_a_whole() {
        let stored = storable(&raw("{\"a\":1e999999}")).expect("a note");
        assert!(stored.get().starts_with("{\"outputDropped\":"), "{}", stored.get());
    }

    #[test]
    fn a_failure_has_its_detail_beside_name_and_message() {
        let error = HandlerError::retry("the message")
            .with("status", 503)
            .with("message", "another");
        let output = failure(&error).expect("an output");
        assert_eq!(
            output.get(),
            "{\"message\":\"the message\",\"name\":\"Error\",\"status\":503}"
        );
    }

    #[test]
    fn what_jsonb_refuses_is_replaced_and_the_rest_stays() {
        let stored = |text: &str| storable(&raw(text)).map(|output| output.get().to_owned());
        assert_eq!(stored(r#"{"a":"x\u0000y"}"#).as_deref(), Some(r#"{"a":"x\ufffdy"}"#));
        assert_eq!(
            stored(r#""\ud83d\ude00 \ud83d \ude00""#).as_deref(),
            Some(r#""\ud83d\ude00 \ufffd \ufffd""#)
        );
        assert_eq!(stored(r#""\\u0000 \n é""#).as_deref(), Some(r#""\\u0000 \n é""#));
    }
}
