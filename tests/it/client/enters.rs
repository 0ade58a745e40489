//! Jobs enter, are changed while they wait, and are published.

use std::time::Duration;

use serde_json::{Value, json};
use strawboss::SendOptions;
use strawboss::enqueue::{JobChanges, Match, StartAfter, Waiting};
use strawboss::job::Group;

use super::Both;
use crate::differential::{id, job, on_releases};
use crate::support::Release;

/// What a random id, and the time of the deed, do not tell apart.
const JOBS: &str = "select name, data::text, priority, singleton_key, (start_after - created_on)::text as wait, \
                    extract(epoch from singleton_on)::bigint % 3600 as slot, state from {schema}.job order by name, priority, data::text, start_after";

async fn sent_in_every_way(release: Release) {
    let both = Both::new(release).await;
    for name in ["q", "r"] {
        both.queue(name, json!({})).await;
    }
    let (client, none) = (&both.client, SendOptions::default());
    let entered = |theirs: &Value, ours: &Option<uuid::Uuid>| assert_eq!(theirs.is_string(), ours.is_some());
    let urgent = SendOptions {
        priority: Some(1),
        ..SendOptions::default()
    };
    for (after, ours) in [
        (json!(60), StartAfter::In(Duration::from_secs(60))),
        (json!("2 hours"), StartAfter::Text("2 hours".into())),
    ] {
        let theirs = both
            .boss("sendAfter", json!(["q", {"n": 1}, {"priority": 1}, after]))
            .await;
        entered(
            &theirs,
            &client
                .send_after("q", &json!({"n": 1}), &urgent, ours)
                .await
                .expect("sent"),
        );
    }
    // A slot that will hardly end between the calls; pg-boss 10 takes no longer one than twelve hours.
    let slot = if both.version() == 24 { 36_000 } else { 3_600_000 };
    for (n, key) in [(2, Some("a")), (3, Some("a")), (4, None), (5, None)] {
        let theirs = both
            .boss("sendThrottled", json!(["q", {"n": n}, null, slot, key]))
            .await;
        let ours = client
            .send_throttled("q", &json!({"n": n}), &none, Duration::from_secs(slot), key)
            .await;
        entered(&theirs, &ours.expect("sent"));
    }
    for n in 6..9 {
        let theirs = both
            .boss("sendDebounced", json!(["q", {"n": n}, null, slot, "b"]))
            .await;
        let ours = client
            .send_debounced("q", &json!({"n": n}), &none, Duration::from_secs(slot), Some("b"))
            .await;
        entered(&theirs, &ours.expect("sent"));
    }
    for (event, queue) in [("birth", "q"), ("birth", "r"), ("birth", "q"), ("death", "q")] {
        both.boss("subscribe", json!([event, queue])).await;
        client.subscribe(event, queue).await.expect("subscribed");
    }
    both.boss("unsubscribe", json!(["death", "q"])).await;
    client.unsubscribe("death", "q").await.expect("unsubscribed");
    both.same_rows(
        "subscriptions",
        "select event, name from {schema}.subscription order by 1, 2",
    )
    .await;
    for (event, reached) in [("birth", 2), ("death", 0)] {
        both.boss("publish", json!([event, {"of": event}, {"priority": 9}]))
            .await;
        let options = SendOptions {
            priority: Some(9),
            ..SendOptions::default()
        };
        assert_eq!(
            client
                .publish(event, &json!({"of": event}), &options)
                .await
                .expect("published"),
            reached
        );
    }
    // The debounced one starts at the end of a slot, to the second.
    let coarse = JOBS.replace(
        "(start_after - created_on)::text",
        "round(extract(epoch from start_after - created_on) / 10)",
    );
    both.same_rows("what was sent", &coarse).await;
    let refused = client.subscribe("birth", "nowhere").await.expect_err("there is none");
    assert_eq!(refused.to_string(), "Queue nowhere does not exist");
}

/// In the caller's transaction all of it is done or nothing is, and then as pg-boss does it.
async fn published_in_a_transaction(release: Release) {
    let both = Both::new(release).await;
    for name in ["q", "r"] {
        both.queue(name, json!({})).await;
        both.boss("subscribe", json!(["birth", name])).await;
    }
    both.boss("unsubscribe", json!(["birth", "r"])).await;
    both.boss("publish", json!(["birth", {"n": 1}, {"priority": 9}])).await;
    let options = SendOptions {
        priority: Some(9),
        ..SendOptions::default()
    };
    let mut connection = both.client.database().client().await.expect("a connection");
    for commits in [false, true] {
        let transaction = connection.transaction().await.expect("it begins");
        let within = both.client.within(&transaction);
        for name in ["q", "r"] {
            within.subscribe("birth", name).await.expect("subscribed");
        }
        within.unsubscribe("birth", "r").await.expect("unsubscribed");
        let reached = within.publish("birth", &json!({"n": 1}), &options).await;
        assert_eq!(
            reached.expect("published"),
            1,
            "what is subscribed in the transaction counts there"
        );
        for (table, what) in [("subscription", "subscriptions"), ("job", "jobs")] {
            let count = both
                .ours
                .value(&format!("select count(*) from {{schema}}.{table}"))
                .await;
            assert_eq!(count, json!(0), "{what} are seen by nobody before the commit");
        }
        if commits {
            transaction.commit().await.expect("it commits");
        } else {
            transaction.rollback().await.expect("it is rolled back");
        }
    }
    let subscribers = "select event, name from {schema}.subscription order by 1, 2";
    both.same_rows("subscriptions", subscribers).await;
    both.same_rows("what was published", JOBS).await;
    // What ends without a commit has ended nothing.
    let transaction = connection.transaction().await.expect("it begins");
    let within = both.client.within(&transaction);
    within.unsubscribe("birth", "q").await.expect("unsubscribed");
    assert_eq!(
        within.publish("birth", &json!({}), &options).await.expect("published"),
        0
    );
    transaction.rollback().await.expect("it is rolled back");
    both.same_rows("subscriptions", subscribers).await;
    let reached = both.client.publish("birth", &json!({}), &options).await;
    assert_eq!(reached.expect("published"), 1);
}

async fn changed_while_they_wait(release: Release) {
    let both = Both::new(release).await;
    both.queue("dead", json!({})).await;
    both.queue("q", json!({"notify": true})).await;
    let waiting = |n: u32, key: &str| {
        job(
            n,
            json!({"singleton_key": key, "start_after": "2030-01-01T00:00:00Z", "keep_until": "2030-01-11T00:00:00Z", "group_id": "old"}),
        )
    };
    both.jobs(
        "q",
        [
            waiting(1, "a"),
            waiting(2, "a"),
            waiting(3, "a"),
            waiting(4, "b"),
            waiting(5, "b"),
            waiting(6, "b"),
        ],
    )
    .await;
    both.jobs(
        "q",
        [job(7, json!({"state": "active"})), waiting(8, "c"), waiting(9, "d")],
    )
    .await;
    let client = &both.client;
    let by = |key: &str, which| Waiting::Key(key.into(), which);
    let uuid = |n| Waiting::Id(id(n).parse().expect("an id"));
    let raw = |value: Value| Some(serde_json::from_value(value).expect("JSON"));

    let all = json!({
        "singletonKey": "a", "priority": 3, "startAfter": 0, "retryLimit": 9, "retryDelay": 8, "retryBackoff": true, "retryDelayMax": 99,
        "expireInSeconds": 70, "deleteAfterSeconds": 60, "deadLetter": "dead", "heartbeatSeconds": 50, "group": {"id": "g", "tier": "t"},
    });
    let theirs = both.boss("update", json!(["q", {"new": 1}, all])).await;
    let seconds = Duration::from_secs;
    let changes = JobChanges {
        trace: None,
        data: raw(json!({"new": 1})),
        priority: Some(3),
        start_after: Some(StartAfter::In(Duration::ZERO)),
        retry_limit: Some(9),
        retry_delay: Some(seconds(8)),
        retry_backoff: Some(true),
        retry_delay_max: Some(Some(seconds(99))),
        expire: Some(seconds(70)),
        retention: None,
        delete_after: Some(seconds(60)),
        dead_letter: Some(Some("dead".into())),
        group: Some(Group {
            id: "g".into(),
            tier: Some("t".into()),
        }),
        heartbeat: Some(Some(seconds(50))),
    };
    both.same(
        "update the newest",
        &theirs,
        client.update("q", &by("a", Match::Newest), &changes).await,
    );
    let theirs = both
        .boss(
            "update",
            json!(["q", null, {"singletonKey": "a", "match": "oldest", "startAfter": "2030-02-01T00:00:00Z"}]),
        )
        .await;
    let changes = JobChanges {
        data: raw(Value::Null),
        start_after: Some(StartAfter::Text("2030-02-01T00:00:00Z".into())),
        ..JobChanges::default()
    };
    both.same(
        "update the oldest",
        &theirs,
        client.update("q", &by("a", Match::Oldest), &changes).await,
    );
    let theirs = both.boss("update", json!(["q", {"$undefined": true}, {"singletonKey": "b", "match": "all", "retentionSeconds": 5, "heartbeatSeconds": null}])).await;
    let changes = JobChanges {
        retention: Some(seconds(5)),
        heartbeat: Some(None),
        ..JobChanges::default()
    };
    let ours = client
        .update("q", &by("b", Match::All), &changes)
        .await
        .map(|mut updated| {
            updated.jobs.sort();
            updated
        });
    both.same("update all", &sorted(theirs), ours);
    for n in [7, 8, 99] {
        let theirs = both.boss("update", json!(["q", {"by": "id"}, {"id": id(n)}])).await;
        let changes = JobChanges {
            data: raw(json!({"by": "id"})),
            ..JobChanges::default()
        };
        both.same("update by id", &theirs, client.update("q", &uuid(n), &changes).await);
    }
    for (key, which) in [("d", "updates"), ("e", "inserts"), ("e", "updates that")] {
        let theirs = both
            .boss(
                "upsert",
                json!(["q", {"for": which}, {"singletonKey": key, "priority": 4}]),
            )
            .await;
        let changes = JobChanges {
            data: raw(json!({"for": which})),
            priority: Some(4),
            ..JobChanges::default()
        };
        both.same(
            which,
            &theirs,
            client.upsert("q", &by(key, Match::Newest), &changes).await,
        );
    }
    let theirs = both
        .boss("upsert", json!(["q", {"n": 20}, {"id": id(20), "startAfter": 100}]))
        .await;
    let changes = JobChanges {
        data: raw(json!({"n": 20})),
        start_after: Some(StartAfter::In(seconds(100))),
        ..JobChanges::default()
    };
    both.same("upsert by id", &theirs, client.upsert("q", &uuid(20), &changes).await);
    both.assert_equal("changed while they wait", &[]).await;
}

fn sorted(mut answer: Value) -> Value {
    answer["jobs"]
        .as_array_mut()
        .expect("jobs")
        .sort_by_key(Value::to_string);
    answer
}

on_releases!(every: sent_in_every_way);
on_releases!(published_in_a_transaction: V10_4_2 v10_4_2, V12_38_0 v12_38_0);
on_releases!(changed_while_they_wait: V12_27_0 v12_27_0, V12_38_0 v12_38_0);
