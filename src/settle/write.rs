//! The statements that write verdicts, each for many attempts at once.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::output::{failure, storable};
use crate::dialect::{Dialect, Template};
use crate::handler::Then;
use crate::job::{Job, Outcome, RawJson, Verdict};
use crate::observe::SettleOp;
use crate::postgres::{Error, Executor};

/// Completes attempts.
pub const COMPLETE: Template = Template(include_str!("complete.sql"));
/// Fails attempts (flag `settle`), or takes jobs back whose time or lease is over (flag `sweep`).
pub const FAIL: Template = Template(include_str!("fail.sql"));
/// Hands attempts back.
pub const RELEASE: Template = Template(include_str!("release.sql"));

/// How a verdict is written.
pub(super) fn operation(verdict: &Verdict) -> SettleOp {
    match verdict {
        Verdict::Complete { .. } => SettleOp::Complete,
        Verdict::Fail(error) if error.then == Then::DeadLetter => SettleOp::DeadLetter,
        Verdict::Fail(_) => SettleOp::Fail,
        Verdict::Release => SettleOp::Release,
    }
}

/// Where the rows of verdicts are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// Where their claims left them, which no statistics can lead astray; one whose lease was renewed has moved since.
    Ctid,
    /// By their key, wherever they are.
    Key,
}

/// One verdict on its way to the database.
pub(super) struct Entry<'a> {
    pub(super) job: &'a Job,
    pub(super) verdict: &'a Verdict,
}

/// A row that was written, and what became of the job.
pub(super) struct Written {
    pub(super) id: Uuid,
    pub(super) queue: String,
    pub(super) outcome: Outcome,
}

/// Writes verdicts of one kind for jobs of one table; what is not among the rows returned was refused by its fence.
///
/// `by`: where the rows are looked for. `cautious`: outputs are stripped of what jsonb refuses, and a release takes the
/// other queued state.
pub(super) async fn write(
    executor: &impl Executor,
    dialect: &Dialect,
    table: &str,
    operation: SettleOp,
    entries: &[Entry<'_>],
    by: By,
    cautious: bool,
) -> Result<Vec<Written>, Error> {
    let mut flags: Vec<&'static str> = match by {
        By::Ctid => vec!["by_ctid"],
        By::Key => Vec::new(),
    };
    let ctids: Vec<Option<&str>> = entries.iter().map(|entry| entry.job.ctid.as_deref()).collect();
    let names: Vec<&str> = entries.iter().map(|entry| entry.job.queue.as_str()).collect();
    let ids: Vec<Uuid> = entries.iter().map(|entry| entry.job.attempt.id).collect();
    let counts: Vec<i32> = entries.iter().map(|entry| entry.job.attempt.retry_count).collect();
    let lent: Vec<bool> = entries
        .iter()
        .map(|entry| entry.job.heartbeat.is_some_and(|heartbeat| heartbeat.lent))
        .collect();
    let stored: Vec<Option<RawJson>> = entries.iter().map(|entry| output_of(entry.verdict, cautious)).collect();
    let outputs: Vec<Option<&str>> = stored
        .iter()
        .map(|output| output.as_deref().map(RawValue::get))
        .collect();
    match operation {
        SettleOp::Complete => {
            let sql = COMPLETE.render_with(dialect, table, &flags);
            let rows = executor
                .query(
                    &sql,
                    &[
                        (&names, Type::TEXT_ARRAY),
                        (&ids, Type::UUID_ARRAY),
                        (&counts, Type::INT4_ARRAY),
                        (&outputs, Type::TEXT_ARRAY),
                        (&lent, Type::BOOL_ARRAY),
                        (&ctids, Type::TEXT_ARRAY),
                    ],
                )
                .await?;
            rows.iter()
                .map(|row| {
                    Ok(Written {
                        queue: row.try_get(0)?,
                        id: row.try_get(1)?,
                        outcome: Outcome::Completed,
                    })
                })
                .collect()
        }
        SettleOp::Fail | SettleOp::DeadLetter => {
            flags.push("settle");
            let sql = FAIL.render_with(dialect, table, &flags);
            let terminal = vec![operation == SettleOp::DeadLetter; entries.len()];
            let (not_before, after): (Vec<Option<f64>>, Vec<Option<f64>>) =
                entries.iter().map(|entry| delays_of(entry.verdict)).unzip();
            let rows = executor
                .query(
                    &sql,
                    &[
                        (&names, Type::TEXT_ARRAY),
                        (&ids, Type::UUID_ARRAY),
                        (&counts, Type::INT4_ARRAY),
                        (&outputs, Type::TEXT_ARRAY),
                        (&terminal, Type::BOOL_ARRAY),
                        (&not_before, Type::FLOAT8_ARRAY),
                        (&after, Type::FLOAT8_ARRAY),
                        (&lent, Type::BOOL_ARRAY),
                        (&ctids, Type::TEXT_ARRAY),
                    ],
                )
                .await?;
            rows.iter()
                .map(|row| {
                    let state: &str = row.try_get("state")?;
                    let outcome = match (state, row.try_get("dead_lettered")?) {
                        ("retry", _) => Outcome::Retried,
                        (_, true) => Outcome::DeadLettered,
                        _ => Outcome::Failed,
                    };
                    Ok(Written {
                        queue: row.try_get("name")?,
                        id: row.try_get("id")?,
                        outcome,
                    })
                })
                .collect()
        }
        SettleOp::Release => {
            if cautious {
                flags.push("swap");
            }
            let started: Vec<DateTime<Utc>> = entries.iter().map(|entry| entry.job.started_on).collect();
            let sql = RELEASE.render_with(dialect, table, &flags);
            let rows = executor
                .query(
                    &sql,
                    &[
                        (&names, Type::TEXT_ARRAY),
                        (&ids, Type::UUID_ARRAY),
                        (&counts, Type::INT4_ARRAY),
                        (&lent, Type::BOOL_ARRAY),
                        (&started, Type::TIMESTAMPTZ_ARRAY),
                        (&ctids, Type::TEXT_ARRAY),
                    ],
                )
                .await?;
            rows.iter()
                .map(|row| {
                    Ok(Written {
                        queue: row.try_get(0)?,
                        id: row.try_get(1)?,
                        outcome: Outcome::Released,
                    })
                })
                .collect()
        }
    }
}

/// Those of the entries whose rows show that their verdict was written: by a write whose answer was lost on the way.
///
/// A failed attempt's row keeps its output until the next attempt settles, so that it is known even when it runs again.
pub(super) async fn landed(
    executor: &impl Executor,
    dialect: &Dialect,
    table: &str,
    operation: SettleOp,
    entries: &[Entry<'_>],
    cautious: bool,
) -> Result<Vec<Written>, Error> {
    let shows = match operation {
        SettleOp::Complete => "j.state = 'completed' AND j.retry_count = v.retry_count",
        SettleOp::Fail | SettleOp::DeadLetter => {
            "j.output = v.output::jsonb \
             AND (j.state IN ('retry', 'failed') AND j.retry_count = v.retry_count OR j.retry_count > v.retry_count)"
        }
        SettleOp::Release => "j.state < 'active' AND j.started_on IS NULL AND j.retry_count = v.retry_count",
    };
    let sql = format!(
        "SELECT j.name, j.id, j.state::text, j.dead_letter IS NOT NULL \
         FROM {} j JOIN unnest($1::text[], $2::uuid[], $3::int[], $4::text[]) AS v(name, id, retry_count, output) \
         ON j.name = v.name AND j.id = v.id WHERE {shows}",
        dialect.qualified(table)
    );
    let names: Vec<&str> = entries.iter().map(|entry| entry.job.queue.as_str()).collect();
    let ids: Vec<Uuid> = entries.iter().map(|entry| entry.job.attempt.id).collect();
    let counts: Vec<i32> = entries.iter().map(|entry| entry.job.attempt.retry_count).collect();
    let stored: Vec<Option<RawJson>> = entries.iter().map(|entry| output_of(entry.verdict, cautious)).collect();
    let outputs: Vec<Option<&str>> = stored
        .iter()
        .map(|output| output.as_deref().map(RawValue::get))
        .collect();
    let rows = executor
        .query(
            &sql,
            &[
                (&names, Type::TEXT_ARRAY),
                (&ids, Type::UUID_ARRAY),
                (&counts, Type::INT4_ARRAY),
                (&outputs, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Written {
                queue: row.try_get(0)?,
                id: row.try_get(1)?,
                outcome: match (operation, row.try_get(2)?, row.try_get(3)?) {
                    (SettleOp::Complete, ..) => Outcome::Completed,
                    (SettleOp::Release, ..) => Outcome::Released,
                    (_, "failed", true) => Outcome::DeadLettered,
                    (_, "failed", false) => Outcome::Failed,
                    _ => Outcome::Retried,
                },
            })
        })
        .collect()
}

fn output_of(verdict: &Verdict, cautious: bool) -> Option<RawJson> {
    let output = match verdict {
        Verdict::Complete { output } => output.clone(),
        Verdict::Fail(error) => failure(error),
        Verdict::Release => None,
    }?;
    if cautious { storable(&output) } else { Some(output) }
}

/// Seconds: no sooner than, and exactly after.
fn delays_of(verdict: &Verdict) -> (Option<f64>, Option<f64>) {
    match verdict {
        Verdict::Fail(error) => match error.then {
            Then::RetryNoSooner(delay) => (Some(delay.as_secs_f64()), None),
            Then::RetryAfter(delay) => (None, Some(delay.as_secs_f64())),
            Then::Retry | Then::DeadLetter => (None, None),
        },
        _ => (None, None),
    }
}
