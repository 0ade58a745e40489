//! The dead letters of events: listed, replayed to the handler that failed, purged.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::Place;
use crate::dialect::Template;
use crate::job::RawJson;
use crate::postgres::{Error, Executor};

const LIST: Template = Template(include_str!("letters/list.sql"));
/// Replays dead letters.
pub const REPLAY: Template = Template(concat!(
    include_str!("letters/choose.sql"),
    include_str!("delivery/enter.sql"),
    include_str!("letters/replayed.sql")
));
const PURGE: Template = Template(include_str!("letters/purge.sql"));

/// Which dead letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LetterFilter {
    /// These only; all by default.
    pub ids: Vec<Uuid>,
    /// Of events of that name only.
    pub event: Option<String>,
    /// Of that handler only.
    pub handler: Option<String>,
    /// Only those that failed at least so long ago.
    pub older_than: Option<Duration>,
}

/// A row of `event_dead_letter`.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Its id.
    pub id: Uuid,
    /// The row of the outbox.
    pub original_event_id: Uuid,
    /// The event's name.
    pub event: String,
    /// The handler that failed; `None` where it never got as far as one.
    pub handler: Option<String>,
    /// That handler's queue.
    pub queue: Option<String>,
    /// The last error.
    pub reason: Option<String>,
    /// How often it had been tried again.
    pub retry_count: i32,
    /// When it failed for good.
    pub failed_at: DateTime<Utc>,
    /// Every column, as JSON.
    pub row: RawJson,
}

/// Lists dead letters, newest first.
///
/// # Errors
/// Whatever the database says.
pub async fn letters(
    executor: &impl Executor,
    place: &Place,
    filter: &LetterFilter,
    limit: u32,
) -> Result<Vec<Letter>, Error> {
    let ids = (!filter.ids.is_empty()).then_some(&filter.ids);
    let age = filter.older_than.map(|age| age.as_secs_f64());
    let limit = i32::try_from(limit).unwrap_or(i32::MAX);
    let rows = executor
        .query(
            &place.render(LIST, &[]),
            &[
                (&ids, Type::UUID_ARRAY),
                (&filter.event, Type::TEXT),
                (&filter.handler, Type::TEXT),
                (&age, Type::FLOAT8),
                (&limit, Type::INT4),
            ],
        )
        .await?;
    let letter = |row: &tokio_postgres::Row| {
        let text: String = row.get("row");
        Letter {
            id: row.get("id"),
            original_event_id: row.get("original_event_id"),
            event: row.get("event_name"),
            handler: row.get("handler"),
            queue: row.get("queue"),
            reason: row.get("failure_reason"),
            retry_count: row.get("retry_count"),
            failed_at: row.get("failed_at"),
            row: RawValue::from_string(text).expect("PostgreSQL writes JSON"),
        }
    };
    Ok(rows.iter().map(letter).collect())
}

/// Replays dead letters, each to the queue of the handler that failed and to no other; those that never got as far as a handler go
/// back to the outbox. Returns their ids, and the queues that they went to. What is left out is gone, or its queue is.
///
/// # Errors
/// Whatever the database says; nothing was replayed then.
pub async fn replay(
    executor: &impl Executor,
    place: &Place,
    ids: &[Uuid],
) -> Result<Vec<(Uuid, Option<String>)>, Error> {
    let (schema, channel, outbox) = (place.dialect().schema(), place.channel(), place.outbox_schema());
    let sql = place.render(REPLAY, &["only"]);
    let rows = executor
        .query(
            &sql,
            &[
                (&schema, Type::TEXT),
                (&channel, Type::TEXT),
                (&ids, Type::UUID_ARRAY),
                (&outbox, Type::TEXT),
            ],
        )
        .await?;
    Ok(rows.iter().map(|row| (row.get("id"), row.get("queue"))).collect())
}

/// Deletes dead letters for good; how many there were.
///
/// # Errors
/// Whatever the database says.
pub async fn purge(executor: &impl Executor, place: &Place, ids: &[Uuid]) -> Result<usize, Error> {
    let rows = executor
        .query(&place.render(PURGE, &[]), &[(&ids, Type::UUID_ARRAY)])
        .await?;
    Ok(rows.len())
}
