//! What a failed attempt leaves behind: another attempt, the end, or a dead letter.

use std::sync::Arc;

use serde_json::{Value, json};
use strawboss::claim::Terms;
use strawboss::handler::HandlerError;
use strawboss::job::{Job, Outcome, Verdict};

use super::{Pair, id, job, on_releases};
use crate::support::Release;

on_releases!(every: retries, conflicts, unknown_columns);

/// When the attempts that fail here began.
pub const BEGAN: &str = "2026-01-01T05:00:00Z";

/// The row of a job whose attempt is under way.
pub fn running(n: u32, columns: Value) -> Value {
    let mut row = job(
        n,
        json!({"state": "active", "started_on": BEGAN, "heartbeat_on": BEGAN}),
    );
    row.as_object_mut()
        .expect("a row is an object")
        .extend(columns.as_object().expect("columns are an object").clone());
    row
}

pub fn error() -> HandlerError {
    HandlerError::retry("no luck")
}

impl Pair {
    /// Fails everything that runs in the queue, on both sides, with the same error; what came of ours, by number.
    pub async fn fail_all(&self, queue: &str) -> Vec<Outcome> {
        let running = format!("select id::text as id from {{schema}}.job where name = '{queue}' and state = 'active'");
        let ids: Vec<Value> = self
            .theirs
            .rows(&running)
            .await
            .into_iter()
            .map(|mut row| row["id"].take())
            .collect();
        self.boss
            .call("fail", json!([queue, ids, {"name": "Error", "message": "no luck"}]))
            .await
            .expect("pg-boss fails them");
        self.fail_ours(queue, error()).await
    }

    pub async fn fail_ours(&self, queue: &str, error: HandlerError) -> Vec<Outcome> {
        let verdicts = self
            .held(queue)
            .await
            .into_iter()
            .map(|job| (job, Verdict::Fail(error.clone())));
        self.straw.settle(verdicts.collect::<Vec<_>>()).await
    }

    /// Our side's running jobs of a queue, by number, as the claim would have brought them.
    pub async fn held(&self, queue: &str) -> Vec<Arc<Job>> {
        let rows = format!(
            "select id::text as id, retry_count from {{schema}}.job where name = '{queue}' and state = 'active' order by id"
        );
        let rows = self.ours.rows(&rows).await;
        let count = |row: &Value| i32::try_from(row["retry_count"].as_i64().expect("a number")).expect("small");
        rows.iter()
            .map(|row| self.straw.held(queue, row["id"].as_str().expect("an id"), count(row)))
            .collect()
    }
}

async fn retries(release: Release) {
    let pair = Pair::new(release).await;
    pair.queue("dead", json!({})).await;
    for (queue, options) in [
        ("q", json!({"deadLetter": "dead"})),
        ("apart", json!({"partition": true})),
    ] {
        pair.queue(queue, options).await;
        pair.jobs(
            queue,
            [
                running(1, json!({"retry_limit": 2})),
                running(2, json!({"retry_limit": 2, "retry_delay": 3600})),
                running(3, json!({"retry_limit": 2, "retry_count": 1, "retry_delay": 60, "output": {"earlier": 1}})),
                // The last attempt.
                running(4, json!({"retry_limit": 2, "retry_count": 2, "retry_delay": 60})),
                running(5, json!({"retry_limit": 0})),
                // Beyond its limit: it was cancelled on its last attempt, resumed, and ran again.
                running(6, json!({"retry_limit": 2, "retry_count": 3, "retry_delay": 7200})),
                running(
                    7,
                    json!({
                        "retry_limit": 5, "priority": 7, "expire": 77, "singleton_key": "k", "singleton_on": "2026-01-01T00:00:00",
                        "group_id": "g", "group_tier": "t", "heartbeat_seconds": 33, "deletion_seconds": 99, "retry_delay_max": 5,
                        "blocking": true, "pending_dependencies": 0, "trace_context": {"traceparent": "00-1-2-01"},
                        "data": ["not", "an", "object"],
                    }),
                ),
            ],
        )
        .await;
        let outcomes = pair.fail_all(queue).await;
        let [again, last] = [Outcome::Retried, Outcome::Failed];
        assert_eq!(
            outcomes,
            [again, again, again, last, last, last, again],
            "{release} {queue}"
        );
        pair.assert_equal("after failures", &[]).await;
    }
    // What we lent leaves with the attempt, whatever comes of it.
    pair.queue("lent", json!({})).await;
    pair.jobs(
        "lent",
        [job(1, json!({"retry_limit": 3})), job(2, json!({"retry_limit": 0}))],
    )
    .await;
    pair.they_fetch("lent", json!({"batchSize": 2})).await;
    let lending = Terms {
        lease: Some(60),
        ..Terms::default()
    };
    let jobs = pair.straw.claim("lent", 2, &lending).await;
    pair.boss
        .call(
            "fail",
            json!(["lent", [id(1), id(2)], {"name": "Error", "message": "no luck"}]),
        )
        .await
        .expect("pg-boss fails them");
    let verdicts = jobs.into_iter().map(|job| (job, Verdict::Fail(error())));
    pair.straw.settle(verdicts.collect::<Vec<_>>()).await;
    pair.assert_equal("after failures under a lease", &[]).await;
}

async fn conflicts(release: Release) {
    let pair = Pair::new(release).await;
    pair.queue("dead", json!({})).await;
    let keyed = |n: u32, key: Option<&str>, state: &str| {
        let row = if state == "active" {
            running(n, json!({"retry_limit": 3, "retry_delay": 60}))
        } else {
            job(n, json!({"state": state}))
        };
        let mut row = row;
        row["singleton_key"] = json!(key);
        row["dead_letter"] = json!("dead");
        row
    };
    let mut queues = vec!["short", "singleton", "stately"];
    if pair.version() >= 26 {
        queues.push("exclusive");
    }
    for policy in &queues {
        pair.queue(policy, json!({"policy": policy, "deadLetter": "dead"}))
            .await;
        pair.jobs(policy, [keyed(1, Some("a"), "active"), keyed(3, None, "active")])
            .await;
        if *policy != "exclusive" {
            pair.jobs(policy, [keyed(5, Some("a"), "created"), keyed(6, None, "retry")])
                .await;
        }
    }
    if pair.version() >= 28 {
        queues.push("fifo");
        pair.queue("fifo", json!({"policy": "key_strict_fifo", "deadLetter": "dead"}))
            .await;
        pair.jobs("fifo", [keyed(1, Some("a"), "active"), keyed(2, Some("a"), "created")])
            .await;
    }
    for policy in queues {
        let outcomes = pair.fail_all(policy).await;
        // Where a retry of the key waits already, stately has no room for another.
        let second = if policy == "stately" {
            Outcome::DeadLettered
        } else {
            Outcome::Retried
        };
        let expected = [Outcome::Retried, second];
        assert_eq!(outcomes, &expected[..outcomes.len()], "{release} {policy}");
    }
    pair.assert_equal("after failures under policies", &[]).await;
}

/// Columns that a later pg-boss, or somebody else, added to the table survive; Node's own fail loses them.
async fn unknown_columns(release: Release) {
    let pair = Pair::new(release).await;
    pair.queue("dead", json!({})).await;
    for (queue, options) in [("q", json!({})), ("apart", json!({"partition": true}))] {
        pair.queue(queue, options).await;
        let row = |n: u32, limit: i32| running(n, json!({"retry_limit": limit, "dead_letter": "dead"}));
        pair.jobs(queue, [row(1, 2), row(2, 0)]).await;
    }
    // The statements are prepared before the column comes.
    pair.jobs("q", [running(3, json!({}))]).await;
    pair.ours
        .execute(&format!(
            "update {{schema}}.job set state = 'completed' where name = 'q' and id <> '{}'",
            id(3)
        ))
        .await;
    pair.fail_ours("q", error()).await;
    pair.ours
        .execute(&format!(
            "update {{schema}}.job set state = 'active' where name = 'q' and id <> '{}'",
            id(3)
        ))
        .await;
    pair.ours
        .execute(
            "alter table {schema}.job add column dropped int, add column extra jsonb not null default '{}', add column moment timestamptz; \
             alter table {schema}.job drop column dropped; \
             update {schema}.job set extra = '{\"big\": 12345678901234567890}', moment = '2020-02-02T02:02:02.123456Z'",
        )
        .await;
    for queue in ["q", "apart"] {
        let outcomes = pair.fail_ours(queue, error()).await;
        assert_eq!(outcomes, [Outcome::Retried, Outcome::DeadLettered]);
    }
    let kept = "select count(*) as count from {schema}.job where name <> 'dead' and extra::text = '{\"big\": 12345678901234567890}' \
                and moment = '2020-02-02T02:02:02.123456Z'";
    assert_eq!(pair.ours.value(kept).await, json!(5));
    let copies = "select count(*) as count from {schema}.job where name = 'dead' and extra = '{}'";
    assert_eq!(pair.ours.value(copies).await, json!(2));
}
