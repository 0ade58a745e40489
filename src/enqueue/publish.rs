//! Events: what is published is sent to every queue that subscribed.

use serde_json::value::RawValue;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::{Error, SendOptions, send};
use crate::dialect::{Dialect, Template};
use crate::postgres::{self, Executor};
use crate::queue::QueueName;

/// Subscribes a queue.
pub(super) const SUBSCRIBE: Template = Template(include_str!("subscribe.sql"));
/// Ends a subscription.
pub(super) const UNSUBSCRIBE: Template = Template(include_str!("unsubscribe.sql"));
/// Who subscribed to what.
pub(super) const SUBSCRIPTIONS: Template = Template(include_str!("subscriptions.sql"));

/// Has whatever is published under `event` sent to the queue; once more is the same as once.
///
/// # Errors
/// An unknown queue, an event without a name, or the database's refusal.
pub async fn subscribe(
    executor: &impl Executor,
    dialect: &Dialect,
    event: &str,
    queue: &QueueName,
) -> Result<(), Error> {
    named(event)?;
    let done = executor
        .query(
            &SUBSCRIBE.render(dialect, "job"),
            &[(&event, Type::TEXT), (&queue.as_str(), Type::TEXT)],
        )
        .await;
    match done {
        Ok(rows) if rows.is_empty() => Err(Error::UnknownQueue(queue.clone())),
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some(&SqlState::FOREIGN_KEY_VIOLATION) => Err(Error::UnknownQueue(queue.clone())),
        Err(error) => Err(error.into()),
    }
}

/// Ends a subscription, if there was one.
///
/// # Errors
/// An event without a name, or the database's refusal.
pub async fn unsubscribe(
    executor: &impl Executor,
    dialect: &Dialect,
    event: &str,
    queue: &QueueName,
) -> Result<(), Error> {
    named(event)?;
    executor
        .query(
            &UNSUBSCRIBE.render(dialect, "job"),
            &[(&event, Type::TEXT), (&queue.as_str(), Type::TEXT)],
        )
        .await?;
    Ok(())
}

/// Who subscribed to the event, or to any: event and queue, sorted.
///
/// # Errors
/// Whatever the database says.
pub async fn subscriptions(
    executor: &impl Executor,
    dialect: &Dialect,
    event: Option<&str>,
) -> Result<Vec<(String, QueueName)>, Error> {
    let rows = executor
        .query(&SUBSCRIPTIONS.render(dialect, "job"), &[(&event, Type::TEXT)])
        .await?;
    let read = |row: &tokio_postgres::Row| Ok((row.try_get("event")?, QueueName::new(row.try_get::<_, &str>("name")?)));
    Ok(rows.iter().map(read).collect::<Result<Vec<_>, postgres::Error>>()?)
}

/// Sends a job to every queue that subscribed to the event, each by itself; outside of a transaction the others are sent
/// where one fails. Returns how many went in.
///
/// # Errors
/// Options that are not valid, and which queues did not take it and why; a queue that has gone since is passed over.
pub async fn publish(
    executor: &impl Executor,
    dialect: &Dialect,
    event: &str,
    data: Option<&RawValue>,
    options: &SendOptions,
) -> Result<usize, Error> {
    named(event)?;
    let subscribers = subscriptions(executor, dialect, Some(event)).await?;
    let (mut sent, of, mut failures) = (0, subscribers.len(), Vec::new());
    for (_, queue) in subscribers {
        match send(executor, dialect, &queue, data, options).await {
            Ok(id) => sent += usize::from(id.is_some()),
            Err(Error::UnknownQueue(_)) => {}
            Err(error) => failures.push((queue, error)),
        }
    }
    if failures.is_empty() {
        return Ok(sent);
    }
    Err(Error::Published {
        event: event.to_owned(),
        of,
        failures,
    })
}

fn named(event: &str) -> Result<(), Error> {
    if event.is_empty() {
        return Err(Error::Invalid("an event must have a name".to_owned()));
    }
    Ok(())
}
