//! A queue goes, and its jobs with it.

use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::{Counts, delete_all_jobs};
use crate::dialect::{Capability, Dialect, Template};
use crate::postgres::{self, Executor};
use crate::queue::{Queue, QueueName};
use crate::refusal::Refusal;
use crate::schema::spelling;

/// Deletes a queue through the schema's own function.
pub(super) const DELETE_QUEUE: Template = Template(include_str!("delete_queue.sql"));
/// Who uses a queue as the one for dead letters.
pub(super) const REFERRER: Template = Template(include_str!("referrer.sql"));

/// How often a queue is tried that has a table of its own, while that is locked, and how long between the first two.
const TRIES: (u32, Duration) = (8, Duration::from_millis(25));

/// Deletes a queue with all its jobs, through the schema's own function and under pg-boss's own lock; one that is not there
/// is no error. In pg-boss 10, and where the queue has a table of its own, the table is dropped.
///
/// # Errors
/// [`Refusal::Conflict`] where another queue, or a job of one, names it as its dead letter queue, or where its table stays
/// locked; else the database's refusal.
pub async fn delete_queue(executor: &impl Executor, dialect: &Dialect, name: &QueueName) -> Result<(), Refusal> {
    let found = Queue::read(executor, dialect, std::slice::from_ref(name)).await?;
    let Some(queue) = found.first() else {
        return Ok(());
    };
    // Found out beforehand: the foreign keys are deferred, and would say so when the jobs are gone.
    let rows = executor
        .query(&REFERRER.render(dialect, "job"), &[(&name.as_str(), Type::TEXT)])
        .await?;
    if let Some(row) = rows.first() {
        let referrer: String = row.try_get("name").map_err(postgres::Error::from)?;
        let is_queue: bool = row.try_get("is_queue").map_err(postgres::Error::from)?;
        return Err(Refusal::Conflict(if is_queue {
            format!("Queue {name} was not deleted: queue {referrer} uses it as its dead letter queue")
        } else {
            format!("Queue {name} was not deleted: jobs in queue {referrer} name it as their dead letter queue")
        }));
    }
    // In pg-boss 10 every queue has a table of its own, and its function refuses to drop one that has jobs.
    let own_table = queue.settings.partition && !dialect.has(Capability::V10);
    if !own_table {
        // In batches, so that the function's one statement has little left to delete.
        delete_all_jobs(executor, dialect, Some(name), Counts::Left).await?;
    }
    let sql = DELETE_QUEUE.render(dialect, "job");
    let mut pause = TRIES.1;
    for attempt in 1..=TRIES.0 {
        let done = executor
            .query(
                &sql,
                &[(&name.as_str(), Type::TEXT), (&spelling(dialect.schema()), Type::TEXT)],
            )
            .await;
        match done {
            Ok(_) => return Ok(()),
            Err(error)
                if own_table
                    && attempt < TRIES.0
                    && matches!(
                        error.code(),
                        Some(&SqlState::LOCK_NOT_AVAILABLE | &SqlState::T_R_DEADLOCK_DETECTED)
                    ) =>
            {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                return Err(Refusal::Conflict(format!(
                    "Queue {name} was not deleted: its tables stayed locked through {attempt} tries"
                )));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
