//! What is installed, at a glance.

use serde::Serialize;
use tokio_postgres::types::Type;

use super::install::{Found, find, version};
use super::{Error, check_name};
use crate::dialect::{Capability, Dialect, Support, quoted, releases};
use crate::postgres::Executor;

/// What a schema is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The schema's name, unquoted.
    pub schema: String,
    /// What is installed in it; `None` where nothing is.
    #[serde(flatten)]
    pub install: Option<Install>,
    /// An install whose name differs from `schema` only in case: most likely the one that was meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case_variant: Option<String>,
}

/// An install of pg-boss.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Install {
    /// The schema's version.
    pub version: i32,
    /// The pg-boss releases whose own version that is; `None` for versions newer than this build.
    pub releases: Option<&'static str>,
    /// How well this build knows the version.
    pub support: Support,
    /// The names of what the schema can do, by its catalog.
    pub capabilities: Vec<&'static str>,
    /// How many tables there are, partitions counted.
    pub tables: i64,
    /// How many tables hold jobs: the shared one and those of single queues.
    pub job_tables: i64,
    /// How many queues there are.
    pub queues: i64,
    /// Index builds that a migration has left to an instance of Node's pg-boss.
    pub builds: Builds,
    /// Indexes that are there but not used, because their build was cut short.
    pub invalid_indexes: Vec<String>,
}

/// Index builds (rows of `bam`) by their state; all zero where the schema has no such table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Builds {
    /// Not begun.
    pub pending: i64,
    /// Begun by some instance.
    pub in_progress: i64,
    /// Given up after an error.
    pub failed: i64,
}

/// Looks at schema `schema` (unquoted).
///
/// # Errors
/// A name no schema can have, a table `version` without a row, and what the database says.
pub async fn status(executor: &impl Executor, schema: &str) -> Result<Status, Error> {
    check_name(schema).map_err(Error::Name)?;
    let mut status = Status {
        schema: schema.to_owned(),
        install: None,
        case_variant: None,
    };
    match find(executor, schema).await? {
        Found::Install { role } => {
            let version = version(executor, schema, role).await?;
            status.install = Some(look(executor, schema, version).await?);
        }
        Found::CaseVariant(other) => status.case_variant = Some(other),
        Found::EmptySchema | Found::Nothing => {}
    }
    Ok(status)
}

async fn look(executor: &impl Executor, schema: &str, version: i32) -> Result<Install, Error> {
    let dialect = Dialect::read(executor, schema).await?;
    let rows = executor
        .query(include_str!("status.sql"), &[(&schema, Type::TEXT)])
        .await?;
    let row = rows.first().ok_or_else(|| Error::NotInstalled {
        schema: schema.to_owned(),
    })?;
    let sql = format!("SELECT count(*) FROM {}", dialect.qualified("queue"));
    let queues = executor.query(&sql, &[]).await?.first().map_or(0, |row| row.get(0));
    let mut builds = Builds::default();
    if dialect.catalog().has_table("bam") {
        let sql = include_str!("bam.sql").replace("{schema}", &quoted(schema));
        for row in executor.query(&sql, &[]).await? {
            match row.get("status") {
                "failed" => builds.failed += 1,
                "in_progress" => builds.in_progress += 1,
                _ => builds.pending += 1,
            }
        }
    }
    Ok(Install {
        version,
        releases: releases(version),
        support: Support::of(version),
        capabilities: Capability::ALL
            .into_iter()
            .filter(|capability| dialect.has(*capability))
            .map(Capability::as_str)
            .collect(),
        tables: row.get("tables"),
        job_tables: row.get("job_tables"),
        queues,
        builds,
        invalid_indexes: row.get("invalid_indexes"),
    })
}
