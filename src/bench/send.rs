//! How fast jobs go in.

use serde::Serialize;
use serde_json::value::to_raw_value;

use super::{Bench, Error, Used, rounded};
use crate::config::Config;
use crate::enqueue::{self, JobInsert, SendOptions};

/// Send jobs, one by one or in bulk.
#[derive(Debug, Clone)]
pub struct Send {
    /// Jobs to send.
    pub jobs: usize,
    /// Senders at once.
    pub concurrency: usize,
    /// Jobs of one statement; 1 sends them one by one.
    pub bulk: usize,
    /// The queue; created if it is not there. The jobs stay in it.
    pub queue: String,
}

/// What sending came to.
#[derive(Debug, Clone, Serialize)]
pub struct Sent {
    /// Jobs sent.
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

impl Send {
    /// Runs it.
    ///
    /// # Errors
    /// Where the database, the schema or the queue does not allow it.
    pub async fn run(&self, config: &Config) -> Result<Sent, Error> {
        let senders = self.concurrency.max(1);
        let mut config = config.clone();
        config.database.pool_size = config.database.pool_size.max(senders + 1);
        let bench = Bench::open(&config).await?;
        let queue = bench.queue(&self.queue, false).await?;
        let start = Used::now();
        let shares = (0..senders).map(|n| self.jobs / senders + usize::from(n < self.jobs % senders));
        let sending = shares.map(|share| self.share(&bench, &queue, share));
        let sent: usize = futures_util::future::try_join_all(sending).await?.into_iter().sum();
        let (seconds, cpu_s, rss_mb) = Used::now().since(start);
        Ok(Sent {
            jobs: sent,
            seconds: rounded(seconds),
            jobs_per_s: rounded(sent as f64 / seconds),
            cpu_s: rounded(cpu_s),
            rss_mb,
        })
    }

    async fn share(&self, bench: &Bench, queue: &crate::queue::QueueName, jobs: usize) -> Result<usize, Error> {
        let client = bench.database.client().await?;
        let data = to_raw_value(&serde_json::json!({ "from": "strawboss bench" })).ok();
        let mut sent = 0;
        while sent < jobs {
            if self.bulk <= 1 {
                let options = SendOptions::default();
                enqueue::send(&client, &bench.dialect, queue, data.as_deref(), &options).await?;
                sent += 1;
            } else {
                let job = JobInsert {
                    data: data.clone(),
                    ..JobInsert::default()
                };
                let batch = vec![job; self.bulk.min(jobs - sent)];
                sent += enqueue::insert(&client, &bench.dialect, queue, &batch).await?.len();
            }
        }
        Ok(sent)
    }
}
