//! Makes the registered handlers known: their queues, their subscriptions, and their order.
//!
//! The order is that of registration in one process, and of first registration among processes. A process that registers
//! its handlers in another order than before changes their places among themselves, and nobody else's.

use std::collections::HashMap;

use tokio_postgres::types::Type;

use super::handlers::Registered;
use super::{Backoff, Defaults};
use crate::dialect::{Capability, Dialect, Template};
use crate::enqueue::{self, QueueOptions, ensure};
use crate::home::{Home, Part};
use crate::postgres::{Client, Error, Executor, Transaction};
use crate::queue::QueueName;

const TAKE: &str = include_str!("registrar/take.sql");
const KNOWN: &str = include_str!("registrar/known.sql");
const FORGET: &str = include_str!("registrar/forget.sql");
const REGISTER: &str = include_str!("registrar/register.sql");
const SUBSCRIBE: Template = Template(include_str!("registrar/subscribe.sql"));
const UNSUBSCRIBE: Template = Template(include_str!("registrar/unsubscribe.sql"));

/// What is remembered of handlers, in our own schema.
pub const PART: Part = Part {
    name: "event_handlers",
    steps: &[include_str!("registrar/table.sql")],
};

/// What an attempt is given beyond the handler's own timeout: to wait for its turn and its key, and to be written.
const MARGIN: std::time::Duration = std::time::Duration::from_secs(60);
/// As long as pg-boss lets an attempt take by itself.
const EXPIRE: std::time::Duration = std::time::Duration::from_secs(15 * 60);
/// As long as pg-boss lets an attempt take at all.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(86_400);

/// The queue of a handler as it is created. Our own worker says itself when a failed delivery is tried again; what stands here
/// is for one that was taken back from a worker that died.
pub fn queue_options(registered: &Registered, defaults: &Defaults, dialect: &Dialect) -> QueueOptions {
    let Backoff { first, exponential, .. } = registered.backoff(defaults);
    let timeout = registered.options.timeout.unwrap_or(defaults.timeout);
    let whole = std::time::Duration::from_secs(first.min(super::retry::LONGEST).as_secs_f64().ceil() as u64);
    let capped = exponential && dialect.has(Capability::RetryDelayMax);
    QueueOptions {
        retry_limit: registered.options.max_attempts,
        retry_delay: Some(whole),
        retry_backoff: Some(exponential),
        retry_delay_max: capped.then_some(super::retry::LONGEST),
        expire: Some(std::time::Duration::from_secs(
            timeout.saturating_add(MARGIN).clamp(EXPIRE, LONGEST).as_secs(),
        )),
        notify: dialect.has(Capability::Notify),
        ..QueueOptions::default()
    }
}

/// Creates the queues that are not there, registers the handlers and subscribes their queues, as often as one likes. Returns the
/// queues that were created.
///
/// # Errors
/// Whatever the database says; nothing is done then.
pub async fn register(
    client: &mut Client,
    dialect: &Dialect,
    home: &Home,
    handlers: &[Registered],
    defaults: &Defaults,
) -> Result<Vec<QueueName>, enqueue::Error> {
    home.ensure(client, &PART).await?;
    let schema = dialect.schema();
    let transaction = client.transaction().await?;
    // One at a time: pg-boss 10 creates queues under no lock of its own, and two of those may end in a deadlock.
    Executor::query(&transaction, TAKE, &[(&schema, Type::TEXT)]).await?;
    let mut created = Vec::new();
    for registered in handlers {
        let options = queue_options(registered, defaults, dialect);
        created.extend(ensure(&transaction, dialect, &registered.queue, &options).await?);
    }
    enter(&transaction, dialect, home, handlers).await?;
    transaction.commit().await?;
    Ok(created)
}

/// Forgets a handler and ends its subscription, for all workers; false if none of that name is registered. Its queue stays,
/// with what is in it.
///
/// # Errors
/// Whatever the database says; nothing is done then.
pub async fn unregister(client: &mut Client, dialect: &Dialect, home: &Home, handler_id: &str) -> Result<bool, Error> {
    if !home.has(client, &PART).await? {
        return Ok(false);
    }
    let transaction = client.transaction().await?;
    let params = [(&dialect.schema() as _, Type::TEXT), (&handler_id as _, Type::TEXT)];
    let rows = Executor::query(&transaction, &home.render(FORGET), &params).await?;
    let events: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    let queues: Vec<&str> = rows.iter().map(|row| row.get(1)).collect();
    let params = [(&events as _, Type::TEXT_ARRAY), (&queues as _, Type::TEXT_ARRAY)];
    Executor::query(&transaction, &UNSUBSCRIBE.render(dialect, "job"), &params).await?;
    transaction.commit().await?;
    Ok(!rows.is_empty())
}

/// The rows of the handlers and their subscriptions.
async fn enter(
    transaction: &Transaction<'_>,
    dialect: &Dialect,
    home: &Home,
    handlers: &[Registered],
) -> Result<(), Error> {
    let schema = dialect.schema();
    let rows = Executor::query(transaction, &home.render(KNOWN), &[(&schema, Type::TEXT)]).await?;
    let known: HashMap<&str, (&str, &str)> = rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect();
    let old: Vec<(&str, i64)> = rows.iter().map(|row| (row.get(0), row.get(3))).collect();
    let ids: Vec<&str> = handlers.iter().map(|handler| handler.handler_id.as_str()).collect();
    let places = places(&old, &ids);
    let events: Vec<&str> = handlers.iter().map(|handler| handler.event.as_str()).collect();
    let modules: Vec<&str> = handlers.iter().map(|handler| handler.options.module.as_str()).collect();
    let queues: Vec<&str> = handlers.iter().map(|handler| handler.queue.as_str()).collect();
    let sequential: Vec<bool> = handlers.iter().map(|handler| handler.options.sequential).collect();
    let attempts: Vec<Option<i32>> = handlers
        .iter()
        .map(|handler| {
            handler
                .options
                .max_attempts
                .map(|most| i32::try_from(most).unwrap_or(i32::MAX))
        })
        .collect();
    let sql = home.render(REGISTER);
    let params = [
        (&schema as _, Type::TEXT),
        (&ids as _, Type::TEXT_ARRAY),
        (&events as _, Type::TEXT_ARRAY),
        (&modules as _, Type::TEXT_ARRAY),
        (&queues as _, Type::TEXT_ARRAY),
        (&sequential as _, Type::BOOL_ARRAY),
        (&attempts as _, Type::INT4_ARRAY),
        (&places as _, Type::INT8_ARRAY),
    ];
    Executor::query(transaction, &sql, &params).await?;
    // A handler that turned to another event hears no more of the one before.
    let (gone_events, gone_queues): (Vec<&str>, Vec<&str>) = handlers
        .iter()
        .filter_map(|handler| {
            let (event, queue) = *known.get(handler.handler_id.as_str())?;
            (event != handler.event).then_some((event, queue))
        })
        .unzip();
    for (statement, events, queues) in [(UNSUBSCRIBE, &gone_events, &gone_queues), (SUBSCRIBE, &events, &queues)] {
        if !events.is_empty() {
            let sql = statement.render(dialect, "job");
            let params = [(events as _, Type::TEXT_ARRAY), (queues as _, Type::TEXT_ARRAY)];
            Executor::query(transaction, &sql, &params).await?;
        }
    }
    Ok(())
}

/// The places of these handlers, given those that are known: the same places that they had, in the order in which they are
/// registered now, and new ones behind all others.
fn places(known: &[(&str, i64)], ids: &[&str]) -> Vec<i64> {
    let mut own: Vec<i64> = known
        .iter()
        .filter(|(id, _)| ids.contains(id))
        .map(|(_, place)| *place)
        .collect();
    own.sort_unstable();
    let next = known.iter().map(|(_, place)| place + 1).max().unwrap_or(1);
    own.extend((next..).take(ids.len() - own.len()));
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handlers_are_placed_behind_those_that_are_known() {
        assert_eq!(places(&[], &["a", "b"]), [1, 2]);
        assert_eq!(places(&[("x", 4), ("y", 9)], &["a", "b"]), [10, 11]);
    }

    #[test]
    fn handlers_keep_their_places_and_change_them_among_themselves_only() {
        let known = [("a", 1), ("x", 2), ("b", 3)];
        assert_eq!(places(&known, &["a", "b"]), [1, 3]);
        assert_eq!(places(&known, &["b", "a"]), [1, 3]);
        assert_eq!(places(&known, &["new", "b", "a"]), [1, 3, 4]);
        assert_eq!(places(&known, &["b"]), [3]);
    }
}
