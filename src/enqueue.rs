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
mod flow;
mod insert;
mod options;
mod publish;
mod queue_options;
mod update;
mod update_queue;

pub(crate) use batch::unstorable;
pub use create_queue::{Creation, create_queue};
pub use ensure::ensure;
pub use error::Error;
pub use flow::{FlowJob, flow};
pub use insert::{JobInsert, insert, send};
pub(crate) use insert::{check_one, chunk_length};
pub use options::{SendOptions, StartAfter};
pub use publish::{publish, subscribe, subscriptions, unsubscribe};
pub use queue_options::QueueOptions;
pub use update::{JobChanges, Match, Updated, Upserted, Waiting, update, upsert};
pub use update_queue::{QueueChanges, update_queue};

use crate::dialect::{Capability, Template};

/// The statements of this room, each with what it is for.
pub const STATEMENTS: [(&str, Template); 6] = [
    ("send", insert::INSERT),
    ("create queues", create_queue::CREATE),
    ("change queues", update_queue::UPDATE_QUEUE),
    ("subscribe", publish::SUBSCRIBE),
    ("unsubscribe", publish::UNSUBSCRIBE),
    ("list subscriptions", publish::SUBSCRIPTIONS),
];

/// Those that need what not every schema has, with their flags.
pub const STATEMENTS_OF_NEWER: [(&str, Template, &[&str], Capability); 4] = [
    ("send a flow", insert::INSERT, &["flow"], Capability::Flows),
    (
        "insert the one job of a key",
        insert::INSERT,
        &["upsert"],
        Capability::UpsertByKey,
    ),
    ("edit a job", update::UPDATE, &["id"], Capability::RetryClears),
    (
        "edit the jobs of a key",
        update::UPDATE,
        &["key", "newest"],
        Capability::RetryClears,
    ),
];
