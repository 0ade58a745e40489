//! A queue as pg-boss's own reads give it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::iso;
use super::record::{checked, moment};
use crate::dialect::{Capability, Dialect, Template};
use crate::postgres::{Error, Executor, Moment};
use crate::queue::QueueName;
use crate::refusal::Refusal;

/// The statement behind [`queue_records`].
pub(super) const QUEUE_RECORDS: Template = Template(include_str!("queue_records.sql"));
/// The statement behind [`blocked_keys`].
pub(super) const BLOCKED_KEYS: Template = Template(include_str!("blocked_keys.sql"));

/// A queue with the counts that pg-boss's monitor keeps; it serialises to the JSON of pg-boss's own `QueueResult`, in which
/// what is absent is `null`. Seconds are seconds. The counts are as old as the monitor's last pass;
/// [`queues`](super::queues()) counts.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueRecord {
    /// Its name.
    pub name: String,
    /// Its policy, as text: a schema to come may have others.
    pub policy: Option<String>,
    /// How many times a job is run again; `None` leaves it to the instance (schema 24), as in the five that follow.
    pub retry_limit: Option<i32>,
    /// How long a failed attempt waits for the next.
    pub retry_delay: Option<i32>,
    /// Whether that wait doubles.
    pub retry_backoff: Option<bool>,
    /// The longest such wait.
    pub retry_delay_max: Option<i32>,
    /// How long one attempt may take.
    pub expire_in_seconds: Option<i32>,
    /// How long a job may wait before it is deleted unrun.
    pub retention_seconds: Option<i32>,
    /// How long a finished job is kept; 0 for ever.
    pub delete_after_seconds: Option<i32>,
    /// It has a table of its own.
    pub partition: bool,
    /// The lease of its jobs (schema 30 and later).
    pub heartbeat_seconds: Option<i32>,
    /// Inserts wake listening workers (schema 32 and later).
    pub notify: bool,
    /// Where jobs go that failed for good.
    pub dead_letter: Option<String>,
    /// Jobs queued for a time to come.
    pub deferred_count: i32,
    /// From how many queued jobs on pg-boss warns of a backlog.
    pub warning_queue_size: Option<i32>,
    /// Jobs not claimed yet, or waiting for a retry.
    pub queued_count: i32,
    /// Those of them that are due (schema 32 and later).
    pub ready_count: Option<i32>,
    /// Claimed jobs.
    pub active_count: i32,
    /// Failed jobs that are kept (schema 32 and later).
    pub failed_count: Option<i32>,
    /// All jobs that are kept.
    pub total_count: i32,
    /// The keys of active jobs under `singleton` and `stately`.
    pub singletons_active: Option<Vec<String>>,
    /// The physical job table.
    pub table: String,
    /// When it was created.
    #[serde(serialize_with = "iso::millis")]
    pub created_on: DateTime<Utc>,
    /// When it was changed last.
    #[serde(serialize_with = "iso::millis")]
    pub updated_on: DateTime<Utc>,
    /// Queued jobs behind parents; `None` where the schema is older than 44, as are the three that follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_count: Option<i32>,
    /// Waits of the jobs finished in the last counted window, as pg-boss's 48 bins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_bins: Option<Option<Vec<i32>>>,
    /// Their runs, in the same bins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_bins: Option<Option<Vec<i32>>>,
    /// How long the oldest due job had waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_oldest_seconds: Option<Option<i32>>,
    /// Jobs created in the last counted window; `None` where the schema is older than 43, as are the four that follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_delta: Option<i32>,
    /// Jobs completed in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_delta: Option<i32>,
    /// Jobs failed for good in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_delta: Option<i32>,
    /// How many seconds it had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta_seconds: Option<Option<i32>>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "iso::known")]
    pub delta_on: Option<Option<DateTime<Utc>>>,
}

/// The queues named, or all of them, by name; names that are not there are passed over.
///
/// # Errors
/// A limit out of range, or the database's refusal.
pub async fn queue_records(
    executor: &impl Executor,
    dialect: &Dialect,
    names: Option<&[QueueName]>,
) -> Result<Vec<QueueRecord>, Refusal> {
    let names: Option<Vec<&str>> = names.map(|names| names.iter().map(QueueName::as_str).collect());
    let rows = executor
        .query(&QUEUE_RECORDS.render(dialect, "job"), &[(&names, Type::TEXT_ARRAY)])
        .await?;
    Ok(rows
        .iter()
        .map(|row| read(dialect, row))
        .collect::<Result<Vec<_>, Error>>()?)
}

fn read(dialect: &Dialect, row: &Row) -> Result<QueueRecord, Error> {
    let counted = dialect.has(Capability::SourceOutput);
    let measured = dialect.has(Capability::TraceContext);
    Ok(QueueRecord {
        name: row.try_get("name")?,
        policy: row.try_get("policy")?,
        retry_limit: row.try_get("retry_limit")?,
        retry_delay: row.try_get("retry_delay")?,
        retry_backoff: row.try_get("retry_backoff")?,
        retry_delay_max: row.try_get("retry_delay_max")?,
        expire_in_seconds: row.try_get("expire_seconds")?,
        retention_seconds: row.try_get("retention_seconds")?,
        delete_after_seconds: row.try_get("deletion_seconds")?,
        partition: row.try_get("partition")?,
        heartbeat_seconds: row.try_get("heartbeat_seconds")?,
        notify: row.try_get("notify")?,
        dead_letter: row.try_get("dead_letter")?,
        deferred_count: row.try_get("deferred_count")?,
        warning_queue_size: row.try_get("warning_queued")?,
        queued_count: row.try_get("queued_count")?,
        ready_count: row.try_get("ready_count")?,
        active_count: row.try_get("active_count")?,
        failed_count: row.try_get("failed_count")?,
        total_count: row.try_get("total_count")?,
        singletons_active: row.try_get("singletons_active")?,
        table: row.try_get("table_name")?,
        created_on: row.try_get::<_, Moment>("created_on")?.0,
        updated_on: row.try_get::<_, Moment>("updated_on")?.0,
        blocked_count: if measured { row.try_get("blocked_count")? } else { None },
        wait_bins: if measured { Some(bins(row, "wait_bins")?) } else { None },
        run_bins: if measured { Some(bins(row, "run_bins")?) } else { None },
        ready_oldest_seconds: if measured {
            Some(row.try_get("ready_oldest_seconds")?)
        } else {
            None
        },
        created_delta: if counted { row.try_get("created_delta")? } else { None },
        completed_delta: if counted { row.try_get("completed_delta")? } else { None },
        failed_delta: if counted { row.try_get("failed_delta")? } else { None },
        delta_seconds: if counted {
            Some(row.try_get("delta_seconds")?)
        } else {
            None
        },
        delta_on: if counted { Some(moment(row, "delta_on")?) } else { None },
    })
}

/// A histogram; its empty slots are stored as NULL and told as 0.
pub(super) fn bins(row: &Row, column: &str) -> Result<Option<Vec<i32>>, Error> {
    let bins: Option<Vec<Option<i32>>> = row.try_get(column)?;
    Ok(bins.map(|bins| bins.into_iter().map(Option::unwrap_or_default).collect()))
}

/// The keys that a failed job blocks, in a queue of the policy `key_strict_fifo`, sorted.
///
/// # Errors
/// An unknown queue, one of another policy, a limit out of range, or the database's refusal.
pub async fn blocked_keys(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    limit: Option<u32>,
    after: Option<&str>,
) -> Result<Vec<String>, Refusal> {
    Refusal::unless(dialect, "getBlockedKeys", Capability::StrictFifo)?;
    let limit = checked("getBlockedKeys", limit)?;
    let rows = executor
        .query(
            &BLOCKED_KEYS.render(dialect, "job"),
            &[
                (&queue.as_str(), Type::TEXT),
                (&after, Type::TEXT),
                (&i64::from(limit), Type::INT8),
            ],
        )
        .await?;
    let Some(first) = rows.first() else {
        return Err(Refusal::UnknownQueue(queue.clone()));
    };
    if !first.try_get::<_, bool>("strict").map_err(Error::from)? {
        return Err(Refusal::Invalid(
            "getBlockedKeys is only available for key_strict_fifo queues".to_owned(),
        ));
    }
    let mut keys = Vec::with_capacity(rows.len());
    for row in &rows {
        keys.extend(row.try_get::<_, Option<String>>("singleton_key").map_err(Error::from)?);
    }
    Ok(keys)
}
