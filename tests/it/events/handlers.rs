//! Section 4: handlers, and what stands around every run of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use strawboss::config::HandlerConfig;
use strawboss::events::layer::{Answer, Call, Position};
use strawboss::events::{Backoff, CircuitPolicy, Defaults, Event, HandlerOptions, PayloadSchema, Received};
use strawboss::handler::HandlerError;
use strawboss::job::Outcome;
use tokio_util::sync::CancellationToken;
use tower::util::MapRequestLayer;

use super::stage::{Diary, Emitted, Order, Stage};
use crate::support::pooler::Pooler;
use crate::support::sink::{Sink, reply};
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

#[tokio::test(flavor = "multi_thread")]
async fn an_http_handler_is_sent_the_app_s_event_object_and_headers_that_name_the_event() {
    needs_node!();
    let stage = Stage::new().await;
    let sink = Sink::start().await;
    sink.then(reply(503, "later"));
    let mut handlers = stage.handlers(defaults());
    let http = HandlerConfig::Http {
        url: sink.url("/api/events/inventory"),
        timeout: Duration::from_secs(30),
        secrets: vec!["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()],
        headers: [].into(),
        max_response_bytes: 1000,
    };
    let metrics = strawboss::Metrics::new();
    handlers
        .register_config(Order::NAME, named("posted"), &http, &metrics)
        .expect("registered");
    let crew = stage.worker(handlers).await;
    // What no lossy type survives, and the id of the outbox row stays ours.
    let deep = format!("{}{}{}", "[".repeat(200), "9".repeat(309), "]".repeat(200));
    let data = format!(
        r#"{{"deep": {deep}, "tiny": {}, "text": "123", "𝒳": "\\u00e9"}}"#,
        tiny()
    );
    let event = Emitted::with(json!(null));
    stage.deliver_text("posted", &event, &data, 3).await;
    let job = stage.job("posted", &event, "completed").await;
    assert_eq!(job["retry_count"], 1);
    let received = sink.received();
    assert_eq!(received.len(), 2);
    let metadata = stage.text_of("posted", &event, "metadata").await;
    let data = stage.text_of("posted", &event, "data").await;
    for request in &received {
        assert_eq!(request.target, "/api/events/inventory");
        assert_eq!(
            std::str::from_utf8(&request.body).expect("JSON"),
            format!("{{\"metadata\":{metadata},\"data\":{data}}}")
        );
        assert_eq!(request.header("event-id"), event.event_id.to_string());
        assert_eq!(request.header("event-name"), "payment:order.completed");
        assert_eq!(request.header("correlation-id"), "K%C3%B6ln%20%F0%9D%92%B3");
        assert_eq!(request.header("pgboss-queue"), "event.posted");
        assert!(request.header("webhook-signature").starts_with("v1,"));
    }
    assert!(
        data.contains(&deep) && data.contains(&tiny()) && data.contains("\"123\""),
        "{data}"
    );
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    assert_eq!(stage.logged("posted").await, [event.event_id.to_string()]);
    crew.stop().await;
}

/// `5e-324` as jsonb writes it.
fn tiny() -> String {
    format!("0.{}5", "0".repeat(323))
}

#[tokio::test(flavor = "multi_thread")]
async fn sequential_handlers_run_one_after_another_in_registration_order_and_others_beside_them() {
    needs_node!();
    let stage = Stage::new().await;
    let diary = Diary::default();
    let sequential = |handler_id: &str| HandlerOptions {
        sequential: true,
        ..named(handler_id)
    };
    let writes = |name: &'static str, fails: i32, takes: u64| {
        let diary = diary.clone();
        move |event: Received<Order>, _| {
            let diary = diary.clone();
            async move {
                diary.note(format!("{name} begins"));
                tokio::time::sleep(Duration::from_millis(takes)).await;
                if event.attempt.retry_count < fails {
                    return Err(HandlerError::retry("not yet"));
                }
                diary.note(format!("{name} ends"));
                Ok(())
            }
        }
    };
    // Of two workers: the order among them is that of the first registration.
    let mut one = stage.handlers(defaults());
    one.on(sequential("first"), writes("first", 1, 50))
        .and_then(|handlers| handlers.on(named("beside"), writes("beside", 0, 0)))
        .expect("registered");
    let mut two = stage.handlers(defaults());
    two.on(sequential("second"), writes("second", 0, 50))
        .and_then(|handlers| handlers.on(sequential("third"), writes("third", 0, 0)))
        .expect("registered");
    let one = stage.worker(one).await;
    let two = stage.worker(two).await;
    let event = Emitted::order("o-1");
    for handler in ["first", "second", "third", "beside"] {
        stage.deliver(handler, &event).await;
    }
    let last = stage.job("third", &event, "completed").await;
    assert_eq!(last["retry_count"], 0, "to wait uses up no attempt");
    let mut lines = diary.lines();
    let beside = lines.iter().position(|line| line == "beside begins").expect("it ran");
    let ended = lines.iter().position(|line| line == "first ends").expect("it ran");
    assert!(beside < ended, "{lines:?}");
    lines.retain(|line| !line.starts_with("beside"));
    let order = [
        "first begins",
        "first begins",
        "first ends",
        "second begins",
        "second ends",
        "third begins",
        "third ends",
    ];
    assert_eq!(lines, order);
    // One that failed for good holds up nobody, nor does one that is no longer subscribed.
    let event = Emitted::order("o-2");
    stage.deliver_with("first", &event, 0).await;
    stage.deliver("second", &event).await;
    stage.job("first", &event, "failed").await;
    stage.job("second", &event, "completed").await;
    one.stop().await;
    two.stop().await;
    let mut three = stage.handlers(defaults());
    three
        .on(sequential("third"), writes("third", 0, 0))
        .expect("registered");
    let event = Emitted::order("o-3");
    stage.deliver("first", &event).await;
    stage.deliver("third", &event).await;
    let three = stage.worker(three).await;
    let postponed = three
        .metrics
        .jobs_processed
        .with_label_values(&["event.third", "released"]);
    wait_for("the third to wait", async || postponed.get() > 0).await;
    stage
        .schema
        .execute("delete from {schema}.subscription where name = 'event.first'")
        .await;
    stage.job("third", &event, "completed").await;
    three.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_lost_with_its_connection_cuts_the_run_off_without_burning_a_retry() {
    needs_node!();
    let stage = Stage::new().await;
    let diary = Diary::default();
    let gate = CancellationToken::new();
    let mut handlers = stage.handlers(defaults());
    let (seen, open) = (diary.clone(), gate.clone());
    handlers
        .on(named("held"), move |_: Received<Order>, _| {
            seen.note("begins");
            let open = open.clone();
            async move {
                open.cancelled().await;
                Ok(())
            }
        })
        .expect("registered");
    let crew = stage.worker(handlers).await;
    let event = Emitted::order("o-1");
    stage.deliver("held", &event).await;
    diary.until(1).await;
    // Somebody who wants the lock, too, and is next in line for it.
    let lock = stage
        .schema
        .row(
            "select pid, (classid::bigint << 32 | objid::bigint)::text as lock from pg_locks
             where locktype = 'advisory' and granted
               and pid in (select pid from pg_stat_activity where query like '%{schema}_own\".event_processing_log%')",
        )
        .await;
    let rival = stage.schema.connect().await;
    let number = lock["lock"].as_str().expect("a number").to_owned();
    let waiting = tokio::spawn(async move {
        let taken = rival.batch_execute(&format!("select pg_advisory_lock({number})")).await;
        taken.expect("it is taken");
        rival
    });
    let waits = format!(
        "(select count(*) = 1 from pg_locks where locktype = 'advisory' and not granted and (classid::bigint << 32 | objid::bigint) = {})",
        lock["lock"].as_str().expect("a number")
    );
    stage.schema.until(&waits).await;
    stage
        .schema
        .row(&format!("select pg_terminate_backend({}) as ended", lock["pid"]))
        .await;
    let rival = waiting.await.expect("it waits");
    let runs = |outcome| {
        crew.metrics
            .event_handler_runs
            .with_label_values(&["held", outcome])
            .get()
    };
    wait_for("the run to be cut off", async || runs("postponed") >= 1).await;
    assert_eq!(diary.lines().len(), 1);
    // It comes again as soon as the key is free.
    drop(rival);
    diary.until(2).await;
    gate.cancel();
    let job = stage.job("held", &event, "completed").await;
    assert_eq!(job["retry_count"], 0);
    assert_eq!(stage.logged("held").await, [event.event_id.to_string()]);
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_pooler_that_lends_transactions_keys_are_held_all_the_same() {
    needs_node!();
    let stage = Stage::new().await;
    let pooler = Pooler::before(&stage.schema.url, 8).await;
    let diary = Diary::default();
    let gate = CancellationToken::new();
    let mut crews = Vec::new();
    for _ in 0..2 {
        let mut handlers = stage.handlers(defaults());
        let options = HandlerOptions {
            idempotency_key: Some("order-{{data.orderId}}".into()),
            ..named("pooled")
        };
        let (seen, open) = (diary.clone(), gate.clone());
        handlers
            .on(options, move |event: Received<Order>, _| {
                seen.note(event.payload.order_id);
                let open = open.clone();
                async move {
                    open.cancelled().await;
                    Ok(())
                }
            })
            .expect("registered");
        let mut config = stage.config(&handlers);
        config.database.url = pooler.url();
        for queue in config.queues.values_mut() {
            (queue.concurrency, queue.batch_size) = (1, 1);
        }
        crews.push(stage.worker_as(config, handlers).await);
    }
    let (one, two) = (Emitted::order("o-1"), Emitted::order("o-1"));
    stage.deliver("pooled", &one).await;
    stage.deliver("pooled", &two).await;
    diary.until(1).await;
    stage
        .schema
        .until("(select count(*) = 2 from {schema}.job where state = 'active')")
        .await;
    gate.cancel();
    for event in [&one, &two] {
        stage.job("pooled", event, "completed").await;
    }
    assert_eq!((diary.lines().len(), stage.logged("pooled").await.len()), (1, 1));
    // What was held is let go, in the session that held it.
    let held = "select count(*) from pg_locks where locktype = 'advisory'
        and pid in (select pid from pg_stat_activity where query like '%{schema}_own\".event_processing_log%')";
    assert_eq!(stage.schema.value(held).await, json!(0));
    assert_eq!(pooler.named_statements(), 0);
    for crew in crews {
        crew.stop().await;
    }
}
