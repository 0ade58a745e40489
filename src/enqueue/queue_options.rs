//! What a new queue may be told, and what of it this schema can keep.

use std::time::Duration;

use serde_json::{Map, Value};

use super::Error;
use super::options::{Timing, seconds};
use crate::dialect::{Capability, Dialect};
use crate::queue::{Policy, QueueName};

/// How a queue is created; what is left out is pg-boss's own default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueOptions {
    /// How many jobs may exist or run at once; standard, that is any number, by default.
    pub policy: Policy,
    /// How many times a job is run again after a failure; 2 by default.
    pub retry_limit: Option<u32>,
    /// How long a failed attempt waits for the next; whole seconds, none by default.
    pub retry_delay: Option<Duration>,
    /// Whether that wait doubles from attempt to attempt; it does not by default.
    pub retry_backoff: Option<bool>,
    /// The longest such wait; whole seconds, only beside `retry_backoff: Some(true)` (pg-boss 11.0 and later).
    pub retry_delay_max: Option<Duration>,
    /// How long one attempt may take; whole seconds, at most a day, 15 minutes by default.
    pub expire: Option<Duration>,
    /// How long a job may wait before it is deleted unrun; whole seconds (pg-boss 10: minutes), 14 days by default.
    pub retention: Option<Duration>,
    /// How long a finished job is kept; whole seconds, 7 days by default, zero for ever (pg-boss 11.0 and later, zero 12.6).
    pub delete_after: Option<Duration>,
    /// Where a copy of a job goes that failed for good; that queue has to be there.
    pub dead_letter: Option<QueueName>,
    /// Gives the queue a table of its own (pg-boss 11.0 and later; in pg-boss 10 every queue has one).
    pub partition: bool,
    /// The lease a job's worker has to renew; whole seconds, at least ten, none by default (pg-boss 12.12 and later).
    pub heartbeat: Option<Duration>,
    /// Wakes listening workers when a job comes in that may run at once (pg-boss 12.21 and later).
    pub notify: bool,
    /// From how many queued jobs on pg-boss warns of a backlog (pg-boss 11.0 and later).
    pub warning_queue_size: Option<u32>,
}

impl QueueOptions {
    /// Checks what the database would not: pg-boss leaves these rules to its clients.
    pub(super) fn validate(&self, name: &QueueName, dialect: &Dialect) -> Result<(), Error> {
        QueueName::validated(name.as_str()).map_err(Error::Invalid)?;
        if let Some(dead_letter) = &self.dead_letter {
            QueueName::validated(dead_letter.as_str()).map_err(Error::Invalid)?;
            if dead_letter == name {
                return Err(Error::Invalid(format!(
                    "queue {name} cannot be its own dead letter queue"
                )));
            }
        }
        let modern = Capability::RetryDelayMax;
        let needs = [
            (
                self.policy == Policy::Exclusive,
                "policy exclusive",
                Capability::Exclusive,
            ),
            (
                self.policy == Policy::KeyStrictFifo,
                "policy key_strict_fifo",
                Capability::StrictFifo,
            ),
            (self.partition, "partition", modern),
            (self.heartbeat.is_some(), "heartbeat", Capability::Heartbeat),
            (self.notify, "notify", Capability::Notify),
            (self.warning_queue_size.is_some(), "warning_queue_size", modern),
        ];
        for (given, what, capability) in needs {
            if given && !dialect.has(capability) {
                return Err(Error::unsupported(what, capability, dialect));
            }
        }
        if self.warning_queue_size.is_some_and(|size| i32::try_from(size).is_err()) {
            return Err(Error::Invalid(format!(
                "warning_queue_size must not exceed {}",
                i32::MAX
            )));
        }
        if dialect.has(Capability::V10) && self.retention.is_some_and(|retention| retention.as_secs() % 60 != 0) {
            return Err(Error::Invalid(
                "retention of a queue must be whole minutes for pg-boss 10".to_owned(),
            ));
        }
        self.timing().validate(dialect)
    }

    /// The options with the keys that the schema's `create_queue()` reads; what was left out has no key.
    pub(super) fn json(&self, dialect: &Dialect) -> String {
        let mut object = Map::new();
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                object.insert(key.to_owned(), value);
            }
        };
        let time = |duration: Option<Duration>| duration.map(|duration| Value::from(seconds(duration)));
        set("policy", Some(self.policy.as_str().into()));
        set("retryLimit", self.retry_limit.map(Value::from));
        set("retryDelay", time(self.retry_delay));
        set("retryBackoff", self.retry_backoff.map(Value::from));
        set("retryDelayMax", time(self.retry_delay_max));
        set("expireInSeconds", time(self.expire));
        if dialect.has(Capability::V10) {
            set(
                "retentionMinutes",
                self.retention.map(|it| Value::from(seconds(it) / 60)),
            );
        } else {
            set("retentionSeconds", time(self.retention));
        }
        set("deleteAfterSeconds", time(self.delete_after));
        set("deadLetter", self.dead_letter.as_ref().map(|it| it.as_str().into()));
        set("partition", self.partition.then_some(Value::Bool(true)));
        set("heartbeatSeconds", time(self.heartbeat));
        set("notify", self.notify.then_some(Value::Bool(true)));
        set("warningQueueSize", self.warning_queue_size.map(Value::from));
        Value::Object(object).to_string()
    }

    fn timing(&self) -> Timing {
        Timing {
            retry_limit: self.retry_limit,
            retry_delay: self.retry_delay,
            retry_backoff: self.retry_backoff,
            retry_delay_max: self.retry_delay_max,
            expire: self.expire,
            retention: self.retention,
            delete_after: self.delete_after,
            heartbeat: self.heartbeat,
        }
    }
}
