//! Every finding of the doctor, provoked; and a healthy system, of which nothing is said.

use std::time::Duration;

use serde_json::{Value, json};
use strawboss::inspect::doctor::OPEN_TRANSACTION;
use strawboss::inspect::{Diagnosis, Examination, Urgency};
use strawboss::postgres::{Database, Settings};

use crate::support::pooler::Pooler;
use crate::support::{Release, Schema, needs_node};

fn database(url: &str) -> Database {
    Database::new(&Settings::parse(url).expect("a URL").with_pool_size(3)).expect("a pool")
}

async fn examined(schema: &Schema, url: &str, open_transaction: Duration) -> Vec<Diagnosis> {
    let examination = Examination {
        database: &database(url),
        schema: &schema.name,
        outbox_schema: &schema.own(),
        open_transaction,
    };
    examination.examine().await.expect("the database answers")
}

/// What is found of a schema, apart from what other tests may do to the server.
async fn found(schema: &Schema) -> Vec<Diagnosis> {
    let mut found = examined(schema, &schema.url, OPEN_TRANSACTION).await;
    found.retain(|diagnosis| diagnosis.code != "vacuum_held_back" && diagnosis.severity != Urgency::Info);
    found
}

/// The code and subject of each finding.
fn said(found: &[Diagnosis]) -> Vec<(&'static str, &str)> {
    found
        .iter()
        .map(|diagnosis| (diagnosis.code, diagnosis.subject.as_str()))
        .collect()
}

#[tokio::test]
async fn of_a_system_in_order_nothing_is_said() {
    needs_node!();
    for release in [Release::V10_4_2, Release::V11_1_2, Release::NEWEST] {
        let schema = Schema::new(release).await;
        schema.queue("dead", json!({})).await;
        schema.queue("q", json!({ "deadLetter": "dead" })).await;
        schema.jobs("q", 3).await;
        assert_eq!(said(&found(&schema).await), [], "pg-boss {release}");
    }
}

#[tokio::test]
async fn schemas_that_are_missing_too_old_or_not_whole() {
    needs_node!();
    let schema = Schema::vacant().await;
    assert_eq!(said(&found(&schema).await)[0].0, "schema_missing");

    let schema = Schema::new(Release::NEWEST).await;
    schema.execute("drop index {schema}.job_common_i11").await;
    let incomplete = found(&schema).await;
    assert_eq!(
        said(&incomplete),
        [("schema_incomplete", "index job_common_i11 on job_common")]
    );
    schema.execute("update {schema}.version set version = 23").await;
    assert_eq!(said(&found(&schema).await)[0].0, "schema_unsupported");
}

#[tokio::test]
async fn jobs_that_nobody_runs_takes_back_or_looks_at() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    for queue in ["dead", "waiting", "stuck", "silent", "doomed"] {
        schema.queue(queue, json!({})).await;
    }
    schema.queue("q", json!({ "deadLetter": "dead" })).await;
    for queue in ["dead", "waiting", "stuck", "silent", "doomed"] {
        schema.jobs(queue, 2).await;
    }
    schema
        .execute(
            "update {schema}.job set start_after = now() - interval '5 minutes' where name in ('waiting', 'dead');
             update {schema}.job set state = 'active', started_on = now() - interval '20 minutes' where name = 'stuck';
             update {schema}.job set state = 'active', started_on = now() - interval '4 minutes',
               heartbeat_on = now() - interval '4 minutes', heartbeat_seconds = 30 where name = 'silent';
             update {schema}.job set state = 'retry', start_after = now() + interval '2 days', keep_until = now() + interval '1 day'
               where name = 'doomed'",
        )
        .await;
    let diagnoses = found(&schema).await;
    assert_eq!(
        said(&diagnoses),
        [
            ("retry_beyond_retention", "doomed"),
            ("active_without_heartbeat", "silent"),
            ("active_beyond_expiry", "stuck"),
            ("backlog_without_consumer", "waiting"),
            ("dead_letters", "dead"),
        ]
    );
    let evidence = |code: &str| {
        &diagnoses
            .iter()
            .find(|diagnosis| diagnosis.code == code)
            .expect(code)
            .evidence
    };
    assert_eq!(evidence("backlog_without_consumer")["ready"], json!(2));
    assert_eq!(evidence("dead_letters")["dead_letters"], json!(2));
    assert!(evidence("active_beyond_expiry")["seconds"].as_i64() >= Some(300));
    assert!(diagnoses.iter().all(|diagnosis| diagnosis.mend.contains("strawboss ")));

    // Somebody has begun one of them just now.
    schema
        .execute("update {schema}.job set state = 'completed', started_on = now(), completed_on = now() where id = (select id from {schema}.job where name = 'waiting' limit 1)")
        .await;
    assert!(
        found(&schema)
            .await
            .iter()
            .all(|diagnosis| diagnosis.subject != "waiting")
    );
}

#[tokio::test]
async fn settings_of_queues_that_contradict_each_other() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema
        .queue(
            "patient",
            json!({ "retryLimit": 20, "retryDelay": 60, "retryBackoff": true, "retentionSeconds": 86400 }),
        )
        .await;
    schema
        .queue("capped", json!({ "retryLimit": 20, "retryDelay": 60, "retryBackoff": true, "retryDelayMax": 600, "retentionSeconds": 86400 }))
        .await;
    schema
        .queue("late", json!({ "expireInSeconds": 20, "heartbeatSeconds": 30 }))
        .await;
    assert_eq!(
        said(&found(&schema).await),
        [
            ("heartbeat_beyond_expiry", "late"),
            ("retries_outlive_retention", "patient")
        ]
    );
    let everything = examined(&schema, &schema.url, OPEN_TRANSACTION).await;
    let remarks = everything
        .iter()
        .filter(|diagnosis| diagnosis.severity == Urgency::Info);
    assert!(
        remarks
            .map(|remark| remark.code)
            .all(|code| code == "no_dead_letter_queue")
    );

    let schema = Schema::new(Release::V11_1_2).await;
    schema.queue("q", json!({})).await;
    schema.execute("update {schema}.queue set deletion_seconds = 0").await;
    assert_eq!(said(&found(&schema).await), [("deletion_at_once", "q")]);
}

#[tokio::test]
async fn schedules_that_nobody_fires_or_can() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("report", json!({})).await;
    schema
        .execute(
            "insert into {schema}.schedule (name, key, cron, timezone) values
               ('report', '', '* * * * *', 'UTC'), ('report', 'odd', '1,1 * * * *', 'UTC'), ('report', 'nowhere', '0 0 * * *', 'Moon/Crater');
             update {schema}.version set cron_on = now()",
        )
        .await;
    assert_eq!(
        said(&found(&schema).await),
        [
            ("invalid_schedule", "report nowhere"),
            ("invalid_schedule", "report odd")
        ]
    );
    schema
        .execute("update {schema}.version set cron_on = now() - interval '10 minutes'; delete from {schema}.schedule where key <> ''")
        .await;
    let silent = found(&schema).await;
    assert_eq!(said(&silent), [("schedules_not_fired", "1 schedules")]);
    assert_eq!(silent[0].evidence["missed"], json!(10));
    schema.execute("update {schema}.version set cron_on = null").await;
    assert_eq!(found(&schema).await[0].evidence["seconds"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_that_do_not_arrive() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", json!({ "notify": true })).await;
    assert_eq!(said(&found(&schema).await), [], "they arrive");
    let pooler = Pooler::before(&schema.url, 3).await;
    let behind = examined(&schema, &pooler.url(), OPEN_TRANSACTION).await;
    assert!(
        behind
            .iter()
            .any(|diagnosis| diagnosis.code == "notifications_do_not_arrive"),
        "{behind:#?}"
    );
}

#[tokio::test]
async fn tables_full_of_dead_rows_and_what_keeps_vacuum_from_them() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    let table = format!("\"{}\".\"job_common\"", schema.name);
    schema.queue("q", json!({})).await;
    schema
        .execute("alter table {schema}.job_common set (autovacuum_enabled = false)")
        .await;
    assert_eq!(said(&found(&schema).await), [("autovacuum_disabled", table.as_str())]);
    schema.jobs("q", 10_100).await;
    schema.execute("delete from {schema}.job").await;
    schema
        .until("(select n_dead_tup > 10000 from pg_stat_user_tables where relid = '{schema}.job_common'::regclass)")
        .await;
    assert_eq!(
        said(&found(&schema).await),
        [("autovacuum_disabled", table.as_str()), ("bloat", table.as_str())]
    );

    let other = schema.connect().await;
    other
        .batch_execute("begin isolation level repeatable read; select 1")
        .await
        .expect("it is begun");
    let row = other
        .query_one("select pg_backend_pid()::text", &[])
        .await
        .expect("a row");
    let subject = format!("session {}", row.get::<_, String>(0));
    let held = examined(&schema, &schema.url, Duration::ZERO).await;
    assert!(
        said(&held).contains(&("vacuum_held_back", subject.as_str())),
        "{held:#?}"
    );
}

#[tokio::test]
async fn events_that_nobody_relays() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema
        .execute(
            "create schema {schema}_own; create table {schema}_own.event_outbox (status varchar(50), created_at timestamptz default now())",
        )
        .await;
    schema
        .execute("insert into {schema}_own.event_outbox values ('pending'), ('processing')")
        .await;
    assert_eq!(said(&found(&schema).await), [], "they are new");
    schema
        .execute(
            "update {schema}_own.event_outbox set created_at = now() - interval '1 hour'; insert into {schema}_own.event_outbox values ('failed')",
        )
        .await;
    let codes: Vec<_> = found(&schema).await.iter().map(|diagnosis| diagnosis.code).collect();
    assert_eq!(codes, ["outbox_lag", "outbox_stranded", "outbox_failed"]);
}
