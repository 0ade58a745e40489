//! Who runs on the schema, in its own words.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::has_registry;
use crate::dialect::{Dialect, Template};
use crate::postgres::{Error, Executor};

const READ: Template = Template(include_str!("read.sql"));

/// A process that works on the schema, Node's or ours, as it last described itself; what pg-boss's `getInstances()` gives.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Instance {
    /// Made anew at each start.
    pub id: Uuid,
    /// What it calls itself; ours `worker.name`.
    pub name: Option<String>,
    /// The name of its host.
    pub host: String,
    /// Its process there.
    pub pid: i32,
    /// The release of pg-boss, or `strawboss` and ours.
    pub version: String,
    /// The version of Node, or `rust`.
    pub node_version: String,
    /// The name of its sessions in `pg_stat_activity`.
    pub application_name: Option<String>,
    /// Seconds between two beats.
    pub heartbeat_seconds: i32,
    /// Whether it supervises.
    pub supervise: bool,
    /// Whether it fires schedules.
    pub schedule: bool,
    /// Whether it migrates the schema; one of ours never does.
    pub migrate: bool,
    /// Whether it keeps the history of the queues' counts.
    pub persist_queue_stats: bool,
    /// Whether it keeps warnings.
    pub persist_warnings: bool,
    /// How many connections its pool may have.
    pub pool_max: Option<i32>,
    /// How many it has.
    pub pool_total: Option<i32>,
    /// How many of them are in nobody's hands.
    pub pool_idle: Option<i32>,
    /// How many callers wait for one.
    pub pool_waiting: Option<i32>,
    /// The queues it serves, a JSON array.
    pub workers: Box<RawValue>,
    /// Its process and its host, a JSON object.
    pub metrics: Option<Box<RawValue>>,
    /// Its configuration, a JSON object.
    pub config: Box<RawValue>,
    /// How many lives before this one ended without a word, in a row.
    pub crash_restarts: i32,
    /// When the first of them ended.
    pub crash_restarts_since: Option<DateTime<Utc>>,
    /// When it began.
    pub started_on: DateTime<Utc>,
    /// When it last said that it is there.
    pub heartbeat_on: DateTime<Utc>,
    /// When it ended in good order.
    pub stopped_on: Option<DateTime<Utc>>,
    /// It has not stopped and has missed fewer than three beats.
    pub live: bool,
}

/// The instances of the schema in the order in which they began, `limit` at most, after that one where one is named. None
/// before schema 44.
///
/// # Errors
/// Whatever the database says.
pub async fn instances(
    executor: &impl Executor,
    dialect: &Dialect,
    limit: i64,
    after: Option<Uuid>,
) -> Result<Vec<Instance>, Error> {
    if !has_registry(dialect) {
        return Ok(Vec::new());
    }
    let sql = READ.render(dialect, "job");
    let rows = executor
        .query(&sql, &[(&limit, Type::INT8), (&after, Type::UUID)])
        .await?;
    rows.iter().map(Instance::of).collect()
}

impl Instance {
    fn of(row: &Row) -> Result<Instance, Error> {
        // The database has checked that it is JSON.
        let raw = |text: String| RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned());
        let metrics: Option<String> = row.try_get("metrics")?;
        Ok(Instance {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            host: row.try_get("host")?,
            pid: row.try_get("pid")?,
            version: row.try_get("version")?,
            node_version: row.try_get("node_version")?,
            application_name: row.try_get("application_name")?,
            heartbeat_seconds: row.try_get("heartbeat_seconds")?,
            supervise: row.try_get("supervise")?,
            schedule: row.try_get("schedule")?,
            migrate: row.try_get("migrate")?,
            persist_queue_stats: row.try_get("persist_queue_stats")?,
            persist_warnings: row.try_get("persist_warnings")?,
            pool_max: row.try_get("pool_max")?,
            pool_total: row.try_get("pool_total")?,
            pool_idle: row.try_get("pool_idle")?,
            pool_waiting: row.try_get("pool_waiting")?,
            workers: raw(row.try_get("workers")?),
            metrics: metrics.map(raw),
            config: raw(row.try_get("config")?),
            crash_restarts: row.try_get("crash_restarts")?,
            crash_restarts_since: row.try_get("crash_restarts_since")?,
            started_on: row.try_get("started_on")?,
            heartbeat_on: row.try_get("heartbeat_on")?,
            stopped_on: row.try_get("stopped_on")?,
            live: row.try_get("live")?,
        })
    }
}
