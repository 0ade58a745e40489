//! What only the database knows, at a bounded cost: how many jobs lie in the queues, for how long the first has waited, and
//! what holds back vacuum.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::dialect::{Dialect, Template};
use crate::postgres::{Client, Error, Executor};

/// The statement behind [`figures`] that differs from schema to schema.
pub(super) const FIGURES: Template = Template(include_str!("figures.sql"));
const HORIZON: &str = include_str!("horizon.sql");
const TUPLES: &str = include_str!("tuples.sql");

/// How the statements are planned: along the indexes, entry by entry, so that a count which has come to its end costs no
/// more. By its statistics the planner would rather read a table from the front, for most rows of it seem to be wanted, and
/// may have to walk over millions of finished ones first. To compile a statement that reads so little takes longer than it.
pub const ALONG_THE_INDEXES: &str = "SET TRANSACTION READ ONLY; SET LOCAL enable_seqscan = off; \
    SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off; SET LOCAL jit = off; SET LOCAL statement_timeout = '4s'";

/// Jobs of a queue and a sort are counted up to here; what is beyond is taken from the queue's row.
const CAP: i64 = 10_000;
/// Counts in a queue's row that are older than this many seconds are not relied on. They are written every minute.
const FRESH: f64 = 180.0;

/// What was read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// The queues, by name.
    pub queues: Vec<QueueFigures>,
    /// How many transactions ago the oldest row version lies that vacuum has to keep.
    pub xmin_age: i64,
    /// The age of the oldest transaction that keeps one, in seconds.
    pub oldest_transaction: f64,
    /// Sessions of this database that wait for a lock.
    pub lock_waits: i64,
    /// Tables of the schema with their live and dead rows.
    pub tables: Vec<(String, i64, i64)>,
}

/// The jobs of a queue. What cannot be known at a bounded cost is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueueFigures {
    /// The queue.
    pub name: String,
    /// Its policy.
    pub policy: Option<String>,
    /// Where its jobs go that failed for good.
    pub dead_letter: Option<String>,
    /// It is the dead letter queue of another.
    pub buries: bool,
    /// Due, and nobody has begun them.
    pub ready: Option<i64>,
    /// Not due yet.
    pub deferred: Option<i64>,
    /// Behind parents that are not done.
    pub blocked: Option<i64>,
    /// In a worker's hands.
    pub active: Option<i64>,
    /// Out of retries, or dead-lettered.
    pub failed: Option<i64>,
    /// For how many seconds the first of the due ones has waited; 0 where none is due.
    pub oldest: f64,
    /// Jobs that completed and jobs that failed for good, a second, whoever ran them, as a supervisor that keeps a history
    /// has counted them last (schema 43 and later).
    pub rates: Option<(f64, f64)>,
}

/// Reads them in a transaction of its own: one statement for the queues, two for the server.
///
/// # Errors
/// What the database says; also when it takes longer than four seconds.
pub async fn figures(client: &mut Client, dialect: &Dialect) -> Result<Figures, Error> {
    let executor = client.transaction().await?;
    executor.batch(ALONG_THE_INDEXES).await?;
    let sql = FIGURES.render(dialect, "job");
    let rows = executor.query(&sql, &[(&CAP, Type::INT8)]).await?;
    let queues = rows.iter().map(queue).collect::<Result<_, _>>()?;
    let mut read = Figures {
        queues,
        ..Figures::default()
    };
    if let Some(row) = executor.query(HORIZON, &[]).await?.first() {
        read.xmin_age = row.try_get("held")?;
        read.oldest_transaction = row.try_get("seconds")?;
        read.lock_waits = row.try_get("waits")?;
    }
    for row in executor.query(TUPLES, &[(&dialect.schema(), Type::TEXT)]).await? {
        let table = (row.try_get("name")?, row.try_get("live")?, row.try_get("dead")?);
        read.tables.push(table);
    }
    executor.commit().await?;
    Ok(read)
}

fn queue(row: &Row) -> Result<QueueFigures, Error> {
    let age: Option<f64> = row.try_get("age")?;
    let fresh = age.filter(|age| *age < FRESH);
    let of = |now: &str, then: &str| -> Result<Option<i64>, Error> {
        let kept = fresh.and(row.try_get(then)?);
        Ok(known(row.try_get(now)?, kept))
    };
    let ready = of("ready", "ready_then")?;
    // What was the oldest then has grown older, if it is there still; of use where not all could be looked at.
    let then = row
        .try_get::<_, Option<f64>>("oldest_then")?
        .filter(|_| ready >= Some(CAP));
    let grown = fresh.zip(then).map(|(age, then)| age + then);
    let seen: Option<f64> = row.try_get("oldest")?;
    let counted = row.try_get::<_, Option<f64>>("rate_age")?.filter(|age| *age < FRESH);
    let rates: Option<f64> = row.try_get("completed_rate")?;
    Ok(QueueFigures {
        name: row.try_get("name")?,
        policy: row.try_get("policy")?,
        dead_letter: row.try_get("dead_letter")?,
        rates: counted.and(rates).zip(row.try_get("failed_rate")?),
        buries: row.try_get("buries")?,
        ready,
        deferred: of("deferred", "deferred_then")?,
        blocked: of("blocked", "blocked_then")?,
        active: of("active", "active_then")?,
        failed: of("failed", "failed_then")?,
        oldest: seen.unwrap_or(0.0).max(grown.unwrap_or(0.0)).max(0.0),
    })
}

/// What was counted, as long as the count came to its end; else what was written down, if that is more.
fn known(counted: Option<i64>, kept: Option<i64>) -> Option<i64> {
    match (counted, kept) {
        (Some(counted), Some(kept)) if counted >= CAP => Some(counted.max(kept)),
        (Some(counted), _) => Some(counted),
        (None, kept) => kept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_goes_before_what_was_written_down_until_it_is_cut_off() {
        assert_eq!(known(Some(3), Some(70)), Some(3));
        assert_eq!(known(Some(CAP), Some(4_000_000)), Some(4_000_000));
        assert_eq!(known(Some(CAP), Some(12)), Some(CAP));
        assert_eq!(known(Some(CAP), None), Some(CAP));
        assert_eq!(known(None, Some(12)), Some(12));
        assert_eq!(known(None, None), None);
    }
}
