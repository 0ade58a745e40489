//! A schedule's options, in pg-boss's spelling, and what `send` makes of them.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::dialect::{Capability, Dialect};
use crate::enqueue::{SendOptions, StartAfter};
use crate::job::Group;

/// What a schedule says and a job does not: they are stored among the options and mean nothing to `send`.
pub(super) const OF_SCHEDULE: [&str; 4] = ["tz", "key", "missed", "db"];

/// The options of a job, as pg-boss's `send` (pg-boss 10: its bulk `insert`) would take them from a schedule's row on this
/// schema. What it does not know it passes over.
///
/// # Errors
/// What it would refuse.
pub fn send_options(options: &Map<String, Value>, dialect: &Dialect) -> Result<SendOptions, String> {
    let v10 = dialect.has(Capability::V10);
    let read = Reader(options);
    let mut sent = SendOptions {
        id: read
            .text("id")?
            .map(|id| id.parse())
            .transpose()
            .map_err(|_| "id must be a UUID")?,
        priority: read.whole("priority")?,
        start_after: read.start_after(),
        singleton_key: read.text("singletonKey")?,
        singleton_seconds: read.seconds("singletonSeconds")?.filter(|slot| !slot.is_zero()),
        retry_limit: read.whole("retryLimit")?,
        retry_delay: read.seconds("retryDelay")?,
        retry_backoff: read.flag("retryBackoff")?,
        expire: read.seconds("expireInSeconds")?,
        ..SendOptions::default()
    };
    if v10 || dialect.has(Capability::Groups) {
        sent.dead_letter = read.text("deadLetter")?;
    }
    if v10 {
        let until = read.text("keepUntil")?.map(|text| text.parse()).transpose();
        sent.keep_until = until.map_err(|_| "keepUntil must be a time")?;
        return Ok(sent);
    }
    sent.singleton_next_slot = read.flag("singletonNextSlot")?.unwrap_or(false) && sent.singleton_seconds.is_some();
    sent.singleton_offset = read.whole("singletonOffset")?;
    sent.retry_delay_max = read.seconds("retryDelayMax")?;
    sent.retention = read.seconds("retentionSeconds")?;
    sent.delete_after = read.seconds("deleteAfterSeconds")?;
    if dialect.has(Capability::Heartbeat) {
        sent.heartbeat = read.seconds("heartbeatSeconds")?;
    }
    if let Some(Value::Object(group)) = options.get("group").filter(|_| dialect.has(Capability::Groups)) {
        let group = Reader(group);
        sent.group = Some(Group {
            id: group.text("id")?.ok_or("group.id must be a text")?,
            tier: group.text("tier")?,
        });
    }
    Ok(sent)
}

/// The same in pg-boss's spelling, for a schedule's row. Durations are whole seconds.
pub fn spelled(options: &SendOptions) -> Map<String, Value> {
    let mut spelled = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            spelled.insert(name.to_owned(), value);
        }
    };
    let seconds = |duration: Option<Duration>| duration.map(|duration| duration.as_secs().into());
    let text = |text: &Option<String>| text.clone().map(Value::from);
    set("id", options.id.map(|id| id.to_string().into()));
    set("priority", options.priority.map(Value::from));
    set(
        "startAfter",
        options.start_after.as_ref().map(|start| match start {
            StartAfter::In(duration) => duration.as_secs_f64().into(),
            StartAfter::At(instant) => instant.to_rfc3339_opts(chrono::SecondsFormat::Micros, true).into(),
            StartAfter::Text(text) => text.clone().into(),
        }),
    );
    set("singletonKey", text(&options.singleton_key));
    set("singletonSeconds", seconds(options.singleton_seconds));
    set(
        "singletonNextSlot",
        options.singleton_next_slot.then_some(Value::Bool(true)),
    );
    set("singletonOffset", options.singleton_offset.map(Value::from));
    set("retryLimit", options.retry_limit.map(Value::from));
    set("retryDelay", seconds(options.retry_delay));
    set("retryBackoff", options.retry_backoff.map(Value::from));
    set("retryDelayMax", seconds(options.retry_delay_max));
    set("expireInSeconds", seconds(options.expire));
    set("retentionSeconds", seconds(options.retention));
    set("keepUntil", options.keep_until.map(|until| until.to_rfc3339().into()));
    set("deleteAfterSeconds", seconds(options.delete_after));
    set("deadLetter", text(&options.dead_letter));
    set("heartbeatSeconds", seconds(options.heartbeat));
    set(
        "group",
        options.group.as_ref().map(|group| {
            let mut spelled = Map::from_iter([("id".to_owned(), Value::from(group.id.clone()))]);
            if let Some(tier) = &group.tier {
                spelled.insert("tier".to_owned(), tier.clone().into());
            }
            spelled.into()
        }),
    );
    spelled
}

/// Reads members; one that is `null` is not there.
struct Reader<'a>(&'a Map<String, Value>);

impl Reader<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Result<Option<String>, String> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("{name} must be a text")),
        }
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, String> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(format!("{name} must be true or false")),
        }
    }

    fn whole<T: TryFrom<i64>>(&self, name: &str) -> Result<Option<T>, String> {
        let Some(value) = self.get(name) else { return Ok(None) };
        // 5.0 is as whole to JavaScript as 5.
        let whole = value.as_i64().or_else(|| {
            let number = value
                .as_f64()
                .filter(|number| number.fract() == 0.0 && number.abs() < 9e15)?;
            Some(number as i64)
        });
        let fitting = whole.and_then(|whole| T::try_from(whole).ok());
        fitting
            .map(Some)
            .ok_or_else(|| format!("{name} must be a whole number in range"))
    }

    fn seconds(&self, name: &str) -> Result<Option<Duration>, String> {
        let seconds: Option<u32> = self.whole(name)?;
        Ok(seconds.map(|seconds| Duration::from_secs(seconds.into())))
    }

    /// Seconds that are past are none.
    fn start_after(&self) -> Option<StartAfter> {
        match self.get("startAfter")? {
            Value::String(text) => Some(StartAfter::Text(text.clone())),
            Value::Number(number) if number.as_f64().is_some_and(|seconds| seconds > 0.0) => {
                Some(StartAfter::Text(number.to_string()))
            }
            _ => None,
        }
    }
}
