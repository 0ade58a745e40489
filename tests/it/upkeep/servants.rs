//! The servants of a worker: they do by themselves what the passes do when called.

use std::time::Duration;

use serde_json::json;

use crate::differential::id;
use crate::support::crew::{Crew, Seen, config};
use crate::support::{Release, Schema, needs_node};

/// A lost job, an old one and a backlog, all in a queue that nobody serves.
async fn neglected(schema: &Schema) {
    schema.queue("served", json!({})).await;
    schema.queue("other", json!({"warningQueueSize": 1})).await;
    schema
        .execute(&format!(
            "insert into {{schema}}.job (id, name, policy, state, started_on, retry_limit)
               values ('{lost}', 'other', 'standard', 'active', '2026-01-01', 0);
             insert into {{schema}}.job (id, name, policy, state, completed_on)
               values ('{old}', 'other', 'standard', 'completed', '2026-01-01');
             insert into {{schema}}.job (name, policy) select 'other', 'standard' from generate_series(1, 3)",
            lost = id(1),
            old = id(2)
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_supervises_queues_that_it_does_not_serve() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    neglected(&schema).await;
    let mut config = config(&schema, &["served"]);
    let second = Duration::from_secs(1);
    config.upkeep.supervise_interval = second;
    config.upkeep.monitor_interval = second;
    config.upkeep.persist_warnings = true;
    config.upkeep.persist_queue_stats = true;
    let crew = Crew::start(config, [("served", Seen::default().handler())]);
    schema
        .until("(select state = 'failed' from {schema}.job where id = '00000000-0000-4000-8000-000000000001')")
        .await;
    schema
        .until("not exists (select from {schema}.job where id = '00000000-0000-4000-8000-000000000002')")
        .await;
    schema
        .until("(select queued_count = 3 and failed_count = 1 from {schema}.queue where name = 'other')")
        .await;
    schema
        .until("(select count(*) >= 2 from {schema}.queue_stats where name = 'other') and exists (select from {schema}.warning where type = 'queue_backlog')")
        .await;
    assert_eq!(
        crew.metrics.rescued_jobs.with_label_values(&["other", "expired"]).get(),
        1
    );
    let tasks = crew.health.status();
    assert!(tasks.to_string().contains("supervisor"), "{tasks}");
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_not_to_supervise_leaves_all_claims_alone() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    neglected(&schema).await;
    let mut config = config(&schema, &["served"]);
    config.worker.supervise = false;
    config.upkeep.supervise_interval = Duration::from_millis(100);
    config.upkeep.monitor_interval = Duration::from_millis(100);
    let seen = Seen::default();
    let crew = Crew::start(config, [("served", seen.handler())]);
    crew.until_ready().await;
    let tasks = crew.health.status().to_string();
    assert!(tasks.contains("settler"), "{tasks}");
    for task in ["supervisor", "flow resolver", "rescuer", "index keeper"] {
        assert!(!tasks.contains(task), "{task}: {tasks}");
    }
    crew.stop().await;
    let claims = "select count(*) as count from {schema}.queue where num_nonnulls(monitor_claim_on, monitor_on, maintain_on) > 0";
    assert_eq!(schema.value(claims).await, json!(0));
}
