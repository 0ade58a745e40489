//! Collects verdicts and writes them in groups: at once when nothing is in flight, else what gathered meanwhile.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use super::lane::{Answer, GROUP, Lane, Tried};
use super::write::{By, Entry, Written, landed, log_of, operation, write};
use crate::dialect::{Dialect, Watch};
use crate::job::{Job, Outcome, Verdict};
use crate::observe::{Failure, Metrics, ProcessSpan, Pulse, SettleOp, Tracer};
use crate::postgres::{Class, Client, Database, Error};
use crate::queue::Queue;
use crate::run::Leases;

/// How long a write may take before its connection is given up: of a group, one of whose rows may be locked by somebody,
/// and of a verdict that is tried apart.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));
/// How often a settler with nothing to do says that it is alive.
const BEAT: Duration = Duration::from_secs(1);

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

/// What the verdicts of one lane have in common: the table, the operation and the log they are entered in.
type LaneKey = (String, SettleOp, Option<Arc<str>>);

/// The servant that writes. Verdicts of one kind for one table follow each other; those of another kind or table never
/// wait for them.
pub struct Settler {
    writer: Writer,
    verdicts: mpsc::Receiver<Settlement>,
    backlog: usize,
}

/// What a write needs.
struct Writer {
    database: Database,
    watch: Watch,
    leases: Leases,
    metrics: Metrics,
    tracer: Tracer,
    /// The database is away, and it was said.
    away: AtomicBool,
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
        let writer = Writer {
            database,
            watch,
            leases,
            metrics,
            tracer,
            away: AtomicBool::new(false),
        };
        (
            Settler {
                writer,
                verdicts,
                backlog,
            },
            sender,
        )
    }

    /// Writes until every sender is gone and nothing is left, or `give_up` is cancelled. What is not written by then is
    /// dropped untold; those jobs run again when their lease or deadline is over.
    pub async fn run(mut self, pulse: Pulse, give_up: CancellationToken) {
        let writer = &self.writer;
        let mut lanes = HashMap::<LaneKey, Lane<Settlement>>::new();
        let mut under_way = FuturesUnordered::new();
        let mut gathered = Vec::with_capacity(GROUP);
        let mut open = true;
        loop {
            pulse.beat();
            lanes.retain(|_, lane| lane.held() > 0);
            if !open && lanes.is_empty() {
                return;
            }
            let now = Instant::now();
            for (key, lane) in &mut lanes {
                while let Some(group) = lane.next(now) {
                    let (key, table) = (key.clone(), lane.table(&key.0).to_owned());
                    under_way.push(async move {
                        let apart = group[0].is_apart();
                        let (group, answer) = writer.attempt(&table, key.1, group).await;
                        (key, group, apart, answer)
                    });
                }
            }
            let held: usize = lanes.values().map(Lane::held).sum();
            let beat = Instant::now() + BEAT;
            let wake = lanes
                .values()
                .filter_map(|lane| lane.ready(now))
                .min()
                .map_or(beat, |ready| ready.min(beat));
            tokio::select! {
                got = self.verdicts.recv_many(&mut gathered, GROUP), if open && held < self.backlog => open = got > 0,
                Some((key, group, apart, answer)) = under_way.next() => {
                    let lane = lanes.entry(key).or_default();
                    if let Some(refused) = lane.after(group, apart, answer, Instant::now()) {
                        writer.forsake(refused);
                    }
                }
                () = tokio::time::sleep_until(wake.into()) => continue,
                () = give_up.cancelled() => return,
            }
            // Runs that are about to end get a chance to be part of the next group.
            tokio::task::yield_now().await;
            while gathered.len() < GROUP
                && held < self.backlog
                && let Ok(more) = self.verdicts.try_recv()
            {
                gathered.push(more);
            }
            for settlement in gathered.drain(..) {
                let log = log_of(&settlement.verdict).map(|logged| Arc::clone(&logged.table));
                let key = (settlement.queue.table.clone(), operation(&settlement.verdict), log);
                let bytes = match &settlement.verdict {
                    Verdict::Complete {
                        output: Some(output), ..
                    } => output.get().len(),
                    _ => 0,
                };
                lanes.entry(key).or_default().add(settlement, bytes);
            }
        }
    }
}

impl Writer {
    /// Tries to write a group, once; gives back what was not written, and why.
    async fn attempt(
        &self,
        table: &str,
        operation: SettleOp,
        mut group: Vec<Tried<Settlement>>,
    ) -> (Vec<Tried<Settlement>>, Answer) {
        let dialect = match self.watch.latest() {
            Some(dialect) => dialect,
            None => self.watch.clone().spoken().await,
        };
        let patience = if group[0].is_apart() { PATIENCE.1 } else { PATIENCE.0 };
        let is_where_it_was = |tried: &Tried<Settlement>| {
            let job = &tried.item.job;
            job.ctid.is_some() && !tried.doubtful && !self.leases.moved(job)
        };
        let mut by = if group.iter().any(is_where_it_was) {
            By::Ctid
        } else {
            By::Key
        };
        let error = loop {
            let written = async {
                let client = self.database.client().await?;
                self.database
                    .within(patience, self.write(&client, &dialect, table, operation, &group, by))
                    .await
            };
            match written.await {
                Ok(written) if by == By::Ctid && written.len() < group.len() => {
                    let known: HashSet<_> = written.iter().map(|row| (row.queue.clone(), row.id)).collect();
                    let is_done = |job: &Job| known.contains(&(job.queue.to_string(), job.id()));
                    let done: Vec<_>;
                    (done, group) = group.into_iter().partition(|tried| is_done(&tried.item.job));
                    self.conclude(operation, done.into_iter().map(|tried| tried.item), written);
                    by = By::Key;
                }
                Ok(written) => {
                    if self.away.swap(false, Ordering::Relaxed) {
                        tracing::info!("verdicts are written again");
                    }
                    self.conclude(operation, group.drain(..).map(|tried| tried.item), written);
                    return (group, Answer::Written);
                }
                Err(error) => break error,
            }
        };
        let class = error.class();
        self.metrics
            .settle_failures
            .with_label_values(&[operation.as_str()])
            .inc();
        if class == Class::Schema {
            self.watch.nudge();
        }
        for tried in &mut group {
            tried.doubtful |= class == Class::Connection;
        }
        let answer = answer(&error);
        let (op, verdicts) = (operation.as_str(), group.len());
        // An outage may last, and all lanes meet it: one line, until there is news of it.
        if answer == Answer::Away && self.away.swap(true, Ordering::Relaxed) {
            tracing::debug!(%error, op, verdicts, "verdicts could not be written");
        } else {
            tracing::warn!(%error, op, verdicts, "verdicts could not be written; trying again until they are");
        }
        (group, answer)
    }

    /// Lets go of a verdict that the database will never take.
    fn forsake(&self, settlement: Settlement) {
        tracing::error!(
            queue = %settlement.job.queue, job = %settlement.job.attempt.id,
            "a verdict was refused by the database; the job runs again when its lease or deadline is over"
        );
        self.leases.release(&settlement.job);
        (settlement.told)(Outcome::Fenced);
    }

    async fn write(
        &self,
        client: &Client,
        dialect: &Dialect,
        table: &str,
        operation: SettleOp,
        group: &[Tried<Settlement>],
        by: By,
    ) -> Result<Vec<Written>, Error> {
        let started = Instant::now();
        let settlements = || group.iter().map(|tried| &tried.item);
        let first = &group[0].item.job.queue;
        let queue = settlements()
            .all(|settlement| settlement.job.queue == *first)
            .then_some(first);
        let links = settlements().map(|settlement| settlement.span.link());
        let span = self.tracer.settle_span(operation.as_str(), queue, links);
        let entries: Vec<Entry<'_>> = settlements()
            .map(|settlement| Entry {
                job: &settlement.job,
                verdict: &settlement.verdict,
            })
            .collect();
        let cautious = group.iter().any(|tried| tried.cautious);
        let written = write(client, dialect, table, operation, &entries, by, cautious).await;
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
        // What was not found is sought by its key, and counted with those.
        let settled = match by {
            By::Ctid => written.len(),
            By::Key => group.len(),
        };
        self.metrics
            .settle_batch_size
            .with_label_values(&[op])
            .observe(settled as f64);
        if by == By::Key && written.len() < group.len() && group.iter().any(|tried| tried.doubtful) {
            let known: HashSet<_> = written.iter().map(|written| written.id).collect();
            let missing: Vec<_> = entries
                .into_iter()
                .filter(|entry| !known.contains(&entry.job.attempt.id))
                .collect();
            written.extend(landed(client, dialect, table, operation, &missing, cautious).await?);
        }
        Ok(written)
    }

    /// Counts, logs and tells what came of each.
    fn conclude(&self, operation: SettleOp, group: impl DoubleEndedIterator<Item = Settlement>, written: Vec<Written>) {
        let mut written: HashMap<_, _> = written
            .into_iter()
            .map(|written| ((written.queue, written.id), written.outcome))
            .collect();
        // A job that was taken back and came to us again may be here twice; the row is that of the later attempt.
        for settlement in group.rev() {
            let Settlement {
                job,
                verdict,
                expired,
                span,
                ran,
                told,
                ..
            } = settlement;
            self.leases.release(&job);
            let queue = job.queue.as_str();
            let outcome = match written.remove(&(job.queue.to_string(), job.attempt.id)) {
                Some(_) if expired => Outcome::Expired,
                Some(outcome) => outcome,
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
            let (id, retry_count) = (job.attempt.id, job.attempt.retry_count);
            let ms = ran.map(|ran| ran.as_secs_f64() * 1e3);
            // A failed attempt is logged here and nowhere else.
            match (&verdict, outcome) {
                (_, Outcome::Fenced) => {
                    self.metrics.fence_rejections.with_label_values(&[queue]).inc();
                    let (trace_id, span_id) = span.logged();
                    tracing::warn!(
                        queue, job = %id, retry_count, outcome = outcome.as_str(), op = operation.as_str(), trace_id, span_id,
                        "the row had moved on; nothing was written"
                    );
                }
                (Verdict::Fail(reason), Outcome::Released) => {
                    tracing::debug!(queue, job = %id, retry_count, reason = reason.in_one_line(), "job postponed");
                }
                (Verdict::Fail(failure), _) => {
                    let (trace_id, span_id) = span.logged();
                    tracing::warn!(
                        queue, job = %id, retry_count, retry_limit = job.retry_limit, outcome = outcome.as_str(),
                        error = failure.in_one_line(), ms, trace_id, span_id,
                        "job failed"
                    );
                }
                _ if tracing::enabled!(tracing::Level::DEBUG) => {
                    let (trace_id, span_id) = span.logged();
                    tracing::debug!(
                        queue, job = %id, retry_count, outcome = outcome.as_str(), ms, trace_id, span_id,
                        "job settled"
                    );
                }
                _ => {}
            }
            let failure = match &verdict {
                Verdict::Fail(error) if outcome != Outcome::Released => Some(Failure::from(error)),
                _ => None,
            };
            span.end(outcome, failure);
            told(outcome);
        }
    }
}

/// What an error says about the group it met.
fn answer(error: &Error) -> Answer {
    match (error, error.class(), error.code()) {
        (Error::Timeout(_), ..) => Answer::Refused,
        // Whatever the reason is, a password that was changed included: nobody was asked about the rows.
        (Error::Pool(_) | Error::Connect { .. } | Error::Settings(_), ..) | (_, Class::Connection, _) => Answer::Away,
        (_, _, Some(&SqlState::UNDEFINED_TABLE)) => Answer::Gone,
        // Says the same of every row.
        (_, _, Some(&SqlState::INSUFFICIENT_PRIVILEGE | &SqlState::READ_ONLY_SQL_TRANSACTION))
        | (_, Class::Schema, _) => Answer::Away,
        (_, Class::Transient, _) => Answer::Refused,
        _ => Answer::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_found_no_connection_was_refused_nothing() {
        for class in [Class::Connection, Class::Transient, Class::Permanent] {
            let error = Error::Connect {
                message: String::new(),
                class,
                cause: None,
            };
            assert_eq!(answer(&error), Answer::Away, "{class:?}");
        }
        // A file of TLS that cannot be read is found out on the way to a new connection, too.
        assert_eq!(answer(&Error::Settings(String::new())), Answer::Away);
    }
}
