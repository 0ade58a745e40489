//! Who claims does the work, and nobody else.

use serde_json::json;
use strawboss::upkeep::Supervised;

use super::{keeping, we_supervise};
use crate::differential::{Pair, Straw, on_releases, running};
use crate::support::Release;

on_releases!(every: node_first, we_first);

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
