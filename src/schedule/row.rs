//! The rows of pg-boss's table `schedule`: read, written, removed as Node does.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::crier::instant;
use super::cron::CronVersion;
use super::options::{OF_SCHEDULE, send_options};
use super::recurrence::{Kind, Misread, Recurrence};
use super::zone::Zones;
use crate::dialect::{Capability, Dialect, Template};
use crate::enqueue;
use crate::job::RawJson;
use crate::postgres::{self, Executor, Moment};
use crate::queue::QueueName;

pub(super) const LIST: Template = Template(include_str!("list.sql"));
pub(super) const SET: Template = Template(include_str!("set.sql"));
pub(super) const REMOVE: Template = Template(include_str!("remove.sql"));

/// The database's time.
const NOW: Template = Template("SELECT {now} AS now");

/// A schedule as its row has it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Schedule {
    /// The queue it sends to.
    pub name: String,
    /// Tells several schedules of a queue apart; empty by default, and before schema 25.
    pub key: String,
    /// How its text is read.
    pub kind: Kind,
    /// The cron expression, or the rule.
    pub cron: String,
    /// The zone it is meant in. Before schema 41 a row may have none, and is evaluated in the host's own.
    pub timezone: Option<String>,
    /// The payload of its jobs.
    pub data: Option<RawJson>,
    /// The options of its jobs, and of itself, as they were given.
    pub options: Option<RawJson>,
    /// When it was made.
    #[serde(rename = "createdOn")]
    pub created_on: DateTime<Utc>,
    /// When it was changed last.
    #[serde(rename = "updatedOn")]
    pub updated_on: DateTime<Utc>,
    /// The job it sent last (schema 41 and later).
    #[serde(rename = "lastJobId")]
    pub last_job_id: Option<Uuid>,
}

impl Schedule {
    /// Its text, understood as the passes on this schema do.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn recurrence(&self, dialect: &Dialect, zones: &Zones) -> Result<Recurrence, Misread> {
        let zone = self.timezone.as_deref().unwrap_or(HOST);
        let seed = seed(&self.name, &self.key);
        Recurrence::parse(&self.cron, zone, zones, CronVersion::of(dialect), &seed)
    }

    /// What is done about occurrences that were missed.
    pub fn missed(&self) -> Missed {
        #[derive(serde::Deserialize)]
        struct Policy {
            missed: Option<Value>,
        }
        let options = self
            .options
            .as_ref()
            .map(|options| serde_json::from_str::<Policy>(options.get()));
        match options {
            Some(Ok(Policy { missed: Some(missed) })) if missed == Missed::Once.as_str() => Missed::Once,
            _ => Missed::Skip,
        }
    }
}

/// The zone of a row that has none: the host's own, as Node has it before schema 41.
pub(super) const HOST: &str = "local";

/// What becomes of occurrences that nobody looked at when they were due (schema 41 and later).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Missed {
    /// They are passed over.
    #[default]
    Skip,
    /// The last one of them is made up for.
    Once,
}

impl Missed {
    /// The value of the option `missed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Missed::Skip => "skip",
            Missed::Once => "once",
        }
    }
}

/// What a schedule is to be.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Tells several schedules of a queue apart (schema 25 and later); empty by default.
    pub key: String,
    /// A cron expression, or a rule (schema 41 and later).
    pub cron: String,
    /// The zone it is meant in; UTC by default.
    pub timezone: Option<String>,
    /// The payload of its jobs; none by default.
    pub data: Option<RawJson>,
    /// What is done about occurrences that were missed (schema 41 and later); skipped by default.
    pub missed: Option<Missed>,
    /// The options of its jobs in pg-boss's spelling (see [`spelled`](super::spelled)); none by default.
    pub options: Map<String, Value>,
}

/// Why a schedule was not taken. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Its text or its zone mean nothing.
    #[error(transparent)]
    Misread(#[from] Misread),
    /// It is a rule that has no occurrence left.
    #[error("{0:?} has no occurrence left, so it would never send a job")]
    Over(String),
    /// The queue is not there.
    #[error("Queue {0} not found")]
    UnknownQueue(QueueName),
    /// An option that no pg-boss takes, or not this one.
    #[error("{0}")]
    Invalid(String),
    /// The schema is of a pg-boss that does not have this yet.
    #[error("{what} needs pg-boss {release} or later; the schema here is version {version}")]
    Unsupported {
        /// What it is.
        what: &'static str,
        /// The first release that has it.
        release: &'static str,
        /// The version of the schema.
        version: i32,
    },
    /// The database said no, or was not there.
    #[error(transparent)]
    Database(#[from] postgres::Error),
}

/// The schedules, of one queue or of all, by name and key.
///
/// # Errors
/// Whatever the database says.
pub async fn list(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: Option<&str>,
) -> Result<Vec<Schedule>, postgres::Error> {
    let sql = LIST.render(dialect, "job");
    let rows = executor.query(&sql, &[(&queue, Type::TEXT)]).await?;
    let json = |text: Option<String>| text.and_then(|text| serde_json::value::RawValue::from_string(text).ok());
    rows.iter()
        .map(|row| {
            let cron: String = row.try_get("cron")?;
            Ok(Schedule {
                name: row.try_get("name")?,
                key: row.try_get("key")?,
                kind: match row.try_get::<_, &str>("kind")? {
                    "rrule" => Kind::Rrule,
                    _ => Kind::Cron,
                },
                cron,
                timezone: row.try_get("timezone")?,
                data: json(row.try_get("data")?),
                options: json(row.try_get("options")?),
                created_on: row.try_get::<_, Moment>("created_on")?.0,
                updated_on: row.try_get::<_, Moment>("updated_on")?.0,
                last_job_id: row.try_get("last_job_id")?,
            })
        })
        .collect()
}

/// Makes a schedule, or changes the one of that name and key, as pg-boss's own `schedule` does.
///
/// # Errors
/// What pg-boss of this schema would refuse, and what its passes could not evaluate.
pub async fn set(
    executor: &impl Executor,
    dialect: &Dialect,
    zones: &Zones,
    queue: &QueueName,
    wanted: &Wanted,
) -> Result<(), Error> {
    let zone = wanted
        .timezone
        .as_deref()
        .filter(|zone| !zone.is_empty())
        .unwrap_or("UTC");
    let kind = Kind::of(&wanted.cron);
    // Only a rule can have come to its end.
    let now = match kind {
        Kind::Cron => None,
        Kind::Rrule => {
            let rows = executor.query(&NOW.render(dialect, "job"), &[]).await?;
            rows.first()
                .map(|row| row.try_get("now"))
                .transpose()
                .map_err(postgres::Error::from)?
                .map(instant)
        }
    };
    let options = wanted.check(dialect, zones, queue, zone, now)?;
    let kind = kind.as_str();
    let data = wanted.data.as_deref().map(serde_json::value::RawValue::get);
    let data = data.filter(|text| *text != "null");
    let options = Value::Object(options).to_string();
    let written = executor
        .query(
            &SET.render(dialect, "job"),
            &[
                (&queue.as_str(), Type::TEXT),
                (&wanted.key, Type::TEXT),
                (&kind, Type::TEXT),
                (&wanted.cron, Type::TEXT),
                (&zone, Type::TEXT),
                (&data, Type::TEXT),
                (&options, Type::TEXT),
            ],
        )
        .await;
    match written {
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some(&SqlState::FOREIGN_KEY_VIOLATION) => Err(Error::UnknownQueue(queue.clone())),
        Err(error) => Err(error.into()),
    }
}

/// Removes the schedule of that name and key; tells whether there was one.
///
/// # Errors
/// Whatever the database says.
pub async fn remove(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    key: &str,
) -> Result<bool, postgres::Error> {
    if dialect.has(Capability::V10) && !key.is_empty() {
        return Ok(false);
    }
    let sql = REMOVE.render(dialect, "job");
    let removed = executor
        .query(&sql, &[(&queue.as_str(), Type::TEXT), (&key, Type::TEXT)])
        .await?;
    Ok(!removed.is_empty())
}

impl Wanted {
    /// The options as they are to be stored; `now` is the database's time, where something has to be left from then on.
    fn check(
        &self,
        dialect: &Dialect,
        zones: &Zones,
        queue: &QueueName,
        zone: &str,
        now: Option<jiff::Timestamp>,
    ) -> Result<Map<String, Value>, Error> {
        let needs = |given: bool, what: &'static str, capability: Capability| {
            if !given || dialect.has(capability) {
                return Ok(());
            }
            Err(Error::Unsupported {
                what,
                release: capability.release(),
                version: dialect.version(),
            })
        };
        let is_rule = Kind::of(&self.cron) == Kind::Rrule;
        needs(!self.key.is_empty(), "a key", Capability::RetryDelayMax)?;
        needs(is_rule, "a recurrence rule", Capability::ScheduleKind)?;
        needs(
            self.missed.is_some(),
            "a policy for missed occurrences",
            Capability::ScheduleKind,
        )?;
        if !self.key.is_empty() {
            QueueName::validated(&self.key).map_err(|why| Error::Invalid(why.replace("a queue's name", "a key")))?;
        }
        let seed = seed(queue.as_str(), &self.key);
        let recurrence = Recurrence::parse(&self.cron, zone, zones, CronVersion::of(dialect), &seed)?;
        if let Some(now) = now
            && recurrence.next(now).is_none()
        {
            return Err(Error::Over(self.cron.clone()));
        }
        let sent = send_options(&self.options, dialect).map_err(Error::Invalid)?;
        sent.validate(dialect).map_err(|error| match error {
            enqueue::Error::Unsupported { what, release, version } => Error::Unsupported { what, release, version },
            error => Error::Invalid(error.to_string()),
        })?;
        let mut options = self.options.clone();
        for name in OF_SCHEDULE {
            if options.remove(name).is_some_and(|value| !value.is_null()) && name != "db" {
                return Err(Error::Invalid(format!(
                    "{name} is no option of a job; the schedule itself has it"
                )));
            }
        }
        // Node keeps them as they were given, so they are there if they were.
        if let Some(zone) = &self.timezone {
            options.insert("tz".to_owned(), zone.clone().into());
        }
        if !self.key.is_empty() {
            options.insert("key".to_owned(), self.key.clone().into());
        }
        if let Some(missed) = self.missed {
            options.insert("missed".to_owned(), missed.as_str().into());
        }
        Ok(options)
    }
}

/// What decides on every `H` of a schedule's expression: its queue and its key.
pub fn seed(name: &str, key: &str) -> String {
    format!("{name}\0{key}")
}
