//! The job as a program reads it: one JSON object on standard input, and the same in its environment.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::handler::propagation::Trace;
use crate::job::Job;

/// What is written to standard input. The names are pg-boss's own; times are RFC 3339 in UTC.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Input<'a> {
    /// The job's id, the same on every attempt.
    id: Uuid,
    /// The queue's name, …
    queue: &'a str,
    /// … and once more under the name it has in Node.
    name: &'a str,
    /// The payload verbatim; `null` if it has none.
    data: Option<&'a RawValue>,
    /// 0 on the first attempt.
    retry_count: i32,
    retry_limit: i32,
    priority: i32,
    created_on: String,
    start_after: String,
    started_on: String,
    /// `startedOn` and `expireInSeconds` later the attempt is cut off.
    deadline: String,
    expire_in_seconds: f64,
    group_id: Option<&'a str>,
    group_tier: Option<&'a str>,
    singleton_key: Option<&'a str>,
    /// The W3C trace context; left out where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<&'a str>,
}

/// The object and a line end.
pub(super) fn of(job: &Job, trace: &Trace) -> Vec<u8> {
    let input = Input {
        id: job.id(),
        queue: job.queue.as_str(),
        name: job.queue.as_str(),
        data: job.data.as_deref(),
        retry_count: job.attempt.retry_count,
        retry_limit: job.retry_limit,
        priority: job.priority,
        created_on: rfc3339(job.created_on),
        start_after: rfc3339(job.start_after),
        started_on: rfc3339(job.started_on),
        deadline: rfc3339(job.deadline()),
        expire_in_seconds: job.expire.as_secs_f64(),
        group_id: job.group.as_ref().map(|group| group.id.as_str()),
        group_tier: job.group.as_ref().and_then(|group| group.tier.as_deref()),
        singleton_key: job.singleton_key.as_deref(),
        traceparent: trace.traceparent.as_deref(),
        tracestate: trace.tracestate.as_deref(),
    };
    let mut bytes = serde_json::to_vec(&input).expect("names are text and the payload is JSON already");
    bytes.push(b'\n');
    bytes
}

/// The variables of the program's environment; one without a value is taken out of it.
pub(super) fn environment(job: &Job, trace: &Trace) -> [(&'static str, Option<String>); 8] {
    [
        ("PGBOSS_JOB_ID", Some(job.id().to_string())),
        ("PGBOSS_QUEUE", Some(job.queue.to_string())),
        ("PGBOSS_RETRY_COUNT", Some(job.attempt.retry_count.to_string())),
        ("PGBOSS_RETRY_LIMIT", Some(job.retry_limit.to_string())),
        ("PGBOSS_CREATED_ON", Some(rfc3339(job.created_on))),
        ("PGBOSS_DEADLINE", Some(rfc3339(job.deadline()))),
        ("TRACEPARENT", trace.traceparent.clone()),
        ("TRACESTATE", trace.tracestate.clone()),
    ]
}

fn rfc3339(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Millis, true)
}
