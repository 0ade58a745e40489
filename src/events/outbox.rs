//! The outbox for people: what is in it, what is to become of rows that stand still, what is old enough to go.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::Place;
use crate::dialect::Template;
use crate::job::RawJson;
use crate::postgres::{Error, Executor};

const LIST: Template = Template(include_str!("outbox/list.sql"));
const COUNTS: Template = Template(include_str!("outbox/counts.sql"));
const SETTLE: Template = Template(include_str!("outbox/settle.sql"));
const PRUNE: Template = Template(include_str!("outbox/prune.sql"));

/// Which rows of the outbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutboxFilter {
    /// These only; all by default.
    pub ids: Vec<Uuid>,
    /// In that status only.
    pub status: Option<String>,
    /// Of events of that name only.
    pub event: Option<String>,
    /// Only those that were emitted at least so long ago.
    pub older_than: Option<Duration>,
}

/// A row of `event_outbox`.
#[derive(Debug, Clone)]
pub struct OutboxRow {
    /// Its id.
    pub id: Uuid,
    /// The event's name.
    pub event: String,
    /// `pending`, `processing`, `completed` or `failed`.
    pub status: String,
    /// How often it has been tried again.
    pub retry_count: i32,
    /// How often it may be.
    pub max_retries: i32,
    /// When it was emitted.
    pub created_at: DateTime<Utc>,
    /// When it was done with.
    pub processed_at: Option<DateTime<Utc>>,
    /// What went wrong.
    pub error: Option<String>,
    /// Every column, as JSON.
    pub row: RawJson,
}

/// The rows in one status.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct StatusCount {
    /// The status.
    pub status: String,
    /// How many.
    pub rows: i64,
    /// The age of the oldest in seconds.
    pub oldest_seconds: f64,
}

/// What an operator may choose for rows that stand still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// They are relayed, again or at last.
    Requeue,
    /// They are done: somebody has handled them.
    Complete,
    /// They become dead letters, to be looked at one by one.
    DeadLetter,
}

/// A table that grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growing {
    /// Completed rows of `event_outbox`.
    Outbox,
    /// `event_dead_letter`
    DeadLetters,
    /// `event_processing_log`: an event whose key is forgotten runs again if it comes again.
    Log,
    /// `event_history`
    History,
}

impl Growing {
    /// All of them.
    pub const ALL: [Growing; 4] = [Growing::Outbox, Growing::DeadLetters, Growing::Log, Growing::History];

    /// Its name, as an option of the command has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Growing::Outbox => "outbox",
            Growing::DeadLetters => "dead_letters",
            Growing::Log => "log",
            Growing::History => "history",
        }
    }
}

/// Lists rows of the outbox, newest first.
///
/// # Errors
/// Whatever the database says.
pub async fn outbox(
    executor: &impl Executor,
    place: &Place,
    filter: &OutboxFilter,
    limit: u32,
) -> Result<Vec<OutboxRow>, Error> {
    let ids = (!filter.ids.is_empty()).then_some(&filter.ids);
    let age = filter.older_than.map(|age| age.as_secs_f64());
    let limit = i32::try_from(limit).unwrap_or(i32::MAX);
    let rows = executor
        .query(
            &place.render(LIST, &[]),
            &[
                (&ids, Type::UUID_ARRAY),
                (&filter.status, Type::TEXT),
                (&filter.event, Type::TEXT),
                (&age, Type::FLOAT8),
                (&limit, Type::INT4),
            ],
        )
        .await?;
    let read = |row: &tokio_postgres::Row| {
        let text: String = row.get("row");
        OutboxRow {
            id: row.get("id"),
            event: row.get("event_name"),
            status: row.get("status"),
            retry_count: row.get("retry_count"),
            max_retries: row.get("max_retries"),
            created_at: row.get("created_at"),
            processed_at: row.get("processed_at"),
            error: row.get("error_message"),
            row: RawValue::from_string(text).expect("PostgreSQL writes JSON"),
        }
    };
    Ok(rows.iter().map(read).collect())
}

/// Counts the rows by status.
///
/// # Errors
/// Whatever the database says.
pub async fn outbox_counts(executor: &impl Executor, place: &Place) -> Result<Vec<StatusCount>, Error> {
    let rows = executor.query(&place.render(COUNTS, &[]), &[]).await?;
    let read = |row: &tokio_postgres::Row| StatusCount {
        status: row.get("status"),
        rows: row.get("rows"),
        oldest_seconds: row.get("oldest"),
    };
    Ok(rows.iter().map(read).collect())
}

/// Does to these rows what the operator chose, as far as they have that status still; how many there were.
///
/// # Errors
/// Whatever the database says; nothing was done then.
pub async fn settle_rows(
    executor: &impl Executor,
    place: &Place,
    ids: &[Uuid],
    status: &str,
    choice: Choice,
) -> Result<usize, Error> {
    let flag = match choice {
        Choice::Requeue => "requeue",
        Choice::Complete => "complete",
        Choice::DeadLetter => "bury",
    };
    let outbox = place.outbox_schema();
    let sql = place.render(SETTLE, &[flag]);
    let params = [
        (&ids as _, Type::UUID_ARRAY),
        (&status as _, Type::TEXT),
        (&outbox as _, Type::TEXT),
    ];
    Ok(executor.query(&sql, &params).await?.len())
}

/// Deletes what is older than that from one of the tables, or counts it; how many rows there were.
///
/// # Errors
/// Whatever the database says; what was deleted by then is.
pub async fn prune(
    executor: &impl Executor,
    place: &Place,
    table: Growing,
    older_than: Duration,
    count_only: bool,
) -> Result<i64, Error> {
    let mut flags = vec![table.as_str()];
    if count_only {
        flags.push("count");
    }
    let sql = place.render(PRUNE, &flags);
    let seconds = older_than.as_secs_f64();
    let mut all = 0;
    loop {
        let rows = executor.query(&sql, &[(&seconds, Type::FLOAT8)]).await?;
        let some: i64 = rows.first().map_or(0, |row| row.get(0));
        all += some;
        if count_only || some == 0 {
            return Ok(all);
        }
    }
}
