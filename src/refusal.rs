//! Why something was not done that a person, and not a worker, asked for.

use crate::dialect::{Capability, Dialect};
use crate::postgres;
use crate::queue::QueueName;

/// Why a request was refused. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The queue is not there.
    #[error("Queue {0} does not exist")]
    UnknownQueue(QueueName),
    /// A value that no pg-boss takes, or not this one.
    #[error("{0}")]
    Invalid(String),
    /// The schema is of a pg-boss that cannot do this yet.
    #[error("{what} needs pg-boss {release} or later; the schema here is version {version}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
        /// The first release that can.
        release: &'static str,
        /// The version of the schema.
        version: i32,
    },
    /// Another job, or another queue, is in the way.
    #[error("{0}")]
    Conflict(String),
    /// The database said no, or was not there.
    #[error(transparent)]
    Database(#[from] postgres::Error),
}

impl Refusal {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Refusal::Database(error) if error.is_transient())
    }

    /// Refuses what this schema lacks a capability for.
    pub(crate) fn unless(dialect: &Dialect, what: &'static str, needed: Capability) -> Result<(), Refusal> {
        if dialect.has(needed) {
            return Ok(());
        }
        Err(Refusal::Unsupported {
            what,
            release: needed.release(),
            version: dialect.version(),
        })
    }
}
