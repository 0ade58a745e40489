//! A job as pg-boss's own reads give it.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, Type};
use uuid::Uuid;

use super::iso;
use crate::dialect::{Capability, Dialect, Template};
use crate::job::RawJson;
use crate::postgres::{Error, Executor, Moment};
use crate::queue::QueueName;
use crate::refusal::Refusal;

/// The statement behind [`find_jobs`] and [`job_by_id`].
pub(super) const FIND: Template = Template(include_str!("find.sql"));

/// How many rows a list has unless it is told otherwise.
pub(crate) const LIMIT: u32 = 1_000;
/// The most rows a list may be asked for.
pub(crate) const MOST: u32 = 100_000;

/// A job with all that pg-boss tells of one; it serialises to the JSON of pg-boss's own `JobWithMetadata`, in which what is
/// absent is `null`. Seconds are seconds.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobRecord {
    /// Its id.
    pub id: Uuid,
    /// The queue it is in.
    pub name: String,
    /// The payload.
    pub data: Option<RawJson>,
    /// How long one attempt may take.
    #[serde(serialize_with = "number")]
    pub expire_in_seconds: f64,
    /// The lease its worker has to renew (schema 30 and later).
    pub heartbeat_seconds: Option<i32>,
    /// The group it counts against (schema 27 and later).
    pub group_id: Option<String>,
    /// The tier that selects the group's limit.
    pub group_tier: Option<String>,
    /// The queue's policy when it was sent.
    pub policy: Option<String>,
    /// Its state, as text: a schema to come may have others.
    pub state: String,
    /// Higher runs first.
    pub priority: i32,
    /// Retries in all.
    pub retry_limit: i32,
    /// Retries so far; with the id it names an attempt.
    pub retry_count: i32,
    /// How long a failed attempt waits for the next.
    pub retry_delay: i32,
    /// Whether that wait doubles.
    pub retry_backoff: bool,
    /// The longest such wait.
    pub retry_delay_max: Option<i32>,
    /// From when on it may run.
    #[serde(serialize_with = "iso::millis")]
    pub start_after: DateTime<Utc>,
    /// When its last attempt was claimed.
    #[serde(serialize_with = "iso::maybe")]
    pub started_on: Option<DateTime<Utc>>,
    /// The singleton key.
    pub singleton_key: Option<String>,
    /// The throttle slot it takes.
    #[serde(serialize_with = "iso::maybe")]
    pub singleton_on: Option<DateTime<Utc>>,
    /// How long it is kept once finished; 0 for ever.
    pub delete_after_seconds: Option<i32>,
    /// When its lease was renewed last.
    #[serde(serialize_with = "iso::maybe")]
    pub heartbeat_on: Option<DateTime<Utc>>,
    /// When it was sent.
    #[serde(serialize_with = "iso::millis")]
    pub created_on: DateTime<Utc>,
    /// When it was done, cancelled or failed for good.
    #[serde(serialize_with = "iso::maybe")]
    pub completed_on: Option<DateTime<Utc>>,
    /// Until when it may wait.
    #[serde(serialize_with = "iso::millis")]
    pub keep_until: DateTime<Utc>,
    /// Where a copy goes when it fails for good.
    pub dead_letter: Option<String>,
    /// It waits for parents (schema 31 and later).
    pub blocked: Option<bool>,
    /// Children wait for it.
    pub blocking: Option<bool>,
    /// For how many parents it waits.
    pub pending_dependencies: Option<i32>,
    /// What its last attempt left.
    pub output: Option<RawJson>,
    /// Of a dead letter: the queue the job failed in (schema 34 and later).
    pub source_name: Option<String>,
    /// Of a dead letter: the id of that job.
    pub source_id: Option<Uuid>,
    /// Of a dead letter: when that job was sent.
    #[serde(serialize_with = "iso::maybe")]
    pub source_created_on: Option<DateTime<Utc>>,
    /// Of a dead letter: the retries it had.
    pub source_retry_count: Option<i32>,
    /// Of a dead letter: what the failed job left; the outer `None` where the schema is older than 43.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_output: Option<Option<RawJson>>,
    /// The first job of a chain of dead letters and redrives; the outer `None` where the schema is older than 43.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_root_id: Option<Option<Uuid>>,
}

/// Which jobs of a queue to find; nothing set finds the oldest.
#[derive(Debug, Clone, Default)]
pub struct FindJobs {
    /// Only the job with this id.
    pub id: Option<Uuid>,
    /// Only jobs with this singleton key.
    pub key: Option<String>,
    /// Only jobs whose data contains this JSON, as `@>` has it.
    pub data: Option<RawJson>,
    /// Only jobs that were not claimed yet or wait for a retry.
    pub queued: bool,
    /// At most so many, from 1 to 100,000; 1000 by default.
    pub limit: Option<u32>,
    /// Only jobs after this one, the last of the page before.
    pub after: Option<Uuid>,
}

/// The jobs of a queue, oldest first.
///
/// # Errors
/// An unknown queue, a limit out of range, an `after` that is not there any more, or the database's refusal.
pub async fn find_jobs(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    wanted: &FindJobs,
) -> Result<Vec<JobRecord>, Refusal> {
    let limit = checked("findJobs", wanted.limit)?;
    let mut flags = Vec::new();
    let given = [
        (wanted.id.is_some(), "id"),
        (wanted.key.is_some(), "key"),
        (wanted.data.is_some(), "data"),
        (wanted.queued, "queued"),
        (wanted.after.is_some(), "after"),
    ];
    flags.extend(given.into_iter().filter(|(given, _)| *given).map(|(_, flag)| flag));
    let sql = FIND.render_with(dialect, "job", &flags);
    let ids: Vec<Uuid> = wanted.id.into_iter().collect();
    let data = wanted.data.as_deref().map(RawValue::get);
    let rows = executor
        .query(
            &sql,
            &[
                (&queue.as_str(), Type::TEXT),
                (&ids, Type::UUID_ARRAY),
                (&wanted.key, Type::TEXT),
                (&data, Type::TEXT),
                (&wanted.after, Type::UUID),
                (&i64::from(limit), Type::INT8),
            ],
        )
        .await
        .map_err(Refusal::from)?;
    let Some(first) = rows.first() else {
        return Err(Refusal::UnknownQueue(queue.clone()));
    };
    if wanted.after.is_some() && !first.try_get::<_, bool>("anchored").map_err(Error::from)? {
        return Err(Refusal::Invalid(
            "findJobs: after names a row that no longer exists".to_owned(),
        ));
    }
    Ok(records(dialect, &rows)?)
}

/// One job, if it is there.
///
/// # Errors
/// As [`find_jobs`].
pub async fn job_by_id(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    id: Uuid,
) -> Result<Option<JobRecord>, Refusal> {
    Ok(jobs_by_id(executor, dialect, queue, &[id]).await?.pop())
}

/// As [`job_by_id`]; on schema 24, where finished jobs move to the archive, one that is there, too. It is pg-boss 10's
/// `getJobById` with `includeArchive`.
///
/// # Errors
/// As [`find_jobs`].
pub async fn job_by_id_or_archived(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    id: Uuid,
) -> Result<Option<JobRecord>, Refusal> {
    let found = job_by_id(executor, dialect, queue, id).await?;
    if found.is_some() || !dialect.catalog().has_table("archive") {
        return Ok(found);
    }
    Ok(by_id(executor, dialect, "archive", queue, &[id]).await?.pop())
}

/// Those of the jobs that are there, oldest first.
///
/// # Errors
/// As [`find_jobs`].
pub(crate) async fn jobs_by_id(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    ids: &[Uuid],
) -> Result<Vec<JobRecord>, Refusal> {
    by_id(executor, dialect, "job", queue, ids).await
}

async fn by_id(
    executor: &impl Executor,
    dialect: &Dialect,
    table: &str,
    queue: &QueueName,
    ids: &[Uuid],
) -> Result<Vec<JobRecord>, Refusal> {
    let rows = executor
        .query(
            &FIND.render_with(dialect, table, &["id"]),
            &[
                (&queue.as_str(), Type::TEXT),
                (&ids, Type::UUID_ARRAY),
                (&None::<&str>, Type::TEXT),
                (&None::<&str>, Type::TEXT),
                (&None::<Uuid>, Type::UUID),
                (&i64::MAX, Type::INT8),
            ],
        )
        .await?;
    if rows.is_empty() {
        return Err(Refusal::UnknownQueue(queue.clone()));
    }
    Ok(records(dialect, &rows)?)
}

/// The limit of a list.
pub(crate) fn checked(method: &str, limit: Option<u32>) -> Result<u32, Refusal> {
    let limit = limit.unwrap_or(LIMIT);
    if (1..=MOST).contains(&limit) {
        return Ok(limit);
    }
    Err(Refusal::Invalid(format!(
        "{method}: limit must be an integer between 1 and {MOST}"
    )))
}

/// The rows as records; the one row without a job says that there are none.
fn records(dialect: &Dialect, rows: &[Row]) -> Result<Vec<JobRecord>, Error> {
    let mut records = Vec::with_capacity(rows.len());
    for row in rows {
        if row.try_get::<_, Option<Uuid>>("id")?.is_some() {
            records.push(record(dialect, row)?);
        }
    }
    Ok(records)
}

fn record(dialect: &Dialect, row: &Row) -> Result<JobRecord, Error> {
    let sourced = dialect.has(Capability::SourceOutput);
    Ok(JobRecord {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        data: json(row, "data")?,
        expire_in_seconds: row.try_get("expire")?,
        heartbeat_seconds: row.try_get("heartbeat_seconds")?,
        group_id: row.try_get("group_id")?,
        group_tier: row.try_get("group_tier")?,
        policy: row.try_get("policy")?,
        state: row.try_get("state")?,
        priority: row.try_get("priority")?,
        retry_limit: row.try_get("retry_limit")?,
        retry_count: row.try_get("retry_count")?,
        retry_delay: row.try_get("retry_delay")?,
        retry_backoff: row.try_get("retry_backoff")?,
        retry_delay_max: row.try_get("retry_delay_max")?,
        start_after: row.try_get::<_, Moment>("start_after")?.0,
        started_on: moment(row, "started_on")?,
        singleton_key: row.try_get("singleton_key")?,
        singleton_on: row
            .try_get::<_, Option<NaiveDateTime>>("singleton_on")?
            .map(|slot| slot.and_utc()),
        delete_after_seconds: row.try_get("deletion_seconds")?,
        heartbeat_on: moment(row, "heartbeat_on")?,
        created_on: row.try_get::<_, Moment>("created_on")?.0,
        completed_on: moment(row, "completed_on")?,
        keep_until: row.try_get::<_, Moment>("keep_until")?.0,
        dead_letter: row.try_get("dead_letter")?,
        blocked: row.try_get("blocked")?,
        blocking: row.try_get("blocking")?,
        pending_dependencies: row.try_get("pending_dependencies")?,
        output: json(row, "output")?,
        source_name: row.try_get("source_name")?,
        source_id: row.try_get("source_id")?,
        source_created_on: moment(row, "source_created_on")?,
        source_retry_count: row.try_get("source_retry_count")?,
        source_output: if sourced {
            Some(json(row, "source_output")?)
        } else {
            None
        },
        source_root_id: if sourced {
            Some(row.try_get("source_root_id")?)
        } else {
            None
        },
    })
}

fn json(row: &Row, column: &str) -> Result<Option<RawJson>, Error> {
    let json: Option<Json<RawJson>> = row.try_get(column)?;
    Ok(json.map(|json| json.0))
}

pub(super) fn moment(row: &Row, column: &str) -> Result<Option<DateTime<Utc>>, Error> {
    let moment: Option<Moment> = row.try_get(column)?;
    Ok(moment.map(|moment| moment.0))
}

/// Whole numbers as JavaScript writes them, without a point.
fn number<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.fract() == 0.0 {
        serializer.serialize_i64(*value as i64)
    } else {
        serializer.serialize_f64(*value)
    }
}
