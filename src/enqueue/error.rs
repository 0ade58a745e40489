//! Why a job or a queue was not taken.

use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::dialect::{Capability, Dialect};
use crate::postgres;
use crate::queue::QueueName;

/// Why a job or a queue was not taken. Nothing was written, unless [`insert`](super::insert()) says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The queue is not there.
    #[error("Queue {0} does not exist")]
    UnknownQueue(QueueName),
    /// The dead letter queue is not there.
    #[error("dead letter queue {0} does not exist; create it first")]
    UnknownDeadLetter(QueueName),
    /// The queue runs the jobs of a key one after another, so every job needs a key.
    #[error("queue {0} has the policy key_strict_fifo, so its jobs need a singleton_key")]
    KeyRequired(QueueName),
    /// A value that no pg-boss takes, or not this one.
    #[error("{0}")]
    Invalid(String),
    /// The schema is of a pg-boss that does not have this yet.
    #[error("{what} needs pg-boss {release} or later; the schema here is version {version}")]
    Unsupported {
        /// The option or policy.
        what: &'static str,
        /// The first release that has it.
        release: &'static str,
        /// The version of the schema.
        version: i32,
    },
    /// The payload is JSON that a `jsonb` column cannot hold.
    #[error("the payload cannot be stored: {0}")]
    Payload(String),
    /// Two jobs of one batch have the same id.
    #[error("duplicate job id in insert batch: {0}")]
    DuplicateId(Uuid),
    /// One job of a batch was refused, and with it the batch.
    #[error("job {index} of the batch: {reason}")]
    InBatch {
        /// Which one, from 0.
        index: usize,
        /// Why.
        reason: Box<Error>,
    },
    /// One job of a flow was kept out by a policy, a throttle or a taken id, and with it all.
    #[error("a job of the flow conflicts with one that is there; none was sent")]
    FlowRefused,
    /// An event could not be published to some of the queues that subscribed to it; to the others it was.
    #[error("publish('{event}') failed for {} of {of} subscribed queue(s): {}", failures.len(), listed(failures))]
    Published {
        /// The event.
        event: String,
        /// How many queues there were.
        of: usize,
        /// Which of them did not take it, and why.
        failures: Vec<(QueueName, Error)>,
    },
    /// The database said no, or was not there.
    #[error(transparent)]
    Database(#[from] postgres::Error),
}

impl Error {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Error::Database(error) if error.is_transient())
    }

    /// What is wrong with the one job of a batch of one.
    pub(crate) fn alone(self) -> Error {
        match self {
            Error::InBatch { reason, .. } => *reason,
            error => error,
        }
    }

    pub(super) fn unsupported(what: &'static str, capability: Capability, dialect: &Dialect) -> Error {
        Error::Unsupported {
            what,
            release: capability.release(),
            version: dialect.version(),
        }
    }

    /// What the database's refusal of an insert means in terms of the job.
    pub(super) fn of_insert(queue: &QueueName, error: postgres::Error) -> Error {
        let postgres::Error::Postgres(inner) = &error else {
            return error.into();
        };
        let Some(refusal) = inner.as_db_error() else {
            return error.into();
        };
        match *refusal.code() {
            SqlState::UNTRANSLATABLE_CHARACTER | SqlState::INVALID_TEXT_REPRESENTATION => {
                // The detail names the offending escape; the context, which quotes the payload, is left out.
                let detail = refusal
                    .detail()
                    .map(|detail| format!(" ({detail})"))
                    .unwrap_or_default();
                Error::Payload(format!("{}{detail}", refusal.message()))
            }
            SqlState::INVALID_DATETIME_FORMAT
            | SqlState::DATETIME_FIELD_OVERFLOW
            | SqlState::INTERVAL_FIELD_OVERFLOW => Error::Invalid(format!("start_after: {}", refusal.message())),
            SqlState::FOREIGN_KEY_VIOLATION if refusal.constraint() == Some("dlq_fkey") => {
                Error::Invalid("the dead_letter of a job is a queue that does not exist".to_owned())
            }
            SqlState::FOREIGN_KEY_VIOLATION => Error::UnknownQueue(queue.clone()),
            _ => error.into(),
        }
    }
}

fn listed(failures: &[(QueueName, Error)]) -> String {
    let each = failures.iter().map(|(queue, error)| format!("{queue}: {error}"));
    each.collect::<Vec<_>>().join("; ")
}
