//! Queues are made, changed and read.

use std::time::Duration;

use serde_json::json;
use strawboss::enqueue::QueueChanges;
use strawboss::queue::Policy;
use strawboss::{QueueOptions, SendOptions};

use super::Both;
use crate::differential::on_releases;
use crate::support::Release;

const ROWS: &str = "select to_jsonb(q) - 'created_on' - 'updated_on' as row, q.updated_on > q.created_on as later \
                    from {schema}.queue q order by name";

async fn made_changed_and_read(release: Release) {
    let both = Both::new(release).await;
    let v10 = both.version() == 24;
    let (leases, notifies) = (both.version() >= 30, both.version() >= 32);
    let client = &both.client;
    let seconds = Duration::from_secs;
    both.boss("createQueue", json!(["dead"])).await;
    client
        .create_queue("dead", &QueueOptions::default())
        .await
        .expect("created");
    let mut theirs = json!({"policy": "singleton", "retryLimit": 4, "expireInSeconds": 100, "deadLetter": "dead"});
    let mut ours = QueueOptions {
        policy: Policy::Singleton,
        retry_limit: Some(4),
        expire: Some(seconds(100)),
        dead_letter: Some("dead".into()),
        ..QueueOptions::default()
    };
    if !v10 {
        theirs["partition"] = json!(true);
        theirs["warningQueueSize"] = json!(9);
        (ours.partition, ours.warning_queue_size) = (true, Some(9));
    }
    both.boss("createQueue", json!(["q", theirs])).await;
    client.create_queue("q", &ours).await.expect("created");
    both.same_rows("created", ROWS).await;

    let mut theirs = json!({"retryLimit": 5, "retryDelay": 6, "retryBackoff": true, "expireInSeconds": 70});
    let mut ours = QueueChanges {
        retry_limit: Some(5),
        retry_delay: Some(seconds(6)),
        retry_backoff: Some(true),
        expire: Some(seconds(70)),
        ..QueueChanges::default()
    };
    if v10 {
        // That release sets whatever it is not told to the standard.
        theirs["policy"] = json!("singleton");
        theirs["retentionMinutes"] = json!(2);
        ours.retention = Some(seconds(120));
    } else {
        for (key, value) in [
            ("retryDelayMax", 80),
            ("retentionSeconds", 90),
            ("deleteAfterSeconds", 95),
            ("warningQueueSize", 7),
        ] {
            theirs[key] = json!(value);
        }
        ours.retry_delay_max = Some(Some(seconds(80)));
        ours.retention = Some(seconds(90));
        ours.delete_after = Some(seconds(95));
        ours.warning_queue_size = Some(7);
    }
    if leases {
        theirs["heartbeatSeconds"] = json!(33);
        ours.heartbeat = Some(Some(seconds(33)));
    }
    if notifies {
        theirs["notify"] = json!(true);
        ours.notify = Some(true);
    }
    both.boss("updateQueue", json!(["q", theirs])).await;
    client.update_queue("q", &ours).await.expect("changed");
    both.same_rows("changed", ROWS).await;
    if leases {
        both.boss(
            "updateQueue",
            json!(["q", {"heartbeatSeconds": null, "retryDelayMax": null, "retryBackoff": true}]),
        )
        .await;
        let none = QueueChanges {
            heartbeat: Some(None),
            retry_delay_max: Some(None),
            retry_backoff: Some(true),
            ..QueueChanges::default()
        };
        client.update_queue("q", &none).await.expect("changed");
        both.same_rows("taken away", ROWS).await;
    }
    if both.version() >= 38 {
        both.boss("updateQueue", json!(["q", {"deadLetter": null}])).await;
        let none = QueueChanges {
            dead_letter: Some(None),
            ..QueueChanges::default()
        };
        client.update_queue("q", &none).await.expect("changed");
        both.same_rows("no dead letters", ROWS).await;
    }

    let theirs = both.boss("getQueue", json!(["q"])).await;
    let mut ours =
        serde_json::to_value(client.get_queue("q").await.expect("read").expect("it is there")).expect("JSON");
    if v10 {
        // Where every queue has a table, and no counts, ours says so.
        assert_eq!(ours["retentionSeconds"], json!(120));
        for key in [
            "retentionSeconds",
            "partition",
            "table",
            "notify",
            "deferredCount",
            "queuedCount",
            "activeCount",
            "totalCount",
        ] {
            ours.as_object_mut().expect("an object").remove(key);
        }
        ours["retentionMinutes"] = json!(2);
    }
    if !notifies {
        ours.as_object_mut().expect("an object").remove("notify");
    }
    both.same("getQueue", &theirs, Ok(ours));
    if !v10 && notifies {
        let theirs = both.boss("getQueues", json!([["q", "dead", "none"]])).await;
        let ours = client.get_queues(Some(["q", "dead", "none"])).await;
        let mut theirs: Vec<_> = theirs.as_array().expect("a list").clone();
        theirs.sort_by_key(|queue| queue["name"].to_string());
        both.same("getQueues", &json!(theirs), ours);
    }
    let all = client.get_queues(None::<[&str; 0]>).await.expect("read");
    assert_eq!(
        all.iter().map(|queue| queue.name.as_str()).collect::<Vec<_>>(),
        ["dead", "q"]
    );
    assert_eq!(client.get_queue("none").await.expect("read"), None);

    let refused = client
        .update_queue("q", &QueueChanges::default())
        .await
        .expect_err("nothing to change");
    assert_eq!(refused.to_string(), "no properties found to update");
    let retry = QueueChanges {
        retry_limit: Some(1),
        ..QueueChanges::default()
    };
    let refused = client.update_queue("none", &retry).await.expect_err("there is none");
    assert_eq!(refused.to_string(), "Queue none does not exist");
    for dead_letter in ["none", "q"] {
        let changes = QueueChanges {
            dead_letter: Some(Some(dead_letter.into())),
            ..QueueChanges::default()
        };
        client
            .update_queue("q", &changes)
            .await
            .expect_err("no such dead letter queue");
    }
}

/// pg-boss remembers rows of queues for `queueCacheIntervalSeconds`; a client of ours remembers none.
async fn a_changed_queue_counts_at_once(release: Release) {
    let both = Both::new(release).await;
    for name in ["dead", "q"] {
        both.queue(name, json!({})).await;
    }
    let (client, none) = (&both.client, SendOptions::default());
    both.boss("send", json!(["q", {}])).await;
    client.send("q", &json!({}), &none).await.expect("sent");
    both.execute("delete from {schema}.job; update {schema}.queue set policy = 'short' where name = 'q'")
        .await;
    for at_once in [true, false] {
        both.boss("send", json!(["q", {}])).await;
        let ours = client.send("q", &json!({}), &none).await.expect("it answers");
        assert_eq!(ours.is_some(), at_once, "one may wait at a time");
    }
    let policies = "select policy, count(*) from {schema}.job group by policy";
    assert_eq!(both.ours.row(policies).await, json!({"policy": "short", "count": 1}));
    both.execute("update {schema}.queue set dead_letter = 'dead', retry_limit = 7 where name = 'q'")
        .await;
    both.execute("delete from {schema}.job").await;
    both.boss("send", json!(["q", {}])).await;
    client.send("q", &json!({}), &none).await.expect("sent");
    both.same_rows("the last job", "select dead_letter, retry_limit from {schema}.job")
        .await;
}

on_releases!(every: made_changed_and_read);
on_releases!(a_changed_queue_counts_at_once: V12_38_0 v12_38_0);
