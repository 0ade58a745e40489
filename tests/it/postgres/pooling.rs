//! Behind a pooler that lends its server connections for one transaction.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use strawboss::config::{Config, DatabaseConfig, HttpConfig, QueueConfig, WorkerConfig};
use strawboss::handler::{HandlerError, typed};
use strawboss::job::Job;
use strawboss::postgres::{Executor, Pooler};
use strawboss::worker::Worker;
use tokio::sync::oneshot;
use tokio_postgres::types::Type;

use super::{backend, database, row, undetected, with};
use crate::support::pooler::Pooler as Proxy;
use crate::support::server::{connect, server};
use crate::support::{Boss, Release, Schema, needs_node};

#[tokio::test]
async fn a_pooler_is_found_and_statements_are_not_named() {
    for servers in [1, 3] {
        let proxy = Proxy::before(&server().url, servers).await;
        let database = database(&proxy.url()).await;
        assert_eq!(database.pooler(), Pooler::Transaction);
        assert!(database.is_pooled());

        let asked = join_all((0..20_i32).map(|n| {
            let database = &database;
            async move {
                let client = database.client().await.expect("there is room");
                let rows = client
                    .query("select $1 + 1, $2::text", &[(&n, Type::INT4), (&"x", Type::TEXT)])
                    .await
                    .expect("it runs");
                rows[0].get::<_, i32>(0)
            }
        }))
        .await;
        assert_eq!(asked, (1..=20).collect::<Vec<_>>());
        assert_eq!(proxy.named_statements(), 0);
    }
}

#[tokio::test]
async fn a_transaction_keeps_its_server() {
    let proxy = Proxy::before(&server().url, 2).await;
    let database = database(&proxy.url()).await;
    let mut client = database.client().await.expect("there is room");
    let transaction = client.transaction().await.expect("begun");
    let serving = backend(&transaction).await;
    let others = join_all((0..4).map(|_| async {
        let client = database.client().await.expect("there is room");
        backend(&client).await
    }))
    .await;
    assert!(
        others.iter().all(|other| *other != serving),
        "the server is lent to the transaction"
    );
    assert_eq!(backend(&transaction).await, serving);
    transaction
        .batch("create temporary table kept (n int) on commit drop; insert into kept values (1)")
        .await
        .expect("it runs");
    let kept: i64 = row(&transaction, "select count(*) from kept").await.get(0);
    assert_eq!(kept, 1);
    transaction.commit().await.expect("done");
    assert_eq!(proxy.named_statements(), 0);
}

#[tokio::test]
async fn the_pooler_of_these_tests_is_as_strict_as_it_should_be() {
    let proxy = Proxy::before(&server().url, 1).await;
    let client = connect(&proxy.url()).await;
    let error = client.prepare("select 1").await.expect_err("names are refused");
    assert_eq!(error.code().map(|state| state.code()), Some("26000"));
    assert_eq!(proxy.named_statements(), 1);
    client
        .simple_query("select 1")
        .await
        .expect("the connection is as good as before");
}

#[tokio::test]
async fn who_says_there_is_a_pooler_is_believed() {
    let database = undetected(&with(&server().url, "pgbouncer=true"));
    assert_eq!(database.pooler(), Pooler::Transaction);
    assert_eq!(database.detect().await.expect("nothing is asked"), Pooler::Transaction);
}

/// Every statement of the walk goes through: completed, retried, dead-lettered, on every schema.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_behind_a_pooler_works() {
    needs_node!();
    for release in Release::ALL {
        let schema = Schema::new(release).await;
        let boss = Boss::start(release, &schema.url, &schema.name, json!({})).await;
        boss.call("createQueue", json!(["dead"])).await.expect("createQueue");
        let queue = json!({"name": "q", "policy": "standard", "retryLimit": 1, "retryDelay": 0, "deadLetter": "dead"});
        boss.call("createQueue", json!(["q", queue]))
            .await
            .expect("createQueue");
        for n in 0..20 {
            boss.call("send", json!(["q", {"n": n}])).await.expect("send");
        }
        boss.stop().await;

        let proxy = Proxy::before(&schema.url, 3).await;
        let queue = QueueConfig {
            concurrency: 4,
            batch_size: 4,
            poll_interval: Duration::from_millis(50),
            ..QueueConfig::default()
        };
        let mut worker = Worker::new(Config {
            database: DatabaseConfig {
                url: proxy.url(),
                pooler: Pooler::Auto,
                schema: schema.name.clone(),
                own_schema: schema.own(),
                pool_size: 5,
            },
            worker: WorkerConfig {
                schedule: false,
                concurrency: 4,
                listen: true,
                shutdown_grace: Duration::from_secs(5),
                heartbeat: Duration::from_secs(10),
                ..WorkerConfig::default()
            },
            queues: BTreeMap::from([("q".to_owned(), queue)]),
            http: HttpConfig { listen: None },
            ..Config::default()
        });
        worker.handle(
            "q",
            typed(|job: Job<Value>, _| async move {
                match job.data["n"].as_i64() {
                    Some(n) if n % 5 == 0 => Err(HandlerError::retry("no luck")),
                    n => Ok(json!(n)),
                }
            }),
        );
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(worker.run(async move { drop(stopped.await) }));
        schema
            .until(
                "(select count(*) from {schema}.job where name = 'dead') = 4
                 and (select count(*) from {schema}.job where name = 'q' and state = 'completed') = 16",
            )
            .await;
        drop(stop);
        let report = running.await.expect("no panic").expect("it ends well");
        assert_eq!(report.hanging, BTreeMap::new(), "{release:?}");
        assert_eq!(proxy.named_statements(), 0, "{release:?}");
    }
}
