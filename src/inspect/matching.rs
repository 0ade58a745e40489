//! Which jobs a filter means: how many, and their ids.

use serde_json::value::RawValue;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::JobFilter;
use crate::dialect::{Dialect, Template};
use crate::postgres::{Error, Executor, Param};

/// The statement behind [`count_jobs`] and [`job_ids`].
pub(super) const MATCHING: Template = Template(include_str!("matching.sql"));

/// How many jobs of the queue match; those in the archive of schema 24 are left out.
///
/// # Errors
/// What the database says.
pub async fn count_jobs(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &str,
    filter: &JobFilter,
) -> Result<u64, Error> {
    let rows = asked(executor, dialect, "count", queue, filter, 0).await?;
    let count: i64 = rows.first().map_or(Ok(0), |row| row.try_get("count"))?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// The ids of jobs of the queue that match, at most `limit`, in no order.
///
/// # Errors
/// What the database says.
pub async fn job_ids(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &str,
    filter: &JobFilter,
    limit: u32,
) -> Result<Vec<Uuid>, Error> {
    let rows = asked(executor, dialect, "ids", queue, filter, limit).await?;
    rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
}

async fn asked(
    executor: &impl Executor,
    dialect: &Dialect,
    flag: &'static str,
    queue: &str,
    filter: &JobFilter,
    limit: u32,
) -> Result<Vec<tokio_postgres::Row>, Error> {
    let states: Vec<_> = filter.states.iter().map(|state| state.as_str()).collect();
    let states = (!states.is_empty()).then_some(states);
    let ids = (!filter.ids.is_empty()).then_some(filter.ids.as_slice());
    let data = filter.data.as_deref().map(RawValue::get);
    let limit = i64::from(limit);
    let params: [Param<'_>; 6] = [
        (&queue, Type::TEXT),
        (&states, Type::TEXT_ARRAY),
        (&ids, Type::UUID_ARRAY),
        (&filter.singleton_key, Type::TEXT),
        (&data, Type::TEXT),
        (&limit, Type::INT8),
    ];
    executor
        .query(&MATCHING.render_with(dialect, "job", &[flag]), &params)
        .await
}
