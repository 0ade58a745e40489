//! Spans as a collector receives them over OTLP.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use strawboss::handler::HandlerError;
use strawboss::job::{Attempt, Job, Outcome};
use strawboss::observe::{Tracer, propagation};
use strawboss::queue::QueueName;

use crate::support::otlp::{Collector, Span};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PRODUCER: &str = "00f067aa0ba902b7";

fn job(queue: &str, retry_count: i32, carrier: Option<&str>) -> Job {
    let now = chrono::Utc::now();
    Job {
        attempt: Attempt {
            id: Uuid::new_v4(),
            retry_count,
        },
        queue: QueueName::new(queue),
        data: None,
        retry_limit: 2,
        priority: 0,
        created_on: now,
        start_after: now,
        started_on: now,
        expire: Duration::from_secs(900),
        heartbeat: None,
        group: None,
        singleton_key: None,
        trace_context: carrier
            .map(|carrier| Arc::from(RawValue::from_string(carrier.to_owned()).expect("the carrier is JSON"))),
        ctid: None,
    }
}

fn traceparent(flags: &str) -> String {
    format!(r#"{{"traceparent":"00-{TRACE}-{PRODUCER}-{flags}"}}"#)
}

fn tracer(collector: &Collector) -> Tracer {
    Tracer::new(Some(&collector.endpoint()))
        .expect("the endpoint is a URL")
        .within("shop", "pgboss")
}

/// Everything that was sent, in order of its end.
async fn delivered(tracer: &Tracer, collector: &Collector) -> Vec<Span> {
    tracer.shutdown().await;
    let mut spans = collector.spans();
    spans.sort_by_key(|span| span.end_unix_nanos);
    spans
}

#[tokio::test]
async fn an_attempt_continues_the_trace_of_its_producer() {
    let collector = Collector::start().await;
    let tracer = tracer(&collector);
    let job = job("email", 1, Some(&traceparent("01")));
    let claimed = SystemTime::now() - Duration::from_secs(3);

    let span = tracer.process_span(&job, claimed);
    let inside = propagation::inject(span.context()).expect("there is a trace");
    span.end(Outcome::Completed, None);

    let spans = delivered(&tracer, &collector).await;
    let [span] = spans.as_slice() else {
        panic!("one span, not {spans:?}");
    };
    assert_eq!(span.name, "process email");
    assert_eq!(span.kind, SpanKind::Consumer);
    assert_eq!(span.trace_id, TRACE);
    assert_eq!(span.parent_span_id, PRODUCER);
    assert_eq!(
        json!(span.attributes),
        json!({
            "messaging.system": "pg-boss",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": "email",
            "messaging.message.id": job.id().to_string(),
            "db.namespace": "shop|pgboss",
            "pgboss.schema": "pgboss",
            "pgboss.job.retry_count": 1,
            "pgboss.job.state": "completed",
        })
    );
    assert_eq!(span.status, StatusCode::Unset);
    let since_epoch = claimed.duration_since(UNIX_EPOCH).expect("after 1970");
    assert_eq!(u128::from(span.start_unix_nanos), since_epoch.as_nanos());
    assert_eq!(span.resource["service.name"], "strawboss");
    // What the handler passes on is this span, in that trace.
    assert_eq!(
        inside.get(),
        format!(r#"{{"traceparent":"00-{TRACE}-{}-01"}}"#, span.span_id)
    );
}

#[tokio::test]
async fn an_attempt_without_a_carrier_begins_a_trace() {
    let collector = Collector::start().await;
    let tracer = tracer(&collector);
    tracer
        .process_span(&job("email", 0, None), SystemTime::now())
        .end(Outcome::Completed, None);
    let spans = delivered(&tracer, &collector).await;
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].parent_span_id, "");
}

#[tokio::test]
async fn a_failed_attempt_says_why() {
    let collector = Collector::start().await;
    let tracer = tracer(&collector);
    let mut error = HandlerError::retry("the relay said no").named("SmtpError");
    error.stack = Some("at relay".into());
    tracer
        .process_span(&job("email", 0, None), SystemTime::now())
        .end(Outcome::Retried, Some((&error).into()));

    let spans = delivered(&tracer, &collector).await;
    let [span] = spans.as_slice() else {
        panic!("one span, not {spans:?}");
    };
    assert_eq!(span.status, StatusCode::Error);
    assert_eq!(span.status_message, "the relay said no");
    assert_eq!(span.attributes["error.type"], "SmtpError");
    assert_eq!(span.attributes["pgboss.job.state"], "retry");
    let [(name, event)] = span.events.as_slice() else {
        panic!("one event, not {:?}", span.events);
    };
    assert_eq!(name, "exception");
    assert_eq!(
        json!(event),
        json!({
            "exception.type": "SmtpError",
            "exception.message": "the relay said no",
            "exception.stacktrace": "at relay",
        })
    );
}

#[tokio::test]
async fn a_single_verdict_is_written_within_its_attempt() {
    let collector = Collector::start().await;
    let tracer = tracer(&collector);
    let job = job("email", 0, Some(&traceparent("01")));
    let run = tracer.process_span(&job, SystemTime::now());
    tracer.settle_span("complete", Some(&job.queue), [run.link()]).end(None);
    run.end(Outcome::Completed, None);

    let spans = delivered(&tracer, &collector).await;
    let [settle, process] = spans.as_slice() else {
        panic!("two spans, not {spans:?}");
    };
    assert_eq!(settle.name, "complete email");
    assert_eq!(settle.kind, SpanKind::Client);
    assert_eq!(settle.trace_id, TRACE);
    assert_eq!(settle.parent_span_id, process.span_id);
    assert_eq!(settle.attributes["messaging.operation.name"], "complete");
    assert_eq!(settle.attributes["messaging.operation.type"], "settle");
    assert_eq!(settle.attributes["messaging.message.id"], job.id().to_string());
}

#[tokio::test]
async fn verdicts_written_together_are_linked() {
    let collector = Collector::start().await;
    let tracer = tracer(&collector);
    let runs: Vec<_> = (0..3)
        .map(|_| tracer.process_span(&job("email", 0, None), SystemTime::now()))
        .collect();
    tracer
        .settle_span("fail", Some(&"email".into()), runs.iter().map(|run| run.link()))
        .end(Some(strawboss::observe::Failure {
            kind: "connection",
            message: "the server went away",
            stack: None,
        }));
    for run in runs {
        run.end(Outcome::Failed, None);
    }

    let spans = delivered(&tracer, &collector).await;
    assert_eq!(spans.len(), 4);
    let settle = &spans[0];
    assert_eq!(settle.name, "fail email");
    assert_eq!(settle.parent_span_id, "");
    assert_eq!(settle.attributes["messaging.batch.message_count"], 3);
    assert!(!settle.attributes.contains_key("messaging.message.id"));
    assert_eq!(settle.status, StatusCode::Error);
    assert_eq!(settle.attributes["error.type"], "connection");
    let mut linked = settle.links.clone();
    let mut runs: Vec<_> = spans[1..]
        .iter()
        .map(|span| (span.trace_id.clone(), span.span_id.clone()))
        .collect();
    linked.sort();
    runs.sort();
    assert_eq!(linked, runs);
}

#[tokio::test]
async fn what_is_sent_is_continued_by_whoever_runs_it() {
    let collector = Collector::start().await;
    let tracer = tracer(&collector);
    let caller = tracer.process_span(&job("order", 0, None), SystemTime::now());
    let send = tracer.send_span("send", Some("email"), 1, caller.context());
    let carrier = send.carrier().expect("there is a trace to carry");
    let mut sent = job("email", 0, None);
    sent.trace_context = Some(carrier.into());
    send.job(sent.id());
    send.end(None);
    caller.end(Outcome::Completed, None);
    tracer
        .process_span(&sent, SystemTime::now())
        .end(Outcome::Completed, None);

    let spans = delivered(&tracer, &collector).await;
    let [send, caller, run] = spans.as_slice() else {
        panic!("three spans, not {spans:?}");
    };
    assert_eq!(send.name, "send email");
    assert_eq!(send.kind, SpanKind::Producer);
    assert_eq!(send.attributes["messaging.operation.type"], "send");
    assert_eq!(send.attributes["messaging.message.id"], sent.id().to_string());
    assert!(!send.attributes.contains_key("messaging.batch.message_count"));
    assert_eq!(send.parent_span_id, caller.span_id);
    assert_eq!(run.parent_span_id, send.span_id);
    assert_eq!(run.trace_id, caller.trace_id);
}

#[tokio::test]
async fn a_bulk_says_how_many() {
    let collector = Collector::start().await;
    let tracer = tracer(&collector);
    tracer
        .send_span("insert", Some("email"), 500, &Context::new())
        .end(None);
    let spans = delivered(&tracer, &collector).await;
    assert_eq!(spans[0].name, "insert email");
    assert_eq!(spans[0].attributes["messaging.batch.message_count"], 500);
}

#[tokio::test]
async fn a_producer_that_does_not_sample_is_followed() {
    let collector = Collector::start().await;
    let tracer = tracer(&collector);
    let quiet = tracer.process_span(&job("quiet", 0, Some(&traceparent("00"))), SystemTime::now());
    let flags = quiet.context().span().span_context().trace_flags();
    quiet.end(Outcome::Completed, None);
    tracer
        .process_span(&job("loud", 0, Some(&traceparent("01"))), SystemTime::now())
        .end(Outcome::Completed, None);

    let spans = delivered(&tracer, &collector).await;
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["process loud"]);
    assert!(!flags.is_sampled());
}

#[tokio::test]
async fn off_passes_the_producers_trace_through() {
    let tracer = Tracer::off().within("shop", "pgboss");
    let span = tracer.process_span(&job("email", 0, Some(&traceparent("01"))), SystemTime::now());
    let inside = propagation::inject(span.context()).expect("the producer's trace");
    assert_eq!(inside.get(), traceparent("01"));
    let nobody = std::iter::from_fn(|| panic!("the runs must not be looked at"));
    tracer.settle_span("complete", None, nobody).end(None);
    let send = tracer.send_span("send", Some("email"), 1, &Context::new());
    assert!(send.carrier().is_none());
    send.end(None);
    span.end(Outcome::Completed, None);
    tracer.shutdown().await;
}

#[tokio::test]
async fn a_collector_that_never_answers_blocks_nobody() {
    // The kernel takes the connection, and nobody ever reads from it.
    let deaf = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let endpoint = format!("http://{}", deaf.local_addr().expect("it is bound"));
    let tracer = Tracer::new(Some(&endpoint)).expect("the endpoint is a URL");
    let job = job("email", 0, Some(&traceparent("01")));

    // More than the exporter's queue holds, so that it is full long before the end.
    let began = Instant::now();
    for _ in 0..10_000 {
        tracer
            .process_span(&job, SystemTime::now())
            .end(Outcome::Completed, None);
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "10,000 spans took {took:?}");

    let began = Instant::now();
    tracer.shutdown().await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(9), "the end took {took:?}");
}
