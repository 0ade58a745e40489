//! What is said of a schema at a glance.

use serde_json::json;
use strawboss::dialect::Support;
use strawboss::schema::{self, Builds};

use super::database;
use crate::support::node::Release;
use crate::support::{Schema, needs_node};

#[tokio::test]
async fn nothing_is_said_to_be_nothing() {
    let schema = Schema::vacant().await;
    let client = database(&schema.url).client().await.expect("a connection");
    let status = schema::status(&client, &schema.name).await.expect("it looks");
    assert_eq!(json!(status), json!({ "schema": schema.name }));
    schema.execute("create schema {schema}").await;
    let status = schema::status(&client, &schema.name).await.expect("it looks");
    assert_eq!(status.install, None);
    // A hand that slipped on the shift key is told.
    schema::install(&database(&schema.url), &schema.name)
        .await
        .expect("it installs");
    let status = schema::status(&client, &schema.name.to_uppercase())
        .await
        .expect("it looks");
    assert_eq!(status.install, None);
    assert_eq!(status.case_variant.as_deref(), Some(schema.name.as_str()));
}

#[tokio::test]
async fn a_fresh_install_is_described() {
    let schema = Schema::vacant().await;
    let pool = database(&schema.url);
    schema::install(&pool, &schema.name).await.expect("it installs");
    schema
        .execute(
            r#"select {schema}.create_queue('a', '{"policy": "standard"}');
               select {schema}.create_queue('b', '{"policy": "short", "partition": true}');
               insert into {schema}.bam (name, version, status, table_name, command) values
                   ('x', 46, 'pending', 'job_common', ''), ('y', 46, 'failed', 'job_common', ''),
                   ('z', 46, 'completed', 'job_common', ''), ('w', 46, 'in_progress', 'job_common', '')"#,
        )
        .await;
    let client = pool.client().await.expect("a connection");
    let status = schema::status(&client, &schema.name).await.expect("it looks");
    let install = status.install.as_ref().expect("it is installed");
    assert_eq!(
        install.capabilities,
        [
            "exclusive",
            "groups",
            "strict_fifo",
            "heartbeat",
            "flows",
            "notify",
            "fetch_inclusive",
            "lineage",
            "dead_letter_key",
            "dead_letter_group",
            "source_output",
            "trace_context",
            "upsert_by_key",
            "retry_delay_max",
            "backoff_floor",
            "schedule_kind",
            "schedule_slot",
            "job_now",
            "priority_index",
            "start_now",
            "retry_clears",
            "live_index",
            "finished_index",
            "keep_forever",
            "ready_count",
            "flow_resolver",
            "queue_history",
            "deferred_waits",
            "reindex",
            "monitor_claim",
            "throughput",
            "latency",
            "retained_count",
        ]
    );
    assert_eq!(
        install.builds,
        Builds {
            pending: 1,
            in_progress: 1,
            failed: 1
        }
    );
    let mut said = json!(status);
    said.as_object_mut().expect("an object").remove("capabilities");
    assert_eq!(
        said,
        json!({
            "schema": schema.name, "version": 46, "releases": "12.38", "support": "native",
            // Eleven of pg-boss's own, one of a queue's own, and the statistics of two days.
            "tables": 14, "job_tables": 2, "queues": 2,
            "builds": { "pending": 1, "in_progress": 1, "failed": 1 }, "invalid_indexes": [],
        })
    );
}

#[tokio::test]
async fn every_release_is_recognised() {
    needs_node!();
    for release in Release::ALL {
        let schema = Schema::new(release).await;
        let client = database(&schema.url).client().await.expect("a connection");
        let status = schema::status(&client, &schema.name).await.expect("it looks");
        let install = status.install.expect("it is installed");
        assert_eq!(install.version, release.schema_version());
        assert_eq!(install.support, Support::Native);
        let v10 = release == Release::V10_4_2;
        assert_eq!(install.capabilities.contains(&"v10"), v10, "{release}");
        assert_eq!(install.job_tables, i64::from(!v10), "{release}");
    }
    let schema = Schema::new(Release::NEWEST).await;
    schema.execute("update {schema}.version set version = 47").await;
    let client = database(&schema.url).client().await.expect("a connection");
    let install = schema::status(&client, &schema.name).await.expect("it looks").install;
    let install = install.expect("it is installed");
    assert_eq!((install.support, install.releases), (Support::Newer, None));
}
