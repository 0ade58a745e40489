//! The life of one job in order, as far as rows tell.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::iso;
use super::record::{JobRecord, job_by_id, moment};
use crate::chronicle::{Remembered, remembered};
use crate::dialect::{Capability, Dialect, Template};
use crate::home::Home;
use crate::postgres::{self, Executor};
use crate::queue::QueueName;
use crate::refusal::Refusal;

/// The jobs that came of a job.
pub(super) const KIN: Template = Template(include_str!("kin.sql"));

/// Something that befell a job.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// When; `None` where no row says.
    #[serde(serialize_with = "iso::maybe")]
    pub at: Option<DateTime<Utc>>,
    /// What: `sent`, `attempt`, `waits`, `completed`, `failed`, `cancelled`, `came_from`, `dead_lettered`, `redriven`.
    pub what: &'static str,
    /// The rest, for people.
    pub detail: String,
}

/// The life of a job; `None` where there is no such job and nothing is remembered of it.
///
/// A job that Node ran has left its last attempt in its row; a strawboss worker with `worker.history` has left them all.
///
/// # Errors
/// An unknown queue, or the database's refusal.
pub async fn life(
    executor: &impl Executor,
    dialect: &Dialect,
    home: &Home,
    queue: &QueueName,
    id: Uuid,
) -> Result<Option<Vec<Event>>, Refusal> {
    let job = job_by_id(executor, dialect, queue, id).await?;
    let attempts = remembered(executor, home, dialect.schema(), &[id]).await?;
    let mut events = Vec::new();
    if let Some(job) = &job {
        events.extend(before(job));
    }
    events.extend(attempts.iter().map(attempted));
    if let Some(job) = &job {
        let known = attempts.iter().any(|attempt| attempt.retry_count == job.retry_count);
        events.extend(since(job, known));
    }
    events.extend(kin(executor, dialect, id).await?);
    // What is without a time is of the job as it is now.
    events.sort_by_key(|event| event.at.unwrap_or(DateTime::<Utc>::MAX_UTC));
    Ok((job.is_some() || !events.is_empty()).then_some(events))
}

fn event(at: Option<DateTime<Utc>>, what: &'static str, detail: String) -> Event {
    Event { at, what, detail }
}

fn before(job: &JobRecord) -> Vec<Event> {
    let mut events = Vec::new();
    if let Some(source) = &job.source_name {
        let id = job.source_id.map(|id| format!(" as {id}")).unwrap_or_default();
        let retries = job.source_retry_count.unwrap_or_default();
        let detail = format!("it is the dead letter of a job sent to {source}{id}, which had {retries} retries");
        events.push(event(job.source_created_on, "came_from", detail));
    } else if let Some(Some(root)) = job.source_root_id {
        let detail = format!("it was redriven; the first job of the chain was {root}");
        events.push(event(Some(job.created_on), "came_from", detail));
    }
    let deferred = job.start_after > job.created_on && job.retry_count == 0 && job.started_on.is_none();
    let later = if deferred {
        format!(", to start after {}", iso::text(&job.start_after))
    } else {
        String::new()
    };
    events.push(event(Some(job.created_on), "sent", format!("to {}{later}", job.name)));
    events
}

fn attempted(attempt: &Remembered) -> Event {
    let took = (attempt.ended_on - attempt.started_on).num_milliseconds();
    let error = attempt
        .error
        .as_deref()
        .map(|error| format!(": {error}"))
        .unwrap_or_default();
    let trace = attempt
        .trace_id
        .as_deref()
        .map(|id| format!(" (trace {id})"))
        .unwrap_or_default();
    let detail = format!(
        "{} on {}: {} after {took} ms{error}{trace}",
        attempt.retry_count + 1,
        attempt.worker,
        attempt.outcome
    );
    event(Some(attempt.started_on), "attempt", detail)
}

/// What the row says of the last attempt and of now.
fn since(job: &JobRecord, known: bool) -> Vec<Event> {
    let mut events = Vec::new();
    let output = job
        .output
        .as_ref()
        .map(|output| message(output.get()))
        .unwrap_or_default();
    if let Some(started) = job.started_on.filter(|_| !known) {
        let detail = match job.state.as_str() {
            "active" => format!("{} is under way", job.retry_count + 1),
            "retry" => format!("{} failed{output}", job.retry_count + 1),
            _ => format!("{}, the last", job.retry_count + 1),
        };
        events.push(event(Some(started), "attempt", detail));
    }
    match job.state.as_str() {
        "completed" => events.push(event(job.completed_on, "completed", String::new())),
        "failed" => events.push(event(
            job.completed_on,
            "failed",
            format!(
                "for good, after {} of {} retries{output}",
                job.retry_count, job.retry_limit
            ),
        )),
        "cancelled" => events.push(event(job.completed_on, "cancelled", String::new())),
        "created" | "retry" => {
            let blocked = job
                .pending_dependencies
                .filter(|_| job.blocked == Some(true))
                .map(|parents| format!(", behind {parents} parents"))
                .unwrap_or_default();
            let nth = job.retry_count + i32::from(job.started_on.is_some()) + 1;
            let detail = format!(
                "for attempt {nth} of {}, due {}{blocked}",
                job.retry_limit + 1,
                iso::text(&job.start_after)
            );
            events.push(event(None, "waits", detail));
        }
        _ => {}
    }
    events
}

/// The message of an output, as dashboards show it.
fn message(output: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Shown {
        message: Option<String>,
    }
    let shown = serde_json::from_str::<Shown>(output).ok().and_then(|it| it.message);
    shown.map(|message| format!(": {message}")).unwrap_or_default()
}

/// The dead letters and the redriven jobs that came of it.
async fn kin(executor: &impl Executor, dialect: &Dialect, id: Uuid) -> Result<Vec<Event>, Refusal> {
    if !dialect.has(Capability::Lineage) {
        return Ok(Vec::new());
    }
    let rows = executor
        .query(&KIN.render(dialect, "job"), &[(&id, Type::UUID)])
        .await?;
    let mut events = Vec::new();
    for row in &rows {
        let (name, other): (String, Uuid) = (
            row.try_get("name").map_err(postgres::Error::from)?,
            row.try_get("id").map_err(postgres::Error::from)?,
        );
        let (state, letter): (String, bool) = (
            row.try_get("state").map_err(postgres::Error::from)?,
            row.try_get("letter").map_err(postgres::Error::from)?,
        );
        let what = if letter { "dead_lettered" } else { "redriven" };
        let detail = format!("to {name} as {other}, which is {state}");
        events.push(event(moment(row, "created_on")?, what, detail));
    }
    Ok(events)
}
