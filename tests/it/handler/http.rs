//! Endpoints: what they are sent, and what each of their answers comes to.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use serde_json::json;
use strawboss::config::HandlerConfig;
use strawboss::handler::{Handler, HandlerError, SetupError, Then, from_config};
use strawboss::job::RawJson;
use strawboss::observe::{Metrics, propagation};
use tokio_util::sync::CancellationToken;

use super::{LONG, context, http, job, made, raw, refused, run, text, value};
use crate::support::sink::{Reply, Sink, reply, status};

type Ran = Result<Option<RawJson>, HandlerError>;

/// Runs a job against an endpoint that answers this.
async fn answered(answer: Reply) -> Ran {
    let sink = Sink::start().await;
    sink.then(answer);
    run(&made(&http(&sink.url("/jobs")))).await
}

fn then(ran: Ran) -> Then {
    ran.expect_err("a failure").then
}

/// A handler, and the count of its requests of a class.
fn counted(url: &str) -> (Arc<dyn Handler>, impl Fn(&str) -> u64 + use<>) {
    let metrics = Metrics::new();
    let handler = from_config(&http(url), &"mail/out".into(), &metrics).expect("a good configuration");
    let count = move |class: &str| metrics.http_push_requests.with_label_values(&["mail/out", class]).get();
    (handler, count)
}

#[tokio::test]
async fn the_request_is_as_the_contract_says() {
    let data = r#"{"z":1.00,"big":123456789012345678901234567890,"text":"é\u0041"}"#;
    let sink = Sink::start().await;
    let mut config = http(&sink.url("/api/jobs/mail?of=us"));
    if let HandlerConfig::Http { secrets, headers, .. } = &mut config {
        secrets.push("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into());
        headers.insert("Authorization".into(), "Bearer token".into());
    }
    let before = chrono::Utc::now().timestamp();
    let ran = made(&config).run(Arc::new(job(data)), context(LONG)).await;
    assert_eq!(text(ran.expect("done")), None);

    let received = sink.only();
    assert_eq!(received.method, "POST");
    assert_eq!(received.target, "/api/jobs/mail?of=us");
    assert_eq!(received.body, data);
    for (name, expected) in [
        ("content-type", "application/json"),
        ("user-agent", concat!("strawboss/", env!("CARGO_PKG_VERSION"))),
        ("authorization", "Bearer token"),
        ("webhook-id", "7b0c4a34-6b1c-4f51-9b8e-0a3d5f3c2e11"),
        ("idempotency-key", "7b0c4a34-6b1c-4f51-9b8e-0a3d5f3c2e11"),
        ("pgboss-queue", "mail/out"),
        ("pgboss-retry-count", "1"),
        ("pgboss-retry-limit", "4"),
        ("pgboss-created-on", "2026-01-02T03:04:05.678Z"),
        ("pgboss-deadline", "2026-01-02T03:20:00.000Z"),
    ] {
        assert_eq!(received.header(name), expected, "{name}");
    }
    let timestamp: i64 = received.header("webhook-timestamp").parse().expect("seconds");
    assert!((before..=chrono::Utc::now().timestamp()).contains(&timestamp));
    assert!(received.header("webhook-signature").starts_with("v1,"));
    assert!(!received.headers.contains_key("traceparent"));
}

#[tokio::test]
async fn without_secrets_and_data_there_is_no_signature_and_null_is_sent() {
    let sink = Sink::start().await;
    let mut job = job("{}");
    job.data = None;
    job.queue = "påske 100%".into();
    let ran = made(&http(&sink.url("/"))).run(Arc::new(job), context(LONG)).await;
    ran.expect("done");
    let received = sink.only();
    assert_eq!(received.body, "null");
    assert!(!received.headers.contains_key("webhook-signature"));
    assert_eq!(received.header("pgboss-queue"), "p%C3%A5ske 100%25");
}

#[tokio::test]
async fn credentials_in_the_url_are_sent_and_never_told() {
    let sink = Sink::start().await;
    sink.then(reply(500, ""));
    let url = format!("http://user:s3cret@{}/jobs?token=t0ken", sink.address);
    let error = run(&made(&http(&url))).await.expect_err("a failure");
    assert_eq!(sink.only().header("authorization"), "Basic dXNlcjpzM2NyZXQ=");
    let shown = format!("{error:?}");
    assert!(!shown.contains("s3cret") && !shown.contains("t0ken"), "{shown}");

    let refused = made(&http(&url.replace(&sink.address.port().to_string(), "1")));
    let shown = format!("{:?}", run(&refused).await.expect_err("nobody listens"));
    assert!(!shown.contains("s3cret") && !shown.contains("t0ken"), "{shown}");
}

#[tokio::test]
async fn the_attempts_own_trace_goes_along() {
    let sink = Sink::start().await;
    let span = SpanContext::new(
        TraceId::from_hex("0af7651916cd43dd8448eb211c80319c").expect("an id"),
        SpanId::from_hex("b7ad6b7169203331").expect("an id"),
        TraceFlags::SAMPLED,
        false,
        TraceState::from_key_value([("vendor", "x")]).expect("a state"),
    );
    let mut context = context(LONG);
    context.trace = context.trace.with_remote_span_context(span);
    let ran = made(&http(&sink.url("/"))).run(Arc::new(job("{}")), context).await;
    ran.expect("done");
    let received = sink.only();
    assert_eq!(
        received.header("traceparent"),
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    );
    assert_eq!(received.header("tracestate"), "vendor=x");
}

#[tokio::test]
async fn the_producers_trace_goes_through_unless_it_is_broken() {
    let sink = Sink::start().await;
    let handler = made(&http(&sink.url("/")));
    for carrier in [
        r#"{"traceparent":"00-11111111111111111111111111111111-2222222222222222-01","tracestate":"a=b"}"#,
        r#"{"traceparent":"00-1\r\nx-evil: 1","tracestate":"a=b"}"#,
        r#"[1]"#,
    ] {
        let mut context = context(LONG);
        context.trace = propagation::extract(Some(&raw(carrier)));
        handler.run(Arc::new(job("{}")), context).await.expect("done");
    }
    let received = sink.received();
    assert_eq!(
        received[0].header("traceparent"),
        "00-11111111111111111111111111111111-2222222222222222-01"
    );
    assert_eq!(received[0].header("tracestate"), "a=b");
    for received in &received[1..] {
        assert!(!received.headers.contains_key("traceparent"));
        assert!(!received.headers.contains_key("tracestate"));
    }
}

#[tokio::test]
async fn a_json_body_of_a_success_is_the_output_and_any_other_is_none() {
    for (code, body, expected) in [
        (200, r#"{"b":1.0,"a":[2]}"#, Some(r#"{"b":1.0,"a":[2]}"#)),
        (201, " [1] \n", Some("[1]")),
        (202, "\"text\"", Some("\"text\"")),
        (200, "null", None),
        (200, "", None),
        (200, "OK", None),
        (200, "<p>fine</p>", None),
        (299, "{", None),
        (204, "", None),
    ] {
        let output = answered(reply(code, body)).await.expect("done");
        assert_eq!(text(output).as_deref(), expected, "{code} {body:?}");
    }
}

#[tokio::test]
async fn a_success_beyond_the_cap_is_a_success_without_its_body() {
    let most = format!("\"{}\"", "x".repeat(1022));
    assert_eq!(
        text(answered(reply(200, most.clone())).await.expect("done")),
        Some(most)
    );
    let more = format!("\"{}\"", "x".repeat(1023));
    assert_eq!(
        value(answered(reply(200, more)).await.expect("done")),
        json!({ "outputDropped": "the answer was larger than 1024 bytes" })
    );
}

#[tokio::test]
async fn failures_say_what_was_answered() {
    let answer = status(503)
        .body("{\"message\":\"no stock\"}".into())
        .expect("a response");
    let sink = Sink::start().await;
    sink.then(Reply::Whole(answer));
    let (handler, count) = counted(&sink.url("/jobs?token=t0ken"));
    let error = run(&handler).await.expect_err("a failure");
    assert_eq!(error.name, "HttpError");
    assert_eq!(
        error.message,
        format!("http://{}/jobs answered 503 Service Unavailable", sink.address)
    );
    assert_eq!(error.then, Then::Retry);
    assert_eq!(
        serde_json::Value::Object(error.detail),
        json!({ "status": 503, "body": "{\"message\":\"no stock\"}" })
    );
    assert_eq!(count("5xx"), 1);
}

#[tokio::test]
async fn the_body_of_a_failure_is_kept_up_to_a_cap() {
    let error = answered(reply(500, "é".repeat(1_000_000)))
        .await
        .expect_err("a failure");
    let body = error.detail["body"].as_str().expect("text");
    assert_eq!(body, "é".repeat(1024));
}

#[tokio::test]
async fn a_failure_whose_body_never_ends_is_still_that_failure() {
    let sink = Sink::start().await;
    let (handler, count) = counted(&sink.url("/"));
    // With ample time left, and with less than the body would be waited for.
    for left in [LONG, Duration::from_millis(800)] {
        sink.then(Reply::Stalled {
            status: 422,
            start: "because",
        });
        let ran = handler.run(Arc::new(job("{}")), context(left)).await;
        let error = ran.expect_err("a failure");
        assert_eq!(error.then, Then::DeadLetter);
        assert_eq!(error.detail["body"], "because");
    }
    assert_eq!((count("4xx"), count("timeout")), (2, 0));
}

#[tokio::test]
async fn every_class_of_failure_has_its_consequence() {
    for code in [408, 425, 429, 500, 502, 503, 504] {
        assert_eq!(then(answered(reply(code, "")).await), Then::Retry, "{code}");
    }
    for code in [400, 401, 403, 404, 409, 422] {
        assert_eq!(then(answered(reply(code, "")).await), Then::DeadLetter, "{code}");
    }
    for code in [200, 302, 408, 500] {
        let answer = status(code).header("pgboss-no-retry", "true");
        let answer = Reply::Whole(answer.body("".into()).expect("a response"));
        assert_eq!(then(answered(answer).await), Then::DeadLetter, "{code}");
    }
}

#[tokio::test]
async fn retry_after_is_a_floor_in_both_forms() {
    let asked = async |code, wait: String| {
        let answer = status(code).header("retry-after", wait);
        then(answered(Reply::Whole(answer.body("".into()).expect("a response"))).await)
    };
    assert_eq!(
        asked(429, "7".into()).await,
        Then::RetryNoSooner(Duration::from_secs(7))
    );
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(90));
    match asked(503, date).await {
        Then::RetryNoSooner(floor) => assert!((80..=90).contains(&floor.as_secs()), "{floor:?}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(asked(500, "7".into()).await, Then::Retry);
}

#[tokio::test]
async fn redirects_are_failures_and_never_followed() {
    let elsewhere = Sink::start().await;
    for code in [301, 302, 303, 307, 308] {
        let sink = Sink::start().await;
        let answer = status(code).header("location", elsewhere.url("/"));
        sink.then(Reply::Whole(answer.body("".into()).expect("a response")));
        let (handler, count) = counted(&sink.url("/"));
        assert_eq!(then(run(&handler).await), Then::Retry, "{code}");
        assert_eq!(count("3xx"), 1);
    }
    assert!(elsewhere.received().is_empty());
}

#[tokio::test]
async fn gone_dead_letters_and_pauses() {
    let sink = Sink::start().await;
    sink.then(reply(410, "moved away"));
    let (handler, count) = counted(&sink.url("/jobs"));
    assert_eq!(handler.paused(), None);
    let error = run(&handler).await.expect_err("a failure");
    assert_eq!(error.then, Then::DeadLetter);
    assert_eq!(error.detail["body"], "moved away");
    let reason = format!("http://{}/jobs answered 410 Gone", sink.address);
    assert_eq!(handler.paused(), Some(reason.clone()));
    // A job that was claimed before is still asked about; the pause stays whatever it comes to.
    assert_eq!(text(run(&handler).await.expect("an empty 200")), None);
    assert_eq!(handler.paused(), Some(reason));
    assert_eq!((count("4xx"), count("2xx")), (1, 1));
}

#[tokio::test]
async fn nobody_listening_is_a_network_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let (handler, count) = counted(&format!("http://{address}/jobs"));
    let error = run(&handler).await.expect_err("a failure");
    assert_eq!((error.name.as_str(), error.then), ("NetworkError", Then::Retry));
    assert!(error.message.contains("refused"), "{}", error.message);
    assert_eq!(count("error"), 1);
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_a_network_error() {
    let sink = Sink::start().await;
    sink.then(Reply::Broken {
        status: 200,
        start: "{\"a\":",
    });
    let (handler, count) = counted(&sink.url("/"));
    let error = run(&handler).await.expect_err("a failure");
    assert_eq!((error.name.as_str(), error.then), ("NetworkError", Then::Retry));
    assert_eq!((count("error"), count("2xx")), (1, 0));
}

#[tokio::test]
async fn a_connection_that_is_not_made_is_given_up_after_five_seconds() {
    // A queue of one that nobody empties: whoever comes later is left waiting.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let listener = socket.listen(1).expect("it listens");
    let address = listener.local_addr().expect("an address");
    let mut waiting = Vec::new();
    while let Ok(connected) =
        tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(address)).await
    {
        waiting.push(connected.expect("it is accepted by the system"));
    }
    let (handler, count) = counted(&format!("http://{address}/"));
    let began = Instant::now();
    let error = run(&handler).await.expect_err("a failure");
    assert!((4..40).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert_eq!((error.name.as_str(), error.then), ("TimeoutError", Then::Retry));
    assert!(error.message.contains("connected to within 5s"), "{}", error.message);
    assert_eq!(count("timeout"), 1);
}

#[tokio::test]
async fn the_handlers_timeout_and_the_jobs_expiry_both_end_a_request() {
    let sink = Sink::start().await;
    let short = Duration::from_millis(100);
    let mut config = http(&sink.url("/"));
    if let HandlerConfig::Http { timeout, .. } = &mut config {
        *timeout = short;
    }
    let attempts = [(made(&config), LONG), (made(&http(&sink.url("/"))), short)];
    for (handler, left) in attempts {
        let hung_up = CancellationToken::new();
        sink.then(Reply::Never(hung_up.clone()));
        let ran = handler.run(Arc::new(job("{}")), context(left)).await;
        let error = ran.expect_err("a failure");
        assert_eq!((error.name.as_str(), error.then), ("TimeoutError", Then::Retry));
        assert_eq!(
            error.message.contains("left of the job's expiry"),
            left == short,
            "{error}"
        );
        hung_up.cancelled().await;
    }
}

#[tokio::test]
async fn a_success_whose_body_never_ends_times_out() {
    let sink = Sink::start().await;
    sink.then(Reply::Stalled {
        status: 200,
        start: "{}",
    });
    let (handler, count) = counted(&sink.url("/"));
    let ran = handler
        .run(Arc::new(job("{}")), context(Duration::from_millis(200)))
        .await;
    assert_eq!(ran.expect_err("a failure").name, "TimeoutError");
    assert_eq!((count("timeout"), count("2xx")), (1, 0));
}

#[tokio::test]
async fn without_time_left_nothing_is_sent() {
    let sink = Sink::start().await;
    let ran = made(&http(&sink.url("/")))
        .run(Arc::new(job("{}")), context(Duration::ZERO))
        .await;
    assert_eq!(ran.expect_err("a failure").name, "TimeoutError");
    assert!(sink.received().is_empty());
}

#[tokio::test]
async fn cancelling_and_dropping_both_hang_up() {
    let sink = Sink::start().await;
    let (handler, count) = counted(&sink.url("/"));
    for (number, dropped) in [(1, false), (2, true)] {
        let hung_up = CancellationToken::new();
        sink.then(Reply::Never(hung_up.clone()));
        let context = context(LONG);
        let cancelled = context.cancelled.clone();
        let run = tokio::spawn(handler.run(Arc::new(job("{}")), context));
        sink.until(number).await;
        if dropped {
            run.abort();
        } else {
            cancelled.cancel();
            let error = run.await.expect("no panic").expect_err("a failure");
            assert_eq!((error.name.as_str(), error.then), ("AbortError", Then::Retry));
        }
        hung_up.cancelled().await;
        assert_eq!(count("cancelled"), number as u64);
    }
}

#[tokio::test]
async fn connections_are_used_again() {
    let sink = Sink::start().await;
    let handler = made(&http(&sink.url("/")));
    for _ in 0..3 {
        run(&handler).await.expect("done");
    }
    let received = sink.received();
    assert_eq!(received.len(), 3);
    assert!(received.iter().all(|each| each.from == received[0].from));
}

#[test]
fn bad_configurations_are_refused_without_repeating_secrets() {
    let mut config = http("http://app/");
    if let HandlerConfig::Http { secrets, .. } = &mut config {
        *secrets = vec!["whsec_aGVsbG8=".into(), "whsec_not base64!".into()];
    }
    let error = refused(&config).to_string();
    assert_eq!(error, "secret 2 is not base64 after its prefix `whsec_`");
    assert!(matches!(refused(&http("app:3000/jobs")), SetupError::Scheme(_)));
}
