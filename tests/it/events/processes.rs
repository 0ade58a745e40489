//! Section 4 across processes, some of which die.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use strawboss::config::{Config, DatabaseConfig, EventsConfig, HttpConfig, QueueConfig, WorkerConfig};
use strawboss::events::{Defaults, HandlerOptions, Handlers, Received, install, queue_of};
use strawboss::handler::HandlerError;
use strawboss::home::Home;
use strawboss::postgres::{Database, Settings};
use strawboss::worker::Worker;
use tokio::signal::unix::{SignalKind, signal};

use super::stage::{Emitted, Order, Stage};
use crate::support::server::connect;
use crate::support::{needs_node, wait_for};

/// Set, to what it is to do, for a copy of this test program that plays a worker.
const PART: &str = "STRAWBOSS_TEST_EVENTS_PART";

/// A worker in a process of its own. Its handler `counted` leaves a row in the app's table `run` as it begins.
struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(stage: &Stage, takes: Duration, concurrency: usize) -> Process {
        let part = json!({
            "url": stage.schema.url, "schema": stage.schema.name, "app": stage.app,
            "takes": takes.as_millis() as u64, "concurrency": concurrency,
        });
        let mut child = Command::new(std::env::current_exe().expect("this program has a path"))
            .args([
                "events::processes::plays_a_worker_in_a_process_of_its_own",
                "--exact",
                "--nocapture",
            ])
            .env(PART, part.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program runs");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Process { child, output }
    }

    /// Kills it, as an operating system out of memory does.
    fn kill(mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it ends");
    }

    async fn stop(mut self) {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM).expect("it is our child");
        tokio::task::spawn_blocking(move || {
            for _line in (&mut self.output).lines() {}
            self.child.wait().expect("it ends");
        })
        .await
        .expect("it is waited for");
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
    let Ok(part) = std::env::var(PART) else {
        // As a test it has nothing to show: those that start it do.
        return;
    };
    let part: Value = serde_json::from_str(&part).expect("it was written so");
    let text = |key: &str| part[key].as_str().expect(key).to_owned();
    let number = |key: &str| part[key].as_u64().expect(key);
    let concurrency = usize::try_from(number("concurrency")).expect("a few");
    let takes = Duration::from_millis(number("takes"));
    let queue = QueueConfig {
        concurrency,
        batch_size: concurrency,
        poll_interval: Duration::from_millis(50),
        ..QueueConfig::default()
    };
    let mut worker = Worker::new(Config {
        database: DatabaseConfig {
            url: text("url"),
            schema: text("schema"),
            own_schema: text("app"),
            ..DatabaseConfig::default()
        },
        worker: WorkerConfig {
            heartbeat: Duration::from_secs(2),
            ..WorkerConfig::default()
        },
        http: HttpConfig { listen: None },
        events: EventsConfig {
            enabled: true,
            outbox_schema: text("app"),
            polling_interval: Duration::from_millis(50),
            ..EventsConfig::default()
        },
        queues: [(queue_of("counted").to_string(), queue)].into(),
        ..Config::default()
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let client = Arc::new(connect(&text("url")).await);
        let begun: Arc<str> = format!("insert into {}.run (event_id) values ($1)", text("app")).into();
        let options = HandlerOptions {
            handler_id: Some("counted".into()),
            idempotency_key: Some("order-{{data.orderId}}".into()),
            ..HandlerOptions::of("inventory")
        };
        let mut handlers = Handlers::new(Defaults::default()).in_schema(text("app"));
        handlers
            .on(options, move |event: Received<Order>, _| {
                let (client, begun) = (Arc::clone(&client), Arc::clone(&begun));
                async move {
                    client.execute(&*begun, &[&event.metadata.event_id]).await?;
                    tokio::time::sleep(takes).await;
                    Ok::<_, HandlerError>(())
                }
            })
            .expect("registered");
        worker.handle_events(handlers);
        let mut terminate = signal(SignalKind::terminate()).expect("signals can be had");
        let stop = async move {
            terminate.recv().await;
        };
        worker.run(stop).await.expect("it works")
    });
}

impl Stage {
    /// With the table in which runs are counted.
    async fn with_runs() -> Stage {
        let stage = Stage::new().await;
        let mut client = Database::new(&Settings::parse(&stage.schema.url).expect("a URL"))
            .expect("a pool")
            .client()
            .await
            .expect("it is up");
        let home = Home::new(&stage.app);
        install(&mut client, &home, &stage.app, false).await.expect("installed");
        let table = "run (event_id uuid not null, at timestamptz not null default clock_timestamp())";
        stage
            .schema
            .execute(&format!("create table {}.{table}", stage.app))
            .await;
        stage
    }

    async fn count(&self, table: &str) -> u64 {
        let count = format!("select count(*) from {}.{table}", self.app);
        self.schema.value(&count).await.as_u64().expect("a number")
    }

    async fn until_registered(&self) {
        let subscribed = "(select count(*) = 1 from {schema}.subscription where name = 'event.counted')";
        self.schema.until(subscribed).await;
    }
}

#[tokio::test]
async fn killed_amid_2000_events_none_is_lost_and_no_completed_handler_runs_again() {
    needs_node!();
    let stage = Stage::with_runs().await;
    let worker = Process::start(&stage, Duration::from_millis(20), 64);
    stage.until_registered().await;
    stage
        .schema
        .execute(
            "insert into {schema}_own.event_outbox (event_name, event_data, metadata)
             select 'payment:order.completed', jsonb_build_object('orderId', n::text), jsonb_build_object(
               'eventId', gen_random_uuid(), 'eventName', 'payment:order.completed', 'sourceModule', 'payment',
               'timestamp', '2026-11-27T12:00:00.000Z', 'correlationId', n::text, 'version', 'v1')
             from generate_series(1, 2000) n",
        )
        .await;
    wait_for("the worker to be in the midst of it", async || {
        stage.count("event_processing_log").await > 500
    })
    .await;
    worker.kill();
    let active = "select count(*) from {schema}.job where state = 'active'";
    let in_hand = stage.schema.value(active).await.as_u64().expect("a number");
    assert_ne!(in_hand, 0);
    let worker = Process::start(&stage, Duration::from_millis(1), 64);
    stage
        .schema
        .until("(select count(*) = 2000 from {schema}.job where state = 'completed')")
        .await;
    worker.stop().await;
    let relayed = "select jsonb_agg(distinct status) as status, count(*) as rows from {schema}_own.event_outbox";
    assert_eq!(
        stage.schema.row(relayed).await,
        json!({ "status": ["completed"], "rows": 2000 })
    );
    // The log is the judge: one row for each event, and no run begun after the row was there.
    let judged = format!(
        "select count(*) as rows, count(distinct event_id) as events, count(distinct idempotency_key) as keys
         from {}.event_processing_log",
        stage.app
    );
    assert_eq!(
        stage.schema.row(&judged).await,
        json!({ "rows": 2000, "events": 2000, "keys": 2000 })
    );
    let again = format!(
        "select count(*) from {app}.run r join {app}.event_processing_log l using (event_id) where r.at > l.processed_at",
        app = stage.app
    );
    assert_eq!(stage.schema.value(&again).await, json!(0));
    let skipped = "select count(*) from {schema}.job where output->>'skipped' is not null";
    assert_eq!(stage.schema.value(skipped).await, json!(0));
    // Those that were in hand may have run twice, and no others.
    let runs = stage.count("run").await;
    assert!((2000..=2000 + in_hand).contains(&runs), "{runs} with {in_hand} in hand");
}

#[tokio::test]
async fn of_two_events_with_one_key_in_flight_in_two_processes_one_runs_and_one_is_skipped() {
    needs_node!();
    let stage = Stage::with_runs().await;
    let workers = [(); 2].map(|()| Process::start(&stage, Duration::from_millis(1200), 1));
    stage.until_registered().await;
    for round in 1..=2 {
        let (one, two) = (
            Emitted::order(&format!("o-{round}")),
            Emitted::order(&format!("o-{round}")),
        );
        stage.deliver("counted", &one).await;
        stage.deliver("counted", &two).await;
        // Each process has one place.
        stage
            .schema
            .until("(select count(*) = 2 from {schema}.job where state = 'active')")
            .await;
        let jobs = [
            stage.job("counted", &one, "completed").await,
            stage.job("counted", &two, "completed").await,
        ];
        let skipped = jobs.iter().filter(|job| job["output"]["skipped"] == "duplicate");
        assert_eq!(skipped.count(), 1, "{jobs:#?}");
        assert!(jobs.iter().all(|job| job["retry_count"] == 0));
        assert_eq!(stage.count("run").await, round);
        assert_eq!(stage.count("event_processing_log").await, round);
    }
    for worker in workers {
        worker.stop().await;
    }
}
