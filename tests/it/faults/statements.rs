//! The server is there, and refuses some of what it is asked.

use std::time::{Duration, Instant};

use serde_json::json;
use strawboss::job::Outcome;
use tokio_util::sync::CancellationToken;

use crate::support::crew::{Crew, Seen, config};
use crate::support::{Release, Schema, needs_node, wait_for};

const JOBS: usize = 40;

/// Refuses to complete the job whose number is 17.
fn refuses(state: &str) -> String {
    format!(
        "create function {{schema}}.refuse() returns trigger language plpgsql as $$ begin
           if new.state = 'completed' and new.data ->> 'n' = '17' then
             raise exception 'not this one' using errcode = '{state}';
           end if;
           return new;
         end $$;
         create trigger refuse before update on {{schema}}.job_common
         for each row execute function {{schema}}.refuse()"
    )
}

/// A worker all of whose jobs are running and wait for the gate, so that their verdicts come together.
async fn gathered(schema: &Schema) -> (Crew, Seen, CancellationToken) {
    schema.queue("q", json!({ "retryLimit": 5 })).await;
    schema.jobs("q", JOBS).await;
    let mut config = config(schema, &["q"]);
    config.worker.concurrency = JOBS;
    config.queues.get_mut("q").expect("it is there").concurrency = JOBS;
    let (seen, gate) = (Seen::default(), CancellationToken::new());
    let crew = Crew::start(config, [("q", seen.waiting_handler(&gate))]);
    seen.until(JOBS).await;
    (crew, seen, gate)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_that_is_refused_for_good_holds_up_no_other_and_its_job_runs_again() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.execute(&refuses("P0001")).await;
    let (crew, seen, gate) = gathered(&schema).await;
    gate.cancel();
    crew.until_processed("q", Outcome::Completed, JOBS as u64 - 1).await;
    assert_eq!(schema.states("q").await, json!({ "completed": JOBS - 1, "active": 1 }));
    schema.execute("drop trigger refuse on {schema}.job_common").await;
    crew.until_processed("q", Outcome::Completed, JOBS as u64).await;
    assert_eq!(seen.repeated().into_values().map(|runs| runs.len()).min(), Some(2));
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_that_is_refused_for_now_holds_up_no_other_and_is_kept() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    // A full disk, say.
    schema.execute(&refuses("53100")).await;
    let (crew, seen, gate) = gathered(&schema).await;
    gate.cancel();
    crew.until_processed("q", Outcome::Completed, JOBS as u64 - 1).await;
    // The queue goes on meanwhile.
    schema.jobs("q", 1).await;
    crew.until_processed("q", Outcome::Completed, JOBS as u64).await;
    schema.execute("drop trigger refuse on {schema}.job_common").await;
    crew.until_processed("q", Outcome::Completed, JOBS as u64 + 1).await;
    assert_eq!(seen.repeated(), Default::default());
    assert_eq!(
        schema.value("select max(retry_count) from {schema}.job").await,
        json!(0)
    );
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_somebody_has_locked_holds_up_no_verdict_and_no_lease_of_another() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    let (crew, seen, gate) = gathered(&schema).await;
    let somebody = schema.connect().await;
    let lock = "begin; select from {schema}.job where data ->> 'n' = '17' for update";
    somebody.batch_execute(&schema.sql(lock)).await.expect("it is locked");
    // Longer than a lease: renewals go on beside the locked row.
    schema
        .until(
            "(select bool_and(heartbeat_on > started_on + interval '3s') from {schema}.job where data ->> 'n' <> '17')",
        )
        .await;
    gate.cancel();
    let began = Instant::now();
    crew.until_processed("q", Outcome::Completed, JOBS as u64 - 1).await;
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    somebody.batch_execute("rollback").await.expect("it is unlocked");
    crew.until_processed("q", Outcome::Completed, JOBS as u64).await;
    assert_eq!(seen.repeated(), Default::default());
    assert_eq!(
        schema.value("select max(retry_count) from {schema}.job").await,
        json!(0)
    );
    assert_eq!(crew.processed("q", Outcome::Fenced), 0);
    crew.stop().await;
}

/// A role of its own that may do what a worker does, and a worker that runs five jobs under it until the gate opens.
async fn under_a_role(schema: &Schema) -> (String, Crew, Seen, CancellationToken) {
    let role = format!("r_{}", schema.name);
    schema
        .execute(&format!(
            "create role {role} login password 'x';
             grant usage on schema {{schema}} to {role};
             grant all on all tables in schema {{schema}} to {role}"
        ))
        .await;
    schema.queue("q", json!({})).await;
    schema.jobs("q", 5).await;
    let mut config = config(schema, &["q"]);
    let url = &mut config.database.url;
    let (start, end) = (url.find("//").expect("a URL") + 2, url.rfind('@').expect("a user"));
    url.replace_range(start..end, &format!("{role}:x"));
    let (seen, gate) = (Seen::default(), CancellationToken::new());
    let crew = Crew::start(config, [("q", seen.waiting_handler(&gate))]);
    seen.until(5).await;
    (role, crew, seen, gate)
}

#[tokio::test(flavor = "multi_thread")]
async fn privileges_taken_away_for_a_while_cost_no_verdict() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    let (role, crew, seen, gate) = under_a_role(&schema).await;
    schema
        .execute(&format!("revoke update on all tables in schema {{schema}} from {role}"))
        .await;
    gate.cancel();
    let failures = crew.metrics.settle_failures.with_label_values(&["complete"]);
    wait_for("a verdict to be refused", async || failures.get() > 3).await;
    schema
        .execute(&format!("grant all on all tables in schema {{schema}} to {role}"))
        .await;
    crew.until_processed("q", Outcome::Completed, 5).await;
    assert_eq!(seen.repeated(), Default::default());
    crew.stop().await;
    schema.execute(&format!("drop owned by {role}; drop role {role}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_taken_away_for_a_while_costs_no_verdict() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    let (role, crew, seen, gate) = under_a_role(&schema).await;
    schema
        .execute(&format!(
            "alter role {role} nologin; select pg_terminate_backend(pid) from pg_stat_activity where usename = '{role}'"
        ))
        .await;
    gate.cancel();
    let failures = crew.metrics.settle_failures.with_label_values(&["complete"]);
    wait_for("a verdict to find no connection", async || failures.get() > 3).await;
    schema.execute(&format!("alter role {role} login")).await;
    crew.until_processed("q", Outcome::Completed, 5).await;
    assert_eq!(seen.repeated(), Default::default());
    crew.stop().await;
    schema.execute(&format!("drop owned by {role}; drop role {role}")).await;
}
