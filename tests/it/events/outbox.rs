//! Section 3 of the contract: the relay.

use serde_json::json;
use strawboss::config::{EventsConfig, Stuck, Unhandled};
use strawboss::events::{RelayTerms, bury};
use uuid::Uuid;

use super::ground::Ground;
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
