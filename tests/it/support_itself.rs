//! The ground the other tests stand on, tested first.

use serde_json::json;

use crate::support::{Boss, Release, Schema, needs_node};

#[tokio::test]
async fn every_release_makes_its_schema_and_works_on_it() {
    needs_node!();
    for release in Release::ALL {
        let schema = Schema::new(release).await;
        assert_eq!(
            schema.value("select version from {schema}.version").await,
            json!(release.schema_version())
        );
        let boss = Boss::start(release, &schema.url, &schema.name, json!({})).await;
        boss.call("createQueue", json!(["q"])).await.expect("the queue is made");
        let id = boss.call("send", json!(["q", { "n": 1 }])).await.expect("it is sent");
        boss.work(
            "q",
            json!({ "pollingIntervalSeconds": 0.5 }),
            json!({ "complete": { "n": 2 } }),
        )
        .await;
        assert_eq!(boss.event("job").await["job"]["id"], id, "pg-boss {release}");
        schema
            .until("select count(*) = 1 from {schema}.job where state = 'completed'")
            .await;
        assert_eq!(
            schema.row("select data, output from {schema}.job").await,
            json!({ "data": { "n": 1 }, "output": { "n": 2 } }),
            "pg-boss {release}"
        );
        boss.stop().await;
    }
}
