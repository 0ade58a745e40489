//! A queue comes into being.

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::{Error, QueueOptions, Statements};
use crate::postgres::Executor;
use crate::queue::QueueName;

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
/// # Errors
/// A name or options that are not valid or not known to this schema, a dead letter queue that is not there, or the
/// database's refusal. Inside a transaction only the last of these ends the transaction.
pub async fn create_queue(
    executor: &impl Executor,
    statements: &Statements,
    name: &QueueName,
    options: &QueueOptions,
) -> Result<Creation, Error> {
    options.validate(name, &statements.dialect)?;
    let json = options.json(&statements.dialect);
    let dead_letter = options.dead_letter.as_ref().map(QueueName::as_str);
    let rows = executor
        .query(
            &statements.create_queue,
            &[
                (&name.as_str(), Type::TEXT),
                (&json, Type::TEXT),
                (&dead_letter, Type::TEXT),
                (&statements.dialect.schema(), Type::TEXT),
            ],
        )
        .await
        .map_err(|error| match (&options.dead_letter, error.code()) {
            (Some(dead_letter), Some(&SqlState::FOREIGN_KEY_VIOLATION)) => Error::UnknownDeadLetter(dead_letter.clone()),
            _ => error.into(),
        })?;
    let answer = rows.first().map(|row| (row.get("reachable"), row.get("existed")));
    match (answer, &options.dead_letter) {
        (Some((false, _)), Some(dead_letter)) => Err(Error::UnknownDeadLetter(dead_letter.clone())),
        (Some((_, true)), _) => Ok(Creation::Existed),
        _ => Ok(Creation::Created),
    }
}
