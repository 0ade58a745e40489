//! A worker of ours, running beside the test, and what its handlers have seen.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use strawboss::config::{Config, DatabaseConfig, HttpConfig, QueueConfig, WorkerConfig};
use strawboss::handler::{Context, Handler, HandlerError, typed};
use strawboss::job::{Attempt, Job, Outcome};
use strawboss::lifecycle::Report;
use strawboss::observe::{Health, Metrics};
use strawboss::worker::{Error, Worker};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::{Schema, lines, wait_for};

/// A running worker; dropped, it ends without ceremony.
pub struct Crew {
    pub metrics: Metrics,
    pub health: Health,
    stop: CancellationToken,
    running: Option<JoinHandle<Result<Report, Error>>>,
    _end: DropGuard,
}

/// A worker for these queues of the schema: ten places each, looked at often, leases of two seconds.
pub fn config(schema: &Schema, queues: &[&str]) -> Config {
    let queue = QueueConfig {
        concurrency: 10,
        batch_size: 10,
        poll_interval: Duration::from_millis(50),
        ..QueueConfig::default()
    };
    Config {
        database: DatabaseConfig {
            url: schema.url.clone(),
            schema: schema.name.clone(),
            own_schema: schema.own(),
            pool_size: 5,
            ..DatabaseConfig::default()
        },
        worker: WorkerConfig {
            concurrency: 20,
            shutdown_grace: Duration::from_secs(10),
            heartbeat: Duration::from_secs(2),
            schedule: false,
            ..WorkerConfig::default()
        },
        http: HttpConfig { listen: None },
        queues: queues.iter().map(|name| ((*name).to_owned(), queue.clone())).collect(),
        ..Config::default()
    }
}

/// A handler for JSON payloads.
pub fn handler<F>(run: impl Fn(Job<Value>, Context) -> F + Send + Sync + 'static) -> Arc<dyn Handler>
where
    F: Future<Output = Result<Value, HandlerError>> + Send + 'static,
{
    typed(run)
}

impl Crew {
    /// Starts a worker with these handlers.
    pub fn start<'a>(config: Config, handlers: impl IntoIterator<Item = (&'a str, Arc<dyn Handler>)>) -> Crew {
        Crew::equipped(config, |worker| {
            for (queue, handler) in handlers {
                worker.handle(queue, handler);
            }
        })
    }

    /// Starts a worker that is given what it runs.
    pub fn equipped(config: Config, equip: impl FnOnce(&mut Worker)) -> Crew {
        lines::keep();
        let (metrics, health, stop) = (Metrics::new(), Health::new(), CancellationToken::new());
        let mut worker = Worker::new(config)
            .with_metrics(metrics.clone())
            .with_health(health.clone());
        equip(&mut worker);
        let running = tokio::spawn(worker.run(stop.clone().cancelled_owned()));
        Crew {
            metrics,
            health,
            _end: stop.clone().drop_guard(),
            stop,
            running: Some(running),
        }
    }

    /// Waits until it has looked at the schema, and says that it is ready.
    pub async fn until_ready(&self) {
        wait_for("the worker to be ready", async || {
            self.metrics.schema_supported.get() == 1 && self.health.readiness().ready
        })
        .await;
    }

    /// Tells it to stop, as SIGTERM does.
    pub fn begin_stop(&self) {
        self.stop.cancel();
    }

    /// Stops it and waits for its report.
    pub async fn stop(self) -> Report {
        self.begin_stop();
        self.ended().await
    }

    /// Waits for the report of one that stops.
    pub async fn ended(mut self) -> Report {
        let running = self.running.take().expect("it is stopped once");
        running
            .await
            .expect("a worker does not panic")
            .expect("a worker that began ends with a report")
    }

    /// How many attempts of the queue came to this.
    pub fn processed(&self, queue: &str, outcome: Outcome) -> u64 {
        self.metrics
            .jobs_processed
            .with_label_values(&[queue, outcome.as_str()])
            .get()
    }

    /// Waits until so many have.
    pub async fn until_processed(&self, queue: &str, outcome: Outcome, count: u64) {
        let what = format!("{count} jobs of {queue} to be {}", outcome.as_str());
        wait_for(&what, async || self.processed(queue, outcome) >= count).await;
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

/// The attempts that handlers were given.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<BTreeMap<Uuid, Vec<i32>>>>);

impl Seen {
    /// Takes note of one.
    pub fn note(&self, attempt: Attempt) {
        let mut seen = self.0.lock().expect("nobody panics with it");
        seen.entry(attempt.id).or_default().push(attempt.retry_count);
    }

    /// How many different jobs there were.
    pub fn jobs(&self) -> usize {
        self.0.lock().expect("nobody panics with it").len()
    }

    /// Those that came more than once, with the attempts.
    pub fn repeated(&self) -> BTreeMap<Uuid, Vec<i32>> {
        let seen = self.0.lock().expect("nobody panics with it");
        seen.iter()
            .filter(|(_, attempts)| attempts.len() > 1)
            .map(|(id, attempts)| (*id, attempts.clone()))
            .collect()
    }

    /// A handler that does nothing but take note.
    pub fn handler(&self) -> Arc<dyn Handler> {
        let seen = self.clone();
        handler(move |job, _| {
            seen.note(job.attempt);
            std::future::ready(Ok(job.data))
        })
    }

    /// A handler that takes note, and then waits for the gate to be opened.
    pub fn waiting_handler(&self, gate: &CancellationToken) -> Arc<dyn Handler> {
        let (seen, gate) = (self.clone(), gate.clone());
        handler(move |job, _| {
            seen.note(job.attempt);
            let gate = gate.clone();
            async move {
                gate.cancelled().await;
                Ok(job.data)
            }
        })
    }

    /// Waits until so many jobs have come.
    pub async fn until(&self, jobs: usize) {
        wait_for(&format!("{jobs} jobs to be begun"), async || self.jobs() >= jobs).await;
    }
}

impl Schema {
    /// Makes a queue by pg-boss's own function, with options as that expects them.
    pub async fn queue(&self, name: &str, options: Value) {
        let mut all = serde_json::json!({ "policy": "standard" });
        let given = options.as_object().expect("options are an object").clone();
        all.as_object_mut().expect("made above").extend(given);
        self.execute(&format!("SELECT {{schema}}.create_queue('{name}', '{all}')"))
            .await;
    }

    /// Puts jobs with the data `{"n": 1}` and so on into a queue, with the queue's own options.
    pub async fn jobs(&self, queue: &str, count: usize) {
        let (columns, values) = if self.release == super::Release::V10_4_2 {
            ("", "")
        } else {
            (", retry_delay, expire_seconds", ", q.retry_delay, q.expire_seconds")
        };
        let limit = "coalesce(q.retry_limit, 2)";
        self.execute(&format!(
            "INSERT INTO {{schema}}.job (name, data, policy, dead_letter, retry_limit{columns})
             SELECT q.name, jsonb_build_object('n', n), q.policy, q.dead_letter, {limit}{values}
             FROM {{schema}}.queue q, generate_series(1, {count}) n WHERE q.name = '{queue}'"
        ))
        .await;
    }

    /// How many jobs of the queue are in which state.
    pub async fn states(&self, queue: &str) -> Value {
        self.value(&format!(
            "SELECT coalesce(jsonb_object_agg(state, count), '{{}}') FROM
             (SELECT state, count(*) FROM {{schema}}.job WHERE name = '{queue}' GROUP BY state) s"
        ))
        .await
    }
}
