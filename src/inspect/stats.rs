//! How a queue fares, now and over time.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::iso;
use super::queue_record::bins;
use super::record::moment;
use crate::dialect::{Capability, Dialect, Template};
use crate::postgres::{Error, Executor, Moment};
use crate::queue::QueueName;
use crate::refusal::Refusal;

/// The counts of a queue: those the monitor keeps, or fresh ones.
pub(super) const STATS: Template = Template(include_str!("stats.sql"));
/// The history of a queue.
pub(super) const HISTORY: Template = Template(include_str!("stats_history.sql"));

/// How old the monitor's counts may be, in seconds: usually, and where a fresh reading is asked for.
const FRESH: (i32, i32) = (3_600, 60);
/// The most snapshots of a history.
const MOST: u32 = 100_000;

/// A queue's counts at one moment; it serialises to the JSON of pg-boss's own `QueueStats`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueStats {
    /// The queue.
    pub name: String,
    /// Jobs queued for a time to come.
    pub deferred_count: i32,
    /// Jobs not claimed yet, or waiting for a retry.
    pub queued_count: i32,
    /// Those of them that are due.
    pub ready_count: i32,
    /// Claimed jobs.
    pub active_count: i32,
    /// Failed jobs that are kept.
    pub failed_count: i32,
    /// All jobs that are kept.
    pub total_count: i32,
    /// Of a history: the counters of the window before the snapshot (schema 43 and later).
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// When it was counted.
    #[serde(serialize_with = "iso::millis")]
    pub captured_on: DateTime<Utc>,
}

/// What happened in the window that a snapshot closes; all is `None` where nobody counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// Jobs created.
    pub created_delta: Option<i32>,
    /// Jobs completed.
    pub completed_delta: Option<i32>,
    /// Jobs failed for good.
    pub failed_delta: Option<i32>,
    /// Its length in seconds.
    pub delta_seconds: Option<i32>,
    /// When it ended.
    #[serde(serialize_with = "iso::maybe")]
    pub delta_on: Option<DateTime<Utc>>,
    /// Waits of the jobs finished in it, as pg-boss's 48 bins (schema 44 and later).
    pub wait_bins: Option<Vec<i32>>,
    /// Their runs, in the same bins.
    pub run_bins: Option<Vec<i32>>,
    /// How long the oldest due job had waited.
    pub ready_oldest_seconds: Option<i32>,
}

/// How snapshots that fall into one bucket of time are brought together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Aggregate {
    /// The highest counts.
    #[default]
    Max,
    /// The lowest counts.
    Min,
    /// The rounded mean.
    Avg,
}

/// What of a queue's statistics is wanted.
#[derive(Debug, Clone, Default)]
pub struct StatsOptions {
    /// History: nothing before this.
    pub from: Option<DateTime<Utc>>,
    /// History: nothing after this.
    pub to: Option<DateTime<Utc>>,
    /// History: at most so many snapshots, from 1 to 100,000; 1000 by default.
    pub limit: Option<u32>,
    /// History: one snapshot for each so many seconds.
    pub bucket_seconds: Option<u32>,
    /// History: as many seconds as make this many snapshots; `bucket_seconds` goes first.
    pub max_data_points: Option<u32>,
    /// How the snapshots of a bucket are brought together.
    pub aggregate: Aggregate,
    /// Without history: count unless that was done within a minute.
    pub force: bool,
}

/// A queue's statistics, newest first: the history that a supervisor with `persistQueueStats` wrote if `history` is set
/// (schema 35 and later), else one snapshot. That one has the counts of the monitor's last pass if they are not older
/// than an hour (a minute with `force`), and fresh ones otherwise; pg-boss before 12.24 always counts.
///
/// # Errors
/// An unknown queue, an option out of range, a schema without history, or the database's refusal.
pub async fn queue_stats(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    history: bool,
    options: &StatsOptions,
) -> Result<Vec<QueueStats>, Refusal> {
    if history {
        return recorded(executor, dialect, queue, options).await;
    }
    let kept = dialect.catalog().has_table("queue_stats");
    let oldest = match (kept, options.force) {
        (false, _) => -1,
        (true, false) => FRESH.0,
        (true, true) => FRESH.1,
    };
    let rows = executor
        .query(
            &STATS.render(dialect, "job"),
            &[(&queue.as_str(), Type::TEXT), (&oldest, Type::INT4)],
        )
        .await?;
    if rows.is_empty() {
        return Err(Refusal::UnknownQueue(queue.clone()));
    }
    // The counters are of the last pass that counted, and not of this reading.
    let window = dialect.has(Capability::SourceOutput).then(Window::default);
    Ok(rows
        .iter()
        .map(|row| read(queue, row, window.clone()))
        .collect::<Result<Vec<_>, Error>>()?)
}

async fn recorded(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    options: &StatsOptions,
) -> Result<Vec<QueueStats>, Refusal> {
    if !dialect.catalog().has_table("queue_stats") {
        return Err(Refusal::Unsupported {
            what: "the history of a queue's statistics",
            release: "12.24",
            version: dialect.version(),
        });
    }
    let limit = options.limit.unwrap_or(super::record::LIMIT);
    if !(1..=MOST).contains(&limit) {
        return Err(Refusal::Invalid(format!(
            "getQueueStats: limit must be an integer between 1 and {MOST}"
        )));
    }
    for (value, name) in [
        (options.bucket_seconds, "bucketSeconds"),
        (options.max_data_points, "maxDataPoints"),
    ] {
        if value == Some(0) {
            return Err(Refusal::Invalid(format!(
                "getQueueStats: {name} must be a positive integer"
            )));
        }
    }
    let mut flags = Vec::new();
    let width = match (options.bucket_seconds, options.max_data_points) {
        (Some(seconds), _) => {
            flags.extend(["bucketed", "bucket"]);
            Some(seconds)
        }
        (None, Some(points)) => {
            flags.extend(["bucketed", "auto"]);
            Some(points)
        }
        (None, None) => None,
    };
    if width.is_some() {
        flags.push(match options.aggregate {
            Aggregate::Max => "max",
            Aggregate::Min => "min",
            Aggregate::Avg => "avg",
        });
    }
    let rows = executor
        .query(
            &HISTORY.render_with(dialect, "job", &flags),
            &[
                (&queue.as_str(), Type::TEXT),
                (&options.from, Type::TIMESTAMPTZ),
                (&options.to, Type::TIMESTAMPTZ),
                (&i64::from(limit), Type::INT8),
                (&width.map(i64::from), Type::INT8),
            ],
        )
        .await?;
    if rows.is_empty() {
        return Err(Refusal::UnknownQueue(queue.clone()));
    }
    let counted = dialect.has(Capability::SourceOutput);
    let measured = dialect.has(Capability::TraceContext);
    let mut stats = Vec::with_capacity(rows.len());
    for row in &rows {
        // The one row without a snapshot says that there are none.
        if moment(row, "captured_on")?.is_none() {
            continue;
        }
        let window = if counted { Some(window(row, measured)?) } else { None };
        stats.push(read(queue, row, window)?);
    }
    Ok(stats)
}

fn window(row: &Row, measured: bool) -> Result<Window, Error> {
    Ok(Window {
        created_delta: row.try_get("created_delta")?,
        completed_delta: row.try_get("completed_delta")?,
        failed_delta: row.try_get("failed_delta")?,
        delta_seconds: row.try_get("delta_seconds")?,
        delta_on: moment(row, "delta_on")?,
        wait_bins: if measured { bins(row, "wait_bins")? } else { None },
        run_bins: if measured { bins(row, "run_bins")? } else { None },
        ready_oldest_seconds: if measured {
            row.try_get("ready_oldest_seconds")?
        } else {
            None
        },
    })
}

fn read(queue: &QueueName, row: &Row, window: Option<Window>) -> Result<QueueStats, Error> {
    Ok(QueueStats {
        name: queue.to_string(),
        deferred_count: row.try_get("deferred_count")?,
        queued_count: row.try_get("queued_count")?,
        ready_count: row.try_get("ready_count")?,
        active_count: row.try_get("active_count")?,
        failed_count: row.try_get("failed_count")?,
        total_count: row.try_get("total_count")?,
        window,
        captured_on: row.try_get::<_, Moment>("captured_on")?.0,
    })
}
