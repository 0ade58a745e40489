//! What happened just now, at a bounded cost: how many jobs have ended, and which attempts have failed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::dialect::{Capability, Dialect, Template};
use crate::postgres::{Error, Executor, Moment};

/// The statement behind [`finished`].
pub(super) const FINISHED: Template = Template(include_str!("finished.sql"));
/// The statement behind [`failures`].
pub(super) const FAILURES: Template = Template(include_str!("failures.sql"));

/// Jobs of a queue that have ended lately are counted up to here; what the last of them took says the rate beyond.
const CAP: i64 = 10_000;

/// How fast the jobs of a queue have ended lately, whoever ran them.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The queue.
    pub queue: String,
    /// Jobs that completed, a second.
    pub completed: f64,
    /// Jobs that failed for good, a second.
    pub failed: f64,
}

/// A job whose last attempt has failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The queue.
    pub queue: String,
    /// The job.
    pub job: Uuid,
    /// It will be tried again.
    pub retried: bool,
    /// Retries so far.
    pub retry_count: i32,
    /// Retries in all.
    pub retry_limit: i32,
    /// When the attempt began.
    pub began: Option<DateTime<Utc>>,
    /// What was said of it; empty where that was no text.
    pub message: String,
}

/// How fast the jobs of these queues have ended within the `window`; of a queue the last 10,000 are looked at. `None` where
/// no index leads to them (before schema 46).
///
/// # Errors
/// What the database says.
pub async fn finished(
    executor: &impl Executor,
    dialect: &Dialect,
    queues: &[String],
    window: Duration,
) -> Result<Option<Vec<Finished>>, Error> {
    if !dialect.has(Capability::FinishedIndex) {
        return Ok(None);
    }
    let sql = FINISHED.render(dialect, "job");
    let seconds = window.as_secs_f64();
    let rows = executor
        .query(
            &sql,
            &[
                (&queues, Type::TEXT_ARRAY),
                (&seconds, Type::FLOAT8),
                (&CAP, Type::INT8),
            ],
        )
        .await?;
    let read = |row: &tokio_postgres::Row| {
        Ok(Finished {
            queue: row.try_get("name")?,
            completed: row.try_get("completed")?,
            failed: row.try_get("failed")?,
        })
    };
    rows.iter().map(read).collect::<Result<_, Error>>().map(Some)
}

/// The last `limit` jobs of these queues whose attempt has failed, those to be tried again among them.
///
/// Before schema 46 no index leads to them: set a `statement_timeout`.
///
/// # Errors
/// What the database says.
pub async fn failures(
    executor: &impl Executor,
    dialect: &Dialect,
    queues: &[String],
    limit: u16,
) -> Result<Vec<Failure>, Error> {
    let sql = FAILURES.render(dialect, "job");
    let limit = i64::from(limit);
    let rows = executor
        .query(&sql, &[(&queues, Type::TEXT_ARRAY), (&limit, Type::INT8)])
        .await?;
    let read = |row: &tokio_postgres::Row| {
        Ok(Failure {
            queue: row.try_get("name")?,
            job: row.try_get("id")?,
            retried: row.try_get::<_, &str>("state")? == "retry",
            retry_count: row.try_get("retry_count")?,
            retry_limit: row.try_get("retry_limit")?,
            began: row.try_get::<_, Option<Moment>>("started_on")?.map(|Moment(at)| at),
            message: row.try_get("message")?,
        })
    };
    rows.iter().map(read).collect()
}
