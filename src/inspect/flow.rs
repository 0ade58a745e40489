//! Which jobs wait for which.

use serde::Serialize;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::record::checked;
use crate::dialect::{Capability, Dialect, Template};
use crate::postgres::{Error, Executor};
use crate::queue::QueueName;
use crate::refusal::Refusal;

/// The statement behind [`dependencies`] and [`dependents`].
pub(super) const RELATIVES: Template = Template(include_str!("relatives.sql"));

/// A job by the queue it is in and its id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct JobRef {
    /// The queue.
    pub name: String,
    /// The id.
    pub id: Uuid,
}

/// One page of a list.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// At most so many, from 1 to 100,000; 1000 by default.
    pub limit: Option<u32>,
    /// Those after this one, the last of the page before.
    pub after: Option<JobRef>,
}

/// The jobs that the job waits for, or waited for, by queue and id.
///
/// # Errors
/// A schema without flows, a limit out of range, or the database's refusal.
pub async fn dependencies(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    id: Uuid,
    page: &Page,
) -> Result<Vec<JobRef>, Refusal> {
    relatives(executor, dialect, ("getDependencies", "parents"), queue, id, page).await
}

/// The jobs that wait, or waited, for the job, by queue and id.
///
/// # Errors
/// As [`dependencies`].
pub async fn dependents(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    id: Uuid,
    page: &Page,
) -> Result<Vec<JobRef>, Refusal> {
    relatives(executor, dialect, ("getDependents", "children"), queue, id, page).await
}

async fn relatives(
    executor: &impl Executor,
    dialect: &Dialect,
    (method, flag): (&'static str, &'static str),
    queue: &QueueName,
    id: Uuid,
    page: &Page,
) -> Result<Vec<JobRef>, Refusal> {
    Refusal::unless(dialect, method, Capability::Flows)?;
    let limit = i64::from(checked(method, page.limit)?);
    let (name, last) = match &page.after {
        Some(after) => (Some(after.name.as_str()), Some(after.id)),
        None => (None, None),
    };
    let rows = executor
        .query(
            &RELATIVES.render_with(dialect, "job", &[flag]),
            &[
                (&queue.as_str(), Type::TEXT),
                (&id, Type::UUID),
                (&name, Type::TEXT),
                (&last, Type::UUID),
                (&limit, Type::INT8),
            ],
        )
        .await?;
    let read = |row: &tokio_postgres::Row| {
        Ok(JobRef {
            name: row.try_get("name")?,
            id: row.try_get("id")?,
        })
    };
    Ok(rows.iter().map(read).collect::<Result<Vec<_>, Error>>()?)
}
