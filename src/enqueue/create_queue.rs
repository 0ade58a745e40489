//! A queue comes into being.

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::{Error, QueueOptions};
use crate::dialect::{Dialect, Template};
use crate::postgres::Executor;
use crate::queue::QueueName;

/// Creates a queue through the schema's own function.
pub(super) const CREATE: Template = Template(include_str!("create_queue.sql"));

/// What [`create_queue`] found to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// The queue is new.
    Created,
    /// The queue was there; it was left as it is, whatever the options said.
    Existed,
}

/// Creates a queue through the schema's own function and under pg-boss's own lock, unless it is there already.
///
/// Inside a transaction the lock is held to its end, and whoever else creates a queue waits for that.
///
/// # Errors
/// A name or options that are not valid or not known to this schema, a dead letter queue that is not there, or the
/// database's refusal. Inside a transaction only the last of these ends the transaction.
pub async fn create_queue(
    executor: &impl Executor,
    dialect: &Dialect,
    name: &QueueName,
    options: &QueueOptions,
) -> Result<Creation, Error> {
    options.validate(name, dialect)?;
    let json = options.json(dialect);
    let dead_letter = options.dead_letter.as_ref().map(QueueName::as_str);
    let rows = executor
        .query(
            &CREATE.render(dialect, "job"),
            &[
                (&name.as_str(), Type::TEXT),
                (&json, Type::TEXT),
                (&dead_letter, Type::TEXT),
                (&dialect.schema(), Type::TEXT),
            ],
        )
        .await
        .map_err(|error| match (&options.dead_letter, error.code()) {
            (Some(dead_letter), Some(&SqlState::FOREIGN_KEY_VIOLATION)) => {
                Error::UnknownDeadLetter(dead_letter.clone())
            }
            _ => error.into(),
        })?;
    let answer = rows.first().map(|row| (row.get("reachable"), row.get("existed")));
    match (answer, &options.dead_letter) {
        (Some((false, _)), Some(dead_letter)) => Err(Error::UnknownDeadLetter(dead_letter.clone())),
        (Some((_, true)), _) => Ok(Creation::Existed),
        _ => Ok(Creation::Created),
    }
}
