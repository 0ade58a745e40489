//! What every attempt came to, kept in our own schema for a while where that is wanted (`worker.history`).
//!
//! Runs hand over a note when an attempt is settled and never wait: notes that do not fit are counted and forgotten. A
//! servant writes those that have gathered with one statement, and deletes the old ones.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::home::{Home, Part};
use crate::inspect::iso;
use crate::job::{Attempt, Outcome};
use crate::observe::Pulse;
use crate::postgres::{Database, Error, Executor, Moment};

/// What the home remembers of attempts.
pub const CHRONICLE: Part = Part {
    name: "chronicle",
    steps: &[include_str!("chronicle/attempt.sql")],
};

const WRITE: &str = include_str!("chronicle/write.sql");
const PRUNE: &str = include_str!("chronicle/prune.sql");
const READ: &str = include_str!("chronicle/read.sql");

/// Notes that may wait to be written.
const ROOM: usize = 20_000;
/// Notes that one statement writes.
const GROUP: usize = 1_000;
/// How long notes gather.
const GATHER: Duration = Duration::from_millis(500);
/// How often old notes are deleted, and how many times in a row at most.
const PRUNING: (Duration, usize) = (Duration::from_secs(60), 20);
/// How long a statement may take before its connection is given up.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest error that is kept, in bytes.
const ERROR: usize = 2_000;

/// An attempt that is over.
#[derive(Debug, Clone)]
pub struct Note {
    /// The queue.
    pub queue: String,
    /// Which attempt.
    pub attempt: Attempt,
    /// When it was claimed, in database time.
    pub started_on: DateTime<Utc>,
    /// How long it took.
    pub took: Duration,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it failed.
    pub error: Option<String>,
    /// The trace it is in.
    pub trace_id: Option<String>,
}

/// An attempt as it is remembered.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Remembered {
    /// The queue.
    pub queue: String,
    /// The job.
    pub job_id: Uuid,
    /// Retries before it.
    pub retry_count: i32,
    /// Who ran it (`worker.name`).
    pub worker: String,
    /// When it was claimed.
    #[serde(serialize_with = "iso::millis")]
    pub started_on: DateTime<Utc>,
    /// When it was settled.
    #[serde(serialize_with = "iso::millis")]
    pub ended_on: DateTime<Utc>,
    /// What became of it.
    pub outcome: String,
    /// Why it failed.
    pub error: Option<String>,
    /// The trace it is in.
    pub trace_id: Option<String>,
}

/// Where notes are left.
pub type Notes = mpsc::Sender<Note>;

/// The servant that keeps the chronicle.
pub struct Chronicler {
    /// Where it is kept.
    pub database: Database,
    /// Our own schema there.
    pub home: Home,
    /// Of which pg-boss's schema it tells.
    pub schema: String,
    /// What this worker calls itself.
    pub worker: String,
    /// How long a note is kept.
    pub retention: Duration,
}

impl Chronicler {
    /// A channel for notes.
    pub fn notes() -> (Notes, mpsc::Receiver<Note>) {
        mpsc::channel(ROOM)
    }

    /// Keeps it until nobody leaves notes any more, or it is told to stop; what has gathered is written then, once.
    pub async fn run(self, mut notes: mpsc::Receiver<Note>, pulse: Pulse, stop: CancellationToken) {
        let (mut gathered, mut trouble, mut ready) = (Vec::with_capacity(GROUP), None::<String>, false);
        let mut pruned = None::<Instant>;
        loop {
            pulse.beat();
            let got = tokio::select! {
                got = notes.recv_many(&mut gathered, GROUP) => got > 0,
                () = tokio::time::sleep(PRUNING.0 / 4) => true,
                () = stop.cancelled() => false,
            };
            if got && gathered.len() < GROUP && !gathered.is_empty() {
                tokio::select! {
                    () = tokio::time::sleep(GATHER) => {}
                    () = stop.cancelled() => {}
                }
            }
            while gathered.len() < GROUP
                && let Ok(note) = notes.try_recv()
            {
                gathered.push(note);
            }
            let kept = async {
                if !ready {
                    self.home.ensure(&mut self.database.client().await?, &CHRONICLE).await?;
                }
                if !gathered.is_empty() {
                    self.write(&gathered).await?;
                }
                if pruned.is_none_or(|at| at.elapsed() >= PRUNING.0) {
                    self.prune().await?;
                    pruned = Some(Instant::now());
                }
                Ok::<(), Error>(())
            };
            match self.database.within(PATIENCE, kept).await {
                Ok(()) => {
                    ready = true;
                    trouble = None;
                }
                Err(error) => {
                    let said = error.to_string();
                    if trouble.as_ref() != Some(&said) {
                        tracing::warn!(%error, "the history of attempts cannot be kept; what should have been noted is forgotten");
                    }
                    trouble = Some(said);
                }
            }
            gathered.clear();
            // What does not fit into one statement follows, unless it cannot be written anyway.
            if !got && (notes.is_empty() || trouble.is_some()) {
                return;
            }
        }
    }

    async fn write(&self, notes: &[Note]) -> Result<(), Error> {
        let queue: Vec<&str> = notes.iter().map(|note| note.queue.as_str()).collect();
        let id: Vec<Uuid> = notes.iter().map(|note| note.attempt.id).collect();
        let count: Vec<i32> = notes.iter().map(|note| note.attempt.retry_count).collect();
        let start: Vec<DateTime<Utc>> = notes.iter().map(|note| note.started_on).collect();
        let took: Vec<f64> = notes.iter().map(|note| note.took.as_secs_f64()).collect();
        let outcome: Vec<&str> = notes.iter().map(|note| note.outcome.as_str()).collect();
        let error: Vec<Option<String>> = notes.iter().map(|note| note.error.as_deref().map(storable)).collect();
        let trace: Vec<Option<&str>> = notes.iter().map(|note| note.trace_id.as_deref()).collect();
        let params = [
            (&self.schema as _, Type::TEXT),
            (&self.worker as _, Type::TEXT),
            (&queue as _, Type::TEXT_ARRAY),
            (&id as _, Type::UUID_ARRAY),
            (&count as _, Type::INT4_ARRAY),
            (&start as _, Type::TIMESTAMPTZ_ARRAY),
            (&took as _, Type::FLOAT8_ARRAY),
            (&outcome as _, Type::TEXT_ARRAY),
            (&error as _, Type::TEXT_ARRAY),
            (&trace as _, Type::TEXT_ARRAY),
        ];
        self.database.query(&self.home.render(WRITE), &params).await?;
        Ok(())
    }

    async fn prune(&self) -> Result<(), Error> {
        let sql = format!(
            "WITH gone AS ({} RETURNING 1) SELECT count(*) AS gone FROM gone",
            self.home.render(PRUNE)
        );
        let retention = self.retention.as_secs_f64();
        for _ in 0..PRUNING.1 {
            let rows = self
                .database
                .query(&sql, &[(&self.schema, Type::TEXT), (&retention, Type::FLOAT8)])
                .await?;
            let gone: i64 = rows.first().map_or(Ok(0), |row| row.try_get("gone"))?;
            if gone < 10_000 {
                break;
            }
        }
        Ok(())
    }
}

/// The attempts at those jobs that are remembered, in their order; none where nothing is.
///
/// # Errors
/// Whatever the database says.
pub async fn remembered(
    executor: &impl Executor,
    home: &Home,
    schema: &str,
    jobs: &[Uuid],
) -> Result<Vec<Remembered>, Error> {
    if !home.has(executor, &CHRONICLE).await? {
        return Ok(Vec::new());
    }
    let rows = executor
        .query(&home.render(READ), &[(&schema, Type::TEXT), (&jobs, Type::UUID_ARRAY)])
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Remembered {
                queue: row.try_get("queue")?,
                job_id: row.try_get("job_id")?,
                retry_count: row.try_get("retry_count")?,
                worker: row.try_get("worker")?,
                started_on: row.try_get::<_, Moment>("started_on")?.0,
                ended_on: row.try_get::<_, Moment>("ended_on")?.0,
                outcome: row.try_get("outcome")?,
                error: row.try_get("error")?,
                trace_id: row.try_get("trace_id")?,
            })
        })
        .collect()
}

/// A text as a column can hold it, and not longer than is of use.
fn storable(text: &str) -> String {
    let mut end = text.len().min(ERROR);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].replace('\0', "\u{fffd}")
}
