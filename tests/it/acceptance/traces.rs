//! One trace from the producer under Node through the worker into the endpoint.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::json;

use super::program::{self, Program};
use super::{queue, send};
use crate::support::client::request;
use crate::support::otlp::{Collector, Span};
use crate::support::sink::{Received, Sink, reply};
use crate::support::{Boss, Release, Schema, needs_node, wait_for};

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

/// A Node app with the SDK of OpenTelemetry, as pg-boss's own telemetry wants it.
async fn traced_boss(schema: &Schema, collector: &Collector) -> Boss {
    let options = json!({ "traces": collector.endpoint(), "openTelemetry": { "propagateContext": true } });
    Boss::start(Release::NEWEST, &schema.url, &schema.name, options).await
}

fn telemetry(collector: &Collector) -> String {
    format!("[telemetry]\notlp_endpoint = '{}'\n", collector.endpoint())
}

fn named<'s>(spans: &'s [Span], name: &str) -> Vec<&'s Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn only<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let found = named(spans, name);
    assert_eq!(found.len(), 1, "spans named {name}: {found:?}");
    found[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_from_a_node_producer_through_the_worker_into_a_node_endpoint() {
    needs_node!();
    let collector = Collector::start().await;
    let schema = Schema::new(Release::NEWEST).await;
    let boss = traced_boss(&schema, &collector).await;
    queue(&boss, "q", json!({})).await;
    let endpoint = boss.serve(200).await;
    let served = format!(
        "{}[queues.q]\npoll_interval = '50ms'\nhandler = {{ http = '{endpoint}/api/jobs/q' }}\n",
        telemetry(&collector)
    );
    let strawboss = Program::run(&schema, &served);
    send(&boss, "q", json!({ "n": 1 })).await;
    schema
        .until("exists (select from {schema}.job where state = 'completed')")
        .await;
    strawboss.stop().await;
    boss.stop().await;
    let served = collector
        .span("of the endpoint", |span| span.kind == SpanKind::Server)
        .await;

    let spans = collector.spans();
    let (sent, run) = (only(&spans, "send q"), only(&spans, "process q"));
    assert_eq!(served.name, "POST /api/jobs/q");
    assert_eq!(
        [sent.kind, run.kind, served.kind],
        [SpanKind::Producer, SpanKind::Consumer, SpanKind::Server]
    );
    assert_eq!([&sent.trace_id, &run.trace_id], [&served.trace_id; 2], "one trace");
    assert_eq!(sent.parent_span_id, "");
    assert_eq!(run.parent_span_id, sent.span_id);
    assert_eq!(served.parent_span_id, run.span_id);
    assert!(run.start_unix_nanos <= served.start_unix_nanos && served.end_unix_nanos <= run.end_unix_nanos);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_command_and_the_api_send_is_continued_by_node() {
    needs_node!();
    let collector = Collector::start().await;
    let schema = Schema::new(Release::NEWEST).await;
    let boss = traced_boss(&schema, &collector).await;
    queue(&boss, "q", json!({})).await;
    boss.work(
        "q",
        json!({ "pollingIntervalSeconds": 0.5 }),
        json!({ "complete": null }),
    )
    .await;
    let api = Program::run(&schema, &format!("{}[api]\nenabled = true\n", telemetry(&collector)));
    let database = format!("[database]\nurl = '{}'\nschema = '{}'\n", schema.url, schema.name);
    let configuration = database + &telemetry(&collector);

    // Somebody's request, and somebody's program, that are in traces of their own.
    let (ours, theirs) = ("0af7651916cd43dd8448eb211c80319c", "4bf92f3577b34da6a3ce929d0e0e4736");
    let parent = |trace: &str| format!("00-{trace}-00f067aa0ba902b7-01");
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("traceparent", parent(theirs)),
    ];
    let job = Some(r#"{"name":"q","data":{"by":"the API"}}"#);
    let asked = request(api.address().await, "POST", "/api/send", &headers, job).await;
    let answer = asked.json();
    let by_api = answer["result"].as_str().expect("an id").to_owned();
    let sending = Program::start(
        &["send", "q", r#"{"by":"the command"}"#, "--config", "worker.toml"],
        &configuration,
        &[("TRACEPARENT", &parent(ours))],
    );
    let by_command = sending.ended().await.well().out.trim().to_owned();
    // And Node itself, to be compared with.
    let by_node = send(&boss, "q", json!({ "by": "Node" })).await;
    schema
        .until("(select count(*) from {schema}.job where state = 'completed') = 3")
        .await;
    api.stop().await;
    boss.stop().await;

    let mut spans = collector.spans();
    spans.sort_by_key(|span| span.start_unix_nanos);
    let of = |name: &str, id: &str| -> Span {
        let mut found = named(&spans, name)
            .into_iter()
            .filter(|span| span.attributes.get("messaging.message.id") == Some(&json!(id)));
        let span = found.next().unwrap_or_else(|| panic!("no {name} of {id}: {spans:#?}"));
        assert!(found.next().is_none(), "{name} of {id} twice");
        span.clone()
    };
    let node = of("send q", &by_node);
    for (id, trace) in [(&by_api, theirs), (&by_command, ours)] {
        let (sent, run) = (of("send q", id), of("process q", id));
        assert_eq!((sent.kind, sent.trace_id.as_str()), (SpanKind::Producer, trace));
        assert_eq!(sent.parent_span_id, "00f067aa0ba902b7");
        assert_eq!((run.kind, &run.trace_id), (SpanKind::Consumer, &sent.trace_id));
        assert_eq!(run.parent_span_id, sent.span_id);
        let mut attributes = sent.attributes.clone();
        attributes.insert("messaging.message.id".into(), json!(by_node));
        assert_eq!(attributes, node.attributes, "ours says of a send what pg-boss says");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_sample_is_followed_and_the_sampler_decides_for_the_rest() {
    needs_node!();
    let collector = Collector::start().await;
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", json!({})).await;
    let sink = Sink::start().await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    for (n, flags) in [(1, "00"), (2, "01")] {
        schema
            .execute(&format!(
                "INSERT INTO {{schema}}.job (name, data, policy, trace_context) VALUES ('q', '{{\"n\":{n}}}', 'standard',
                 '{{\"traceparent\":\"00-{trace}-00f067aa0ba902b7-{flags}\"}}')"
            ))
            .await;
    }
    schema.jobs("q", 1).await;
    let configuration = program::configuration(
        &schema.url,
        &schema.name,
        &format!(
            "{}[queues.q]\nconcurrency = 1\nhandler = {{ http = '{}' }}\n",
            telemetry(&collector),
            sink.url("/")
        ),
    );
    let sampler = [("OTEL_TRACES_SAMPLER", "parentbased_always_off")];
    let strawboss = Program::start(&["run", "--config", "worker.toml"], &configuration, &sampler);
    schema
        .until("(select count(*) from {schema}.job where state = 'completed') = 3")
        .await;
    strawboss.stop().await;

    let runs: Vec<_> = collector.spans();
    let run = only(&runs, "process q");
    assert_eq!(run.trace_id, trace, "of the producer that samples, and of nobody else");
    let told: Vec<_> = sink
        .received()
        .iter()
        .map(|request| request.header("traceparent").to_owned())
        .collect();
    let flags = |flags: &str| told.iter().filter(|told| told.ends_with(flags)).count();
    assert_eq!((told.len(), flags("-01"), flags("-00")), (3, 1, 2), "{told:?}");
    assert_eq!(told.iter().filter(|told| told.contains(trace)).count(), 2, "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_down_costs_spans_which_are_counted() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", json!({})).await;
    schema.jobs("q", 300).await;
    // It takes connections and never answers, so that a first batch hangs and there is no room for what follows.
    let deaf = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let endpoint = deaf.local_addr().expect("it is bound");
    let configuration = program::configuration(
        &schema.url,
        &schema.name,
        &format!("[telemetry]\notlp_endpoint = 'http://{endpoint}'\n[queues.q]\nhandler = {{ noop = true }}\n"),
    );
    let small = [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "20"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10"),
        ("OTEL_BSP_SCHEDULE_DELAY", "10"),
    ];
    let strawboss = Program::start(&["run", "--config", "worker.toml"], &configuration, &small);
    schema
        .until("(select count(*) from {schema}.job where state = 'completed') = 300")
        .await;
    let dropped = async || strawboss.metric(r#"pgboss_trace_spans_total{outcome="dropped"}"#).await;
    let text = strawboss.get("/metrics").await.body;
    assert!(dropped().await.unwrap_or_default() >= 280.0, "{text}");
    assert!(!text.contains(r#"outcome="exported""#), "{text}");
    strawboss.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_refuses_costs_spans_which_are_counted() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", json!({})).await;
    let sink = Sink::start().await;
    // What may be tried again the SDK does try again.
    sink.then(reply(400, "not that"));
    let served = format!(
        "[telemetry]\notlp_endpoint = '{}'\n[queues.q]\npoll_interval = '50ms'\nhandler = {{ noop = true }}\n",
        sink.url("")
    );
    let configuration = program::configuration(&schema.url, &schema.name, &served);
    let at_once = [("OTEL_BSP_SCHEDULE_DELAY", "10")];
    let strawboss = Program::start(&["run", "--config", "worker.toml"], &configuration, &at_once);
    let counted = async |outcome: &str| {
        let series = format!("pgboss_trace_spans_total{{outcome=\"{outcome}\"}}");
        strawboss.metric(&series).await.unwrap_or_default()
    };
    schema.jobs("q", 1).await;
    wait_for("spans to be lost", async || counted("lost").await > 0.0).await;
    // From now on it takes them.
    schema.jobs("q", 1).await;
    wait_for("spans to be exported", async || counted("exported").await > 0.0).await;
    strawboss.stop().await;
}
