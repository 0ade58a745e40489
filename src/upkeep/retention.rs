//! Deleting jobs past their retention, and dependencies of jobs that are gone.

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::lock;
use super::pass::overdue;
use crate::dialect::{Capability, Dialect, Template};
use crate::postgres::{Client, Error, Executor, Param};

pub(super) const RETAIN: Template = Template(include_str!("retain.sql"));
const RETAINED: Template = Template(include_str!("retained.sql"));
const LESS_RETAINED: Template = Template(include_str!("less_retained.sql"));
const ORPHANS: Template = Template(include_str!("orphans.sql"));
/// As many dependencies as one step deletes.
const FULL: usize = 10_000;

/// What a walk over a queue has done.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Jobs deleted.
    pub(super) deleted: i64,
    /// Of those, the ones `retained_count` held.
    counted: i64,
    /// Finished jobs that stay.
    retained: i64,
    /// It came to the end of the queue.
    pub(super) whole: bool,
    /// It was cut off in a step, and its connection with it.
    cut: bool,
}

/// Walks over a queue and deletes what is past its retention, a step and a transaction at a time, until told to stop, when
/// a step that takes longer is undone; `beat` is called between two.
pub(super) async fn walk(
    client: &mut Client,
    dialect: &Dialect,
    table: &str,
    queue: &str,
    stop: &CancellationToken,
    beat: &(dyn Fn() + Sync),
) -> Result<Walk, Error> {
    let now = client
        .query(&format!("SELECT {} - interval '10s'", dialect.now()), &[])
        .await?;
    let until: Option<DateTime<Utc>> = now.first().map(|row| row.try_get(0)).transpose()?;
    let mut walk = Walk::default();
    let walked = steps(client, dialect, table, queue, until, &mut walk, stop, beat).await;
    if dialect.has(Capability::RetainedCount) {
        let int = |count: i64| i32::try_from(count).unwrap_or(i32::MAX);
        if walk.whole {
            let sql = RETAINED.render(dialect, table);
            let retained = int(walk.retained);
            let params: [Param; 3] = [
                (&queue, Type::TEXT),
                (&retained, Type::INT4),
                (&until, Type::TIMESTAMPTZ),
            ];
            client.query(&sql, &params).await?;
        } else if walk.deleted > 0 && !walk.cut {
            let sql = LESS_RETAINED.render(dialect, table);
            let (counted, deleted) = (int(walk.counted), int(walk.deleted));
            let params: [Param; 3] = [(&queue, Type::TEXT), (&counted, Type::INT4), (&deleted, Type::INT4)];
            let taken_off = client.query(&sql, &params).await;
            // What cut the walk short is the error to be told; the next whole walk sets the counts right.
            if walked.is_ok() {
                taken_off?;
            }
        }
    }
    walked.map(|()| walk)
}

#[expect(clippy::too_many_arguments, reason = "one caller, and each is its own thing")]
async fn steps(
    client: &mut Client,
    dialect: &Dialect,
    table: &str,
    queue: &str,
    until: Option<DateTime<Utc>>,
    walk: &mut Walk,
    stop: &CancellationToken,
    beat: &(dyn Fn() + Sync),
) -> Result<(), Error> {
    let sql = RETAIN.render(dialect, table);
    let lock = format!("{table}deletion");
    let mut after = None::<Uuid>;
    while !stop.is_cancelled() {
        beat();
        let params: [Param; 3] = [(&queue, Type::TEXT), (&after, Type::UUID), (&until, Type::TIMESTAMPTZ)];
        let (next, counts) = tokio::select! {
            step = delete(client, dialect, &sql, &lock, &params) => step?,
            () = overdue(stop) => {
                walk.cut = true;
                break;
            }
        };
        walk.deleted += counts.0;
        walk.counted += counts.1;
        walk.retained += counts.2;
        if next.is_none() {
            walk.whole = true;
            break;
        }
        after = next;
    }
    Ok(())
}

/// One step: the last id of it unless it is the last one, and how many it deleted, counted and retained.
async fn delete(
    client: &mut Client,
    dialect: &Dialect,
    sql: &str,
    lock: &str,
    params: &[Param<'_>],
) -> Result<(Option<Uuid>, (i64, i64, i64)), Error> {
    let work = lock::waited(client, dialect, &[lock]).await?;
    let rows = work.query(sql, params).await?;
    let (mut next, mut counts) = (None, (0, 0, 0));
    if let Some(row) = rows.first() {
        next = row.try_get("next")?;
        counts = (
            row.try_get("deleted")?,
            row.try_get("counted")?,
            row.try_get("retained")?,
        );
    }
    work.commit().await?;
    Ok((next, counts))
}

/// Deletes dependencies of those queues' jobs, all of one table, of which a job is gone. How many.
pub(super) async fn orphans(
    client: &mut Client,
    dialect: &Dialect,
    table: &str,
    queues: &[&str],
) -> Result<i64, Error> {
    if !dialect.has(Capability::Flows) {
        return Ok(0);
    }
    let sql = ORPHANS.render(dialect, table);
    let lock = format!("{table}cleanupDependencies");
    let mut deleted = 0;
    loop {
        let work = lock::waited(client, dialect, &[&lock]).await?;
        let gone = work.query(&sql, &[(&queues, Type::TEXT_ARRAY)]).await?.len();
        work.commit().await?;
        deleted += i64::try_from(gone).unwrap_or(0);
        if gone < FULL {
            return Ok(deleted);
        }
    }
}
