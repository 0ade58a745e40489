//! The whole walk of a job: sent by Node, claimed, run and settled here, on every schema.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strawboss::config::{Config, DatabaseConfig, HttpConfig, QueueConfig, WorkerConfig};
use strawboss::handler::{HandlerError, typed};
use strawboss::job::{Job, Outcome};
use strawboss::worker::Worker;
use tokio::sync::oneshot;

use crate::support::crew::{self, Crew, Seen};
use crate::support::{Boss, Release, Schema, needs_node};

fn config(schema: &Schema, queues: &[&str]) -> Config {
    let queue = QueueConfig {
        concurrency: 10,
        batch_size: 10,
        poll_interval: Duration::from_millis(50),
        ..QueueConfig::default()
    };
    Config {
        database: DatabaseConfig {
            url: schema.url.clone(),
            pooler: strawboss::config::Pooler::Auto,
            schema: schema.name.clone(),
            own_schema: schema.own(),
            pool_size: 5,
        },
        worker: WorkerConfig {
            schedule: false,
            concurrency: 20,
            shutdown_grace: Duration::from_secs(5),
            heartbeat: Duration::from_secs(10),
            ..WorkerConfig::default()
        },
        queues: queues
            .iter()
            .map(|name| ((*name).to_owned(), queue.clone()))
            .collect::<BTreeMap<_, _>>(),
        http: HttpConfig { listen: None },
        ..Config::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_every_release_is_completed_retried_and_dead_lettered() {
    needs_node!();
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init();
    for release in Release::ALL {
        let schema = Schema::new(release).await;
        let boss = Boss::start(release, &schema.url, &schema.name, json!({})).await;
        boss.call("createQueue", json!(["dead"])).await.expect("createQueue");
        boss.call(
            "createQueue",
            json!(["q", {"name": "q", "retryLimit": 2, "retryDelay": 0, "deadLetter": "dead", "policy": "standard"}]),
        )
        .await
        .expect("createQueue");
        boss.call("send", json!(["q", {"n": 1}])).await.expect("send");
        boss.call("send", json!(["q", {"n": 2}])).await.expect("send");
        let seen = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&seen);
        let mut worker = Worker::new(config(&schema, &["q"]));
        worker.handle(
            "q",
            typed(move |job: Job<Value>, _context| {
                counted.fetch_add(1, Ordering::SeqCst);
                async move {
                    if job.data["n"] == 2 {
                        Err(HandlerError::retry("no luck"))
                    } else {
                        Ok(json!({"done": job.data["n"]}))
                    }
                }
            }),
        );
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(worker.run(async move {
            let _ = stopped.await;
        }));
        schema.until("(SELECT count(*) FROM {schema}.job WHERE name = 'dead') = 1 AND (SELECT count(*) FROM {schema}.job WHERE state = 'completed') = 1").await;
        let _ = stop.send(());
        let report = running
            .await
            .expect("the worker does not panic")
            .expect("the worker ends well");
        assert_eq!(seen.load(Ordering::SeqCst), 4, "{release:?}");
        assert_eq!(report.hanging, BTreeMap::new(), "{release:?}");
        println!("{release:?} {report}");
        boss.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_made_while_another_is_taken_up_is_taken_up_at_once() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    let seen = Seen::default();
    let queues = ["first", "second"];
    let crew = Crew::start(
        crew::config(&schema, &queues),
        queues.map(|queue| (queue, seen.handler())),
    );
    crew.until_ready().await;

    // Holds up the first look into the table of jobs, once the rows of the queues have been read.
    let mut other = schema.connect().await;
    let holding = other.transaction().await.expect("a transaction");
    let lock = schema.sql("lock table {schema}.job_common in access exclusive mode");
    holding.batch_execute(&lock).await.expect("nobody has it");
    schema.queue("first", json!({})).await;
    schema
        .until("exists (select from pg_locks where relation = '{schema}.job_common'::regclass and not granted)")
        .await;
    schema.queue("second", json!({})).await;
    holding.commit().await.expect("it is let go");

    let taken_up = Instant::now();
    schema.jobs("second", 1).await;
    crew.until_processed("second", Outcome::Completed, 1).await;
    assert!(
        taken_up.elapsed() < Duration::from_secs(10),
        "after {:?}",
        taken_up.elapsed()
    );
    crew.stop().await;
}
