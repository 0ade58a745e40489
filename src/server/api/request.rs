//! From the wire to a text of JSON: media types, bodies, queries. Pure.

use std::borrow::Cow;

use http::header::{self, HeaderMap};
use serde_json::{Map, Value};

/// What is known of a body before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    /// It says that it is JSON.
    Json,
    /// There is none, and nothing is said of it.
    Nothing,
    /// It is something else, or does not say what it is.
    Foreign,
}

/// What the headers say of the body; `empty` is whether there is none.
pub(super) fn media(headers: &HeaderMap, empty: bool) -> Media {
    match headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or("?"))
    {
        None | Some("") if empty => Media::Nothing,
        None | Some("") => Media::Foreign,
        Some(text) if is_json(text) => Media::Json,
        Some(_) => Media::Foreign,
    }
}

/// `application/json`, or `application/` and something that ends with `+json`, with or without parameters.
fn is_json(content_type: &str) -> bool {
    let kind = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let Some(kind) = kind.strip_prefix("application/") else {
        return false;
    };
    let plain = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    kind == "json" || kind.strip_suffix("+json").is_some_and(plain)
}

/// How long the body is, where its header says so.
pub(super) fn length(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?;
    text.parse().ok()
}

/// A body's bytes as text; what is no UTF-8 becomes replacement characters, and a mark at its beginning goes.
pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))
}

/// A query as the JSON object it stands for: what comes once is a text, what comes more often a list of them.
pub(super) fn query(query: &str) -> String {
    let mut object = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (decoded(key), Value::String(decoded(value)));
        match object.get_mut(&key) {
            None => drop(object.insert(key, value)),
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Value::Object(object).to_string()
}

fn decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced)
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_goes_by_several_names() {
        for name in [
            "application/json",
            "APPLICATION/JSON ; charset=utf-8",
            "application/vnd.api+json",
        ] {
            assert!(is_json(name), "{name}");
        }
        for name in [
            "text/json",
            "application/jsonp",
            "application/+json",
            "application/x-www-form-urlencoded",
            "json",
        ] {
            assert!(!is_json(name), "{name}");
        }
    }

    #[test]
    fn a_query_is_an_object_of_texts() {
        assert_eq!(
            query("name=a%20b+c&x&x=1&x=%22"),
            r#"{"name":"a b c","x":["","1","\""]}"#
        );
        assert_eq!(query(""), "{}");
    }
}
