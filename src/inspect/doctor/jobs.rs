//! Jobs that nobody runs, that nobody takes back, that will not live to be run, that are dead.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{Diagnosis, Urgency, lasting};
use crate::dialect::{Dialect, Template};
use crate::postgres::{Error, Executor};
use crate::queue::Queue;

/// The statement behind [`look`].
pub(super) const JOBS: Template = Template(include_str!("jobs.sql"));

/// For how long a job may be due before somebody should have begun one of its queue.
const PATIENCE: f64 = 60.0;

/// What was counted of one queue.
#[derive(Debug, Clone, Default)]
struct Counted {
    ready: i64,
    oldest: Option<f64>,
    begun: Option<f64>,
    active: i64,
    overdue: (i64, Option<f64>),
    silent: (i64, Option<f64>),
    doomed: i64,
    waiting: i64,
}

pub(super) async fn look(
    executor: &impl Executor,
    dialect: &Dialect,
    queues: &[Queue],
) -> Result<Vec<Diagnosis>, Error> {
    let rows = executor.query(&JOBS.render(dialect, "job"), &[]).await?;
    let mut counted = BTreeMap::new();
    for row in rows {
        let one = Counted {
            ready: row.try_get("ready")?,
            oldest: row.try_get("oldest")?,
            begun: row.try_get("begun")?,
            active: row.try_get("active")?,
            overdue: (row.try_get("overdue")?, row.try_get("overdue_by")?),
            silent: (row.try_get("silent")?, row.try_get("silent_for")?),
            doomed: row.try_get("doomed")?,
            waiting: row.try_get("waiting")?,
        };
        counted.insert(row.try_get::<_, String>("name")?, one);
    }
    let dead: BTreeSet<&str> = queues
        .iter()
        .filter_map(|queue| queue.dead_letter.as_ref().map(|name| name.as_str()))
        .collect();
    Ok(counted
        .iter()
        .flat_map(|(queue, counted)| judge(queue, counted, dead.contains(queue.as_str())))
        .collect())
}

/// What the figures of a queue say; `dead` if others send their dead letters there.
fn judge(queue: &str, counted: &Counted, dead: bool) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    let mut say = |severity, code, message: String, evidence, mend: String| {
        found.push(Diagnosis {
            severity,
            code,
            subject: queue.to_owned(),
            message,
            evidence,
            mend,
        });
    };
    let oldest = counted.oldest.unwrap_or(0.0);
    let idle = counted.active == 0 && counted.begun.is_none_or(|begun| begun > PATIENCE);
    if dead {
        if counted.waiting > 0 {
            let evidence = json!({ "dead_letters": counted.waiting, "oldest_seconds": whole(counted.oldest) });
            let message = format!("{} dead letters wait for somebody to look at them", counted.waiting);
            let mend = format!("strawboss redrive {queue} --dry-run");
            say(Urgency::Warning, "dead_letters", message, evidence, mend);
        }
    } else if idle && oldest > PATIENCE {
        let last = counted.begun.map_or_else(
            || "none was ever begun".to_owned(),
            |begun| format!("none was begun in the last {}", lasting(begun)),
        );
        let message = format!(
            "{} jobs are due, the first for {}, and {last}: nobody works this queue",
            counted.ready,
            lasting(oldest)
        );
        let evidence = json!({
            "ready": counted.ready, "oldest_ready_seconds": whole(counted.oldest), "last_begun_seconds": whole(counted.begun),
        });
        let mend = format!("strawboss run (with a handler for it: [queues.{queue}]), or start the Node worker");
        say(Urgency::Error, "backlog_without_consumer", message, evidence, mend);
    }
    if counted.overdue.0 > 0 {
        let message = format!(
            "{} active jobs are beyond their expiry, by {} at most, and no supervisor takes them back",
            counted.overdue.0,
            lasting(counted.overdue.1.unwrap_or(0.0))
        );
        let evidence = json!({ "jobs": counted.overdue.0, "seconds": whole(counted.overdue.1) });
        let mend =
            "strawboss run (worker.supervise is on by default), or a Node pg-boss with supervise: true".to_owned();
        say(Urgency::Error, "active_beyond_expiry", message, evidence, mend);
    }
    if counted.silent.0 > 0 {
        let message = format!(
            "{} active jobs have lost their heartbeat, {} ago at most, and no supervisor takes them back",
            counted.silent.0,
            lasting(counted.silent.1.unwrap_or(0.0))
        );
        let evidence = json!({ "jobs": counted.silent.0, "seconds": whole(counted.silent.1) });
        let mend =
            "strawboss run (worker.supervise is on by default), or a Node pg-boss with supervise: true".to_owned();
        say(Urgency::Error, "active_without_heartbeat", message, evidence, mend);
    }
    if counted.doomed > 0 {
        let message = format!(
            "{} jobs wait for a retry that comes after their retention is over: they will be deleted unrun",
            counted.doomed
        );
        let mend = format!(
            "strawboss queues update {queue} --retention 14d (for jobs to come; `strawboss jobs list {queue} --state retry` shows these)"
        );
        say(
            Urgency::Error,
            "retry_beyond_retention",
            message,
            json!({ "jobs": counted.doomed }),
            mend,
        );
    }
    found
}

/// Whole seconds are precise enough, and infinity is none.
fn whole(seconds: Option<f64>) -> Option<i64> {
    seconds
        .filter(|seconds| seconds.is_finite())
        .map(|seconds| seconds.round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(counted: &Counted, dead: bool) -> Vec<&'static str> {
        judge("q", counted, dead)
            .iter()
            .map(|diagnosis| diagnosis.code)
            .collect()
    }

    #[test]
    fn a_backlog_is_one_only_where_nobody_works() {
        let backlog = Counted {
            ready: 10,
            waiting: 10,
            oldest: Some(61.0),
            ..Counted::default()
        };
        assert_eq!(codes(&backlog, false), ["backlog_without_consumer"]);
        assert_eq!(codes(&backlog, true), ["dead_letters"]);
        let busy = Counted {
            active: 1,
            ..backlog.clone()
        };
        let recent = Counted {
            begun: Some(59.0),
            ..backlog.clone()
        };
        let fresh = Counted {
            oldest: Some(59.0),
            ..backlog
        };
        for fine in [busy, recent, fresh, Counted::default()] {
            assert_eq!(codes(&fine, false), [""; 0], "{fine:?}");
        }
    }
}
