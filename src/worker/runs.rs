//! Starts runs and brings their verdicts to the settler.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use crate::claim::Claimed;
use crate::handler::Handler;
use crate::job::{Job, Outcome, Verdict};
use crate::lifecycle::Lifecycle;
use crate::observe::{Metrics, Tracer};
use crate::run::{Ended, Leases, attempt};
use crate::settle::{Settlement, Verdicts};

/// A deadline for jobs whose expiry the clock cannot reach.
const FOREVER: Duration = Duration::from_secs(365 * 86_400);

/// The runs of a worker; cheap to clone.
#[derive(Clone)]
pub(super) struct Runs {
    life: Lifecycle,
    leases: Leases,
    verdicts: Verdicts,
    metrics: Metrics,
    tracer: Tracer,
    tally: Arc<Tally>,
}

/// What is in flight, and what became of what was.
struct Tally {
    in_flight: watch::Sender<usize>,
    outcomes: [AtomicU64; Outcome::ALL.len()],
}

impl Runs {
    pub(super) fn new(life: Lifecycle, leases: Leases, verdicts: Verdicts, metrics: Metrics, tracer: Tracer) -> Runs {
        let tally = Tally {
            in_flight: watch::Sender::new(0),
            outcomes: Default::default(),
        };
        Runs {
            life,
            leases,
            verdicts,
            metrics,
            tracer,
            tally: Arc::new(tally),
        }
    }

    /// Jobs claimed whose verdict is not written yet.
    pub(super) fn in_flight(&self) -> usize {
        *self.tally.in_flight.borrow()
    }

    /// The same, to be looked at later; it keeps nothing else alive.
    pub(super) fn counter(&self) -> watch::Receiver<usize> {
        self.tally.in_flight.subscribe()
    }

    /// Waits until nothing is in flight, or that moment has come.
    pub(super) async fn idle(&self, until: Instant) {
        let mut in_flight = self.tally.in_flight.subscribe();
        let _ = tokio::time::timeout_at(until.into(), in_flight.wait_for(|count| *count == 0)).await;
    }

    /// Attempts by what came of them, those that came to nothing left out.
    pub(super) fn outcomes(&self) -> BTreeMap<&'static str, u64> {
        let counts = self.tally.outcomes.iter().map(|count| count.load(Ordering::Relaxed));
        Outcome::ALL
            .iter()
            .map(|outcome| outcome.as_str())
            .zip(counts)
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// Runs a claimed job; one that comes after the stop, or while its handler wants none, is handed back at once.
    pub(super) fn start(&self, handler: &Arc<dyn Handler>, claimed: Claimed) {
        let Claimed {
            job,
            queue,
            slot,
            claimed,
        } = claimed;
        let runs = self.clone();
        let handler = Arc::clone(handler);
        let lost = self.leases.hold(&job, &queue);
        let waited = (job.started_on - job.start_after.max(job.created_on))
            .to_std()
            .unwrap_or_default();
        self.metrics
            .job_wait
            .with_label_values(&[job.queue.as_str()])
            .observe(waited.as_secs_f64());
        self.metrics
            .jobs_in_flight
            .with_label_values(&[job.queue.as_str()])
            .inc();
        self.tally.in_flight.send_modify(|count| *count += 1);
        self.life.spawn("run", async move {
            let deadline = claimed.checked_add(job.expire).unwrap_or_else(|| claimed + FOREVER);
            let span = runs.tracer.process_span(&job, SystemTime::now() - claimed.elapsed());
            let started = Instant::now();
            let (ended, ran) = if runs.life.soft.is_cancelled() || handler.paused().is_some() {
                (Ended::Verdict(Verdict::Release), None)
            } else {
                let trace = span.context().clone();
                let ended = attempt(&handler, &job, deadline, &lost, &runs.life.hard, trace).await;
                (ended, Some(started.elapsed()))
            };
            let (verdict, expired) = match ended {
                Ended::Verdict(verdict) => (verdict, false),
                Ended::Expired(verdict) => (verdict, true),
                Ended::Lost(outcome) => {
                    let (name, id) = (job.queue.as_str(), job.attempt.id);
                    tracing::warn!(queue = name, job = %id, outcome = outcome.as_str(), "the job was taken away while it ran");
                    runs.metrics.jobs_processed.with_label_values(&[name, outcome.as_str()]).inc();
                    if outcome == Outcome::Fenced {
                        runs.metrics.fence_rejections.with_label_values(&[name]).inc();
                    }
                    span.end(outcome, None);
                    runs.ended(&job, outcome);
                    return;
                }
            };
            let told = {
                let (runs, job) = (runs.tally_only(), Arc::clone(&job));
                Box::new(move |outcome| runs.ended(&job, outcome))
            };
            let settlement = Settlement { job, queue, verdict, expired, span, ran, told };
            // A settler that is gone has given up; the job runs again when its lease is over.
            let _ = runs.verdicts.send(settlement).await;
            drop(slot);
        });
    }

    /// What a settlement needs to report back; it must not keep the settler's own channel open.
    fn tally_only(&self) -> Ending {
        Ending {
            metrics: self.metrics.clone(),
            tally: Arc::clone(&self.tally),
        }
    }

    fn ended(&self, job: &Job, outcome: Outcome) {
        self.tally_only().ended(job, outcome);
    }
}

/// Counts an attempt out.
struct Ending {
    metrics: Metrics,
    tally: Arc<Tally>,
}

impl Ending {
    fn ended(&self, job: &Job, outcome: Outcome) {
        self.metrics
            .jobs_in_flight
            .with_label_values(&[job.queue.as_str()])
            .dec();
        self.tally.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
        self.tally.in_flight.send_modify(|count| *count -= 1);
    }
}
