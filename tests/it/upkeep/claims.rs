//! Who claims does the work, and nobody else.

use serde_json::json;
use strawboss::upkeep::Supervised;

use super::{keeping, we_supervise};
use crate::differential::{Pair, Straw, on_releases, running};
use crate::support::Release;

on_releases!(every: node_first, we_first);
on_releases!(counting_waits: V12_38_0 v12_38_0);

const ACTIVE: &str = "select count(*) as count from {schema}.job where name = 'q' and state = 'active'";

async fn prepared(release: Release) -> (Pair, Straw) {
    let pair = Pair::new(release).await;
    pair.queue("q", json!({})).await;
    let straw = Straw::on(&pair.theirs).await;
    (pair, straw)
}

async fn node_first(release: Release) {
    let (pair, straw) = prepared(release).await;
    pair.they_supervise().await;
    pair.jobs("q", [running(1, json!({}))]).await;
    let done = we_supervise(&straw, &keeping()).await;
    assert_eq!(done, Supervised::default(), "pg-boss {release} has just claimed it");
    assert_eq!(pair.theirs.value(ACTIVE).await, json!(1));
    pair.theirs.an_hour_later().await;
    let done = we_supervise(&straw, &keeping()).await;
    assert_eq!(
        done.rescued.values().sum::<u64>(),
        1,
        "pg-boss {release}, an hour later"
    );
}

async fn we_first(release: Release) {
    let (pair, straw) = prepared(release).await;
    we_supervise(&straw, &keeping()).await;
    pair.jobs("q", [running(1, json!({}))]).await;
    pair.they_supervise().await;
    assert_eq!(
        pair.theirs.value(ACTIVE).await,
        json!(1),
        "pg-boss {release}: we have just claimed it"
    );
    pair.theirs.an_hour_later().await;
    pair.they_supervise().await;
    assert_eq!(
        pair.theirs.value(ACTIVE).await,
        json!(0),
        "pg-boss {release}, an hour later"
    );
}

/// Counting is put off while another instance is at it or has asked for a rest; expiry is not.
async fn counting_waits(release: Release) {
    let (pair, straw) = prepared(release).await;
    let counted = "select monitor_on is not null from {schema}.queue where name = 'q'";
    let lost = |n: u32| running(n, json!({"retry_limit": 0}));

    let holder = pair.theirs.connect().await;
    let lock = format!(
        "begin; select pg_advisory_xact_lock(('x' || encode(sha224((current_database() || '.pgboss.{}queue-stats')::bytea), 'hex'))\
         ::bit(64)::bigint)",
        pair.theirs.name
    );
    holder.batch_execute(&lock).await.expect("the lock is free");
    pair.jobs("q", [lost(1)]).await;
    let done = we_supervise(&straw, &keeping()).await;
    assert_eq!(
        (done.counted.len(), done.rescued.values().sum::<u64>()),
        (0, 1),
        "{done:?}"
    );
    assert_eq!(pair.theirs.value(counted).await, json!(false));
    holder.batch_execute("rollback").await.expect("the lock is let go");

    // The claim was given back: the next pass counts, and need not wait for an interval.
    pair.execute("update {schema}.version set monitor_backoff_on = now() + interval '1 minute'")
        .await;
    pair.jobs("q", [lost(2)]).await;
    let done = we_supervise(&straw, &keeping()).await;
    assert_eq!(
        (done.counted.len(), done.rescued.values().sum::<u64>()),
        (0, 1),
        "it rests: {done:?}"
    );
    pair.execute("update {schema}.version set monitor_backoff_on = now() - interval '1 minute'")
        .await;
    pair.theirs.an_hour_later().await;
    let done = we_supervise(&straw, &keeping()).await;
    assert_eq!(done.counted.len(), 1, "{done:?}");
    assert_eq!(pair.theirs.value(counted).await, json!(true));
}
