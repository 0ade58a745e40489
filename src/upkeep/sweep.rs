//! Failing the attempts whose deadline or lease is over: the statement, and what it says of whom.

use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::dialect::Dialect;
use crate::postgres::{Error, Executor};
use crate::queue::QueueName;
use crate::schema::spelling;
use crate::settle::FAIL;

/// As many rows as one sweep takes.
pub(super) const FULL: usize = 1000;

/// A job taken back.
pub(super) struct Rescued {
    pub(super) queue: QueueName,
    /// `expired` or `heartbeat`.
    pub(super) reason: String,
}

/// Fails at most [`FULL`] lost attempts of those queues, all of one table, and says so in the log. Does nothing while
/// another holds pg-boss's locks for it.
pub(super) async fn sweep(
    executor: &impl Executor,
    dialect: &Dialect,
    table: &str,
    queues: &[&str],
) -> Result<Vec<Rescued>, Error> {
    let sql = FAIL.render_with(dialect, table, &["sweep"]);
    let schema = spelling(dialect.schema());
    let rows = executor
        .query(
            &sql,
            &[(&queues, Type::TEXT_ARRAY), (&schema, Type::TEXT), (&table, Type::TEXT)],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let (queue, reason): (&str, &str) = (row.try_get("name")?, row.try_get("reason")?);
            let (job, state): (Uuid, &str) = (row.try_get("id")?, row.try_get("state")?);
            tracing::warn!(
                queue,
                %job,
                reason,
                state,
                "took a job back from a worker that no longer answers for it"
            );
            Ok(Rescued {
                queue: QueueName::new(queue),
                reason: reason.to_owned(),
            })
        })
        .collect()
}
