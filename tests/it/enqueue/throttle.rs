//! Throttle slots and debouncing.

use std::time::Duration;

use serde_json::json;
use strawboss::enqueue::{QueueOptions, SendOptions};

use super::pair::Pair;
use crate::support::{Release, needs_node};

const HOUR: Duration = Duration::from_secs(3600);

fn throttled(key: Option<&str>) -> SendOptions {
    SendOptions {
        singleton_key: key.map(str::to_owned),
        singleton_seconds: Some(HOUR),
        ..SendOptions::default()
    }
}

/// Sends on both sides with an hour's slot and says whether a job went in.
async fn send(pair: &Pair, key: Option<&str>) -> bool {
    let mut theirs = json!({"singletonSeconds": 3600});
    if let Some(key) = key {
        theirs["singletonKey"] = json!(key);
    }
    let sent = pair.send("q", json!({}), theirs, &throttled(key)).await;
    sent.entered(&format!("pg-boss {}, key {key:?}", pair.release))
}

/// Waits until the hour has some time left, so that no slot ends within a test.
async fn early_in_the_hour(pair: &Pair) {
    let left = "select 3600 - extract(epoch from now())::bigint % 3600 as left";
    while pair.ours.value(left).await.as_i64().expect("a number") < 30 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_takes_one_job_per_key_until_that_is_cancelled() {
    needs_node!();
    for release in Release::ALL {
        let pair = Pair::new(release).await;
        pair.queue("q", json!({}), QueueOptions::default()).await;
        early_in_the_hour(&pair).await;
        let mut entered = Vec::new();
        for key in [None, None, Some(""), Some("a"), Some("a"), Some("b")] {
            entered.push(send(&pair, key).await);
        }
        assert_eq!(entered, [true, false, false, true, false, true]);
        pair.execute("update {schema}.job set state = 'completed' where singleton_key = 'a'")
            .await;
        assert!(!send(&pair, Some("a")).await, "a finished job keeps its slot");
        pair.execute("update {schema}.job set state = 'cancelled' where singleton_key = 'a'")
            .await;
        assert!(send(&pair, Some("a")).await, "a cancelled job gives up its slot");
        pair.assert_same_jobs("throttled").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_debounced_job_waits_in_the_next_slot() {
    needs_node!();
    for release in Release::ALL {
        let pair = Pair::new(release).await;
        pair.queue("q", json!({}), QueueOptions::default()).await;
        early_in_the_hour(&pair).await;
        let theirs = json!({"singletonSeconds": 3600, "singletonKey": "k", "singletonNextSlot": true, "startAfter": 1});
        let ours = SendOptions {
            singleton_next_slot: true,
            start_after: Some(strawboss::enqueue::StartAfter::In(Duration::from_secs(1))),
            ..throttled(Some("k"))
        };
        let mut entered = Vec::new();
        for n in 0..3 {
            let sent = pair.send("q", json!({ "n": n }), theirs.clone(), &ours).await;
            entered.push(sent.entered(&format!("pg-boss {release}, debounced {n}")));
        }
        assert_eq!(entered, [true, true, false]);

        // The second starts one to two seconds into the next slot; Node reckons by its own clock, so to the millisecond.
        let second = "select data->'n' as n, singleton_key, \
                extract(epoch from singleton_on)::bigint / 3600 - extract(epoch from created_on)::bigint / 3600 as slot, \
                extract(epoch from start_after - singleton_on at time zone 'UTC')::float8 between 0.99 and 2.01 as starts, \
                keep_until - start_after as kept \
             from {schema}.job where start_after > created_on + interval '1s'";
        let second_here = pair.ours.row(second).await;
        assert_eq!(pair.theirs.row(second).await, second_here, "pg-boss {release}");
        assert_eq!(second_here["slot"], 1);
        assert_eq!(second_here["starts"], true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_takes_a_later_slot() {
    needs_node!();
    for release in [Release::V11_1_2, Release::V12_38_0] {
        let pair = Pair::new(release).await;
        pair.queue("q", json!({}), QueueOptions::default()).await;
        early_in_the_hour(&pair).await;
        pair.boss
            .call(
                "insert",
                json!(["q", [{"singletonSeconds": 3600, "singletonOffset": 7200}]]),
            )
            .await
            .expect("Node inserts");
        let ours = SendOptions {
            singleton_offset: Some(7200),
            ..throttled(None)
        };
        let id = strawboss::enqueue::send(&pair.client, &pair.dialect, &"q".into(), None, &ours).await;
        assert!(id.expect("it is sent").is_some());
        pair.assert_same_jobs("two slots later").await;
    }
}
