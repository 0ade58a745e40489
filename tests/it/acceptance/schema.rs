//! Our schema under the real pg-boss, as a user would do it.

use serde_json::{Value, json};

use super::program::{Program, configuration};
use super::{queue, send};
use crate::support::{Boss, Release, Schema, needs_node};

#[tokio::test(flavor = "multi_thread")]
async fn node_works_in_a_schema_of_ours_without_migrating_it() {
    needs_node!();
    let schema = Schema::vacant().await;
    let settings = configuration(&schema.url, &schema.name, "");
    let install = ["schema", "install", "--config", "worker.toml"];
    Program::start(&install, &settings, &[]).ended().await.well();

    let options = json!({ "migrate": false, "supervise": true, "schedule": true });
    let boss = Boss::start(Release::V12_38_0, &schema.url, &schema.name, options).await;
    assert_eq!(boss.call("schemaVersion", json!([])).await, Ok(json!(46)));
    queue(&boss, "dead", json!({})).await;
    queue(&boss, "q", json!({ "retryLimit": 0, "deadLetter": "dead" })).await;
    let id = send(&boss, "q", json!({ "n": 1 })).await;
    boss.work(
        "q",
        json!({ "pollingIntervalSeconds": 0.5 }),
        json!({ "throw": { "message": "no luck" } }),
    )
    .await;
    schema
        .until("exists (select from {schema}.job where name = 'dead')")
        .await;
    let letter = schema
        .row("select data, source_id, source_output->>'message' as reason from {schema}.job where name = 'dead'")
        .await;
    assert_eq!(
        letter,
        json!({ "data": { "n": 1 }, "source_id": id, "reason": "no luck" })
    );
    let fetched = boss.call("fetch", json!(["dead"])).await.expect("it is fetched");
    let letter: Vec<Value> = serde_json::from_value(fetched).expect("a list");
    boss.call("complete", json!(["dead", letter[0]["id"]]))
        .await
        .expect("it is completed");
    boss.stop().await;
}
