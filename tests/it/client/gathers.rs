//! Sends of many callers in one statement: each has the answer it would have had alone.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use serde_json::json;
use serde_json::value::RawValue;
use strawboss::client::Error;
use strawboss::postgres::{Database, Settings};
use strawboss::{Client, SendOptions};
use uuid::Uuid;

use crate::support::proxy::{Mode, Proxy};
use crate::support::{Release, Schema, needs_node};

type Sent = Result<Option<Uuid>, Error>;

fn gathering(schema: &Schema, url: &str) -> Client {
    let settings = Settings::parse(url).expect("a URL").with_pool_size(2);
    Client::new(Database::new(&settings).expect("a pool"), &schema.name).gathering()
}

fn send<'a>(client: &'a Client, data: &'a str, options: SendOptions) -> BoxFuture<'a, Sent> {
    let data = RawValue::from_string(data.to_owned()).expect("it is JSON");
    async move { client.send("q", &data, &options).await }.boxed()
}

/// Has a first send wait for a lock, and the others for the first, so that they are written together.
async fn behind_one(schema: &Schema, client: &Client, others: Vec<BoxFuture<'_, Sent>>) -> Vec<Sent> {
    let mut blocker = schema.connect().await;
    let lock = blocker.transaction().await.expect("begun");
    lock.batch_execute(&schema.sql("LOCK TABLE {schema}.job IN SHARE MODE"))
        .await
        .expect("locked");
    let others = async {
        schema
            .until("EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = '{schema}.job'::regclass)")
            .await;
        // The sends are polled first, and so have gathered before the lock is given back.
        tokio::join!(join_all(others), lock.commit()).0
    };
    let (first, others) = tokio::join!(send(client, r#"{"first": true}"#, SendOptions::default()), others);
    first.expect("sent").expect("it went in");
    others
}

#[tokio::test]
async fn what_comes_meanwhile_is_one_statement_and_everybody_has_an_id() {
    needs_node!();
    for release in Release::ALL {
        let schema = Schema::new(release).await;
        schema.queue("q", json!({})).await;
        let client = gathering(&schema, &schema.url);
        let payloads: Vec<_> = (0..40).map(|n| format!("{{\"n\":{n}}}")).collect();
        let sends = payloads.iter().enumerate().map(|(n, data)| {
            let priority = Some(i32::try_from(n).expect("it is small"));
            send(
                &client,
                data,
                SendOptions {
                    priority,
                    ..SendOptions::default()
                },
            )
        });
        let sent = behind_one(&schema, &client, sends.collect()).await;
        for (n, id) in sent.into_iter().enumerate() {
            let id = id.expect("sent").expect("it went in");
            let row = schema
                .row(&format!("SELECT data, priority FROM {{schema}}.job WHERE id = '{id}'"))
                .await;
            assert_eq!(row, json!({ "data": { "n": n }, "priority": n }), "pg-boss {release}");
        }
        let transactions = "SELECT count(DISTINCT xmin::text) FROM {schema}.job";
        assert_eq!(schema.value(transactions).await, json!(2), "pg-boss {release}");
    }
}

#[tokio::test]
async fn one_that_is_refused_does_its_neighbours_no_harm() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", json!({})).await;
    let client = gathering(&schema, &schema.url);
    let buried = SendOptions {
        dead_letter: Some("nowhere".to_owned()),
        ..SendOptions::default()
    };
    let others = vec![
        send(&client, r#"{"n":1}"#, SendOptions::default()),
        // Half of a pair: JSON that jsonb refuses, as only the database can tell.
        send(&client, r#""\ud800""#, SendOptions::default()),
        send(&client, r#"{"n":2}"#, buried),
        // These are refused beforehand.
        send(&client, r#""\u0000""#, SendOptions::default()),
        send(
            &client,
            r#"{"n":3}"#,
            SendOptions {
                retry_limit: Some(u32::MAX),
                ..SendOptions::default()
            },
        ),
        send(&client, r#"{"n":4}"#, SendOptions::default()),
    ];
    let sent = behind_one(&schema, &client, others).await;
    let words = sent.iter().map(|sent| match sent {
        Ok(id) => id.map_or("kept out".to_owned(), |_| "in".to_owned()),
        Err(error) => error.to_string(),
    });
    let words: Vec<_> = words.collect();
    assert_eq!((words[0].as_str(), words[5].as_str()), ("in", "in"));
    assert!(words[1].starts_with("the payload cannot be stored"), "{words:?}");
    assert!(words[2].contains("dead_letter"), "{words:?}");
    assert!(words[3].contains(r"\u0000"), "{words:?}");
    assert!(
        words[4].contains("retry_limit") || words[4].contains("retryLimit"),
        "{words:?}"
    );
    assert_eq!(schema.states("q").await, json!({ "created": 3 }));
}

#[tokio::test]
async fn a_policy_keeps_out_the_same_jobs() {
    needs_node!();
    for release in Release::ALL {
        let schema = Schema::new(release).await;
        schema.queue("q", json!({ "policy": "short" })).await;
        let client = gathering(&schema, &schema.url);
        let others = (0..5).map(|_| send(&client, "{}", SendOptions::default())).collect();
        for id in behind_one(&schema, &client, others).await {
            assert_eq!(
                id.expect("it is no error"),
                None,
                "pg-boss {release}: the first is queued"
            );
        }
        assert_eq!(schema.states("q").await, json!({ "created": 1 }), "pg-boss {release}");
    }
}

#[tokio::test]
async fn whoever_has_a_key_waits_for_nobody() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", json!({ "policy": "short" })).await;
    let client = gathering(&schema, &schema.url);
    // Somebody's transaction has the place of a job without a key, and whoever wants it waits for how that ends.
    let mut other = schema.connect().await;
    let open = other.transaction().await.expect("begun");
    let insert = "INSERT INTO {schema}.job (name, policy) VALUES ('q', 'short')";
    open.batch_execute(&schema.sql(insert)).await.expect("inserted");
    let keyed = SendOptions {
        singleton_key: Some("a".to_owned()),
        ..SendOptions::default()
    };
    let mut waits = send(&client, "{}", SendOptions::default());
    tokio::select! {
        sent = &mut waits => panic!("it waits for the transaction: {sent:?}"),
        sent = send(&client, "{}", keyed) => assert!(sent.expect("sent").is_some()),
    }
    open.rollback().await.expect("undone");
    assert!(waits.await.expect("sent").is_some());
}

#[tokio::test]
async fn queues_that_are_not_there_and_keys_that_are_missing_are_told_to_all() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    let client = gathering(&schema, &schema.url);
    let nobody = send(&client, "{}", SendOptions::default())
        .await
        .expect_err("there is none");
    assert_eq!(nobody.to_string(), "Queue q does not exist");
    schema.queue("q", json!({ "policy": "key_strict_fifo" })).await;
    let refused = join_all((0..3).map(|_| send(&client, "{}", SendOptions::default()))).await;
    for refused in refused {
        let said = refused.expect_err("it needs a key").to_string();
        assert!(said.contains("key_strict_fifo"), "{said}");
    }
}

#[tokio::test]
async fn a_caller_that_leaves_takes_nobody_along() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", json!({})).await;
    let client = gathering(&schema, &schema.url);
    let leaves = async {
        let sent = send(&client, r#"{"left": true}"#, SendOptions::default());
        // Polled once, so it has gathered; then dropped.
        assert!(sent.now_or_never().is_none());
        Ok(None)
    };
    let others = vec![
        leaves.boxed(),
        send(&client, r#"{"n":1}"#, SendOptions::default()),
        send(&client, r#"{"n":2}"#, SendOptions::default()),
    ];
    let sent = behind_one(&schema, &client, others).await;
    assert!(sent[1].as_ref().expect("sent").is_some() && sent[2].as_ref().expect("sent").is_some());
    let left = "SELECT count(*) FROM {schema}.job WHERE data ? 'left'";
    assert_eq!(schema.value(left).await, json!(0), "its statement had not begun");
}

#[tokio::test]
async fn a_connection_that_is_lost_is_an_error_for_each_and_the_next_send_goes() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", json!({})).await;
    let proxy = Proxy::before(&schema.url).await;
    let client = gathering(&schema, &proxy.url(&schema.url));
    assert!(
        send(&client, "{}", SendOptions::default())
            .await
            .expect("sent")
            .is_some()
    );
    proxy.set(Mode::Mute);
    let sends = join_all((0..3).map(|_| send(&client, "{}", SendOptions::default())));
    let cut = async {
        schema.until("(SELECT count(*) FROM {schema}.job) > 1").await;
        proxy.set(Mode::Pass);
        proxy.cut();
    };
    for lost in tokio::time::timeout(Duration::from_secs(60), async { tokio::join!(sends, cut).0 })
        .await
        .expect("none of them hangs")
    {
        if let Err(error) = lost {
            assert!(error.is_transient(), "{error}");
        }
    }
    assert!(
        send(&client, "{}", SendOptions::default())
            .await
            .expect("sent")
            .is_some()
    );
}
