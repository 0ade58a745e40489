//! How long a job waits that meets an idle worker.

use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::{Bench, Error, rounded};
use crate::config::{Config, QueueConfig};
use crate::enqueue::{self, SendOptions};
use crate::handler;
use crate::worker::Worker;

/// Jobs sent first, so that connections are open and statements prepared; they are not counted.
const WARM_UP: usize = 20;
/// A job that takes longer than this is lost, and so is the measurement.
const LOST: Duration = Duration::from_secs(60);

/// Send jobs one by one to an idle worker.
#[derive(Debug, Clone)]
pub struct Latency {
    /// Jobs to send.
    pub count: usize,
    /// The pause between the end of one and the sending of the next.
    pub gap: Duration,
    /// Whether the queue has `notify` on, so that the worker is woken rather than polls.
    pub notify: bool,
    /// The queue; created if it is not there.
    pub queue: String,
}

/// Milliseconds from the call that sends a job until its handler starts.
#[derive(Debug, Clone, Serialize)]
pub struct Latencies {
    /// Jobs measured.
    pub count: usize,
    /// Half were at least this fast.
    pub p50_ms: f64,
    /// 95 in 100 were.
    pub p95_ms: f64,
    /// 99 in 100 were.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

impl Latency {
    /// Runs it.
    ///
    /// # Errors
    /// Where the database or the schema does not allow it, or a job does not arrive within a minute.
    pub async fn run(&self, config: &Config) -> Result<Latencies, Error> {
        let bench = Bench::open(config).await?;
        let queue = bench.queue(&self.queue, self.notify).await?;
        let mut config = bench.config.clone();
        config
            .queues
            .insert(self.queue.clone(), QueueConfig::within(&config.worker));
        let mut worker = Worker::new(config);
        let (arrived, mut arrivals) = mpsc::unbounded_channel();
        worker.handle(
            &self.queue,
            handler::raw(move |job, _| {
                let _ = arrived.send((job.id(), Instant::now()));
                async { Ok(None) }
            }),
        );
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(worker.run(async move {
            let _ = stopped.await;
        }));
        let mut waits = Vec::with_capacity(self.count);
        for n in 0..self.count + WARM_UP {
            tokio::time::sleep(self.gap).await;
            let sent = Instant::now();
            let id = enqueue::send(&bench.client, &bench.dialect, &queue, None, &SendOptions::default()).await?;
            let at = loop {
                match tokio::time::timeout(LOST, arrivals.recv()).await {
                    // What was in the queue before is run too, and does not count.
                    Ok(Some((arrived, at))) if Some(arrived) == id => break at,
                    Ok(Some(_)) => {}
                    _ => {
                        return Err(Error::Nonsense(format!(
                            "a job did not reach its handler within {LOST:?}"
                        )));
                    }
                }
            };
            if n >= WARM_UP {
                waits.push(at.saturating_duration_since(sent));
            }
        }
        let _ = stop.send(());
        running
            .await
            .map_err(|error| Error::Nonsense(format!("the worker panicked: {error}")))??;
        waits.sort_unstable();
        let at = |share: f64| {
            let place = ((waits.len() as f64 * share).ceil() as usize).clamp(1, waits.len().max(1)) - 1;
            waits.get(place).map_or(0.0, |wait| rounded(wait.as_secs_f64() * 1e3))
        };
        Ok(Latencies {
            count: waits.len(),
            p50_ms: at(0.5),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            max_ms: at(1.0),
        })
    }
}
