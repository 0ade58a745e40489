//! Recurrence rules (RFC 5545), as Node's pg-boss takes and evaluates them from schema 41 on.
//!
//! The text is that of a calendar entry's DTSTART, RRULE, RDATE and EXDATE lines, or the value of an RRULE line alone.
//! A rule without a DTSTART begins at midnight of 1970-01-01 in the schedule's zone. What an instant costs does not
//! depend on how long ago a rule began nor on how often it recurs: the period an instant is in is reached by
//! arithmetic. (The crate `rrule` walks from DTSTART and does not return before it has found something, which for a
//! rule that has nothing left is at the end of its calendar; it is asked in the tests.)
//!
//! Where npm rrule-temporal, which pg-boss asks, departs from the RFC and that decides whether a job is sent, it is
//! followed: a local time that does not exist is left out, INTERVAL of hours and less is of absolute time, single hours
//! leave the second of two equal ones out, and BYWEEKNO alone takes a weekday that changes from year to year. It is not
//! where FREQ=YEARLY has BYYEARDAY beside BYDAY or BYMONTHDAY, or BYMONTHDAY beside a numbered BYDAY without BYMONTH:
//! there it means either, or forgets the one; here both have to hold, as the RFC has it.

mod clock;
mod days;
mod steps;
mod text;
mod walk;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use text::Parts;

/// As many occurrences of a rule with a COUNT are counted at most.
const COUNTED: u64 = 100_000;
/// The last instant there is a local time for everywhere.
const END: i64 = 253_402_200_000;

/// Why a text is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

impl Refused {
    fn new(why: impl Into<String>) -> Refused {
        Refused(why.into())
    }
}

/// FREQ, the longest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Frequency {
    Yearly,
    Monthly,
    Weekly,
    Daily,
    Hourly,
    Minutely,
    Secondly,
}

/// A rule in the zone of its schedule, or in that of its own DTSTART.
#[derive(Debug)]
pub struct Rule {
    parts: Parts,
}

/// Whether a schedule's text is a rule and not a cron expression: a part `FREQ=`, or a line that begins as one of a
/// calendar does.
pub fn is_rule(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim_start_matches([' ', '\t']);
        let name = line.trim_start_matches(|part: char| part.is_ascii_alphanumeric() || part == '-');
        line.starts_with(|first: char| first.is_ascii_alphabetic()) && name.starts_with([':', ';'])
    }) || {
        let text = text.to_ascii_uppercase();
        text.match_indices("FREQ=").any(|(at, _)| {
            let before = text[..at].chars().next_back();
            before.is_none_or(|before| before == ';' || before.is_whitespace())
        })
    }
}

impl Rule {
    /// Reads a rule of a schedule in `zone`; `named` knows the zones that a TZID may name.
    ///
    /// # Errors
    /// What Node's pg-boss refuses, so that nothing in a rule is ever read past: unknown properties, parts and values,
    /// combinations that the RFC forbids, COUNT without DTSTART, no RRULE. Beside that calendars other than the
    /// Gregorian (RSCALE), and a COUNT of more than 100,000 except on plain steps of time.
    pub fn parse(text: &str, zone: &TimeZone, named: impl Fn(&str) -> Option<TimeZone>) -> Result<Rule, Refused> {
        let mut rule = Rule {
            parts: text::parse(text, zone, named)?,
        };
        if let Some(count) = rule.parts.count {
            let last = rule.last_of(count)?;
            rule.parts.until = Some(last);
        }
        Ok(rule)
    }

    /// The occurrences in (`from`, `to`], the first first.
    pub fn within(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        let (from, to) = (floor(from), floor(to).min(END));
        let mut recurring = walk::after(&self.parts, from, to).peekable();
        let mut added = self
            .parts
            .added
            .range(from.saturating_add(1)..)
            .copied()
            .take_while(move |at| *at <= to)
            .peekable();
        let merged = std::iter::from_fn(move || {
            let at = match (recurring.peek(), added.peek()) {
                (Some(one), Some(other)) => *one.min(other),
                (Some(one), None) | (None, Some(one)) => *one,
                (None, None) => return None,
            };
            recurring.next_if_eq(&at);
            added.next_if_eq(&at);
            Some(at)
        });
        let left = merged.filter(|at| !self.parts.excluded.contains(at));
        left.filter_map(|at| Timestamp::from_second(at).ok())
    }

    /// The occurrences after `from`, without end unless the rule has one; none is looked for much more than a century
    /// ahead of the one before.
    pub fn after(&self, from: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        self.within(from, Timestamp::MAX)
    }

    /// The last occurrence in (`from`, `to`].
    pub fn latest(&self, from: Timestamp, to: Timestamp) -> Option<Timestamp> {
        let (floor_from, to) = (floor(from), floor(to).min(END));
        let first = |from: i64| {
            let (from, to) = (Timestamp::from_second(from).ok()?, Timestamp::from_second(to).ok()?);
            self.within(from, to).next()
        };
        // Back in growing strides until something lies ahead, then halfway between, for whether anything is left ahead
        // costs little to find out.
        let (mut stride, mut none) = (60, to);
        let mut some = loop {
            if none <= floor_from {
                return None;
            }
            let back = (none - stride).max(floor_from);
            if first(back).is_some() {
                break back;
            }
            none = back;
            stride *= 4;
        };
        while none - some > 1 {
            let middle = some.midpoint(none);
            match first(middle) {
                Some(_) => some = middle,
                None => none = middle,
            }
        }
        first(some)
    }

    /// The zone it is reckoned in.
    pub(super) fn zone(&self) -> &TimeZone {
        &self.parts.zone
    }

    /// The local times, in seconds as if they were of UTC, that are left out when the clocks are put on by `length` seconds
    /// at that instant, `before` being the offset until then. Hours and less are steps of absolute time, which lose none.
    pub(super) fn skipped(&self, at: Timestamp, before: i64, length: i64) -> impl Iterator<Item = i64> + use<> {
        let offset = i32::try_from(before)
            .ok()
            .and_then(|before| Offset::from_seconds(before).ok());
        let found: Vec<_> = match offset.filter(|_| self.parts.frequency <= Frequency::Daily) {
            None => Vec::new(),
            // As if they had been left alone.
            Some(offset) => {
                let mut parts = self.parts.clone();
                parts.zone = TimeZone::fixed(offset);
                let at = at.as_second();
                walk::after(&parts, at - 1, at + length - 1).collect()
            }
        };
        found.into_iter().map(move |at| at + before)
    }

    /// When the occurrence is that is the last by COUNT.
    fn last_of(&self, count: u64) -> Result<i64, Refused> {
        let Some(before) = count.checked_sub(1) else {
            return Ok(i64::MIN);
        };
        let parts = &self.parts;
        let plain = parts.days.every() && parts.hours.is_none() && parts.minutes.is_none() && parts.seconds.is_none();
        let unit = match parts.frequency {
            Frequency::Hourly => 3600,
            Frequency::Minutely => 60,
            Frequency::Secondly => 1,
            _ => 0,
        };
        if plain && unit > 0 {
            let before = i64::try_from(before).unwrap_or(i64::MAX);
            let span = before.saturating_mul(parts.interval.saturating_mul(unit));
            return Ok(parts.begins.saturating_add(span));
        }
        if count > COUNTED {
            return Err(Refused::new(format!("COUNT is at most {COUNTED}; UNTIL has no bound")));
        }
        let counted = usize::try_from(before).unwrap_or(usize::MAX);
        let last = walk::after(parts, parts.begins.saturating_sub(1), END).nth(counted);
        Ok(last.unwrap_or(END))
    }
}

/// Whole seconds, towards the past.
fn floor(instant: Timestamp) -> i64 {
    instant.as_second() - i64::from(instant.subsec_nanosecond() < 0)
}

#[cfg(test)]
mod tests;
