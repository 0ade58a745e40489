//! Whether a pg-boss is there, of which version, and what it still has to build.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::types::Type;

use super::iso;
use crate::dialect::{Capability, Dialect, Template, quoted};
use crate::postgres::{Class, Error, Executor, Moment};
use crate::refusal::Refusal;

/// The statement behind [`bam_status`].
pub(super) const BAM_STATUS: Template = Template(include_str!("bam_status.sql"));

/// How many of pg-boss's asynchronous migrations are in one state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BamStatus {
    /// `pending`, `in_progress`, `completed` or `failed`.
    pub status: String,
    /// How many.
    pub count: i32,
    /// When the newest of them was queued.
    #[serde(serialize_with = "iso::millis")]
    pub last_created_on: DateTime<Utc>,
}

/// Whether the schema has pg-boss's table `version`.
///
/// # Errors
/// What the database says.
pub async fn is_installed(executor: &impl Executor, schema: &str) -> Result<bool, Error> {
    let rows = executor
        .query(
            "SELECT pg_catalog.to_regclass($1) IS NOT NULL",
            &[(&format!("{}.version", quoted(schema)), Type::TEXT)],
        )
        .await?;
    rows.first().map_or(Ok(false), |row| Ok(row.try_get(0)?))
}

/// The number in pg-boss's table `version`; `None` where there is no pg-boss.
///
/// # Errors
/// What the database says.
pub async fn schema_version(executor: &impl Executor, schema: &str) -> Result<Option<i32>, Error> {
    // Looked for first: a table that is missing would cost a surrounding transaction its life.
    if !is_installed(executor, schema).await? {
        return Ok(None);
    }
    match executor
        .query(&format!("SELECT version FROM {}.version", quoted(schema)), &[])
        .await
    {
        Ok(rows) => rows.first().map_or(Ok(None), |row| Ok(row.try_get(0)?)),
        Err(error) if error.class() == Class::Schema => Ok(None),
        Err(error) => Err(error),
    }
}

/// The asynchronous migrations by state.
///
/// # Errors
/// A schema that has none, or the database's refusal.
pub async fn bam_status(executor: &impl Executor, dialect: &Dialect) -> Result<Vec<BamStatus>, Refusal> {
    Refusal::unless(dialect, "getBamStatus", Capability::Groups)?;
    let rows = executor.query(&BAM_STATUS.render(dialect, "job"), &[]).await?;
    let read = |row: &tokio_postgres::Row| {
        Ok(BamStatus {
            status: row.try_get("status")?,
            count: row.try_get("count")?,
            last_created_on: row.try_get::<_, Moment>("last_created_on")?.0,
        })
    };
    Ok(rows.iter().map(read).collect::<Result<Vec<_>, Error>>()?)
}
