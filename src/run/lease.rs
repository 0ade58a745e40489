//! Keeps the leases of jobs in flight, on a thread and a connection of its own that no handler can starve.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::dialect::{Dialect, Template, Watch};
use crate::job::{Attempt, Job, Outcome};
use crate::observe::{Metrics, Pulse};
use crate::postgres::{Class, Database, Error, Executor};
use crate::queue::{Queue, QueueName};

/// Renews leases.
pub const TOUCH: Template = Template(include_str!("touch.sql"));
/// A lease is renewed when this share of it has passed.
const SHARE: u32 = 4;
/// How often jobs without a lease are looked after, so that a cancelled one is noticed.
const UNLEASED: Duration = Duration::from_secs(15);
/// How soon a renewal that failed is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// The jobs in flight whose rows are to stay ours.
#[derive(Clone, Default)]
pub struct Leases {
    held: Arc<Mutex<HashMap<(QueueName, Uuid), Held>>>,
    sooner: Arc<Notify>,
}

struct Held {
    attempt: Attempt,
    table: String,
    interval: Duration,
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
    /// Takes a claimed job into care, until its verdict is written or its row turns out to be no longer ours.
    pub fn hold(&self, job: &Job, queue: &Queue) -> Lost {
        let lost = Lost::default();
        let interval = job.heartbeat.map_or(UNLEASED, |heartbeat| {
            Duration::from_secs(u64::try_from(heartbeat.seconds).unwrap_or(1).max(1)) / SHARE
        });
        let now = Instant::now();
        let due = now + interval;
        let mut held = self.lock();
        let soonest = held.values().map(|held| held.due).min();
        let replaced = held.insert(
            (job.queue.clone(), job.attempt.id),
            Held {
                attempt: job.attempt,
                table: queue.table.clone(),
                interval,
                due,
                since: now,
                lost: lost.clone(),
            },
        );
        drop(held);
        if let Some(replaced) = replaced {
            // The row was taken back from us and has come to us again: the older run has lost it.
            replaced.lost.declare(false);
        }
        if soonest.is_none_or(|soonest| due < soonest) {
            self.sooner.notify_one();
        }
        lost
    }

    /// Lets go of an attempt whose verdict is written.
    pub fn release(&self, queue: &QueueName, attempt: Attempt) {
        let mut held = self.lock();
        let key = (queue.clone(), attempt.id);
        if held.get(&key).is_some_and(|held| held.attempt == attempt) {
            held.remove(&key);
        }
    }

    /// How many jobs are held.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Since when the oldest attempt of each queue has been held.
    pub fn oldest(&self) -> HashMap<QueueName, Instant> {
        let mut oldest = HashMap::new();
        for ((queue, _), held) in self.lock().iter() {
            oldest
                .entry(queue.clone())
                .and_modify(|since: &mut Instant| *since = held.since.min(*since))
                .or_insert(held.since);
        }
        oldest
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(QueueName, Uuid), Held>> {
        self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn next(&self) -> Option<Instant> {
        self.lock().values().map(|held| held.due).min()
    }

    /// Those due, and, so that one statement serves many, those due soon after, by table.
    fn due(&self, now: Instant) -> HashMap<String, Vec<(QueueName, Attempt)>> {
        let mut due: HashMap<String, Vec<_>> = HashMap::new();
        for ((queue, _), held) in self.lock().iter() {
            if held.due <= now + held.interval / 4 {
                due.entry(held.table.clone())
                    .or_default()
                    .push((queue.clone(), held.attempt));
            }
        }
        due
    }

    /// Takes note of what a touch found: (queue, id) of those kept, and of those a user cancelled; the others moved on.
    fn renewed(&self, asked: &[(QueueName, Attempt)], touched: &Touched, now: Instant) {
        let mut held = self.lock();
        for (queue, attempt) in asked {
            let key = (queue.clone(), attempt.id);
            let Some(entry) = held.get_mut(&key).filter(|held| held.attempt == *attempt) else {
                continue;
            };
            let row = (queue.to_string(), attempt.id);
            if touched.kept.contains(&row) {
                entry.due = now + entry.interval;
            } else {
                entry.lost.declare(touched.cancelled.contains(&row));
                held.remove(&key);
            }
        }
    }

    fn postpone(&self, asked: &[(QueueName, Attempt)], until: Instant) {
        let mut held = self.lock();
        for (queue, attempt) in asked {
            if let Some(entry) = held.get_mut(&(queue.clone(), attempt.id)) {
                entry.due = until;
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
        loop {
            let next = self
                .leases
                .next()
                .unwrap_or_else(|| Instant::now() + Duration::from_secs(1));
            let next = next.min(Instant::now() + Duration::from_secs(1));
            tokio::select! {
                () = tokio::time::sleep_until(next.into()) => {}
                () = self.leases.sooner.notified() => continue,
                () = stop.cancelled() => return,
            }
            pulse.beat();
            let Some(dialect) = self.watch.dialect() else {
                continue;
            };
            let now = Instant::now();
            if self.leases.next().is_none_or(|next| next > now) {
                continue;
            }
            for (table, asked) in self.leases.due(now) {
                match self.touch(&dialect, &table, &asked).await {
                    Ok(touched) => {
                        self.leases.renewed(&asked, &touched, Instant::now());
                        for (queue, _) in &touched.kept {
                            self.metrics.heartbeats.with_label_values(&[queue]).inc();
                        }
                    }
                    Err(error) => {
                        self.metrics
                            .db_errors
                            .with_label_values(&[error.class().as_str()])
                            .inc();
                        if error.class() == Class::Schema {
                            self.watch.nudge();
                        }
                        tracing::warn!(%error, jobs = asked.len(), "leases could not be renewed; trying again");
                        self.leases.postpone(&asked, Instant::now() + RETRY);
                    }
                }
            }
        }
    }

    async fn touch(&self, dialect: &Dialect, table: &str, asked: &[(QueueName, Attempt)]) -> Result<Touched, Error> {
        let client = self.database.client().await?;
        let names: Vec<&str> = asked.iter().map(|(queue, _)| queue.as_str()).collect();
        let ids: Vec<Uuid> = asked.iter().map(|(_, attempt)| attempt.id).collect();
        let counts: Vec<i32> = asked.iter().map(|(_, attempt)| attempt.retry_count).collect();
        let sql = TOUCH.render(dialect, table);
        let rows = client
            .query(
                &sql,
                &[
                    (&names, Type::TEXT_ARRAY),
                    (&ids, Type::UUID_ARRAY),
                    (&counts, Type::INT4_ARRAY),
                ],
            )
            .await?;
        let kept: HashSet<(String, Uuid)> = rows_of(&rows)?;
        let cancelled = if kept.len() < asked.len() {
            let sql = format!(
                "SELECT j.name, j.id FROM {} j JOIN unnest($1::text[], $2::uuid[]) AS v(name, id) \
                 ON j.name = v.name AND j.id = v.id WHERE j.state = 'cancelled'",
                dialect.qualified(table)
            );
            rows_of(
                &client
                    .query(&sql, &[(&names, Type::TEXT_ARRAY), (&ids, Type::UUID_ARRAY)])
                    .await?,
            )?
        } else {
            HashSet::new()
        };
        Ok(Touched { kept, cancelled })
    }
}

/// What a touch found.
struct Touched {
    kept: HashSet<(String, Uuid)>,
    cancelled: HashSet<(String, Uuid)>,
}

fn rows_of(rows: &[Row]) -> Result<HashSet<(String, Uuid)>, Error> {
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
