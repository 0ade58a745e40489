//! Creates the queues that the configuration wants to be there.

use std::time::Duration;

use super::{Creation, Error, QueueOptions, create_queue};
use crate::config::EnsureConfig;
use crate::dialect::Dialect;
use crate::postgres::Executor;
use crate::queue::QueueName;

impl From<&EnsureConfig> for QueueOptions {
    fn from(config: &EnsureConfig) -> QueueOptions {
        let seconds = |value: Option<i32>| value.map(|seconds| Duration::from_secs(seconds.try_into().unwrap_or(0)));
        let count = |value: Option<i32>| value.map(|count| count.try_into().unwrap_or(0));
        QueueOptions {
            policy: config.policy.unwrap_or_default(),
            retry_limit: count(config.retry_limit),
            retry_delay: seconds(config.retry_delay),
            retry_backoff: config.retry_backoff,
            retry_delay_max: seconds(config.retry_delay_max),
            expire: seconds(config.expire_in_seconds),
            retention: seconds(config.retention_seconds),
            delete_after: seconds(config.delete_after_seconds),
            dead_letter: config.dead_letter.as_deref().map(QueueName::new),
            partition: config.partition.unwrap_or_default(),
            heartbeat: seconds(config.heartbeat_seconds),
            notify: config.notify.unwrap_or_default(),
            warning_queue_size: count(config.warning_queue_size),
        }
    }
}

/// Creates the queue if it is not there, its dead letter queue before it; returns the names of those that were made.
///
/// An existing queue is left as it is, whatever its options.
///
/// # Errors
/// As [`create_queue`].
pub async fn ensure(
    executor: &impl Executor,
    dialect: &Dialect,
    name: &QueueName,
    options: &QueueOptions,
) -> Result<Vec<QueueName>, Error> {
    let mut created = Vec::new();
    if let Some(dead_letter) = &options.dead_letter
        && create_queue(executor, dialect, dead_letter, &QueueOptions::default()).await? == Creation::Created
    {
        created.push(dead_letter.clone());
    }
    if create_queue(executor, dialect, name, options).await? == Creation::Created {
        created.push(name.clone());
    }
    Ok(created)
}
