//! Texts that nobody may read in a log.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// A text whose `Debug` and `Display` print `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Serde's own refusals quote the value they refuse; these do not.
struct Hidden(&'static str);

impl<'de> Visitor<'de> for Hidden {
    type Value = Vec<Secret>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(vec![Secret::new(text)])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<Self::Value, A::Error> {
        let mut secrets = Vec::new();
        while let Some(secret) = texts.next_element()? {
            secrets.push(secret);
        }
        Ok(secrets)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Err(E::custom(format_args!("expected {}; put quotes around it", self.0)))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Err(E::custom(format_args!("expected {}; put quotes around it", self.0)))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut secrets = deserializer.deserialize_any(Hidden("a text"))?;
        match (secrets.pop(), secrets.is_empty()) {
            (Some(secret), true) => Ok(secret),
            _ => Err(D::Error::custom("expected a text")),
        }
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// One secret, or several of which the first signs first: a rotation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Secrets(pub(super) Vec<Secret>);

impl<'de> Deserialize<'de> for Secrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(Hidden("a text or a list of texts"))
            .map(Self)
    }
}

impl JsonSchema for Secrets {
    fn schema_name() -> Cow<'static, str> {
        "Secrets".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "array"], "items": { "type": "string" }, "minItems": 1 })
    }
}

/// A connection string as it may be shown: without its password, and without parameters whose meaning is not known
/// to be harmless.
pub fn shown_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return shown_pairs(url);
    };
    let (rest, behind) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
    if behind.contains('@') && !rest.contains('@') {
        // Most likely a password with an unescaped sign in it, so what stands before the sign is a part of it, too.
        return format!("{scheme}://***");
    }
    // The last `@` before the path ends the user's part: an unescaped password may itself hold one.
    let authority_end = rest.rfind('@').map_or(0, |at| at + 1);
    let (user, place) = rest.split_at(authority_end);
    let user = match user.trim_end_matches('@').split_once(':') {
        Some((name, _)) => format!("{name}:***@"),
        None => user.to_owned(),
    };
    format!("{scheme}://{user}{place}")
}

/// The harmless pairs of a key=value string.
fn shown_pairs(text: &str) -> String {
    if text.contains(['\'', '\\']) {
        return if text.is_empty() {
            String::new()
        } else {
            "***".to_owned()
        };
    }
    let harmless = [
        "host",
        "hostaddr",
        "port",
        "dbname",
        "user",
        "sslmode",
        "application_name",
    ];
    let pairs: Vec<_> = text
        .split_whitespace()
        .filter(|pair| pair.split_once('=').is_some_and(|(key, _)| harmless.contains(&key)))
        .collect();
    pairs.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
        assert_eq!(secret.reveal(), "hunter2");
    }

    #[test]
    fn passwords_leave_connection_strings() {
        assert_eq!(
            shown_url("postgres://app:p@ss@db:5432/app?password=x"),
            "postgres://app:***@db:5432/app"
        );
        assert_eq!(
            shown_url("postgres://app@db/app?sslmode=require"),
            "postgres://app@db/app"
        );
        assert_eq!(shown_url("postgres:///app?host=/run"), "postgres:///app");
        assert_eq!(shown_url("postgres://app:p?ss@db/app"), "postgres://***");
        assert_eq!(shown_url("postgres://app:p#ss@db/app"), "postgres://***");
        assert_eq!(shown_url("postgres://app:p/ss@db/app"), "postgres://app:***@db/app");
        assert_eq!(
            shown_url("host=db user=app password=x dbname=app"),
            "host=db user=app dbname=app"
        );
        assert_eq!(shown_url("host=db password='a b'"), "***");
        assert_eq!(shown_url(""), "");
    }
}
