//! One trace from the producer under Node through the worker into the endpoint.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::json;

use super::{Program, queue, send};
use crate::support::otlp::{Collector, Span};
use crate::support::sink::{Received, Sink, reply};
use crate::support::{Boss, Release, Schema, needs_node};

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_runs_from_node_through_every_attempt_into_the_endpoint() {
    needs_node!();
    let collector = Collector::start().await;
    let schema = Schema::new(Release::NEWEST).await;
    let options = json!({ "traces": collector.endpoint(), "openTelemetry": { "propagateContext": true } });
    let boss = Boss::start(Release::NEWEST, &schema.url, &schema.name, options).await;
    queue(&boss, "q", json!({ "retryLimit": 1, "retryDelay": 0 })).await;
    let sink = Sink::start().await;
    sink.then(reply(503, "busy"));

    let served = format!(
        "[telemetry]\notlp_endpoint = '{}'\n[queues.q]\npoll_interval = '50ms'\nhandler = {{ http = '{}' }}\n",
        collector.endpoint(),
        sink.url("/")
    );
    let strawboss = Program::run(&schema, &served);
    let id = send(&boss, "q", json!({ "n": 1 })).await;
    schema
        .until("exists (select from {schema}.job where state = 'completed')")
        .await;
    // What has not been delivered yet is at the end.
    strawboss.stop().await;
    boss.stop().await;

    let sent = collector.span("send q", |span| span.name == "send q").await;
    assert_eq!(sent.kind, SpanKind::Producer);
    let spans = collector.spans();
    let ours = |name: &str| -> Vec<Span> {
        let mut found: Vec<_> = spans.iter().filter(|span| span.name == name).cloned().collect();
        found.sort_by_key(|span| span.start_unix_nanos);
        found
    };
    let [failed, completed]: [Span; 2] = ours("process q").try_into().expect("a span for each attempt");
    let requests: [Received; 2] = sink.received().try_into().expect("a request for each attempt");

    for (span, request) in [&failed, &completed].into_iter().zip(&requests) {
        assert_eq!(span.kind, SpanKind::Consumer);
        assert_eq!((&span.trace_id, &span.parent_span_id), (&sent.trace_id, &sent.span_id));
        assert_eq!(
            request.header("traceparent"),
            format!("00-{}-{}-01", sent.trace_id, span.span_id),
            "the endpoint is called within the attempt"
        );
        // What the producer says of the job and its place, we say alike.
        for name in [
            "messaging.system",
            "messaging.destination.name",
            "messaging.message.id",
            "db.namespace",
            "pgboss.schema",
        ] {
            assert_eq!(span.attributes.get(name), sent.attributes.get(name), "{name}");
        }
        assert_eq!(span.resource["service.name"], "strawboss");
    }
    let (_, database) = schema.url.rsplit_once('/').expect("a URL");
    let common = |count: u32, state: &str| {
        json!({
            "messaging.system": "pg-boss",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": "q",
            "messaging.message.id": id,
            "db.namespace": format!("{database}|{}", schema.name),
            "pgboss.schema": schema.name,
            "pgboss.job.retry_count": count,
            "pgboss.job.state": state,
        })
    };
    assert_eq!(json!(completed.attributes), common(1, "completed"));
    assert_eq!(completed.status, StatusCode::Unset);
    let mut first = common(0, "retry");
    first["error.type"] = json!("HttpError");
    assert_eq!(json!(failed.attributes), first);
    let reason = format!("{} answered 503 Service Unavailable", sink.url("/"));
    assert_eq!(
        (failed.status, failed.status_message.as_str()),
        (StatusCode::Error, reason.as_str())
    );

    for (name, attempt) in [("fail q", &failed), ("complete q", &completed)] {
        let [settle]: [Span; 1] = ours(name).try_into().expect("one statement for one verdict");
        assert_eq!(settle.kind, SpanKind::Client, "{name}");
        assert_eq!(
            (&settle.trace_id, &settle.parent_span_id),
            (&sent.trace_id, &attempt.span_id),
            "{name}"
        );
        assert_eq!(settle.attributes["messaging.operation.type"], "settle", "{name}");
        assert_eq!(settle.attributes["messaging.message.id"], json!(id), "{name}");
        assert_eq!(
            settle.status,
            StatusCode::Unset,
            "{name}: the statement itself went well"
        );
    }
    let names: Vec<_> = spans
        .iter()
        .map(|span| span.name.as_str())
        .filter(|name| *name != "send q")
        .collect();
    assert_eq!(
        names.len(),
        4,
        "nothing else has a span, least of all an empty poll: {names:?}"
    );
}
