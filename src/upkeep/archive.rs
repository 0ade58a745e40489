//! What supervision is on schema 24: one claim for all queues, and an archive.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_postgres::types::Type;

use super::lock;
use super::sweep::{FULL, Rescued, sweep};
use crate::dialect::{Dialect, Template};
use crate::postgres::{Client, Error, Executor};

const CLAIM: Template = Template(include_str!("maintained.sql"));
const ARCHIVE: Template = Template(include_str!("archive.sql"));
const PURGE: Template = Template(include_str!("purge.sql"));
const STATES: Template = Template(include_str!("states.sql"));
/// As many rows as one step moves or deletes.
const STEP: usize = 10_000;
/// The lock for all of it.
const LOCK: &str = "";

/// Claims the pass over all queues if the last one is that long ago.
pub(super) async fn claim(executor: &impl Executor, dialect: &Dialect, interval: Duration) -> Result<bool, Error> {
    let sql = CLAIM.render(dialect, "job");
    let rows = executor.query(&sql, &[(&interval.as_secs_f64(), Type::FLOAT8)]).await?;
    Ok(!rows.is_empty())
}

/// Fails lost attempts of those queues; whether there may be more, with those it failed.
pub(super) async fn expire(
    client: &mut Client,
    dialect: &Dialect,
    queues: &[&str],
) -> Result<(bool, Vec<Rescued>), Error> {
    let work = lock::waited(client, dialect, &[LOCK]).await?;
    let swept = sweep(&work, dialect, "job", queues).await?;
    work.commit().await?;
    Ok((swept.len() >= FULL, swept))
}

/// Moves a step of old jobs to the archive; how many, and whether there may be more.
pub(super) async fn archive(client: &mut Client, dialect: &Dialect) -> Result<(bool, usize), Error> {
    step(client, dialect, ARCHIVE).await
}

/// Deletes a step of the archive; how many, and whether there may be more.
pub(super) async fn purge(client: &mut Client, dialect: &Dialect) -> Result<(bool, usize), Error> {
    step(client, dialect, PURGE).await
}

async fn step(client: &mut Client, dialect: &Dialect, statement: Template) -> Result<(bool, usize), Error> {
    let work = lock::waited(client, dialect, &[LOCK]).await?;
    let rows = work.query(&statement.render(dialect, "job"), &[]).await?.len();
    work.commit().await?;
    Ok((rows >= STEP, rows))
}

/// How many jobs are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Wait for their first attempt.
    pub created: i64,
    /// Wait for another one.
    pub retry: i64,
    /// Are being run.
    pub active: i64,
    /// Have been done.
    pub completed: i64,
    /// Were called off.
    pub cancelled: i64,
    /// Have failed for good.
    pub failed: i64,
    /// All of them.
    pub all: i64,
}

impl Counts {
    fn add(&mut self, state: &str, jobs: i64) {
        self.all += jobs;
        match state {
            "created" => self.created += jobs,
            "retry" => self.retry += jobs,
            "active" => self.active += jobs,
            "completed" => self.completed += jobs,
            "cancelled" => self.cancelled += jobs,
            "failed" => self.failed += jobs,
            // Counted with all of them, as in pg-boss.
            _ => {}
        }
    }
}

/// What the event `monitor-states` of pg-boss 10 tells; serialised, it is that event.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct States {
    /// Of all queues together.
    #[serde(flatten)]
    pub all: Counts,
    /// Of each queue that has jobs.
    pub queues: BTreeMap<String, Counts>,
}

/// How many jobs are in which state, in all and by queue. It reads every job, and takes no claim: whoever moves
/// `version.monitored_on` is the only one to emit `monitor-states` for that interval, to listeners of its own process
/// only, so that claiming it here would silence those in Node.
///
/// # Errors
/// Whatever the database says.
pub async fn states(executor: &impl Executor, dialect: &Dialect) -> Result<States, Error> {
    let mut states = States::default();
    for row in executor.query(&STATES.render(dialect, "job"), &[]).await? {
        let (queue, state, jobs): (String, &str, i64) =
            (row.try_get("name")?, row.try_get("state")?, row.try_get("jobs")?);
        states.all.add(state, jobs);
        states.queues.entry(queue).or_default().add(state, jobs);
    }
    Ok(states)
}
