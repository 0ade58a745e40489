//! Jobs that wait for each other.

use serde_json::{Value, json};
use strawboss::SendOptions;
use strawboss::enqueue::FlowJob;
use strawboss::inspect::Page;
use uuid::Uuid;

use super::Both;
use crate::differential::{id, on_releases};
use crate::support::Release;

fn flow(jobs: &[(&str, &str, u32, &[&str])]) -> (Value, Vec<FlowJob>) {
    let theirs = jobs.iter().map(|(reference, queue, n, parents)| {
        json!({"ref": reference, "name": queue, "data": {"n": n}, "options": {"id": id(*n), "priority": n}, "dependsOn": parents})
    });
    let ours = jobs.iter().map(|(reference, queue, n, parents)| FlowJob {
        reference: (*reference).to_owned(),
        queue: (*queue).into(),
        data: Some(serde_json::from_value(json!({"n": n})).expect("JSON")),
        options: SendOptions {
            id: id(*n).parse().ok(),
            priority: i32::try_from(*n).ok(),
            ..SendOptions::default()
        },
        depends_on: parents.iter().map(|parent| (*parent).to_owned()).collect(),
    });
    (theirs.collect(), ours.collect())
}

async fn a_flow_and_its_end(release: Release) {
    let both = Both::new(release).await;
    both.queue("a", json!({"notify": true})).await;
    both.queue("b", json!({"policy": "short", "partition": true})).await;
    let client = &both.client;
    let (theirs, ours) = flow(&[
        ("root", "a", 1, &[]),
        ("left", "b", 2, &["root"]),
        ("end", "a", 3, &["left", "root", "left"]),
    ]);
    let theirs = both.boss("flow", json!([theirs])).await;
    both.same("flow", &theirs, client.flow(&ours).await);
    both.assert_equal("a flow", &[]).await;
    both.same_rows(
        "who waits for whom",
        "select * from {schema}.job_dependency order by 1, 2, 3, 4",
    )
    .await;
    let uuid = |n| -> Uuid { id(n).parse().expect("an id") };
    for (n, queue) in [(1, "a"), (2, "b"), (3, "a")] {
        let theirs = both.boss("getDependencies", json!([queue, id(n)])).await;
        both.same(
            "dependencies",
            &sorted(theirs),
            client.get_dependencies(queue, uuid(n), &Page::default()).await,
        );
        let theirs = both.boss("getDependents", json!([queue, id(n)])).await;
        both.same(
            "dependents",
            &sorted(theirs),
            client.get_dependents(queue, uuid(n), &Page::default()).await,
        );
    }
    let first = Page {
        limit: Some(1),
        after: None,
    };
    let page = client.get_dependencies("a", uuid(3), &first).await.expect("read");
    let second = Page {
        limit: Some(1),
        after: page.first().cloned(),
    };
    let rest = client.get_dependencies("a", uuid(3), &second).await.expect("read");
    assert_eq!(
        [page, rest].concat(),
        client
            .get_dependencies("a", uuid(3), &Page::default())
            .await
            .expect("read")
    );

    // One that is kept out keeps all out.
    let (theirs, ours) = flow(&[("root", "a", 4, &[]), ("twice", "a", 1, &["root"])]);
    let theirs = both.pair.boss.call("flow", json!([theirs])).await;
    let (_, said) = both.refused("an id that is taken", theirs, client.flow(&ours).await);
    assert_eq!(
        said,
        "a job of the flow conflicts with one that is there; none was sent"
    );
    type Flow<'a> = Vec<(&'a str, &'a str, u32, &'a [&'a str])>;
    let no_flows: [Flow<'_>; 4] = [
        vec![("a", "a", 5, &["b"]), ("b", "a", 6, &["a"])],
        vec![("a", "nowhere", 5, &[]), ("b", "a", 6, &["a"])],
        vec![("a", "a", 5, &[]), ("b", "a", 6, &[])],
        vec![("a", "a", 5, &[])],
    ];
    for jobs in no_flows {
        let (theirs, ours) = flow(&jobs);
        let theirs = both.pair.boss.call("flow", json!([theirs])).await;
        let (theirs, ours) = both.refused("no flow", theirs, client.flow(&ours).await);
        if !theirs.contains("cycle") {
            assert_eq!(theirs, ours);
        }
    }
    both.assert_equal("nothing came of those", &[]).await;

    // The parents are done, and the children freed, by the statement or by a pass over the flows.
    both.boss("complete", json!(["a", id(1), null, {"includeQueued": true}]))
        .await;
    client.complete_queued("a", uuid(1), &()).await.expect("completed");
    let resolve = "return boss.resolveFlow ? boss.resolveFlow() : null";
    both.pair.boss.eval(resolve, json!([])).await.expect("resolved");
    client.resolve_flow().await.expect("resolved");
    if both.version() >= 46 {
        both.assert_equal("the children of one are freed", &[]).await;
    }
}

fn sorted(mut answer: Value) -> Value {
    let key = |job: &Value| (job["name"].to_string(), job["id"].to_string());
    answer.as_array_mut().expect("a list").sort_by_key(key);
    answer
}

on_releases!(a_flow_and_its_end: V12_20_0 v12_20_0, V12_24_0 v12_24_0, V12_38_0 v12_38_0);
