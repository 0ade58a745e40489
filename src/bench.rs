//! The load generator: fills a queue, runs a worker on it, and measures what came of it.
//!
//! Everything is measured in the process that runs the worker; the figures of the database server are its own.

mod drain;
mod idle;
mod latency;
mod relay;
mod send;

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

use crate::config::Config;
use crate::dialect::Dialect;
use crate::enqueue::{self, QueueOptions};
use crate::postgres::{Client, Database, Settings};
use crate::queue::QueueName;

pub use drain::{Drain, Drained};
pub use idle::{Idle, Idled};
pub use latency::{Latencies, Latency};
pub use relay::{Relay, RelayedAll};
pub use send::{Send, Sent};

/// Why a measurement could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database would not.
    #[error("{0}")]
    Database(#[from] crate::postgres::Error),
    /// The jobs could not be sent.
    #[error("{0}")]
    Enqueue(#[from] enqueue::Error),
    /// The worker could not be made.
    #[error("{0}")]
    Worker(#[from] crate::worker::Error),
    /// The measurement makes no sense as asked for.
    #[error("{0}")]
    Nonsense(String),
}

/// A connection and the dialect of the schema that is measured.
struct Bench {
    config: Config,
    database: Database,
    client: Client,
    dialect: Dialect,
}

impl Bench {
    async fn open(config: &Config) -> Result<Bench, Error> {
        let settings = Settings::parse(&config.database.url)?.with_pool_size(config.database.pool_size);
        let database = Database::new(&settings)?;
        let client = database.client().await?;
        let dialect = Dialect::read(&client, &config.database.schema).await?;
        let mut config = config.clone();
        // Nothing but the queues of the measurement is served, and nothing else listens on the address.
        config.queues.clear();
        config.worker.schedule = false;
        config.http.listen = None;
        Ok(Bench {
            config,
            database,
            client,
            dialect,
        })
    }

    /// Creates the queue where it is not there yet.
    async fn queue(&self, name: &str, notify: bool) -> Result<QueueName, Error> {
        let queue = QueueName::validated(name).map_err(Error::Nonsense)?;
        let options = QueueOptions {
            notify,
            ..QueueOptions::default()
        };
        enqueue::create_queue(&self.client, &self.dialect, &queue, &options).await?;
        Ok(queue)
    }
}

/// What this process has used so far.
#[derive(Debug, Clone, Copy)]
struct Used {
    at: Instant,
    cpu: Duration,
    peak_bytes: u64,
}

impl Used {
    fn now() -> Used {
        let at = Instant::now();
        // It cannot fail for the process itself; nothing used is the honest answer if it does.
        let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else {
            return Used {
                at,
                cpu: Duration::ZERO,
                peak_bytes: 0,
            };
        };
        let seconds = |time: nix::sys::time::TimeVal| {
            Duration::from_secs(u64::try_from(time.tv_sec()).unwrap_or(0))
                + Duration::from_micros(u64::try_from(time.tv_usec()).unwrap_or(0))
        };
        let peak = u64::try_from(usage.max_rss()).unwrap_or(0);
        // Linux counts in KiB, macOS in bytes.
        let peak_bytes = if cfg!(target_os = "macos") { peak } else { peak * 1024 };
        Used {
            at,
            cpu: seconds(usage.user_time()) + seconds(usage.system_time()),
            peak_bytes,
        }
    }

    /// (seconds, CPU seconds, peak resident MB) since `start`.
    fn since(self, start: Used) -> (f64, f64, f64) {
        let cpu = self.cpu.saturating_sub(start.cpu);
        (
            (self.at - start.at).as_secs_f64(),
            cpu.as_secs_f64(),
            rounded(self.peak_bytes as f64 / 1e6),
        )
    }
}

/// Three decimals are more than any of this is good for.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
