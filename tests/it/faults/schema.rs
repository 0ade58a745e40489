//! The schema is missing, is migrated, is newer than known, or lacks something, while a worker runs on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use strawboss::job::Outcome;
use tokio_util::sync::CancellationToken;

use crate::support::crew::{Crew, Seen, config, handler};
use crate::support::{Boss, Release, Schema, needs_node, wait_for};

async fn until_reason(crew: &Crew, part: &str) {
    wait_for(&format!("the worker to say {part:?}"), async || {
        let readiness = crew.health.readiness();
        let said = readiness
            .conditions
            .iter()
            .filter_map(|condition| condition.reason.as_deref());
        !readiness.ready && said.collect::<String>().contains(part)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_finds_no_schema_waits_until_node_makes_one() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.execute("drop schema {schema} cascade").await;
    let seen = Seen::default();
    let crew = Crew::start(config(&schema, &["q"]), [("q", seen.handler())]);
    until_reason(&crew, "no pg-boss is installed in schema").await;
    assert_eq!(crew.metrics.schema_supported.get(), 0);
    assert!(crew.health.liveness().live, "it waits, and is alive");

    let boss = Boss::start(Release::NEWEST, &schema.url, &schema.name, json!({ "migrate": true })).await;
    crew.until_ready().await;
    boss.call("createQueue", json!(["q"])).await.expect("the queue is made");
    boss.call("send", json!(["q", {}])).await.expect("it is sent");
    crew.until_processed("q", Outcome::Completed, 1).await;
    assert_eq!(crew.metrics.schema_version.get(), 46);
    boss.stop().await;
    crew.stop().await;
}

/// A Node app is deployed anew, with the newest release, while jobs flow.
async fn migrated_under_load(from: Release) {
    const JOBS: usize = 3000;
    let schema = Schema::new(from).await;
    schema.queue("q", json!({ "retryLimit": 5 })).await;
    schema.jobs("q", JOBS).await;
    let (seen, migrated) = (Seen::default(), Arc::new(AtomicBool::new(false)));
    let run = {
        let (seen, migrated) = (seen.clone(), Arc::clone(&migrated));
        handler(move |job, _| {
            seen.note(job.attempt);
            // Slow enough for the migration to find most of them waiting.
            let rest = if migrated.load(Ordering::SeqCst) { 0 } else { 30 };
            async move {
                tokio::time::sleep(Duration::from_millis(rest)).await;
                Ok(Value::Null)
            }
        })
    };
    let crew = Crew::start(config(&schema, &["q"]), [("q", run)]);
    crew.until_processed("q", Outcome::Completed, 20).await;
    let boss = Boss::start(Release::NEWEST, &schema.url, &schema.name, json!({ "migrate": true })).await;
    assert_eq!(schema.value("select version from {schema}.version").await, json!(46));
    let done = crew.processed("q", Outcome::Completed);
    assert!(done < JOBS as u64 / 2, "{done} jobs were done before the deploy was");
    wait_for("the worker to speak the new schema", async || {
        crew.metrics.schema_version.get() == 46
    })
    .await;
    migrated.store(true, Ordering::SeqCst);
    boss.call("send", json!(["q", {}])).await.expect("it is sent");
    crew.until_processed("q", Outcome::Completed, JOBS as u64 + 1).await;
    assert_eq!(seen.repeated(), Default::default(), "from {from}");
    assert_eq!(
        schema.states("q").await,
        json!({ "completed": JOBS + 1 }),
        "from {from}"
    );
    assert_eq!(crew.processed("q", Outcome::Fenced), 0, "from {from}");
    boss.stop().await;
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_migrates_from_12_24_loses_and_doubles_nothing() {
    needs_node!();
    migrated_under_load(Release::V12_24_0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_migrates_from_11_1_loses_and_doubles_nothing() {
    needs_node!();
    migrated_under_load(Release::V11_1_2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_version_whose_statements_all_hold_is_spoken() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.execute("update {schema}.version set version = 47").await;
    schema.queue("q", json!({})).await;
    schema.jobs("q", 3).await;
    let crew = Crew::start(config(&schema, &["q"]), [("q", Seen::default().handler())]);
    crew.until_processed("q", Outcome::Completed, 3).await;
    assert_eq!(
        (crew.metrics.schema_version.get(), crew.metrics.schema_supported.get()),
        (47, 1)
    );
    assert!(crew.health.readiness().ready);
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_column_it_needs_a_worker_finishes_what_runs_and_resumes_when_it_is_back() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", json!({})).await;
    schema.jobs("q", 3).await;
    let (seen, gate) = (Seen::default(), CancellationToken::new());
    let crew = Crew::start(config(&schema, &["q"]), [("q", seen.waiting_handler(&gate))]);
    seen.until(3).await;
    schema
        .execute("alter table {schema}.job rename column priority to urgency")
        .await;
    until_reason(&crew, "priority").await;
    assert_eq!(crew.metrics.schema_supported.get(), 0);
    assert!(crew.health.liveness().live);
    schema
        .until("(select bool_and(heartbeat_on > started_on + interval '3s') from {schema}.job)")
        .await;

    gate.cancel();
    crew.until_processed("q", Outcome::Completed, 3).await;
    schema.execute("insert into {schema}.job (name) values ('q')").await;

    schema
        .execute("alter table {schema}.job rename column urgency to priority")
        .await;
    crew.until_processed("q", Outcome::Completed, 4).await;
    assert_eq!(crew.metrics.schema_supported.get(), 1);
    crew.until_ready().await;
    assert_eq!(seen.repeated(), Default::default());
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_deleted_and_made_anew_in_a_table_of_its_own_is_served_there() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", json!({})).await;
    schema.jobs("q", 1).await;
    let (seen, gate) = (Seen::default(), CancellationToken::new());
    let crew = Crew::start(config(&schema, &["q"]), [("q", seen.waiting_handler(&gate))]);
    seen.until(1).await;
    let recreate = |partition: bool| {
        let schema = &schema;
        async move {
            schema
                .execute("delete from {schema}.job; select {schema}.delete_queue('q')")
                .await;
            schema.queue("q", json!({ "partition": partition })).await;
            schema.jobs("q", 1).await;
        }
    };

    // From the common table into one of its own; the job that runs is gone, and its attempt with it.
    recreate(true).await;
    crew.until_processed("q", Outcome::Fenced, 1).await;
    seen.until(2).await;

    // And back, which drops the table under the job that runs.
    recreate(false).await;
    crew.until_processed("q", Outcome::Fenced, 2).await;
    gate.cancel();
    crew.until_processed("q", Outcome::Completed, 1).await;
    assert_eq!(schema.states("q").await, json!({ "completed": 1 }));

    // And a verdict for a table that is gone: it is fenced, and holds up nobody.
    let late = CancellationToken::new();
    drop(crew.stop().await);
    schema.jobs("q", 1).await;
    recreate(true).await;
    let seen = Seen::default();
    let mut config = config(&schema, &["q"]);
    config.worker.heartbeat = Duration::from_secs(60);
    let crew = Crew::start(config, [("q", seen.waiting_handler(&late))]);
    seen.until(1).await;
    recreate(false).await;
    late.cancel();
    crew.until_processed("q", Outcome::Fenced, 1).await;
    crew.until_processed("q", Outcome::Completed, 1).await;
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_starts_at_infinity_keeps_no_other_from_being_found() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("never", json!({})).await;
    schema.queue("q", json!({})).await;
    schema
        .execute("insert into {schema}.job (name, start_after) values ('never', 'infinity')")
        .await;
    schema.jobs("q", 1).await;
    let seen = Seen::default();
    let crew = Crew::start(
        config(&schema, &["never", "q"]),
        [("never", seen.handler()), ("q", seen.handler())],
    );
    crew.until_processed("q", Outcome::Completed, 1).await;
    assert_eq!(schema.states("never").await, json!({ "created": 1 }));
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_privilege_that_is_revoked_makes_it_unready_until_it_is_granted_again() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", json!({})).await;
    let role = format!("{}_role", schema.name);
    schema
        .execute(&format!(
            "create role {role} login password 'x'; grant usage on schema {{schema}} to {role};
             grant select, insert, update, delete on all tables in schema {{schema}} to {role}"
        ))
        .await;
    let mut url = reqwest::Url::parse(&schema.url).expect("a URL");
    url.set_username(&role).expect("a user");
    url.set_password(Some("x")).expect("a password");
    let mut config = config(&schema, &["q"]);
    config.database.url = url.to_string();
    let seen = Seen::default();
    let crew = Crew::start(config, [("q", seen.handler())]);
    schema.jobs("q", 1).await;
    seen.until(1).await;

    schema
        .execute(&format!("revoke update on {{schema}}.job_common from {role}"))
        .await;
    schema.jobs("q", 1).await;
    until_reason(&crew, "GRANT UPDATE ON").await;
    assert_eq!(seen.jobs(), 1);

    schema
        .execute(&format!("grant update on {{schema}}.job_common to {role}"))
        .await;
    seen.until(2).await;
    crew.until_ready().await;
    crew.stop().await;
    schema.execute(&format!("drop owned by {role}; drop role {role}")).await;
}
