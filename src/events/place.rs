//! Where the event system's tables are: the app's, pg-boss's and our own.

use std::sync::Arc;

use crate::dialect::{Capability, Dialect, Template, quoted};
use crate::enqueue::{self, QueueOptions, create_queue};
use crate::home::{Home, Part};
use crate::postgres::{Client, Error, Executor, channel};
use crate::queue::QueueName;
use crate::schema::spelling;

/// What is remembered of the outbox, in our own schema.
pub(super) const PART: Part = Part {
    name: "event_relay",
    steps: &[include_str!("relay/tables.sql")],
};

/// The queue that deliveries go to which failed for good, until they are buried in `event_dead_letter`.
pub const DEAD_LETTERS: &str = "event-dead-letters";

/// How long a dead letter may wait to be buried.
const KEPT: std::time::Duration = std::time::Duration::from_secs(365 * 86_400);

/// The three schemas of an event system. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Place {
    dialect: Arc<Dialect>,
    home: Home,
    outbox_schema: Arc<str>,
    channel: Arc<str>,
}

impl Place {
    /// pg-boss's schema as it was found, our own, and the name (unquoted) of the one with the app's event tables.
    pub fn new(dialect: Arc<Dialect>, home: Home, outbox_schema: &str) -> Place {
        Place {
            channel: channel(&spelling(dialect.schema())).into(),
            dialect,
            home,
            outbox_schema: outbox_schema.into(),
        }
    }

    /// How pg-boss's schema is spoken to.
    pub fn dialect(&self) -> &Arc<Dialect> {
        &self.dialect
    }

    /// Our own schema.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The schema with the app's event tables, unquoted.
    pub fn outbox_schema(&self) -> &str {
        &self.outbox_schema
    }

    /// pg-boss's channel for notifications.
    pub(super) fn channel(&self) -> &str {
        &self.channel
    }

    /// Fills the holes of a statement, `{events}` (the schema of the app's tables) and `{home}` among them.
    pub fn render(&self, template: Template, flags: &[&'static str]) -> String {
        let sql = template.render_with(&self.dialect, "job", flags);
        self.home.render(&sql).replace("{events}", &quoted(&self.outbox_schema))
    }

    /// Whether our own tables are there: a read that changes nothing.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn is_prepared(&self, executor: &impl Executor) -> Result<bool, Error> {
        Ok(self.home.has(executor, &super::registrar::PART).await? && self.home.has(executor, &PART).await?)
    }

    /// Makes what deliveries need: our own tables, and the queue of dead letters. As often as one likes, by any number of
    /// processes.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn prepare(&self, client: &mut Client) -> Result<(), enqueue::Error> {
        self.home.ensure(client, &super::registrar::PART).await?;
        self.home.ensure(client, &PART).await?;
        let options = QueueOptions {
            retention: Some(KEPT),
            delete_after: self.dialect.has(Capability::RetryDelayMax).then_some(KEPT),
            ..QueueOptions::default()
        };
        create_queue(client, &self.dialect, &QueueName::new(DEAD_LETTERS), &options).await?;
        Ok(())
    }
}

/// What the making of queues and tables met, as the database said it.
pub(super) fn database_error(error: enqueue::Error) -> Error {
    match error {
        enqueue::Error::Database(error) => error,
        other => Error::Settings(other.to_string()),
    }
}
