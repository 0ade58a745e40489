//! What completing a job leaves behind, and whom it frees.

use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use strawboss::claim::Terms;
use strawboss::job::{Job, Logged, Outcome, RawJson, Verdict};
use strawboss::settle::wrap;

use super::{Pair, Straw, id, job, on_releases};
use crate::support::{Release, Schema};

on_releases!(every: outputs);
on_releases!(every: logged);
on_releases!(inline_flows: V12_20_0 v12_20_0, V12_21_0 v12_21_0);
on_releases!(from_12: later_flows);

/// A lease, so that what we lend is seen to leave again.
fn lending() -> Terms {
    Terms {
        lease: Some(60),
        ..Terms::default()
    }
}

fn raw(value: &Value) -> RawJson {
    RawValue::from_string(value.to_string()).expect("JSON")
}

async fn outputs(release: Release) {
    let pair = Pair::new(release).await;
    let outputs = [
        Value::Null,
        json!({"done": true, "nested": {"list": [1, null, {"deep": "ü"}]}, "none": null}),
        json!({}),
        json!([1, "two", null]),
        json!([]),
        json!("text"),
        json!(""),
        json!(0),
        json!(-1.5),
        json!(9_007_199_254_740_991_i64),
        json!(false),
        json!(true),
    ];
    pair.queue("q", json!({})).await;
    let count = u32::try_from(outputs.len()).expect("a dozen");
    let row = |n: u32| match n % 3 {
        0 => job(n, json!({"heartbeat_seconds": 33})),
        1 => job(
            n,
            json!({"output": {"of": "an attempt before"}, "singleton_key": "k", "priority": n}),
        ),
        _ => job(n, json!({})),
    };
    pair.jobs("q", (0..count).map(row)).await;

    let limit = outputs.len();
    assert_eq!(pair.they_fetch("q", json!({"batchSize": limit})).await.len(), limit);
    for (n, output) in (0u32..).zip(&outputs) {
        pair.boss
            .call("complete", json!(["q", id(n), output]))
            .await
            .expect("pg-boss completes");
    }
    let jobs = pair.straw.claim("q", limit, &lending()).await;
    assert_eq!(jobs.len(), limit);
    let verdicts = jobs.into_iter().map(|job| {
        let n = outputs
            .iter()
            .zip(0u32..)
            .find(|(_, n)| id(*n) == job.id().to_string())
            .expect("one of ours")
            .0;
        (
            job,
            Verdict::Complete {
                output: wrap(raw(n)),
                logged: None,
            },
        )
    });
    let outcomes = pair.straw.settle(verdicts.collect::<Vec<_>>()).await;
    assert_eq!(outcomes, vec![Outcome::Completed; limit]);
    pair.assert_equal("after completion", &[]).await;

    // Numbers that JavaScript cannot hold are ours to keep.
    pair.jobs("q", [job(90, json!({}))]).await;
    let long = "12345678901234567890123.4567890123456789";
    let output = RawValue::from_string(format!("{{\"n\": {long}}}")).expect("JSON");
    let jobs = pair.straw.claim("q", 1, &lending()).await;
    let verdicts = jobs.into_iter().map(|job| {
        (
            job,
            Verdict::Complete {
                output: Some(output.clone()),
                logged: None,
            },
        )
    });
    pair.straw.settle(verdicts.collect::<Vec<_>>()).await;
    let kept = pair
        .ours
        .value(&format!(
            "select output::text as output from {{schema}}.job where id = '{}'",
            id(90)
        ))
        .await;
    assert_eq!(kept, json!(format!("{{\"n\": {long}}}")));
}

impl Pair {
    /// Two parents of a child with two, one of which alone has another child; and a child of a job that will fail.
    async fn family(&self, other: &str) {
        self.queue("q", json!({})).await;
        self.queue(other, json!({})).await;
        let parent = json!({"blocking": true, "priority": 9});
        let child = |parents: u32| json!({"blocked": true, "pending_dependencies": parents});
        self.jobs(
            "q",
            [job(1, parent.clone()), job(2, parent), job(3, json!({"priority": 9}))],
        )
        .await;
        self.jobs(other, [job(4, child(2)), job(5, child(1)), job(6, child(2))])
            .await;
        for (child, parent) in [(4, 1), (4, 2), (5, 1), (6, 1)] {
            let (child, parent) = (id(child), id(parent));
            self.execute(&format!(
                "insert into {{schema}}.job_dependency (child_name, child_id, parent_name, parent_id) \
                 values ('{other}', '{child}', 'q', '{parent}')"
            ))
            .await;
        }
    }

    /// Takes and completes everything in `q` that is ready, `limit` jobs at a time.
    async fn complete_all(&self, limit: usize) {
        loop {
            let ids = self.they_fetch("q", json!({"batchSize": limit})).await;
            if ids.is_empty() {
                break;
            }
            self.boss
                .call("complete", json!(["q", ids]))
                .await
                .expect("pg-boss completes");
        }
        loop {
            let jobs = self.straw.claim("q", limit, &lending()).await;
            if jobs.is_empty() {
                break;
            }
            let verdicts = jobs.into_iter().map(|job| {
                (
                    job,
                    Verdict::Complete {
                        output: None,
                        logged: None,
                    },
                )
            });
            self.straw.settle(verdicts.collect::<Vec<_>>()).await;
        }
    }
}

/// The log's table has a name that needs quotes, and refuses one row.
async fn logged(release: Release) {
    let schema = Schema::new(release).await;
    let straw = Straw::on(&schema).await;
    schema.queue("q", json!({})).await;
    schema.jobs("q", 4).await;
    let log: Arc<str> = format!("{}.\"Event log\"", schema.name).into();
    schema
        .execute(&format!(
            "create table {log} (event_id uuid not null, handler_name varchar(255) not null check (handler_name <> 'no'), \
             idempotency_key varchar(500) not null)"
        ))
        .await;
    let mut jobs = straw.claim("q", 4, &lending()).await;
    let handed_back = jobs.pop().expect("four");
    let held = Arc::new(());
    let complete = |job: &Arc<Job>, handler: &str| Verdict::Complete {
        output: None,
        logged: Some(Logged {
            table: Arc::clone(&log),
            event: job.id(),
            handler: handler.into(),
            key: format!("key of {}", job.id()),
            hold: Arc::clone(&held) as _,
        }),
    };
    let stranger = straw.held("q", &handed_back.id().to_string(), 7);
    let verdicts = [
        (Arc::clone(&jobs[0]), complete(&jobs[0], "one")),
        (stranger, complete(&handed_back, "one")),
        (Arc::clone(&jobs[1]), complete(&jobs[1], "no")),
        (Arc::clone(&jobs[2]), complete(&jobs[2], "two")),
    ];
    let outcomes = straw.settle(verdicts).await;
    // Whoever may not be entered is not done, and the fence keeps the stranger out of the log.
    assert_eq!(
        outcomes,
        [Outcome::Completed, Outcome::Fenced, Outcome::Fenced, Outcome::Completed]
    );
    let rows = format!("select event_id::text as id, handler_name, idempotency_key from {log} order by handler_name");
    let row = |job: &Arc<Job>, handler: &str| {
        json!({
            "id": job.id().to_string(), "handler_name": handler, "idempotency_key": format!("key of {}", job.id())
        })
    };
    assert_eq!(schema.rows(&rows).await, [row(&jobs[0], "one"), row(&jobs[2], "two")]);
    assert_eq!(schema.states("q").await, json!({"completed": 2, "active": 2}));
    assert_eq!(Arc::strong_count(&held), 1, "what was held is let go");
}

async fn inline_flows(release: Release) {
    for (limit, children) in [(1, "q"), (5, "elsewhere")] {
        let pair = Pair::new(release).await;
        pair.family(children).await;
        pair.complete_all(limit).await;
        // The child whose second parent was never there waits on, the others are free (or done, in the same queue).
        let waiting = "select id::text as id, pending_dependencies as n from {schema}.job where blocked";
        assert_eq!(pair.ours.rows(waiting).await, [json!({"id": id(6), "n": 1})]);
        pair.assert_equal("after the parents", &[]).await;
    }
}

async fn later_flows(release: Release) {
    let pair = Pair::new(release).await;
    pair.family("elsewhere").await;
    pair.complete_all(5).await;
    let waiting = "select count(*) as count from {schema}.job where blocked";
    assert_eq!(
        pair.ours.value(waiting).await,
        json!(3),
        "a supervisor frees them, not the one who completes"
    );
    pair.assert_equal("after the parents", &[]).await;
}
