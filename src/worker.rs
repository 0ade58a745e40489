//! The crew put together: who is spawned, who tells whom, and how all of it stops.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore, watch};

use crate::claim::{CLAIM, Claimed, Consumer, Demand, Scout, Slots, Terms, Watched};
use crate::config::Config;
use crate::dialect::{Needed, Watch, Watcher};
use crate::handler::Handler;
use crate::job::{Outcome, Verdict};
use crate::lifecycle::{Lifecycle, Report};
use crate::observe::Metrics;
use crate::postgres::{Database, Settings};
use crate::queue::QueueName;
use crate::run::{Ended, Keeper, Leases, TOUCH, attempt};
use crate::settle::{COMPLETE, FAIL, RELEASE, Settlement, Settler, Verdicts};
use crate::upkeep::Rescuer;

/// Why a worker could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database settings cannot be used.
    #[error("{0}")]
    Database(#[from] crate::postgres::Error),
    /// A queue is configured and nothing runs its jobs.
    #[error("queue {0:?} has no handler; configure one or register one with `Worker::handle`")]
    NoHandler(String),
}

/// A worker for the queues of one schema.
pub struct Worker {
    config: Config,
    metrics: Metrics,
    handlers: BTreeMap<String, Arc<dyn Handler>>,
}

impl Worker {
    /// A worker as configured.
    pub fn new(config: Config, metrics: Metrics) -> Worker {
        Worker {
            config,
            metrics,
            handlers: BTreeMap::new(),
        }
    }

    /// Runs the jobs of `queue` with `handler`; a queue that is not configured is served with the defaults.
    pub fn handle(&mut self, queue: &str, handler: Arc<dyn Handler>) -> &mut Worker {
        self.handlers.insert(queue.to_owned(), handler);
        self
    }

    /// Works until `stop` completes, then drains and reports.
    ///
    /// # Errors
    /// Only before the first claim: what cannot be worked with at all. A database that is away is waited for.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> Result<Report, Error> {
        let settings = Settings::parse(&self.config.database.url)?;
        let database = Database::new(&settings.clone().with_pool_size(self.config.database.pool_size))?;
        let apart = Database::new(&settings.with_pool_size(1))?;
        let life = Lifecycle::default();
        let metrics = self.metrics.clone();
        let (watcher, watch) = Watcher::new(
            database.clone(),
            &self.config.database.schema,
            needed(),
            metrics.clone(),
        );
        life.spawn("schema watch", watcher.run(life.hard.clone()));

        let leases = Leases::default();
        let keeper = Keeper {
            database: apart,
            watch: watch.clone(),
            leases: leases.clone(),
            metrics: metrics.clone(),
        };
        let gone = tokio_util::sync::CancellationToken::new();
        life.spawn_apart("lease keeper", keeper.run(|| {}, gone.clone()));

        let backlog = (self.config.worker.concurrency * 4).max(1024);
        let (settler, verdicts) = Settler::new(
            database.clone(),
            watch.clone(),
            leases.clone(),
            metrics.clone(),
            backlog,
        );
        let settling = life.spawn("settler", settler.run(|| {}, gone.clone()));

        let process = Arc::new(Semaphore::new(self.config.worker.concurrency));
        let again = Arc::new(Notify::new());
        let runs = Runs {
            life: life.clone(),
            leases: leases.clone(),
            verdicts,
            metrics: metrics.clone(),
            in_flight: Arc::default(),
        };
        let mut watched = Vec::new();
        let mut rescued = Vec::new();
        for (name, queue) in &self.config.queues {
            let handler = self.handlers.get(name).ok_or_else(|| Error::NoHandler(name.clone()))?;
            let name = QueueName::new(name.as_str());
            let demand = Demand::new(name.clone(), metrics.clone());
            let (served, serve) = watch::channel(None);
            rescued.push(serve.clone());
            watched.push(Watched {
                name: name.clone(),
                poll_interval: queue.poll_interval,
                demand: demand.clone(),
                served,
            });
            metrics
                .concurrency_limit
                .with_label_values(&[name.as_str()])
                .set(i64::try_from(queue.concurrency).unwrap_or(i64::MAX));
            let lease = self.config.worker.heartbeat.as_secs();
            let consumer = Consumer {
                name,
                database: database.clone(),
                watch: watch.clone(),
                again: Arc::clone(&again),
                served: serve,
                demand,
                slots: Slots::new(Arc::clone(&process), queue.concurrency),
                batch_size: queue.batch_size,
                terms: Terms {
                    lease: (lease > 0).then(|| i32::try_from(lease).unwrap_or(i32::MAX)),
                    min_priority: queue.min_priority,
                    max_priority: queue.max_priority,
                    group_limit: queue
                        .group_concurrency
                        .as_ref()
                        .map(|limit| i32::try_from(limit.default).unwrap_or(i32::MAX)),
                    group_tiers: queue
                        .group_concurrency
                        .as_ref()
                        .filter(|limit| !limit.tiers.is_empty())
                        .and_then(|limit| serde_json::value::to_raw_value(&limit.tiers).ok()),
                },
                handler: Arc::clone(handler),
                metrics: metrics.clone(),
            };
            let (handler, runs, soft) = (Arc::clone(handler), runs.clone(), life.soft.clone());
            life.spawn(
                "consumer",
                consumer.run(move |claimed| runs.start(&handler, claimed), || {}, soft),
            );
        }
        let rescuer = Rescuer {
            database: database.clone(),
            watch: watch.clone(),
            served: rescued,
            metrics: metrics.clone(),
        };
        life.spawn("rescuer", rescuer.run(|| {}, life.soft.clone()));
        let scout = Scout::new(database.clone(), watch.clone(), watched, again, metrics.clone());
        life.spawn("scout", scout.run(|| {}, life.soft.clone()));

        stop.await;
        self.drain(life, runs, settling, gone, &watch).await
    }

    /// No new claims; running jobs finish within the grace, the others are handed back; verdicts are written.
    async fn drain(
        &self,
        life: Lifecycle,
        runs: Runs,
        settling: tokio::task::JoinHandle<usize>,
        gone: tokio_util::sync::CancellationToken,
        _watch: &Watch,
    ) -> Result<Report, Error> {
        let grace = self.config.worker.shutdown_grace;
        let held = runs.in_flight.load(Ordering::Relaxed);
        tracing::info!(running = held, grace = ?grace, "stopping: no new claims, running jobs may finish");
        life.soft.cancel();
        let until = Instant::now() + grace;
        while runs.in_flight.load(Ordering::Relaxed) > 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let left = runs.in_flight.load(Ordering::Relaxed);
        life.hard.cancel();
        drop(runs);
        let unwritten = match tokio::time::timeout(Duration::from_secs(10), settling).await {
            Ok(unwritten) => unwritten.unwrap_or(0),
            Err(_) => 0,
        };
        gone.cancel();
        let hanging = life.ended(Duration::from_secs(5)).await;
        Ok(Report {
            drained: held.saturating_sub(left),
            released: left,
            unwritten,
            hanging,
            ..Report::default()
        })
    }
}

/// Every statement of the worker, for the watcher to try.
fn needed() -> Vec<Needed> {
    vec![
        Needed {
            purpose: "claim jobs",
            template: CLAIM,
            flags: &[],
        },
        Needed {
            purpose: "complete jobs",
            template: COMPLETE,
            flags: &[],
        },
        Needed {
            purpose: "fail jobs",
            template: FAIL,
            flags: &["settle"],
        },
        Needed {
            purpose: "take lost jobs back",
            template: FAIL,
            flags: &["sweep"],
        },
        Needed {
            purpose: "hand jobs back",
            template: RELEASE,
            flags: &[],
        },
        Needed {
            purpose: "keep leases",
            template: TOUCH,
            flags: &[],
        },
    ]
}

/// Starts runs and brings their verdicts to the settler.
#[derive(Clone)]
struct Runs {
    life: Lifecycle,
    leases: Leases,
    verdicts: Verdicts,
    metrics: Metrics,
    in_flight: Arc<AtomicUsize>,
}

impl Runs {
    fn start(&self, handler: &Arc<dyn Handler>, claimed: Claimed) {
        let Claimed {
            job,
            queue,
            slot,
            claimed,
        } = claimed;
        let runs = self.clone();
        let handler = Arc::clone(handler);
        let lost = self.leases.hold(&job, &queue);
        let name = job.queue.as_str();
        let waited = (job.started_on - job.start_after.max(job.created_on))
            .to_std()
            .unwrap_or_default();
        self.metrics
            .job_wait
            .with_label_values(&[name])
            .observe(waited.as_secs_f64());
        self.metrics.jobs_in_flight.with_label_values(&[name]).inc();
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.life.spawn("run", async move {
            let deadline = claimed
                .checked_add(job.expire)
                .unwrap_or_else(|| claimed + Duration::from_secs(86400 * 365));
            let started = Instant::now();
            let (ended, ran) = if runs.life.soft.is_cancelled() {
                (Ended::Verdict(Verdict::Release), None)
            } else {
                let ended = attempt(
                    &handler,
                    &job,
                    deadline,
                    &lost,
                    &runs.life.hard,
                    opentelemetry::Context::new(),
                )
                .await;
                (ended, Some(started.elapsed()))
            };
            let (verdict, expired) = match ended {
                Ended::Verdict(verdict) => (verdict, false),
                Ended::Expired(verdict) => (verdict, true),
                Ended::Lost => {
                    let name = job.queue.as_str();
                    runs.metrics
                        .jobs_processed
                        .with_label_values(&[name, Outcome::Cancelled.as_str()])
                        .inc();
                    runs.metrics.jobs_in_flight.with_label_values(&[name]).dec();
                    runs.in_flight.fetch_sub(1, Ordering::Relaxed);
                    return;
                }
            };
            let (metrics, in_flight, name) = (runs.metrics.clone(), Arc::clone(&runs.in_flight), job.queue.clone());
            let told = Box::new(move |_| {
                metrics.jobs_in_flight.with_label_values(&[name.as_str()]).dec();
                in_flight.fetch_sub(1, Ordering::Relaxed);
            });
            let settlement = Settlement {
                job,
                queue,
                verdict,
                expired,
                ran,
                told,
            };
            let _ = runs.verdicts.send(settlement).await;
            drop(slot);
        });
    }
}
