//! Workers of both kinds on one queue: every job runs once, whoever takes it.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use strawboss::config::{Config, DatabaseConfig, HttpConfig, QueueConfig, WorkerConfig};
use strawboss::handler::typed;
use strawboss::job::Job;
use strawboss::worker::Worker;
use tokio::sync::oneshot;

use super::on_releases;
use crate::support::{Boss, Release, Schema};

on_releases!(once: V10_4_2 v10_4_2, V12_38_0 v12_38_0);

const JOBS: usize = 10_000;

async fn once(release: Release) {
    let schema = Schema::new(release).await;
    let boss = Boss::start(release, &schema.url, &schema.name, json!({})).await;
    schema
        .execute("select {schema}.create_queue('q', '{\"policy\": \"standard\"}')")
        .await;
    schema
        .execute(&format!(
            "insert into {{schema}}.job (name, data, policy) select 'q', jsonb_build_object('n', n), 'standard' from generate_series(1, {JOBS}) n"
        ))
        .await;

    let options =
        json!({"batchSize": 100, "pollingIntervalSeconds": 0.5, "burstWhenBatchFull": true, "localConcurrency": 2});
    let keep = "(globalThis.ran ??= []).push(...jobs.map(({ id }) => id))";
    boss.work("q", options, json!({"run": keep})).await;
    boss.event("job").await;

    let ran = Arc::new(Mutex::new(Vec::<String>::new()));
    let mut worker = Worker::new(config(&schema));
    let seen = Arc::clone(&ran);
    worker.handle(
        "q",
        typed(move |job: Job<Value>, _context| {
            seen.lock().expect("nobody panics with it").push(job.id().to_string());
            async move { Ok(json!({"n": job.data["n"]})) }
        }),
    );
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(worker.run(async move {
        // A test that has failed sends nothing.
        let _ = stopped.await;
    }));
    schema
        .until(&format!(
            "(select count(*) = {JOBS} from {{schema}}.job where state = 'completed')"
        ))
        .await;
    // A worker that has ended by itself says why below.
    let _ = stop.send(());
    running.await.expect("it does not panic").expect("it ends well");
    let theirs = boss.eval("return globalThis.ran", json!([])).await.expect("a list");
    boss.stop().await;

    let ours = ran.lock().expect("nobody panics with it").clone();
    let theirs: Vec<String> = serde_json::from_value(theirs).expect("ids");
    assert!(
        !ours.is_empty() && !theirs.is_empty(),
        "{} ran here, {} under Node",
        ours.len(),
        theirs.len()
    );
    let distinct: HashSet<&String> = ours.iter().chain(&theirs).collect();
    assert_eq!(
        (ours.len() + theirs.len(), distinct.len()),
        (JOBS, JOBS),
        "each runs once"
    );
    let odd = "select count(*) as count from {schema}.job where retry_count <> 0 or state <> 'completed'";
    assert_eq!(schema.value(odd).await, json!(0));
}

fn config(schema: &Schema) -> Config {
    let queue = QueueConfig {
        concurrency: 20,
        batch_size: 20,
        poll_interval: Duration::from_millis(100),
        ..QueueConfig::default()
    };
    Config {
        database: DatabaseConfig {
            url: schema.url.clone(),
            schema: schema.name.clone(),
            pool_size: 5,
            ..DatabaseConfig::default()
        },
        worker: WorkerConfig {
            schedule: false,
            concurrency: 20,
            shutdown_grace: Duration::from_secs(10),
            heartbeat: Duration::from_secs(10),
            ..WorkerConfig::default()
        },
        http: HttpConfig { listen: None },
        queues: BTreeMap::from([("q".to_owned(), queue)]),
        ..Config::default()
    }
}
