//! What one job may ask for, and what of it this schema can give.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

use super::Error;
use crate::dialect::{Capability, Dialect};
use crate::job::{Group, RawJson};

/// When a job may run first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartAfter {
    /// This long after it was sent.
    In(Duration),
    /// At this instant.
    At(DateTime<Utc>),
    /// As pg-boss reads text: a date, with or without a time (UTC unless it says otherwise), or an interval such as
    /// `10 minutes`, `PT1H`, or a bare number of seconds.
    Text(String),
}

/// What one job asks for; what is left out is the queue's to say, and after it pg-boss's own default.
#[derive(Debug, Clone, Default)]
pub struct SendOptions {
    /// The job's id; random by default. A job whose id is taken in that queue is not inserted.
    pub id: Option<Uuid>,
    /// Higher runs first; 0 by default.
    pub priority: Option<i32>,
    /// When it may run first; at once by default.
    pub start_after: Option<StartAfter>,
    /// The key by which the queue's policy and the throttle tell jobs apart; one shared empty key by default.
    pub singleton_key: Option<String>,
    /// At most one job per key within each slot of this length, slots counted from the Unix epoch; whole seconds.
    pub singleton_seconds: Option<Duration>,
    /// If the slot is taken, take the next one and start in it ([`send`](super::send()) only).
    pub singleton_next_slot: bool,
    /// Take the slot that will be current this much later, in seconds; 0 by default (pg-boss 11.0 and later).
    pub singleton_offset: Option<i32>,
    /// How many times it is run again after a failure.
    pub retry_limit: Option<u32>,
    /// How long a failed attempt waits for the next; whole seconds.
    pub retry_delay: Option<Duration>,
    /// Whether that wait doubles from attempt to attempt.
    pub retry_backoff: Option<bool>,
    /// The longest such wait; whole seconds, only beside `retry_backoff: Some(true)` (pg-boss 11.0 and later).
    pub retry_delay_max: Option<Duration>,
    /// How long one attempt may take; whole seconds, at most a day.
    pub expire: Option<Duration>,
    /// How long it may wait from `start_after` on before it is deleted unrun; whole seconds, at least one.
    pub retention: Option<Duration>,
    /// Until when it may wait, instead of `retention` (pg-boss 10 only).
    pub keep_until: Option<DateTime<Utc>>,
    /// How long it is kept once it is finished; whole seconds, zero for ever (pg-boss 11.0 and later, zero 12.6).
    pub delete_after: Option<Duration>,
    /// Where a copy of it goes when it fails for good (pg-boss 10, and 12.6 and later). Inside a transaction, a queue that
    /// does not exist is refused by the commit.
    pub dead_letter: Option<String>,
    /// The group it counts against (pg-boss 12.6 and later).
    pub group: Option<Group>,
    /// The lease its worker has to renew; whole seconds, at least ten (pg-boss 12.12 and later).
    pub heartbeat: Option<Duration>,
    /// The carrier of the sender's trace as a flat JSON object; left out where the schema has no place for it.
    pub trace: Option<RawJson>,
}

impl SendOptions {
    /// Checks what the database would not: pg-boss leaves these rules to its clients.
    pub(crate) fn validate(&self, dialect: &Dialect) -> Result<(), Error> {
        let v10 = dialect.has(Capability::V10);
        let needs = |given: bool, what: &'static str, capability: Capability| {
            if given && !dialect.has(capability) {
                Err(Error::unsupported(what, capability, dialect))
            } else {
                Ok(())
            }
        };
        needs(
            self.singleton_offset.is_some(),
            "singleton_offset",
            Capability::RetryDelayMax,
        )?;
        needs(self.group.is_some(), "group", Capability::Groups)?;
        needs(self.heartbeat.is_some(), "heartbeat", Capability::Heartbeat)?;
        if !v10 {
            needs(
                self.dead_letter.is_some(),
                "dead_letter of a single job",
                Capability::Groups,
            )?;
        }
        Timing::of(self).validate(dialect)?;

        if let Some(slot) = self.singleton_seconds {
            let slot = whole_seconds("singleton_seconds", slot, 1)?;
            // The archive would take the row that holds the slot before the slot is over.
            if v10 && slot > ARCHIVED_AFTER {
                return Err(Error::Invalid(format!(
                    "singleton_seconds of {slot} exceeds {ARCHIVED_AFTER}, after which pg-boss 10 archives a finished job"
                )));
            }
        } else if self.singleton_next_slot {
            return Err(Error::Invalid("singleton_next_slot needs singleton_seconds".to_owned()));
        }
        if self.keep_until.is_some() && !v10 {
            return Err(Error::Invalid(
                "keep_until is an option of pg-boss 10 alone; later releases have retention".to_owned(),
            ));
        }
        if self.keep_until.is_some() && self.retention.is_some() {
            return Err(Error::Invalid(
                "keep_until and retention cannot both be given".to_owned(),
            ));
        }
        if let Some(Group { id, tier }) = &self.group
            && (id.is_empty() || tier.as_deref() == Some(""))
        {
            return Err(Error::Invalid("a group's id and tier must not be empty".to_owned()));
        }
        let texts = [
            ("singleton_key", self.singleton_key.as_deref()),
            ("dead_letter", self.dead_letter.as_deref()),
            ("group.id", self.group.as_ref().map(|group| group.id.as_str())),
            (
                "group.tier",
                self.group.as_ref().and_then(|group| group.tier.as_deref()),
            ),
            ("start_after", self.start_text()),
        ];
        for (name, text) in texts {
            if text.is_some_and(|text| text.contains('\0')) {
                return Err(Error::Invalid(format!(
                    "{name} contains U+0000, which PostgreSQL cannot store"
                )));
            }
        }
        Ok(())
    }

    /// The `start_after` that is a timestamp, as PostgreSQL reads it.
    pub(super) fn start_at(&self) -> Option<String> {
        match self.start_after.as_ref()? {
            StartAfter::At(instant) => Some(instant.to_rfc3339_opts(SecondsFormat::Micros, true)),
            StartAfter::Text(text) if is_timestamp(text) => Some(with_zone(text)),
            _ => None,
        }
    }

    /// The `start_after` that is an interval, as PostgreSQL reads it.
    pub(super) fn start_in(&self) -> Option<String> {
        match self.start_after.as_ref()? {
            StartAfter::In(duration) => Some(format!("{}.{:06}", duration.as_secs(), duration.subsec_micros())),
            StartAfter::Text(text) if !is_timestamp(text) => Some(text.clone()),
            _ => None,
        }
    }

    fn start_text(&self) -> Option<&str> {
        match &self.start_after {
            Some(StartAfter::Text(text)) => Some(text),
            _ => None,
        }
    }
}

/// How long pg-boss 10 leaves a finished job in place by default, in seconds.
const ARCHIVED_AFTER: i32 = 12 * 60 * 60;

const DAY: i32 = 24 * 60 * 60;

/// The options that a job and a queue have in common.
pub(super) struct Timing {
    pub retry_limit: Option<u32>,
    pub retry_delay: Option<Duration>,
    pub retry_backoff: Option<bool>,
    pub retry_delay_max: Option<Duration>,
    pub expire: Option<Duration>,
    pub retention: Option<Duration>,
    pub delete_after: Option<Duration>,
    pub heartbeat: Option<Duration>,
}

impl Timing {
    fn of(options: &SendOptions) -> Timing {
        Timing {
            retry_limit: options.retry_limit,
            retry_delay: options.retry_delay,
            retry_backoff: options.retry_backoff,
            retry_delay_max: options.retry_delay_max,
            expire: options.expire,
            retention: options.retention,
            delete_after: options.delete_after,
            heartbeat: options.heartbeat,
        }
    }

    pub(super) fn validate(&self, dialect: &Dialect) -> Result<(), Error> {
        if self.retry_limit.is_some_and(|limit| i32::try_from(limit).is_err()) {
            return Err(Error::Invalid(format!("retry_limit must not exceed {}", i32::MAX)));
        }
        if let Some(delay) = self.retry_delay {
            whole_seconds("retry_delay", delay, 0)?;
        }
        if let Some(longest) = self.retry_delay_max {
            if !dialect.has(Capability::RetryDelayMax) {
                return Err(Error::unsupported(
                    "retry_delay_max",
                    Capability::RetryDelayMax,
                    dialect,
                ));
            }
            if self.retry_backoff != Some(true) {
                return Err(Error::Invalid(
                    "retry_delay_max can only be set beside retry_backoff = true".to_owned(),
                ));
            }
            whole_seconds("retry_delay_max", longest, 0)?;
        }
        if let Some(expire) = self.expire {
            let expire = whole_seconds("expire", expire, 1)?;
            // 12.28 was the first to take a whole day; Node's older releases refuse a queue or job that has it.
            let longest = if dialect.version() >= 38 { DAY } else { DAY - 1 };
            if expire > longest {
                return Err(Error::Invalid(format!("expire must not exceed {longest} seconds")));
            }
        }
        if let Some(retention) = self.retention {
            whole_seconds("retention", retention, 1)?;
        }
        if let Some(delete_after) = self.delete_after {
            if !dialect.has(Capability::RetryDelayMax) {
                return Err(Error::unsupported("delete_after", Capability::RetryDelayMax, dialect));
            }
            // Before 12.6 a zero meant deletion at the next chance instead of never.
            if delete_after.is_zero() && !dialect.has(Capability::Groups) {
                return Err(Error::unsupported(
                    "delete_after of 0 (keep for ever)",
                    Capability::Groups,
                    dialect,
                ));
            }
            whole_seconds("delete_after", delete_after, 0)?;
        }
        if let Some(heartbeat) = self.heartbeat {
            whole_seconds("heartbeat", heartbeat, 10)?;
        }
        Ok(())
    }
}

/// The duration as the schema's integer columns take it.
fn whole_seconds(name: &str, duration: Duration, least: i32) -> Result<i32, Error> {
    let seconds = i32::try_from(duration.as_secs())
        .ok()
        .filter(|seconds| *seconds >= least && duration.subsec_nanos() == 0);
    seconds.ok_or_else(|| {
        Error::Invalid(format!(
            "{name} must be whole seconds, from {least} to {}; {duration:?} is not",
            i32::MAX
        ))
    })
}

/// A duration that passed [`whole_seconds`].
pub(super) fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}

/// pg-boss's rule: a trailing `Z` or a leading calendar date marks a timestamp, anything else is an interval.
///
/// Releases before 12.28 knew only the `Z` and failed on the other dates, so nothing they take is read differently.
fn is_timestamp(text: &str) -> bool {
    text.ends_with('Z') || after_date(text).is_some()
}

/// What follows a leading `YYYY-MM-DD`.
fn after_date(text: &str) -> Option<&str> {
    let (date, rest) = text.split_at_checked(10)?;
    let shape = date.bytes().enumerate().all(|(index, byte)| match index {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    shape.then_some(rest)
}

/// A date that names no zone is UTC, whatever the session's zone.
///
/// Only spellings known to carry none are touched: PostgreSQL knows zones by name and offsets of one digit.
fn with_zone(text: &str) -> String {
    match after_date(text) {
        Some(rest) if is_zoneless_time(rest) => format!("{text}Z"),
        _ => text.to_owned(),
    }
}

/// Nothing, or `T` or a space and then `hh`, `hh:mm`, `hh:mm:ss` or `hh:mm:ss.fraction`.
fn is_zoneless_time(rest: &str) -> bool {
    if rest.is_empty() {
        return true;
    }
    let Some(time) = rest.strip_prefix(['T', ' ']) else {
        return false;
    };
    let two = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = time.split(':');
    let (hours, minutes, last) = (parts.next(), parts.next(), parts.next());
    let seconds = last.is_none_or(|last| match last.split_once(['.', ',']) {
        None => two(last),
        Some((seconds, fraction)) => {
            two(seconds) && !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit())
        }
    });
    hours.is_some_and(two) && minutes.is_none_or(two) && seconds && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> SendOptions {
        SendOptions {
            start_after: Some(StartAfter::Text(text.to_owned())),
            ..SendOptions::default()
        }
    }

    #[test]
    fn zoneless_dates_are_utc_and_other_dates_are_left_alone() {
        for (given, sent) in [
            ("2030-01-01", "2030-01-01Z"),
            ("2030-01-01T08", "2030-01-01T08Z"),
            ("2030-01-01 08:00", "2030-01-01 08:00Z"),
            ("2030-01-01T08:00:00,5", "2030-01-01T08:00:00,5Z"),
            ("2030-01-01T08:00Z", "2030-01-01T08:00Z"),
            ("2030-01-01T08:00+05:30", "2030-01-01T08:00+05:30"),
            ("2030-01-01T08:00-01", "2030-01-01T08:00-01"),
            ("2030-01-01 08:00 America/New_York", "2030-01-01 08:00 America/New_York"),
            ("2030-01-01T8:00", "2030-01-01T8:00"),
            ("20300101T000000Z", "20300101T000000Z"),
        ] {
            assert_eq!(text(given).start_at().as_deref(), Some(sent), "{given}");
            assert_eq!(text(given).start_in(), None, "{given}");
        }
    }

    #[test]
    fn everything_else_is_an_interval() {
        for given in ["5", "-5", "10 minutes", "PT1H", "2027-01", "", "naïve-text"] {
            assert_eq!(text(given).start_in().as_deref(), Some(given));
            assert_eq!(text(given).start_at(), None, "{given}");
        }
        let soon = SendOptions {
            start_after: Some(StartAfter::In(Duration::from_millis(1500))),
            ..SendOptions::default()
        };
        assert_eq!(soon.start_in().as_deref(), Some("1.500000"));
    }
}
