//! Counting the jobs of queues into the caches of their rows.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::lock;
use crate::config::UpkeepConfig;
use crate::dialect::{Capability, Dialect, Template};
use crate::postgres::{Client, Error, Executor, Transaction};

pub(super) const COUNT: Template = Template(include_str!("count.sql"));
const TRUE_UP: Template = Template(include_str!("true_up.sql"));
const REST: Template = Template(include_str!("rest.sql"));
const LOCK: &str = "queue-stats";
/// A queue that was not counted for longer than this starts its throughput afresh.
const GAP: Duration = Duration::from_secs(2 * 60 * 60);

/// A queue that was counted.
pub(super) struct Counted {
    pub(super) queue: String,
    pub(super) queued: i32,
    /// What the queue's row calls a backlog; 0 leaves it to the supervisor.
    pub(super) threshold: i32,
    /// Jobs have come to light in windows that were counted before.
    late: bool,
}

/// What came of counting.
pub(super) enum Counting {
    /// All were counted, and it held the horizon of vacuum for that many seconds.
    Done(Vec<Counted>, f64),
    /// Another instance is at it.
    Busy,
}

/// How far apart two counts may be.
fn gap(config: &UpkeepConfig) -> f64 {
    let pass = config.monitor_interval.max(config.supervise_interval);
    GAP.max(pass * 2).as_secs_f64()
}

/// The lock for it: from schema 40 on whoever does not get it leaves it to the one who has it.
async fn begin<'a>(client: &'a mut Client, dialect: &Dialect) -> Result<Option<Transaction<'a>>, Error> {
    if dialect.has(Capability::MonitorClaim) {
        lock::tried(client, dialect, LOCK).await
    } else {
        lock::waited(client, dialect, &[LOCK]).await.map(Some)
    }
}

/// Counts the jobs of those queues, all of one table.
pub(super) async fn count(
    client: &mut Client,
    dialect: &Dialect,
    config: &UpkeepConfig,
    table: &str,
    queues: &[&str],
) -> Result<Counting, Error> {
    let Some(work) = begin(client, dialect).await? else {
        return Ok(Counting::Busy);
    };
    let history = config.persist_queue_stats && dialect.has(Capability::QueueHistory);
    let flags: &[&str] = if history { &["history"] } else { &[] };
    let sql = COUNT.render_with(dialect, table, flags);
    let rows = work
        .query(&sql, &[(&queues, Type::TEXT_ARRAY), (&gap(config), Type::FLOAT8)])
        .await?;
    work.commit().await?;
    let mut seconds = 0.0;
    let mut counted = Vec::with_capacity(rows.len());
    for row in &rows {
        seconds = row.try_get::<_, f64>("seconds")?.max(seconds);
        counted.push(Counted {
            queue: row.try_get("name")?,
            queued: row.try_get("queued")?,
            threshold: row.try_get("threshold")?,
            late: row.try_get("late")?,
        });
    }
    counted.sort_by(|one, other| one.queue.cmp(&other.queue));
    Ok(Counting::Done(counted, seconds))
}

/// Raises the history of those of the counted queues that need it; for how many seconds that held the horizon of vacuum.
pub(super) async fn true_up(
    client: &mut Client,
    dialect: &Dialect,
    table: &str,
    counted: &[Counted],
) -> Result<f64, Error> {
    let late: Vec<&str> = counted
        .iter()
        .filter(|queue| queue.late)
        .map(|queue| queue.queue.as_str())
        .collect();
    if late.is_empty() {
        return Ok(0.0);
    }
    let Some(work) = begin(client, dialect).await? else {
        return Ok(0.0);
    };
    let sql = TRUE_UP.render(dialect, table);
    let rows = work.query(&sql, &[(&late, Type::TEXT_ARRAY)]).await?;
    work.commit().await?;
    rows.first().map_or(Ok(0.0), |row| Ok(row.try_get("seconds")?))
}

/// A rest from counting that a pass has asked for.
pub(super) struct Rest {
    pub(super) naptime: f64,
    pub(super) seconds: f64,
    pub(super) until: chrono::DateTime<chrono::Utc>,
}

/// Has everybody's counting rest if this pass has held the horizon for too long.
pub(super) async fn rest(executor: &impl Executor, dialect: &Dialect, held: f64) -> Result<Option<Rest>, Error> {
    if held <= 0.0 || !dialect.has(Capability::MonitorClaim) {
        return Ok(None);
    }
    let rows = executor
        .query(&REST.render(dialect, "job"), &[(&held, Type::FLOAT8)])
        .await?;
    let rest = |row: &tokio_postgres::Row| {
        Ok(Rest {
            naptime: row.try_get("naptime")?,
            seconds: row.try_get("seconds")?,
            until: row.try_get("until")?,
        })
    };
    rows.first().map(rest).transpose()
}
