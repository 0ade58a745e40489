//! Children of finished parents, let go by both.

use std::time::Duration;

use serde_json::json;
use strawboss::upkeep::{Released, resolve_flow};

use crate::differential::{Pair, id, job, on_releases};
use crate::support::crew::{Crew, Seen, config};
use crate::support::{Release, Schema, needs_node};

on_releases!(from_12: children);

/// Jobs 1 and 2 have children: 3 of both, 4 of the first, 5 of one that failed; 6 and 7 across tables.
async fn flow(pair: &Pair) {
    pair.queue("q", json!({})).await;
    pair.queue("apart", json!({"partition": true})).await;
    let done = json!({"state": "completed", "blocking": true, "completed_on": "2026-01-03T00:00:00Z"});
    let blocked = |parents: i32| json!({"blocked": true, "pending_dependencies": parents});
    let rows = [
        job(1, done.clone()),
        job(2, json!({"state": "created", "blocking": true})),
        job(3, blocked(2)),
        job(4, blocked(1)),
        job(5, blocked(1)),
        job(8, json!({"state": "failed", "blocking": true})),
    ];
    pair.jobs("q", rows).await;
    pair.jobs("apart", [job(6, done), job(7, blocked(2))]).await;
    let pairs = [
        ("q", 3, "q", 1),
        ("q", 3, "q", 2),
        ("q", 4, "q", 1),
        ("q", 5, "q", 8),
        ("apart", 7, "q", 1),
        ("apart", 7, "apart", 6),
    ];
    for (child, c, parent, p) in pairs {
        pair.execute(&format!(
            "insert into {{schema}}.job_dependency (child_name, child_id, parent_name, parent_id) \
             values ('{child}', '{}', '{parent}', '{}')",
            id(c),
            id(p)
        ))
        .await;
    }
}

async fn children(release: Release) {
    let pair = Pair::new(release).await;
    flow(&pair).await;
    pair.boss
        .call("resolveFlow", json!([]))
        .await
        .expect("pg-boss resolves");
    let released = resolve_flow(&pair.straw.database, &pair.straw.dialect)
        .await
        .expect("we resolve");
    assert_eq!(
        released,
        Released {
            parents: 2,
            children: 2
        }
    );
    pair.assert_equal("after the parents finished", &[]).await;
    let finish = "update {schema}.job set state = 'completed' where id = '00000000-0000-4000-8000-000000000002'";
    pair.execute(finish).await;
    pair.boss
        .call("resolveFlow", json!([]))
        .await
        .expect("pg-boss resolves");
    let released = resolve_flow(&pair.straw.database, &pair.straw.dialect)
        .await
        .expect("we resolve");
    assert_eq!(
        released,
        Released {
            parents: 1,
            children: 1
        }
    );
    pair.assert_equal("after the last parent", &[]).await;
    let again = resolve_flow(&pair.straw.database, &pair.straw.dialect)
        .await
        .expect("we resolve");
    assert_eq!(again, Released::default());
}

/// Without Node: a worker runs the parent, and the child that waits for it soon after.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_lets_the_children_of_its_own_parents_go() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", json!({})).await;
    let seen = Seen::default();
    let mut config = config(&schema, &["q"]);
    config.upkeep.flow_interval = Duration::from_secs(1);
    let crew = Crew::start(config, [("q", seen.handler())]);
    crew.until_ready().await;
    schema
        .execute(&format!(
            "insert into {{schema}}.job (id, name, policy, blocking, blocked, pending_dependencies) values
               ('{parent}', 'q', 'standard', true, false, 0), ('{child}', 'q', 'standard', false, true, 1);
             insert into {{schema}}.job_dependency (child_name, child_id, parent_name, parent_id) values ('q', '{child}', 'q', '{parent}')",
            parent = id(1),
            child = id(2)
        ))
        .await;
    seen.until(2).await;
    // A claim that Node has just made is respected.
    schema
        .execute("update {schema}.version set flow_on = now() + interval '1 hour'")
        .await;
    crew.stop().await;
}
