//! When a job becomes visible, and who is told.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use serde_json::json;
use strawboss::dialect::Dialect;
use strawboss::enqueue::{JobInsert, QueueOptions, SendOptions, StartAfter, create_queue, insert, send};
use strawboss::postgres::{Database, Settings};
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, NoTls};

use super::pair::{Pair, name};
use crate::support::{Boss, Release, Schema, needs_node};

/// The messages on the channel that Node listens on, for as long as the client is kept.
async fn listen(schema: &Schema) -> (Client, mpsc::UnboundedReceiver<String>) {
    let (client, mut connection) = tokio_postgres::connect(&schema.url, NoTls).await.expect("it connects");
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(notification) = message {
                // The test may be over.
                let _ = sender.send(notification.payload().to_owned());
            }
        }
    });
    let channel: String = client
        .query_one(
            "select 'pgboss_' || left(encode(sha224($1::text::bytea), 'hex'), 24)",
            &[&schema.name],
        )
        .await
        .expect("it is computed")
        .get(0);
    client
        .batch_execute(&format!("listen {channel}"))
        .await
        .expect("it listens");
    (client, receiver)
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_hear_once_of_jobs_that_may_run_now_and_of_no_others() {
    needs_node!();
    for release in [Release::V12_24_0, Release::V12_38_0] {
        let pair = Pair::new(release).await;
        let loud = QueueOptions {
            notify: true,
            ..QueueOptions::default()
        };
        for (queue, options) in [
            ("loud", &loud),
            ("later", &loud),
            ("silent", &QueueOptions::default()),
            ("last", &loud),
        ] {
            create_queue(&pair.client, &pair.dialect, &name(queue), options)
                .await
                .expect("it is created");
        }
        let (_listener, mut heard) = listen(&pair.ours).await;
        let (client, dialect) = (&pair.client, &pair.dialect);

        let now = SendOptions::default();
        let later = SendOptions {
            start_after: Some(StartAfter::In(Duration::from_secs(60))),
            ..SendOptions::default()
        };
        let throttled = SendOptions {
            singleton_seconds: Some(Duration::from_secs(40_000)),
            start_after: Some(StartAfter::In(Duration::from_secs(1))),
            ..SendOptions::default()
        };
        let kept_out = SendOptions {
            start_after: None,
            ..throttled.clone()
        };
        send(client, dialect, &name("silent"), None, &now).await.expect("sent");
        send(client, dialect, &name("later"), None, &later).await.expect("sent");
        send(client, dialect, &name("later"), None, &throttled)
            .await
            .expect("sent");
        let second = send(client, dialect, &name("later"), None, &kept_out)
            .await
            .expect("sent");
        assert_eq!(second, None, "it is throttled, so nobody is to be told");
        let batch = [&later, &now, &now].map(|options| JobInsert {
            data: None,
            options: options.clone(),
        });
        insert(client, dialect, &name("loud"), &batch).await.expect("inserted");
        send(client, dialect, &name("last"), None, &now).await.expect("sent");

        let mut messages = Vec::new();
        while messages.last().is_none_or(|last| last != "last") {
            let message = tokio::time::timeout(Duration::from_secs(30), heard.recv()).await;
            messages.push(message.expect("a message comes").expect("the connection stays"));
        }
        assert_eq!(messages, ["loud", "last"], "pg-boss {release}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listening_node_worker_takes_our_job_at_once() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    let client = schema.connect().await;
    let dialect = Dialect::read(&client, &schema.name).await.expect("it is there");
    let options = QueueOptions {
        notify: true,
        ..QueueOptions::default()
    };
    create_queue(&client, &dialect, &name("q"), &options)
        .await
        .expect("it is created");
    let boss = Boss::start(
        Release::NEWEST,
        &schema.url,
        &schema.name,
        json!({"useListenNotify": true}),
    )
    .await;
    boss.work(
        "q",
        json!({"pollingIntervalSeconds": 60, "notifyPollingIntervalSeconds": 60}),
        json!({"complete": null}),
    )
    .await;
    schema
        .until("exists (select from pg_stat_activity where query ilike 'listen%')")
        .await;
    // It polls when it starts and when it begins to listen; this job is taken either then or because we told it.
    let mut sent_at = Instant::now();
    for n in 0..2 {
        sent_at = Instant::now();
        let data = super::pair::raw(&json!({ "n": n }));
        let id = send(&client, &dialect, &name("q"), Some(&data), &SendOptions::default()).await;
        let job = boss.event("job").await;
        assert_eq!(job["job"]["id"], json!(id.expect("it is sent")));
    }
    assert!(sent_at.elapsed() < Duration::from_secs(10), "it was polled for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_sent_in_a_transaction_comes_and_goes_with_it() {
    needs_node!();
    for release in Release::ALL {
        let mut pair = Pair::new(release).await;
        pair.queue("q", json!({}), QueueOptions::default()).await;
        for (commits, left) in [(false, 0), (true, 2)] {
            let transaction = pair.client.transaction().await.expect("it begins");
            let sent = send(&transaction, &pair.dialect, &name("q"), None, &SendOptions::default()).await;
            assert!(sent.expect("it is sent").is_some());
            // What we refuse ourselves does not end the caller's transaction.
            let refused = send(
                &transaction,
                &pair.dialect,
                &name("missing"),
                None,
                &SendOptions::default(),
            )
            .await;
            assert!(refused.is_err());
            let batch = insert(&transaction, &pair.dialect, &name("q"), &[JobInsert::default()]).await;
            assert_eq!(batch.expect("the transaction is usable").len(), 1, "pg-boss {release}");
            assert_eq!(pair.ours.value("select count(*) from {schema}.job").await, json!(0));
            if commits {
                transaction.commit().await.expect("it commits");
            } else {
                transaction.rollback().await.expect("it rolls back");
            }
            assert_eq!(pair.ours.value("select count(*) from {schema}.job").await, json!(left));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_the_sender_is_kept_where_the_schema_has_a_place_for_it() {
    needs_node!();
    for release in [Release::V12_27_0, Release::V12_38_0] {
        let pair = Pair::new(release).await;
        pair.queue("q", json!({}), QueueOptions::default()).await;
        let carrier = json!({"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"});
        let options = SendOptions {
            trace: Some(super::pair::raw(&carrier)),
            ..SendOptions::default()
        };
        let sent = send(&pair.client, &pair.dialect, &name("q"), None, &options).await;
        assert!(sent.expect("it is sent").is_some());
        let kept = pair
            .ours
            .value("select to_jsonb(j)->'trace_context' as trace from {schema}.job j")
            .await;
        let expected = if release == Release::V12_38_0 {
            carrier
        } else {
            json!(null)
        };
        assert_eq!(kept, expected, "pg-boss {release}");
    }
}

/// A client of the pool prepares its statements and keeps them, also while the queue's table is replaced.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_may_be_made_anew_with_another_table_while_we_send() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    let database = Database::new(&Settings::parse(&schema.url).expect("it is a URL")).expect("the pool is made");
    let client = database.client().await.expect("it connects");
    let dialect = Dialect::read(&client, &schema.name).await.expect("it is there");
    for partition in [true, false, true] {
        let options = QueueOptions {
            partition,
            ..QueueOptions::default()
        };
        create_queue(&client, &dialect, &name("q"), &options)
            .await
            .expect("it is created");
        for _ in 0..7 {
            let sent = send(&client, &dialect, &name("q"), None, &SendOptions::default()).await;
            assert!(
                sent.unwrap_or_else(|error| panic!("partition {partition}: {error}"))
                    .is_some()
            );
        }
        assert_eq!(
            schema
                .value("select count(*) from {schema}.job where tableoid <> '{schema}.job_common'::regclass")
                .await,
            json!(if partition { 7 } else { 0 })
        );
        schema.execute("select {schema}.delete_queue('q')").await;
    }
}
