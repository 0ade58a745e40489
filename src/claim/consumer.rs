//! Claims for one queue: no more than there are free places, without a pause while batches come back full.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::scout::Served;
use super::{Slot, Slots, Terms, claim};
use crate::dialect::Watch;
use crate::handler::Handler;
use crate::job::Job;
use crate::observe::{Metrics, Pulse, Wakeup};
use crate::postgres::{Class, Database};
use crate::queue::{Queue, QueueName};

/// After a full batch, how long freed places are gathered so that one claim serves many of them.
const GATHER: Duration = Duration::from_millis(2);
/// How often a consumer that waits says that it is alive.
const BEAT: Duration = Duration::from_secs(5);
/// How long a claim may take before its connection is given up.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a consumer waits after a claim that failed.
const AFTER_ERROR: Duration = Duration::from_millis(500);

/// Tells a consumer to look, and remembers nothing: any number of calls before it looks are one.
#[derive(Clone)]
pub struct Demand {
    queue: QueueName,
    notify: Arc<Notify>,
    metrics: Metrics,
}

impl Demand {
    /// The bell of one queue's consumer.
    pub fn new(queue: QueueName, metrics: Metrics) -> Demand {
        Demand {
            queue,
            notify: Arc::new(Notify::new()),
            metrics,
        }
    }

    /// The queue whose consumer it is.
    pub fn queue(&self) -> &QueueName {
        &self.queue
    }

    /// Wakes the consumer, and says why.
    pub fn wake(&self, source: Wakeup) {
        self.metrics
            .wakeups
            .with_label_values(&[self.queue.as_str(), source.as_str()])
            .inc();
        self.notify.notify_one();
    }
}

/// A job with its place, ready to run.
pub struct Claimed {
    /// The job.
    pub job: Arc<Job>,
    /// The queue as it was when the job was claimed.
    pub queue: Arc<Queue>,
    /// Its place.
    pub slot: Slot,
    /// The local time just before the claim: the attempt's deadline counts from here.
    pub claimed: Instant,
}

/// The servant of one queue.
pub struct Consumer {
    /// The queue's name.
    pub name: QueueName,
    /// Where claims are made.
    pub database: Database,
    /// To ask for another look at the schema.
    pub watch: Watch,
    /// To have the queue's row read again.
    pub again: Arc<Notify>,
    /// The dialect and the queue's row.
    pub served: watch::Receiver<Option<Served>>,
    /// Wakes it.
    pub demand: Demand,
    /// Its places.
    pub slots: Slots,
    /// Jobs asked for at a time, at most.
    pub batch_size: usize,
    /// What may be claimed.
    pub terms: Terms,
    /// Who says whether anything should be claimed at all.
    pub handler: Arc<dyn Handler>,
    /// Where it is counted.
    pub metrics: Metrics,
}

impl Consumer {
    /// Claims until told to stop and hands each job to `dispatch`.
    pub async fn run(mut self, dispatch: impl Fn(Claimed), pulse: Pulse, stop: CancellationToken) {
        let mut sql: Option<(Served, Arc<str>)> = None;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                changed = self.served.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let served = self.served.borrow_and_update().clone();
                    sql = served.map(|served| {
                        let text = self.terms.render(&served.dialect, &served.queue);
                        (served, text)
                    });
                    self.open();
                    continue;
                }
                () = self.demand.notify.notified() => {}
                () = tokio::time::sleep(BEAT) => {
                    pulse.beat();
                    continue;
                }
            }
            let Some((served, text)) = &sql else { continue };
            while self.open() {
                let Some(slots) = self.places(&pulse, &stop).await else {
                    return;
                };
                // The wait may have been long, and what was known before it may hold no more.
                if self.served.has_changed().unwrap_or(true) || !self.open() {
                    self.demand.notify.notify_one();
                    break;
                }
                let wanted = slots.len();
                let got = self.claim(served, text, slots, &dispatch, &stop).await;
                pulse.beat();
                if got < wanted || stop.is_cancelled() {
                    break;
                }
                self.metrics
                    .wakeups
                    .with_label_values(&[self.name.as_str(), Wakeup::Backlog.as_str()])
                    .inc();
                if wanted < self.batch_size {
                    tokio::time::sleep(GATHER).await;
                }
            }
        }
    }

    /// Waits for free places, however long that takes, without leaving the line; `None` when it is time to stop.
    async fn places(&self, pulse: &Pulse, stop: &CancellationToken) -> Option<Vec<Slot>> {
        let mut slots = pin!(self.slots.take(self.batch_size));
        loop {
            pulse.beat();
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                slots = &mut slots => return Some(slots),
                () = tokio::time::sleep(BEAT) => {}
            }
        }
    }

    /// Whether anything should be claimed now: neither a person nor the handler wants a pause.
    fn open(&self) -> bool {
        let told = self.served.borrow().as_ref().is_some_and(|served| served.paused);
        let paused = told || self.handler.paused().is_some();
        self.metrics
            .queue_paused
            .with_label_values(&[self.name.as_str()])
            .set(i64::from(paused));
        !paused
    }

    /// One claim; returns how many jobs it brought.
    async fn claim(
        &self,
        served: &Served,
        sql: &str,
        mut slots: Vec<Slot>,
        dispatch: &impl Fn(Claimed),
        stop: &CancellationToken,
    ) -> usize {
        let queue = self.name.as_str();
        let result = async {
            let client = self.database.client().await?;
            let claimed = Instant::now();
            let jobs = claim(&client, sql, &self.terms, &self.name, slots.len()).await?;
            Ok((claimed, jobs))
        };
        match self.database.within(PATIENCE, result).await {
            Ok((claimed, jobs)) => {
                self.metrics
                    .claim_duration
                    .with_label_values(&[queue])
                    .observe(claimed.elapsed().as_secs_f64());
                if !jobs.is_empty() {
                    self.metrics
                        .claim_batch_size
                        .with_label_values(&[queue])
                        .observe(jobs.len() as f64);
                }
                let got = jobs.len();
                for job in jobs {
                    let Some(slot) = slots.pop() else { break };
                    dispatch(Claimed {
                        job,
                        queue: Arc::clone(&served.queue),
                        slot,
                        claimed,
                    });
                }
                got
            }
            Err(error) => {
                drop(slots);
                match error.class() {
                    Class::Schema => {
                        self.watch.nudge();
                        self.again.notify_one();
                        tracing::debug!(queue, %error, "the schema changed under a claim");
                    }
                    Class::Connection | Class::Transient => {
                        tracing::debug!(queue, %error, "a claim failed; trying again")
                    }
                    _ => tracing::warn!(queue, %error, "a claim failed; trying again"),
                }
                tokio::select! {
                    () = tokio::time::sleep(AFTER_ERROR) => {}
                    () = stop.cancelled() => {}
                }
                0
            }
        }
    }
}
