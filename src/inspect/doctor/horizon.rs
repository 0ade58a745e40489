//! Queues whose settings contradict each other: retries that outlive the retention, heartbeats that come too late.

use serde_json::json;

use super::{Diagnosis, Urgency, lasting};
use crate::dialect::{Capability, Dialect};
use crate::events::DEAD_LETTERS;
use crate::queue::{Queue, Settings};

/// The longest a failed attempt may have to wait for the next, in seconds, by the rule of that release. `retry` counts from 0.
fn longest_delay(settings: &Settings, retry: i32, dialect: &Dialect) -> f64 {
    let delay = f64::from(settings.retry_delay.unwrap_or(0));
    if !settings.retry_backoff.unwrap_or(false) {
        return delay;
    }
    // The power is halved, and up to as much is added by chance.
    let power = 2_f64.powi(retry.saturating_add(1).min(16));
    let grown = if dialect.has(Capability::V10) {
        delay.max(1.0) * power
    } else if dialect.has(Capability::BackoffAdds) {
        delay + power
    } else if dialect.has(Capability::BackoffFloor) {
        delay.max(1.0) * power
    } else {
        delay * power
    };
    settings
        .retry_delay_max
        .map_or(grown, |most| grown.min(f64::from(most)))
}

/// When the last attempt begins at the latest, in seconds after the job was allowed to run, if each attempt takes all of its
/// time and is begun at once.
fn last_attempt(settings: &Settings, dialect: &Dialect) -> f64 {
    let expire = f64::from(settings.expire_seconds.unwrap_or(900));
    let retries = settings.retry_limit.unwrap_or(2).clamp(0, 100_000);
    (0..retries)
        .map(|retry| expire + longest_delay(settings, retry, dialect))
        .sum()
}

pub(super) fn lint(queues: &[Queue], dialect: &Dialect) -> Vec<Diagnosis> {
    let is_dead_letter_queue = |name| queues.iter().any(|other| other.dead_letter.as_ref() == Some(name));
    queues
        .iter()
        .flat_map(|queue| of(queue, is_dead_letter_queue(&queue.name), dialect))
        .collect()
}

fn of(queue: &Queue, is_dead_letter_queue: bool, dialect: &Dialect) -> Vec<Diagnosis> {
    let settings = &queue.settings;
    let mut found = Vec::new();
    let mut say = |severity, code, message: String, evidence, mend: String| {
        found.push(Diagnosis {
            severity,
            code,
            subject: queue.name.to_string(),
            message,
            evidence,
            mend,
        });
    };
    let last = last_attempt(settings, dialect);
    let retention = f64::from(settings.retention_seconds.unwrap_or(1_209_600));
    if last > retention {
        let days = (last / 86_400.0).ceil();
        say(
            Urgency::Warning,
            "retries_outlive_retention",
            format!(
                "its last attempt may begin {} after a job was allowed to run, and a job that waits for longer than {} is deleted unrun",
                lasting(last),
                lasting(retention)
            ),
            json!({ "last_attempt_seconds": last.round(), "retention_seconds": retention }),
            format!("strawboss queues update {} --retention {days}d", queue.name),
        );
    }
    let expire = settings.expire_seconds.unwrap_or(900);
    if let Some(heartbeat) = queue.heartbeat_seconds.filter(|heartbeat| *heartbeat >= expire) {
        say(
            Urgency::Warning,
            "heartbeat_beyond_expiry",
            format!("its heartbeat of {heartbeat} s is of no use: an attempt is over after {expire} s anyway"),
            json!({ "heartbeat_seconds": heartbeat, "expire_seconds": expire }),
            format!("strawboss queues update {} --heartbeat 30s", queue.name),
        );
    }
    let keeps_for_ever = dialect.has(Capability::Groups);
    if settings.deletion_seconds == Some(0) && !keeps_for_ever {
        say(
            Urgency::Warning,
            "deletion_at_once",
            "before pg-boss 12.6 a deletion time of 0 does not keep finished jobs for ever, but deletes them at the next maintenance".to_owned(),
            json!({ "deletion_seconds": 0, "version": dialect.version() }),
            format!("strawboss queues update {} --delete-after 7d", queue.name),
        );
    }
    // Deliveries of events name theirs in each job.
    let internal = ["__", "event.", DEAD_LETTERS]
        .iter()
        .any(|start| queue.name.as_str().starts_with(start));
    if queue.dead_letter.is_none() && settings.retry_limit.unwrap_or(2) > 0 && !internal && !is_dead_letter_queue {
        say(
            Urgency::Info,
            "no_dead_letter_queue",
            "a job that fails for good stays in the queue as failed, and is deleted in time with its reason".to_owned(),
            json!({ "deletion_seconds": settings.deletion_seconds }),
            format!("strawboss queues update {0} --dead-letter {0}-dead", queue.name),
        );
    }
    found
}
