//! Whether a payload satisfies its handler's JSON Schema.

use std::fmt;

use serde_json::Value;
use serde_json::value::RawValue;

use super::deep::{self, Huge};

/// How many of a payload's faults are told.
const TOLD: usize = 3;

/// A JSON Schema of any draft, ready to judge payloads. It refers to nothing outside of itself: no file and no address
/// is ever read.
#[derive(Debug)]
pub struct PayloadSchema {
    validator: jsonschema::Validator,
}

/// What is wrong with a payload. It quotes nothing of it but the names of its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// It breaks rules of the schema.
    Broken {
        /// The first of them, as the schema meets them.
        faults: Vec<Fault>,
        /// Whether there are more.
        more: bool,
    },
    /// It cannot be looked into.
    Unreadable(String),
}

/// One rule that a payload breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where in the payload, as a JSON pointer; empty for the payload as a whole.
    pub pointer: String,
    /// The rule, by the schema's own word for it, such as `required` or `minimum`.
    pub rule: String,
    /// What the rule demands.
    pub demand: String,
}

impl PayloadSchema {
    /// Takes the text of a schema.
    ///
    /// # Errors
    /// Says why it is no JSON Schema, or that it refers to one elsewhere.
    pub fn parse(text: &str) -> Result<PayloadSchema, String> {
        let schema: Value = serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
        PayloadSchema::new(&schema)
    }

    /// Takes a schema as a value.
    ///
    /// # Errors
    /// As [`PayloadSchema::parse`].
    pub fn new(schema: &Value) -> Result<PayloadSchema, String> {
        let validator = jsonschema::validator_for(schema).map_err(|error| format!("is no JSON Schema: {error}"))?;
        Ok(PayloadSchema { validator })
    }

    /// Judges a payload. A number beyond what an `f64` holds counts as the largest one.
    ///
    /// # Errors
    /// Says which rules it breaks and where, or that it is nested deeper than 512 levels.
    pub fn check(&self, payload: &RawValue) -> Result<(), Violation> {
        let value = deep::read(payload.get(), Huge::Largest).map_err(|why| Violation::Unreadable(why.to_string()))?;
        let mut found: Vec<Fault> = self
            .validator
            .iter_errors(&value)
            .take(TOLD + 1)
            .map(|error| Fault {
                pointer: error.instance_path().to_string(),
                rule: error.kind().keyword().to_owned(),
                demand: error.masked().to_string(),
            })
            .collect();
        if found.is_empty() {
            return Ok(());
        }
        let more = found.len() > TOLD;
        found.truncate(TOLD);
        Err(Violation::Broken { faults: found, more })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Broken { faults, more } => {
                f.write_str("the payload breaks its schema: ")?;
                for (n, fault) in faults.iter().enumerate() {
                    let comma = if n > 0 { "; " } else { "" };
                    let Fault { pointer, rule, demand } = fault;
                    write!(f, "{comma}at \"{pointer}\" the rule `{rule}`: {demand}")?;
                }
                if *more {
                    f.write_str("; and more")?;
                }
                Ok(())
            }
            Violation::Unreadable(why) => write!(f, "the payload cannot be compared with its schema: {why}"),
        }
    }
}

impl std::error::Error for Violation {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).expect("it is JSON")
    }

    fn order() -> PayloadSchema {
        PayloadSchema::new(&json!({
            "type": "object",
            "required": ["orderId"],
            "properties": {
                "orderId": { "type": "string", "minLength": 1 },
                "items": { "type": "array", "items": { "properties": { "price": { "type": "number", "minimum": 0 } } } }
            }
        }))
        .expect("a schema")
    }

    fn told(payload: &str) -> String {
        order().check(&raw(payload)).expect_err("it breaks a rule").to_string()
    }

    #[test]
    fn what_satisfies_it_passes() {
        let payload = raw(r#"{"orderId":"o-1","items":[{"price":3},{"price":5e-324}],"else":null}"#);
        assert_eq!(order().check(&payload), Ok(()));
    }

    #[test]
    fn a_fault_names_its_pointer_and_its_rule_and_quotes_nothing() {
        let text = told(r#"{"orderId":"o-1","items":[{"price":1},{"price":-98765}]}"#);
        assert!(text.contains(r#"at "/items/1/price" the rule `minimum`"#), "{text}");
        assert!(!text.contains("98765"), "{text}");
        let text = told("{}");
        assert!(
            text.contains(r#"at "" the rule `required`"#) && text.contains("orderId"),
            "{text}"
        );
    }

    #[test]
    fn many_faults_are_told_in_part() {
        let text = told(r#"{"orderId":1,"items":[{"price":"a"},{"price":"b"},{"price":"c"}]}"#);
        assert_eq!(text.matches("the rule").count(), TOLD, "{text}");
        assert!(text.ends_with("and more"), "{text}");
    }

    #[test]
    fn deep_payloads_and_huge_numbers_do_not_break_it() {
        let tree = PayloadSchema::new(&json!({ "$ref": "#/$defs/node", "$defs": { "node": {
            "type": ["object", "number"], "properties": { "n": { "$ref": "#/$defs/node" } }
        } } }))
        .expect("a schema");
        let nested =
            |levels: usize, leaf: &str| raw(&format!("{}{leaf}{}", r#"{"n":"#.repeat(levels), "}".repeat(levels)));
        let digits = "9".repeat(309);
        assert_eq!(tree.check(&nested(200, &digits)), Ok(()));
        assert_eq!(tree.check(&nested(deep::DEEPEST, "1")), Ok(()));
        let Err(Violation::Broken { faults, .. }) = tree.check(&nested(200, "\"x\"")) else {
            panic!("a string is no node");
        };
        assert_eq!((faults[0].pointer.len(), faults[0].rule.as_str()), (400, "type"));
        let why = tree.check(&nested(6000, "1")).expect_err("too deep").to_string();
        assert!(why.contains("deeper than 512"), "{why}");
        let limited = PayloadSchema::new(&json!({ "maximum": 10 })).expect("a schema");
        assert!(limited.check(&raw(&digits)).is_err());
        assert_eq!(limited.check(&raw(&format!("-{digits}"))), Ok(()));
    }

    #[test]
    fn what_is_no_schema_is_refused_and_nothing_is_fetched() {
        assert!(PayloadSchema::parse("{").expect_err("refused").contains("no JSON"));
        assert!(
            PayloadSchema::parse(r#"{"type":"strong"}"#)
                .expect_err("refused")
                .contains("no JSON Schema")
        );
        assert!(PayloadSchema::parse(r#"{"$ref":"http://127.0.0.1:9/x.json"}"#).is_err());
        assert!(PayloadSchema::parse(r#"{"$ref":"file:///etc/hostname"}"#).is_err());
    }
}
