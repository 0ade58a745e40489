//! Queues and how many jobs wait in them for what.

use serde::Serialize;
use tokio_postgres::types::Type;

use crate::dialect::{Dialect, Template};
use crate::job::RawJson;
use crate::postgres::{Error, Executor};

use super::job::raw;

/// The statement behind [`queues`].
pub(super) const QUEUES: Template = Template(include_str!("queues.sql"));

/// How many jobs of a queue are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Queued, for a time to come.
    pub deferred: i64,
    /// Queued and due.
    pub ready: i64,
    /// Queued behind parents that are not done (schema 31 and later).
    pub blocked: i64,
    /// Claimed by a worker.
    pub active: i64,
    /// Out of retries, or dead-lettered.
    pub failed: i64,
    /// Done and not deleted yet; `None` where they were not counted.
    pub completed: Option<i64>,
    /// Ended by a user and not deleted yet; `None` where they were not counted.
    pub cancelled: Option<i64>,
}

/// A queue as the schema has it.
#[derive(Debug, Clone, Serialize)]
pub struct QueueRow {
    /// Its name.
    pub name: String,
    /// Its policy, as text, since schemas to come may have others.
    pub policy: Option<String>,
    /// Where jobs go that failed for good.
    pub dead_letter: Option<String>,
    /// The physical job table.
    pub table: Option<String>,
    /// Inserts wake listening workers.
    pub notify: bool,
    /// How many jobs are in which state.
    pub counts: Counts,
    /// The whole row of the table `queue`.
    pub row: RawJson,
}

/// Reads the queues named, or all of them, by name. `finished` counts completed and cancelled jobs too, which on a
/// large schema reads far more than the live ones.
///
/// # Errors
/// What the database says.
pub async fn queues(
    executor: &impl Executor,
    dialect: &Dialect,
    only: Option<&[String]>,
    finished: bool,
) -> Result<Vec<QueueRow>, Error> {
    let sql = QUEUES.render(dialect, "job");
    let rows = executor
        .query(&sql, &[(&only, Type::TEXT_ARRAY), (&finished, Type::BOOL)])
        .await?;
    let read = |row: tokio_postgres::Row| QueueRow {
        name: row.get("name"),
        policy: row.get("policy"),
        dead_letter: row.get("dead_letter"),
        table: row.get("job_table"),
        notify: row.get("notify"),
        counts: Counts {
            deferred: row.get("deferred"),
            ready: row.get("ready"),
            blocked: row.get("blocked"),
            active: row.get("active"),
            failed: row.get("failed"),
            completed: finished.then(|| row.get("completed")),
            cancelled: finished.then(|| row.get("cancelled")),
        },
        row: raw(row.get("everything")),
    };
    Ok(rows.into_iter().map(read).collect())
}
