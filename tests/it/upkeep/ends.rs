//! A supervisor that ends in the midst of its work.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use super::we_supervise;
use crate::differential::Straw;
use crate::support::crew::{Crew, Seen, config};
use crate::support::{Release, Schema, wait_for};

/// 25,000 jobs that are long past their retention, in the order of their ids. They are deleted in three steps, of which the
/// second one takes three seconds.
async fn long_overdue() -> Schema {
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", json!({})).await;
    schema
        .execute(
            "insert into {schema}.job (id, name, state, policy, priority, completed_on, keep_until)
             select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'q', 'completed', 'standard', n,
               '2026-01-01', '2026-01-01' from generate_series(1, 25000) n;
             create function {schema}.rest() returns trigger language plpgsql as
               'begin perform pg_sleep(3); return old; end';
             create trigger rest before delete on {schema}.job for each row when (old.priority = 15000)
               execute function {schema}.rest()",
        )
        .await;
    schema
}

const LEFT: &str = "select count(*) from {schema}.job";
const SECOND_STEP: &str = "(select count(*) = 15000 from {schema}.job)";

/// Another supervisor finds the rest a day later, and counts right.
async fn another_day(schema: &Schema) {
    schema.execute("drop trigger rest on {schema}.job").await;
    let straw = Straw::on(schema).await;
    schema
        .execute("update {schema}.queue set maintain_on = maintain_on - interval '1 day', monitor_claim_on = null")
        .await;
    let done = we_supervise(&straw, &strawboss::config::UpkeepConfig::default()).await;
    assert!(done.deleted >= 5000, "{done:?}");
    assert_eq!(schema.value(LEFT).await, json!(0));
    schema
        .execute("update {schema}.queue set monitor_claim_on = null")
        .await;
    we_supervise(&straw, &strawboss::config::UpkeepConfig::default()).await;
    let counted = schema
        .row("select total_count, retained_count from {schema}.queue where name = 'q'")
        .await;
    assert_eq!(counted, json!({ "total_count": 0, "retained_count": 0 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_amid_a_deletion_it_ends_with_whole_steps_and_leaves_the_rest_to_others() {
    let schema = long_overdue().await;
    let mut config = config(&schema, &["served"]);
    config.upkeep.supervise_interval = Duration::from_secs(1);
    let crew = Crew::start(config, [("served", Seen::default().handler())]);
    schema.until(SECOND_STEP).await;
    let report = crew.stop().await;
    assert!(report.is_clean(), "{report}");
    let left = schema.value(LEFT).await;
    assert!([json!(15_000), json!(5000)].contains(&left), "{left} are left");
    let claim = "select maintain_on from {schema}.queue where name = 'q'";
    assert_eq!(schema.value(claim).await, json!(null), "it is given back");
    another_day(&schema).await;
}

/// Somebody else holds pg-boss's lock: what waits for it does not keep a worker from ending.
#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_while_it_waits_for_a_lock_it_ends() {
    let schema = long_overdue().await;
    let holder = schema.connect().await;
    let lock = schema.sql(
        "begin; select pg_advisory_xact_lock(('x' || encode(sha224((current_database() || '.pgboss.{schema}job_commondeletion')::bytea), \
         'hex'))::bit(64)::bigint)",
    );
    holder.batch_execute(&lock).await.expect("the lock is free");
    let mut config = config(&schema, &["served"]);
    config.upkeep.supervise_interval = Duration::from_secs(1);
    let crew = Crew::start(config, [("served", Seen::default().handler())]);
    let pid = holder
        .query_one("select pg_backend_pid()", &[])
        .await
        .expect("its number");
    let pid: i32 = pid.get(0);
    let waits = format!("exists (select from pg_stat_activity where {pid} = any(pg_blocking_pids(pid)))");
    schema.until(&waits).await;
    let report = crew.stop().await;
    assert!(report.is_clean(), "{report}");
    let claim = "select maintain_on from {schema}.queue where name = 'q'";
    assert_eq!(schema.value(claim).await, json!(null), "it is given back");
    assert_eq!(schema.value(LEFT).await, json!(25_000));
    holder.batch_execute("rollback").await.expect("the lock is let go");
    another_day(&schema).await;
}

/// Counting takes as long as it takes: what was claimed for it is counted by the next one.
#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_amid_a_long_count_it_ends_and_another_counts() {
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", json!({})).await;
    schema
        .execute(
            "create function {schema}.rest() returns trigger language plpgsql as
               'begin perform pg_sleep(20); return new; end';
             create trigger rest before update of monitor_on on {schema}.queue for each row execute function {schema}.rest()",
        )
        .await;
    let mut config = config(&schema, &["served"]);
    config.upkeep.supervise_interval = Duration::from_secs(1);
    let crew = Crew::start(config, [("served", Seen::default().handler())]);
    let name = &schema.name;
    schema
        .until(&format!(
            "exists (select from pg_stat_activity where wait_event = 'PgSleep' and query like '%{name}%' and pid <> pg_backend_pid())"
        ))
        .await;
    let report = crew.stop().await;
    assert!(report.is_clean(), "{report}");
    // Where the server was too slow to take the claim back, it stands until it is old.
    schema
        .execute("drop trigger rest on {schema}.queue; update {schema}.queue set monitor_claim_on = monitor_claim_on - interval '1h'")
        .await;
    let straw = Straw::on(&schema).await;
    let done = we_supervise(&straw, &strawboss::config::UpkeepConfig::default()).await;
    assert_eq!(done.counted.len(), 1, "{done:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_amid_a_deletion_it_leaves_whole_steps_and_no_lock() {
    let schema = long_overdue().await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    let settings = format!(
        "[database]\nurl = \"{}\"\nschema = \"{}\"\nown_schema = \"{}\"\n[worker]\nschedule = false\n[http]\nlisten = \"\"\n\
         [upkeep]\nsupervise_interval = \"1s\"\n[queues.served]\nhandler = {{ noop = true }}\n",
        schema.url,
        schema.name,
        schema.own()
    );
    std::fs::write(file.path(), settings).expect("written");
    let mut worker = Command::new(env!("CARGO_BIN_EXE_strawboss"))
        .args(["run", "--config"])
        .arg(file.path())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs");
    wait_for("the second step, or an end of the program", async || {
        let ended = worker.try_wait().expect("it is our child");
        assert_eq!(ended, None, "it ended by itself");
        schema.value(&format!("select {SECOND_STEP}")).await == json!(true)
    })
    .await;
    worker.kill().expect("it is our child");
    worker.wait().expect("it ends");
    let name = &schema.name;
    schema
        .until(&format!(
            "not exists (select from pg_stat_activity where query like '%{name}%' and state <> 'idle' and pid <> pg_backend_pid())"
        ))
        .await;
    assert_eq!(schema.value(LEFT).await, json!(15_000), "what was under way is undone");
    another_day(&schema).await;
}
