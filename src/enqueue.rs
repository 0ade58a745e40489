//! A job enters: `send` and `insert`, and the queues they enter.
//!
//! Everything here runs on an [`Executor`](crate::postgres::Executor), so on a pooled client or inside the caller's own
//! transaction, in one round trip (two where a throttled job waits for its next slot). Nothing is read
//! beforehand: defaults are inherited from the queue's row inside the statement that inserts, which also wakes whoever
//! listens, and the database's clock is the only one.

mod batch;
mod create_queue;
mod ensure;
mod error;
mod insert;
mod options;
mod queue_options;

pub(crate) use batch::unstorable;
pub use create_queue::{Creation, create_queue};
pub use ensure::ensure;
pub use error::Error;
pub use insert::{JobInsert, insert, send};
pub use options::{SendOptions, StartAfter};
pub use queue_options::QueueOptions;

use crate::dialect::Template;

/// The statements of this room, each with what it is for.
pub const STATEMENTS: [(&str, Template); 2] = [("send", insert::INSERT), ("create queues", create_queue::CREATE)];
