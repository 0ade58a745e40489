//! What a job that failed for good leaves in its dead letter queue.

use serde_json::{Value, json};
use strawboss::claim::Terms;
use strawboss::handler::HandlerError;
use strawboss::job::{Outcome, Verdict};

use super::fail::{BEGAN, running};
use super::{Pair, id, job, on_releases};
use crate::support::Release;

on_releases!(every: dead_letters);
on_releases!(from_12: lineage, for_good);

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
