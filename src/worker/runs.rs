//! Starts runs and brings their verdicts to the settler.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use crate::chronicle::{Note, Notes};
use crate::claim::Claimed;
use crate::handler::Handler;
use crate::job::{Job, Outcome, Verdict};
use crate::lifecycle::Lifecycle;
use crate::observe::{Metrics, Tracer};
use crate::queue::QueueName;
use crate::run::{Ended, Leases, attempt};
use crate::settle::{Settlement, Verdicts};
use crate::upkeep::Activity;

/// A deadline for jobs whose expiry the clock cannot reach.
const FOREVER: Duration = Duration::from_secs(365 * 86_400);

/// The runs of a worker; cheap to clone.
#[derive(Clone)]
pub(super) struct Runs {
    life: Lifecycle,
    pub(super) leases: Leases,
    verdicts: Verdicts,
    metrics: Metrics,
    tracer: Tracer,
    notes: Option<Notes>,
    tally: Arc<Tally>,
}

struct Tally {
    in_flight: watch::Sender<usize>,
    unwritten: AtomicUsize,
    outcomes: [AtomicU64; Outcome::ALL.len()],
    activity: Mutex<HashMap<QueueName, Activity>>,
}

impl Tally {
    fn note(&self, queue: &QueueName, what: impl FnOnce(&mut Activity)) {
        let mut activity = self.activity.lock().unwrap_or_else(PoisonError::into_inner);
        match activity.get_mut(queue) {
            Some(activity) => what(activity),
            None => what(activity.entry(queue.clone()).or_default()),
        }
    }
}

impl Runs {
    pub(super) fn new(
        life: Lifecycle,
        leases: Leases,
        verdicts: Verdicts,
        metrics: Metrics,
        tracer: Tracer,
        notes: Option<Notes>,
    ) -> Runs {
        let tally = Tally {
            in_flight: watch::Sender::new(0),
            unwritten: AtomicUsize::new(0),
            outcomes: Default::default(),
            activity: Mutex::default(),
        };
        Runs {
            life,
            leases,
            verdicts,
            metrics,
            tracer,
            notes,
            tally: Arc::new(tally),
        }
    }

    /// The counters alone, to be looked at later; they keep nothing else alive.
    pub(super) fn counters(&self) -> Counters {
        Counters(Arc::clone(&self.tally))
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
        let lost = self.leases.hold(&job, &queue, claimed);
        let waited = (job.started_on - job.start_after.max(job.created_on))
            .to_std()
            .unwrap_or_default();
        self.metrics
            .job_wait
            .with_label_values(&[job.queue.as_str()])
            .observe(waited.as_secs_f64());
        let mut ending = self.begin(&job);
        self.life.spawn_handler("run", async move {
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
            let trace_id = span.trace_id();
            let note = |outcome, error| Note {
                queue: job.queue.to_string(),
                attempt: job.attempt,
                started_on: job.started_on,
                took: claimed.elapsed(),
                outcome,
                error,
                trace_id: trace_id.clone(),
            };
            let (verdict, expired) = match ended {
                Ended::Verdict(verdict) => (verdict, false),
                Ended::Expired(verdict) => (verdict, true),
                Ended::Lost(outcome) => {
                    let (name, id) = (job.queue.as_str(), job.attempt.id);
                    let (retry_count, (trace_id, span_id)) = (job.attempt.retry_count, span.logged());
                    tracing::warn!(
                        queue = name, job = %id, retry_count, outcome = outcome.as_str(), trace_id, span_id,
                        "the job was taken away while it ran"
                    );
                    runs.metrics
                        .jobs_processed
                        .with_label_values(&[name, outcome.as_str()])
                        .inc();
                    if outcome == Outcome::Fenced {
                        runs.metrics.fence_rejections.with_label_values(&[name]).inc();
                    }
                    span.end(outcome, None);
                    leave(runs.notes.as_ref(), || note(outcome, None));
                    ending.ended(outcome);
                    return;
                }
            };
            ending.has_verdict = true;
            // What an attempt came to is known when the row is written; until then the note waits with the verdict.
            let noted = runs.notes.clone().map(|notes| {
                let error = match &verdict {
                    Verdict::Fail(error) => Some(error.in_one_line().to_string()),
                    _ => None,
                };
                (notes, note(Outcome::Fenced, error), claimed)
            });
            let told = Box::new(move |outcome| {
                if let Some((notes, note, claimed)) = noted {
                    leave(Some(&notes), || Note {
                        outcome,
                        took: claimed.elapsed(),
                        ..note
                    });
                }
                ending.ended(outcome);
            });
            let settlement = Settlement {
                job,
                queue,
                verdict,
                expired,
                span,
                ran,
                told,
            };
            // A settler that is gone has given up; the job runs again when its lease is over.
            let _ = runs.verdicts.send(settlement).await;
            drop(slot);
        });
    }

    /// Counts an attempt in. What comes of it must not keep the settler's own channel open.
    fn begin(&self, job: &Arc<Job>) -> Ending {
        self.metrics
            .jobs_in_flight
            .with_label_values(&[job.queue.as_str()])
            .inc();
        self.tally.in_flight.send_modify(|count| *count += 1);
        self.tally.note(&job.queue, |activity| {
            activity.active += 1;
            activity.fetched = Some(Instant::now());
        });
        Ending {
            job: Arc::clone(job),
            leases: self.leases.clone(),
            metrics: self.metrics.clone(),
            tally: Arc::clone(&self.tally),
            has_verdict: false,
            told: false,
        }
    }
}

/// Leaves a note, if anybody keeps them; one that does not fit is forgotten, for nothing waits for it.
fn leave(notes: Option<&Notes>, note: impl FnOnce() -> Note) {
    if let Some(notes) = notes
        && notes.try_send(note()).is_err()
    {
        tracing::debug!("an attempt was not noted: those before it are not written yet");
    }
}

/// What is in flight, and what came of what was.
#[derive(Clone)]
pub(super) struct Counters(Arc<Tally>);

impl Counters {
    /// Jobs claimed whose verdict is not written yet.
    pub(super) fn in_flight(&self) -> usize {
        *self.0.in_flight.borrow()
    }

    /// Waits until nothing is in flight.
    pub(super) async fn idle(&self) {
        let mut in_flight = self.0.in_flight.subscribe();
        // It cannot close: the sender is here.
        let _ = in_flight.wait_for(|count| *count == 0).await;
    }

    /// What is in flight on a queue, and when what happened there last.
    pub(super) fn activity(&self, queue: &QueueName) -> Activity {
        let activity = self.0.activity.lock().unwrap_or_else(PoisonError::into_inner);
        activity.get(queue).copied().unwrap_or_default()
    }

    /// Verdicts that were dropped unwritten.
    pub(super) fn unwritten(&self) -> usize {
        self.0.unwritten.load(Ordering::Relaxed)
    }

    /// Attempts by what came of them, those that came to nothing left out.
    pub(super) fn outcomes(&self) -> BTreeMap<&'static str, u64> {
        let counts = self.0.outcomes.iter().map(|count| count.load(Ordering::Relaxed));
        Outcome::ALL
            .iter()
            .map(|outcome| outcome.as_str())
            .zip(counts)
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

/// Counts an attempt out when it is dropped, in whatever way that comes about.
struct Ending {
    job: Arc<Job>,
    leases: Leases,
    metrics: Metrics,
    tally: Arc<Tally>,
    has_verdict: bool,
    told: bool,
}

impl Ending {
    fn ended(mut self, outcome: Outcome) {
        self.told = true;
        self.tally.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
        if outcome != Outcome::Released {
            let now = Instant::now();
            self.tally.note(&self.job.queue, |activity| {
                activity.ended = Some(now);
                if !matches!(outcome, Outcome::Completed | Outcome::Cancelled | Outcome::Fenced) {
                    activity.failed = Some(now);
                }
            });
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.told {
            let (queue, id) = (self.job.queue.as_str(), self.job.attempt.id);
            tracing::warn!(
                queue,
                job = %id,
                retry_count = self.job.attempt.retry_count,
                verdict = self.has_verdict,
                "nothing was written for a job; it runs again when its lease or deadline is over"
            );
            if self.has_verdict {
                self.tally.unwritten.fetch_add(1, Ordering::Relaxed);
            }
            // Kept for ever otherwise, in this process' name.
            self.leases.release(&self.job);
        }
        self.metrics
            .jobs_in_flight
            .with_label_values(&[self.job.queue.as_str()])
            .dec();
        self.tally.note(&self.job.queue, |activity| {
            activity.active = activity.active.saturating_sub(1)
        });
        self.tally.in_flight.send_modify(|count| *count -= 1);
    }
}
