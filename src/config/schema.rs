//! The JSON Schema of the file, for editors, and as the list of what is known where.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::file::File;

/// The JSON Schema (draft 7) of the configuration file, from the same structs that read it.
pub fn json_schema() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<File>().to_value();
    without_null(&mut schema);
    schema
}

/// TOML has no null: an optional key is one that may be missing. Defaults of whole sections say nothing either.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    object["type"] = only.clone();
                }
            }
            if let Some(Value::Array(branches)) = object.get_mut("anyOf") {
                branches.retain(|branch| branch["type"] != "null");
                if let [Value::Object(only)] = branches.as_slice() {
                    let only = only.clone();
                    object.remove("anyOf");
                    for (key, value) in only {
                        object.entry(key).or_insert(value);
                    }
                }
            }
            if matches!(
                object.get("default"),
                Some(Value::Null | Value::Object(_) | Value::Array(_))
            ) {
                object.remove("default");
            }
            for (key, inner) in object {
                match inner {
                    // The keys in here are the file's, not the schema's.
                    Value::Object(properties) if key == "properties" => {
                        properties.values_mut().for_each(without_null);
                    }
                    inner => without_null(inner),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(without_null),
        _ => {}
    }
}

/// The schema of one value, as far as the reader asks.
#[derive(Clone, Copy)]
pub(super) struct Known<'s>(pub(super) &'s Value);

impl<'s> Known<'s> {
    /// The schema of a table's key, if the key is known.
    pub(super) fn key(self, key: &str) -> Option<Known<'s>> {
        if let Some(schema) = self.0.get("properties").and_then(|known| known.get(key)) {
            return Some(Known(schema));
        }
        self.0
            .get("additionalProperties")
            .filter(|rest| rest.as_bool() != Some(false))
            .map(Known)
    }

    /// The schema of a list's elements.
    pub(super) fn element(self) -> Known<'s> {
        Known(&self.0["items"])
    }

    /// The keys a table may have; none where it may have any.
    pub(super) fn keys(self) -> impl Iterator<Item = &'s str> {
        let known = self.0.get("properties").and_then(Value::as_object);
        known.into_iter().flat_map(|known| known.keys().map(String::as_str))
    }

    /// Whether the value is a number or a truth value and nothing else, so that a text can only stand for one.
    pub(super) fn is_scalar(self) -> bool {
        !self.takes("string") && (self.takes("integer") || self.takes("boolean"))
    }

    /// What a scalar is, in words.
    pub(super) fn scalar_name(self) -> &'static str {
        if self.takes("boolean") {
            "true or false"
        } else {
            "a whole number"
        }
    }

    /// Whether the value may be of that type.
    pub(super) fn takes(self, kind: &str) -> bool {
        match &self.0["type"] {
            Value::String(name) => name == kind,
            Value::Array(names) => names.iter().any(|name| name == kind),
            _ => false,
        }
    }
}
