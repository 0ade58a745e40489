//! Section 4: each of the built-in layers alone, around a service that is no handler of a worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use strawboss::events::layer::{
    Answer, Call, Circuit, CircuitLayer, IdempotencyLayer, TimeoutLayer, TraceLayer, ValidationLayer,
};
use strawboss::events::{CircuitPolicy, CircuitState, KeyKeeper, Keys, PayloadSchema};
use strawboss::handler::{HandlerError, Then};
use strawboss::observe::{Health, Metrics};
use strawboss::postgres::{Database, Settings};
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::stage::Stage;
use crate::support::{needs_node, wait_for};

fn call() -> Call {
    Call::example("order.completed", r#"{"orderId":"o-1"}"#)
}

/// A service that counts its calls and answers with that.
fn counting<F>(
    calls: &Arc<AtomicUsize>,
    answer: F,
) -> impl Service<Call, Response = Answer, Error = HandlerError, Future: Send> + Clone + Send + 'static
where
    F: Fn(usize) -> Result<Answer, HandlerError> + Clone + Send + 'static,
{
    let calls = Arc::clone(calls);
    service_fn(move |_: Call| std::future::ready(answer(calls.fetch_add(1, Ordering::SeqCst))))
}

#[tokio::test]
async fn tracing_counts_every_run_by_what_came_of_it() {
    let (metrics, calls) = (Metrics::new(), Arc::default());
    let service = TraceLayer::new("h", &metrics).layer(counting(&calls, |n| match n {
        0 => Ok(Answer::default()),
        1 => Err(HandlerError::retry("no")),
        2 => Err(HandlerError::retry("no").named("TimeoutError")),
        3 => Err(HandlerError::never_retry("no")),
        4 => Err(HandlerError::postpone("no", Duration::ZERO)),
        _ => Ok(Answer {
            skipped: true,
            ..Answer::default()
        }),
    }));
    for _ in 0..6 {
        let _ = service.clone().oneshot(call()).await;
    }
    // One that is dropped is counted, too.
    let hanging = TraceLayer::new("h", &metrics).layer(service_fn(|_: Call| std::future::pending()));
    let cut = tokio::time::timeout(Duration::from_millis(20), hanging.oneshot(call())).await;
    assert!(cut.is_err());
    for outcome in [
        "completed",
        "failed",
        "timed_out",
        "rejected",
        "postponed",
        "skipped",
        "cancelled",
    ] {
        let runs = metrics.event_handler_runs.with_label_values(&["h", outcome]).get();
        assert_eq!(runs, 1, "{outcome}");
    }
    assert_eq!(
        metrics
            .event_handler_duration
            .with_label_values(&["h"])
            .get_sample_count(),
        7
    );
}

#[tokio::test]
async fn validation_lets_through_what_satisfies_the_schema_and_nothing_else() {
    let calls = Arc::default();
    let schema = PayloadSchema::new(&json!({ "required": ["orderId"] })).expect("a schema");
    let service = ValidationLayer::new(Arc::new(schema)).layer(counting(&calls, |_| Ok(Answer::default())));
    service.clone().oneshot(call()).await.expect("it satisfies it");
    let error = service
        .oneshot(Call::example("order.completed", "{}"))
        .await
        .expect_err("it does not");
    assert_eq!((error.name.as_str(), error.then), ("ValidationError", Then::DeadLetter));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_circuit_opens_postpones_and_closes_by_a_probe() {
    let (metrics, calls) = (Metrics::new(), Arc::default());
    let policy = CircuitPolicy {
        threshold: 2,
        recovery: Duration::from_millis(300),
        ..CircuitPolicy::default()
    };
    let circuit = Circuit::new("h", policy, &metrics);
    let service = CircuitLayer::new(circuit.clone()).layer(counting(&calls, |n| {
        if n < 2 {
            Err(HandlerError::retry("down"))
        } else {
            Ok(Answer::default())
        }
    }));
    for _ in 0..2 {
        assert_eq!(circuit.paused(), None);
        let error = service.clone().oneshot(call()).await.expect_err("down");
        assert_eq!(error.then, Then::Retry);
    }
    assert_eq!(circuit.state(), CircuitState::Open);
    assert!(circuit.paused().is_some_and(|why| why.contains("is open for another")));
    let error = service.clone().oneshot(call()).await.expect_err("open");
    assert!(
        matches!(error.then, Then::Postpone(wait) if wait <= Duration::from_millis(300)),
        "{error:?}"
    );
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    wait_for("the circuit to be half-open", async || {
        circuit.state() == CircuitState::HalfOpen
    })
    .await;
    service.oneshot(call()).await.expect("it works again");
    assert_eq!(circuit.state(), CircuitState::Closed);
}

#[tokio::test]
async fn a_timeout_gives_the_handler_less_time_and_then_none() {
    let told = CancellationToken::new();
    let ear = told.clone();
    let service = TimeoutLayer::new(Duration::from_millis(50)).layer(service_fn(move |call: Call| {
        assert!(call.context.remaining() <= Duration::from_millis(50));
        let (ear, cancelled) = (ear.clone(), call.context.cancelled);
        tokio::spawn(async move {
            cancelled.cancelled().await;
            ear.cancel();
        });
        std::future::pending::<Result<Answer, HandlerError>>()
    }));
    let outer = call();
    let of_attempt = outer.context.cancelled.clone();
    let error = service.oneshot(outer).await.expect_err("it hangs");
    assert_eq!(error.message, "the handler was cut off after its timeout of 50ms");
    told.cancelled().await;
    assert!(!of_attempt.is_cancelled(), "the attempt goes on to its verdict");
}

/// A keeper as a process of its own has one.
fn keeper(stage: &Stage, log: &Arc<str>) -> (Keys, DropGuard) {
    let settings = Settings::parse(&stage.schema.url).expect("a URL").with_pool_size(1);
    let database = Database::new(&settings).expect("a pool");
    let (keeper, keys) = KeyKeeper::new(database, log);
    let over = CancellationToken::new();
    let pulse = Health::new().register("event keys", Duration::from_secs(60));
    tokio::spawn(keeper.run(pulse, over.clone()));
    (keys, over.drop_guard())
}

#[tokio::test(flavor = "multi_thread")]
async fn idempotency_holds_a_key_until_its_answer_is_written_and_skips_what_is_in_the_log() {
    needs_node!();
    let stage = Stage::new().await;
    let log: Arc<str> = format!("{}.event_processing_log", stage.app).into();
    let (here, _one) = keeper(&stage, &log);
    let (there, _two) = keeper(&stage, &log);
    let (metrics, calls) = (Metrics::new(), Arc::default());
    let service = |keys: &Keys| {
        let template = "order-{{data.orderId}}".parse().expect("a template");
        let layer = IdempotencyLayer::new("h", Some(template), Arc::clone(&log), keys.clone(), &metrics);
        layer.layer(counting(&calls, |_| Ok(Answer::default())))
    };
    let first = service(&here).oneshot(call()).await.expect("nobody has it");
    let logged = first.logged.expect("a row to be written");
    assert_eq!((&*logged.handler, logged.key.as_str()), ("h", "order-o-1"));
    // As long as the answer is not written, nobody gets the key, in the same process or in another.
    let waiting = [&here, &there].map(|keys| service(keys).oneshot(call()));
    for answer in futures_util::future::join_all(waiting).await {
        let error = answer.expect_err("it is held");
        assert!(matches!(error.then, Then::Postpone(_)), "{error:?}");
    }
    let write = format!("insert into {log} (event_id, handler_name, idempotency_key) values ($1, 'h', 'order-o-1')");
    let written = stage.schema.client().execute(&write, &[&logged.event]).await;
    assert_eq!(written.expect("it is written"), 1);
    drop(logged);
    for keys in [&here, &there] {
        let again = service(keys).oneshot(call()).await.expect("it is known");
        assert!(again.skipped && again.logged.is_none());
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(metrics.event_duplicates_skipped.with_label_values(&["h"]).get(), 2);
    // A hundred at once, each with a key of its own, and one of them twice.
    let many = (0..100).map(|n| {
        let order = format!(r#"{{"orderId":"many-{}"}}"#, n % 99);
        service(&there).oneshot(Call::example("order.completed", &order))
    });
    let answers = futures_util::future::join_all(many).await;
    let entered = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(entered, 99);
    drop(answers);
    // Without a log nothing runs, and nothing is lost.
    stage.schema.execute(&format!("drop table {log}")).await;
    let error = service(&here)
        .oneshot(Call::example("order.completed", r#"{"orderId":"o-2"}"#))
        .await
        .expect_err("there is no log");
    assert!(matches!(error.then, Then::Postpone(_)), "{error:?}");
    assert!(error.message.contains("cannot be read"), "{error:?}");
}
