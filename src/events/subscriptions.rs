//! Who subscribes to which event: pg-boss's own table `subscription`, and what we know of those behind it.

use serde::Serialize;
use tokio_postgres::types::Type;

use super::Place;
use crate::dialect::{Capability, Template};
use crate::enqueue::{self, Creation, QueueOptions, create_queue};
use crate::postgres::{Error, Executor};
use crate::queue::QueueName;

const LIST: Template = Template(include_str!("subscriptions/list.sql"));
const SUBSCRIBE: Template = Template(include_str!("subscriptions/subscribe.sql"));
const UNSUBSCRIBE: Template = Template(include_str!("subscriptions/unsubscribe.sql"));

/// How long a worker of ours may be silent before its handlers count as nobody's, in seconds: several rounds of its housekeeper.
const SILENCE: f64 = 120.0;

/// A queue that is subscribed to an event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Subscription {
    /// The event's name.
    pub event: String,
    /// The queue.
    pub queue: String,
    /// The handler behind it, where it was registered by a worker of ours.
    pub handler: Option<String>,
    /// That handler's module.
    pub module: Option<String>,
    /// Whether somebody consumes it.
    pub consumer: Consumer,
    /// Deliveries that might run now.
    pub waiting: i64,
    /// How many seconds the first of them has waited.
    pub oldest_seconds: f64,
}

/// Whether somebody consumes a subscribed queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Consumer {
    /// A worker of ours does.
    Running,
    /// A worker of ours did, and none does any more: the handler was taken out, or its worker does not run.
    Missing,
    /// It is none of our queues; whether a Node worker consumes it shows only by what waits.
    Unknown,
}

impl Consumer {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Consumer::Running => "running",
            Consumer::Missing => "missing",
            Consumer::Unknown => "unknown",
        }
    }
}

/// Lists the subscriptions.
///
/// # Errors
/// Whatever the database says.
pub async fn subscriptions(executor: &impl Executor, place: &Place) -> Result<Vec<Subscription>, Error> {
    let schema = place.dialect().schema();
    let known = place.is_prepared(executor).await?;
    let flags: &[&'static str] = if known { &["home"] } else { &[] };
    let rows = executor
        .query(&place.render(LIST, flags), &[(&schema, Type::TEXT)])
        .await?;
    let read = |row: &tokio_postgres::Row| {
        let (handler, seen): (Option<String>, Option<f64>) = (row.get("handler"), row.get("seen"));
        let consumer = match (&handler, seen) {
            (_, Some(seen)) if seen <= SILENCE => Consumer::Running,
            (None, None) => Consumer::Unknown,
            _ => Consumer::Missing,
        };
        Subscription {
            event: row.get("event"),
            queue: row.get("queue"),
            handler,
            module: row.get("module"),
            consumer,
            waiting: row.get("waiting"),
            oldest_seconds: row.get("oldest"),
        }
    };
    Ok(rows.iter().map(read).collect())
}

/// Subscribes a queue to an event; the queue is created if it is not there. As often as one likes, by any number of processes. Returns
/// whether the queue is new.
///
/// # Errors
/// A name that no queue may have, or whatever the database says.
pub async fn subscribe(
    executor: &impl Executor,
    place: &Place,
    event: &str,
    queue: &QueueName,
) -> Result<bool, enqueue::Error> {
    let dialect = place.dialect();
    let options = QueueOptions {
        notify: dialect.has(Capability::Notify),
        ..QueueOptions::default()
    };
    let created = create_queue(executor, dialect, queue, &options).await? == Creation::Created;
    let name = queue.as_str();
    let sql = place.render(SUBSCRIBE, &[]);
    executor
        .query(&sql, &[(&event, Type::TEXT), (&name, Type::TEXT)])
        .await?;
    Ok(created)
}

/// Ends the subscription of a queue to an event, or to all events, and forgets the handler behind it. Deliveries that were made stay.
/// Returns the names of the events.
///
/// # Errors
/// Whatever the database says.
pub async fn unsubscribe(
    executor: &impl Executor,
    place: &Place,
    event: Option<&str>,
    queue: &str,
) -> Result<Vec<String>, Error> {
    let schema = place.dialect().schema();
    let rows = executor
        .query(
            &place.render(UNSUBSCRIBE, &[]),
            &[(&schema, Type::TEXT), (&event, Type::TEXT), (&queue, Type::TEXT)],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get("event")).collect())
}
