//! Who may take how many: the claim, the wake-ups before it and the demand behind it.

mod consumer;
mod listener;
mod scout;
mod slots;

pub use consumer::{Claimed, Consumer, Demand};
pub use listener::Listener;
pub use scout::{PEEK, Scout, Served, Watched};
pub use slots::{Slot, Slots};

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::{RawValue, to_raw_value};
use tokio_postgres::Row;
use tokio_postgres::types::{Json, Type};

use crate::config::QueueConfig;
use crate::dialect::{Capability, Dialect, Template};
use crate::job::{Attempt, Group, Heartbeat, Job, RawJson};
use crate::postgres::{Class, Error, Executor, Moment};
use crate::queue::{Policy, Queue, QueueName};

/// The statement that claims.
pub const CLAIM: Template = Template(include_str!("claim/claim.sql"));

/// Which due jobs of a queue may be claimed, and how many of a group at once.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// The lease lent to jobs that have no heartbeat of their own, in seconds (schema 30 and later).
    pub lease: Option<i32>,
    /// Jobs of a lower priority stay.
    pub min_priority: Option<i32>,
    /// Jobs of a higher priority stay.
    pub max_priority: Option<i32>,
    /// Jobs of one group that may be active at once, all workers together (schema 27 and later).
    pub group_limit: Option<i32>,
    /// The same by tier, as a JSON object of numbers.
    pub group_tiers: Option<RawJson>,
    /// Jobs of these groups stay (schema 27 and later).
    pub without_groups: Vec<String>,
    /// Jobs that are not due yet are taken, too.
    pub early: bool,
    /// Priorities are not looked at (before pg-boss 12.30).
    pub any_priority: bool,
    /// What was sent first does not go first (before pg-boss 12.30).
    pub any_age: bool,
}

impl Terms {
    /// The terms a queue is configured with; `lease` is lent to jobs without a heartbeat, unless it is zero.
    pub fn of(config: &QueueConfig, lease: Duration) -> Terms {
        let limit = config.group_concurrency.as_ref();
        let tiers = limit.filter(|limit| !limit.tiers.is_empty());
        Terms {
            lease: i32::try_from(lease.as_secs()).ok().filter(|seconds| *seconds > 0),
            min_priority: config.min_priority,
            max_priority: config.max_priority,
            group_limit: limit.map(|limit| i32::try_from(limit.default).unwrap_or(i32::MAX)),
            group_tiers: tiers.and_then(|limit| to_raw_value(&limit.tiers).ok()),
            ..Terms::default()
        }
    }

    /// The claim for one queue, as this dialect writes it.
    pub fn render(&self, dialect: &Dialect, queue: &Queue) -> Arc<str> {
        let mut flags = Vec::new();
        match queue.policy {
            Some(Policy::Singleton) => flags.push("singleton"),
            Some(Policy::Stately) => flags.extend(["singleton", "stately"]),
            Some(Policy::KeyStrictFifo) => flags.push("strict_fifo"),
            _ => {}
        }
        // Where there are no groups, no job is of one.
        if self.group_limit.is_some() && dialect.has(Capability::Groups) {
            flags.push("group_limit");
        }
        if self.min_priority.is_some() {
            flags.push("min_priority");
        }
        if self.max_priority.is_some() {
            flags.push("max_priority");
        }
        if !self.without_groups.is_empty() && dialect.has(Capability::Groups) {
            flags.push("without_groups");
        }
        if self.early {
            flags.push("early");
        }
        if dialect.has(Capability::FetchOrderById) {
            flags.extend(self.any_priority.then_some("any_priority"));
            flags.extend(self.any_age.then_some("any_age"));
        }
        CLAIM.render_with(dialect, &queue.table, &flags)
    }
}

/// Claims up to `limit` jobs with a statement of [`Terms::render`].
///
/// Two claims that race for the same key of a policy meet at its unique index; the loser finds nothing.
///
/// # Errors
/// Whatever the database says, that race excepted.
pub async fn claim(
    executor: &impl Executor,
    sql: &str,
    terms: &Terms,
    queue: &QueueName,
    limit: usize,
) -> Result<Vec<Arc<Job>>, Error> {
    let limit = i32::try_from(limit).unwrap_or(i32::MAX);
    let tiers = terms.group_tiers.as_ref().map(Json);
    let rows = executor
        .query(
            sql,
            &[
                (&queue.as_str(), Type::TEXT),
                (&limit, Type::INT4),
                (&terms.lease, Type::INT4),
                (&terms.min_priority, Type::INT4),
                (&terms.max_priority, Type::INT4),
                (&terms.group_limit, Type::INT4),
                (&tiers, Type::JSONB),
                (&terms.without_groups, Type::TEXT_ARRAY),
            ],
        )
        .await;
    match rows {
        Ok(rows) => {
            let mut jobs = rows.iter().map(|row| read(row, queue)).collect::<Result<Vec<_>, _>>()?;
            jobs.sort_by_key(|job| (std::cmp::Reverse(job.priority), job.created_on));
            Ok(jobs)
        }
        Err(error) if error.class() == Class::Conflict => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn read(row: &Row, queue: &QueueName) -> Result<Arc<Job>, Error> {
    let expire: f64 = row.try_get("expire")?;
    let heartbeat_seconds: Option<i32> = row.try_get("heartbeat_seconds")?;
    let lent: bool = row.try_get("lent")?;
    let group: Option<String> = row.try_get("group_id")?;
    let data: Option<Json<Box<RawValue>>> = row.try_get("data")?;
    let trace_context: Option<Json<Box<RawValue>>> = row.try_get("trace_context")?;
    Ok(Arc::new(Job {
        attempt: Attempt {
            id: row.try_get("id")?,
            retry_count: row.try_get("retry_count")?,
        },
        queue: queue.clone(),
        data: data.map(|json| Arc::from(json.0)),
        retry_limit: row.try_get("retry_limit")?,
        priority: row.try_get("priority")?,
        created_on: row.try_get::<_, Moment>("created_on")?.0,
        start_after: row.try_get::<_, Moment>("start_after")?.0,
        started_on: row.try_get::<_, Moment>("started_on")?.0,
        expire: Duration::try_from_secs_f64(expire).unwrap_or(Duration::from_secs(1)),
        heartbeat: heartbeat_seconds.map(|seconds| Heartbeat { seconds, lent }),
        group: match group {
            Some(id) => Some(Group {
                id,
                tier: row.try_get("group_tier")?,
            }),
            None => None,
        },
        singleton_key: row.try_get("singleton_key")?,
        trace_context: trace_context.map(|json| Arc::from(json.0)),
        ctid: Some(Arc::from(row.try_get::<_, &str>("ctid")?)),
    }))
}
