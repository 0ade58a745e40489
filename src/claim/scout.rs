//! Looks at all served queues with one statement and wakes the consumers that have something to do.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use super::{Demand, pause};
use crate::dialect::{Dialect, Template, Watch};
use crate::home::Home;
use crate::observe::{Pulse, Wakeup};
use crate::postgres::{Class, Database, Error, Executor};
use crate::queue::{Queue, QueueName, READ};

/// The statement that asks after the first job of each queue of one table; `{number}`, the table's, is yet to be filled in.
pub const PEEK: Template = Template(include_str!("peek.sql"));
/// How often the rows of the served queues are read again although every peek looks whether they changed.
const ROSTER: Duration = Duration::from_secs(60);
/// What the queue rows `r` come to; NULL where there are none.
const ROSTER_HASH: &str = "hashtextextended(string_agg(r::text, ','), 0)::float8";
/// How long a queue may be missing before that is said: it may be about to be created.
const MISSING: Duration = Duration::from_secs(5);
/// How long a look may take before its connection is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// A peek may take at most this share of the time between two peeks.
const DUTY: u32 = 20;
/// The longest a peek that took long is made up for: it may have waited for a lock or a connection, once.
const REST: Duration = Duration::from_secs(5);
/// Jobs that become due within this are found by one look.
const GATHER: Duration = Duration::from_millis(10);
/// A poll may come this much early, so that looks that are due at nearly the same time are one.
const SLACK: Duration = Duration::from_millis(5);

/// When a queue's consumer was last woken by a look, and when the next job is due that was not yet.
#[derive(Debug, Clone, Copy, Default)]
struct Polled {
    at: Option<Instant>,
    next: Option<Instant>,
}

/// A queue under watch.
pub struct Watched {
    /// Its name.
    pub name: QueueName,
    /// Looked at no less often than this.
    pub poll_interval: Duration,
    /// How its consumer is woken.
    pub demand: Demand,
    /// Where its consumer learns the dialect and the row of the table `queue`; `None` while it is not there.
    pub served: watch::Sender<Option<Served>>,
}

/// A queue as it can be served now.
#[derive(Clone)]
pub struct Served {
    /// The schema's dialect.
    pub dialect: Arc<Dialect>,
    /// The queue's row.
    pub queue: Arc<Queue>,
    /// Nothing is to be claimed from it for now.
    pub paused: bool,
}

/// The servant that looks.
pub struct Scout {
    database: Database,
    watch: Watch,
    home: Home,
    watched: Vec<Watched>,
    again: Arc<Notify>,
}

/// What a peek found.
#[derive(Default)]
struct Found {
    /// How long until the next job is due, where that is known.
    due: Option<Duration>,
    /// The rows of the table `queue` are no longer those the peek was written for.
    changed: bool,
}

/// The peek for one dialect and one set of queue rows.
struct Peek {
    sql: String,
    schema: String,
    names: Vec<String>,
    /// The number of each one's table.
    numbers: Vec<i32>,
    /// Positions in `watched`, in the order of `names`.
    positions: Vec<usize>,
    /// All that are watched, there or not.
    wanted: Vec<String>,
    /// What the rows of all of them came to just before they were read.
    roster: f64,
    /// The same of the pauses.
    pauses: f64,
}

impl Scout {
    /// A scout over those queues, of which `home` says which are paused. `again` makes it read the queue rows and look at once.
    pub fn new(database: Database, watch: Watch, home: Home, watched: Vec<Watched>, again: Arc<Notify>) -> Scout {
        Scout {
            database,
            watch,
            home,
            watched,
            again,
        }
    }

    /// Looks until it is told to stop.
    pub async fn run(mut self, pulse: Pulse, stop: CancellationToken) {
        let tick = self
            .watched
            .iter()
            .map(|watched| watched.poll_interval)
            .min()
            .unwrap_or(Duration::from_secs(1));
        let mut polled = vec![Polled::default(); self.watched.len()];
        let mut known: Option<(Arc<Dialect>, Peek, Instant)> = None;
        let mut missed = HashMap::new();
        let mut trouble = None::<String>;
        let mut pause = Duration::ZERO;
        let mut reread = true;
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.again.notified() => reread = true,
                () = self.watch.changed() => reread = true,
                () = stop.cancelled() => return,
            }
            pulse.beat();
            let Some(dialect) = self.watch.dialect() else {
                for watched in &self.watched {
                    watched.served.send_if_modified(|served| served.take().is_some());
                }
                known = None;
                pause = Duration::from_secs(1);
                continue;
            };
            let started = Instant::now();
            let looked = async {
                let fresh = known
                    .as_ref()
                    .filter(|(of, _, read)| !reread && Arc::ptr_eq(of, &dialect) && read.elapsed() < ROSTER);
                if fresh.is_none() {
                    let peek = self.muster(&dialect).await?;
                    known = Some((Arc::clone(&dialect), peek, Instant::now()));
                    reread = false;
                }
                match &known {
                    Some((_, peek, _)) => {
                        self.miss(peek, &mut missed);
                        self.peek(peek, &mut polled).await
                    }
                    None => Ok(Found::default()),
                }
            };
            pause = match self.database.within(PATIENCE, looked).await {
                Ok(Found { changed: true, .. }) => {
                    trouble = None;
                    reread = true;
                    Duration::ZERO
                }
                Ok(Found { due, .. }) => {
                    trouble = None;
                    let took = started.elapsed();
                    let tick = tick.max((took * DUTY).min(REST));
                    due.map_or(tick, |due| due.max(GATHER).max(took).min(tick))
                }
                Err(error) => {
                    if error.class() == Class::Schema {
                        reread = true;
                        self.watch.nudge();
                    }
                    let said = error.to_string();
                    // Of an outage and of a schema that changes the schema's watcher speaks.
                    if error.is_transient() || trouble.as_ref() == Some(&said) {
                        tracing::debug!(%error, "could not look for jobs");
                    } else {
                        tracing::warn!(%error, "jobs cannot be looked for; trying again");
                    }
                    trouble = Some(said);
                    tick.max(Duration::from_millis(500))
                }
            };
        }
    }

    /// Reads the queues' rows, tells the consumers, and writes the peek.
    async fn muster(&self, dialect: &Arc<Dialect>) -> Result<Peek, Error> {
        let client = self.database.client().await?;
        let names: Vec<QueueName> = self.watched.iter().map(|watched| watched.name.clone()).collect();
        let wanted: Vec<String> = names.iter().map(ToString::to_string).collect();
        let all = READ.render(dialect, "job");
        // Before the rows are read, so that what changes meanwhile is noticed by the first peek.
        let sql = format!("SELECT {ROSTER_HASH} FROM ({all}) r");
        let roster = client.query(&sql, &[(&wanted, Type::TEXT_ARRAY)]).await?;
        let roster = match roster.first() {
            Some(row) => row.try_get::<_, Option<f64>>(0)?.unwrap_or_default(),
            None => 0.0,
        };
        let (pauses, mark) = pause::mark(&client, &self.home, dialect.schema()).await?;
        let paused: HashSet<String> = pause::paused(&client, &self.home, dialect.schema())
            .await?
            .into_iter()
            .map(|paused| paused.queue)
            .collect();
        let mut rows: HashMap<QueueName, Queue> = Queue::read(&client, dialect, &names)
            .await?
            .into_iter()
            .map(|queue| (queue.name.clone(), queue))
            .collect();
        let mut peek = Peek {
            sql: String::new(),
            schema: dialect.schema().to_owned(),
            names: Vec::new(),
            numbers: Vec::new(),
            positions: Vec::new(),
            wanted,
            roster,
            pauses: mark,
        };
        let mut tables: Vec<String> = Vec::new();
        for (position, watched) in self.watched.iter().enumerate() {
            let Some(queue) = rows.remove(&watched.name) else {
                watched.served.send_if_modified(|served| served.take().is_some());
                continue;
            };
            let number = tables
                .iter()
                .position(|table| *table == queue.table)
                .unwrap_or_else(|| {
                    tables.push(queue.table.clone());
                    tables.len() - 1
                });
            peek.names.push(watched.name.to_string());
            peek.numbers.push(i32::try_from(number).unwrap_or(i32::MAX));
            peek.positions.push(position);
            let paused = paused.contains(watched.name.as_str());
            watched.served.send_if_modified(|served| {
                let same = served.as_ref().is_some_and(|known| {
                    *known.queue == queue && Arc::ptr_eq(&known.dialect, dialect) && known.paused == paused
                });
                if !same {
                    *served = Some(Served {
                        dialect: Arc::clone(dialect),
                        queue: Arc::new(queue),
                        paused,
                    });
                }
                !same
            });
        }
        let each = tables.iter().enumerate().map(|(number, table)| {
            let sql = PEEK.render(dialect, table);
            sql.replace("{number}", &number.to_string())
        });
        // Queues are created, deleted and moved to other tables; to notice costs no statement of its own.
        let all = all.replace("$1", "$3");
        let roster = format!("SELECT -1, {ROSTER_HASH}, NULL::float8 FROM ({all}) r\n");
        let pauses = pauses.replace("$2", "$5").replace("$1", "$4");
        let pauses = format!("SELECT -2, p.mark, NULL::float8 FROM ({pauses}) p\n");
        peek.sql = each.chain([roster, pauses]).collect::<Vec<_>>().join("UNION ALL\n");
        Ok(peek)
    }

    /// Says which queues are not there, once each.
    /// `missed` is since when each has been looked for in vain, until it is said.
    fn miss(&self, peek: &Peek, missed: &mut HashMap<usize, Option<Instant>>) {
        let now = Instant::now();
        for (position, watched) in self.watched.iter().enumerate() {
            if peek.positions.contains(&position) {
                missed.remove(&position);
                continue;
            }
            let since = missed.entry(position).or_insert(Some(now));
            if since.is_some_and(|since| now.duration_since(since) >= MISSING) {
                *since = None;
                let queue = watched.name.as_str();
                tracing::warn!(
                    queue,
                    "there is no such queue; waiting for it to be created: by the Node app, by `strawboss queues create`, \
                     or by `ensure` in its section"
                );
            }
        }
    }

    /// Wakes whoever has due jobs.
    async fn peek(&self, peek: &Peek, polled: &mut [Polled]) -> Result<Found, Error> {
        let client = self.database.client().await?;
        let rows = client
            .query(
                &peek.sql,
                &[
                    (&peek.names, Type::TEXT_ARRAY),
                    (&peek.numbers, Type::INT4_ARRAY),
                    (&peek.wanted, Type::TEXT_ARRAY),
                    (&peek.schema, Type::TEXT),
                    (&self.home.name(), Type::TEXT),
                ],
            )
            .await?;
        let now = Instant::now();
        let mut found = Found::default();
        for row in &rows {
            let (first, next): (Option<f64>, Option<f64>) = (row.try_get(1)?, row.try_get(2)?);
            let place: i32 = row.try_get(0)?;
            let Ok(place) = usize::try_from(place) else {
                let known = if place == -1 { peek.roster } else { peek.pauses };
                found.changed |= known != first.unwrap_or_default();
                continue;
            };
            let position = peek.positions[place];
            let watched = &self.watched[position];
            if watched.served.borrow().as_ref().is_some_and(|served| served.paused) {
                continue;
            }
            let polled = &mut polled[position];
            if first.is_some_and(|first| first <= 0.0) {
                let rested = polled
                    .at
                    .is_none_or(|at| now.duration_since(at) + SLACK >= watched.poll_interval);
                let came = polled.next.is_some_and(|next| next <= now + SLACK);
                if rested || came {
                    polled.at = Some(now);
                    watched
                        .demand
                        .wake(if came { Wakeup::StartAfter } else { Wakeup::Poll });
                }
            }
            let next = next.or(first.filter(|first| *first > 0.0));
            let left = next.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            polled.next = left.and_then(|left| now.checked_add(left));
            found.due = found.due.into_iter().chain(left).min();
        }
        Ok(found)
    }
}
