//! A queue is told something else.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::options::{Timing, seconds};
use super::{Error, QueueOptions};
use crate::dialect::{Capability, Dialect, Template};
use crate::postgres::Executor;
use crate::queue::QueueName;

/// Changes a queue's row.
pub(super) const UPDATE_QUEUE: Template = Template(include_str!("update_queue.sql"));

/// What of a queue is to change; what is left out stays as it is. Where a value may be taken away, `Some(None)` does. Jobs
/// that are there keep what they were sent with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueChanges {
    /// How many times a job is run again after a failure.
    pub retry_limit: Option<u32>,
    /// How long a failed attempt waits for the next; whole seconds.
    pub retry_delay: Option<Duration>,
    /// Whether that wait doubles from attempt to attempt.
    pub retry_backoff: Option<bool>,
    /// The longest such wait; whole seconds, given only beside `retry_backoff: Some(true)` (pg-boss 11.0 and later).
    pub retry_delay_max: Option<Option<Duration>>,
    /// How long one attempt may take; whole seconds, at most a day.
    pub expire: Option<Duration>,
    /// How long a job may wait before it is deleted unrun; whole seconds (pg-boss 10: minutes).
    pub retention: Option<Duration>,
    /// How long a finished job is kept; whole seconds, zero for ever (pg-boss 11.0 and later, zero 12.6).
    pub delete_after: Option<Duration>,
    /// Where a copy of a job goes that failed for good; that queue has to be there.
    pub dead_letter: Option<Option<QueueName>>,
    /// The lease a job's worker has to renew; whole seconds (pg-boss 12.12 and later).
    pub heartbeat: Option<Option<Duration>>,
    /// Wakes listening workers when a job comes in that may run at once (pg-boss 12.21 and later).
    pub notify: Option<bool>,
    /// From how many queued jobs on pg-boss warns of a backlog (pg-boss 11.0 and later).
    pub warning_queue_size: Option<u32>,
}

/// Changes a queue. Its policy and whether it has a table of its own cannot be changed.
///
/// # Errors
/// An unknown queue, nothing to change, options that are not valid or not known to this schema, a dead letter queue that is
/// not there, or the database's refusal.
pub async fn update_queue(
    executor: &impl Executor,
    dialect: &Dialect,
    name: &QueueName,
    changes: &QueueChanges,
) -> Result<(), Error> {
    if *changes == QueueChanges::default() {
        return Err(Error::Invalid("no properties found to update".to_owned()));
    }
    changes.check(name, dialect)?;
    let dead_letter = changes.dead_letter.clone().flatten();
    let rows = executor
        .query(
            &UPDATE_QUEUE.render(dialect, "job"),
            &[(&name.as_str(), Type::TEXT), (&changes.json(), Type::TEXT)],
        )
        .await
        .map_err(|error| match (dead_letter, error.code()) {
            (Some(dead_letter), Some(&SqlState::FOREIGN_KEY_VIOLATION)) => Error::UnknownDeadLetter(dead_letter),
            _ => error.into(),
        })?;
    if rows.is_empty() {
        return Err(Error::UnknownQueue(name.clone()));
    }
    Ok(())
}

impl QueueChanges {
    /// The rules are those of a new queue.
    fn check(&self, name: &QueueName, dialect: &Dialect) -> Result<(), Error> {
        // The name is of a queue that is there, whatever rule it was made under.
        if self.dead_letter.as_ref().is_some_and(|it| it.as_ref() == Some(name)) {
            return Err(Error::Invalid("deadLetter cannot be itself".to_owned()));
        }
        let options = QueueOptions {
            heartbeat: self.heartbeat.flatten(),
            notify: self.notify.unwrap_or_default(),
            warning_queue_size: self.warning_queue_size,
            retention: self.retention,
            ..QueueOptions::default()
        };
        options.validate(&QueueName::from("any"), dialect)?;
        let needs = [
            (self.heartbeat.is_some(), "heartbeat", Capability::Heartbeat),
            (self.notify.is_some(), "notify", Capability::Notify),
            (
                self.retry_delay_max.is_some(),
                "retry_delay_max",
                Capability::RetryDelayMax,
            ),
        ];
        for (given, what, capability) in needs {
            if given && !dialect.has(capability) {
                return Err(Error::unsupported(what, capability, dialect));
            }
        }
        let timing = Timing {
            retry_limit: self.retry_limit,
            retry_delay: self.retry_delay,
            retry_backoff: self.retry_backoff,
            retry_delay_max: self.retry_delay_max.flatten(),
            expire: self.expire,
            retention: self.retention,
            delete_after: self.delete_after,
            heartbeat: self.heartbeat.flatten(),
        };
        timing.validate(dialect)
    }

    /// What changes, by the names `update_queue.sql` reads.
    fn json(&self) -> String {
        let mut object = Map::new();
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                object.insert(key.to_owned(), value);
            }
        };
        let time = |duration: Option<Duration>| duration.map(|duration| Value::from(seconds(duration)));
        let may_go = |duration: Option<Option<Duration>>| {
            duration.map(|duration| duration.map_or(Value::Null, |duration| Value::from(seconds(duration))))
        };
        set("retryLimit", self.retry_limit.map(Value::from));
        set("retryDelay", time(self.retry_delay));
        set("retryBackoff", self.retry_backoff.map(Value::from));
        set("retryDelayMax", may_go(self.retry_delay_max));
        set("expireInSeconds", time(self.expire));
        set("retentionSeconds", time(self.retention));
        set("deleteAfterSeconds", time(self.delete_after));
        set(
            "deadLetter",
            self.dead_letter
                .as_ref()
                .map(|name| name.as_ref().map_or(Value::Null, |name| Value::from(name.as_str()))),
        );
        set("heartbeatSeconds", may_go(self.heartbeat));
        set("notify", self.notify.map(Value::from));
        set("warningQueueSize", self.warning_queue_size.map(Value::from));
        Value::Object(object).to_string()
    }
}
