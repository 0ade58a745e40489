//! How fast a full queue is emptied.

use std::time::Duration;

use serde::Serialize;
use serde_json::value::to_raw_value;
use tokio::sync::oneshot;

use super::{Bench, Error, Used, rounded};
use crate::config::{Config, QueueConfig};
use crate::enqueue::{self, JobInsert};
use crate::handler;
use crate::job::Outcome;
use crate::observe::Metrics;
use crate::worker::Worker;

/// Fill a queue, then drain it with a handler that does nothing.
#[derive(Debug, Clone)]
pub struct Drain {
    /// Jobs to drain.
    pub jobs: usize,
    /// Jobs claimed at a time; the worker's default where it is `None`.
    pub batch_size: Option<usize>,
    /// Jobs in flight; the worker's default where it is `None`.
    pub concurrency: Option<usize>,
    /// The queue; created if it is not there, and refused if jobs wait in it.
    pub queue: String,
}

/// What a drain came to. Only the drain is timed, from the worker's start until the last job is settled.
#[derive(Debug, Clone, Serialize)]
pub struct Drained {
    /// Jobs drained.
    pub jobs: usize,
    /// How long it took.
    pub seconds: f64,
    /// Jobs by seconds.
    pub jobs_per_s: f64,
    /// CPU seconds of this process.
    pub cpu_s: f64,
    /// Its largest resident size so far.
    pub rss_mb: f64,
}

impl Drain {
    /// Runs it.
    ///
    /// # Errors
    /// Where the database, the schema or the queue does not allow it.
    pub async fn run(&self, config: &Config) -> Result<Drained, Error> {
        let bench = Bench::open(config).await?;
        let queue = bench.queue(&self.queue, false).await?;
        let waiting = "SELECT count(*) FROM {job} WHERE name = $1 AND state < 'completed'";
        let waiting = waiting.replace("{job}", &bench.dialect.qualified("job"));
        let rows = {
            use crate::postgres::Executor;
            bench
                .client
                .query(&waiting, &[(&queue.as_str(), tokio_postgres::types::Type::TEXT)])
                .await?
        };
        let there: i64 = rows
            .first()
            .map_or(Ok(0), |row| row.try_get(0))
            .map_err(crate::postgres::Error::from)?;
        if there > 0 {
            return Err(Error::Nonsense(format!(
                "{there} jobs wait in queue {queue}; a drain would run them into nothing: name another queue with --queue"
            )));
        }
        let mut filled = 0;
        while filled < self.jobs {
            let chunk = (self.jobs - filled).min(5000);
            let jobs: Vec<JobInsert> = (filled..filled + chunk)
                .map(|n| JobInsert {
                    data: to_raw_value(&serde_json::json!({ "n": n })).ok(),
                    ..JobInsert::default()
                })
                .collect();
            filled += enqueue::insert(&bench.client, &bench.dialect, &queue, &jobs)
                .await?
                .len();
            tracing::info!(filled, of = self.jobs, "filling the queue");
        }

        let metrics = Metrics::new();
        let mut config = bench.config.clone();
        if let Some(concurrency) = self.concurrency {
            config.worker.concurrency = concurrency;
        }
        let defaults = QueueConfig::within(&config.worker);
        let batch_size = self.batch_size.unwrap_or(defaults.batch_size);
        config
            .queues
            .insert(self.queue.clone(), QueueConfig { batch_size, ..defaults });
        let mut worker = Worker::new(config).with_metrics(metrics.clone());
        worker.handle(&self.queue, handler::raw(|_, _| async { Ok(None) }));
        let completed = metrics
            .jobs_processed
            .with_label_values(&[queue.as_str(), Outcome::Completed.as_str()]);
        let (stop, stopped) = oneshot::channel::<()>();
        drop(bench.client);

        let start = Used::now();
        let running = tokio::spawn(worker.run(async move {
            let _ = stopped.await;
        }));
        let jobs = u64::try_from(self.jobs).unwrap_or(u64::MAX);
        while completed.get() < jobs && !running.is_finished() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let (seconds, cpu_s, rss_mb) = Used::now().since(start);
        let _ = stop.send(());
        running
            .await
            .map_err(|error| Error::Nonsense(format!("the worker panicked: {error}")))??;
        Ok(Drained {
            jobs: self.jobs,
            seconds: rounded(seconds),
            jobs_per_s: rounded(self.jobs as f64 / seconds),
            cpu_s: rounded(cpu_s),
            rss_mb,
        })
    }
}
