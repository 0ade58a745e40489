//! A worker's process is killed, or stands still for a while.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use strawboss::config::{Config, DatabaseConfig, HttpConfig, QueueConfig, WorkerConfig};
use strawboss::job::Outcome;
use strawboss::worker::Worker;
use tokio::signal::unix::{SignalKind, signal};

use crate::support::crew::{Crew, Seen, config, handler};
use crate::support::{Release, Schema, needs_node, wait_for};

/// Set, to the URL, for a copy of this test program that plays a worker.
const URL: &str = "STRAWBOSS_TEST_WORKER_URL";
/// Set, to the schema, likewise.
const SCHEMA: &str = "STRAWBOSS_TEST_WORKER_SCHEMA";
/// How long its handlers take, in milliseconds.
const TAKES: &str = "STRAWBOSS_TEST_WORKER_TAKES";

/// A worker in a process of its own.
struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(schema: &Schema, takes: Duration) -> Process {
        let mut child = Command::new(std::env::current_exe().expect("this program has a path"))
            .args([
                "lifecycle::kill::plays_a_worker_in_a_process_of_its_own",
                "--exact",
                "--nocapture",
            ])
            .env(URL, &schema.url)
            .env(SCHEMA, &schema.name)
            .env(TAKES, takes.as_millis().to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program runs");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Process { child, output }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("it is our child");
    }

    /// Kills it, as an operating system out of memory does.
    fn kill(mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it ends");
    }

    /// Stops it and tells what became of its attempts.
    async fn stop(mut self) -> Value {
        self.signal(Signal::SIGTERM);
        tokio::task::spawn_blocking(move || {
            let report = (&mut self.output)
                .lines()
                .map_while(Result::ok)
                .find_map(|line| Some(line.split_once("OUTCOMES ")?.1.to_owned()))
                .expect("it reports");
            self.child.wait().expect("it ends");
            serde_json::from_str(&report).expect("it was written so")
        })
        .await
        .expect("it is waited for")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Of a test that failed; else it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn plays_a_worker_in_a_process_of_its_own() {
    let (Ok(url), Ok(schema), Ok(takes)) = (std::env::var(URL), std::env::var(SCHEMA), std::env::var(TAKES)) else {
        // As a test it has nothing to show: those that start it do.
        return;
    };
    let takes = Duration::from_millis(takes.parse().expect("a number"));
    let mut worker = Worker::new(Config {
        database: DatabaseConfig {
            url,
            schema,
            ..DatabaseConfig::default()
        },
        worker: WorkerConfig {
            schedule: false,
            heartbeat: Duration::from_secs(3),
            ..WorkerConfig::default()
        },
        http: HttpConfig { listen: None },
        queues: [("q".to_owned(), QueueConfig::default())].into(),
        ..Config::default()
    });
    worker.handle(
        "q",
        handler(move |_, _| async move {
            tokio::time::sleep(takes).await;
            Ok(json!({ "by": "the other process" }))
        }),
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let report = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).expect("signals can be had");
        let stop = async move {
            terminate.recv().await;
        };
        worker.run(stop).await.expect("it works")
    });
    println!("OUTCOMES {}", json!(report.outcomes));
}

async fn completed(schema: &Schema) -> u64 {
    let count = "select count(*) from {schema}.job where state = 'completed'";
    schema.value(count).await.as_u64().expect("a number")
}

/// Kills a worker amid 5,000 jobs and starts another; returns how long that one took to bring all of them home.
async fn killed_amid_5000(schema: &Schema) -> Duration {
    schema.jobs("q", 5000).await;
    let worker = Process::start(schema, Duration::from_millis(20));
    wait_for("the worker to be in the midst of it", async || {
        completed(schema).await > 1000
    })
    .await;
    worker.kill();
    let active = "select count(*) from {schema}.job where state = 'active'";
    assert_ne!(schema.value(active).await, json!(0), "it had jobs in hand");
    let began = Instant::now();
    let worker = Process::start(schema, Duration::from_millis(1));
    wait_for("every job to be completed", async || completed(schema).await == 5000).await;
    let took = began.elapsed();
    worker.stop().await;
    took
}

#[tokio::test]
async fn killed_amid_5000_jobs_and_started_again_all_complete_within_seconds() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", json!({})).await;
    let took = killed_amid_5000(&schema).await;
    assert!(took < Duration::from_secs(20), "{took:?}");
    let attempts = "select max(retry_count) as most, count(*) as jobs from {schema}.job";
    assert_eq!(schema.row(attempts).await, json!({ "most": 1, "jobs": 5000 }));
}

/// Without heartbeats there is no telling a dead worker from a slow one: what it had in hand comes back when the jobs' own
/// expiry is over, which is fifteen minutes unless the queue says otherwise.
#[tokio::test]
async fn on_a_schema_without_heartbeats_they_come_back_when_they_expire() {
    needs_node!();
    let schema = Schema::new(Release::V10_4_2).await;
    schema.queue("q", json!({})).await;
    schema
        .execute("alter table {schema}.job alter expire_in set default interval '5s'")
        .await;
    let table = schema.value("select partition_name from {schema}.queue").await;
    let table = table.as_str().expect("a name");
    schema
        .execute(&format!(
            "alter table {{schema}}.{table} alter expire_in set default interval '5s'"
        ))
        .await;
    let took = killed_amid_5000(&schema).await;
    assert!(took < Duration::from_secs(25), "{took:?}");
    assert_eq!(
        schema
            .row("select max(retry_count) as most, count(*) as jobs from {schema}.job")
            .await,
        json!({ "most": 1, "jobs": 5000 })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stood_still_has_lost_its_jobs_and_writes_nothing() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", json!({})).await;
    schema.jobs("q", 5).await;
    let worker = Process::start(&schema, Duration::from_secs(1));
    schema
        .until("(select count(*) = 5 from {schema}.job where state = 'active')")
        .await;
    worker.signal(Signal::SIGSTOP);
    let began = Instant::now();
    let seen = Seen::default();
    let crew = Crew::start(config(&schema, &["q"]), [("q", seen.handler())]);
    crew.until_processed("q", Outcome::Completed, 5).await;
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let rows = "select jsonb_agg(to_jsonb(job) order by id) from {schema}.job";
    let after = schema.value(rows).await;
    worker.signal(Signal::SIGCONT);
    assert_eq!(worker.stop().await, json!({ "fenced": 5 }));
    assert_eq!(schema.value(rows).await, after);
    assert_eq!(seen.jobs(), 5);
    crew.stop().await;
}
