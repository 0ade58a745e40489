//! What we remember of schedules in our own schema: how many missed runs are caught up, and what became of occurrences.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use jiff::Timestamp;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::home::{Home, Part};
use crate::postgres::{Client, Error, Executor};

const PART: Part = Part {
    name: "schedules",
    steps: &[include_str!("home.sql")],
};

const NOTE: &str = include_str!("note.sql");
const HISTORY: &str = include_str!("history.sql");

/// What became of an occurrence, and the label `result` of `pgboss_schedule_fires_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Its job was sent within two minutes.
    Fired,
    /// Its job was sent, and later than that.
    Late,
    /// It had been missed, and its job was sent because the schedule catches up.
    CaughtUp,
    /// It was missed, and nothing is done about it.
    Skipped,
    /// It was due, and the queue's policy or a throttle kept the job out.
    Refused,
    /// It was due, and its job could not be sent.
    Failed,
}

impl Fate {
    /// Every fate.
    pub const ALL: [Fate; 6] = [
        Fate::Fired,
        Fate::Late,
        Fate::CaughtUp,
        Fate::Skipped,
        Fate::Refused,
        Fate::Failed,
    ];

    /// The value of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Fate::Fired => "fired",
            Fate::Late => "late",
            Fate::CaughtUp => "caught_up",
            Fate::Skipped => "skipped",
            Fate::Refused => "refused",
            Fate::Failed => "failed",
        }
    }
}

/// A line to be written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub name: String,
    pub key: String,
    pub occurrence: Timestamp,
    pub fate: Fate,
    pub job: Option<Uuid>,
}

/// A line that was written.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Occurrence {
    /// The queue.
    pub name: String,
    /// The schedule's key.
    pub key: String,
    /// When it was due; its minute where a Node instance found it.
    pub occurrence: DateTime<Utc>,
    /// What became of it: a [`Fate`].
    pub result: String,
    /// The job that was sent.
    #[serde(rename = "jobId")]
    pub job_id: Option<Uuid>,
    /// When that was known.
    #[serde(rename = "settledOn")]
    pub settled_on: DateTime<Utc>,
}

/// How many missed runs of which schedule of that pg-boss schema are caught up, by name and key.
///
/// # Errors
/// Whatever the database says; where nothing is remembered yet there are none.
pub async fn catch_ups(
    home: &Home,
    executor: &impl Executor,
    schema: &str,
) -> Result<HashMap<(String, String), u32>, Error> {
    if !home.has(executor, &PART).await? {
        return Ok(HashMap::new());
    }
    let sql = home.render("SELECT name, key, runs FROM {home}.schedule_catch_up WHERE schema = $1");
    let rows = executor.query(&sql, &[(&schema, Type::TEXT)]).await?;
    let caught = rows.iter().map(|row| {
        let runs: i32 = row.get("runs");
        ((row.get("name"), row.get("key")), u32::try_from(runs).unwrap_or(0))
    });
    Ok(caught.collect())
}

/// Has at most `runs` missed runs of a schedule caught up by our passes, the latest; 0 is none, as at first.
///
/// # Errors
/// Whatever the database says, the lack of a privilege above all where our own schema is not there yet.
pub async fn set_catch_up(
    home: &Home,
    client: &mut Client,
    schema: &str,
    name: &str,
    key: &str,
    runs: u32,
) -> Result<(), Error> {
    if runs == 0 && !home.has(client, &PART).await? {
        return Ok(());
    }
    home.ensure(client, &PART).await?;
    let runs = i32::try_from(runs).unwrap_or(i32::MAX);
    let sql = if runs == 0 {
        "DELETE FROM {home}.schedule_catch_up WHERE schema = $1 AND name = $2 AND key = $3 AND $4::int = 0"
    } else {
        "INSERT INTO {home}.schedule_catch_up (schema, name, key, runs) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (schema, name, key) DO UPDATE SET runs = excluded.runs"
    };
    let params = [
        (&schema as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT),
        (&name, Type::TEXT),
        (&key, Type::TEXT),
        (&runs, Type::INT4),
    ];
    client.query(&home.render(sql), &params).await?;
    Ok(())
}

/// The latest occurrences that are remembered, the newest first.
///
/// # Errors
/// Whatever the database says; where nothing is remembered yet there are none.
pub async fn history(
    home: &Home,
    executor: &impl Executor,
    schema: &str,
    queue: Option<&str>,
    limit: u32,
) -> Result<Vec<Occurrence>, Error> {
    if !home.has(executor, &PART).await? {
        return Ok(Vec::new());
    }
    let limit = i64::from(limit);
    let params = [
        (&schema as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT),
        (&queue, Type::TEXT),
        (&limit, Type::INT8),
    ];
    let rows = executor.query(&home.render(HISTORY), &params).await?;
    let occurrences = rows.iter().map(|row| Occurrence {
        name: row.get("name"),
        key: row.get("key"),
        occurrence: row.get("occurrence"),
        result: row.get("result"),
        job_id: row.get("job_id"),
        settled_on: row.get("settled_on"),
    });
    Ok(occurrences.collect())
}

/// Writes lines.
pub(super) async fn note(home: &Home, client: &mut Client, schema: &str, entries: &[Entry]) -> Result<(), Error> {
    if entries.is_empty() {
        return Ok(());
    }
    home.ensure(client, &PART).await?;
    let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let keys: Vec<_> = entries.iter().map(|entry| entry.key.as_str()).collect();
    let at: Vec<_> = entries
        .iter()
        .map(|entry| entry.occurrence.as_second() as f64)
        .collect();
    let results: Vec<_> = entries.iter().map(|entry| entry.fate.as_str()).collect();
    let jobs: Vec<_> = entries.iter().map(|entry| entry.job).collect();
    let params = [
        (&schema as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT),
        (&names, Type::TEXT_ARRAY),
        (&keys, Type::TEXT_ARRAY),
        (&at, Type::FLOAT8_ARRAY),
        (&results, Type::TEXT_ARRAY),
        (&jobs, Type::UUID_ARRAY),
    ];
    client.query(&home.render(NOTE), &params).await?;
    Ok(())
}

/// Deletes lines that are older.
pub(super) async fn forget(
    home: &Home,
    executor: &impl Executor,
    schema: &str,
    retention: Duration,
) -> Result<(), Error> {
    if !home.has(executor, &PART).await? {
        return Ok(());
    }
    let seconds = retention.as_secs_f64();
    let sql = home
        .render("DELETE FROM {home}.schedule_occurrence WHERE schema = $1 AND settled_on < now() - $2 * interval '1s'");
    executor
        .query(&sql, &[(&schema, Type::TEXT), (&seconds, Type::FLOAT8)])
        .await?;
    Ok(())
}
