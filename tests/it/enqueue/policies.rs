//! Who is kept out by a queue's policy.

use serde_json::json;
use strawboss::enqueue::{Error, JobInsert, QueueOptions, SendOptions, insert};
use strawboss::queue::Policy;

use super::pair::{Pair, name};
use crate::support::{Release, needs_node};

fn keyed(key: Option<&str>) -> SendOptions {
    SendOptions {
        singleton_key: key.map(str::to_owned),
        ..SendOptions::default()
    }
}

/// Sends with every key and says, key by key, whether a job went in.
async fn sends(pair: &Pair, policy: Policy, keys: &[Option<&str>]) -> Vec<bool> {
    let mut entered = Vec::new();
    for key in keys {
        let sent = pair
            .send("q", json!({}), json!({ "singletonKey": key }), &keyed(*key))
            .await;
        entered.push(sent.entered(&format!("pg-boss {}, {policy:?}, key {key:?}", pair.release)));
    }
    entered
}

async fn a_policy(release: Release, policy: Policy, partition: bool, queued: [bool; 5], active: [bool; 3]) {
    let pair = Pair::new(release).await;
    let mut theirs = json!({ "policy": policy.as_str() });
    if partition {
        theirs["partition"] = json!(true);
    }
    let ours = QueueOptions {
        policy,
        partition,
        ..QueueOptions::default()
    };
    pair.queue("q", theirs, ours).await;

    let entered = sends(&pair, policy, &[Some("a"), Some("a"), Some("b"), None, Some("")]).await;
    assert_eq!(entered, queued, "pg-boss {release}, {policy:?}, all queued");
    // One per key at most, as the indexes allow no more.
    pair.execute(
        "update {schema}.job set state = 'active' where id in \
         (select distinct on (coalesce(singleton_key, '')) id from {schema}.job order by coalesce(singleton_key, ''), created_on)",
    )
    .await;
    let entered = sends(&pair, policy, &[Some("a"), Some("c"), None]).await;
    assert_eq!(entered, active, "pg-boss {release}, {policy:?}, with active ones");
    pair.assert_same_jobs(policy.as_str()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policies_keep_out_whom_node_keeps_out() {
    needs_node!();
    let (short, all, later) = ([true, false, true, true, false], [true; 5], [true; 3]);
    for release in Release::ALL {
        a_policy(release, Policy::Singleton, false, all, later).await;
        a_policy(release, Policy::Short, false, short, later).await;
        a_policy(release, Policy::Stately, false, short, later).await;
        if release > Release::V10_4_2 {
            a_policy(release, Policy::Exclusive, true, short, [false, true, false]).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_order_needs_a_key() {
    needs_node!();
    for release in [Release::V12_24_0, Release::V12_38_0] {
        let mut pair = Pair::new(release).await;
        let options = QueueOptions {
            policy: Policy::KeyStrictFifo,
            ..QueueOptions::default()
        };
        pair.queue("q", json!({"policy": "key_strict_fifo"}), options).await;
        assert_eq!(
            sends(&pair, Policy::KeyStrictFifo, &[Some("a"), Some("a"), Some("b")]).await,
            [true; 3]
        );
        for key in [None, Some("")] {
            let sent = pair
                .send("q", json!({}), json!({ "singletonKey": key }), &keyed(key))
                .await;
            let (_, ours) = sent.refused("a job without a key");
            assert_eq!(
                ours,
                "queue q has the policy key_strict_fifo, so its jobs need a singleton_key"
            );
        }
        pair.assert_same_jobs("strict order").await;

        // A batch is refused whole, and the transaction it was to be part of goes on.
        let transaction = pair.client.transaction().await.expect("it begins");
        let jobs = [keyed(Some("c")), keyed(None)].map(|options| JobInsert { data: None, options });
        let refused = insert(&transaction, &pair.dialect, &name("q"), &jobs).await;
        assert!(matches!(refused, Err(Error::KeyRequired(_))), "{refused:?}");
        let ids = insert(&transaction, &pair.dialect, &name("q"), &jobs[..1]).await;
        assert_eq!(ids.expect("the transaction is usable").len(), 1);
        transaction.commit().await.expect("it commits");
        assert_eq!(pair.ours.value("select count(*) from {schema}.job").await, json!(4));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_id_keeps_the_job_out() {
    needs_node!();
    for release in Release::ALL {
        let pair = Pair::new(release).await;
        pair.queue("q", json!({}), QueueOptions::default()).await;
        let id = "00000000-0000-4000-8000-000000000001";
        let ours = SendOptions {
            id: Some(id.parse().expect("a uuid")),
            ..SendOptions::default()
        };
        for expected in [true, false] {
            let sent = pair.send("q", json!({}), json!({ "id": id }), &ours).await;
            assert_eq!(sent.entered(&format!("pg-boss {release}")), expected);
        }
    }
}
