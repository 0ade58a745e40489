//! Whose a claimed row is, and for how long.

use serde_json::json;
use strawboss::job::Outcome;
use tokio_util::sync::CancellationToken;

use crate::support::crew::{Crew, Seen, config};
use crate::support::{Release, Schema, needs_node};

#[tokio::test(flavor = "multi_thread")]
async fn jobs_without_a_heartbeat_are_lent_one_that_goes_with_the_attempt() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", json!({})).await;
    schema.jobs("q", 1).await;
    schema
        .execute("insert into {schema}.job (name, heartbeat_seconds) values ('q', 60)")
        .await;
    let (seen, gate) = (Seen::default(), CancellationToken::new());
    let crew = Crew::start(config(&schema, &["q"]), [("q", seen.waiting_handler(&gate))]);
    seen.until(2).await;
    let heartbeats = "select jsonb_agg(heartbeat_seconds order by heartbeat_seconds) from {schema}.job";
    assert_eq!(schema.value(heartbeats).await, json!([2, 60]));
    schema
        .until("(select bool_or(heartbeat_on > started_on) from {schema}.job where heartbeat_seconds = 2)")
        .await;
    gate.cancel();
    crew.until_processed("q", Outcome::Completed, 2).await;
    assert_eq!(schema.value(heartbeats).await, json!([60, null]));
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_told_to_lend_nothing_lends_nothing() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", json!({})).await;
    schema.jobs("q", 1).await;
    let (seen, gate) = (Seen::default(), CancellationToken::new());
    let mut config = config(&schema, &["q"]);
    config.worker.heartbeat = std::time::Duration::ZERO;
    let crew = Crew::start(config, [("q", seen.waiting_handler(&gate))]);
    seen.until(1).await;
    assert_eq!(
        schema.value("select heartbeat_seconds from {schema}.job").await,
        json!(null)
    );
    gate.cancel();
    crew.until_processed("q", Outcome::Completed, 1).await;
    crew.stop().await;
}
