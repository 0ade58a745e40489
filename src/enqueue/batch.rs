//! Jobs turned into columns: one array per option, as the statement takes them.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::Error;
use super::options::{SendOptions, seconds};
use crate::postgres::Param;

/// A job on its way in.
pub(super) struct Entry<'a> {
    pub data: Option<&'a RawValue>,
    pub options: &'a SendOptions,
}

impl<'a> Entry<'a> {
    /// The payload as the column gets it: JSON's `null` becomes SQL's, as pg-boss has it.
    fn payload(&self) -> Option<&'a str> {
        self.data.map(RawValue::get).filter(|text| *text != "null")
    }

    pub fn size(&self) -> usize {
        self.payload().map_or(0, str::len)
    }

    /// Finds what would make the whole statement fail, so that the caller's transaction is not lost to it.
    pub fn check_payload(&self) -> Result<(), Error> {
        match self.payload().and_then(unstorable) {
            Some(why) => Err(Error::Payload(why)),
            None => Ok(()),
        }
    }
}

/// Why PostgreSQL cannot store that JSON text, where it can be told beforehand.
pub fn unstorable(text: &str) -> Option<String> {
    has_nul(text).then(|| r"it contains \u0000, which PostgreSQL cannot store in jsonb".to_owned())
}

/// Whether JSON text has the escape `\u0000`, as opposed to an escaped backslash before `u0000`.
fn has_nul(text: &str) -> bool {
    text.match_indices(r"\u0000").any(|(at, _)| {
        let backslashes = text.as_bytes()[..at]
            .iter()
            .rev()
            .take_while(|byte| **byte == b'\\')
            .count();
        backslashes % 2 == 0
    })
}

/// The arrays of one statement. One that no job has a value for is empty, which costs nothing to send.
pub(super) struct Columns<'a> {
    keyless: bool,
    id: Vec<Option<Uuid>>,
    data: Vec<Option<&'a str>>,
    priority: Vec<Option<i32>>,
    start_at: Vec<Option<String>>,
    start_in: Vec<Option<String>>,
    singleton_key: Vec<Option<&'a str>>,
    singleton_seconds: Vec<Option<i32>>,
    singleton_offset: Vec<Option<i32>>,
    retry_limit: Vec<Option<i32>>,
    retry_delay: Vec<Option<i32>>,
    retry_delay_max: Vec<Option<i32>>,
    retry_backoff: Vec<Option<bool>>,
    expire: Vec<Option<i32>>,
    retention: Vec<Option<i32>>,
    delete_after: Vec<Option<i32>>,
    keep_until: Vec<Option<DateTime<Utc>>>,
    dead_letter: Vec<Option<&'a str>>,
    heartbeat: Vec<Option<i32>>,
    group_id: Vec<Option<&'a str>>,
    group_tier: Vec<Option<&'a str>>,
    trace: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    pub fn of(entries: &[Entry<'a>]) -> Columns<'a> {
        Columns {
            keyless: entries
                .iter()
                .any(|entry| entry.options.singleton_key.as_deref().unwrap_or_default().is_empty()),
            id: column(entries, |it| it.id),
            data: entries.iter().map(Entry::payload).collect(),
            priority: column(entries, |it| it.priority),
            start_at: column(entries, SendOptions::start_at),
            start_in: column(entries, SendOptions::start_in),
            singleton_key: column(entries, |it| it.singleton_key.as_deref()),
            singleton_seconds: column(entries, |it| it.singleton_seconds.map(seconds)),
            singleton_offset: column(entries, |it| it.singleton_offset),
            retry_limit: column(entries, |it| it.retry_limit.and_then(|limit| limit.try_into().ok())),
            retry_delay: column(entries, |it| it.retry_delay.map(seconds)),
            retry_delay_max: column(entries, |it| it.retry_delay_max.map(seconds)),
            retry_backoff: column(entries, |it| it.retry_backoff),
            expire: column(entries, |it| it.expire.map(seconds)),
            retention: column(entries, |it| it.retention.map(seconds)),
            delete_after: column(entries, |it| it.delete_after.map(seconds)),
            keep_until: column(entries, |it| it.keep_until),
            dead_letter: column(entries, |it| it.dead_letter.as_deref()),
            heartbeat: column(entries, |it| it.heartbeat.map(seconds)),
            group_id: column(entries, |it| it.group.as_ref().map(|group| group.id.as_str())),
            group_tier: column(entries, |it| it.group.as_ref().and_then(|group| group.tier.as_deref())),
            trace: column(entries, |it| it.trace.as_deref().map(RawValue::get)),
        }
    }

    /// Whether a job has no singleton key, or an empty one.
    pub fn is_keyless(&self) -> bool {
        self.keyless
    }

    /// The same jobs in the slot after the current one.
    pub fn in_next_slot(mut self) -> Columns<'a> {
        self.singleton_offset.clone_from(&self.singleton_seconds);
        self
    }

    /// The parameters of `insert.sql`, in its order.
    pub fn params<'p>(&'p self, queue: &'p &str, next_slot: &'p bool, channel: &'p String) -> [Param<'p>; 25] {
        [
            (queue, Type::TEXT),
            (&self.keyless, Type::BOOL),
            (next_slot, Type::BOOL),
            (channel, Type::TEXT),
            (&self.id, Type::UUID_ARRAY),
            (&self.data, Type::TEXT_ARRAY),
            (&self.priority, Type::INT4_ARRAY),
            (&self.start_at, Type::TEXT_ARRAY),
            (&self.start_in, Type::TEXT_ARRAY),
            (&self.singleton_key, Type::TEXT_ARRAY),
            (&self.singleton_seconds, Type::INT4_ARRAY),
            (&self.singleton_offset, Type::INT4_ARRAY),
            (&self.retry_limit, Type::INT4_ARRAY),
            (&self.retry_delay, Type::INT4_ARRAY),
            (&self.retry_delay_max, Type::INT4_ARRAY),
            (&self.retry_backoff, Type::BOOL_ARRAY),
            (&self.expire, Type::INT4_ARRAY),
            (&self.retention, Type::INT4_ARRAY),
            (&self.delete_after, Type::INT4_ARRAY),
            (&self.keep_until, Type::TIMESTAMPTZ_ARRAY),
            (&self.dead_letter, Type::TEXT_ARRAY),
            (&self.heartbeat, Type::INT4_ARRAY),
            (&self.group_id, Type::TEXT_ARRAY),
            (&self.group_tier, Type::TEXT_ARRAY),
            (&self.trace, Type::TEXT_ARRAY),
        ]
    }
}

fn column<'a, T>(entries: &[Entry<'a>], pick: impl Fn(&'a SendOptions) -> Option<T>) -> Vec<Option<T>> {
    let column: Vec<_> = entries.iter().map(|entry| pick(entry.options)).collect();
    if column.iter().all(Option::is_none) {
        return Vec::new();
    }
    column
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_real_nul_escape_counts() {
        for (text, found) in [
            (r#""a\u0000b""#, true),
            (r#""\\\u0000""#, true),
            (r#""\\u0000""#, false),
            (r#""\u00001""#, true),
            (r#""\u0001 \\u0000 \\\\u0000""#, false),
        ] {
            assert_eq!(has_nul(text), found, "{text}");
        }
    }
}
