//! Jobs are deleted: by their ids, or by what they have come to.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Affected, Counts, Targets, ids_of, refused};
use crate::dialect::{Capability, Dialect, Template};
use crate::postgres::{self, Executor};
use crate::queue::{Queue, QueueName};
use crate::refusal::Refusal;

/// Deletes jobs of a queue, so many primary keys at a time.
pub(super) const DELETE: Template = Template(include_str!("delete.sql"));
/// Empties a queue's own table, or all of them.
pub(super) const EMPTY: Template = Template(include_str!("empty.sql"));

/// How many primary keys one statement covers.
const BATCH: i64 = 10_000;

/// Deletes jobs, whatever their state.
///
/// # Errors
/// An unknown queue, no job at all, or the database's refusal.
pub async fn delete_job(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    jobs: Targets,
    counts: Counts,
) -> Result<Affected, Refusal> {
    jobs.check("deleteJob")?;
    let [ids, attempts] = jobs.params();
    let rows = executor
        .query(
            &DELETE.render_with(dialect, "job", &counts.flags(&["id"])),
            &[
                (&queue.as_str(), Type::TEXT),
                ids,
                attempts,
                (&None::<Uuid>, Type::UUID),
                (&BATCH, Type::INT8),
            ],
        )
        .await
        .map_err(|error| refused("deleteJob", queue, error))?;
    if rows.is_empty() {
        return Err(Refusal::UnknownQueue(queue.clone()));
    }
    let done = ids_of(&rows)?;
    Ok(jobs.answer(&done, dialect.has(Capability::SourceOutput)))
}

/// Deletes the jobs of a queue that nobody has fetched yet, or that wait for a retry; how many those were.
///
/// Ten thousand keys go in one statement; outside of a transaction what was deleted before a failure stays deleted.
///
/// # Errors
/// An unknown queue, or the database's refusal.
pub async fn delete_queued_jobs(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    counts: Counts,
) -> Result<u64, Refusal> {
    walk(executor, dialect, queue, &counts.flags(&["queued"])).await
}

/// Deletes the jobs of a queue that are completed, cancelled or failed; how many those were. As [`delete_queued_jobs`].
///
/// # Errors
/// As [`delete_queued_jobs`].
pub async fn delete_stored_jobs(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    counts: Counts,
) -> Result<u64, Refusal> {
    walk(executor, dialect, queue, &counts.flags(&["stored"])).await
}

/// Deletes all jobs of a queue, running ones too, or without one those of all queues. A queue's own table, and the tables of
/// all queues, are truncated, which takes their exclusive locks; how many jobs there were is known only where they are not.
///
/// # Errors
/// As [`delete_queued_jobs`].
pub async fn delete_all_jobs(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: Option<&QueueName>,
    counts: Counts,
) -> Result<Option<u64>, Refusal> {
    let Some(name) = queue else {
        executor.query(&EMPTY.render(dialect, "job"), &[]).await?;
        zero(executor, dialect, None).await?;
        return Ok(None);
    };
    let found = Queue::read(executor, dialect, std::slice::from_ref(name)).await?;
    let Some(queue) = found.first() else {
        return Err(Refusal::UnknownQueue(name.clone()));
    };
    // In pg-boss 10 every queue has a table of its own, yet nothing there truncates one.
    if queue.settings.partition && !dialect.has(Capability::V10) {
        executor.query(&EMPTY.render(dialect, &queue.table), &[]).await?;
        zero(executor, dialect, Some(name)).await?;
        return Ok(None);
    }
    walk(executor, dialect, name, &counts.flags(&[])).await.map(Some)
}

/// Deletes in batches; how many.
async fn walk(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    flags: &[&'static str],
) -> Result<u64, Refusal> {
    let sql = DELETE.render_with(dialect, "job", flags);
    let (mut after, mut deleted) = (None::<Uuid>, 0_u64);
    loop {
        let rows = executor
            .query(
                &sql,
                &[
                    (&queue.as_str(), Type::TEXT),
                    (&Vec::<Uuid>::new(), Type::UUID_ARRAY),
                    (&None::<Vec<i32>>, Type::INT4_ARRAY),
                    (&after, Type::UUID),
                    (&BATCH, Type::INT8),
                ],
            )
            .await?;
        let Some(row) = rows.first() else {
            return Err(Refusal::UnknownQueue(queue.clone()));
        };
        let count: i64 = row.try_get("deleted").map_err(postgres::Error::from)?;
        deleted += u64::try_from(count).unwrap_or_default();
        after = row.try_get("edge").map_err(postgres::Error::from)?;
        if after.is_none() {
            return Ok(deleted);
        }
    }
}

/// Sets the counts of emptied queues to what they are now, as pg-boss does from 12.38 on.
async fn zero(executor: &impl Executor, dialect: &Dialect, queue: Option<&QueueName>) -> Result<(), Refusal> {
    if dialect.has(Capability::RetainedCount) {
        let name = queue.map(QueueName::as_str);
        executor
            .query(&ZERO.render(dialect, "job"), &[(&name, Type::TEXT)])
            .await?;
    }
    Ok(())
}

/// Zeroes the counts of queues whose jobs are gone.
pub(super) const ZERO: Template = Template(include_str!("zero.sql"));
