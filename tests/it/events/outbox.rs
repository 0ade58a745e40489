//! Section 3 of the contract: the relay.

use serde_json::json;
use strawboss::config::{EventsConfig, Stuck, Unhandled};
use strawboss::events::{RelayTerms, bury};
use uuid::Uuid;

use super::ground::Ground;
use crate::support::crew::Crew;
use crate::support::{Release, needs_node, wait_for};

const EVENT: &str = "payment:order.completed";

/// What a delivery of the row to the queue is called.
fn delivery(row: Uuid, queue: &str) -> String {
    format!("md5('{row}' || '{queue}')::uuid")
}

#[tokio::test]
async fn a_row_becomes_one_delivery_per_subscription_on_every_schema() {
    needs_node!();
    for release in Release::ALL {
        let ground = Ground::on(release).await;
        ground.subscriber(EVENT, "stock", json!({ "retryLimit": 7 })).await;
        ground.subscriber(EVENT, "mail", json!({})).await;
        ground.subscriber("another", "mail", json!({})).await;
        let row = ground.emit(EVENT, r#"{"orderId": "o-1"}"#).await;
        let terms = RelayTerms::from(&ground.events());
        let mut client = ground.client().await;
        let relayed = terms.relay(&mut client, &ground.place, 10).await.expect("relayed");
        assert_eq!((relayed[0].rows, relayed[0].queues), (1, 2), "{release}");
        assert_eq!(ground.row(row).await["status"], "completed");
        for queue in ["stock", "mail"] {
            let job = ground
                .schema
                .row(&format!(
                    "select data, retry_limit, dead_letter, state, keep_until > now() + interval '1 day' as kept
                     from {{schema}}.job where name = '{queue}' and id = {}",
                    delivery(row, queue)
                ))
                .await;
            assert_eq!(job["data"]["data"], json!({ "orderId": "o-1" }), "{release}");
            assert_eq!(job["data"]["outboxId"], json!(row));
            assert_eq!(job["data"]["metadata"]["correlationId"], "Zusammenhang 𝒳");
            assert_eq!(
                (&job["retry_limit"], &job["state"], &job["kept"]),
                (&json!(3), &json!("created"), &json!(true))
            );
            assert_eq!(job["dead_letter"], "event-dead-letters");
        }
        // A row that is relayed twice is delivered once.
        ground.execute("update {app}.event_outbox set status = 'pending'").await;
        terms.relay(&mut client, &ground.place, 10).await.expect("relayed");
        assert_eq!(
            ground.value("select count(*) from {schema}.job").await,
            json!(2),
            "{release}"
        );

        // The real pg-boss fails one for good, and it is buried.
        let boss = crate::support::Boss::start(release, &ground.schema.url, &ground.schema.name, json!({})).await;
        ground.execute("update {schema}.job set retry_limit = 0").await;
        for _ in 0..2 {
            let fetched = boss.call("fetch", json!(["stock"])).await.expect("fetched");
            if let Some(id) = fetched[0]["id"].as_str() {
                let error = json!({ "message": "no such article", "name": "Error" });
                boss.call("fail", json!(["stock", id, error])).await.expect("failed");
            }
        }
        let buried = bury(&client, &ground.place).await.expect("buried");
        assert_eq!(buried.len(), 1, "{release}");
        assert!(bury(&client, &ground.place).await.expect("asked").is_empty());
        let letters = ground.dead_letters().await;
        assert_eq!(letters.len(), 1, "{release}");
        let letter = &letters[0];
        assert_eq!(letter["failure_reason"], "no such article", "{release}");
        assert_eq!(letter["original_event_id"], json!(row));
        assert_eq!(letter["event_data"], json!({ "orderId": "o-1" }));
        assert_eq!(letter["metadata"]["deadLetter"]["handler"], "stock");
        assert_eq!(letter["metadata"]["eventName"], EVENT);
        let failed = ground.row(row).await;
        assert_eq!(
            (&failed["status"], &failed["error_message"]),
            (&json!("failed"), &json!("no such article"))
        );
        boss.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_relays_lose_nothing_and_double_nothing() {
    let ground = Ground::new().await;
    ground.subscriber(EVENT, "stock", json!({})).await;
    ground.subscriber(EVENT, "mail", json!({ "policy": "short" })).await;
    ground.emit_many(EVENT, 2_000).await;
    let relays: Vec<_> = (0..3)
        .map(|_| {
            ground.relay(EventsConfig {
                batch_size: 100,
                polling_interval: std::time::Duration::from_secs(60),
                ..ground.events()
            })
        })
        .collect();
    // Full batches follow each other at once: nobody waits for the minute.
    ground
        .until("not exists (select from {app}.event_outbox where status <> 'completed')")
        .await;
    for queue in ["stock", "mail"] {
        let jobs = ground
            .rows(&format!(
                "select count(*) as jobs, count(distinct data->>'outboxId') as rows, count(distinct data->'data'->>'n') as payloads
                 from {{schema}}.job where name = '{queue}'"
            ))
            .await;
        assert_eq!(
            jobs[0],
            json!({ "jobs": 2000, "rows": 2000, "payloads": 2000 }),
            "{queue}"
        );
    }
    let relayed: u64 = relays
        .iter()
        .map(|relay| {
            let counter = relay
                .metrics
                .event_outbox_relayed
                .with_label_values(&[EVENT, "relayed"]);
            counter.get()
        })
        .sum();
    assert_eq!(relayed, 2_000);
    assert_eq!(
        ground
            .value("select count(*) from {app}.event_outbox where processed_at is null")
            .await,
        json!(0)
    );
    for relay in relays {
        assert!(relay.stop().await.is_clean());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_relayed_does_not_block_its_batch() {
    let ground = Ground::new().await;
    ground.subscriber(EVENT, "stock", json!({})).await;
    // What no pg-boss does, and any database may: it refuses some rows.
    ground
        .execute(
            "create function {app}.refuse() returns trigger language plpgsql as $$ begin
               if new.data->'data' ? 'poison' then raise exception 'too bitter'; end if; return new; end $$;
             create trigger refuse before insert on {schema}.job_common for each row execute function {app}.refuse()",
        )
        .await;
    ground.emit_many(EVENT, 40).await;
    let poison = ground.emit(EVENT, r#"{"poison": 1}"#).await;
    ground
        .execute(&format!(
            "update {{app}}.event_outbox set created_at = now() - interval '1 hour', max_retries = 2 where id = '{poison}'"
        ))
        .await;
    ground.emit_many(EVENT, 40).await;
    let crew = ground.relay(ground.events());
    ground
        .until("(select count(*) = 80 from {app}.event_outbox where status = 'completed')")
        .await;
    ground
        .until(&format!(
            "(select status = 'failed' from {{app}}.event_outbox where id = '{poison}')"
        ))
        .await;
    let row = ground.row(poison).await;
    assert_eq!(row["retry_count"], 2);
    assert!(
        row["error_message"].as_str().expect("a reason").contains("too bitter"),
        "{row}"
    );
    let letters = ground.dead_letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["original_event_id"], json!(poison));
    assert_eq!(letters[0]["retry_count"], 2);
    assert!(
        letters[0]["failure_reason"]
            .as_str()
            .expect("a reason")
            .contains("too bitter")
    );
    assert_eq!(letters[0]["event_data"], json!({ "poison": 1 }));
    let counted = |outcome: &str| {
        let counter = crew.metrics.event_outbox_relayed.with_label_values(&[EVENT, outcome]);
        counter.get()
    };
    assert_eq!((counted("relayed"), counted("retried"), counted("failed")), (80, 2, 1));
    // Its backoff is kept with us: two waits of 100 and 200 ms passed before it was given up.
    let waited = ground
        .value(&format!(
            "select extract(epoch from processed_at - (select min(processed_at) from {{app}}.event_outbox where status = 'completed')) >= 0.29 as waited
             from {{app}}.event_outbox where id = '{poison}'"
        ))
        .await;
    assert_eq!(waited, json!(true));
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_nobody_subscribes_to_is_completed_or_held() {
    let ground = Ground::new().await;
    ground.subscriber(EVENT, "stock", json!({})).await;
    let lonely = ground.emit("lonely", "1").await;
    let hold = EventsConfig {
        unhandled: Unhandled::Hold,
        batch_size: 1,
        ..ground.events()
    };
    let crew = ground.relay(hold);
    let row = ground.emit(EVENT, "2").await;
    ground
        .until(&format!(
            "(select status = 'completed' from {{app}}.event_outbox where id = '{row}')"
        ))
        .await;
    wait_for("the held row to be counted", async || {
        crew.metrics.event_outbox_held.get() == 1 && crew.metrics.event_outbox_pending.get() == 1
    })
    .await;
    assert!(crew.metrics.event_outbox_oldest_pending.get() > 0.0);
    assert_eq!(ground.row(lonely).await["status"], "pending");
    // Somebody subscribes at last.
    ground.subscriber("lonely", "friend", json!({})).await;
    ground
        .until(&format!(
            "(select status = 'completed' from {{app}}.event_outbox where id = '{lonely}')"
        ))
        .await;
    assert_eq!(
        ground
            .value("select count(*) from {schema}.job where name = 'friend'")
            .await,
        json!(1)
    );
    crew.stop().await;

    let other = ground.emit("forlorn", "3").await;
    let crew = ground.relay(ground.events());
    ground
        .until(&format!(
            "(select status = 'completed' from {{app}}.event_outbox where id = '{other}')"
        ))
        .await;
    wait_for("it to be counted", async || {
        let counter = crew
            .metrics
            .event_outbox_relayed
            .with_label_values(&["forlorn", "unhandled"]);
        counter.get() == 1
    })
    .await;
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_left_in_processing_are_taken_up_as_the_operator_chose() {
    let ground = Ground::new().await;
    ground.subscriber(EVENT, "stock", json!({})).await;
    let (left, busy) = (ground.emit(EVENT, "1").await, ground.emit(EVENT, "2").await);
    ground
        .execute("update {app}.event_outbox set status = 'processing', created_at = now() - interval '2 hours'")
        .await;
    let events = EventsConfig {
        stuck_after: std::time::Duration::from_secs(1),
        ..ground.events()
    };
    let crew = ground.relay(events.clone());
    // Whoever works on it shows that by changing the row, as here.
    let status = |row: Uuid| format!("(select status from {{app}}.event_outbox where id = '{row}')");
    let began = std::time::Instant::now();
    while ground.value(&format!("select {}", status(left))).await == "processing" {
        assert!(began.elapsed() < std::time::Duration::from_secs(20));
        ground
            .execute(&format!(
                "update {{app}}.event_outbox set retry_count = retry_count where id = '{busy}'"
            ))
            .await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(began.elapsed() >= std::time::Duration::from_secs(1));
    ground.until(&format!("{} = 'completed'", status(left))).await;
    assert_eq!(ground.value(&format!("select {}", status(busy))).await, "processing");
    crew.stop().await;

    let crew = ground.relay(EventsConfig {
        stuck: Stuck::DeadLetter,
        ..events
    });
    ground.until(&format!("{} = 'failed'", status(busy))).await;
    let letters = ground.dead_letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["original_event_id"], json!(busy));
    assert!(
        letters[0]["failure_reason"]
            .as_str()
            .expect("a reason")
            .contains("left in processing")
    );
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_of_the_trigger_wakes_the_relay_at_once() {
    let ground = Ground::new().await;
    ground.subscriber(EVENT, "stock", json!({})).await;
    let mut client = ground.client().await;
    let home = ground.place.home().clone();
    let created = strawboss::events::install(&mut client, &home, &ground.app, true).await;
    assert_eq!(created.expect("installed"), ["strawboss_event_outbox_notify"]);
    let crew = ground.relay(EventsConfig {
        polling_interval: std::time::Duration::from_secs(60),
        ..ground.events()
    });
    // The first look may find this row; the next ones are a minute away.
    for payload in ["1", "2", "3"] {
        let row = ground.emit(EVENT, payload).await;
        ground
            .until(&format!(
                "(select status = 'completed' from {{app}}.event_outbox where id = '{row}')"
            ))
            .await;
    }
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_that_is_switched_off_relays_nothing_and_emits_nothing() {
    let ground = Ground::new().await;
    ground.subscriber(EVENT, "stock", json!({})).await;
    let off = EventsConfig {
        enabled: false,
        switched_off: true,
        ..ground.events()
    };
    let row = ground.emit(EVENT, "1").await;
    let crew = ground.relay(off.clone());
    crew.until_ready().await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(ground.row(row).await["status"], "pending");
    crew.stop().await;
    let emitter = strawboss::events::Emitter::new(ground.place.clone(), &off);
    let payload = serde_json::value::to_raw_value(&1).expect("JSON");
    let refused = emitter
        .emit(&ground.client().await, EVENT, &payload, "test", &Default::default())
        .await
        .expect_err("it is off");
    assert!(refused.to_string().contains("EVENT_SYSTEM_ENABLED"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_arrives_without_losing_a_digit() {
    let ground = Ground::new().await;
    ground.subscriber(EVENT, "stock", json!({})).await;
    let deep = format!("{}{}{}", "[".repeat(200), "7".repeat(309), "]".repeat(200));
    let payloads = [
        deep.as_str(),
        "5e-324",
        "\"123\"",
        "\"𝒳 and \\\"quotes\\\" and \\\\u0000\"",
        "null",
        "[]",
        "{\"b\": 1.10, \"a\": -0.0}",
    ];
    for payload in payloads {
        ground.emit(EVENT, payload).await;
    }
    let mut client = ground.client().await;
    let terms = RelayTerms::from(&ground.events());
    terms.relay(&mut client, &ground.place, 10).await.expect("relayed");
    let same = "(j.data->'data')::text = o.event_data::text and (j.data->'metadata')::text = o.metadata::text";
    let rows = ground
        .value(&format!(
            "select count(*) from {{app}}.event_outbox o join {{schema}}.job j on j.data->>'outboxId' = o.id::text where {same}"
        ))
        .await;
    assert_eq!(rows, json!(payloads.len()));

    // And from there to the dead letter.
    ground
        .execute(
            "insert into {schema}.job (name, data, output) select 'event-dead-letters', data, '{\"message\": \"no\"}' from {schema}.job",
        )
        .await;
    assert_eq!(
        bury(&client, &ground.place).await.expect("buried").len(),
        payloads.len()
    );
    let rows = ground
        .value(
            "select count(*) from {app}.event_outbox o join {app}.event_dead_letter x on x.original_event_id = o.id
             where x.event_data::text = o.event_data::text and (x.metadata - 'deadLetter')::text = o.metadata::text
               and o.status = 'failed' and o.error_message = 'no'",
        )
        .await;
    assert_eq!(rows, json!(payloads.len()));
    assert_eq!(
        ground
            .value("select count(*) from {schema}.job where name = 'event-dead-letters'")
            .await,
        json!(0)
    );
}

#[tokio::test]
async fn a_queue_s_own_dead_letter_queue_gets_its_copy_too_on_every_schema() {
    needs_node!();
    for release in Release::ALL {
        let ground = Ground::on(release).await;
        ground.schema.queue("mail-dead", json!({})).await;
        ground
            .subscriber(EVENT, "mail", json!({ "deadLetter": "mail-dead" }))
            .await;
        let row = ground.emit(EVENT, r#"{"n": 1}"#).await;
        let mut client = ground.client().await;
        let terms = RelayTerms::from(&ground.events());
        terms.relay(&mut client, &ground.place, 10).await.expect("relayed");
        // A supervisor takes it back from a worker that died in its last attempt; here as pg-boss's own statement leaves it.
        ground
            .execute(&format!(
                "update {{schema}}.job set state = 'failed', retry_count = 3, output = '{{\"value\": {{\"message\": \"job timed out\"}}}}' where name = 'mail';
                 insert into {{schema}}.job (name, data) select 'event-dead-letters', data from {{schema}}.job where id = {}",
                delivery(row, "mail")
            ))
            .await;
        assert_eq!(
            bury(&client, &ground.place).await.expect("buried").len(),
            1,
            "{release}"
        );
        // The copy says nothing of the reason; the source's own row does.
        let letters = ground.dead_letters().await;
        assert_eq!(
            (&letters[0]["failure_reason"], &letters[0]["retry_count"]),
            (&json!("job timed out"), &json!(3)),
            "{release}"
        );
        let copy = ground
            .schema
            .row("select data, state from {schema}.job where name = 'mail-dead'")
            .await;
        assert_eq!(
            (&copy["data"]["data"], &copy["state"]),
            (&json!({ "n": 1 }), &json!("created"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_the_worker_of_old_no_row_goes_to_both() {
    let ground = Ground::new().await;
    ground.subscriber(EVENT, "stock", json!({})).await;
    ground.emit_many(EVENT, 600).await;
    let crew = ground.relay(EventsConfig {
        batch_size: 20,
        ..ground.events()
    });
    let old = ground.schema.connect().await;
    let mut claimed = 0;
    loop {
        let sql = ground.sql(
            "update {app}.event_outbox set status = 'processing' where id in (
               select id from {app}.event_outbox where status = 'pending' order by created_at limit 7 for update skip locked)",
        );
        old.execute(&sql, &[]).await.expect("claimed");
        let done = ground
            .sql("update {app}.event_outbox set status = 'completed', error_message = 'of old' where status = 'processing' returning id");
        claimed += old.query(&done, &[]).await.expect("completed").len();
        if ground
            .value("select count(*) from {app}.event_outbox where status <> 'completed'")
            .await
            == json!(0)
        {
            break;
        }
    }
    let both = "select count(*) from {app}.event_outbox o join {schema}.job j on j.data->>'outboxId' = o.id::text
        where o.error_message = 'of old'";
    assert_eq!(ground.value(both).await, json!(0));
    let jobs = ground
        .value("select count(*) from {schema}.job where name = 'stock'")
        .await;
    assert_eq!(jobs, json!(600 - claimed));
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_notification_the_outbox_is_polled_as_often_as_asked_for() {
    let ground = Ground::new().await;
    ground.subscriber(EVENT, "stock", json!({})).await;
    let relayed = |row: Uuid| format!("(select status = 'completed' from {{app}}.event_outbox where id = '{row}')");
    let first = ground.emit(EVENT, "1").await;
    let mut config = ground.config(EventsConfig {
        polling_interval: std::time::Duration::from_secs(60),
        ..ground.events()
    });
    config.worker.listen = false;
    let seldom = Crew::start(config, []);
    ground.until(&relayed(first)).await;
    let second = ground.emit(EVENT, "2").await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(
        ground.row(second).await["status"],
        "pending",
        "the next look is a minute away"
    );
    let often = ground.relay(ground.events());
    ground.until(&relayed(second)).await;
    often.stop().await;
    seldom.stop().await;
}
