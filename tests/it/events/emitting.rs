//! Section 5 of the contract: emit and query.

use std::time::{Duration, Instant};

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use strawboss::config::EventsConfig;
use strawboss::events::{
    EmitError, EmitOptions, Emitter, Event, HandlerOptions, LetterFilter, QueryError, Received, RelayTerms, bury,
    letters, replay, subscribe, subscriptions, unsubscribe,
};
use strawboss::observe::Metrics;
use strawboss::{Context, HandlerError};

use super::ground::Ground;
use crate::support::{Boss, Release, needs_node, wait_for};

const EVENT: &str = "payment:order.completed";

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Completed {
    order_id: String,
}

impl Event for Completed {
    const NAME: &'static str = EVENT;
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).expect("JSON")
}

fn emitter(ground: &Ground, config: EventsConfig) -> Emitter {
    Emitter::new(ground.place.clone(), &config)
}

#[tokio::test]
async fn emit_writes_history_and_outbox_in_the_caller_s_transaction() {
    let ground = Ground::new().await;
    let emit = emitter(&ground, ground.events());
    let mut client = ground.client().await;
    let order = Completed { order_id: "o-1".into() };
    let options = EmitOptions {
        correlation_id: Some("Köln 𝒳 ".repeat(200)),
        ..EmitOptions::default()
    };
    let transaction = client.transaction().await.expect("begun");
    emit.emit_event(&transaction, &order, "payment", &options)
        .await
        .expect("emitted");
    transaction.rollback().await.expect("undone");
    assert_eq!(ground.value("select count(*) from {app}.event_outbox").await, json!(0));
    assert_eq!(ground.value("select count(*) from {app}.event_history").await, json!(0));

    let transaction = client.transaction().await.expect("begun");
    let emitted = emit
        .emit_event(&transaction, &order, "payment", &options)
        .await
        .expect("emitted");
    transaction.commit().await.expect("done");
    let row = ground.row(emitted.outbox_id).await;
    assert_eq!(
        (
            &row["event_name"],
            &row["status"],
            &row["max_retries"],
            &row["event_data"]
        ),
        (
            &json!(EVENT),
            &json!("pending"),
            &json!(3),
            &json!({ "orderId": "o-1" })
        )
    );
    let metadata = &row["metadata"];
    assert_eq!(metadata["eventId"], json!(emitted.event_id));
    assert_eq!(metadata["correlationId"], json!(options.correlation_id));
    assert_eq!(
        (&metadata["eventName"], &metadata["sourceModule"], &metadata["version"]),
        (&json!(EVENT), &json!("payment"), &json!("v1"))
    );
    let time = metadata["timestamp"].as_str().expect("a time");
    assert!(
        time.len() == 24 && time.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(time).is_ok(),
        "{time}"
    );
    let history = ground.rows("select * from {app}.event_history").await;
    assert_eq!(history.len(), 1);
    assert_eq!(
        (&history[0]["event_id"], &history[0]["metadata"]),
        (&json!(emitted.event_id), metadata)
    );

    // EVENT_HISTORY_ENABLED=false and EVENT_DEFAULT_MAX_RETRIES.
    let quiet = emitter(
        &ground,
        EventsConfig {
            history: false,
            max_retries: 9,
            ..ground.events()
        },
    );
    let emitted = quiet
        .emit_event(&client, &order, "payment", &EmitOptions::default())
        .await
        .expect("emitted");
    assert_eq!(ground.value("select count(*) from {app}.event_history").await, json!(1));
    let row = ground.row(emitted.outbox_id).await;
    assert_eq!(row["max_retries"], 9);
    assert!(
        row["metadata"]["correlationId"]
            .as_str()
            .is_some_and(|id| id.len() == 36)
    );
}

#[tokio::test]
async fn what_cannot_be_emitted_is_refused_before_the_transaction_is_lost_to_it() {
    let ground = Ground::new().await;
    let emit = emitter(
        &ground,
        EventsConfig {
            max_payload_size: 10,
            ..ground.events()
        },
    );
    let mut client = ground.client().await;
    let transaction = client.transaction().await.expect("begun");
    let attempt = async |name: &str, payload: &str| {
        let payload = raw(payload);
        emit.emit(&transaction, name, &payload, "test", &EmitOptions::default())
            .await
    };
    // Bytes and not characters: nine of the one are eighteen of the other.
    attempt(EVENT, "\"12345678\"").await.expect("ten bytes");
    let refused = attempt(EVENT, "\"äöüäö\"").await.expect_err("twelve bytes");
    assert!(
        matches!(refused, EmitError::TooLarge { size: 12, limit: 10 }),
        "{refused}"
    );
    assert!(matches!(attempt("", "1").await, Err(EmitError::Name(0))));
    assert!(matches!(
        attempt(&"é".repeat(256), "1").await,
        Err(EmitError::Name(256))
    ));
    attempt(&"é".repeat(255), "1").await.expect("255 characters");
    let refused = attempt(EVENT, r#""\u0000""#).await.expect_err("PostgreSQL refuses it");
    assert!(refused.to_string().contains("u0000"), "{refused}");
    attempt(EVENT, r#""\\u0000""#)
        .await
        .expect("a backslash and four digits");
    transaction.commit().await.expect("the transaction lives");
    assert_eq!(ground.value("select count(*) from {app}.event_outbox").await, json!(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_immediate_event_is_delivered_by_its_own_transaction_and_never_again() {
    let ground = Ground::new().await;
    ground.subscriber(EVENT, "stock", json!({})).await;
    let emit = emitter(
        &ground,
        EventsConfig {
            immediate: true,
            ..ground.events()
        },
    );
    let client = ground.client().await;
    let payload = raw("{\"n\": 1}");
    let emitted = emit
        .emit(&client, EVENT, &payload, "test", &EmitOptions::default())
        .await
        .expect("emitted");
    assert_eq!(emitted.queues, 1);
    assert_eq!(ground.row(emitted.outbox_id).await["status"], "completed");
    let jobs = "select count(*) from {schema}.job where name = 'stock'";
    assert_eq!(ground.value(jobs).await, json!(1));
    // Even where its row is relayed all the same.
    ground.execute("update {app}.event_outbox set status = 'pending'").await;
    let mut relaying = ground.client().await;
    let terms = RelayTerms::from(&ground.events());
    terms.relay(&mut relaying, &ground.place, 10).await.expect("relayed");
    assert_eq!(ground.value(jobs).await, json!(1));

    let bypass = EmitOptions {
        bypass_outbox: true,
        ..EmitOptions::default()
    };
    let emitted = emit
        .emit(&client, EVENT, &payload, "test", &bypass)
        .await
        .expect("emitted");
    assert_eq!(emitted.queues, 1);
    assert_eq!(ground.value(jobs).await, json!(2));
    assert_eq!(ground.value("select count(*) from {app}.event_outbox").await, json!(1));
    assert_eq!(ground.value("select count(*) from {app}.event_history").await, json!(2));
}

/// A worker that answers `price:quote` with the double, and refuses negative numbers.
async fn answering(ground: &Ground) -> crate::support::crew::Crew {
    let mut handlers = ground.events().handlers();
    #[derive(serde::Deserialize)]
    struct Quote {
        n: i64,
    }
    impl Event for Quote {
        const NAME: &'static str = "price:quote";
    }
    handlers
        .on(
            HandlerOptions::of("prices"),
            |quote: Received<Quote>, _: Context| async move {
                let n = quote.payload.n;
                if n == 0 {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                }
                if n < 0 {
                    return Err(HandlerError::retry("no negative prices"));
                }
                Ok(json!({ "data": { "double": n * 2 } }))
            },
        )
        .expect("registered");
    let crew = ground.worker(ground.events(), handlers);
    ground
        .until("exists (select from {schema}.subscription where event = 'price:quote')")
        .await;
    wait_for("LISTEN", async || crew.metrics.listen_connected.get() == 1).await;
    crew
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_answered_by_a_rust_handler_or_times_out_and_is_taken_back() {
    let ground = Ground::new().await;
    let emit = emitter(&ground, ground.events());
    let metrics = Metrics::new();
    let ask = async |event: &str, payload: &str, timeout: Duration| {
        let payload = raw(payload);
        emit.query_measured(&ground.database, event, &payload, "test", timeout, &metrics)
            .await
    };
    let long = Duration::from_secs(20);
    assert!(matches!(
        ask("price:quote", "1", long).await,
        Err(QueryError::NoSubscriber(_))
    ));
    let crew = answering(&ground).await;
    let mut fastest = long;
    for n in 1..=10 {
        let began = Instant::now();
        let reply = ask("price:quote", &format!("{{\"n\": {n}}}"), long)
            .await
            .expect("a reply");
        fastest = fastest.min(began.elapsed());
        let data: Value = serde_json::from_str(reply.data.expect("data").get()).expect("JSON");
        assert_eq!((data, reply.error), (json!({ "double": n * 2 }), None));
    }
    assert!(fastest < Duration::from_millis(250), "{fastest:?}");
    let reply = ask("price:quote", "{\"n\": -1}", long).await.expect("a reply");
    assert_eq!(reply.error.as_deref(), Some("no negative prices"));
    // It failed once and for all.
    assert_eq!(
        ground
            .value("select count(*) from {schema}.job where state = 'failed' and retry_limit = 0")
            .await,
        json!(1)
    );

    let late = ask("price:quote", "{\"n\": 0}", Duration::from_millis(300)).await;
    assert!(matches!(late, Err(QueryError::Timeout { .. })), "{late:?}");
    ground
        .until("(select count(*) = 1 from {schema}.job where state = 'cancelled')")
        .await;
    crew.stop().await;

    // Nobody is there: it is taken back before anybody could run it.
    let late = ask("price:quote", "{\"n\": 5}", Duration::from_millis(50)).await;
    assert!(matches!(late, Err(QueryError::Timeout { .. })), "{late:?}");
    assert_eq!(
        ground
            .value("select count(*) from {schema}.job where state = 'cancelled'")
            .await,
        json!(2)
    );
    ground.subscriber("price:quote", "second", json!({})).await;
    let several = ask("price:quote", "{\"n\": 5}", long).await.expect_err("two");
    assert!(several.to_string().contains("second"), "{several}");
    let text = metrics.render().expect("written");
    for outcome in ["replied", "failed", "timeout", "refused"] {
        assert!(
            text.contains(&format!(
                "event_query_duration_seconds_count{{event=\"price:quote\",outcome=\"{outcome}\"}}"
            )),
            "{outcome}"
        );
    }
    assert_eq!(ground.dead_letters().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_cross_to_node_and_from_node() {
    needs_node!();
    let ground = Ground::new().await;
    let emit = emitter(&ground, ground.events());
    let boss = Boss::start(Release::NEWEST, &ground.schema.url, &ground.schema.name, json!({})).await;
    // Rust asks Node, which knows pg-boss alone.
    boss.eval(
        "await boss.createQueue('stock.level'); await boss.subscribe('stock:level', 'stock.level')",
        json!([]),
    )
    .await
    .expect("subscribed");
    let run = "const [{ data }] = jobs; if (!data.data.sku) throw new Error('no sku'); return { data: { sku: data.data.sku, level: 7 } }";
    boss.work(
        "stock.level",
        json!({ "pollingIntervalSeconds": 0.5 }),
        json!({ "run": run }),
    )
    .await;
    let long = Duration::from_secs(20);
    let payload = to_raw_value(&json!({ "sku": "a-1" })).expect("JSON");
    let reply = emit
        .query(&ground.database, "stock:level", &payload, "test", long)
        .await
        .expect("a reply");
    assert_eq!(reply.data.expect("data").get(), r#"{"sku": "a-1", "level": 7}"#);
    let reply = emit
        .query(&ground.database, "stock:level", &raw("{}"), "test", long)
        .await
        .expect("a reply");
    assert_eq!(reply.error.as_deref(), Some("no sku"));

    // Node asks Rust, by the snippet of docs/events.md.
    let crew = answering(&ground).await;
    let docs = include_str!("../../../docs/events.md");
    let (_, snippet) = docs.split_once("```js\nasync function query").expect("the snippet");
    let (snippet, _) = snippet.split_once("```").expect("its end");
    let body = format!(
        "const {{ randomUUID }} = require('node:crypto')\nasync function query{snippet}\n
         return query(boss, 'price:quote', 'event.prices-price_quote', args[0], 10_000)"
    );
    let queue = strawboss::events::queue_of("prices-price:quote").to_string();
    let body = body.replace("event.prices-price_quote", &queue).replace(
        "const { randomUUID } = require('node:crypto')",
        "const { randomUUID } = await import('node:crypto')",
    );
    let reply = boss.eval(&body, json!([{ "n": 21 }])).await.expect("a reply");
    assert_eq!(reply, json!({ "data": { "double": 42 }, "error": null }));
    let reply = boss.eval(&body, json!([{ "n": -1 }])).await.expect("a reply");
    assert_eq!(reply["error"], "no negative prices");
    crew.stop().await;
    boss.stop().await;
}

#[tokio::test]
async fn emitting_asking_and_replaying_work_on_every_schema() {
    needs_node!();
    for release in Release::ALL {
        let ground = Ground::on(release).await;
        let emit = emitter(
            &ground,
            EventsConfig {
                immediate: true,
                ..ground.events()
            },
        );
        let client = ground.client().await;
        let queue = "stock".into();
        let created = subscribe(&client, &ground.place, EVENT, &queue)
            .await
            .expect("subscribed");
        let again = subscribe(&client, &ground.place, EVENT, &queue)
            .await
            .expect("subscribed");
        assert!(created && !again, "{release}");
        let payload = raw("{\"n\": 1}");
        let emitted = emit
            .emit(&client, EVENT, &payload, "test", &EmitOptions::default())
            .await
            .expect("emitted");
        assert_eq!(emitted.queues, 1, "{release}");

        // It fails for good, is buried, and is replayed as another delivery to the same queue.
        let fail = "with f as (update {schema}.job set state = 'failed', output = '{\"message\": \"no\"}' where name = 'stock' and state = 'created' returning data)
            insert into {schema}.job (name, data, output) select 'event-dead-letters', data, '{\"message\": \"no\"}' from f";
        ground.execute(fail).await;
        assert_eq!(
            bury(&client, &ground.place).await.expect("buried").len(),
            1,
            "{release}"
        );
        let found = letters(&client, &ground.place, &LetterFilter::default(), 10)
            .await
            .expect("listed");
        assert_eq!(found.len(), 1);
        let done = replay(&client, &ground.place, &[found[0].id]).await.expect("replayed");
        assert_eq!(done, [(found[0].id, Some("stock".to_owned()))], "{release}");
        assert_eq!(ground.row(emitted.outbox_id).await["status"], "completed");
        let waiting =
            "select count(*) from {schema}.job where name = 'stock' and state = 'created' and data ? 'replayOf'";
        assert_eq!(ground.value(waiting).await, json!(1), "{release}");
        ground.execute(fail).await;
        assert_eq!(
            bury(&client, &ground.place).await.expect("buried").len(),
            1,
            "{release}"
        );
        assert_eq!(ground.dead_letters().await.len(), 1, "{release}");
        assert_eq!(ground.row(emitted.outbox_id).await["status"], "failed");

        let short = Duration::from_millis(20);
        let late = emit.query(&ground.database, EVENT, &payload, "test", short).await;
        assert!(matches!(late, Err(QueryError::Timeout { .. })), "{release}: {late:?}");
        let taken =
            "select count(*) from {schema}.job where name = 'stock' and state = 'cancelled' and retry_limit = 0";
        assert_eq!(ground.value(taken).await, json!(1), "{release}");
        let listed = subscriptions(&client, &ground.place).await.expect("listed");
        assert_eq!((listed.len(), listed[0].waiting), (1, 0), "{release}");
        let ended = unsubscribe(&client, &ground.place, None, "stock").await.expect("ended");
        assert_eq!(ended, [EVENT]);
    }
}
