//! The desk: where a person, or a program of the app, decides about jobs that no worker of ours holds.
//!
//! A job fetched by hand is completed, failed or kept alive here; one that waits is cancelled or deleted; one that is
//! finished is resumed, retried, or redriven from its dead letter queue. Every operation is one statement, on any
//! [`Executor`], and does what pg-boss's own does on that schema. Unlike a worker's verdict it is fenced only where the
//! caller names the attempt and not just the job; see [`Targets`].

mod delete;
mod delete_queue;
mod redrive;

pub use delete::{delete_all_jobs, delete_job, delete_queued_jobs, delete_stored_jobs};
pub use delete_queue::delete_queue;
pub use redrive::{Destination, Redrive, RedrivePreview, preview_redrive, redrive};

use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::dialect::{Capability, Dialect, Template};
use crate::job::{Attempt, Job, RawJson};
use crate::postgres::{self, Executor, Param};
use crate::queue::QueueName;
use crate::refusal::Refusal;
use crate::settle::{FAIL, wrap};

/// Completes, cancels, resumes, retries, restores or touches.
const MOVE: Template = Template(include_str!("desk/move.sql"));

/// The statements of this room, each with what it is for and the flags it is rendered with.
pub const STATEMENTS: [(&str, Template, &[&str]); 14] = [
    ("complete jobs by hand", MOVE, &["complete"]),
    ("complete queued jobs by hand", MOVE, &["complete", "queued"]),
    ("cancel jobs", MOVE, &["cancel"]),
    ("resume jobs", MOVE, &["resume"]),
    ("retry jobs", MOVE, &["retry"]),
    ("restore jobs", MOVE, &["restore"]),
    ("fail jobs by hand", FAIL, &["by_hand"]),
    ("delete jobs", delete::DELETE, &["id"]),
    ("delete queued jobs", delete::DELETE, &["queued"]),
    ("delete stored jobs", delete::DELETE, &["stored"]),
    ("delete all jobs of a queue", delete::DELETE, &[]),
    ("delete a queue", delete_queue::DELETE_QUEUE, &[]),
    ("find who needs a queue", delete_queue::REFERRER, &[]),
    ("empty a table", delete::EMPTY, &[]),
];

/// Those that need what not every schema has: redriving, and the heartbeat.
pub const STATEMENTS_OF_NEWER: [(&str, Template, &[&str], Capability); 4] = [
    ("touch jobs", MOVE, &["touch"], Capability::Heartbeat),
    ("zero counts", delete::ZERO, &[], Capability::RetainedCount),
    ("redrive jobs", redrive::REDRIVE, &[], Capability::Lineage),
    ("preview a redrive", redrive::PREVIEW, &[], Capability::Lineage),
];

/// Whether the counts of finished jobs that pg-boss keeps in the queue's row from 12.38 on are brought up to date at once. In
/// the transaction of somebody else that would lock the row until its end, so there it is left to the next maintenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// At once.
    Kept,
    /// By the next maintenance.
    Left,
}

impl Counts {
    fn flags(self, flags: &[&'static str]) -> Vec<&'static str> {
        let kept = (self == Counts::Kept).then_some("counts");
        flags.iter().copied().chain(kept).collect()
    }
}

/// Which jobs are meant: by their ids, or by the attempts in which they were fetched. An attempt that is over, since the job
/// was retried or taken back meanwhile, is left alone and not counted as affected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    ids: Vec<Uuid>,
    attempts: Option<Vec<i32>>,
}

impl Targets {
    /// The jobs' ids.
    pub fn ids(&self) -> &[Uuid] {
        &self.ids
    }

    /// The parameters by which a statement knows the jobs: ids, and the attempts beside them or NULL.
    fn params(&self) -> [Param<'_>; 2] {
        [(&self.ids, Type::UUID_ARRAY), (&self.attempts, Type::INT4_ARRAY)]
    }

    fn check(&self, method: &str) -> Result<(), Refusal> {
        if self.ids.is_empty() {
            return Err(Refusal::Invalid(format!("{method}() requires an id")));
        }
        Ok(())
    }

    /// What was asked about these jobs, once so many of them, or these, are done.
    fn answer(self, done: &[Uuid], listed: bool) -> Affected {
        Affected {
            requested: self.ids.len(),
            affected: done.len(),
            settled: listed.then(|| done.to_vec()),
            jobs: self.ids,
        }
    }
}

impl From<Uuid> for Targets {
    fn from(id: Uuid) -> Targets {
        Targets {
            ids: vec![id],
            attempts: None,
        }
    }
}

impl From<Vec<Uuid>> for Targets {
    fn from(ids: Vec<Uuid>) -> Targets {
        Targets { ids, attempts: None }
    }
}

impl From<&[Uuid]> for Targets {
    fn from(ids: &[Uuid]) -> Targets {
        ids.to_vec().into()
    }
}

impl From<Attempt> for Targets {
    fn from(attempt: Attempt) -> Targets {
        [attempt].as_slice().into()
    }
}

impl From<&[Attempt]> for Targets {
    fn from(attempts: &[Attempt]) -> Targets {
        Targets {
            ids: attempts.iter().map(|attempt| attempt.id).collect(),
            attempts: Some(attempts.iter().map(|attempt| attempt.retry_count).collect()),
        }
    }
}

impl<T> From<&Job<T>> for Targets {
    fn from(job: &Job<T>) -> Targets {
        job.attempt.into()
    }
}

/// What became of a request about jobs. Fewer affected than requested is no error: the others were not there, or not in a
/// state for it. It serialises to the JSON of pg-boss's own `CommandResponse`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Affected {
    /// The ids that were asked about.
    pub jobs: Vec<Uuid>,
    /// How many those are.
    pub requested: usize,
    /// How many rows were changed.
    pub affected: usize,
    /// Which ones, where pg-boss of this schema says so (43, 12.35 and later).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled: Option<Vec<Uuid>>,
}

/// Completes jobs. An object is stored as it is, any other value as `{"value": …}`, `null` as no output. With
/// `queued` jobs are completed that nobody fetched, too.
///
/// # Errors
/// An unknown queue, no job at all, or the database's refusal.
pub async fn complete(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    jobs: Targets,
    output: Option<&RawValue>,
    queued: bool,
) -> Result<Affected, Refusal> {
    let flags: &[&'static str] = if queued { &["complete", "queued"] } else { &["complete"] };
    let output = wrapped(output);
    moved(executor, dialect, ("complete", flags), queue, jobs, output.as_deref()).await
}

/// Fails jobs that are not finished, queued ones too: what follows is up to their retries, as after a worker's failure.
/// The output is stored as by [`complete`].
///
/// # Errors
/// As [`complete`].
pub async fn fail(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    jobs: Targets,
    output: Option<&RawValue>,
) -> Result<Affected, Refusal> {
    jobs.check("fail")?;
    let output = wrapped(output);
    let output = output.as_deref().map(RawValue::get);
    let [ids, attempts] = jobs.params();
    // A job is deleted and inserted again in the table it is in; the row type of the parent is that of all tables.
    let rows = executor
        .query(
            &FAIL.render_with(dialect, "job", &["by_hand"]),
            &[(&queue.as_str(), Type::TEXT), ids, attempts, (&output, Type::TEXT)],
        )
        .await
        .map_err(|error| refused("fail", queue, error))?;
    let mut done = ids_of(&rows)?;
    done.sort_unstable();
    if done.is_empty() {
        known(executor, dialect, queue).await?;
    }
    Ok(jobs.answer(&done, dialect.has(Capability::SourceOutput)))
}

/// Renews the leases of fetched jobs (schema 30 and later).
///
/// # Errors
/// As [`complete`], and a schema without heartbeats.
pub async fn touch(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    jobs: Targets,
) -> Result<Affected, Refusal> {
    Refusal::unless(dialect, "touch", Capability::Heartbeat)?;
    moved(executor, dialect, ("touch", &["touch"]), queue, jobs, None).await
}

/// Cancels jobs that are not finished. Whoever runs one learns of it when its lease is renewed, if at all.
///
/// # Errors
/// As [`complete`].
pub async fn cancel(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    jobs: Targets,
) -> Result<Affected, Refusal> {
    moved(executor, dialect, ("cancel", &["cancel"]), queue, jobs, None).await
}

/// Puts cancelled jobs back into the queue.
///
/// # Errors
/// As [`complete`]; [`Refusal::Conflict`] where the queue's policy has no room for one of them.
pub async fn resume(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    jobs: Targets,
    counts: Counts,
) -> Result<Affected, Refusal> {
    let flags = counts.flags(&["resume"]);
    let affected = moved(executor, dialect, ("resume", &flags), queue, jobs, None).await?;
    Ok(Affected {
        settled: None,
        ..affected
    })
}

/// Gives failed jobs one more retry.
///
/// # Errors
/// As [`resume`].
pub async fn retry(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    jobs: Targets,
) -> Result<Affected, Refusal> {
    let affected = moved(executor, dialect, ("retry", &["retry"]), queue, jobs, None).await?;
    Ok(Affected {
        settled: None,
        ..affected
    })
}

/// Makes jobs what they were when they were sent, whatever their state: queued, and never started.
///
/// # Errors
/// As [`resume`].
pub async fn restore(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    jobs: Targets,
) -> Result<(), Refusal> {
    moved(executor, dialect, ("restore", &["restore"]), queue, jobs, None).await?;
    Ok(())
}

/// Runs `move.sql`.
async fn moved(
    executor: &impl Executor,
    dialect: &Dialect,
    (method, flags): (&'static str, &[&'static str]),
    queue: &QueueName,
    jobs: Targets,
    output: Option<&RawValue>,
) -> Result<Affected, Refusal> {
    jobs.check(method)?;
    let output = output.map(RawValue::get);
    let [ids, attempts] = jobs.params();
    let rows = executor
        .query(
            &MOVE.render_with(dialect, "job", flags),
            &[(&queue.as_str(), Type::TEXT), ids, attempts, (&output, Type::TEXT)],
        )
        .await
        .map_err(|error| refused(method, queue, error))?;
    if rows.is_empty() {
        return Err(Refusal::UnknownQueue(queue.clone()));
    }
    let done = ids_of(&rows)?;
    Ok(jobs.answer(&done, dialect.has(Capability::SourceOutput)))
}

/// The ids of the rows that have one.
fn ids_of(rows: &[Row]) -> Result<Vec<Uuid>, Refusal> {
    let mut ids = Vec::with_capacity(rows.len());
    for row in rows {
        ids.extend(row.try_get::<_, Option<Uuid>>("id").map_err(postgres::Error::from)?);
    }
    Ok(ids)
}

/// Refuses a queue that is not there, where a statement's answer does not say.
async fn known(executor: &impl Executor, dialect: &Dialect, queue: &QueueName) -> Result<(), Refusal> {
    let found = crate::queue::Queue::read(executor, dialect, std::slice::from_ref(queue)).await?;
    if found.is_empty() {
        return Err(Refusal::UnknownQueue(queue.clone()));
    }
    Ok(())
}

fn wrapped(output: Option<&RawValue>) -> Option<RawJson> {
    output.and_then(|output| wrap(output.to_owned()))
}

/// What the database's refusal means in terms of the jobs.
fn refused(method: &str, queue: &QueueName, error: postgres::Error) -> Refusal {
    if error.code() == Some(&SqlState::UNIQUE_VIOLATION) {
        return Refusal::Conflict(format!(
            "{method}: another job of queue {queue} has the place that its policy gives to one; nothing was changed"
        ));
    }
    error.into()
}
