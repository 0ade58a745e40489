//! A job that waits is given another payload, or other options.

use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::batch::Entry;
use super::insert::enter_marked;
use super::options::{StartAfter, seconds};
use super::{Error, SendOptions};
use crate::dialect::{Dialect, Template};
use crate::job::{Group, RawJson};
use crate::postgres::{self, Executor, channel};
use crate::queue::{Policy, Queue, QueueName};
use crate::schema::spelling;

/// Edits queued jobs.
pub(super) const UPDATE: Template = Template(include_str!("update.sql"));

/// Which of several queued jobs with one key are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Match {
    /// The one that was sent last.
    #[default]
    Newest,
    /// The one that was sent first.
    Oldest,
    /// All of them.
    All,
}

/// The queued jobs to edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// The one with this id.
    Id(Uuid),
    /// Those with this singleton key.
    Key(String, Match),
}

/// What of a queued job is to change; what is left out stays as it is. Where a value may be taken away, `Some(None)` does.
#[derive(Debug, Clone, Default)]
pub struct JobChanges {
    /// The payload; JSON's `null` is stored as JSON's `null` by an update, as pg-boss has it.
    pub data: Option<RawJson>,
    /// Higher runs first.
    pub priority: Option<i32>,
    /// When it may run first; a span is counted from now on. How long it may wait moves along.
    pub start_after: Option<StartAfter>,
    /// How many times it is run again after a failure.
    pub retry_limit: Option<u32>,
    /// How long a failed attempt waits for the next; whole seconds.
    pub retry_delay: Option<Duration>,
    /// Whether that wait doubles.
    pub retry_backoff: Option<bool>,
    /// The longest such wait; whole seconds.
    pub retry_delay_max: Option<Option<Duration>>,
    /// How long one attempt may take; whole seconds.
    pub expire: Option<Duration>,
    /// How long it may wait from its start on; whole seconds.
    pub retention: Option<Duration>,
    /// How long it is kept once finished; whole seconds, zero for ever.
    pub delete_after: Option<Duration>,
    /// Where a copy goes when it fails for good.
    pub dead_letter: Option<Option<String>>,
    /// The group it counts against.
    pub group: Option<Group>,
    /// The lease its worker has to renew; whole seconds.
    pub heartbeat: Option<Option<Duration>>,
    /// The trace context of a job that is inserted; one that is there keeps its own.
    pub trace: Option<RawJson>,
}

/// What [`update`] did; it serialises to the JSON of pg-boss's own `UpdateResponse`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Updated {
    /// The jobs that were changed.
    pub jobs: Vec<Uuid>,
    /// How many those are.
    pub updated: usize,
}

/// What [`upsert`] did; it serialises to the JSON of pg-boss's own `UpsertResponse`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Upserted {
    /// The jobs that were changed, or the one that was inserted.
    pub jobs: Vec<Uuid>,
    /// How many were changed.
    pub updated: usize,
    /// How many were inserted, one at most.
    pub inserted: usize,
}

/// Changes jobs that no worker holds yet, or that wait for a retry (pg-boss 12.26 and later).
///
/// # Errors
/// An unknown queue, options that are not valid or not known to this schema, or the database's refusal.
pub async fn update(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    waiting: &Waiting,
    changes: &JobChanges,
) -> Result<Updated, Error> {
    check("update", dialect, waiting, changes)?;
    let jobs = edit(executor, dialect, queue, waiting, changes).await?;
    if jobs.is_empty()
        && Queue::read(executor, dialect, std::slice::from_ref(queue))
            .await?
            .is_empty()
    {
        return Err(Error::UnknownQueue(queue.clone()));
    }
    Ok(Updated {
        updated: jobs.len(),
        jobs,
    })
}

/// Changes a queued job, or inserts it where there is none (pg-boss 12.26 and later). Two at once may insert two before
/// schema 45; from there on the second finds the job of the first.
///
/// # Errors
/// As [`update`].
pub async fn upsert(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    waiting: &Waiting,
    changes: &JobChanges,
) -> Result<Upserted, Error> {
    check("upsert", dialect, waiting, changes)?;
    let found = Queue::read(executor, dialect, std::slice::from_ref(queue)).await?;
    let Some(found) = found.first() else {
        return Err(Error::UnknownQueue(queue.clone()));
    };
    if found.policy == Some(Policy::KeyStrictFifo) && matches!(waiting, Waiting::Id(_)) {
        return Err(Error::KeyRequired(queue.clone()));
    }
    let updated = |jobs: Vec<Uuid>| Upserted {
        updated: jobs.len(),
        inserted: 0,
        jobs,
    };
    let jobs = edit(executor, dialect, queue, waiting, changes).await?;
    if !jobs.is_empty() {
        return Ok(updated(jobs));
    }
    let options = changes.as_new(waiting);
    options.validate(dialect)?;
    let entry = Entry {
        data: changes.data.as_deref(),
        options: &options,
    };
    let jobs = match waiting {
        Waiting::Key(..) => enter_marked(executor, dialect, queue, entry).await?,
        Waiting::Id(_) => super::send(executor, dialect, queue, changes.data.as_deref(), &options)
            .await?
            .into_iter()
            .collect(),
    };
    if !jobs.is_empty() {
        return Ok(Upserted {
            updated: 0,
            inserted: jobs.len(),
            jobs,
        });
    }
    // Somebody else was quicker, and what he sent is there by now.
    Ok(updated(edit(executor, dialect, queue, waiting, changes).await?))
}

fn check(method: &'static str, dialect: &Dialect, waiting: &Waiting, changes: &JobChanges) -> Result<(), Error> {
    if dialect.version() < 37 {
        return Err(Error::Unsupported {
            what: method,
            release: "12.26",
            version: dialect.version(),
        });
    }
    if matches!(waiting, Waiting::Key(key, _) if key.is_empty()) {
        return Err(Error::Invalid(format!(
            "{method}() requires exactly one of id or singletonKey"
        )));
    }
    let entry = Entry {
        data: changes.data.as_deref(),
        options: &changes.as_new(waiting),
    };
    entry.options.validate(dialect)?;
    entry.check_payload()
}

async fn edit(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    waiting: &Waiting,
    changes: &JobChanges,
) -> Result<Vec<Uuid>, Error> {
    let (flags, id, key): (&[&'static str], _, _) = match waiting {
        Waiting::Id(id) => (&["id"], Some(*id), None),
        Waiting::Key(key, Match::Newest) => (&["key", "newest"], None, Some(key.as_str())),
        Waiting::Key(key, Match::Oldest) => (&["key", "oldest"], None, Some(key.as_str())),
        Waiting::Key(key, Match::All) => (&["key"], None, Some(key.as_str())),
    };
    let data = changes.data.as_deref().map(RawValue::get);
    let options = changes.json();
    let timing = SendOptions {
        start_after: changes.start_after.clone(),
        ..SendOptions::default()
    };
    let rows = executor
        .query(
            &UPDATE.render_with(dialect, "job", flags),
            &[
                (&queue.as_str(), Type::TEXT),
                (&id, Type::UUID),
                (&key, Type::TEXT),
                (&data, Type::TEXT),
                (&options, Type::TEXT),
                (&timing.start_at(), Type::TEXT),
                (&timing.start_in(), Type::TEXT),
                (&channel(&spelling(dialect.schema())), Type::TEXT),
            ],
        )
        .await
        .map_err(|error| Error::of_insert(queue, error))?;
    let read = |row: &tokio_postgres::Row| row.try_get("id").map_err(postgres::Error::from);
    Ok(rows.iter().map(read).collect::<Result<Vec<Uuid>, _>>()?)
}

impl JobChanges {
    /// What a job is sent with that has nothing else.
    fn as_new(&self, waiting: &Waiting) -> SendOptions {
        let (id, singleton_key) = match waiting {
            Waiting::Id(id) => (Some(*id), None),
            Waiting::Key(key, _) => (None, Some(key.clone())),
        };
        SendOptions {
            id,
            singleton_key,
            priority: self.priority,
            start_after: self.start_after.clone(),
            retry_limit: self.retry_limit,
            retry_delay: self.retry_delay,
            retry_backoff: self.retry_backoff,
            retry_delay_max: self.retry_delay_max.flatten(),
            expire: self.expire,
            retention: self.retention,
            delete_after: self.delete_after,
            dead_letter: self.dead_letter.clone().flatten(),
            group: self.group.clone(),
            heartbeat: self.heartbeat.flatten(),
            trace: self.trace.clone(),
            ..SendOptions::default()
        }
    }

    /// The options that change, by the names `update.sql` reads.
    fn json(&self) -> String {
        let mut object = Map::new();
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                object.insert(key.to_owned(), value);
            }
        };
        let time = |duration: Option<Duration>| duration.map(|duration| Value::from(seconds(duration)));
        let may_go = |duration: Option<Option<Duration>>| {
            duration.map(|duration| duration.map_or(Value::Null, |duration| Value::from(seconds(duration))))
        };
        set("priority", self.priority.map(Value::from));
        set("retryLimit", self.retry_limit.map(Value::from));
        set("retryDelay", time(self.retry_delay));
        set("retryBackoff", self.retry_backoff.map(Value::from));
        set("retryDelayMax", may_go(self.retry_delay_max));
        set("expireInSeconds", time(self.expire));
        set("retentionSeconds", time(self.retention));
        set("deleteAfterSeconds", time(self.delete_after));
        set("deadLetter", self.dead_letter.clone().map(Value::from));
        set("heartbeatSeconds", may_go(self.heartbeat));
        if let Some(Group { id, tier }) = &self.group {
            set("groupId", Some(Value::from(id.as_str())));
            set("groupTier", tier.as_deref().map(Value::from));
        }
        Value::Object(object).to_string()
    }
}
