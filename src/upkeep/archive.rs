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

/// How many jobs each queue has in each state, as the event `monitor-states` of pg-boss 10 tells it. It takes no claim: the
/// one Node takes for that event is for whoever listens to it there.
///
/// # Errors
/// Whatever the database says.
pub async fn states(
    executor: &impl Executor,
    dialect: &Dialect,
) -> Result<BTreeMap<String, BTreeMap<String, i64>>, Error> {
    let mut states = BTreeMap::<String, BTreeMap<String, i64>>::new();
    for row in executor.query(&STATES.render(dialect, "job"), &[]).await? {
        let queue = states.entry(row.try_get("name")?).or_default();
        queue.insert(row.try_get("state")?, row.try_get("jobs")?);
    }
    Ok(states)
}
