//! Section 4: handlers, and what stands around every run of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use strawboss::events::layer::{Answer, Call, Position};
use strawboss::events::{Backoff, CircuitPolicy, Defaults, HandlerOptions, PayloadSchema, Received};
use strawboss::handler::HandlerError;
use strawboss::job::Outcome;
use tokio_util::sync::CancellationToken;
use tower::util::MapRequestLayer;

use super::stage::{Diary, Emitted, Order, Stage};
use crate::support::{needs_node, wait_for};

/// Options of a handler of that name.
fn named(handler_id: &str) -> HandlerOptions {
    HandlerOptions {
        handler_id: Some(handler_id.to_owned()),
        ..HandlerOptions::of("inventory")
    }
}

/// A retry after 300 ms, then 600, without jitter.
fn backoff() -> Backoff {
    Backoff {
        first: Duration::from_millis(300),
        exponential: true,
        jitter: false,
    }
}

fn defaults() -> Defaults {
    Defaults {
        backoff: backoff(),
        ..Defaults::default()
    }
}

/// At most so late, on a busy machine.
const LATE: Duration = Duration::from_millis(1500);

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_fails_is_retried_alone_with_the_backoff_asked_for() {
    needs_node!();
    let stage = Stage::new().await;
    let (sibling, failing) = (Diary::default(), Diary::default());
    let mut handlers = stage.handlers(defaults());
    let diary = sibling.clone();
    handlers
        .on(named("sibling"), move |event: Received<Order>, _| {
            diary.note(event.payload.order_id);
            std::future::ready(Ok(()))
        })
        .expect("registered");
    let diary = failing.clone();
    handlers
        .on(named("failing"), move |event: Received<Order>, _| {
            diary.note(event.payload.order_id);
            let fails = event.attempt.retry_count < 2;
            std::future::ready(if fails {
                Err(HandlerError::retry("not yet"))
            } else {
                Ok("at last")
            })
        })
        .expect("registered");
    let crew = stage.worker(handlers).await;
    let event = Emitted::order("o-1");
    stage.deliver("sibling", &event).await;
    stage.deliver("failing", &event).await;
    let job = stage.job("failing", &event, "completed").await;
    assert_eq!(
        (&job["retry_count"], &job["output"]),
        (&json!(2), &json!({ "value": "at last" }))
    );
    for (pause, asked) in failing.pauses().into_iter().zip([300, 600]) {
        let asked = Duration::from_millis(asked);
        assert!(pause >= asked && pause < asked + LATE, "{:?}", failing.pauses());
    }
    assert_eq!(sibling.lines(), ["o-1"]);
    // One row each, written with the completion.
    for handler in ["sibling", "failing"] {
        assert_eq!(stage.logged(handler).await, [event.event_id.to_string()]);
    }
    let runs = |outcome| {
        crew.metrics
            .event_handler_runs
            .with_label_values(&["failing", outcome])
            .get()
    };
    assert_eq!((runs("failed"), runs("completed")), (2, 1));
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_breaks_its_schema_is_dead_at_once_and_the_reason_names_pointer_and_rule() {
    needs_node!();
    let stage = Stage::new().await;
    let diary = Diary::default();
    let mut handlers = stage.handlers(defaults());
    let schema = PayloadSchema::new(&json!({
        "required": ["orderId"],
        "properties": { "items": { "items": { "properties": { "price": { "minimum": 0 } } } } }
    }))
    .expect("a schema");
    let options = HandlerOptions {
        schema: Some(Arc::new(schema)),
        ..named("strict")
    };
    let seen = diary.clone();
    handlers
        .on(options, move |event: Received<Order>, _| {
            seen.note(event.payload.order_id);
            std::future::ready(Ok(()))
        })
        .expect("registered");
    let crew = stage.worker(handlers).await;
    let broken = Emitted::with(json!({ "orderId": "o-1", "items": [{ "price": 1 }, { "price": -4711 }] }));
    let fine = Emitted::with(json!({ "orderId": "o-2", "items": [{ "price": 1 }] }));
    stage.deliver("strict", &broken).await;
    stage.deliver("strict", &fine).await;
    stage.job("strict", &fine, "completed").await;
    let job = stage.job("strict", &broken, "failed").await;
    assert_eq!(job["retry_count"], 0);
    assert_eq!(job["output"]["name"], "ValidationError");
    let message = job["output"]["message"].as_str().expect("a message");
    assert!(
        message.contains(r#"at "/items/1/price" the rule `minimum`"#),
        "{message}"
    );
    assert!(!message.contains("4711"), "{message}");
    assert_eq!(diary.lines(), ["o-2"]);
    assert_eq!(stage.logged("strict").await, [fine.event_id.to_string()]);
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_in_the_log_is_completed_as_skipped_and_a_long_one_is_hashed() {
    needs_node!();
    let stage = Stage::new().await;
    let diary = Diary::default();
    let mut handlers = stage.handlers(defaults());
    let options = HandlerOptions {
        idempotency_key: Some("order-{{data.orderId}}".into()),
        ..named("once")
    };
    let seen = diary.clone();
    handlers
        .on(options, move |event: Received<Order>, _| {
            seen.note(event.payload.order_id.chars().take(3).collect::<String>());
            std::future::ready(Ok(()))
        })
        .expect("registered");
    let crew = stage.worker(handlers).await;
    let long = "ö".repeat(600);
    for order in ["o-1", &long] {
        let (first, second) = (Emitted::order(order), Emitted::order(order));
        stage.deliver("once", &first).await;
        stage.job("once", &first, "completed").await;
        stage.deliver("once", &second).await;
        let job = stage.job("once", &second, "completed").await;
        assert_eq!(job["output"]["skipped"], "duplicate", "{job}");
    }
    assert_eq!(diary.lines(), ["o-1", "ööö"]);
    let logged = stage.logged("once").await;
    assert_eq!(logged[0], "order-o-1");
    assert!(logged[1].starts_with("sha256:") && logged.len() == 2, "{logged:?}");
    let skipped = crew.metrics.event_duplicates_skipped.with_label_values(&["once"]);
    assert_eq!(skipped.get(), 2);
    // Without the field there is no telling it from others, and no retry brings it.
    let keyless = Emitted::with(json!({ "orderId": "" }));
    stage.deliver("once", &keyless).await;
    let job = stage.job("once", &keyless, "failed").await;
    assert_eq!(job["output"]["name"], "IdempotencyKeyError");
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_circuit_burns_no_retry_and_one_probe_closes_it() {
    needs_node!();
    let stage = Stage::new().await;
    let circuit = CircuitPolicy {
        threshold: 2,
        window: Duration::from_secs(60),
        recovery: Duration::from_millis(1500),
    };
    let mut handlers = stage.handlers(Defaults {
        backoff: Backoff {
            first: Duration::from_millis(50),
            exponential: false,
            jitter: false,
        },
        circuit,
        ..Defaults::default()
    });
    let diary = Diary::default();
    let broken = Arc::new(AtomicUsize::new(3));
    let (seen, left) = (diary.clone(), Arc::clone(&broken));
    handlers
        .on(named("fragile"), move |event: Received<Order>, _| {
            seen.note(event.payload.order_id);
            let fails = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            std::future::ready(fails.map_or(Ok(()), |_| Err(HandlerError::retry("down"))))
        })
        .expect("registered");
    let crew = stage.worker(handlers).await;
    let state = || crew.metrics.event_circuit_state.with_label_values(&["fragile"]).get();
    assert_eq!(state(), 0);
    let first = Emitted::order("first");
    stage.deliver_with("fragile", &first, 9).await;
    wait_for("the circuit to open", async || state() == 2).await;
    assert_eq!(diary.lines().len(), 2);
    let others: Vec<_> = (0..20).map(|n| Emitted::order(&format!("o-{n}"))).collect();
    for event in &others {
        stage.deliver_with("fragile", event, 0).await;
    }
    // The first probe fails and opens it for as long again; nothing else runs until the second has closed it.
    wait_for("the first probe", async || diary.lines().len() == 3).await;
    assert!(diary.pauses()[1] >= Duration::from_millis(1500), "{:?}", diary.pauses());
    wait_for("the circuit to close", async || state() == 0).await;
    assert!(diary.pauses()[2] >= Duration::from_millis(1500), "{:?}", diary.pauses());
    for event in others.iter().chain([&first]) {
        let job = stage.job("fragile", event, "completed").await;
        if event.outbox_id != first.outbox_id {
            assert_eq!(job["retry_count"], 0);
        }
    }
    // Two failures, the probe that failed, and one success for each.
    assert_eq!(diary.lines().len(), 3 + 21);
    let turned = |to| {
        crew.metrics
            .event_circuit_transitions
            .with_label_values(&["fragile", to])
            .get()
    };
    assert_eq!((turned("open"), turned("half_open"), turned("closed")), (2, 2, 1));
    let failed =
        crew.processed("event.fragile", Outcome::Failed) + crew.processed("event.fragile", Outcome::DeadLettered);
    assert_eq!(failed, 0);
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_times_out_is_cancelled_for_real_and_the_reason_says_after_how_long() {
    needs_node!();
    let stage = Stage::new().await;
    let mut handlers = stage.handlers(defaults());
    let (dropped, told) = (CancellationToken::new(), CancellationToken::new());
    let options = HandlerOptions {
        timeout: Some(Duration::from_millis(250)),
        ..named("slow")
    };
    let (guard, ear) = (dropped.clone(), told.clone());
    handlers
        .on(options, move |_: Received<Order>, context| {
            let (guard, ear) = (guard.clone().drop_guard(), ear.clone());
            // What a handler has begun elsewhere hears of it, too.
            tokio::spawn(async move {
                context.cancelled.cancelled().await;
                ear.cancel();
            });
            async move {
                let _guard = guard;
                std::future::pending::<Result<(), HandlerError>>().await
            }
        })
        .expect("registered");
    let crew = stage.worker(handlers).await;
    let event = Emitted::order("o-1");
    stage.deliver_with("slow", &event, 0).await;
    let job = stage.job("slow", &event, "failed").await;
    assert_eq!(job["output"]["name"], "TimeoutError");
    assert_eq!(
        job["output"]["message"],
        "the handler was cut off after its timeout of 250ms"
    );
    dropped.cancelled().await;
    told.cancelled().await;
    let runs = crew
        .metrics
        .event_handler_runs
        .with_label_values(&["slow", "timed_out"]);
    assert_eq!(runs.get(), 1);
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_of_ones_own_stand_where_they_were_put_and_a_panic_is_a_failure() {
    needs_node!();
    let stage = Stage::new().await;
    let diary = Diary::default();
    let mut handlers = stage.handlers(Defaults {
        backoff: Backoff {
            first: Duration::from_millis(10),
            ..backoff()
        },
        ..Defaults::default()
    });
    let schema = PayloadSchema::new(&json!({ "properties": { "orderId": { "maxLength": 5 } } })).expect("a schema");
    let mut options = HandlerOptions {
        schema: Some(Arc::new(schema)),
        ..named("layered")
    };
    for (position, name) in [
        (Position::Innermost, "innermost"),
        (Position::Outermost, "outermost"),
        (Position::BeforeCircuit, "before circuit"),
        (Position::BeforeIdempotency, "before idempotency"),
        (Position::BeforeTimeout, "before timeout"),
        (Position::BeforeValidation, "before validation"),
        (Position::BeforeValidation, "before validation, too"),
    ] {
        let diary = diary.clone();
        options = options.layer(
            position,
            MapRequestLayer::new(move |call: Call| {
                diary.note(name);
                call
            }),
        );
    }
    let seen = diary.clone();
    handlers
        .on(options, move |event: Received<Order>, _| {
            seen.note("handler");
            assert!(event.attempt.retry_count > 0, "the first attempt panics");
            std::future::ready(Ok::<_, HandlerError>(Answer::default().skipped))
        })
        .expect("registered");
    let crew = stage.worker(handlers).await;
    let event = Emitted::order("o-1");
    stage.deliver("layered", &event).await;
    let job = stage.job("layered", &event, "completed").await;
    assert_eq!(job["retry_count"], 1);
    let all = [
        "outermost",
        "before validation",
        "before validation, too",
        "before idempotency",
        "before circuit",
        "before timeout",
        "innermost",
        "handler",
    ];
    assert_eq!(diary.lines(), [all, all].concat());
    // A duplicate comes as far as idempotency, a broken payload as far as validation.
    let again = Emitted {
        outbox_id: uuid::Uuid::new_v4(),
        ..event
    };
    stage.deliver("layered", &again).await;
    stage.job("layered", &again, "completed").await;
    assert_eq!(diary.lines()[16..], all[..4]);
    let broken = Emitted::order("too long");
    stage.deliver("layered", &broken).await;
    stage.job("layered", &broken, "failed").await;
    assert_eq!(diary.lines()[20..], all[..3]);
    crew.stop().await;
}
