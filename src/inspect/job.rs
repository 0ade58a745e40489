//! Jobs, whole: every column the schema has, whether or not this build knows it.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::dialect::{Dialect, Template};
use crate::job::{RawJson, State};
use crate::postgres::{Error, Executor, Moment};

/// The statement behind [`jobs`].
pub(super) const JOBS: Template = Template(include_str!("jobs.sql"));

/// Which jobs of a queue to read; nothing set reads the newest of them.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Only jobs in one of these states; empty for all.
    pub states: Vec<State>,
    /// Only jobs with one of these ids; empty for all.
    pub ids: Vec<Uuid>,
    /// Only jobs with this singleton key.
    pub singleton_key: Option<String>,
    /// Only jobs whose data contains this JSON, as `@>` has it.
    pub data: Option<RawJson>,
}

/// A job's row.
#[derive(Debug, Clone)]
pub struct JobRow {
    /// Its id.
    pub id: Uuid,
    /// Its state, as text.
    pub state: String,
    /// Higher runs first.
    pub priority: i32,
    /// Retries so far.
    pub retry_count: i32,
    /// Retries in all.
    pub retry_limit: i32,
    /// The singleton key, if it was sent with one.
    pub singleton_key: Option<String>,
    /// When it was sent.
    pub created_on: DateTime<Utc>,
    /// From when on it may run.
    pub start_after: DateTime<Utc>,
    /// When its last attempt was claimed.
    pub started_on: Option<DateTime<Utc>>,
    /// When it was done, cancelled or failed for good.
    pub completed_on: Option<DateTime<Utc>>,
    /// Every column, in the table's order, as JSON text.
    pub row: RawJson,
}

/// Reads jobs of a queue, newest first, at most `limit`; those in the archive of schema 24 too.
///
/// # Errors
/// What the database says.
pub async fn jobs(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &str,
    filter: &JobFilter,
    limit: u32,
) -> Result<Vec<JobRow>, Error> {
    let sql = JOBS.render(dialect, "job");
    let states: Vec<_> = filter.states.iter().map(|state| state.as_str()).collect();
    let states = (!states.is_empty()).then_some(states);
    let ids = (!filter.ids.is_empty()).then_some(filter.ids.as_slice());
    let data = filter.data.as_deref().map(RawValue::get);
    let rows = executor
        .query(
            &sql,
            &[
                (&queue, Type::TEXT),
                (&states, Type::TEXT_ARRAY),
                (&ids, Type::UUID_ARRAY),
                (&filter.singleton_key, Type::TEXT),
                (&data, Type::TEXT),
                (&i64::from(limit), Type::INT8),
            ],
        )
        .await?;
    let read = |row: tokio_postgres::Row| {
        let time = |column| row.get::<_, Option<Moment>>(column).map(|moment| moment.0);
        JobRow {
            id: row.get("id"),
            state: row.get("state"),
            priority: row.get("priority"),
            retry_count: row.get("retry_count"),
            retry_limit: row.get("retry_limit"),
            singleton_key: row.get("singleton_key"),
            created_on: row.get::<_, Moment>("created_on").0,
            start_after: row.get::<_, Moment>("start_after").0,
            started_on: time("started_on"),
            completed_on: time("completed_on"),
            row: raw(row.get("everything")),
        }
    };
    Ok(rows.into_iter().map(read).collect())
}

/// Reads one job, if it is there.
///
/// # Errors
/// What the database says.
pub async fn one_job(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &str,
    id: Uuid,
) -> Result<Option<JobRow>, Error> {
    let filter = JobFilter {
        ids: vec![id],
        ..JobFilter::default()
    };
    Ok(jobs(executor, dialect, queue, &filter, 1).await?.pop())
}

/// JSON text from the database.
pub(super) fn raw(text: String) -> RawJson {
    RawValue::from_string(text).expect("row_to_json gives JSON")
}
