//! What a failed attempt leaves behind: another attempt, the end, or a dead letter.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use strawboss::claim::Terms;
use strawboss::handler::{HandlerError, Then};
use strawboss::job::{Job, Outcome, Verdict};

use super::{Pair, id, job, on_releases};
use crate::support::{Release, Schema};

on_releases!(every: retries, backoff, dead_letters, conflicts, unknown_columns);
on_releases!(from_12: for_good, lineage);

/// When the attempts that fail here began.
const BEGAN: &str = "2026-01-01T05:00:00Z";

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

fn error() -> HandlerError {
    HandlerError::retry("no luck")
}

impl Pair {
    /// Fails everything that runs in the queue, on both sides, with the same error; what came of ours, by number.
    async fn fail_all(&self, queue: &str) -> Vec<Outcome> {
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

    async fn fail_ours(&self, queue: &str, error: HandlerError) -> Vec<Outcome> {
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

/// A rule for delays: the columns that set it, and the seconds for the least and the greatest luck.
struct Rule {
    columns: Value,
    least: f64,
    most: f64,
}

fn rules(release: Release) -> Vec<Rule> {
    let rule = |columns: Value, least: f64, most: f64| Rule { columns, least, most };
    let backoff = |delay: i32, count: i32, max: Option<i32>| json!({"retry_backoff": true, "retry_delay": delay, "retry_count": count, "retry_limit": 50, "retry_delay_max": max});
    let mut rules = vec![
        rule(json!({"retry_delay": 0, "retry_limit": 1}), 0.0, 0.0),
        rule(
            json!({"retry_delay": 3000, "retry_count": 3, "retry_limit": 5}),
            3000.0,
            3000.0,
        ),
        // A cap is for backoff only.
        rule(
            json!({"retry_delay": 3000, "retry_delay_max": 10, "retry_limit": 5}),
            3000.0,
            3000.0,
        ),
    ];
    rules.extend(match release {
        Release::V10_4_2 => vec![
            rule(backoff(1000, 0, None), 1000.0, 2000.0),
            rule(backoff(1000, 3, None), 8000.0, 16_000.0),
            rule(backoff(1, 20, None), 32_768.0, 65_536.0),
            rule(backoff(0, 9, None), 0.0, 0.0),
        ],
        Release::V11_1_2 => vec![
            rule(backoff(1000, 9, None), 1512.0, 2024.0),
            rule(backoff(10, 20, None), 32_778.0, 65_546.0),
            rule(backoff(0, 9, None), 512.0, 1024.0),
            rule(backoff(1000, 9, Some(1700)), 1512.0, 1700.0),
            rule(backoff(1000, 9, Some(0)), 0.0, 0.0),
        ],
        Release::V12_20_0 | Release::V12_21_0 | Release::V12_24_0 => vec![
            rule(backoff(1000, 0, None), 1000.0, 2000.0),
            rule(backoff(1, 20, None), 32_768.0, 65_536.0),
            rule(backoff(1000, 2, Some(6000)), 4000.0, 6000.0),
            rule(backoff(1000, 9, Some(6000)), 6000.0, 6000.0),
            rule(backoff(1000, 9, Some(0)), 0.0, 0.0),
            rule(backoff(0, 9, None), 0.0, 0.0),
        ],
        Release::V12_27_0 | Release::V12_38_0 => vec![
            rule(backoff(1000, 0, None), 1000.0, 2000.0),
            rule(backoff(1, 20, None), 32_768.0, 65_536.0),
            rule(backoff(1000, 2, Some(6000)), 4000.0, 6000.0),
            rule(backoff(1000, 9, Some(6000)), 6000.0, 6000.0),
            rule(backoff(1000, 9, Some(0)), 0.0, 0.0),
            rule(backoff(0, 9, None), 512.0, 1024.0),
        ],
    });
    rules
}

async fn backoff(release: Release) {
    const JOBS: u32 = 200;
    let pair = Pair::new(release).await;
    for (number, rule) in rules(release).iter().enumerate() {
        let queue = format!("rule-{number}");
        pair.queue(&queue, json!({})).await;
        pair.jobs(&queue, (0..JOBS).map(|n| running(n, rule.columns.clone())))
            .await;
        let before = Utc::now();
        pair.fail_all(&queue).await;
        for (side, schema) in [("pg-boss", &pair.theirs), ("strawboss", &pair.ours)] {
            let what = format!("{release} {side} {}", rule.columns);
            let delays = delays(schema, &queue, before).await;
            assert_eq!(delays.len(), JOBS as usize, "{what}");
            // The two sides fail their jobs within a few seconds.
            let within = |delay: &f64| (rule.least - 0.5..=rule.most + 10.0).contains(delay);
            assert!(delays.iter().all(within), "{what}: {delays:?}");
            // So many evenly spread ones leave no quarter of the range out, even where a cap cuts it short.
            if rule.most - rule.least > 100.0 {
                let quarter = |n: u8| {
                    let reach = rule.most - rule.least;
                    let from = rule.least + reach * f64::from(n) / 4.0;
                    delays
                        .iter()
                        .any(|delay| (from..from + reach / 4.0 + 10.0).contains(delay))
                };
                assert!((0..4).all(quarter), "{what}: not spread over the range: {delays:?}");
            }
        }
    }
    pair.assert_equal("after every rule for delays", &["start_after"]).await;

    // What a handler may ask for instead, which pg-boss has no word for.
    pair.queue("asked", json!({})).await;
    let asked = [
        (Then::RetryAfter(Duration::from_secs(5000)), 5000.0),
        (Then::RetryNoSooner(Duration::from_secs(5000)), 5000.0),
        (Then::RetryNoSooner(Duration::from_secs(5)), 600.0),
    ];
    for (n, (then, delay)) in (0u32..).zip(asked) {
        pair.jobs("asked", [running(n, json!({"retry_limit": 3, "retry_delay": 600}))])
            .await;
        let before = Utc::now();
        let outcomes = pair.fail_ours("asked", HandlerError { then, ..error() }).await;
        assert_eq!(outcomes, [Outcome::Retried]);
        let delays = delays(&pair.ours, "asked", before).await;
        assert!(
            (delay - 0.5..delay + 10.0).contains(&delays[n as usize]),
            "{then:?}: {delays:?}"
        );
    }
}

/// How many seconds after that moment the retries of a queue may start, by number.
async fn delays(schema: &Schema, queue: &str, from: DateTime<Utc>) -> Vec<f64> {
    let rows = format!("select start_after from {{schema}}.job where name = '{queue}' and state = 'retry' order by id");
    let start = |row: &Value| {
        row["start_after"]
            .as_str()
            .expect("a moment")
            .parse::<DateTime<Utc>>()
            .expect("a moment")
    };
    schema
        .rows(&rows)
        .await
        .iter()
        .map(|row| (start(row) - from).as_seconds_f64())
        .collect()
}

/// A dead letter queue unlike the default in everything.
async fn with_dead_letters(pair: &Pair) {
    pair.queue(
        "dead",
        json!({
            "policy": "singleton", "retryLimit": 7, "retryDelay": 3, "retryBackoff": true, "retryDelayMax": 55, "expireInSeconds": 78,
            "retentionSeconds": 12_345, "retentionMinutes": 206, "deleteAfterSeconds": 4321, "heartbeatSeconds": 44,
        }),
    )
    .await;
    pair.queue("q", json!({"deadLetter": "dead", "policy": "short"})).await;
}

async fn dead_letters(release: Release) {
    let pair = Pair::new(release).await;
    with_dead_letters(&pair).await;
    let last = |n: u32, columns: Value| {
        let mut row = running(n, json!({"retry_limit": 1, "retry_count": 1, "dead_letter": "dead"}));
        row.as_object_mut()
            .expect("a row is an object")
            .extend(columns.as_object().expect("columns are an object").clone());
        row
    };
    pair.jobs(
        "q",
        [
            last(1, json!({})),
            last(2, json!({"data": null})),
            last(
                3,
                json!({
                    "priority": 7, "expire": 77, "singleton_key": "k", "singleton_on": "2026-01-01T00:00:00", "group_id": "g",
                    "group_tier": "t", "heartbeat_seconds": 33, "deletion_seconds": 99, "retry_delay": 9, "retry_backoff": true,
                    "retry_delay_max": 5, "trace_context": {"traceparent": "00-1-2-01"}, "retry_limit": 0, "retry_count": 0,
                    "keep_until": "2099-01-01T00:00:00Z", "blocking": true,
                }),
            ),
            // Retries left: no dead letter.
            last(4, json!({"retry_limit": 3})),
            // Its own dead letter queue.
            last(5, json!({"dead_letter": "q", "singleton_key": "another"})),
            last(6, json!({"dead_letter": null})),
        ],
    )
    .await;
    let outcomes = pair.fail_all("q").await;
    let [dead, again, last] = [Outcome::DeadLettered, Outcome::Retried, Outcome::Failed];
    // Version 10 makes no copy in a job's own queue.
    let own = if release == Release::V10_4_2 { last } else { dead };
    assert_eq!(outcomes, [dead, dead, dead, again, own, last]);
    let copies = "select count(*) as count from {schema}.job where name = 'dead'";
    assert_eq!(pair.ours.value(copies).await, json!(3));
    pair.assert_equal("after the last attempts", &[]).await;
}

/// A dead letter that fails in its turn stays what it was a copy of.
async fn lineage(release: Release) {
    let pair = Pair::new(release).await;
    with_dead_letters(&pair).await;
    let origin = json!({
        "retry_limit": 1, "retry_count": 1, "dead_letter": "dead", "source_name": "first", "source_id": id(50),
        "source_created_on": BEGAN, "source_retry_count": 4, "source_output": {"why": 1}, "source_root_id": id(40),
    });
    let mut again = origin.clone();
    again["retry_limit"] = json!(2);
    pair.jobs("q", [running(1, origin), running(2, again)]).await;
    pair.fail_all("q").await;
    if pair.has("source_output") {
        pair.assert_equal("after a dead letter failed", &[]).await;
    } else {
        // Until pg-boss 12.35 such a job forgot where it came from; ours does not.
        let forgotten = ["source_name", "source_id", "source_created_on", "source_retry_count"];
        pair.assert_equal("after a dead letter failed", &forgotten).await;
        let kept = "select count(*) as count from {schema}.job where name = 'q' and source_name = 'first' and source_retry_count = 4";
        assert_eq!(pair.ours.value(kept).await, json!(2));
        let copy = "select source_name, source_id, source_retry_count, source_created_on from {schema}.job where name = 'dead'";
        assert_eq!(pair.ours.row(copy).await, pair.theirs.row(copy).await);
    }
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

/// A handler may know that no other attempt can help; pg-boss's word for it is `deadletter` (12.22).
async fn for_good(release: Release) {
    let pair = Pair::new(release).await;
    with_dead_letters(&pair).await;
    pair.jobs(
        "q",
        [
            job(
                1,
                json!({"retry_limit": 5, "retry_delay": 600, "dead_letter": "dead", "singleton_key": "k"}),
            ),
            job(2, json!({"retry_limit": 0, "dead_letter": "dead"})),
            job(3, json!({"retry_limit": 2, "singleton_key": "l"})),
        ],
    )
    .await;
    let lending = Terms {
        lease: Some(60),
        ..Terms::default()
    };
    let jobs = pair.straw.claim("q", 3, &lending).await;
    assert_eq!(jobs.len(), 3);
    let hopeless = HandlerError::never_retry("no luck");
    let verdicts = jobs.into_iter().map(|job| (job, Verdict::Fail(hopeless.clone())));
    let mut outcomes = pair.straw.settle(verdicts.collect::<Vec<_>>()).await;
    outcomes.sort_by_key(|outcome| outcome.as_str());
    assert_eq!(
        outcomes,
        [Outcome::DeadLettered, Outcome::DeadLettered, Outcome::Failed]
    );

    let body =
        "return jobs.map(({ id }) => ({ id, status: 'deadletter', output: { name: 'Error', message: 'no luck' } }))";
    let options = json!({"batchSize": 3, "perJobResults": true, "pollingIntervalSeconds": 0.5});
    pair.boss.work("q", options, json!({"run": body})).await;
    pair.theirs
        .until("(select count(*) = 3 from {schema}.job where name = 'q' and state = 'failed')")
        .await;
    pair.assert_equal("after jobs failed for good", &[]).await;
}
