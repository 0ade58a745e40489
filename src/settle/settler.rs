//! Collects verdicts and writes them in groups: at once when nothing is in flight, else what gathered meanwhile.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::write::{Entry, Written, already_completed, operation, write};
use crate::dialect::{Dialect, Watch};
use crate::job::{Job, Outcome, Verdict};
use crate::observe::{Failure, Metrics, ProcessSpan, Pulse, SettleOp, Tracer};
use crate::postgres::{Class, Database, Error};
use crate::queue::Queue;
use crate::run::Leases;

/// Verdicts written by one statement, at most.
const GROUP: usize = 1000;
/// Pauses between tries while the database is away: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// A verdict and everything that is to happen once it is written.
pub struct Settlement {
    /// The job.
    pub job: Arc<Job>,
    /// Its queue as it was when the job was claimed.
    pub queue: Arc<Queue>,
    /// What is to be written.
    pub verdict: Verdict,
    /// The attempt outlived its deadline.
    pub expired: bool,
    /// The attempt's span, to be ended.
    pub span: ProcessSpan,
    /// How long the handler ran; `None` when it was never started.
    pub ran: Option<Duration>,
    /// Told what came of it, once.
    pub told: Box<dyn FnOnce(Outcome) + Send + Sync>,
}

/// Where runs leave their verdicts. Full when the database has been away for long: then runs wait, and so do claims.
pub type Verdicts = mpsc::Sender<Settlement>;

/// The servant that writes.
pub struct Settler {
    database: Database,
    watch: Watch,
    leases: Leases,
    metrics: Metrics,
    tracer: Tracer,
    verdicts: mpsc::Receiver<Settlement>,
}

impl Settler {
    /// A settler with room for `backlog` verdicts that wait to be written.
    pub fn new(
        database: Database,
        watch: Watch,
        leases: Leases,
        metrics: Metrics,
        tracer: Tracer,
        backlog: usize,
    ) -> (Settler, Verdicts) {
        let (sender, verdicts) = mpsc::channel(backlog);
        (
            Settler {
                database,
                watch,
                leases,
                metrics,
                tracer,
                verdicts,
            },
            sender,
        )
    }

    /// Writes until every sender is gone and nothing is left, or `give_up` is cancelled; returns how many verdicts
    /// were never written. Their jobs run again when their lease or deadline is over.
    pub async fn run(mut self, pulse: Pulse, give_up: CancellationToken) -> usize {
        let mut gathered = Vec::with_capacity(GROUP);
        loop {
            pulse.beat();
            let got = tokio::select! {
                got = self.verdicts.recv_many(&mut gathered, GROUP) => got,
                () = tokio::time::sleep(Duration::from_secs(1)) => continue,
                () = give_up.cancelled() => return self.abandon(),
            };
            if got == 0 {
                return 0;
            }
            // Runs that are about to end get a chance to be part of this group.
            tokio::task::yield_now().await;
            while gathered.len() < GROUP
                && let Ok(more) = self.verdicts.try_recv()
            {
                gathered.push(more);
            }
            let mut groups: HashMap<(String, SettleOp), Vec<Settlement>> = HashMap::new();
            for settlement in gathered.drain(..) {
                let key = (settlement.queue.table.clone(), operation(&settlement.verdict));
                groups.entry(key).or_default().push(settlement);
            }
            let writes = groups
                .into_iter()
                .map(|((table, operation), group)| self.settle(table, operation, group, &pulse, &give_up));
            let unwritten: usize = futures_util::future::join_all(writes).await.into_iter().sum();
            if give_up.is_cancelled() {
                return unwritten + self.abandon();
            }
        }
    }

    /// Counts what will not be written any more.
    fn abandon(&mut self) -> usize {
        std::iter::from_fn(|| self.verdicts.try_recv().ok()).count()
    }

    /// Writes one group, for as long as it takes; returns how many were given up because of a stop.
    async fn settle(
        &self,
        table: String,
        operation: SettleOp,
        group: Vec<Settlement>,
        pulse: &Pulse,
        give_up: &CancellationToken,
    ) -> usize {
        let mut watch = self.watch.clone();
        let mut parts = vec![(group, false)];
        let mut pause = PAUSE.0;
        let mut answer_lost = false;
        while let Some((part, cautious)) = parts.pop() {
            let dialect = tokio::select! {
                dialect = watch.spoken() => dialect,
                () = give_up.cancelled() => return part.len() + parts.iter().map(|(part, _)| part.len()).sum::<usize>(),
            };
            let error = match self
                .write(&dialect, &table, operation, &part, cautious, answer_lost)
                .await
            {
                Ok(written) => {
                    self.conclude(operation, part, written);
                    pause = PAUSE.0;
                    continue;
                }
                Err(error) => error,
            };
            pulse.beat();
            self.metrics
                .settle_failures
                .with_label_values(&[operation.as_str()])
                .inc();
            self.metrics
                .db_errors
                .with_label_values(&[error.class().as_str()])
                .inc();
            if error.is_transient() {
                answer_lost |= error.class() == Class::Connection;
                if error.class() == Class::Schema {
                    self.watch.nudge();
                }
                tracing::warn!(%error, op = operation.as_str(), verdicts = part.len(), "verdicts could not be written; trying again");
                parts.push((part, cautious));
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = give_up.cancelled() => return parts.iter().map(|(part, _)| part.len()).sum(),
                }
                pause = (pause * 2).min(PAUSE.1);
            } else if part.len() > 1 {
                // One of them is refused: halves find out which.
                let mut part = part;
                let rest = part.split_off(part.len() / 2);
                parts.push((rest, cautious));
                parts.push((part, cautious));
            } else if !cautious {
                parts.push((part, true));
            } else {
                for settlement in part {
                    tracing::error!(
                        %error, queue = %settlement.job.queue, job = %settlement.job.attempt.id, op = operation.as_str(),
                        "a verdict was refused by the database; the job runs again when its lease or deadline is over"
                    );
                    self.leases.release(&settlement.job.queue, settlement.job.attempt);
                    (settlement.told)(Outcome::Fenced);
                }
            }
        }
        0
    }

    async fn write(
        &self,
        dialect: &Dialect,
        table: &str,
        operation: SettleOp,
        group: &[Settlement],
        cautious: bool,
        answer_lost: bool,
    ) -> Result<Vec<Written>, Error> {
        let client = self.database.client().await?;
        let started = Instant::now();
        let first = &group[0].job.queue;
        let queue = group
            .iter()
            .all(|settlement| settlement.job.queue == *first)
            .then_some(first);
        let links = group.iter().map(|settlement| settlement.span.link());
        let span = self.tracer.settle_span(operation.as_str(), queue, links);
        let entries: Vec<Entry<'_>> = group
            .iter()
            .map(|settlement| Entry {
                job: &settlement.job,
                verdict: &settlement.verdict,
            })
            .collect();
        let written = write(&client, dialect, table, operation, &entries, cautious).await;
        let refusal = written.as_ref().err().map(ToString::to_string);
        span.end(refusal.as_deref().map(|message| Failure {
            kind: "DatabaseError",
            message,
            stack: None,
        }));
        let mut written = written?;
        let op = operation.as_str();
        self.metrics
            .settle_duration
            .with_label_values(&[op])
            .observe(started.elapsed().as_secs_f64());
        self.metrics
            .settle_batch_size
            .with_label_values(&[op])
            .observe(group.len() as f64);
        if answer_lost && operation == SettleOp::Complete && written.len() < group.len() {
            let known: HashSet<_> = written.iter().map(|written| written.id).collect();
            for id in already_completed(&client, dialect, table, &entries).await? {
                if !known.contains(&id)
                    && let Some(entry) = entries.iter().find(|entry| entry.job.attempt.id == id)
                {
                    let queue = entry.job.queue.to_string();
                    written.push(Written {
                        id,
                        queue,
                        outcome: Outcome::Completed,
                    });
                }
            }
        }
        Ok(written)
    }

    /// Counts, logs and tells what came of each.
    fn conclude(&self, operation: SettleOp, group: Vec<Settlement>, written: Vec<Written>) {
        let written: HashMap<_, _> = written
            .into_iter()
            .map(|written| ((written.queue, written.id), written.outcome))
            .collect();
        for settlement in group {
            let Settlement {
                job,
                verdict,
                expired,
                span,
                ran,
                told,
                ..
            } = settlement;
            self.leases.release(&job.queue, job.attempt);
            let queue = job.queue.as_str();
            let outcome = match written.get(&(job.queue.to_string(), job.attempt.id)) {
                Some(_) if expired => Outcome::Expired,
                Some(outcome) => *outcome,
                None => Outcome::Fenced,
            };
            self.metrics
                .jobs_processed
                .with_label_values(&[queue, outcome.as_str()])
                .inc();
            if let Some(ran) = ran {
                self.metrics
                    .job_duration
                    .with_label_values(&[queue, outcome.as_str()])
                    .observe(ran.as_secs_f64());
            }
            if matches!(outcome, Outcome::Completed | Outcome::Failed | Outcome::DeadLettered) {
                self.metrics
                    .job_attempts
                    .with_label_values(&[queue])
                    .observe(f64::from(job.attempt.retry_count) + 1.0);
            }
            let id = job.attempt.id;
            match (&verdict, outcome) {
                (_, Outcome::Fenced) => {
                    self.metrics.fence_rejections.with_label_values(&[queue]).inc();
                    tracing::warn!(queue, job = %id, retry_count = job.attempt.retry_count, op = operation.as_str(),
                        "the row had moved on; nothing was written");
                }
                (Verdict::Fail(failure), _) => {
                    tracing::warn!(queue, job = %id, retry_count = job.attempt.retry_count, retry_limit = job.retry_limit,
                        outcome = outcome.as_str(), error = %failure, "job failed");
                }
                _ => {
                    tracing::debug!(queue, job = %id, retry_count = job.attempt.retry_count, outcome = outcome.as_str(),
                    ms = ran.map(|ran| ran.as_secs_f64() * 1e3), "job settled")
                }
            }
            let failure = match &verdict {
                Verdict::Fail(error) => Some(Failure::from(error)),
                _ => None,
            };
            span.end(outcome, failure);
            told(outcome);
        }
    }
}
