//! Dead letters go back.

use serde_json::{Value, json};
use strawboss::desk::Redrive;

use super::Both;
use crate::differential::{id, job, on_releases};
use crate::support::Release;

/// A dead letter with that number, from that queue.
fn letter(n: u32, source: Option<&str>, columns: Value) -> Value {
    let mut row = job(
        n,
        json!({
            "source_name": source, "source_id": source.map(|_| id(n + 500)), "source_retry_count": 3, "source_created_on": "2025-12-01T00:00:00Z",
            "source_output": {"message": "no"}, "priority": 5, "group_id": "g", "group_tier": "gold", "heartbeat_seconds": 30,
            "trace_context": {"traceparent": "x"}, "blocked": false, "blocking": false, "pending_dependencies": 0, "expire": 900,
            "deletion_seconds": 604_800, "retry_limit": 2, "retry_delay": 0, "retry_backoff": false, "state": "created", "retry_count": 0,
        }),
    );
    let row_columns = row.as_object_mut().expect("a row");
    row_columns.extend(columns.as_object().expect("columns").clone());
    row
}

async fn home_again(release: Release) {
    let both = Both::new(release).await;
    both.queue("dead", json!({})).await;
    both.queue(
        "a",
        json!({"deadLetter": "dead", "retryLimit": 7, "expireInSeconds": 77, "heartbeatSeconds": 44}),
    )
    .await;
    both.queue("b", json!({"retryBackoff": true, "retryDelay": 3})).await;
    both.jobs(
        "dead",
        [
            letter(1, Some("a"), json!({"data": {"who": "ann"}})),
            letter(2, Some("b"), json!({"data": {"who": "bob"}, "singleton_key": "k"})),
            letter(3, Some("gone"), json!({})),
            letter(4, None, json!({})),
            letter(
                5,
                Some("a"),
                json!({"state": "active", "started_on": "2026-01-02T00:00:00Z"}),
            ),
            letter(
                6,
                Some("a"),
                json!({"state": "failed", "completed_on": "2026-01-02T00:00:00Z"}),
            ),
            letter(7, Some("a"), json!({"state": "retry", "data": {"who": "ann", "n": 7}})),
            letter(8, Some("b"), json!({})),
        ],
    )
    .await;
    let client = &both.client;
    let preview = client
        .preview_redrive("dead", &Redrive::default())
        .await
        .expect("it is previewed");
    if both.version() == 46 {
        let theirs = both.boss("previewRedrive", json!(["dead"])).await;
        both.same("preview", &theirs, Ok(&preview));
    }
    assert_eq!(
        serde_json::to_value(&preview).expect("JSON"),
        json!({
            "total": 6, "destinations": [{"name": "a", "count": 2}, {"name": "b", "count": 2}], "unroutable": 2,
        })
    );

    // The filters of 12.35 and later, on every schema.
    let narrow = Redrive {
        data: Some(serde_json::from_value(json!({"who": "ann"})).expect("JSON")),
        created_before: Some("2026-01-01T00:05:00Z".parse().expect("a time")),
        ids: Some(vec![id(1).parse().expect("an id"), id(7).parse().expect("an id")]),
        ..Redrive::default()
    };
    let preview = client.preview_redrive("dead", &narrow).await.expect("it is previewed");
    assert_eq!((preview.total, preview.unroutable), (1, 0));
    if both.version() == 46 {
        let options =
            json!({"data": {"who": "ann"}, "createdBefore": {"$date": "2026-01-01T00:05:00Z"}, "ids": [id(1), id(7)]});
        let theirs = both.boss("redrive", json!(["dead", options])).await;
        both.same("narrowed", &theirs, client.redrive("dead", &narrow).await);
        both.assert_equal("one went home", &[]).await;
    }
    let theirs = both
        .boss("redrive", json!(["dead", {"sourceName": "b", "limit": 1}]))
        .await;
    let ours = client
        .redrive(
            "dead",
            &Redrive {
                source_name: Some("b".into()),
                limit: Some(1),
                ..Redrive::default()
            },
        )
        .await;
    both.same("of one source", &theirs, ours);
    both.assert_equal("one of b went home", &[]).await;
    let theirs = both.boss("redrive", json!(["dead"])).await;
    both.same("of all", &theirs, client.redrive("dead", &Redrive::default()).await);
    both.assert_equal("all that can went home", &[]).await;
    let theirs = both.boss("redrive", json!(["dead", {"destination": "b"}])).await;
    let elsewhere = Redrive {
        destination: Some("b".into()),
        ..Redrive::default()
    };
    both.same("elsewhere", &theirs, client.redrive("dead", &elsewhere).await);
    both.assert_equal("the others went to b", &[]).await;
}

async fn no_room_at_home(release: Release) {
    let both = Both::new(release).await;
    both.queue("dead", json!({})).await;
    both.queue("a", json!({"policy": "short"})).await;
    let output = json!({"message": "why it failed"});
    let letters = [
        letter(1, Some("a"), json!({"singleton_key": "k"})),
        letter(
            2,
            Some("a"),
            json!({"singleton_key": "k", "output": output, "source_output": null}),
        ),
        letter(3, Some("a"), json!({"singleton_key": "l"})),
    ];
    if both.version() >= 43 {
        both.jobs("dead", letters).await;
        let theirs = both.boss("redrive", json!(["dead"])).await;
        both.same(
            "of three",
            &theirs,
            both.client.redrive("dead", &Redrive::default()).await,
        );
        both.assert_equal("one had no room", &[]).await;
    } else {
        // pg-boss deletes the one that has no room (12.26 and later), or does nothing at all; we keep it, failed.
        both.our_jobs("dead", letters).await;
        // Without its key (before 12.26) it collides just the same, with '' for a key.
        let moved = both
            .client
            .redrive("dead", &Redrive::default())
            .await
            .expect("redriven");
        assert_eq!(moved, if both.version() >= 37 { 2 } else { 1 });
        let left = both
            .ours
            .rows("select state, output from {schema}.job where name = 'dead' order by id")
            .await;
        assert!(left.iter().all(|row| row["state"] == "failed"), "{left:?}");
        assert_eq!(left[0]["output"], output);
    }
}

on_releases!(from_12: home_again, no_room_at_home);
