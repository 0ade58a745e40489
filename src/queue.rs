//! Queues: their names, their policies and what the table `queue` says of them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use tokio_postgres::types::Type;

use crate::dialect::{Dialect, Template};
use crate::postgres::{Error, Executor};

/// The statement that reads rows of the table `queue`.
pub const READ: Template = Template(include_str!("queue/read.sql"));

/// A queue's name, cheap to clone.
///
/// Any non-empty text is taken when reading, since Node of versions 10 and 11 allowed nearly anything;
/// [`QueueName::validated`] is the stricter rule for names we create.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueName(Arc<str>);

impl QueueName {
    /// Takes any name, as found in the database.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// Takes a name that every pg-boss from 12.13 on accepts: ASCII letters, digits, `_`, `.`, `-` and `/`.
    ///
    /// # Errors
    /// Says which character is not allowed.
    pub fn validated(name: &str) -> Result<Self, String> {
        if name.is_empty() {
            return Err("a queue's name must not be empty".into());
        }
        if let Some(odd) = name
            .chars()
            .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/')))
        {
            return Err(format!(
                "a queue's name is made of letters, digits, `_`, `.`, `-` and `/`; {odd:?} in {name:?} is none of them"
            ));
        }
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for QueueName {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for QueueName {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

impl From<&QueueName> for QueueName {
    fn from(name: &QueueName) -> Self {
        name.clone()
    }
}

impl AsRef<str> for QueueName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// How many jobs of a queue, or of a key in it, may exist or run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Policy {
    /// No limit.
    #[default]
    Standard,
    /// One queued job per key.
    Short,
    /// One active job per key.
    Singleton,
    /// One job per state (created, retry, active) and key.
    Stately,
    /// One unfinished job per key (schema 26 and later).
    Exclusive,
    /// Jobs of a key run strictly one after another (schema 28 and later).
    KeyStrictFifo,
}

impl Policy {
    /// Every policy.
    pub const ALL: [Policy; 6] = [
        Policy::Standard,
        Policy::Short,
        Policy::Singleton,
        Policy::Stately,
        Policy::Exclusive,
        Policy::KeyStrictFifo,
    ];

    /// The value of the column `policy`.
    pub fn as_str(self) -> &'static str {
        match self {
            Policy::Standard => "standard",
            Policy::Short => "short",
            Policy::Singleton => "singleton",
            Policy::Stately => "stately",
            Policy::Exclusive => "exclusive",
            Policy::KeyStrictFifo => "key_strict_fifo",
        }
    }
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Policy::ALL
            .into_iter()
            .find(|policy| policy.as_str() == text)
            .ok_or_else(|| {
                let known: Vec<_> = Policy::ALL.iter().map(|policy| policy.as_str()).collect();
                format!("no such policy: {text} (one of {})", known.join(", "))
            })
    }
}

/// What the worker needs to know of a queue: a row of the table `queue`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: QueueName,
    /// The policy; `None` where the row says something this build does not know.
    pub policy: Option<Policy>,
    /// The physical job table, unquoted (`j…` on schema 24, `job_common` or `j…` later).
    pub table: String,
    /// Inserts emit `NOTIFY` (schema 32 and later).
    pub notify: bool,
    /// Where jobs go that failed for good.
    pub dead_letter: Option<QueueName>,
    /// The queue's own default heartbeat (schema 30 and later).
    pub heartbeat_seconds: Option<i32>,
    /// What its jobs inherit, and how it is kept.
    pub settings: Settings,
}

/// The rest of what a queue was created with; `None` where the row leaves it to the instance (schema 24) or the
/// schema has no such column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// It has a table of its own.
    pub partition: bool,
    /// How many times a job is run again after a failure.
    pub retry_limit: Option<i32>,
    /// How long a failed attempt waits for the next.
    pub retry_delay: Option<i32>,
    /// Whether that wait doubles from attempt to attempt.
    pub retry_backoff: Option<bool>,
    /// The longest such wait in seconds; `None` for no limit.
    pub retry_delay_max: Option<i32>,
    /// How long one attempt may take.
    pub expire_seconds: Option<i32>,
    /// How long a job may wait before it is deleted unrun.
    pub retention_seconds: Option<i32>,
    /// How long a finished job is kept; 0 for ever.
    pub deletion_seconds: Option<i32>,
    /// From how many queued jobs on pg-boss warns of a backlog; 0 leaves it to the instance.
    pub warning_queued: Option<i32>,
}

impl Queue {
    /// Reads the rows of those queues that exist.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn read(executor: &impl Executor, dialect: &Dialect, names: &[QueueName]) -> Result<Vec<Queue>, Error> {
        let names = names.iter().map(QueueName::as_str).collect();
        Self::rows(executor, dialect, Some(names)).await
    }

    /// Reads the rows of all queues, ordered by name.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn read_all(executor: &impl Executor, dialect: &Dialect) -> Result<Vec<Queue>, Error> {
        Self::rows(executor, dialect, None).await
    }

    async fn rows(executor: &impl Executor, dialect: &Dialect, names: Option<Vec<&str>>) -> Result<Vec<Queue>, Error> {
        let rows = executor
            .query(&READ.render(dialect, "job"), &[(&names, Type::TEXT_ARRAY)])
            .await?;
        rows.iter()
            .map(|row| {
                let policy: Option<&str> = row.try_get("policy")?;
                Ok(Queue {
                    name: QueueName::new(row.try_get::<_, &str>("name")?),
                    policy: policy.map_or(Some(Policy::Standard), |policy| policy.parse().ok()),
                    table: row.try_get("table_name")?,
                    notify: row.try_get("notify")?,
                    dead_letter: row.try_get::<_, Option<&str>>("dead_letter")?.map(QueueName::new),
                    heartbeat_seconds: row.try_get("heartbeat_seconds")?,
                    settings: Settings {
                        partition: row.try_get("partition")?,
                        retry_limit: row.try_get("retry_limit")?,
                        retry_delay: row.try_get("retry_delay")?,
                        retry_backoff: row.try_get("retry_backoff")?,
                        retry_delay_max: row.try_get("retry_delay_max")?,
                        expire_seconds: row.try_get("expire_seconds")?,
                        retention_seconds: row.try_get("retention_seconds")?,
                        deletion_seconds: row.try_get("deletion_seconds")?,
                        warning_queued: row.try_get("warning_queued")?,
                    },
                })
            })
            .collect()
    }
}
