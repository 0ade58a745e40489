//! Forwards what was filed, by whomever, to the queues it is for.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::Notify;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::crier::{instant, write};
use super::ledger::{Entry, Fate};
use super::options::send_options;
use crate::dialect::{Capability, Dialect, Template, Watch};
use crate::enqueue;
use crate::home::Home;
use crate::job::RawJson;
use crate::observe::{Metrics, Pulse};
use crate::postgres::{Class, Database, Error, Executor, Moment, Transaction};
use crate::queue::QueueName;

pub(super) const TAKE: Template = Template(include_str!("take.sql"));
pub(super) const FORWARDED: Template = Template(include_str!("forwarded.sql"));
pub(super) const LAST_JOBS: Template = Template(include_str!("last_jobs.sql"));

/// How many are forwarded in one transaction.
const BATCH: i64 = 50;
/// How long that may take before its connection is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// An occurrence that is sent later than this is late: the pass may find it a minute after, and its slot is a minute wide.
const LATE: f64 = 120.0;

/// Forwards as long as the worker lives.
pub struct Porter {
    /// Where the jobs are.
    pub database: Database,
    /// How they are spoken to.
    pub watch: Watch,
    /// Where we remember things.
    pub home: Home,
    /// How often it looks when nobody rings.
    pub interval: Duration,
    /// Where it is counted.
    pub metrics: Metrics,
    /// Rung when something was filed here.
    pub bell: Arc<Notify>,
}

/// What pg-boss files, of every release: 10 has the options beside the rest.
#[derive(Deserialize)]
struct Filed {
    name: String,
    key: Option<String>,
    data: Option<RawJson>,
    options: Option<RawJson>,
    slot: Option<String>,
    strawboss: Option<Note>,
}

/// What our own passes add.
#[derive(Deserialize)]
struct Note {
    occurrence: String,
    result: String,
    key: String,
}

/// Why a batch was not forwarded.
enum Halt {
    /// A job of it was refused.
    Refused,
    /// The database has other troubles.
    Database(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Halt {
        Halt::Database(error)
    }
}

impl From<tokio_postgres::Error> for Halt {
    fn from(error: tokio_postgres::Error) -> Halt {
        Halt::Database(error.into())
    }
}

/// A filed occurrence in our hands.
struct Parcel {
    id: Uuid,
    text: String,
    singleton_key: Option<String>,
    slot: Option<f64>,
}

impl Porter {
    /// Forwards until told to stop.
    pub async fn run(self, pulse: Pulse, stop: CancellationToken) {
        let mut watch = self.watch.clone();
        let mut said = HashSet::new();
        loop {
            pulse.beat();
            let dialect = tokio::select! {
                dialect = watch.spoken() => dialect,
                () = tokio::time::sleep(self.interval) => continue,
                () = stop.cancelled() => return,
            };
            // What is under way is finished: it is one transaction.
            let forwarded = self.database.within(PATIENCE, self.forward(&dialect)).await;
            match forwarded {
                Ok(count) if count >= usize::try_from(BATCH).unwrap_or(usize::MAX) => continue,
                Ok(_) => {}
                Err(error) => match error.class() {
                    Class::Connection | Class::Transient => {}
                    Class::Schema => self.watch.nudge(),
                    _ => {
                        let text = error.to_string();
                        if said.insert(text.clone()) {
                            tracing::error!(error = text, "schedules cannot be forwarded; trying again");
                        }
                    }
                },
            }
            tokio::select! {
                () = self.bell.notified() => {}
                () = tokio::time::sleep(self.interval) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Forwards a batch in one transaction: an occurrence is completed if and only if its job is there. Returns how many
    /// there were. What cannot be sent is completed, too, as pg-boss has it: trying again would not help.
    ///
    /// # Errors
    /// Whatever the database says; nothing is forwarded then.
    pub async fn forward(&self, dialect: &Dialect) -> Result<usize, Error> {
        let forwarded = match self.attempt(dialect, false).await {
            // One of them was refused, and perhaps the transaction with it: once more, each on its own.
            Err(Halt::Refused) => self.attempt(dialect, true).await,
            done => done,
        };
        match forwarded {
            Ok(count) => Ok(count),
            Err(Halt::Database(error)) => Err(error),
            // On its own none of them stops the others.
            Err(Halt::Refused) => Ok(0),
        }
    }

    /// Forwards a batch; with `apart` one that is refused costs the others nothing, for twice as many round trips more.
    async fn attempt(&self, dialect: &Dialect, apart: bool) -> Result<usize, Halt> {
        let mut client = self.database.client().await?;
        let transaction = client.transaction().await?;
        let rows = Executor::query(&transaction, &TAKE.render(dialect, "job"), &[(&BATCH, Type::INT8)]).await?;
        let Some(first) = rows.first() else {
            transaction.rollback().await?;
            return Ok(0);
        };
        // A dead letter queue that is not there is to be known now, and not at the commit.
        transaction.batch("SET CONSTRAINTS ALL IMMEDIATE").await?;
        let now = instant(first.try_get::<_, Moment>("now")?);
        let mut ids = Vec::with_capacity(rows.len());
        let mut entries = Vec::new();
        for row in &rows {
            let parcel = Parcel {
                id: row.try_get("id")?,
                text: row.try_get::<_, Option<String>>("data")?.unwrap_or_default(),
                singleton_key: row.try_get("singleton_key")?,
                slot: row.try_get("slot")?,
            };
            ids.push(parcel.id);
            if let Some(entry) = deliver(&transaction, dialect, &parcel, now, apart).await? {
                entries.push(entry);
            }
        }
        Executor::query(
            &transaction,
            &FORWARDED.render(dialect, "job"),
            &[(&ids, Type::UUID_ARRAY)],
        )
        .await?;
        remember(&transaction, dialect, &entries).await?;
        transaction.commit().await?;
        for entry in &entries {
            let labels = [entry.name.as_str(), entry.fate.as_str()];
            self.metrics.schedule_fires.with_label_values(&labels).inc();
            if entry.job.is_some() {
                let late = now.duration_since(entry.occurrence).as_secs_f64();
                self.metrics.schedule_lateness.observe(late.max(0.0));
            }
        }
        write(&self.home, &mut client, dialect, &entries).await;
        Ok(rows.len())
    }
}

/// Sends the job of one occurrence, and says what became of it. A failure of the database itself ends everything.
async fn deliver(
    transaction: &Transaction<'_>,
    dialect: &Dialect,
    parcel: &Parcel,
    now: Timestamp,
    apart: bool,
) -> Result<Option<Entry>, Halt> {
    let filed: Filed = match serde_json::from_str(&parcel.text) {
        Ok(filed) => filed,
        Err(error) => {
            tracing::error!(job = %parcel.id, %error, "what was filed as an occurrence is none; it is dropped");
            return Ok(None);
        }
    };
    let queue = QueueName::new(filed.name.as_str());
    let occurrence = filed.occurrence(parcel).unwrap_or(now);
    let key = filed.key(parcel);
    let sent = match filed.options(dialect, &parcel.text) {
        Err(reason) => Err(reason),
        Ok(options) => {
            if apart {
                transaction.batch("SAVEPOINT parcel").await?;
            }
            let sent = enqueue::send(transaction, dialect, &queue, filed.data.as_deref(), &options).await;
            match sent {
                Ok(sent) => {
                    if apart {
                        transaction.batch("RELEASE SAVEPOINT parcel").await?;
                    }
                    Ok(sent)
                }
                Err(enqueue::Error::Database(error)) if error.code().is_none() || error.is_transient() => {
                    return Err(error.into());
                }
                Err(_) if !apart => return Err(Halt::Refused),
                Err(error) => {
                    transaction
                        .batch("ROLLBACK TO SAVEPOINT parcel; RELEASE SAVEPOINT parcel")
                        .await?;
                    Err(error.to_string())
                }
            }
        }
    };
    let (fate, job) = match sent {
        Ok(Some(job)) => (filed.fate(occurrence, now), Some(job)),
        Ok(None) => (Fate::Refused, None),
        Err(reason) => {
            tracing::error!(queue = %queue, key, reason, "an occurrence's job could not be sent");
            (Fate::Failed, None)
        }
    };
    tracing::debug!(queue = %queue, key, %occurrence, result = fate.as_str(), "an occurrence was forwarded");
    Ok(Some(Entry {
        name: filed.name,
        key,
        occurrence,
        fate,
        job,
    }))
}

impl Filed {
    /// The options, without what is the schedule's own.
    fn options(&self, dialect: &Dialect, text: &str) -> Result<enqueue::SendOptions, String> {
        let text = match &self.options {
            _ if dialect.has(Capability::V10) => text,
            Some(options) => options.get(),
            None => "{}",
        };
        // Numbers of a payload beside them are of no interest, so nothing is lost by parsing them.
        let options: Option<Map<String, Value>> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        send_options(&options.unwrap_or_default(), dialect)
    }

    /// When it was due: to the second where we filed it, else its slot.
    fn occurrence(&self, parcel: &Parcel) -> Option<Timestamp> {
        match (&self.strawboss, parcel.slot) {
            (Some(note), _) => note.occurrence.parse().ok(),
            (None, Some(slot)) => Timestamp::from_second(slot as i64).ok(),
            (None, None) => self
                .slot
                .as_ref()?
                .replace(' ', "T")
                .parse::<jiff::civil::DateTime>()
                .ok()
                .and_then(|slot| jiff::tz::TimeZone::UTC.to_timestamp(slot).ok()),
        }
    }

    /// The schedule's key; releases up to 12.30 have it behind the name in the key of the job only.
    fn key(&self, parcel: &Parcel) -> String {
        let noted = self.strawboss.as_ref().map(|note| note.key.clone());
        noted.or_else(|| self.key.clone()).unwrap_or_else(|| {
            let key = parcel.singleton_key.as_deref().unwrap_or_default();
            let after = key
                .strip_prefix(self.name.as_str())
                .and_then(|rest| rest.strip_prefix("__"));
            after.unwrap_or_default().to_owned()
        })
    }

    fn fate(&self, occurrence: Timestamp, now: Timestamp) -> Fate {
        let noted = self.strawboss.as_ref().map(|note| note.result.as_str());
        match noted {
            Some("caught_up") => Fate::CaughtUp,
            Some("late") => Fate::Late,
            _ if now.duration_since(occurrence).as_secs_f64() > LATE => Fate::Late,
            _ => Fate::Fired,
        }
    }
}

/// Has every schedule's row name the job of its latest occurrence.
async fn remember(transaction: &Transaction<'_>, dialect: &Dialect, entries: &[Entry]) -> Result<(), Error> {
    if !dialect.has(Capability::ScheduleKind) {
        return Ok(());
    }
    let mut last = BTreeMap::<(&str, &str), (Timestamp, Uuid)>::new();
    for entry in entries {
        let Some(job) = entry.job else { continue };
        let kept = last.entry((&entry.name, &entry.key)).or_insert((entry.occurrence, job));
        if kept.0 <= entry.occurrence {
            *kept = (entry.occurrence, job);
        }
    }
    if last.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = last.keys().map(|(name, _)| *name).collect();
    let keys: Vec<_> = last.keys().map(|(_, key)| *key).collect();
    let jobs: Vec<_> = last.values().map(|(_, job)| *job).collect();
    let params = [
        (&names as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT_ARRAY),
        (&keys, Type::TEXT_ARRAY),
        (&jobs, Type::UUID_ARRAY),
    ];
    Executor::query(transaction, &LAST_JOBS.render(dialect, "job"), &params).await?;
    Ok(())
}
