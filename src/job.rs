//! The nouns of the queue: a job, one attempt at it, and what came of that attempt.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::handler::HandlerError;
use crate::queue::QueueName;

/// JSON text that is carried from one side to the other without being parsed.
///
/// Numbers of any length, key order and nesting of any depth survive.
pub type RawJson = Box<RawValue>;

/// One run of one job: the fence under which a worker may settle it.
///
/// pg-boss raises `retry_count` when a job that ran before is fetched again, so the pair names
/// exactly one run. A settlement that does not match both is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// The job's id, the same on every attempt.
    pub id: Uuid,
    /// The row's `retry_count` as the claim returned it; 0 on the first attempt.
    pub retry_count: i32,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.id, self.retry_count)
    }
}

/// A job's state, in pg-boss's order: everything before [`State::Active`] is queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Waiting for its first run.
    Created,
    /// Waiting for another run after a failure.
    Retry,
    /// Claimed by a worker.
    Active,
    /// Done.
    Completed,
    /// Ended by a user before it was done.
    Cancelled,
    /// Out of retries, or dead-lettered.
    Failed,
}

impl State {
    /// Every state, in order.
    pub const ALL: [State; 6] = [
        State::Created,
        State::Retry,
        State::Active,
        State::Completed,
        State::Cancelled,
        State::Failed,
    ];

    /// The label of the enum `job_state`.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Created => "created",
            State::Retry => "retry",
            State::Active => "active",
            State::Completed => "completed",
            State::Cancelled => "cancelled",
            State::Failed => "failed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        State::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| {
                let known: Vec<_> = State::ALL.iter().map(|state| state.as_str()).collect();
                format!("no such state: {text} (one of {})", known.join(", "))
            })
    }
}

/// The group a job counts against when a queue limits work per group (schema 27 and later).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Group {
    /// The group's name.
    pub id: String,
    /// The tier that selects the group's limit, where one is set.
    pub tier: Option<String>,
}

/// A payload as the row has it: JSON text, or `None` where the column is SQL `NULL`.
pub type Payload = Option<Arc<RawValue>>;

/// A claimed job as its handler sees it.
///
/// Written `Job`, it carries its payload as JSON text; `Job<T>` carries it decoded, for handlers made by
/// [`crate::handler::typed`].
#[derive(Debug, Clone)]
pub struct Job<T = Payload> {
    /// Which run this is.
    pub attempt: Attempt,
    /// The queue it was claimed from.
    pub queue: QueueName,
    /// The payload.
    pub data: T,
    /// How many retries the job has in all; it runs at most `retry_limit + 1` times.
    pub retry_limit: i32,
    /// Higher runs first.
    pub priority: i32,
    /// When it was sent, in database time.
    pub created_on: DateTime<Utc>,
    /// From when on it was allowed to run.
    pub start_after: DateTime<Utc>,
    /// When this attempt was claimed, in database time.
    pub started_on: DateTime<Utc>,
    /// How long this attempt may take, from the claim on.
    pub expire: Duration,
    /// The lease under which the row is held, if the schema has heartbeats.
    pub heartbeat: Option<Heartbeat>,
    /// The group, if it was sent with one.
    pub group: Option<Group>,
    /// The singleton key, if it was sent with one.
    pub singleton_key: Option<String>,
    /// The carrier of the producer's trace (`job.trace_context`, schema 44 and later).
    pub trace_context: Option<Arc<RawValue>>,
    /// Where the claim left the row, as PostgreSQL writes a `ctid`: the fastest way back to it, as long as nobody has
    /// changed it since. `None`: by its key.
    pub ctid: Option<Arc<str>>,
}

impl<T> Job<T> {
    /// The job's id, the same on every attempt.
    pub fn id(&self) -> Uuid {
        self.attempt.id
    }

    /// When this attempt has to be done, in database time.
    pub fn deadline(&self) -> DateTime<Utc> {
        chrono::Duration::from_std(self.expire)
            .ok()
            .and_then(|expire| self.started_on.checked_add_signed(expire))
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// The same job with its payload in another form.
    pub fn with_data<U>(&self, data: U) -> Job<U> {
        Job {
            attempt: self.attempt,
            queue: self.queue.clone(),
            data,
            retry_limit: self.retry_limit,
            priority: self.priority,
            created_on: self.created_on,
            start_after: self.start_after,
            started_on: self.started_on,
            expire: self.expire,
            heartbeat: self.heartbeat,
            group: self.group.clone(),
            singleton_key: self.singleton_key.clone(),
            trace_context: self.trace_context.clone(),
            ctid: self.ctid.clone(),
        }
    }
}

impl Job {
    /// The payload as JSON text; `null` where the column is SQL `NULL`.
    pub fn data_text(&self) -> &str {
        self.data.as_deref().map_or("null", RawValue::get)
    }
}

/// The lease of a claimed row: it has to be touched within `seconds`, or any supervisor takes it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// `heartbeat_seconds` of the claimed row.
    pub seconds: i32,
    /// The job was sent without a heartbeat and the claim lent it ours; it leaves with the attempt.
    pub lent: bool,
}

/// What a handler's run came to; it is a value and not an error.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Done, with the job's output (already wrapped as pg-boss wraps it), if any.
    Complete {
        /// Becomes the column `output`.
        output: Option<RawJson>,
    },
    /// This attempt failed; the error says what should follow, and becomes the column `output`.
    Fail(HandlerError),
    /// Not run, or cut off by a shutdown: back to the queue without using up an attempt.
    Release,
}

/// What became of an attempt, as metrics and logs name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The handler succeeded and the row is `completed`.
    Completed,
    /// The attempt failed and the row waits for another.
    Retried,
    /// The attempt failed, was the last, and the queue has no dead letter queue.
    Failed,
    /// The attempt failed, was the last, and a copy lies in the dead letter queue.
    DeadLettered,
    /// A user cancelled the job while it ran.
    Cancelled,
    /// The attempt outlived its deadline.
    Expired,
    /// Handed back without using up an attempt.
    Released,
    /// The row had moved on when the verdict came; nothing was written.
    Fenced,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Outcome; 8] = [
        Outcome::Completed,
        Outcome::Retried,
        Outcome::Failed,
        Outcome::DeadLettered,
        Outcome::Cancelled,
        Outcome::Expired,
        Outcome::Released,
        Outcome::Fenced,
    ];

    /// The value of the label `outcome`.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Completed => "completed",
            Outcome::Retried => "retried",
            Outcome::Failed => "failed",
            Outcome::DeadLettered => "dead_lettered",
            Outcome::Cancelled => "cancelled",
            Outcome::Expired => "expired",
            Outcome::Released => "released",
            Outcome::Fenced => "fenced",
        }
    }
}
