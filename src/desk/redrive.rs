//! Dead letters go back to where they came from.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::dialect::{Capability, Dialect, Template};
use crate::inspect::checked;
use crate::job::RawJson;
use crate::postgres::{self, Executor, Param};
use crate::queue::{Queue, QueueName};
use crate::refusal::Refusal;

/// Moves dead letters.
pub(super) const REDRIVE: Template = Template(include_str!("redrive.sql"));
/// Says where they would go.
pub(super) const PREVIEW: Template = Template(include_str!("preview.sql"));

/// Which dead letters, and where to; nothing set takes the oldest thousand back to their own queues.
#[derive(Debug, Clone, Default)]
pub struct Redrive {
    /// The queue they go to, instead of the one each came from.
    pub destination: Option<QueueName>,
    /// Only those that came from this queue.
    pub source_name: Option<QueueName>,
    /// Only those whose data contains this JSON object, as `@>` has it.
    pub data: Option<RawJson>,
    /// Only those that arrived before this.
    pub created_before: Option<DateTime<Utc>>,
    /// Only those with one of these ids in the dead letter queue.
    pub ids: Option<Vec<Uuid>>,
    /// At most so many, the oldest first; 1000 by default.
    pub limit: Option<u32>,
}

/// Where a redrive would move what; it serialises to the JSON of pg-boss's own `RedrivePreview`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RedrivePreview {
    /// Every dead letter that matches, up to the limit of each kind.
    pub total: usize,
    /// Where those would go that can, most first.
    pub destinations: Vec<Destination>,
    /// Those that would stay: nobody knows where they came from, or that queue is gone.
    pub unroutable: usize,
}

/// A queue and how many dead letters would go to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Destination {
    /// The queue.
    pub name: String,
    /// How many.
    pub count: usize,
}

impl Redrive {
    fn check(&self, dialect: &Dialect) -> Result<(), Refusal> {
        Refusal::unless(dialect, "redrive", Capability::Lineage)?;
        if self
            .data
            .as_deref()
            .is_some_and(|data| !data.get().trim_start().starts_with('{'))
        {
            return Err(Refusal::Invalid("data must be an object".to_owned()));
        }
        if self.ids.as_ref().is_some_and(Vec::is_empty) {
            return Err(Refusal::Invalid("ids must be a non-empty array of strings".to_owned()));
        }
        Ok(())
    }
}

/// Moves dead letters that nobody has fetched to the queues they came from, as new jobs with the settings of those queues and
/// their own payload, priority, key and group; how many were moved.
///
/// One for which the destination's policy has no room is failed where it is, with the reason as its output (before schema 43
/// with the output it has); nothing is lost. pg-boss 12.26 to 12.34 deletes it.
///
/// # Errors
/// An unknown queue, a filter that makes no sense, a schema that does not know where dead letters came from, or the
/// database's refusal.
pub async fn redrive(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    wanted: &Redrive,
) -> Result<u64, Refusal> {
    wanted.check(dialect)?;
    let limit = i64::from(wanted.limit.unwrap_or(1_000));
    if limit == 0 {
        return Err(Refusal::Invalid("limit must be an integer >= 1".to_owned()));
    }
    let table = table_of(executor, dialect, queue).await?;
    let values = Values::of(queue, wanted);
    let rows = executor
        .query(&REDRIVE.render(dialect, &table), &values.params(&limit))
        .await?;
    let moved: i64 = match rows.first() {
        Some(row) => row.try_get("moved").map_err(postgres::Error::from)?,
        None => 0,
    };
    Ok(u64::try_from(moved).unwrap_or_default())
}

/// Says what a [`redrive`] of the same dead letters would do, without doing it. The limit is of each kind, those that would
/// go and those that would stay; from 1 to 100,000.
///
/// # Errors
/// As [`redrive`].
pub async fn preview_redrive(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    wanted: &Redrive,
) -> Result<RedrivePreview, Refusal> {
    wanted.check(dialect)?;
    let limit = i64::from(checked("previewRedrive", wanted.limit)?);
    let table = table_of(executor, dialect, queue).await?;
    let values = Values::of(queue, wanted);
    let rows = executor
        .query(&PREVIEW.render(dialect, &table), &values.params(&limit))
        .await?;
    let (mut counts, mut unroutable) = (BTreeMap::<String, usize>::new(), 0);
    for row in &rows {
        let count: i64 = row.try_get("count").map_err(postgres::Error::from)?;
        let count = usize::try_from(count).unwrap_or_default();
        match row
            .try_get::<_, Option<String>>("destination")
            .map_err(postgres::Error::from)?
        {
            Some(name) => *counts.entry(name).or_default() += count,
            None => unroutable += count,
        }
    }
    let mut destinations: Vec<_> = counts
        .into_iter()
        .map(|(name, count)| Destination { name, count })
        .collect();
    destinations.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
    Ok(RedrivePreview {
        total: unroutable + destinations.iter().map(|it| it.count).sum::<usize>(),
        destinations,
        unroutable,
    })
}

async fn table_of(executor: &impl Executor, dialect: &Dialect, queue: &QueueName) -> Result<String, Refusal> {
    let found = Queue::read(executor, dialect, std::slice::from_ref(queue)).await?;
    match found.into_iter().next() {
        Some(queue) => Ok(queue.table),
        None => Err(Refusal::UnknownQueue(queue.clone())),
    }
}

/// A filter as the statements take it.
struct Values<'a> {
    queue: &'a str,
    destination: Option<&'a str>,
    source: Option<&'a str>,
    data: Option<&'a str>,
    before: Option<DateTime<Utc>>,
    ids: Option<&'a [Uuid]>,
}

impl<'a> Values<'a> {
    fn of(queue: &'a QueueName, wanted: &'a Redrive) -> Values<'a> {
        Values {
            queue: queue.as_str(),
            destination: wanted.destination.as_ref().map(QueueName::as_str),
            source: wanted.source_name.as_ref().map(QueueName::as_str),
            data: wanted.data.as_deref().map(RawValue::get),
            before: wanted.created_before,
            ids: wanted.ids.as_deref(),
        }
    }

    fn params<'p>(&'p self, limit: &'p i64) -> [Param<'p>; 7] {
        [
            (&self.queue, Type::TEXT),
            (&self.destination, Type::TEXT),
            (&self.source, Type::TEXT),
            (&self.data, Type::TEXT),
            (&self.before, Type::TIMESTAMPTZ),
            (&self.ids, Type::UUID_ARRAY),
            (limit, Type::INT8),
        ]
    }
}
