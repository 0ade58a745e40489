//! All that a user of pg-boss can do, in one place: [`Client`].
//!
//! ```no_run
//! use strawboss::{Client, Database, SendOptions};
//! use strawboss::postgres::Settings;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let database = Database::new(&Settings::parse(&std::env::var("DATABASE_URL")?)?)?;
//! let boss = Client::new(database.clone(), "pgboss");
//! let id = boss.send("email", &serde_json::json!({"to": "a@example.com"}), &SendOptions::default()).await?;
//!
//! // The same in a transaction of your own: nothing is sent unless it commits.
//! let mut connection = database.client().await?;
//! let transaction = connection.transaction().await?;
//! let within = boss.within(&transaction);
//! within.send("email", &serde_json::json!({"to": "b@example.com"}), &SendOptions::default()).await?;
//! within.cancel("email", id.expect("nothing throttles it")).await?;
//! transaction.commit().await?;
//! # Ok(())
//! # }
//! ```

mod fetch;
mod gather;
mod produce;
mod read;
mod send;
mod settle;
mod tend;
mod tongue;

pub use fetch::{FetchOptions, Fetched, GroupLimit};

use std::sync::Arc;

use crate::config::UpkeepConfig;
use crate::desk::Counts;
use crate::dialect::Watch;
use crate::enqueue;
use crate::observe::Tracer;
use crate::postgres::{self, Database, Executor};
use crate::queue::QueueName;
use crate::refusal::Refusal;
use gather::Gatherer;
use produce::Producer;
use tongue::Tongue;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A job or a queue was not taken.
    #[error(transparent)]
    Enqueue(#[from] enqueue::Error),
    /// What was asked for was refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A schedule was not taken.
    #[error(transparent)]
    Schedule(#[from] crate::schedule::Error),
    /// The payload or the output cannot be written as JSON.
    #[error("this cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The schema is not one that is spoken.
    #[error("{0}")]
    Unspoken(String),
    /// The database said no, or was not there.
    #[error(transparent)]
    Database(#[from] postgres::Error),
    /// The same, for all whose jobs were in one statement ([`Client::gathering`]).
    #[error("{0}")]
    Together(Arc<Error>),
}

impl Error {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Enqueue(error) => error.is_transient(),
            Error::Refused(error) => error.is_transient(),
            Error::Database(error) => error.is_transient(),
            Error::Schedule(crate::schedule::Error::Database(error)) => error.is_transient(),
            Error::Schedule(_) | Error::Json(_) => false,
            Error::Unspoken(_) => true,
            Error::Together(error) => error.is_transient(),
        }
    }

    /// What a span calls it in `error.type`.
    fn kind(&self) -> &'static str {
        match self {
            Error::Together(error) => error.kind(),
            Error::Unspoken(_) => "unspoken",
            Error::Json(_) => "json",
            error => error.database().map_or("refused", |error| error.class().as_str()),
        }
    }

    /// What the database said, if it was the database.
    pub fn database(&self) -> Option<&postgres::Error> {
        match self {
            Error::Enqueue(enqueue::Error::Database(error))
            | Error::Refused(Refusal::Database(error))
            | Error::Schedule(crate::schedule::Error::Database(error))
            | Error::Database(error) => Some(error),
            Error::Together(error) => error.database(),
            _ => None,
        }
    }
}

/// Speaks to one pg-boss schema, on a pool or, made by [`within`](Client::within), in a transaction. Cheap to clone.
///
/// Every method does in one statement, or a few, what pg-boss's method of that name does on that schema. What the schema
/// cannot do yet is [`Refusal::Unsupported`] or [`enqueue::Error::Unsupported`], which name the release that can. Nothing is
/// remembered of queues: their rows are read by the statements themselves.
#[derive(Clone)]
pub struct Client<E = Database> {
    road: E,
    tongue: Tongue,
    counts: Counts,
    history: bool,
    upkeep: UpkeepConfig,
    gatherer: Option<Gatherer>,
    producer: Producer,
}

impl Client {
    /// A client of the schema; the database need not be up yet. The schema is read at the first call, and again once a minute
    /// and after a statement met something that is not there.
    pub fn new(database: Database, schema: impl Into<String>) -> Client {
        Client::speaking(database, Tongue::own(schema.into()))
    }

    /// A client that speaks as a worker in this process does, which watches the schema already.
    pub fn watching(database: Database, schema: impl Into<String>, watch: Watch) -> Client {
        Client::speaking(database, Tongue::watched(schema.into(), watch))
    }

    fn speaking(road: Database, tongue: Tongue) -> Client {
        Client {
            road,
            tongue,
            counts: Counts::Kept,
            history: false,
            upkeep: UpkeepConfig::default(),
            gatherer: None,
            producer: Producer::default(),
        }
    }

    /// Has [`get_queue_stats`](Client::get_queue_stats) read the history, as pg-boss with `persistQueueStats` does.
    pub fn with_history(mut self, history: bool) -> Client {
        self.history = history;
        self
    }

    /// Has [`supervise`](Client::supervise) go by these settings and not by the defaults; they say, too, whether there is a
    /// history.
    pub fn with_upkeep(mut self, upkeep: UpkeepConfig) -> Client {
        self.history = upkeep.persist_queue_stats;
        self.upkeep = upkeep;
        self
    }

    /// Has sends that are under way at one time share a statement and its commit, which makes many callers several times
    /// faster on a disk that is slow to confirm, and one caller no slower.
    ///
    /// A [`send`](Client::send) whose queue is idle goes at once; what comes in meanwhile goes together with the next
    /// statement. Every caller has its own id or its own error, after the commit; a job with an id, a key or a slot of its own
    /// goes alone. A call has to be made on a runtime of tokio.
    pub fn gathering(mut self) -> Client {
        self.gatherer = Some(Gatherer::new(self.road.clone(), self.tongue.clone()));
        self
    }

    /// The pool.
    pub fn database(&self) -> &Database {
        &self.road
    }

    /// The same client in a transaction, or on any connection of the caller's.
    pub fn within<'t, T: Executor>(&self, transaction: &'t T) -> Client<&'t T> {
        Client {
            road: transaction,
            tongue: self.tongue.clone(),
            counts: Counts::Left,
            history: self.history,
            upkeep: self.upkeep.clone(),
            gatherer: None,
            producer: self.producer.clone(),
        }
    }
}

impl<E> Client<E> {
    /// Makes a span of every call that creates jobs, under pg-boss's names (`send Q`, kind producer), and has the jobs carry
    /// it where the schema can (44 and later), so that whoever runs them continues the trace. A job whose options name a
    /// trace keeps that.
    pub fn with_tracer(mut self, tracer: Tracer) -> Client<E> {
        self.producer.tracer = tracer;
        self
    }

    /// Makes its calls a part of the trace in `parent`, a handler's own
    /// [`Context::trace`](crate::handler::Context::trace) for one. Without a tracer the jobs carry that trace as it is.
    pub fn within_trace(mut self, parent: opentelemetry::Context) -> Client<E> {
        self.producer.parent = parent;
        self
    }

    /// The schema's name, unquoted.
    pub fn schema(&self) -> &str {
        self.tongue.schema()
    }
}

/// The names as the rooms take them.
fn names<Q: Into<QueueName>>(names: impl IntoIterator<Item = Q>) -> Vec<QueueName> {
    names.into_iter().map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enqueue::SendOptions;
    use crate::postgres::{Settings, Transaction};

    fn travels<T: Send>(_: &T) {}

    /// Whoever awaits a call in a task of its own needs that.
    #[test]
    fn calls_may_be_awaited_on_any_thread() {
        let settings = Settings::parse("postgres://nobody@localhost/none").expect("a URL");
        let boss = Client::new(Database::new(&settings).expect("a pool"), "pgboss");
        travels(&boss.send("q", "text", &SendOptions::default()));
        travels(&boss.get_queues(None::<Vec<QueueName>>));
        travels(&boss.fetch("q", &FetchOptions::default()));
        travels(&boss.complete("q", vec![], &()));
        travels(&boss.delete_queue("q"));
    }

    /// Likewise within a transaction; it is only to compile.
    #[expect(dead_code, reason = "the compiler is the test")]
    fn within_a_transaction_too(boss: &Client, transaction: &Transaction<'_>) {
        let boss = boss.within(transaction);
        travels(&boss.send("q", "text", &SendOptions::default()));
        travels(&boss.fail("q", vec![], &()));
    }
}
