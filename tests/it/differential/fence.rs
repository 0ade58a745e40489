//! A verdict that comes too late changes nothing, and a job that is handed back is as if it had not been taken.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use strawboss::claim::Terms;
use strawboss::handler::HandlerError;
use strawboss::job::{Job, Outcome, Verdict};

use super::fail::running;
use super::{Pair, id, job, on_releases};
use crate::support::{Release, Schema};

on_releases!(every: too_late, handed_back, postponed, handed_back_without_room);

fn every_verdict() -> [Verdict; 4] {
    [
        Verdict::Complete {
            output: None,
            logged: None,
        },
        Verdict::Fail(HandlerError::retry("no luck")),
        Verdict::Fail(HandlerError::never_retry("no luck")),
        Verdict::Release,
    ]
}

async fn everything(schema: &Schema) -> Vec<Value> {
    schema
        .rows("select j, j.ctid, j.xmin from {schema}.job j order by name, id")
        .await
}

async fn too_late(release: Release) {
    let pair = Pair::new(release).await;
    pair.queue("dead", json!({})).await;
    pair.queue("q", json!({"deadLetter": "dead"})).await;
    let states = ["created", "retry", "completed", "cancelled", "failed", "active"];
    let rows = (1u32..)
        .zip(states)
        .map(|(n, state)| running(n, json!({"state": state, "retry_count": 1, "dead_letter": "dead"})));
    pair.jobs("q", rows).await;
    let before = everything(&pair.ours).await;
    let attempt = |n: u32, retry_count: i32| pair.straw.held("q", &id(n), retry_count);
    for verdict in every_verdict() {
        // The right attempt of a row that is no longer active, another attempt of one that is, and no row at all.
        let mut late: Vec<(Arc<Job>, Verdict)> = (1..=5).map(|n| (attempt(n, 1), verdict.clone())).collect();
        late.extend([(6, 0), (6, 2), (7, 0)].map(|(n, count)| (attempt(n, count), verdict.clone())));
        let count = late.len();
        assert_eq!(
            pair.straw.settle(late).await,
            vec![Outcome::Fenced; count],
            "{release} {verdict:?}"
        );
        assert_eq!(everything(&pair.ours).await, before, "{release} {verdict:?}");
    }

    // A row that pg-boss took back from us and fetched again is pg-boss's; of two verdicts for it, only its own counts.
    let pair = Pair::new(release).await;
    pair.queue("q", json!({})).await;
    pair.jobs("q", [job(1, json!({"retry_limit": 3}))]).await;
    let on_theirs = super::Straw::on(&pair.theirs).await;
    let ours = on_theirs.claim("q", 1, &Terms::default()).await.remove(0);
    pair.boss
        .call("fail", json!(["q", id(1)]))
        .await
        .expect("pg-boss fails it");
    assert_eq!(pair.they_fetch("q", json!({})).await, [id(1)]);
    let before = everything(&pair.theirs).await;
    for verdict in every_verdict() {
        let outcomes = on_theirs.settle([(Arc::clone(&ours), verdict)]).await;
        assert_eq!(outcomes, [Outcome::Fenced]);
    }
    assert_eq!(everything(&pair.theirs).await, before);
    pair.boss
        .call("complete", json!(["q", id(1), {"by": "pg-boss"}]))
        .await
        .expect("pg-boss completes it");
    let row = pair
        .theirs
        .row("select state, retry_count, output from {schema}.job")
        .await;
    assert_eq!(
        row,
        json!({"state": "completed", "retry_count": 1, "output": {"by": "pg-boss"}})
    );
}

async fn handed_back(release: Release) {
    let pair = Pair::new(release).await;
    pair.queue("q", json!({})).await;
    let rows = || {
        [
            job(1, json!({})),
            job(
                2,
                json!({"state": "retry", "started_on": "2026-01-01T05:00:00Z", "retry_count": 1, "retry_limit": 5}),
            ),
            job(3, json!({"state": "retry", "output": {"of": "an attempt before"}})),
            job(4, json!({"heartbeat_seconds": 33})),
        ]
    };
    pair.jobs("q", rows()).await;
    let lending = Terms {
        lease: Some(60),
        ..Terms::default()
    };
    // On their schema pg-boss fetches once; on ours we take the jobs and hand them back first, twice.
    for _ in 0..2 {
        let jobs = pair.straw.claim("q", 10, &lending).await;
        let counts: Vec<i32> = jobs.iter().map(|job| job.attempt.retry_count).collect();
        assert_eq!(counts, [0, 2, 0, 0]);
        let verdicts = jobs.into_iter().map(|job| (job, Verdict::Release));
        assert_eq!(
            pair.straw.settle(verdicts.collect::<Vec<_>>()).await,
            [Outcome::Released; 4]
        );
    }
    assert_eq!(pair.they_fetch("q", json!({"batchSize": 10})).await.len(), 4);
    let boss = crate::support::Boss::start(release, &pair.ours.url, &pair.ours.name, json!({})).await;
    let fetched = boss
        .call("fetch", json!(["q", {"batchSize": 10, "includeMetadata": true}]))
        .await
        .expect("pg-boss fetches");
    let mut counts: Vec<_> = fetched
        .as_array()
        .expect("jobs")
        .iter()
        .map(|job| job["retryCount"].clone())
        .collect();
    counts.sort_by_key(Value::as_i64);
    assert_eq!(counts, [0, 0, 0, 2]);
    pair.assert_equal("after a fetch of what was handed back", &[]).await;
}

/// A job that cannot be run yet comes back when it was told to, with every attempt it had.
async fn postponed(release: Release) {
    let pair = Pair::new(release).await;
    let terms = Terms::default();
    pair.queue("q", json!({})).await;
    pair.our_jobs("q", [job(1, json!({"retry_limit": 2}))]).await;
    let taken = pair.straw.claim("q", 1, &terms).await.remove(0);
    let later = HandlerError::postpone("not yet", Duration::from_millis(1500));
    let outcomes = pair.straw.settle([(taken, Verdict::Fail(later))]).await;
    assert_eq!(outcomes, [Outcome::Released]);
    let row = "select state, retry_count, started_on, output, \
               start_after between now() + interval '0.1s' and now() + interval '1.5s' as later from {schema}.job";
    assert_eq!(
        pair.ours.row(row).await,
        json!({"state": "created", "retry_count": 0, "started_on": null, "output": null, "later": true})
    );
    assert!(pair.straw.claim("q", 1, &terms).await.is_empty(), "not at once");
    pair.ours.until("(select start_after < now() from {schema}.job)").await;
    let again = pair.straw.claim("q", 1, &terms).await.remove(0);
    assert_eq!(again.attempt.retry_count, 0);
}

/// While a job ran, another of its key may have taken the place it came from.
async fn handed_back_without_room(release: Release) {
    let pair = Pair::new(release).await;
    let terms = Terms::default();
    pair.queue("short", json!({"policy": "short"})).await;
    pair.our_jobs("short", [job(1, json!({"singleton_key": "a"}))]).await;
    let taken = pair.straw.claim("short", 1, &terms).await.remove(0);
    pair.our_jobs("short", [job(2, json!({"singleton_key": "a"}))]).await;
    assert_eq!(
        pair.straw.settle([(taken, Verdict::Release)]).await,
        [Outcome::Released]
    );
    let state = |n: u32| {
        format!(
            "select state, retry_count, started_on from {{schema}}.job where name = 'short' and id = '{}'",
            id(n)
        )
    };
    let waiting = json!({"state": "retry", "retry_count": 0, "started_on": null});
    assert_eq!(pair.ours.row(&state(1)).await, waiting);
    assert_eq!(pair.ours.row(&state(2)).await["state"], "created");

    // Stately: the place of a retry is taken, that of a new job is free.
    pair.queue("stately", json!({"policy": "stately"})).await;
    let retry = json!({"singleton_key": "a", "state": "retry", "started_on": "2026-01-01T05:00:00Z", "retry_limit": 5});
    pair.our_jobs("stately", [job(1, retry)]).await;
    let taken = pair.straw.claim("stately", 1, &terms).await.remove(0);
    pair.our_jobs("stately", [job(2, json!({"singleton_key": "a", "state": "retry"}))])
        .await;
    assert_eq!(
        pair.straw.settle([(taken, Verdict::Release)]).await,
        [Outcome::Released]
    );
    let states = "select array_agg(state::text || ' ' || retry_count order by id) as states from {schema}.job where name = 'stately'";
    assert_eq!(pair.ours.value(states).await, json!(["created 1", "retry 0"]));
    // pg-boss finds it there, with the attempt it had.
    let boss = crate::support::Boss::start(release, &pair.ours.url, &pair.ours.name, json!({})).await;
    let fetched = boss
        .call("fetch", json!(["stately", {"includeMetadata": true}]))
        .await
        .expect("pg-boss fetches");
    assert_eq!(
        (&fetched[0]["id"], &fetched[0]["retryCount"]),
        (&json!(id(1)), &json!(1))
    );
}
