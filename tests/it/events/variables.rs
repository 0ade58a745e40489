//! Section 6: what the variables `EVENT_*` do to handlers.

use std::future::ready;
use std::time::Duration;

use serde_json::json;
use strawboss::config::{Request, read};
use strawboss::events::{HandlerOptions, Handlers, Received};
use strawboss::handler::HandlerError;

use super::stage::{Diary, Emitted, Order, Stage};
use crate::support::{needs_node, wait_for};

/// No handlers yet, with the defaults that these variables make.
fn configured(stage: &Stage, variables: &[(&str, &str)]) -> Handlers {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("strawboss.toml");
    std::fs::write(&file, "[events]\n").expect("written");
    let environment = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let report = read(&Request {
        file: Some(&file),
        database_url: Some("postgres://localhost/app"),
        environment: &environment,
        ..Request::process()
    });
    let config = report.into_config().expect("it is in order");
    config.events.handlers().in_schema(&stage.app)
}

fn failing() -> HandlerOptions {
    HandlerOptions {
        handler_id: Some("failing".into()),
        ..HandlerOptions::of("inventory")
    }
}

/// What so many deliveries wait that fail in their second attempt, in seconds, the time between claim and verdict included.
async fn waits(variables: &[(&str, &str)], count: usize) -> Vec<f64> {
    let stage = Stage::new().await;
    stage.schema.queue("event.failing", json!({})).await;
    for n in 0..count {
        stage.deliver("failing", &Emitted::order(&n.to_string())).await;
    }
    // As if their first attempt had failed.
    let failed = "update {schema}.job set state = 'retry', started_on = now() - interval '1 minute'";
    stage.schema.execute(failed).await;
    let mut handlers = configured(&stage, variables);
    handlers
        .on(failing(), |_: Received<Order>, _| {
            ready(Err::<(), _>(HandlerError::retry("no")))
        })
        .expect("registered");
    let crew = stage.worker(handlers).await;
    stage
        .schema
        .until(&format!(
            "(select count(*) = {count} from {{schema}}.job where state = 'retry' and retry_count = 1)"
        ))
        .await;
    crew.stop().await;
    let waits = "select extract(epoch from start_after - started_on)::float8 as wait from {schema}.job";
    let rows = stage.schema.rows(waits).await;
    rows.iter().map(|row| row["wait"].as_f64().expect("a number")).collect()
}

/// No jitter: what is more than asked for is the time a busy machine took.
fn assert_all(waits: &[f64], asked: f64) {
    assert!(
        waits.iter().all(|wait| (asked..asked + 8.0).contains(wait)),
        "{waits:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn backoff_exponential_and_jitter_say_when_a_delivery_is_tried_again() {
    needs_node!();
    const NEVER_OPEN: (&str, &str) = ("EVENT_CIRCUIT_BREAKER_THRESHOLD", "0");
    let backoff = ("EVENT_DEFAULT_BACKOFF_MS", "20000");
    let (constant, even) = (
        ("EVENT_EXPONENTIAL_BACKOFF", "false"),
        ("EVENT_BACKOFF_JITTER", "false"),
    );
    assert_all(&waits(&[NEVER_OPEN, backoff, even], 3).await, 40.0);
    assert_all(&waits(&[NEVER_OPEN, backoff, constant, even], 3).await, 20.0);
    let spread = waits(&[NEVER_OPEN, backoff, constant], 40).await;
    assert!(spread.iter().all(|wait| *wait >= 18.0), "{spread:?}");
    assert!(spread.iter().any(|wait| *wait < 19.9), "{spread:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timeout_cuts_a_handler_off() {
    needs_node!();
    let stage = Stage::new().await;
    let mut handlers = configured(&stage, &[("EVENT_DEFAULT_TIMEOUT", "150")]);
    handlers
        .on(failing(), |_: Received<Order>, _| {
            std::future::pending::<Result<(), HandlerError>>()
        })
        .expect("registered");
    let crew = stage.worker(handlers).await;
    let event = Emitted::order("o-1");
    stage.deliver_with("failing", &event, 0).await;
    let job = stage.job("failing", &event, "failed").await;
    assert_eq!(
        job["output"]["message"],
        "the handler was cut off after its timeout of 150ms"
    );
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn threshold_window_and_recovery_govern_the_circuit() {
    needs_node!();
    let stage = Stage::new().await;
    let backoff = ("EVENT_DEFAULT_BACKOFF_MS", "30");
    let threshold = ("EVENT_CIRCUIT_BREAKER_THRESHOLD", "2");
    let recovery = ("EVENT_CIRCUIT_BREAKER_RECOVERY_TIMEOUT", "900");
    // Two failures open it, where five would by default; and it probes after 900 ms, where it would after 30 s.
    let diary = Diary::default();
    let seen = diary.clone();
    let mut handlers = configured(&stage, &[backoff, threshold, recovery]);
    handlers
        .on(failing(), move |event: Received<Order>, _| {
            seen.note("run");
            let fails = event.attempt.retry_count < 2;
            ready(if fails { Err(HandlerError::retry("no")) } else { Ok(()) })
        })
        .expect("registered");
    let crew = stage.worker(handlers).await;
    let opened = crew
        .metrics
        .event_circuit_transitions
        .with_label_values(&["failing", "open"]);
    let event = Emitted::order("o-1");
    stage.deliver_with("failing", &event, 9).await;
    wait_for("the circuit to open", async || opened.get() == 1).await;
    assert_eq!(diary.lines().len(), 2);
    stage.job("failing", &event, "completed").await;
    assert!(diary.pauses()[1] >= Duration::from_millis(900), "{:?}", diary.pauses());
    crew.stop().await;

    // Failures that are further apart than the window are no two.
    let window = ("EVENT_CIRCUIT_BREAKER_TIME_WINDOW", "1");
    let mut handlers = configured(&stage, &[backoff, threshold, window]);
    handlers
        .on(failing(), |_: Received<Order>, _| {
            ready(Err::<(), _>(HandlerError::retry("no")))
        })
        .expect("registered");
    let crew = stage.worker(handlers).await;
    let event = Emitted::order("o-2");
    stage.deliver_with("failing", &event, 3).await;
    stage.job("failing", &event, "failed").await;
    let opened = crew
        .metrics
        .event_circuit_transitions
        .with_label_values(&["failing", "open"]);
    assert_eq!(opened.get(), 0);
    crew.stop().await;
}
