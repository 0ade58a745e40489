//! One pass of the supervisor: claims, and all the work of every claim it gets.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::claim::{Claimed, Duty};
use super::count::{Counting, count, rest, true_up};
use super::sweep::{FULL, Rescued, sweep};
use super::vacuum::Evidence;
use super::warning::{self, Warning};
use super::{archive, history, lock, retention};
use crate::config::UpkeepConfig;
use crate::dialect::{Capability, Dialect, Template};
use crate::observe::Pulse;
use crate::postgres::{Class, Client, Database, Error, Executor};
use crate::queue::{Queue, QueueName};

/// As many queues as one statement is of, as pg-boss has it: what counts them holds the horizon of vacuum for that long.
const CHUNK: usize = 100;
/// How long a statement may take before its connection is given up: longer than pg-boss's own lock time-out, shorter than
/// the silence after which the supervisor counts as stuck.
const PATIENCE: Duration = Duration::from_secs(75);
/// How long what is under way at the stop may take before it is cut off, and what it has not committed undone: a pass may
/// be one such thing and the giving back of its claims, which together are less than a worker waits for its servants.
const FINISH: Duration = Duration::from_secs(2);
/// A statement that takes longer is warned of.
const SLOW: Duration = Duration::from_secs(30);
/// Where a queue does not say what it calls a backlog.
const BACKLOG: i32 = 10_000;

const DEPARTED: Template = Template(include_str!("departed.sql"));

/// What a pass has done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Supervised {
    /// The queues whose jobs were counted.
    pub counted: Vec<QueueName>,
    /// Attempts failed because their deadline (`expired`) or lease (`heartbeat`) was over, by queue and reason.
    pub rescued: BTreeMap<(QueueName, String), u64>,
    /// Jobs past their retention: deleted, on schema 24 archived.
    pub deleted: i64,
    /// Dependencies of jobs that are gone.
    pub orphans: i64,
    /// What was warned of.
    pub warnings: Vec<Warning>,
}

/// Supervises the queue, or all of them, once: whatever is due by pg-boss's own claims is claimed and done, as its
/// `supervise` does. It does not wait for the interval of a supervisor, but for those of the claims.
///
/// # Errors
/// The first thing that went wrong. What does not depend on it was done all the same, and claims that could not be worked
/// off were given back.
pub async fn supervise(
    database: &Database,
    dialect: &Dialect,
    config: &UpkeepConfig,
    queue: Option<&QueueName>,
) -> Result<Supervised, Error> {
    let mut evidence = Evidence::default();
    let (done, error) = Pass::new(database, dialect, config, &mut evidence).run(queue).await;
    error.map_or(Ok(done), Err)
}

/// A pass under way.
pub(super) struct Pass<'a> {
    database: &'a Database,
    dialect: &'a Dialect,
    config: &'a UpkeepConfig,
    /// What passes remember of those before.
    evidence: &'a mut Evidence,
    /// Ends the pass after the statement that is under way.
    pub(super) stop: CancellationToken,
    pub(super) pulse: Option<&'a Pulse>,
    done: Supervised,
    error: Option<Error>,
    /// For how many seconds counting has held the horizon of vacuum.
    held: f64,
}

impl<'a> Pass<'a> {
    pub(super) fn new(
        database: &'a Database,
        dialect: &'a Dialect,
        config: &'a UpkeepConfig,
        evidence: &'a mut Evidence,
    ) -> Pass<'a> {
        Pass {
            database,
            dialect,
            config,
            evidence,
            stop: CancellationToken::new(),
            pulse: None,
            done: Supervised::default(),
            error: None,
            held: 0.0,
        }
    }

    /// What was done, and the first thing that went wrong.
    pub(super) async fn run(mut self, queue: Option<&QueueName>) -> (Supervised, Option<Error>) {
        let walked = if self.dialect.has(Capability::V10) {
            self.as_of_schema_24().await
        } else {
            self.over_queues(queue).await
        };
        if let Err(error) = walked {
            self.error.get_or_insert(error);
        }
        (self.done, self.error)
    }

    async fn over_queues(&mut self, queue: Option<&QueueName>) -> Result<(), Error> {
        let (dialect, config) = (self.dialect, self.config);
        let read = async |client: &mut Client| match queue {
            Some(queue) => Queue::read(client, dialect, std::slice::from_ref(queue)).await,
            None => Queue::read_all(client, dialect).await,
        };
        let queues = self.step("read the queues", read).await?;
        let keeps = config.persist_queue_stats && dialect.has(Capability::QueueHistory);
        if keeps {
            let made = self.step("make the days of the history", async |client| {
                history::make_days(client, dialect).await
            });
            let made = made.await;
            self.noted(made)?;
        }
        let mut tables = BTreeMap::<String, Vec<String>>::new();
        for queue in queues {
            tables.entry(queue.table).or_default().push(queue.name.to_string());
        }
        for (table, names) in &tables {
            for names in names.chunks(CHUNK) {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                if self.stop.is_cancelled() {
                    return Ok(());
                }
                self.monitor(table, &names).await?;
                if !self.stop.is_cancelled() {
                    self.maintain(table, &names).await?;
                }
            }
        }
        if self.stop.is_cancelled() {
            return Ok(());
        }
        self.rest_from_counting().await?;
        let looked = self.look_at_vacuum().await;
        self.noted(looked)?;
        if dialect.catalog().has_table("instance") {
            let departed = DEPARTED.render(dialect, "job");
            let forgetting = async |client: &mut Client| client.query(&departed, &[]).await;
            let forgotten = self.step("delete departed instances", forgetting).await;
            self.noted(forgotten.map(drop))?;
        }
        if config.persist_warnings {
            let days = config.warning_retention_days;
            let forgotten = self.step("delete old warnings", async |client| {
                warning::forget(client, dialect, days).await
            });
            let forgotten = forgotten.await;
            self.noted(forgotten)?;
        }
        if keeps {
            let days = config.queue_stat_retention_days;
            let forgotten = self.step("drop old counts", async |client| {
                history::forget(client, dialect, days).await
            });
            let forgotten = forgotten.await;
            self.noted(forgotten)?;
        }
        Ok(())
    }

    /// Counts, fails what is lost.
    async fn monitor(&mut self, table: &str, names: &[&str]) -> Result<(), Error> {
        let (dialect, interval) = (self.dialect, self.config.monitor_interval);
        let claim = async |client: &mut Client| Duty::Monitor.claim(client, dialect, names, interval).await;
        let claimed = self.step("claim queues", claim).await?;
        if claimed.queues.is_empty() {
            return Ok(());
        }
        let mut counted_by_another = false;
        if claimed.counting {
            let counted = self.count(table, &claimed).await;
            counted_by_another = matches!(counted, Ok(false));
            if !self.stop.is_cancelled() {
                self.noted(counted.map(drop))?;
            }
        }
        let expired = self.expire(table, &claimed.names()).await;
        // At the stop not all of it may have been done.
        if expired.is_err() || counted_by_another || self.stop.is_cancelled() {
            self.give_back(&claimed, &claimed.names()).await?;
        }
        expired
    }

    /// Counts the claimed queues; false where another instance is at it.
    async fn count(&mut self, table: &str, claimed: &Claimed) -> Result<bool, Error> {
        let (dialect, config) = (self.dialect, self.config);
        let names = claimed.names();
        let counting = async |client: &mut Client| count(client, dialect, config, table, &names).await;
        let (counted, held) = match self.step("count jobs", counting).await? {
            Counting::Done(counted, held) => (counted, held),
            Counting::Busy => return Ok(false),
        };
        self.held += held;
        if config.persist_queue_stats && dialect.has(Capability::QueueHistory) {
            let kept = async |client: &mut Client| {
                history::snapshot(client, dialect, &names).await?;
                true_up(client, dialect, table, &counted).await
            };
            match self.step("keep the counts", kept).await {
                Ok(held) => self.held += held,
                Err(error) => self.noted(Err(error))?,
            }
        }
        for queue in counted {
            let threshold = if queue.threshold > 0 { queue.threshold } else { BACKLOG };
            if queue.queued > threshold {
                self.warn(Warning {
                    kind: "queue_backlog",
                    message: format!(
                        "queue {:?} has a backlog: {} jobs wait, and {threshold} are called a backlog; more workers, or fewer jobs",
                        queue.queue, queue.queued
                    ),
                    data: json!({ "name": queue.queue, "queuedCount": queue.queued, "warningQueueSize": queue.threshold }),
                })
                .await?;
            }
            self.done.counted.push(QueueName::new(queue.queue));
        }
        Ok(true)
    }

    /// Fails what is lost, under pg-boss's locks and a batch at a time.
    async fn expire(&mut self, table: &str, names: &[&str]) -> Result<(), Error> {
        let dialect = self.dialect;
        let locks = ["failJobsByTimeout", "failJobsByHeartbeat"].map(|purpose| format!("{table}{purpose}"));
        while !self.stop.is_cancelled() {
            let failing = async |client: &mut Client| {
                let work = lock::waited(client, dialect, &[&locks[0], &locks[1]]).await?;
                let swept = sweep(&work, dialect, table, names).await?;
                work.commit().await?;
                Ok(swept)
            };
            let swept = self.step("fail lost attempts", failing).await?;
            let full = swept.len() >= FULL;
            self.count_rescued(swept);
            if !full {
                break;
            }
        }
        Ok(())
    }

    /// Deletes what is past its retention.
    async fn maintain(&mut self, table: &str, names: &[&str]) -> Result<(), Error> {
        let (dialect, interval) = (self.dialect, self.config.maintenance_interval);
        let claim = async |client: &mut Client| Duty::Maintain.claim(client, dialect, names, interval).await;
        let claimed = self.step("claim queues", claim).await?;
        let names = claimed.names();
        for (at, queue) in names.iter().enumerate() {
            let maintained = self.maintain_one(table, queue).await;
            if !matches!(maintained, Ok(true)) {
                // The claim covers all of them: those that were not finished are for the next pass of anybody.
                self.give_back(&claimed, &names[at..]).await?;
                return maintained.map(drop);
            }
        }
        Ok(())
    }

    /// Whether it came to the end of the queue.
    async fn maintain_one(&mut self, table: &str, queue: &str) -> Result<bool, Error> {
        let (dialect, stop, pulse) = (self.dialect, self.stop.clone(), self.pulse);
        let beat = move || {
            if let Some(pulse) = pulse {
                pulse.beat();
            }
        };
        // A walk is many statements, each with its own transaction: as long as it gets on, it may take its time.
        let mut client = self.database.client().await?;
        let walk = retention::walk(&mut client, dialect, table, queue, &stop, &beat).await?;
        self.done.deleted += walk.deleted;
        if !walk.whole {
            return Ok(false);
        }
        drop(client);
        let cleaning = async |client: &mut Client| retention::orphans(client, dialect, table, &[queue]).await;
        self.done.orphans += self.step("delete dependencies", cleaning).await?;
        Ok(true)
    }

    /// Schema 24: one claim for everything; its interval is twice that of the later claims, as pg-boss's is.
    async fn as_of_schema_24(&mut self) -> Result<(), Error> {
        let (dialect, interval) = (self.dialect, self.config.monitor_interval * 2);
        let claim = async |client: &mut Client| archive::claim(client, dialect, interval).await;
        if !self.step("claim the pass", claim).await? {
            return Ok(());
        }
        let read = async |client: &mut Client| Queue::read_all(client, dialect).await;
        let queues = self.step("read the queues", read).await?;
        let names: Vec<&str> = queues.iter().map(|queue| queue.name.as_str()).collect();
        while !self.stop.is_cancelled() {
            let failing = async |client: &mut Client| archive::expire(client, dialect, &names).await;
            let (more, swept) = self.step("fail lost attempts", failing).await?;
            self.count_rescued(swept);
            if !more {
                break;
            }
        }
        while !self.stop.is_cancelled() {
            let moving = async |client: &mut Client| archive::archive(client, dialect).await;
            let (more, moved) = self.step("archive jobs", moving).await?;
            self.done.deleted += i64::try_from(moved).unwrap_or(0);
            if !more {
                break;
            }
        }
        while !self.stop.is_cancelled() {
            let purging = async |client: &mut Client| archive::purge(client, dialect).await;
            if !self.step("purge the archive", purging).await?.0 {
                break;
            }
        }
        Ok(())
    }

    /// Has everybody's counting rest, if this pass's has taken long.
    async fn rest_from_counting(&mut self) -> Result<(), Error> {
        let (dialect, held) = (self.dialect, self.held);
        let resting = async |client: &mut Client| rest(client, dialect, held).await;
        let Some(rest) = self.step("rest from counting", resting).await? else {
            return Ok(());
        };
        self.warn(Warning {
            kind: "monitor_backoff",
            message: format!(
                "counting jobs took {held:.1} s, in which vacuum could clean nothing up; it rests for {:.0} s. Keep fewer \
                 finished jobs, or give the busiest queues a table of their own",
                rest.seconds
            ),
            data: json!({
                "elapsedSeconds": held,
                "naptimeSeconds": rest.naptime,
                "backoffSeconds": rest.seconds,
                "backoffUntil": rest.until,
            }),
        })
        .await
    }

    async fn look_at_vacuum(&mut self) -> Result<(), Error> {
        let dialect = self.dialect;
        if !dialect.has(Capability::MonitorClaim) {
            return Ok(());
        }
        let mut evidence = std::mem::take(self.evidence);
        let looking = async |client: &mut Client| evidence.look(client, dialect).await;
        let looked = self.step("look at vacuum", looking).await;
        *self.evidence = evidence;
        for warning in looked? {
            self.warn(warning).await?;
        }
        Ok(())
    }

    async fn warn(&mut self, warning: Warning) -> Result<(), Error> {
        let (dialect, keep) = (self.dialect, self.config.persist_warnings);
        let client = self.database.client().await?;
        let said = warning.say(&client, dialect, keep).await;
        self.done.warnings.push(warning);
        self.noted(said)
    }

    async fn give_back(&mut self, claimed: &Claimed, queues: &[&str]) -> Result<(), Error> {
        let dialect = self.dialect;
        let giving = async |client: &mut Client| claimed.give_back(client, dialect, queues).await;
        self.step("give claims back", giving).await
    }

    fn count_rescued(&mut self, swept: Vec<Rescued>) {
        for job in swept {
            *self.done.rescued.entry((job.queue, job.reason)).or_default() += 1;
        }
    }

    /// Remembers an error that keeps nothing else from being done; one that does is given back.
    fn noted(&mut self, done: Result<(), Error>) -> Result<(), Error> {
        match done {
            Err(error) if error.class() != Class::Connection && !matches!(error, Error::Connect { .. }) => {
                self.error.get_or_insert(error);
                Ok(())
            }
            done => done,
        }
    }

    /// One thing to do on a connection, no longer than [`PATIENCE`].
    async fn step<T>(
        &mut self,
        what: &str,
        work: impl AsyncFnOnce(&mut Client) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if let Some(pulse) = self.pulse {
            pulse.beat();
        }
        let mut client = self.database.client().await?;
        let began = Instant::now();
        let done = tokio::select! {
            done = self.database.within(PATIENCE, work(&mut client)) => done,
            () = overdue(&self.stop) => Err(Error::Timeout(FINISH)),
        };
        let took = began.elapsed();
        if took > SLOW && done.is_ok() {
            let slow = Warning {
                kind: "slow_query",
                message: format!(
                    "to {what} took {:.0} s; look at the queues and at the server",
                    took.as_secs_f64()
                ),
                data: json!({ "elapsed": took.as_secs_f64(), "sql": what }),
            };
            let said = slow.say(&client, self.dialect, self.config.persist_warnings).await;
            self.done.warnings.push(slow);
            self.noted(said)?;
        }
        done
    }
}

/// Comes when it is time to cut off what is under way at the stop.
pub(super) async fn overdue(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(FINISH).await;
}
