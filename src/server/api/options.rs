//! From what was read of a request to what the rooms take. What does not fit there is a failure and no issue, for it is
//! pg-boss that refuses it, behind the proxy's back.

use std::time::Duration;

use uuid::Uuid;

use super::calls::Failure;
use super::shape::{Table, Value};
use crate::enqueue::{SendOptions, StartAfter};
use crate::job::{Group, RawJson};

/// The options of a job. Those of an update or a job of many are fewer, and have the same names.
pub(super) fn send_options(table: &Table<'_>) -> Result<SendOptions, Failure> {
    let singleton_seconds = seconds(table, "singletonSeconds")?;
    Ok(SendOptions {
        id: table.text("id").map(id).transpose()?,
        priority: whole(table, "priority")?,
        start_after: table.get("startAfter").map_or(Ok(None), start_after)?,
        singleton_key: table.text("singletonKey").map(str::to_owned),
        singleton_seconds,
        // pg-boss takes it in without a slot, and does nothing about it.
        singleton_next_slot: table.flag("singletonNextSlot") == Some(true) && singleton_seconds.is_some(),
        retry_limit: whole(table, "retryLimit")?,
        retry_delay: seconds(table, "retryDelay")?,
        retry_backoff: table.flag("retryBackoff"),
        retry_delay_max: seconds(table, "retryDelayMax")?,
        expire: seconds(table, "expireInSeconds")?,
        retention: seconds(table, "retentionSeconds")?,
        delete_after: seconds(table, "deleteAfterSeconds")?,
        dead_letter: table.text("deadLetter").map(str::to_owned),
        group: table.table("group").map(|group| Group {
            id: group.text("id").unwrap_or_default().to_owned(),
            tier: group.text("tier").map(str::to_owned),
        }),
        heartbeat: seconds(table, "heartbeatSeconds")?,
        ..SendOptions::default()
    })
}

/// `options`, where they are given.
pub(super) fn options_of(table: &Table<'_>) -> Result<SendOptions, Failure> {
    table
        .table("options")
        .map_or_else(|| Ok(SendOptions::default()), send_options)
}

/// `data`, as it was written.
pub(super) fn data(table: &Table<'_>) -> Option<RawJson> {
    table.data("data").map(ToOwned::to_owned)
}

/// A date or so many seconds; those that are past are none, as in pg-boss.
pub(super) fn start_after(value: &Value<'_>) -> Result<Option<StartAfter>, Failure> {
    match value {
        Value::Text(text) => Ok(Some(StartAfter::Text(text.clone().into_owned()))),
        Value::Number(seconds) if *seconds > 0.0 => {
            let duration = Duration::try_from_secs_f64(*seconds);
            let duration = duration.map_err(|_| Failure::new("startAfter is too far away"))?;
            Ok(Some(StartAfter::In(duration)))
        }
        _ => Ok(None),
    }
}

pub(super) fn id(text: &str) -> Result<Uuid, Failure> {
    Uuid::parse_str(text).map_err(|_| Failure::new(format!("invalid input syntax for type uuid: {text:?}")))
}

/// `id`, or the ids of a list.
pub(super) fn ids(table: &Table<'_>) -> Result<Vec<Uuid>, Failure> {
    let texts = table.texts("id").unwrap_or_default();
    texts.into_iter().map(id).collect()
}

/// A whole number of the kind that is wanted.
pub(super) fn whole<T: TryFrom<i64>>(table: &Table<'_>, name: &str) -> Result<Option<T>, Failure> {
    table.number(name).map(|number| convert(name, number)).transpose()
}

/// So many seconds; PostgreSQL keeps them in four bytes.
pub(super) fn seconds(table: &Table<'_>, name: &str) -> Result<Option<Duration>, Failure> {
    let seconds: Option<u32> = whole(table, name)?;
    Ok(seconds.map(|seconds| Duration::from_secs(seconds.into())))
}

pub(super) fn convert<T: TryFrom<i64>>(name: &str, number: f64) -> Result<T, Failure> {
    let unfit = || Failure::new(format!("{name} must be a whole number in range, not {number}"));
    if number.fract() != 0.0 || number.abs() > 9e15 {
        return Err(unfit());
    }
    #[expect(clippy::cast_possible_truncation, reason = "it was looked at")]
    let whole = number as i64;
    T::try_from(whole).map_err(|_| unfit())
}
