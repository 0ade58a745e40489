//! Everybody side by side: an HTTP endpoint, a Rust function and a Node worker handle what the app writes; what one of them cannot
//! handle becomes its dead letter, and is replayed to it alone.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strawboss::config::{EventHandlerConfig, EventsConfig, HandlerConfig};
use strawboss::events::{Consumer, HandlerOptions, LetterFilter, Received, letters, replay, subscriptions};
use strawboss::{Context, HandlerError};

use super::ground::Ground;
use super::stage::Order;
use crate::support::sink::{Sink, reply};
use crate::support::{Boss, Release, needs_node, wait_for};

const EVENT: &str = "payment:order.completed";

/// When the Rust handler was run, by order.
type Runs = Arc<Mutex<Vec<(String, Instant)>>>;

fn of(runs: &Runs, order: &str) -> Vec<Instant> {
    let runs = runs.lock().expect("nobody panics with it");
    runs.iter().filter(|(id, _)| id == order).map(|(_, at)| *at).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn http_rust_and_node_handle_every_event_and_only_who_failed_is_run_again() {
    needs_node!();
    let ground = Ground::new().await;
    let sink = Sink::start().await;
    let boss = Boss::start(Release::NEWEST, &ground.schema.url, &ground.schema.name, json!({})).await;
    boss.eval(
        "await boss.createQueue('mail', { retryLimit: 5 }); await boss.subscribe(args[0], 'mail')",
        json!([EVENT]),
    )
    .await
    .expect("subscribed");
    // Node fails its first two attempts at "o-node", and "o-lost" for good.
    let run = "globalThis.tries ??= {}
        for (const { data } of jobs) {
          const { orderId } = data.data
          tries[orderId] = (tries[orderId] ?? 0) + 1
          if (orderId === 'o-lost') throw new Error(`lost for the ${tries[orderId]}. time`)
          if (orderId === 'o-node' && tries[orderId] <= 2) throw new Error('not yet')
        }";
    boss.work("mail", json!({ "pollingIntervalSeconds": 0.5 }), json!({ "run": run }))
        .await;

    let runs = Runs::default();
    let mut handlers = ground.events().handlers();
    let (seen, mended) = (Arc::clone(&runs), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let is_mended = Arc::clone(&mended);
    let options = HandlerOptions {
        backoff: Some(Duration::from_millis(300)),
        exponential: Some(true),
        jitter: Some(false),
        ..HandlerOptions::of("inventory")
    };
    handlers
        .on(options, move |event: Received<Order>, _: Context| {
            let (seen, order) = (Arc::clone(&seen), event.payload.order_id);
            let mended = is_mended.load(std::sync::atomic::Ordering::Relaxed);
            async move {
                let mut seen = seen.lock().expect("nobody panics with it");
                seen.push((order.clone(), Instant::now()));
                let tries = seen.iter().filter(|(id, _)| *id == order).count();
                match order.as_str() {
                    "o-twice" if tries <= 2 => Err(HandlerError::retry("not yet")),
                    "o-bad" if !mended => Err(HandlerError::never_retry("that can never be")),
                    _ => Ok(()),
                }
            }
        })
        .expect("registered");
    let configured = EventHandlerConfig {
        event: EVENT.into(),
        module: "billing".into(),
        handler_id: None,
        idempotency_key: None,
        timeout: Duration::from_secs(5),
        sequential: false,
        max_attempts: Some(2),
        backoff: Duration::from_millis(100),
        exponential: true,
        jitter: true,
        schema: None,
        handler: HandlerConfig::Http {
            url: sink.url("/events"),
            timeout: Duration::from_secs(5),
            secrets: vec![],
            headers: Default::default(),
            max_response_bytes: 1024,
        },
    };
    let crew = ground.worker(
        EventsConfig {
            handlers: vec![configured],
            ..ground.events()
        },
        handlers,
    );
    ground
        .until(&format!(
            "(select count(*) = 3 from {{schema}}.subscription where event = '{EVENT}')"
        ))
        .await;
    let mut rows = std::collections::BTreeMap::new();
    for order in ["o-fine", "o-twice", "o-node", "o-bad", "o-lost"] {
        sink.then(reply(200, "{}"));
        let row = ground.emit(EVENT, &format!("{{\"orderId\": \"{order}\"}}")).await;
        rows.insert(order, row);
    }
    ground.until("(select count(*) = 2 from {app}.event_dead_letter)").await;
    ground
        .until("not exists (select from {schema}.job where state < 'completed' and name not like '\\_\\_pgboss%')")
        .await;

    // The endpoint has had every event once, as the app wrote it.
    let asked = sink.received();
    assert_eq!(asked.len(), 5);
    for request in &asked {
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        assert_eq!(
            request.header("event-id"),
            body["metadata"]["eventId"].as_str().expect("an id")
        );
        assert_eq!(request.header("event-name"), EVENT);
        assert_eq!(body.as_object().expect("an object").len(), 2, "{body}");
    }
    // Who failed twice was tried again alone, after the waits that were asked for.
    assert_eq!(of(&runs, "o-fine").len(), 1);
    let twice = of(&runs, "o-twice");
    assert_eq!(twice.len(), 3);
    for (pair, wait) in twice.windows(2).zip([300, 600]) {
        let waited = pair[1] - pair[0];
        assert!(
            waited >= Duration::from_millis(wait - 5),
            "{waited:?} instead of {wait} ms"
        );
    }
    assert_eq!(of(&runs, "o-node").len(), 1);
    assert_eq!(ground.row(rows["o-node"]).await["status"], "completed");

    // One dead letter each, with the last error, from the one handler that failed.
    let found = letters(&ground.client().await, &ground.place, &LetterFilter::default(), 10)
        .await
        .expect("listed");
    assert_eq!(found.len(), 2);
    for (order, handler, reason, retries) in [
        ("o-bad", "inventory-payment:order.completed", "that can never be", 0),
        ("o-lost", "mail", "lost for the 4. time", 3),
    ] {
        let letter = found
            .iter()
            .find(|letter| letter.original_event_id == rows[order])
            .expect(order);
        assert_eq!(letter.handler.as_deref(), Some(handler));
        assert_eq!((letter.reason.as_deref(), letter.retry_count), (Some(reason), retries));
        let row = ground.row(rows[order]).await;
        assert_eq!(
            (&row["status"], &row["error_message"]),
            (&json!("failed"), &json!(reason))
        );
        let counted = crew.metrics.event_dead_letters.with_label_values(&[handler]).get();
        assert_eq!(counted, 1, "{handler}");
    }

    // Replayed, it goes to that handler and to no other, and the row is whole again.
    mended.store(true, std::sync::atomic::Ordering::Relaxed);
    let bad = found
        .iter()
        .find(|letter| letter.original_event_id == rows["o-bad"])
        .expect("found above");
    let done = replay(&ground.client().await, &ground.place, &[bad.id])
        .await
        .expect("replayed");
    assert_eq!(done.len(), 1);
    wait_for("the replayed event", async || of(&runs, "o-bad").len() == 2).await;
    assert_eq!(sink.received().len(), 5);
    let row = ground.row(rows["o-bad"]).await;
    assert_eq!(
        (&row["status"], &row["error_message"]),
        (&json!("completed"), &json!(null))
    );
    assert_eq!(ground.dead_letters().await.len(), 1);
    assert!(
        replay(&ground.client().await, &ground.place, &[bad.id])
            .await
            .expect("asked")
            .is_empty()
    );

    // What fails again comes back, once.
    let lost = found
        .iter()
        .find(|letter| letter.original_event_id == rows["o-lost"])
        .expect("found above");
    replay(&ground.client().await, &ground.place, &[lost.id])
        .await
        .expect("replayed");
    ground
        .until("exists (select from {app}.event_dead_letter where failure_reason = 'lost for the 8. time')")
        .await;
    assert_eq!(ground.dead_letters().await.len(), 1);
    assert_eq!(ground.row(rows["o-lost"]).await["status"], "failed");

    let known = async || {
        let found = subscriptions(&ground.client().await, &ground.place)
            .await
            .expect("listed");
        found
            .into_iter()
            .map(|one| (one.queue, one.consumer))
            .collect::<Vec<_>>()
    };
    let mut running = known().await;
    wait_for("the worker to say what it serves", async || {
        running = known().await;
        running
            .iter()
            .filter(|(_, consumer)| *consumer == Consumer::Running)
            .count()
            == 2
    })
    .await;
    assert!(running.contains(&("mail".to_owned(), Consumer::Unknown)));
    crew.stop().await;
    // A handler whose worker is gone for long has nobody.
    ground
        .execute("update {app}.event_served set seen = now() - interval '1 hour'")
        .await;
    let gone = known().await;
    assert_eq!(
        gone.iter()
            .filter(|(_, consumer)| *consumer == Consumer::Missing)
            .count(),
        2
    );
    boss.stop().await;
}
