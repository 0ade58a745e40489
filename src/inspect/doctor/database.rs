//! The server beneath: its clock, its notifications, its dead rows, and the outbox beside the queue.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use super::{Diagnosis, Urgency, lasting, rows};
use crate::dialect::quoted;
use crate::postgres::{Class, Client, Database, Error, ListenEvent, Pooler, channel, listen};

/// Skew up to this many seconds is of no consequence; above a minute Node's pg-boss warns, and schedules are missed.
const SKEW: (f64, f64) = (1.0, 60.0);
/// How long a notification may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(5);
/// Dead rows below this number are no bloat, however few the live ones are.
const DEAD: i64 = 10_000;

/// How far the two clocks are apart.
pub(super) async fn clocks(client: &Client) -> Result<Vec<Diagnosis>, Error> {
    let before = Utc::now();
    let answer = rows(client, include_str!("clocks.sql"), &[]).await?;
    let after = Utc::now();
    let Some(there) = answer
        .first()
        .map(|row| row.try_get::<_, DateTime<Utc>>("now"))
        .transpose()?
    else {
        return Ok(Vec::new());
    };
    let middle = before + (after - before) / 2;
    let skew = (there - middle).num_milliseconds() as f64 / 1e3;
    Ok(skewed(skew).into_iter().collect())
}

fn skewed(skew: f64) -> Option<Diagnosis> {
    let severity = match skew.abs() {
        skew if skew > SKEW.1 => Urgency::Error,
        skew if skew > SKEW.0 => Urgency::Warning,
        _ => return None,
    };
    let way = if skew > 0.0 { "ahead of" } else { "behind" };
    Some(Diagnosis {
        severity,
        code: "clock_skew",
        subject: "this machine".to_owned(),
        message: format!("the database's clock is {} {way} this machine's", lasting(skew.abs())),
        evidence: json!({ "seconds": skew }),
        mend: "timedatectl set-ntp true (on the machine whose clock is wrong)".to_owned(),
    })
}

/// Whether a notification on pg-boss's channel arrives. Its payload names no queue, and is ignored by whoever else listens.
pub(super) async fn listening(database: &Database, client: &Client, schema: &str) -> Result<Vec<Diagnosis>, Error> {
    let failed = |message: String, mend: &str| Diagnosis {
        severity: Urgency::Warning,
        code: "notifications_do_not_arrive",
        subject: format!("channel {}", channel(schema)),
        message,
        evidence: json!({ "channel": channel(schema), "waited_seconds": ARRIVAL.as_secs() }),
        mend: mend.to_owned(),
    };
    if database.detect().await? == Pooler::Transaction {
        let message = "a pooler in transaction mode is in the way: queues with notify are polled all the same";
        return Ok(vec![failed(
            message.to_owned(),
            "connect past the pooler: DATABASE_URL=postgres://… strawboss run",
        )]);
    }
    let (events, mut heard) = mpsc::channel(16);
    let stop = CancellationToken::new();
    let ears = listen(database.settings().clone(), channel(schema), events, stop.clone());
    let exchange = async {
        while let Some(event) = heard.recv().await {
            match event {
                ListenEvent::Connected => {
                    let said = [(&channel(schema) as _, Type::TEXT)];
                    rows(client, "SELECT pg_notify($1, 'strawboss doctor')", &said).await?;
                }
                ListenEvent::Notified(payload) if payload == "strawboss doctor" => return Ok(None),
                ListenEvent::Notified(_) => {}
                ListenEvent::Disconnected(reason) => return Ok(Some(reason)),
            }
        }
        Ok::<_, Error>(Some("the listening connection ended".to_owned()))
    };
    let answer = tokio::select! {
        answer = tokio::time::timeout(ARRIVAL, exchange) => answer,
        () = ears => return Ok(Vec::new()),
    };
    stop.cancel();
    let mend = "strawboss check (shows the connection in force; LISTEN needs a session of its own, not a pooler's)";
    Ok(match answer {
        Ok(Ok(None)) => Vec::new(),
        Ok(Ok(Some(reason))) => vec![failed(format!("LISTEN is not possible: {reason}"), mend)],
        Ok(Err(error)) => return Err(error),
        Err(_) => vec![failed(
            format!("a notification did not arrive within {ARRIVAL:?}"),
            mend,
        )],
    })
}

/// Job tables full of dead rows, or that nobody vacuums.
pub(super) async fn bloat(client: &Client, schema: &str) -> Result<Vec<Diagnosis>, Error> {
    let mut found = Vec::new();
    for row in rows(client, include_str!("bloat.sql"), &[(&schema, Type::TEXT)]).await? {
        let (name, live, dead): (String, i64, i64) = (row.try_get("name")?, row.try_get("live")?, row.try_get("dead")?);
        let table = format!("{}.{}", quoted(schema), quoted(&name));
        let evidence = json!({ "live_rows": live, "dead_rows": dead, "vacuumed_seconds_ago": row.try_get::<_, Option<f64>>("vacuumed")?.map(f64::round) });
        if row.try_get("unwatched")? {
            found.push(Diagnosis {
                severity: Urgency::Warning,
                code: "autovacuum_disabled",
                subject: table.clone(),
                message:
                    "autovacuum never looks at it: a queue's table fills with dead rows, and its statistics grow old"
                        .to_owned(),
                evidence: evidence.clone(),
                mend: format!(
                    "psql -c 'alter table {table} reset (autovacuum_enabled)' (or autovacuum = on for the server)"
                ),
            });
        }
        if dead > DEAD && dead > live {
            found.push(Diagnosis {
                severity: Urgency::Warning,
                code: "bloat",
                subject: table.clone(),
                message: format!("{dead} of its rows are dead and {live} are live"),
                evidence,
                mend: format!("psql -c 'VACUUM (ANALYZE) {table}'"),
            });
        }
    }
    Ok(found)
}

/// Whatever keeps vacuum from its work.
pub(super) async fn horizon(client: &Client, open: Duration) -> Result<Vec<Diagnosis>, Error> {
    let found = rows(
        client,
        include_str!("horizon.sql"),
        &[(&open.as_secs_f64(), Type::FLOAT8)],
    )
    .await?;
    let found = found.iter().map(|row| {
        let (kind, name): (String, String) = (row.try_get("kind")?, row.try_get("name")?);
        let what: Option<String> = row.try_get("what")?;
        let (seconds, held): (Option<f64>, Option<i64>) = (row.try_get("seconds")?, row.try_get("held")?);
        let what = what.unwrap_or_default();
        let open = seconds.map(|seconds| format!("open for {}", lasting(seconds)));
        let open = open.unwrap_or_else(|| format!("holding back {} transactions", held.unwrap_or(0)));
        let mend = match kind.as_str() {
            "session" => format!("psql -c 'SELECT pg_terminate_backend({name})'"),
            "prepared" => format!("psql -c \"ROLLBACK PREPARED '{}'\"", name.replace('\'', "''")),
            _ => format!(
                "psql -c \"SELECT pg_drop_replication_slot('{}')\" (if nobody needs it)",
                name.replace('\'', "''")
            ),
        };
        Ok(Diagnosis {
            severity: Urgency::Warning,
            code: "vacuum_held_back",
            subject: format!("{kind} {name}"),
            message: format!("{open}, {what}: no row that died since can be removed"),
            evidence: json!({ "kind": kind, "seconds": seconds.map(f64::round), "transactions": held }),
            mend,
        })
    });
    found.collect()
}

/// Events that nobody relays.
pub(super) async fn outbox(client: &Client, schema: &str) -> Result<Vec<Diagnosis>, Error> {
    let sql = include_str!("outbox.sql").replace("{outbox}", &quoted(schema));
    let answer = match rows(client, &sql, &[]).await {
        Ok(answer) => answer,
        // No event system, or one that is not ours to look at.
        Err(error) if error.class() == Class::Schema || error.class() == Class::Permanent => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for row in answer {
        let (pending, stranded, failed): (i64, i64, i64) = (
            row.try_get("pending")?,
            row.try_get("stranded")?,
            row.try_get("failed")?,
        );
        let oldest: f64 = row.try_get::<_, Option<f64>>("oldest")?.unwrap_or(0.0);
        let mut say = |severity, code, message: String, mend: &str| {
            found.push(Diagnosis {
                severity,
                code,
                subject: format!("{}.event_outbox", quoted(schema)),
                message,
                evidence: json!({ "pending": pending, "oldest_seconds": oldest.round(), "stranded": stranded, "failed": failed }),
                mend: mend.to_owned(),
            });
        };
        if oldest > 60.0 {
            let message = format!(
                "{pending} events wait, the first for {}: nobody relays them",
                lasting(oldest)
            );
            say(
                Urgency::Error,
                "outbox_lag",
                message,
                "strawboss run (with [events] enabled = true)",
            );
        }
        if stranded > 0 {
            let message = format!("{stranded} events are held as `processing` by a worker that is gone");
            say(
                Urgency::Error,
                "outbox_stranded",
                message,
                "strawboss events outbox --status processing (a relay takes them up again after events.stuck_after)",
            );
        }
        if failed > 0 {
            let message = format!("{failed} events failed for good");
            say(
                Urgency::Warning,
                "outbox_failed",
                message,
                "strawboss events dead-letters",
            );
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skew_is_told_by_its_size_and_direction() {
        assert_eq!(skewed(0.9), None);
        let behind = skewed(-2.0).expect("a finding");
        assert_eq!(
            (behind.severity, behind.message.contains("behind")),
            (Urgency::Warning, true)
        );
        let ahead = skewed(61.0).expect("a finding");
        assert_eq!(
            (ahead.severity, ahead.message.contains("ahead of")),
            (Urgency::Error, true)
        );
    }
}
