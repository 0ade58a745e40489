//! What makes two events the same for a handler: its idempotency key.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;
use std::str::FromStr;

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// Characters that the column `idempotency_key` holds.
const LONGEST: usize = 500;

/// An idempotency key with fields of the event in it, such as `order-{{data.orderId}}`.
///
/// A field is `data` or `metadata` with the names of members, or the places in arrays counted from 0, behind it:
/// `{{metadata.correlationId}}`, `{{data.items.0.sku}}`. A string stands for its text; a number, a truth value, an object
/// or an array for its JSON text. A field that is not there, is `null` or is empty is an error, for else all events
/// without it would count as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTemplate {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field { root: Root, path: Vec<String> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    Metadata,
    Data,
}

/// An event lacks a field that its handler's key is made of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the idempotency key {template:?} needs {field}, which this event has not")]
pub struct Missing {
    /// The template.
    pub template: String,
    /// The field, as the template names it.
    pub field: String,
}

impl FromStr for KeyTemplate {
    type Err = String;

    /// # Errors
    /// Says what is wrong: braces that are not closed, a field that is neither of `data` nor of `metadata`, or no field at
    /// all, with which all events would be the same.
    fn from_str(text: &str) -> Result<KeyTemplate, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (field, behind) = after.split_once("}}").ok_or("has {{ without }}")?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(field_of(field.trim())?);
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        if !parts.iter().any(|part| matches!(part, Part::Field { .. })) {
            return Err("has no field such as {{data.orderId}}, so that all events would be the same".into());
        }
        Ok(KeyTemplate {
            text: text.to_owned(),
            parts,
        })
    }
}

fn field_of(field: &str) -> Result<Part, String> {
    let mut names = field.split('.');
    let root = match names.next() {
        Some("data") => Root::Data,
        Some("metadata") => Root::Metadata,
        _ => return Err(format!("has {{{{{field}}}}}; a field begins with data or metadata")),
    };
    let path: Vec<String> = names.map(str::to_owned).collect();
    if path.iter().any(String::is_empty) {
        return Err(format!("has {{{{{field}}}}}, in which a name is empty"));
    }
    Ok(Part::Field { root, path })
}

impl KeyTemplate {
    /// The template as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The key of the event with these two halves.
    ///
    /// # Errors
    /// Where the event lacks one of the fields.
    pub fn key(&self, metadata: &RawValue, data: &RawValue) -> Result<String, Missing> {
        let mut key = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => key.push_str(text),
                Part::Field { root, path } => {
                    let from = match root {
                        Root::Metadata => metadata,
                        Root::Data => data,
                    };
                    let found = path.iter().try_fold(from, |value, name| member(value, name));
                    let text = found.and_then(text_of).filter(|text| !text.is_empty());
                    key.push_str(&text.ok_or_else(|| self.missing(*root, path))?);
                }
            }
        }
        Ok(key)
    }

    fn missing(&self, root: Root, path: &[String]) -> Missing {
        let root = match root {
            Root::Metadata => "metadata",
            Root::Data => "data",
        };
        Missing {
            template: self.text.clone(),
            field: path
                .iter()
                .fold(root.to_owned(), |field, name| format!("{field}.{name}")),
        }
    }
}

/// One step down, of which only that level is read.
fn member<'a>(value: &'a RawValue, name: &str) -> Option<&'a RawValue> {
    match value.get().trim_start().as_bytes().first()? {
        b'{' => {
            let mut members: HashMap<Cow<'a, str>, &'a RawValue> = serde_json::from_str(value.get()).ok()?;
            members.remove(name)
        }
        b'[' => {
            let items: Vec<&'a RawValue> = serde_json::from_str(value.get()).ok()?;
            items.get(name.parse::<usize>().ok()?).copied()
        }
        _ => None,
    }
}

fn text_of(value: &RawValue) -> Option<Cow<'_, str>> {
    let text = value.get();
    match text.as_bytes().first()? {
        b'n' => None,
        b'"' => serde_json::from_str::<String>(text).ok().map(Cow::Owned),
        _ => Some(Cow::Borrowed(text)),
    }
}

/// The key as the log keeps it: itself, or its SHA-256 where it is longer than the column.
pub fn stored(key: &str) -> Cow<'_, str> {
    if key.chars().nth(LONGEST).is_none() {
        return Cow::Borrowed(key);
    }
    let mut hash = "sha256:".to_owned();
    for byte in Sha256::digest(key.as_bytes()) {
        let _ = write!(hash, "{byte:02x}");
    }
    Cow::Owned(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(template: &str, data: &str) -> Result<String, Missing> {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).expect("it is JSON");
        let template: KeyTemplate = template.parse().expect("a template");
        template.key(&raw(r#"{"eventId":"e-1","correlationId":"c-1"}"#), &raw(data))
    }

    fn made(template: &str, data: &str) -> String {
        key(template, data).expect("it has all fields")
    }

    #[test]
    fn fields_are_put_in_their_places() {
        assert_eq!(made("order-{{data.orderId}}", r#"{"orderId":"o-7"}"#), "order-o-7");
        assert_eq!(
            made(
                "{{metadata.correlationId}}/{{ data.items.1.sku }}!",
                r#"{"items":[{},{"sku":"ü\n\u00e9"}]}"#
            ),
            "c-1/ü\né!"
        );
        assert_eq!(made("{{data}}", r#""123""#), "123");
        assert_eq!(made("{{data}}", "123"), "123");
    }

    #[test]
    fn what_is_no_string_stands_for_its_text() {
        let digits = "7".repeat(309);
        assert_eq!(made("{{data.n}}", &format!(r#"{{"n":{digits}}}"#)), digits);
        assert_eq!(made("{{data.n}}", r#"{"n":5e-324}"#), "5e-324");
        assert_eq!(made("{{data.n}}", r#"{"n":false}"#), "false");
        assert_eq!(made("{{data.n}}", r#"{"n":{"a": [1, 2]}}"#), r#"{"a": [1, 2]}"#);
    }

    #[test]
    fn it_looks_past_and_into_what_is_nested_deeply() {
        let levels = 200;
        let deep = format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
        assert_eq!(made("{{data.id}}", &format!(r#"{{"deep":{deep},"id":"x"}}"#)), "x");
        let path = vec!["a"; levels].join(".");
        assert_eq!(made(&format!("{{{{data.{path}}}}}"), &deep), "1");
    }

    #[test]
    fn an_event_without_the_field_has_no_key() {
        for data in [
            "{}",
            r#"{"orderId":null}"#,
            r#"{"orderId":""}"#,
            "[]",
            "1",
            r#"{"orderId2":"x"}"#,
        ] {
            let missing = key("order-{{data.orderId}}", data).expect_err("no key");
            assert!(missing.to_string().contains("needs data.orderId"), "{missing}");
        }
    }

    #[test]
    fn what_is_no_template_says_why() {
        let refused = |text: &str| text.parse::<KeyTemplate>().expect_err("refused");
        assert!(refused("order-{{data.id").contains("without }}"));
        assert!(refused("order-{{id}}").contains("begins with data or metadata"));
        assert!(refused("{{data..id}}").contains("empty"));
        assert!(refused("order").contains("no field"));
        assert!(refused("").contains("no field"));
    }

    #[test]
    fn a_key_longer_than_the_column_is_hashed() {
        let fits = "é".repeat(LONGEST);
        assert_eq!(stored(&fits), fits);
        let longer = stored(&"é".repeat(LONGEST + 1)).into_owned();
        assert_eq!(longer.len(), "sha256:".len() + 64);
        assert_ne!(stored(&"f".repeat(LONGEST + 1)), longer);
    }
}
