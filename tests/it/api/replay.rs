//! What the other party answered to a table of requests, and what is answered here; see `tests/node/proxy`.

use std::collections::HashMap;
use std::fmt::Write;

use serde::Deserialize;
use serde_json::Value;

use super::Proxy;
use crate::support::client::{Answer, request};
use crate::support::{Release, Schema, needs_node};

const RECORDED: &str = include_str!("../../vectors/proxy.json");

#[derive(Deserialize)]
struct Recorded {
    sessions: Vec<Session>,
}

#[derive(Deserialize)]
pub struct Session {
    name: String,
    environment: HashMap<String, String>,
    pub exchanges: Vec<Exchange>,
}

#[derive(Deserialize)]
pub struct Exchange {
    /// Verb, path, body, headers.
    pub request: (String, String, Option<String>, HashMap<String, Value>),
    answer: Wanted,
}

#[derive(Deserialize)]
pub struct Wanted {
    status: u16,
    headers: HashMap<String, String>,
    body: String,
}

/// The headers that were recorded: one that is not there must not be there here.
const KEPT: [&str; 9] = [
    "content-type",
    "www-authenticate",
    "vary",
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-expose-headers",
    "access-control-max-age",
];

/// What was recorded, session by session.
pub fn recorded() -> Vec<Session> {
    let recorded: Recorded = serde_json::from_str(RECORDED).expect("what was recorded");
    recorded.sessions
}

#[tokio::test]
async fn the_recorded_answers_are_given() {
    needs_node!();
    let mut differences = String::new();
    let mut asked = 0;
    for session in recorded() {
        let schema = Schema::new(Release::V12_27_0).await;
        let proxy = Proxy::of(&schema, &session.environment).await;
        for Exchange {
            request: (verb, path, body, headers),
            answer: wanted,
        } in session.exchanges
        {
            // pg-boss checks the zone from 12.28 on; before, it keeps such a schedule and never fires it.
            if body.as_deref().is_some_and(|body| body.contains("Nowhere/Land")) {
                continue;
            }
            asked += 1;
            let headers: Vec<_> = headers
                .iter()
                .filter(|(name, _)| *name != "content-length")
                .map(|(name, value)| (name.as_str(), value.as_str().expect("a text").to_owned()))
                .collect();
            let given = request(proxy.address, &verb, &path, &headers, body.as_deref()).await;
            if let Err(difference) = compare(&wanted, &given) {
                let body = body.unwrap_or_default();
                let _ = writeln!(differences, "{}: {verb} {path} {body}\n  {difference}\n", session.name);
            }
        }
        assert!(proxy.end().await.is_clean());
    }
    assert!(asked > 400, "{asked}");
    assert!(differences.is_empty(), "\n{differences}");
}

fn compare(wanted: &Wanted, given: &Answer) -> Result<(), String> {
    if given.status != wanted.status {
        return Err(format!("{}, not {}: {}", given.status, wanted.status, given.body));
    }
    for name in KEPT {
        let (given, wanted) = (given.header(name), wanted.headers.get(name).map(String::as_str));
        let of = |header: Option<&str>| header.map(|text| text.replace("; ", ";").to_lowercase());
        if of(given) != of(wanted) {
            return Err(format!("{name}: {given:?}, not {wanted:?}"));
        }
    }
    let (Ok(wanted), Ok(given)) = (
        serde_json::from_str::<Value>(&wanted.body),
        serde_json::from_str::<Value>(&given.body),
    ) else {
        let same = wanted.body == given.body;
        return same
            .then_some(())
            .ok_or(format!("{:?}, not {:?}", given.body, wanted.body));
    };
    let (wanted, given) = (settled(wanted), settled(given));
    if wanted == given {
        return Ok(());
    }
    Err(format!("{given}\n  not {wanted}"))
}

/// Times of now and random ids become what they were recorded as; rows come in the order of their text, for pg-boss asks
/// for none.
fn settled(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(settled_text(text)),
        Value::Array(values) => {
            let mut values: Vec<_> = values.into_iter().map(settled).collect();
            if values.iter().all(Value::is_object) {
                values.sort_by_key(Value::to_string);
            }
            Value::Array(values)
        }
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (name, settled(value)))
            .collect(),
        other => other,
    }
}

fn settled_text(text: String) -> String {
    let shape = |text: &str, like: &str| {
        text.len() == like.len()
            && text.bytes().zip(like.bytes()).all(|(byte, like)| match like {
                b'0' => byte.is_ascii_digit(),
                b'x' => byte.is_ascii_hexdigit(),
                like => byte == like,
            })
    };
    if shape(&text, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx") && !text.starts_with("00000000") {
        return "<id>".to_owned();
    }
    if shape(&text, "0000-00-00T00:00:00.000Z") {
        let at = chrono::DateTime::parse_from_rfc3339(&text).expect("a time");
        if (at.to_utc() - chrono::Utc::now()).num_days().abs() < 40 {
            return "<time>".to_owned();
        }
    }
    text
}
