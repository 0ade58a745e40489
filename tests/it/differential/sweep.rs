//! Jobs whose deadline or lease is over, taken back by pg-boss's supervisor on one side and by our sweep on the other.

use std::collections::HashSet;

use serde_json::{Value, json};
use strawboss::postgres::Executor;
use strawboss::settle::FAIL;
use tokio_postgres::types::Type;

use super::fail::running;
use super::{Pair, Straw, on_releases};
use crate::support::{Release, Schema};

on_releases!(every: lost_jobs, locks, beside_node);

impl Pair {
    /// One pass of the supervisor of this release over its schema.
    async fn they_sweep(&self) {
        let method = if self.release == Release::V10_4_2 {
            "maintain"
        } else {
            "supervise"
        };
        // A queue whose pass is younger than a minute is left alone.
        if self.release != Release::V10_4_2 {
            let claims = if self.version() >= 40 {
                "monitor_on = null, monitor_claim_on = null"
            } else {
                "monitor_on = null"
            };
            self.theirs
                .execute(&format!("update {{schema}}.queue set {claims}"))
                .await;
        }
        self.boss.call(method, json!([])).await.expect("pg-boss supervises");
    }

    /// Rows that are overdue, silent, both, or neither.
    async fn lost(&self, queue: &str) {
        let long_ago = json!("2026-01-01T05:00:00Z");
        let now = json!(chrono::Utc::now().to_rfc3339());
        let row = |n: u32, started: &Value, beat: Option<i32>, columns: Value| {
            let mut row = running(n, columns);
            row["started_on"] = started.clone();
            row["heartbeat_seconds"] = json!(beat);
            row
        };
        self.jobs(
            queue,
            [
                row(1, &long_ago, None, json!({"retry_limit": 2})),
                row(
                    2,
                    &long_ago,
                    None,
                    json!({"retry_limit": 2, "retry_count": 2, "dead_letter": "dead"}),
                ),
                row(3, &long_ago, None, json!({"expire": 2_000_000_000})),
                row(4, &now, None, json!({"expire": 900})),
                row(5, &long_ago, None, json!({"state": "completed"})),
                row(6, &long_ago, None, json!({"state": "retry"})),
                row(
                    7,
                    &now,
                    Some(10),
                    json!({"retry_limit": 2, "output": {"of": "an attempt before"}}),
                ),
                row(8, &now, Some(10), json!({"retry_limit": 0, "dead_letter": "dead"})),
                row(9, &now, Some(2_000_000_000), json!({})),
                row(10, &long_ago, Some(10), json!({"retry_limit": 3, "retry_delay": 600})),
                row(11, &now, Some(10), json!({"heartbeat_on": null})),
                row(12, &Value::Null, None, json!({})),
            ],
        )
        .await;
    }
}

async fn lost_jobs(release: Release) {
    let pair = Pair::new(release).await;
    pair.queue("dead", json!({})).await;
    // Up to pg-boss 12.25 its supervisor looks for silent jobs only in queues that ask for heartbeats themselves.
    pair.queue("q", json!({"heartbeatSeconds": 10})).await;
    pair.queue("apart", json!({"heartbeatSeconds": 10, "partition": true}))
        .await;
    pair.queue("not-served", json!({"heartbeatSeconds": 10})).await;
    for queue in ["q", "apart"] {
        pair.lost(queue).await;
    }
    pair.they_sweep().await;
    pair.lost("not-served").await;
    let sweeping = pair.straw.rescue(&["q", "apart"]).await;
    // Each queue has two dead letters with heartbeats, one without.
    let dead = if pair.has("heartbeat_seconds") { 4 } else { 2 };
    pair.ours
        .until(&format!(
            "(select count(*) from {{schema}}.job where name = 'dead') >= {dead}"
        ))
        .await;
    drop(sweeping);
    pair.assert_equal("after a sweep", &[]).await;
}

/// Runs our sweep once; how many rows it took.
async fn sweep(straw: &Straw, schema: &Schema, queue: &str) -> usize {
    let table = straw.queue(queue).await.table;
    let sql = FAIL.render_with(&straw.dialect, &table, &["sweep"]);
    let client = straw.database.client().await.expect("a connection");
    let names = [queue];
    let rows = client
        .query(
            &sql,
            &[
                (&&names[..], Type::TEXT_ARRAY),
                (&schema.name.as_str(), Type::TEXT),
                (&table.as_str(), Type::TEXT),
            ],
        )
        .await;
    rows.unwrap_or_else(|error| panic!("{error}\n{sql}")).len()
}

async fn locks(release: Release) {
    let pair = Pair::new(release).await;
    pair.queue("dead", json!({})).await;
    pair.queue("q", json!({})).await;
    pair.lost("q").await;
    // As pg-boss computes them: version 10 has one for everything, later ones have one a table and purpose.
    let keys: &[&str] = match release {
        Release::V10_4_2 => &[""],
        Release::V11_1_2 => &["job_commonfailJobsByTimeout"],
        _ => &["job_commonfailJobsByTimeout", "job_commonfailJobsByHeartbeat"],
    };
    for key in keys {
        let holder = pair.ours.connect().await;
        let lock = format!(
            "begin; select pg_advisory_xact_lock(('x' || encode(sha224((current_database() || '.pgboss.{}{key}')::bytea), 'hex'))\
             ::bit(64)::bigint)",
            pair.ours.name
        );
        holder.batch_execute(&lock).await.expect("the lock is free");
        assert_eq!(
            sweep(&pair.straw, &pair.ours, "q").await,
            0,
            "{release} while another holds {key:?}"
        );
        holder.batch_execute("rollback").await.expect("the lock is let go");
    }
    let lost = if pair.has("heartbeat_seconds") { 5 } else { 3 };
    assert_eq!(
        sweep(&pair.straw, &pair.ours, "q").await,
        lost,
        "{release} when nobody holds it"
    );
    assert_eq!(
        sweep(&pair.straw, &pair.ours, "q").await,
        0,
        "{release} when nothing is left"
    );
}

/// Both sweep one schema at once; every job is taken back once.
async fn beside_node(release: Release) {
    const JOBS: u32 = 300;
    let pair = Pair::new(release).await;
    pair.queue("dead", json!({})).await;
    pair.queue("q", json!({})).await;
    pair.jobs(
        "q",
        (0..JOBS).map(|n| running(n, json!({"retry_limit": 0, "dead_letter": "dead"}))),
    )
    .await;
    let straw = Straw::on(&pair.theirs).await;
    let ours = async {
        let mut taken = 0;
        for _ in 0..10 {
            taken += sweep(&straw, &pair.theirs, "q").await;
        }
        taken
    };
    let theirs = async {
        for _ in 0..3 {
            pair.they_sweep().await;
        }
    };
    let (taken, ()) = tokio::join!(ours, theirs);
    assert!(taken <= JOBS as usize);
    let failed = "select count(*) as count from {schema}.job where name = 'q' and state = 'failed'";
    assert_eq!(pair.theirs.value(failed).await, json!(JOBS));
    let copies = pair
        .theirs
        .rows("select data from {schema}.job where name = 'dead'")
        .await;
    let distinct: HashSet<String> = copies.iter().map(Value::to_string).collect();
    assert_eq!(
        (copies.len(), distinct.len()),
        (JOBS as usize, JOBS as usize),
        "one dead letter each"
    );
}
