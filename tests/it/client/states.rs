//! Jobs go from state to state by hand.

use serde_json::{Value, json};
use strawboss::desk::Targets;
use strawboss::job::Attempt;
use uuid::Uuid;

use super::Both;
use crate::differential::{id, job, on_releases};
use crate::support::Release;

const STATES: [&str; 6] = ["created", "retry", "active", "completed", "cancelled", "failed"];

fn ids(numbers: &[u32]) -> (Value, Vec<Uuid>) {
    let texts: Vec<String> = numbers.iter().map(|n| id(*n)).collect();
    let ids = texts.iter().map(|text| text.parse().expect("an id")).collect();
    (json!(texts), ids)
}

/// A job in every state, numbered from `first` on.
fn each(first: u32) -> impl Iterator<Item = Value> {
    STATES.iter().zip(first..).map(|(state, n)| {
        let started = !["created"].contains(state);
        let ended = ["completed", "cancelled", "failed"].contains(state);
        job(
            n,
            json!({
                "state": state, "retry_limit": 2, "retry_delay": 3600, "retry_count": i32::from(started),
                "dead_letter": "dead", "started_on": started.then_some("2026-01-02T00:00:00Z"),
                "completed_on": ended.then_some("2026-01-02T00:01:00Z"), "output": ended.then(|| json!({"old": true})),
                "heartbeat_on": started.then_some("2026-01-02T00:00:30Z"), "heartbeat_seconds": 60,
                "blocked": false, "blocking": false, "pending_dependencies": 0, "expire": 900, "deletion_seconds": 604_800,
                "priority": 0, "retry_backoff": false,
            }),
        )
    })
}

async fn every_state_by_every_hand(release: Release) {
    let both = Both::new(release).await;
    both.queue("dead", json!({})).await;
    both.queue("q", json!({"deadLetter": "dead", "retryLimit": 2})).await;
    let modern = both.version() >= 35;
    // Six jobs for each deed, in all states; and an id that nobody has.
    for first in (0..90).step_by(10) {
        both.jobs("q", each(first)).await;
    }
    let all = |first: u32| ids(&(first..first + 7).collect::<Vec<_>>());
    let client = &both.client;

    let (texts, uuids) = all(0);
    let theirs = both.boss("complete", json!(["q", texts, {"done": [1, null]}])).await;
    both.same(
        "complete",
        &theirs,
        client.complete("q", uuids, &json!({"done": [1, null]})).await,
    );
    let (texts, uuids) = all(10);
    let theirs = both.boss("fail", json!(["q", texts, {"message": "no", "n": 1}])).await;
    let ours = client.fail("q", uuids, &json!({"message": "no", "n": 1})).await;
    both.same(
        "fail",
        &sorted(theirs),
        ours.map(|mut affected| {
            if let Some(settled) = affected.settled.as_mut() {
                settled.sort();
            }
            affected
        }),
    );
    let (texts, uuids) = all(20);
    let theirs = both.boss("cancel", json!(["q", texts])).await;
    both.same("cancel", &sorted(theirs), client.cancel("q", uuids).await);
    let (texts, uuids) = all(30);
    let theirs = both.boss("resume", json!(["q", texts])).await;
    both.same("resume", &theirs, client.resume("q", uuids).await);
    let (texts, uuids) = all(40);
    let theirs = both.boss("retry", json!(["q", texts])).await;
    both.same("retry", &theirs, client.retry("q", uuids).await);
    let (texts, uuids) = all(50);
    let theirs = both.boss("deleteJob", json!(["q", texts])).await;
    both.same("deleteJob", &sorted(theirs), client.delete_job("q", uuids).await);
    if modern {
        let (texts, uuids) = all(60);
        let theirs = both
            .boss("complete", json!(["q", texts, null, {"includeQueued": true}]))
            .await;
        let ours = client.complete_queued("q", uuids, &()).await;
        both.same("complete with includeQueued", &sorted(theirs), ours);
        let (texts, uuids) = all(70);
        let theirs = both.boss("touch", json!(["q", texts])).await;
        both.same("touch", &theirs, client.touch("q", uuids).await);
        let (texts, uuids) = all(80);
        let body = "const manager = boss[Object.getOwnPropertySymbols(boss)[0]] ?? boss; \
                    return (boss.restore ?? manager.restore)?.apply(boss.restore ? boss : manager, args) ?? 'none'";
        if both.pair.boss.eval(body, json!(["q", texts])).await == Ok(Value::Null) {
            client.restore("q", uuids).await.expect("they are restored");
        }
    }
    // One id alone, twice the same, and outputs of every kind.
    for (n, output) in [
        (100, json!(null)),
        (101, json!("text")),
        (102, json!([1, {"a": 2}])),
        (103, json!(false)),
        (104, json!({})),
    ] {
        both.jobs(
            "q",
            [job(n, json!({"state": "active", "started_on": "2026-01-02T00:00:00Z"}))],
        )
        .await;
        let theirs = both.boss("complete", json!(["q", id(n), output])).await;
        let ours = client.complete("q", ids(&[n]).1[0], &output).await;
        both.same("complete one", &theirs, ours);
    }
    both.assert_equal("every state by every hand", &[]).await;
    both.same_rows(
        "the queues' rows",
        "select to_jsonb(q) - 'created_on' - 'updated_on' as row from {schema}.queue q order by name",
    )
    .await;
}

/// The ids that a statement settled come in no order.
fn sorted(mut answer: Value) -> Value {
    if let Some(settled) = answer.get_mut("settled").and_then(Value::as_array_mut) {
        settled.sort_by_key(Value::to_string);
    }
    answer
}

async fn an_attempt_that_is_over(release: Release) {
    let both = Both::new(release).await;
    both.queue("q", json!({})).await;
    let row = |n| {
        job(
            n,
            json!({"state": "active", "retry_count": 2, "started_on": "2026-01-02T00:00:00Z"}),
        )
    };
    both.jobs("q", [row(1), row(2), row(3), row(4), row(5)]).await;
    let attempt = |n: u32, retry_count| Attempt {
        id: id(n).parse().expect("an id"),
        retry_count,
    };
    let fetched = |n: u32, retry_count: i32| json!([{"id": id(n), "retryCount": retry_count}]);
    let client = &both.client;
    // Only pg-boss 12.35 and later know attempts.
    if both.version() >= 43 {
        both.boss("complete", json!(["q", fetched(1, 1)])).await;
        both.boss("fail", json!(["q", fetched(2, 1)])).await;
        both.boss("cancel", json!(["q", fetched(3, 1)])).await;
        both.boss("deleteJob", json!(["q", fetched(4, 1)])).await;
        let theirs = both.boss("complete", json!(["q", fetched(5, 2)])).await;
        both.same(
            "the attempt in hand",
            &theirs,
            client.complete("q", attempt(5, 2), &()).await,
        );
    } else {
        both.boss("complete", json!(["q", id(5)])).await;
        client.complete("q", attempt(5, 2), &()).await.expect("it is completed");
    }
    for affected in [
        client.complete("q", attempt(1, 1), &()).await,
        client.fail("q", attempt(2, 1), &()).await,
        client.cancel("q", attempt(3, 1)).await,
        client.delete_job("q", Targets::from([attempt(4, 1)].as_slice())).await,
    ] {
        assert_eq!(affected.expect("it is answered").affected, 0);
    }
    both.assert_equal("attempts that are over", &[]).await;
}

async fn a_policy_in_the_way(release: Release) {
    let both = Both::new(release).await;
    both.queue("q", json!({"policy": "short"})).await;
    both.jobs("q", [job(1, json!({"state": "cancelled"})), job(2, json!({}))])
        .await;
    let theirs = both.pair.boss.call("resume", json!(["q", id(1)])).await;
    let ours = both.client.resume("q", ids(&[1]).1).await;
    let (theirs, ours) = both.refused("resume beside another", theirs, ours);
    assert!(theirs.contains("unique"), "{theirs}");
    assert!(ours.contains("another job of queue q has the place"), "{ours}");
    both.assert_equal("nothing was resumed", &[]).await;
}

async fn the_parents_of_old_schemas(release: Release) {
    let both = Both::new(release).await;
    both.queue("q", json!({})).await;
    both.jobs(
        "q",
        [
            job(
                1,
                json!({"state": "active", "blocking": true, "started_on": "2026-01-02T00:00:00Z"}),
            ),
            job(2, json!({"blocked": true, "pending_dependencies": 1})),
        ],
    )
    .await;
    both.execute(&format!(
        "insert into {{schema}}.job_dependency (child_name, child_id, parent_name, parent_id) values ('q', '{}', 'q', '{}')",
        id(2),
        id(1)
    ))
    .await;
    both.boss("complete", json!(["q", id(1)])).await;
    both.client
        .complete("q", ids(&[1]).1, &())
        .await
        .expect("it is completed");
    both.assert_equal("a parent is completed by hand", &[]).await;
}

on_releases!(every: every_state_by_every_hand, an_attempt_that_is_over, a_policy_in_the_way);
on_releases!(the_parents_of_old_schemas: V12_20_0 v12_20_0, V12_38_0 v12_38_0);
