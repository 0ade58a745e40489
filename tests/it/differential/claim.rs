//! Which jobs a claim takes, and what it leaves in their rows.

use serde_json::{Value, json};
use strawboss::claim::Terms;

use super::{Pair, id, job, on_releases};
use crate::support::Release;

on_releases!(every: order, attempts);

impl Pair {
    /// One fetch on each side has to bring the same jobs, and they are these.
    pub async fn both_claim(&self, queue: &str, limit: usize, options: Value, terms: &Terms, expected: &[u32]) {
        let mut all = json!({"batchSize": limit});
        all.as_object_mut()
            .expect("made above")
            .extend(options.as_object().expect("options are an object").clone());
        let (theirs, ours) = tokio::join!(self.they_fetch(queue, all), self.straw.claim_ids(queue, limit, terms));
        let expected: Vec<String> = expected.iter().map(|n| id(*n)).collect();
        assert_eq!(
            theirs, expected,
            "pg-boss {}: what it fetches from {queue}",
            self.release
        );
        assert_eq!(ours, expected, "pg-boss {}: what we claim from {queue}", self.release);
    }

    /// The same where nothing but the queue says what may be claimed.
    pub async fn both_take(&self, queue: &str, limit: usize, expected: &[u32]) {
        self.both_claim(queue, limit, json!({}), &Terms::default(), expected)
            .await;
    }

    /// One claim of ours brings these.
    pub async fn we_take(&self, queue: &str, limit: usize, expected: &[u32]) {
        let ours = self.straw.claim_ids(queue, limit, &Terms::default()).await;
        let expected: Vec<String> = expected.iter().map(|n| id(*n)).collect();
        assert_eq!(ours, expected, "pg-boss {}: what we claim from {queue}", self.release);
    }
}

async fn order(release: Release) {
    let pair = Pair::new(release).await;

    pair.queue("order", json!({})).await;
    let priorities = [0, 0, 5, -1, 5, 0, 2];
    let rows = (0u32..)
        .zip(priorities)
        .map(|(n, priority)| job(n, json!({"priority": priority})));
    pair.jobs("order", rows.collect::<Vec<_>>().into_iter().rev()).await;
    for (limit, expected) in [
        (1, &[2][..]),
        (1, &[4]),
        (2, &[0, 6]),
        (1, &[1]),
        (10, &[3, 5]),
        (10, &[]),
    ] {
        pair.both_take("order", limit, expected).await;
    }

    // Equal in priority and age: by id up to schema 39, in no stated order later.
    pair.queue("ties", json!({})).await;
    let same = json!({"created_on": "2026-01-01T00:00:00Z", "start_after": "2026-01-01T00:00:00Z"});
    pair.jobs("ties", [5, 2, 4, 1, 3].map(|n| job(n, same.clone()))).await;
    if pair.version() < 40 {
        for (limit, expected) in [(1, &[1][..]), (2, &[2, 3]), (5, &[4, 5])] {
            pair.both_take("ties", limit, expected).await;
        }
    } else {
        pair.both_take("ties", 5, &[1, 2, 3, 4, 5]).await;
    }

    pair.queue("later", json!({})).await;
    pair.jobs(
        "later",
        [
            job(1, json!({"start_after": "2090-01-01T00:00:00Z", "priority": 9})),
            job(2, json!({"start_after": "-infinity"})),
            job(3, json!({"start_after": "infinity"})),
            job(4, json!({"state": "completed"})),
            job(5, json!({"state": "cancelled"})),
            job(6, json!({"state": "failed"})),
            job(7, json!({"state": "active"})),
            job(8, json!({"state": "retry"})),
            job(9, json!({"state": "retry", "start_after": "2090-01-01T00:00:00Z"})),
        ],
    )
    .await;
    pair.both_take("later", 10, &[2, 8]).await;

    pair.queue("locked", json!({})).await;
    pair.jobs("locked", (1..=3).map(|n| job(n, json!({})))).await;
    let holders = [&pair.theirs, &pair.ours];
    for holder in holders {
        let lock = format!(
            "begin; select 1 from {{schema}}.job where name = 'locked' and id = '{}' for update",
            id(1)
        );
        holder.execute(&lock).await;
    }
    pair.both_take("locked", 2, &[2, 3]).await;
    for holder in holders {
        holder.execute("rollback").await;
    }
    pair.both_take("locked", 2, &[1]).await;

    if pair.has("blocked") {
        pair.queue("flow", json!({})).await;
        let blocked = json!({"blocked": true, "pending_dependencies": 1});
        pair.jobs("flow", [job(1, blocked), job(2, json!({"blocking": true}))])
            .await;
        pair.both_take("flow", 10, &[2]).await;
    }

    if !pair.has("expire_in") {
        pair.queue("apart", json!({"partition": true})).await;
        pair.jobs("apart", (1..=3).map(|n| job(n, json!({})))).await;
        pair.both_take("apart", 2, &[1, 2]).await;
    }

    // Bounds came with pg-boss 12.15.
    if pair.version() >= 31 {
        pair.queue("bounds", json!({})).await;
        pair.jobs("bounds", (1..=5).map(|n| job(n, json!({"priority": n}))))
            .await;
        let lowest = Terms {
            min_priority: Some(4),
            ..Terms::default()
        };
        let highest = Terms {
            max_priority: Some(2),
            ..Terms::default()
        };
        let only = Terms {
            min_priority: Some(3),
            max_priority: Some(3),
            ..Terms::default()
        };
        pair.both_claim("bounds", 1, json!({"minPriority": 4}), &lowest, &[5])
            .await;
        pair.both_claim("bounds", 9, json!({"maxPriority": 2}), &highest, &[1, 2])
            .await;
        pair.both_claim("bounds", 9, json!({"minPriority": 3, "maxPriority": 3}), &only, &[3])
            .await;
    }

    pair.assert_equal("after claims by order", &[]).await;
}

async fn attempts(release: Release) {
    let pair = Pair::new(release).await;
    pair.queue("q", json!({})).await;
    let ran = "2026-01-01T01:00:00Z";
    pair.jobs(
        "q",
        [
            job(1, json!({"expire": 77})),
            // Failed once, and ready to be tried again.
            job(
                2,
                json!({"state": "retry", "started_on": ran, "retry_count": 0, "output": {"no": "luck"}}),
            ),
            job(
                3,
                json!({"state": "retry", "started_on": ran, "retry_count": 1, "retry_limit": 5}),
            ),
            // Failed while it was still queued.
            job(4, json!({"state": "retry"})),
            // Cancelled while it ran, then resumed.
            job(
                5,
                json!({"started_on": ran, "retry_count": 2, "retry_limit": 2, "heartbeat_on": ran}),
            ),
            // Retried by hand, before pg-boss 12.26 cleared completed_on.
            job(
                6,
                json!({"state": "retry", "started_on": ran, "retry_limit": 3, "retry_count": 2, "completed_on": ran}),
            ),
            job(7, json!({"heartbeat_seconds": 33})),
            job(
                8,
                json!({"state": "retry", "started_on": ran, "heartbeat_seconds": 33, "heartbeat_on": ran}),
            ),
        ],
    )
    .await;
    let theirs = pair
        .boss
        .call("fetch", json!(["q", {"batchSize": 10, "includeMetadata": true}]))
        .await
        .expect("pg-boss fetches");
    let ours = pair.straw.claim("q", 10, &Terms::default()).await;
    let theirs = theirs.as_array().expect("a list of jobs");
    assert_eq!((theirs.len(), ours.len()), (8, 8));
    for our in &ours {
        let their = theirs
            .iter()
            .find(|their| their["id"] == our.id().to_string())
            .expect("it fetched the same");
        assert_eq!(their["retryCount"], our.attempt.retry_count, "{their}");
        assert_eq!(their["retryLimit"], our.retry_limit, "{their}");
        let expire = their["expireInSeconds"]
            .as_f64()
            .or_else(|| their["expireInSeconds"].as_str()?.parse().ok());
        assert_eq!(expire, Some(our.expire.as_secs_f64()), "{their}");
        if pair.has("heartbeat_seconds") {
            assert_eq!(
                their["heartbeatSeconds"],
                json!(our.heartbeat.map(|heartbeat| heartbeat.seconds)),
                "{their}"
            );
            assert!(our.heartbeat.is_none_or(|heartbeat| !heartbeat.lent));
        }
    }
    pair.assert_equal("after claims of every kind of attempt", &[]).await;

    // A lease is lent to those without a heartbeat only, and to nobody where there are none.
    pair.jobs("q", [job(11, json!({})), job(12, json!({"heartbeat_seconds": 33}))])
        .await;
    let lending = Terms {
        lease: Some(60),
        ..Terms::default()
    };
    let mut lent: Vec<_> = pair
        .straw
        .claim("q", 10, &lending)
        .await
        .iter()
        .map(|job| job.heartbeat)
        .collect();
    lent.sort_by_key(|heartbeat| heartbeat.map(|heartbeat| heartbeat.seconds));
    pair.they_fetch("q", json!({"batchSize": 10})).await;
    if pair.has("heartbeat_seconds") {
        assert_eq!(
            lent.iter()
                .map(|heartbeat| heartbeat.map(|h| (h.seconds, h.lent)))
                .collect::<Vec<_>>(),
            [Some((33, false)), Some((60, true))]
        );
        pair.assert_equal("after claims with a lease", &["heartbeat_seconds"])
            .await;
    } else {
        assert_eq!(lent, [None, None]);
        pair.assert_equal("after claims with a lease", &[]).await;
    }
}
