//! The request that carries a job: its headers.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::signature::{Secret, signatures};
use crate::handler::SetupError;
use crate::handler::propagation::Trace;
use crate::job::Job;

/// Queues of pg-boss 10 and 11 may have any name; a header may not.
const NOT_IN_A_HEADER: &AsciiSet = &CONTROLS.add(b'%');

/// Headers that say what is sent, and that no configuration may say otherwise.
const OURS: &[&str] = &[
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "idempotency-key",
    "traceparent",
    "tracestate",
    "content-length",
    "transfer-encoding",
    "connection",
    "expect",
    "upgrade",
    "te",
    "trailer",
];

/// The headers that are the same in every request: those configured, and the content type.
pub(super) fn configured(headers: &BTreeMap<String, String>) -> Result<HeaderMap, SetupError> {
    let mut map = HeaderMap::new();
    map.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in headers {
        let problem = |problem| SetupError::Header {
            name: name.clone(),
            problem,
        };
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| problem("is no header's name"))?;
        if OURS.contains(&header.as_str()) || header.as_str().starts_with("pgboss-") {
            return Err(problem("is set by the worker itself"));
        }
        let mut value =
            HeaderValue::from_str(value).map_err(|_| problem("has a value that cannot be sent in a header"))?;
        value.set_sensitive(true);
        map.insert(header, value);
    }
    Ok(map)
}

/// Adds the headers of one attempt at a job.
pub(super) fn of_attempt(headers: &mut HeaderMap, job: &Job, trace: &Trace, secrets: &[Secret], now: DateTime<Utc>) {
    let id = job.id().to_string();
    let timestamp = now.timestamp();
    let mut set = |name: &'static str, value: &str| {
        // Every value is visible ASCII by the way it is made, so none is left out.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("webhook-id", &id);
    set("webhook-timestamp", &timestamp.to_string());
    if let Some(signatures) = signatures(secrets, &id, timestamp, job.data_text().as_bytes()) {
        set("webhook-signature", &signatures);
    }
    set("idempotency-key", &id);
    if let Some(traceparent) = &trace.traceparent {
        set("traceparent", traceparent);
    }
    if let Some(tracestate) = &trace.tracestate {
        set("tracestate", tracestate);
    }
    set(
        "pgboss-queue",
        &utf8_percent_encode(job.queue.as_str(), NOT_IN_A_HEADER).to_string(),
    );
    set("pgboss-retry-count", &job.attempt.retry_count.to_string());
    set("pgboss-retry-limit", &job.retry_limit.to_string());
    set("pgboss-created-on", &rfc3339(job.created_on));
    set("pgboss-deadline", &rfc3339(job.deadline()));
}

/// Adds further headers; what cannot be sent in one is left out.
pub(super) fn add(headers: &mut HeaderMap, more: Vec<(&'static str, String)>) {
    for (name, value) in more {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

fn rfc3339(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, value: &str) -> String {
        let headers = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        configured(&headers).expect_err("refused").to_string()
    }

    #[test]
    fn configured_headers_are_sent_and_hidden() {
        let headers = BTreeMap::from([("Authorization".to_owned(), "Bearer s3cret".to_owned())]);
        let map = configured(&headers).expect("good headers");
        assert_eq!(map["authorization"], "Bearer s3cret");
        assert_eq!(map["content-type"], "application/json");
        assert!(!format!("{map:?}").contains("s3cret"));
    }

    #[test]
    fn the_workers_own_headers_cannot_be_configured() {
        for name in [
            "Webhook-Signature",
            "idempotency-key",
            "pgboss-anything",
            "Content-Length",
        ] {
            assert!(refused(name, "x").contains("set by the worker"), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_a_header_is_refused_without_its_value() {
        assert!(refused("no name", "x").contains("no header's name"));
        let message = refused("x-token", "s3cret\nsecond line");
        assert!(
            message.contains("cannot be sent") && !message.contains("s3cret"),
            "{message}"
        );
    }
}
