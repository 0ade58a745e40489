//! Queues that are paused: no strawboss worker claims their jobs. Kept in our own schema, so Node goes on.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::types::Type;

use crate::home::{Home, Part};
use crate::inspect::iso;
use crate::postgres::{Client, Error, Executor, Moment};
use crate::queue::QueueName;

/// What the home remembers of pauses.
pub const PAUSE: Part = Part {
    name: "pause",
    steps: &[include_str!("pause.sql")],
};

/// Whether the table can be read.
pub(super) const READABLE: &str = include_str!("pause_readable.sql");

/// A paused queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Paused {
    /// The queue.
    pub queue: String,
    /// Since when.
    #[serde(serialize_with = "iso::millis")]
    pub since: DateTime<Utc>,
    /// Why, if that was said.
    pub reason: Option<String>,
}

/// Pauses a queue of the schema, whether or not it is there; every strawboss worker stops claiming its jobs within a poll
/// interval, and what runs is finished. Whether it was not paused before.
///
/// # Errors
/// Whatever the database says, the lack of a privilege on the home above all.
pub async fn pause(
    client: &mut Client,
    home: &Home,
    schema: &str,
    queue: &QueueName,
    reason: Option<&str>,
) -> Result<bool, Error> {
    home.ensure(client, &PAUSE).await?;
    let sql = home.render(
        "INSERT INTO {home}.pause (schema, queue, reason) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING 1",
    );
    let params = [
        (&schema as _, Type::TEXT),
        (&queue.as_str() as _, Type::TEXT),
        (&reason as _, Type::TEXT),
    ];
    Ok(!Executor::query(client, &sql, &params).await?.is_empty())
}

/// Ends the pause of a queue; whether it was paused.
///
/// # Errors
/// Whatever the database says.
pub async fn unpause(client: &Client, home: &Home, schema: &str, queue: &QueueName) -> Result<bool, Error> {
    if !home.has(client, &PAUSE).await? {
        return Ok(false);
    }
    let sql = home.render("DELETE FROM {home}.pause WHERE schema = $1 AND queue = $2 RETURNING 1");
    let params = [(&schema as _, Type::TEXT), (&queue.as_str() as _, Type::TEXT)];
    Ok(!Executor::query(client, &sql, &params).await?.is_empty())
}

/// The paused queues of the schema, by name; none where the home knows of no pauses, or may not be read.
///
/// # Errors
/// Whatever the database says.
pub async fn paused(executor: &impl Executor, home: &Home, schema: &str) -> Result<Vec<Paused>, Error> {
    if !readable(executor, home).await? {
        return Ok(Vec::new());
    }
    let sql = home.render("SELECT queue, since, reason FROM {home}.pause WHERE schema = $1 ORDER BY queue");
    let rows = executor.query(&sql, &[(&schema, Type::TEXT)]).await?;
    rows.iter()
        .map(|row| {
            Ok(Paused {
                queue: row.try_get("queue")?,
                since: row.try_get::<_, Moment>("since")?.0,
                reason: row.try_get("reason")?,
            })
        })
        .collect()
}

/// Whether the table is there and may be read.
async fn readable(executor: &impl Executor, home: &Home) -> Result<bool, Error> {
    let rows = executor.query(READABLE, &[(&home.name(), Type::TEXT)]).await?;
    rows.first().map_or(Ok(false), |row| Ok(row.try_get("readable")?))
}

/// The pauses of the schema `$1` in the home `$2` as a number, which is another one when they change; and the text that
/// asks for them. To be part of another statement, which so needs no round trip of its own.
pub(super) async fn mark(executor: &impl Executor, home: &Home, schema: &str) -> Result<(String, f64), Error> {
    // Where there is no table, it is looked whether there is one by now.
    let sql = if readable(executor, home).await? {
        home.render(
            "SELECT hashtextextended(string_agg(p.queue, ',' ORDER BY p.queue), 0)::float8 AS mark \
             FROM {home}.pause p WHERE p.schema = $1 AND $2::text IS NOT NULL",
        )
    } else {
        let here = READABLE
            .lines()
            .filter(|line| !line.starts_with("--"))
            .collect::<Vec<_>>();
        format!(
            "SELECT r.readable::int::float8 AS mark FROM ({}) r WHERE $1::text IS NOT NULL",
            here.join("\n").replace("$1", "$2")
        )
    };
    let params = [(&schema as _, Type::TEXT), (&home.name() as _, Type::TEXT)];
    let rows = executor.query(&sql, &params).await?;
    let mark = match rows.first() {
        Some(row) => row.try_get::<_, Option<f64>>("mark")?.unwrap_or_default(),
        None => 0.0,
    };
    Ok((sql, mark))
}
