//! When the first job of a queue may start, by whichever index there is.

use serde_json::json;
use strawboss::claim::PEEK;
use strawboss::postgres::{Executor, Param};
use tokio_postgres::types::Type;

use super::{Pair, Straw, job, on_releases};
use crate::support::Release;

on_releases!(every: first_start);

/// The seconds until the first job of each queue may start.
async fn peek(straw: &Straw, queues: [&str; 2]) -> [Option<f64>; 2] {
    let client = straw.database.client().await.expect("a connection");
    let mut tables = Vec::new();
    for queue in queues {
        tables.push(straw.queue(queue).await.table);
    }
    // In version 10 each queue has a table of its own, later both have the same.
    let numbers = [0, i32::from(tables[0] != tables[1])];
    tables.dedup();
    let each = (0..).zip(&tables).map(|(number, table): (i32, _)| {
        PEEK.render(&straw.dialect, table)
            .replace("{number}", &number.to_string())
    });
    let sql = each.collect::<Vec<_>>().join(" union all ");
    let params: [Param; 2] = [(&&queues[..], Type::TEXT_ARRAY), (&&numbers[..], Type::INT4_ARRAY)];
    let rows = client.query(&sql, &params).await;
    let mut rows = rows.unwrap_or_else(|error| panic!("{error}\n{sql}"));
    rows.sort_by_key(|row| row.get::<_, i32>(0));
    assert_eq!([rows[0].get::<_, i32>(0), rows[1].get(0)], [0, 1]);
    [rows[0].get(1), rows[1].get(1)]
}

async fn first_start(release: Release) {
    let pair = Pair::new(release).await;
    let queues = ["q", "other"];
    for queue in queues {
        pair.queue(queue, json!({})).await;
    }
    let tomorrow = json!((chrono::Utc::now() + chrono::Duration::days(1)).to_rfc3339());
    let states = ["active", "completed", "cancelled", "failed"];
    pair.our_jobs("q", (1..).zip(states).map(|(n, state)| job(n, json!({"state": state}))))
        .await;
    let mut straws = vec![Straw::on(&pair.ours).await];
    // Some time may pass between a migration and the day its indexes are built.
    if release == Release::NEWEST {
        pair.ours.execute("drop index {schema}.job_common_i14").await;
        straws.push(Straw::on(&pair.ours).await);
        pair.ours.execute("drop index {schema}.job_common_i11").await;
        straws.push(Straw::on(&pair.ours).await);
    }
    let seen = async || {
        let mut seen = Vec::new();
        for straw in &straws {
            seen.push(peek(straw, queues).await);
        }
        seen
    };
    assert_eq!(seen().await, vec![[None, None]; straws.len()], "nothing is queued");

    pair.our_jobs(
        "q",
        [
            job(5, json!({"start_after": tomorrow})),
            job(6, json!({"start_after": "infinity", "state": "retry"})),
        ],
    )
    .await;
    if pair.has("blocked") {
        pair.our_jobs("q", [job(7, json!({"blocked": true}))]).await;
    }
    for [first, other] in seen().await {
        assert!(
            first.is_some_and(|first| (86_000.0..86_401.0).contains(&first)),
            "tomorrow: {first:?}"
        );
        assert_eq!(other, None);
    }

    pair.our_jobs("q", [job(8, json!({"state": "retry"}))]).await;
    pair.our_jobs(
        "other",
        [
            job(1, json!({"start_after": tomorrow})),
            job(2, json!({"start_after": "-infinity"})),
        ],
    )
    .await;
    for [first, other] in seen().await {
        assert!(first.is_some_and(|first| first < 0.0), "due: {first:?}");
        assert!(other.is_some_and(|other| other < 0.0), "due since ever: {other:?}");
    }
}
