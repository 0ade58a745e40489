//! Many jobs at once.

use std::collections::HashSet;
use std::time::Duration;

use chrono::DateTime;
use serde_json::{Value, json};
use strawboss::enqueue::{Error, JobInsert, QueueOptions, SendOptions, StartAfter, insert};
use strawboss::job::Group;
use uuid::Uuid;

use super::pair::{Pair, name, raw};
use crate::support::{Release, needs_node};

/// Jobs in both spellings, told apart by their priority.
fn jobs(version: i32) -> (Vec<Value>, Vec<JobInsert>) {
    let default = SendOptions::default;
    let mut theirs = vec![
        json!({"priority": 1}),
        json!({"priority": 2, "data": {"b": 1, "a": [true, null, 1.50]}, "retryLimit": 9, "retryDelay": 3, "retryBackoff": true}),
        json!({"priority": 3, "data": null, "startAfter": "30", "expireInSeconds": 60}),
        json!({"priority": 4, "data": "text", "singletonKey": "k", "singletonSeconds": 3600}),
        // Which of the two goes in is open, so they are alike.
        json!({"priority": 4, "data": "text", "singletonKey": "k", "singletonSeconds": 3600}),
        json!({"priority": 6, "startAfter": "2030-01-01T00:00:00Z", "id": "00000000-0000-4000-8000-000000000006"}),
    ];
    let mut ours: Vec<(Option<Value>, SendOptions)> = vec![
        (None, default()),
        (
            Some(json!({"b": 1, "a": [true, null, 1.50]})),
            SendOptions {
                retry_limit: Some(9),
                retry_delay: Some(Duration::from_secs(3)),
                retry_backoff: Some(true),
                ..default()
            },
        ),
        (
            Some(Value::Null),
            SendOptions {
                start_after: Some(StartAfter::In(Duration::from_secs(30))),
                expire: Some(Duration::from_secs(60)),
                ..default()
            },
        ),
        (Some(json!("text")), throttled()),
        (Some(json!("text")), throttled()),
        (
            None,
            SendOptions {
                id: Some(Uuid::from_u128(0x0000_0000_0000_4000_8000_0000_0000_0006)),
                start_after: Some(StartAfter::At(
                    DateTime::from_timestamp(1_893_456_000, 0).expect("a valid instant"),
                )),
                ..default()
            },
        ),
    ];
    if version == 24 {
        theirs.push(json!({"priority": 7, "keepUntil": "2029-06-01T00:00:00Z", "deadLetter": "dead"}));
        let keep_until = DateTime::from_timestamp(1_874_966_400, 0);
        ours.push((
            None,
            SendOptions {
                keep_until,
                dead_letter: Some("dead".into()),
                ..default()
            },
        ));
    } else {
        theirs.push(json!({"priority": 7, "retentionSeconds": 5, "deleteAfterSeconds": 6, "retryDelayMax": 8, "retryBackoff": true}));
        ours.push((
            None,
            SendOptions {
                retention: Some(Duration::from_secs(5)),
                delete_after: Some(Duration::from_secs(6)),
                retry_delay_max: Some(Duration::from_secs(8)),
                retry_backoff: Some(true),
                ..default()
            },
        ));
    }
    if version >= 30 {
        theirs.push(
            json!({"priority": 8, "groupId": "g", "groupTier": "t", "heartbeatSeconds": 15, "deadLetter": "dead"}),
        );
        ours.push((
            None,
            SendOptions {
                group: Some(Group {
                    id: "g".into(),
                    tier: Some("t".into()),
                }),
                heartbeat: Some(Duration::from_secs(15)),
                dead_letter: Some("dead".into()),
                ..default()
            },
        ));
    }
    let ours = (1..).zip(ours).map(|(priority, (data, options))| JobInsert {
        data: data.as_ref().map(raw),
        options: SendOptions {
            priority: options.priority.or(Some(priority)),
            ..options
        },
    });
    (theirs, ours.collect())
}

fn throttled() -> SendOptions {
    SendOptions {
        priority: Some(4),
        singleton_key: Some("k".into()),
        singleton_seconds: Some(Duration::from_secs(3600)),
        ..SendOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_leaves_the_same_rows() {
    needs_node!();
    for release in Release::ALL {
        let pair = Pair::new(release).await;
        for queue in ["dead", "q"] {
            pair.queue(queue, json!({}), QueueOptions::default()).await;
        }
        let (mut theirs, ours) = jobs(pair.version());
        let arguments = if release == Release::V10_4_2 {
            for job in &mut theirs {
                job["name"] = json!("q");
            }
            json!([theirs])
        } else {
            json!(["q", theirs])
        };
        pair.boss.call("insert", arguments).await.expect("Node inserts");
        let ids = insert(&pair.client, &pair.dialect, &name("q"), &ours)
            .await
            .unwrap_or_else(|error| panic!("pg-boss {release}: {error}"));
        assert_eq!(ids.len(), ours.len() - 1, "one of the throttled two stays out");
        pair.assert_same_jobs("a batch").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_several_statements_goes_in_whole_and_in_order() {
    needs_node!();
    let pair = Pair::new(Release::NEWEST).await;
    pair.queue("q", json!({}), QueueOptions::default()).await;
    let jobs: Vec<_> = (0..12_001)
        .map(|n| JobInsert {
            data: Some(raw(&json!({ "n": n }))),
            options: SendOptions::default(),
        })
        .collect();
    let ids = insert(&pair.client, &pair.dialect, &name("q"), &jobs)
        .await
        .expect("they go in");
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), jobs.len());
    // Jobs of one statement have one created_on, so that a worker meets them in the order of the table.
    let disorder = "select count(*) from (select (data->>'n')::int - lag((data->>'n')::int) over (order by ctid) as step \
                    from {schema}.job_common) steps where step <> 1";
    assert_eq!(pair.ours.value(disorder).await, json!(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_refused_leaves_nothing() {
    needs_node!();
    let mut pair = Pair::new(Release::NEWEST).await;
    pair.queue("q", json!({}), QueueOptions::default()).await;
    let id = Uuid::from_u128(7);
    let with_id = || JobInsert {
        data: None,
        options: SendOptions {
            id: Some(id),
            ..SendOptions::default()
        },
    };
    let plain = JobInsert::default;
    let twice = [with_id(), plain(), with_id()];
    let invalid = [
        plain(),
        JobInsert {
            data: None,
            options: SendOptions {
                heartbeat: Some(Duration::from_secs(9)),
                ..SendOptions::default()
            },
        },
    ];
    let transaction = pair.client.transaction().await.expect("it begins");
    let refused = insert(&transaction, &pair.dialect, &name("q"), &twice).await;
    assert!(
        matches!(refused, Err(Error::DuplicateId(it)) if it == id),
        "{refused:?}"
    );
    let theirs = pair
        .boss
        .call("insert", json!(["q", [{ "id": id }, {}, { "id": id }]]))
        .await;
    assert_eq!(
        theirs.expect_err("Node refuses").message,
        refused.expect_err("so do we").to_string()
    );

    let refused = insert(&transaction, &pair.dialect, &name("q"), &invalid).await;
    assert!(matches!(&refused, Err(Error::InBatch { index: 1, .. })), "{refused:?}");
    let unknown = insert(&transaction, &pair.dialect, &name("missing"), &[plain()]).await;
    assert!(matches!(unknown, Err(Error::UnknownQueue(_))), "{unknown:?}");
    let empty = insert(&transaction, &pair.dialect, &name("q"), &[]).await;
    assert!(empty.expect("nothing is inserted").is_empty());
    transaction.commit().await.expect("the transaction is usable");
    assert_eq!(pair.ours.value("select count(*) from {schema}.job").await, json!(0));
}
