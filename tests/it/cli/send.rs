//! `strawboss send`, `strawboss queues create` and `strawboss schema`

use serde_json::json;

use super::*;
use crate::support::{Release, needs_node};

#[tokio::test(flavor = "multi_thread")]
async fn every_option_of_a_job_arrives_in_its_row() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    run_on(&schema, &["queues", "create", "dead"]).well();
    run_on(&schema, &["queues", "create", "q"]).well();
    let id = "4d9de3c4-8e0e-4c5e-9d4a-3f0e6f0b1a55";
    let options = "--priority -5 --retry-limit 7 --retry-delay 3 --retry-backoff --retry-delay-max 5m --expire 90s \
        --retention 2d --delete-after 0 --singleton-key k --dead-letter dead --group g --group-tier gold \
        --heartbeat 20 --start-after 3600";
    let arguments: Vec<_> = ["send", "q", r#"{"n": 1}"#, "--id", id]
        .into_iter()
        .chain(options.split_whitespace())
        .collect();
    let sent = run_on(&schema, &arguments).well();
    assert_eq!(sent.out, format!("{id}\n"));
    let row = schema
        .row(
            "select id, data, priority, retry_limit, retry_delay, retry_backoff, retry_delay_max, expire_seconds,
                    extract(epoch from keep_until - start_after)::int as kept, deletion_seconds, singleton_key,
                    dead_letter, group_id, group_tier, heartbeat_seconds,
                    extract(epoch from start_after - created_on)::int as deferred
             from {schema}.job",
        )
        .await;
    assert_eq!(
        row,
        json!({
            "id": id, "data": { "n": 1 }, "priority": -5, "retry_limit": 7, "retry_delay": 3, "retry_backoff": true,
            "retry_delay_max": 300, "expire_seconds": 90, "kept": 172_800, "deletion_seconds": 0,
            "singleton_key": "k", "dead_letter": "dead", "group_id": "g", "group_tier": "gold",
            "heartbeat_seconds": 20, "deferred": 3600,
        })
    );
    let again = run_on(&schema, &arguments).well();
    assert_eq!(again.out, "");
    assert!(again.err.starts_with("not sent: "), "{}", again.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_standard_input_are_sent_in_bulk() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    run_on(&schema, &["queues", "create", "q"]).well();
    let input: String = (0..6_000).map(|n| format!("{{\"n\": {n}}}\n")).collect();
    let sent = run_with(
        &schema,
        &["send", "q", "-", "--priority", "3"],
        &format!("{input}\n[1]"),
    )
    .well();
    assert_eq!(sent.out.lines().count(), 6_001);
    assert_eq!(sent.err, "6001 sent\n");
    let counted =
        "select count(*) as jobs, count(distinct data) as payloads, min(priority), max(priority) from {schema}.job";
    assert_eq!(
        schema.row(counted).await,
        json!({ "jobs": 6_001, "payloads": 6_001, "min": 3, "max": 3 })
    );

    let refused = run_with(&schema, &["send", "q", "-"], "{}\n\n{nonsense\n");
    assert_eq!((refused.code, refused.out.as_str()), (1, ""));
    assert!(refused.err.starts_with("error: line 3 is no JSON"), "{}", refused.err);
    assert!(refused.err.contains("0 jobs of earlier lines were"), "{}", refused.err);
    let refused = run_with(&schema, &["send", "q", "-"], "{}\n\"\\u0000\"\n");
    assert!(refused.err.contains("line 2"), "{}", refused.err);
    assert_eq!(schema.value("select count(*) from {schema}.job").await, json!(6_001));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_created_as_told_and_then_left_as_it_is() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    run_on(&schema, &["queues", "create", "dead"]).well();
    let options = "--policy stately --partition --dead-letter dead --warning-queue-size 9 --retry-limit 4 \
        --retry-delay 2 --retry-backoff --retry-delay-max 60 --expire 1h --retention 3d --delete-after 1d \
        --heartbeat 30s --notify";
    let arguments: Vec<_> = ["queues", "create", "q"]
        .into_iter()
        .chain(options.split_whitespace())
        .collect();
    assert_eq!(run_on(&schema, &arguments).well().out, "created q\n");
    let row = schema
        .row(
            "select policy, partition, dead_letter, warning_queued, retry_limit, retry_delay, retry_backoff,
                    retry_delay_max, expire_seconds, retention_seconds, deletion_seconds, heartbeat_seconds, notify
             from {schema}.queue where name = 'q'",
        )
        .await;
    assert_eq!(
        row,
        json!({
            "policy": "stately", "partition": true, "dead_letter": "dead", "warning_queued": 9, "retry_limit": 4,
            "retry_delay": 2, "retry_backoff": true, "retry_delay_max": 60, "expire_seconds": 3600,
            "retention_seconds": 259_200, "deletion_seconds": 86_400, "heartbeat_seconds": 30, "notify": true,
        })
    );
    let again = run_on(&schema, &["queues", "create", "q", "--retry-limit", "9"]).well();
    assert_eq!(again.out, "q is there already and was left as it is\n");
    assert_eq!(
        schema
            .value("select retry_limit from {schema}.queue where name = 'q'")
            .await,
        json!(4)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_is_installed_seen_and_sound() {
    let url = &crate::support::server().url;
    let name = format!("t_{}", &uuid::Uuid::new_v4().simple().to_string()[..16]);
    let schema = |command: &[&str]| run(&[&["schema"], command, &["--database-url", url, "--schema", &name]].concat());
    let absent = schema(&["status"]);
    assert_eq!(absent.code, 1, "{}", absent.out);
    assert!(absent.out.contains("strawboss schema install"), "{}", absent.out);
    assert_eq!(schema(&["verify"]).code, 1);
    assert_eq!(
        schema(&["install"]).well().out,
        format!("created schema {name}, version 46\n")
    );
    let again = schema(&["install", "--json"]).well().json();
    assert_eq!(again, json!({ "installed": "already", "version": 46 }));
    let status = schema(&["status", "--json"]).well().json();
    assert_eq!((&status["version"], &status["support"]), (&json!(46), &json!("native")));
    assert!(schema(&["status"]).well().out.contains("12.38"));
    assert!(schema(&["verify"]).well().out.ends_with("sound\n"));
    let client = crate::support::server::connect(url).await;
    client
        .batch_execute(&format!("ALTER TABLE {name}.queue DROP COLUMN notify"))
        .await
        .expect("altered");
    let broken = schema(&["verify"]);
    client
        .batch_execute(&format!("DROP SCHEMA {name} CASCADE"))
        .await
        .expect("dropped");
    assert_eq!(broken.code, 1, "{}", broken.out);
    assert!(
        broken.out.contains("queue.notify") || broken.out.contains("notify"),
        "{}",
        broken.out
    );
}
