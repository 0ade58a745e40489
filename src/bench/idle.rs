//! What a worker costs that has nothing to do.

use std::time::Duration;

use serde::Serialize;
use tokio::sync::oneshot;

use super::{Bench, Error, Used, rounded};
use crate::config::{Config, QueueConfig};
use crate::handler;
use crate::postgres::Executor;
use crate::worker::Worker;

/// How long the worker is given to settle down before it is measured.
const SETTLE: Duration = Duration::from_secs(3);
/// The server publishes its counters with a delay; the reading waits that long.
const PUBLISHED: Duration = Duration::from_millis(1200);

/// Serve empty queues.
#[derive(Debug, Clone)]
pub struct Idle {
    /// How many queues; those that are not there are created.
    pub queues: usize,
    /// How long.
    pub seconds: u64,
}

/// What idling came to.
#[derive(Debug, Clone, Serialize)]
pub struct Idled {
    /// Queues served.
    pub queues: usize,
    /// Transactions of the whole database by seconds: nothing else should run in it meanwhile.
    pub xact_per_s: f64,
    /// CPU of this process, in hundredths of one core.
    pub cpu_pct: f64,
    /// Its largest resident size so far.
    pub rss_mb: f64,
}

impl Idle {
    /// Runs it.
    ///
    /// # Errors
    /// Where the database or the schema does not allow it.
    pub async fn run(&self, config: &Config) -> Result<Idled, Error> {
        let bench = Bench::open(config).await?;
        let mut config = bench.config.clone();
        let mut names = Vec::with_capacity(self.queues);
        for n in 0..self.queues {
            let name = format!("strawboss-bench-idle-{n}");
            bench.queue(&name, false).await?;
            config.queues.insert(name.clone(), QueueConfig::within(&config.worker));
            names.push(name);
        }
        let mut worker = Worker::new(config);
        for name in &names {
            worker.handle(name, handler::raw(|_, _| async { Ok(None) }));
        }
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(worker.run(async move {
            let _ = stopped.await;
        }));
        tokio::time::sleep(SETTLE).await;
        // A session's counters are published when it next does something: the making of the queues is not to count.
        transactions(&bench).await?;
        let before = transactions(&bench).await?;
        let start = Used::now();
        tokio::time::sleep(Duration::from_secs(self.seconds)).await;
        let (seconds, cpu_s, rss_mb) = Used::now().since(start);
        let after = transactions(&bench).await?;
        let _ = stop.send(());
        running
            .await
            .map_err(|error| Error::Nonsense(format!("the worker panicked: {error}")))??;
        Ok(Idled {
            queues: self.queues,
            xact_per_s: rounded((after - before) as f64 / seconds),
            cpu_pct: rounded(cpu_s / seconds * 100.0),
            rss_mb,
        })
    }
}

async fn transactions(bench: &Bench) -> Result<i64, Error> {
    tokio::time::sleep(PUBLISHED).await;
    let sql = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    let rows = bench.client.query(sql, &[]).await?;
    let count = rows
        .first()
        .map_or(Ok(0), |row| row.try_get(0))
        .map_err(crate::postgres::Error::from)?;
    Ok(count)
}
