//! What is refused, and in which words; and what is undone with a transaction.

use serde_json::json;
use strawboss::client::FetchOptions;
use strawboss::desk::Redrive;
use strawboss::enqueue::{FlowJob, JobChanges, Match, QueueChanges, Waiting};
use strawboss::inspect::{FindJobs, Page};
use strawboss::{QueueOptions, SendOptions};
use uuid::Uuid;

use super::Both;
use crate::differential::{id, job, on_releases};
use crate::support::Release;

async fn queues_that_are_not_there(release: Release) {
    let both = Both::new(release).await;
    let client = &both.client;
    let one = Uuid::from_u128(1);
    let said = |refused: Result<String, strawboss::client::Error>| refused.expect_err("there is none").to_string();
    let refusals = [
        said(
            client
                .send("none", &(), &SendOptions::default())
                .await
                .map(|it| format!("{it:?}")),
        ),
        said(
            client
                .fetch("none", &FetchOptions::default())
                .await
                .map(|it| format!("{it:?}")),
        ),
        said(client.complete("none", one, &()).await.map(|it| format!("{it:?}"))),
        said(client.fail("none", one, &()).await.map(|it| format!("{it:?}"))),
        said(client.cancel("none", one).await.map(|it| format!("{it:?}"))),
        said(client.resume("none", one).await.map(|it| format!("{it:?}"))),
        said(client.retry("none", one).await.map(|it| format!("{it:?}"))),
        said(client.delete_job("none", one).await.map(|it| format!("{it:?}"))),
        said(client.delete_queued_jobs("none").await.map(|it| format!("{it:?}"))),
        said(client.delete_stored_jobs("none").await.map(|it| format!("{it:?}"))),
        said(
            client
                .delete_all_jobs(Some("none".into()))
                .await
                .map(|it| format!("{it:?}")),
        ),
        said(
            client
                .find_jobs("none", &FindJobs::default())
                .await
                .map(|it| format!("{it:?}")),
        ),
    ];
    for refusal in refusals {
        assert_eq!(refusal, "Queue none does not exist");
    }
    if both.version() >= 26 {
        for (method, arguments) in [
            ("cancel", json!(["none", id(1)])),
            ("deleteQueuedJobs", json!(["none"])),
            ("getJobById", json!(["none", id(1)])),
        ] {
            let theirs = both.pair.boss.call(method, arguments).await.expect_err("there is none");
            assert_eq!(theirs.message, "Queue none does not exist");
        }
    }
    both.queue("q", json!({})).await;
    let theirs = both.pair.boss.call("complete", json!(["q", []])).await;
    let ours = client.complete("q", Vec::<Uuid>::new(), &()).await;
    let (theirs, ours) = both.refused("no job at all", theirs, ours);
    assert_eq!(theirs, ours);
}

async fn what_the_schema_cannot_do(release: Release) {
    let both = Both::new(release).await;
    both.queue("q", json!({})).await;
    let (client, version) = (&both.client, both.version());
    let one = Uuid::from_u128(1);
    let job = |reference: &str, parents: &[&str]| FlowJob {
        reference: reference.into(),
        queue: "q".into(),
        data: None,
        options: SendOptions::default(),
        depends_on: parents.iter().map(|it| (*it).into()).collect(),
    };
    let waiting = Waiting::Key("k".into(), Match::Newest);
    let changes = JobChanges {
        priority: Some(1),
        ..JobChanges::default()
    };
    let tried = [
        (
            "flow",
            31,
            "12.19",
            client.flow(&[job("a", &[]), job("b", &["a"])]).await.err(),
        ),
        ("touch", 30, "12.12", client.touch("q", one).await.err()),
        (
            "redrive",
            34,
            "12.23",
            client.redrive("q", &Redrive::default()).await.err(),
        ),
        (
            "redrive",
            34,
            "12.23",
            client.preview_redrive("q", &Redrive::default()).await.err(),
        ),
        (
            "update",
            37,
            "12.26",
            client.update("q", &waiting, &changes).await.err(),
        ),
        (
            "upsert",
            37,
            "12.26",
            client.upsert("q", &waiting, &changes).await.err(),
        ),
        (
            "getDependencies",
            31,
            "12.19",
            client.get_dependencies("q", one, &Page::default()).await.err(),
        ),
        (
            "getDependents",
            31,
            "12.19",
            client.get_dependents("q", one, &Page::default()).await.err(),
        ),
        ("getBamStatus", 27, "12.6", client.get_bam_status().await.err()),
        (
            "notify",
            32,
            "12.21",
            client
                .update_queue(
                    "q",
                    &QueueChanges {
                        notify: Some(true),
                        ..QueueChanges::default()
                    },
                )
                .await
                .err(),
        ),
        (
            "groupConcurrency",
            27,
            "12.6",
            client
                .fetch(
                    "q",
                    &FetchOptions {
                        ignore_groups: vec!["g".into()],
                        ..FetchOptions::default()
                    },
                )
                .await
                .err(),
        ),
    ];
    for (what, since, npm, refused) in tried {
        let refused = refused.map(|error| error.to_string());
        let expected = (version < since)
            .then(|| format!("{what} needs pg-boss {npm} or later; the schema here is version {version}"));
        assert_eq!(refused, expected, "pg-boss {release}, {what}");
    }
}

/// Every kind of call runs in the caller's transaction, and what it did goes with it.
async fn nothing_is_left_of_a_transaction(release: Release) {
    let both = Both::new(release).await;
    let version = both.version();
    both.queue("q", json!({})).await;
    both.jobs(
        "q",
        (1..9).map(|n| job(n, json!({"state": if n < 5 { "active" } else { "failed" }}))),
    )
    .await;
    let uuid = |n| -> Uuid { id(n).parse().expect("an id") };
    let mut connection = both.straw.database.client().await.expect("a connection");
    let transaction = connection.transaction().await.expect("it begins");
    let within = both.client.within(&transaction);
    let none = SendOptions::default();
    within.send("q", &json!({"in": "vain"}), &none).await.expect("sent");
    within
        .create_queue("r", &QueueOptions::default())
        .await
        .expect("created");
    within.subscribe("e", "q").await.expect("subscribed");
    assert_eq!(within.publish("e", &(), &none).await.expect("published"), 1);
    within.complete("q", uuid(1), &()).await.expect("completed");
    within.fail("q", uuid(2), &()).await.expect("failed");
    within.cancel("q", uuid(3)).await.expect("cancelled");
    within.resume("q", uuid(3)).await.expect("resumed");
    within.retry("q", uuid(5)).await.expect("retried");
    within.restore("q", uuid(6)).await.expect("restored");
    within.delete_job("q", uuid(7)).await.expect("deleted");
    assert_eq!(
        within
            .fetch("q", &FetchOptions::default())
            .await
            .expect("fetched")
            .len(),
        1
    );
    within.delete_stored_jobs("q").await.expect("deleted");
    if version >= 37 {
        let changes = JobChanges {
            priority: Some(3),
            ..JobChanges::default()
        };
        let upserted = within
            .upsert("q", &Waiting::Key("k".into(), Match::Newest), &changes)
            .await;
        assert_eq!(upserted.expect("upserted").inserted, 1);
    }
    within
        .update_queue(
            "q",
            &QueueChanges {
                retry_limit: Some(9),
                ..QueueChanges::default()
            },
        )
        .await
        .expect("changed");
    within.delete_queue("r").await.expect("deleted");
    let here = within.find_jobs("q", &FindJobs::default()).await.expect("found");
    assert!(
        here.iter()
            .any(|job| job.data.as_ref().is_some_and(|data| data.get().contains("vain")))
    );
    transaction.rollback().await.expect("it rolls back");
    both.assert_equal("nothing is left", &[]).await;
    both.same_rows(
        "of its queues, too",
        "select name, retry_limit from {schema}.queue order by 1",
    )
    .await;
}

on_releases!(every: queues_that_are_not_there, what_the_schema_cannot_do, nothing_is_left_of_a_transaction);
