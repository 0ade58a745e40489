//! Keeps the leases of jobs in flight, on a thread and a connection of its own that no handler can starve.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::Notify;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::dialect::{Template, Watch};
use crate::job::{Attempt, Job, Outcome};
use crate::observe::{Metrics, Pulse};
use crate::postgres::{Class, Database, Error, Executor, Param};
use crate::queue::{Queue, QueueName};

/// Renews leases.
pub const TOUCH: Template = Template(include_str!("touch.sql"));
/// A lease is renewed when this share of it has passed.
const SHARE: u32 = 4;
/// How often jobs without a lease are looked after, so that a cancelled one is noticed.
const UNLEASED: Duration = Duration::from_secs(15);
/// How often a keeper with nothing to do says that it is alive.
const BEAT: Duration = Duration::from_secs(1);
/// How long a renewal may take before its connection is given up: so many thirds of the time between two, so that another
/// connection still comes in time, but no less and no more than these.
const PATIENCE: (u32, Duration, Duration) = (5, Duration::from_secs(1), Duration::from_secs(10));
/// How soon a renewal that failed is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// The jobs in flight whose rows are to stay ours.
#[derive(Clone, Default)]
pub struct Leases {
    held: Arc<Mutex<Book>>,
    sooner: Arc<Notify>,
}

#[derive(Default)]
struct Book {
    entries: HashMap<(QueueName, Uuid), Held>,
    /// No entry is due before that.
    next: Option<Instant>,
    /// How many have been let go of.
    ended: u64,
}

struct Held {
    attempt: Attempt,
    started_on: DateTime<Utc>,
    table: String,
    interval: Duration,
    /// How long the row is ours without being renewed; `None` where the schema has no heartbeats.
    lease: Option<Duration>,
    renewed: Instant,
    due: Instant,
    since: Instant,
    lost: Lost,
}

/// Tells a run that its row is no longer its own.
#[derive(Debug, Clone, Default)]
pub struct Lost {
    token: CancellationToken,
    by_user: Arc<AtomicBool>,
}

impl Lost {
    /// Waits until it is.
    pub async fn happened(&self) {
        self.token.cancelled().await;
    }

    /// What that makes of the attempt: cancelled by a user, or taken back by a supervisor.
    pub fn outcome(&self) -> Outcome {
        if self.by_user.load(Ordering::Relaxed) {
            Outcome::Cancelled
        } else {
            Outcome::Fenced
        }
    }

    fn declare(&self, by_user: bool) {
        self.by_user.store(by_user, Ordering::Relaxed);
        self.token.cancel();
    }
}

impl Leases {
    /// Takes a job into care that was claimed at `claimed` or soon after, until its verdict is written or its row turns
    /// out to be no longer ours.
    pub fn hold(&self, job: &Job, queue: &Queue, claimed: Instant) -> Lost {
        let lost = Lost::default();
        let lease = job
            .heartbeat
            .map(|heartbeat| Duration::from_secs(u64::try_from(heartbeat.seconds).unwrap_or(1).max(1)));
        let interval = lease.map_or(UNLEASED, |lease| lease / SHARE);
        let due = claimed + interval;
        let mut book = self.lock();
        let replaced = book.entries.insert(
            (job.queue.clone(), job.attempt.id),
            Held {
                attempt: job.attempt,
                started_on: job.started_on,
                table: queue.table.clone(),
                interval,
                lease,
                renewed: claimed,
                due,
                since: Instant::now(),
                lost: lost.clone(),
            },
        );
        let sooner = book.next.is_none_or(|next| due < next);
        if sooner {
            book.next = Some(due);
        }
        drop(book);
        if let Some(replaced) = replaced {
            // The row was taken back from us and has come to us again: the older run has lost it.
            replaced.lost.declare(false);
        }
        if sooner {
            self.sooner.notify_one();
        }
        lost
    }

    /// Lets go of an attempt whose verdict is written. A job that was handed back may have come to us again as the same
    /// attempt, by its numbers; what tells the two apart is when they were claimed.
    pub fn release(&self, job: &Job) {
        let mut book = self.lock();
        let key = (job.queue.clone(), job.attempt.id);
        let ours = |held: &Held| held.attempt == job.attempt && held.started_on == job.started_on;
        book.ended += 1;
        if book.entries.get(&key).is_some_and(ours) {
            book.entries.remove(&key);
        }
    }

    /// How many attempts have ended here since the start, so that others may know that there is news.
    pub fn ended(&self) -> u64 {
        self.lock().ended
    }

    /// How many jobs are held.
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a lease has run out before it could be renewed: until it is known whose the row is by now, this process
    /// must not take anything back, for it would take from itself.
    pub fn have_lapsed(&self, now: Instant) -> bool {
        let lapsed = |held: &Held| held.lease.is_some_and(|lease| held.renewed + lease < now);
        self.lock().entries.values().any(lapsed)
    }

    /// Since when the oldest attempt of each queue has been held.
    pub fn oldest(&self) -> HashMap<QueueName, Instant> {
        let mut oldest = HashMap::new();
        for ((queue, _), held) in &self.lock().entries {
            oldest
                .entry(queue.clone())
                .and_modify(|since: &mut Instant| *since = held.since.min(*since))
                .or_insert(held.since);
        }
        oldest
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// When the first is due.
    fn next(&self) -> Option<Instant> {
        let mut book = self.lock();
        book.next = book.entries.values().map(|held| held.due).min();
        book.next
    }

    /// Those due, and, so that one statement serves many, those due soon after, by table; and how long to wait for it.
    fn due(&self, now: Instant) -> HashMap<String, (Duration, Vec<(QueueName, Attempt)>)> {
        let (thirds, least, most) = PATIENCE;
        let mut due = HashMap::new();
        for ((queue, _), held) in &self.lock().entries {
            if held.due <= now + held.interval / 4 {
                let (patience, asked) = due.entry(held.table.clone()).or_insert((most, Vec::new()));
                *patience = (held.interval * thirds / 3).clamp(least, *patience);
                asked.push((queue.clone(), held.attempt));
            }
        }
        due
    }

    /// Takes note of what a touch found that was begun at `begun`.
    fn renewed(&self, asked: &[(QueueName, Attempt)], found: &Found, begun: Instant) {
        let mut book = self.lock();
        for (queue, attempt) in asked {
            let key = (queue.clone(), attempt.id);
            let Some(entry) = book.entries.get_mut(&key).filter(|held| held.attempt == *attempt) else {
                continue;
            };
            let row = (queue.to_string(), attempt.id);
            if found.kept.contains(&row) {
                entry.renewed = begun;
                entry.due = begun + entry.interval;
            } else if found.busy.contains(&row) {
                entry.due = begun + RETRY;
            } else {
                entry.lost.declare(found.cancelled.contains(&row));
                book.entries.remove(&key);
            }
        }
    }

    /// Has those tried again later that could not be asked about; `gone`: in the parent of all job tables, their own
    /// being gone.
    fn postpone(&self, asked: &[(QueueName, Attempt)], until: Instant, gone: bool) {
        let mut book = self.lock();
        for (queue, attempt) in asked {
            if let Some(entry) = book.entries.get_mut(&(queue.clone(), attempt.id)) {
                entry.due = until;
                if gone {
                    "job".clone_into(&mut entry.table);
                }
            }
        }
    }
}

/// The servant that renews.
pub struct Keeper {
    /// A pool of its own: handlers and claims must not keep it waiting.
    pub database: Database,
    /// How the schema is spoken to.
    pub watch: Watch,
    /// What is to be kept.
    pub leases: Leases,
    /// Where it is counted.
    pub metrics: Metrics,
}

impl Keeper {
    /// Renews until told to stop. Meant for a thread with a runtime of its own.
    pub async fn run(self, pulse: Pulse, stop: CancellationToken) {
        let mut failing = HashSet::new();
        loop {
            let beat = Instant::now() + BEAT;
            let next = self.leases.next().unwrap_or(beat).min(beat);
            tokio::select! {
                () = tokio::time::sleep_until(next.into()) => {}
                () = self.leases.sooner.notified() => continue,
                () = stop.cancelled() => return,
            }
            pulse.beat();
            for (table, (patience, asked)) in self.leases.due(Instant::now()) {
                let begun = Instant::now();
                let touched = tokio::select! {
                    touched = self.database.within(patience, self.touch(&table, &asked)) => touched,
                    () = stop.cancelled() => return,
                };
                match touched {
                    Ok(found) => {
                        if failing.remove(&table) {
                            tracing::info!("leases are renewed again");
                        }
                        self.leases.renewed(&asked, &found, begun);
                        for (queue, _) in &found.kept {
                            self.metrics.heartbeats.with_label_values(&[queue]).inc();
                        }
                    }
                    Err(error) => {
                        if error.class() == Class::Schema {
                            self.watch.nudge();
                        }
                        if failing.insert(table) {
                            tracing::warn!(%error, jobs = asked.len(), "leases cannot be renewed; trying again until they can");
                        } else {
                            tracing::debug!(%error, jobs = asked.len(), "leases could not be renewed");
                        }
                        let gone = error.code() == Some(&SqlState::UNDEFINED_TABLE);
                        self.leases.postpone(&asked, Instant::now() + RETRY, gone);
                    }
                }
            }
        }
    }

    /// Renews what is still ours, and finds out what became of the rest.
    async fn touch(&self, table: &str, asked: &[(QueueName, Attempt)]) -> Result<Found, Error> {
        let dialect = match self.watch.latest() {
            Some(dialect) => dialect,
            None => self.watch.clone().spoken().await,
        };
        let client = self.database.client().await?;
        let names: Vec<&str> = asked.iter().map(|(queue, _)| queue.as_str()).collect();
        let ids: Vec<Uuid> = asked.iter().map(|(_, attempt)| attempt.id).collect();
        let counts: Vec<i32> = asked.iter().map(|(_, attempt)| attempt.retry_count).collect();
        let params: [Param<'_>; 3] = [
            (&names, Type::TEXT_ARRAY),
            (&ids, Type::UUID_ARRAY),
            (&counts, Type::INT4_ARRAY),
        ];
        let rows = client.query(&TOUCH.render(&dialect, table), &params).await?;
        let mut found = Found {
            kept: rows
                .iter()
                .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
                .collect::<Result<_, Error>>()?,
            ..Found::default()
        };
        if found.kept.len() < asked.len() {
            let sql = format!(
                "SELECT j.name, j.id, j.state = 'cancelled', j.state = 'active' AND j.retry_count = v.retry_count \
                 FROM {} j JOIN unnest($1::text[], $2::uuid[], $3::int[]) AS v(name, id, retry_count) \
                 ON j.name = v.name AND j.id = v.id",
                dialect.qualified(table)
            );
            for row in client.query(&sql, &params).await? {
                let key = (row.try_get(0)?, row.try_get(1)?);
                if row.try_get(2)? {
                    found.cancelled.insert(key);
                } else if row.try_get(3)? {
                    found.busy.insert(key);
                }
            }
        }
        Ok(found)
    }
}

/// What a touch found, by queue and id; what is in none of these is no longer ours, or no longer there.
#[derive(Default)]
struct Found {
    kept: HashSet<(String, Uuid)>,
    /// Still ours, but locked by somebody who may be about to change that.
    busy: HashSet<(String, Uuid)>,
    /// Cancelled by a user.
    cancelled: HashSet<(String, Uuid)>,
}
