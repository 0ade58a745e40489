//! When a schedule recurs, however that is written.

use std::fmt;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::cron::{Cron, CronVersion};
use super::zone::{ZoneError, Zones};

/// How long an occurrence stays due, and how wide a slot is: one job per schedule and slot.
pub const WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// How a schedule's text is read, and the value of the column `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A cron expression.
    Cron,
    /// A recurrence of RFC 5545 (schema 41 and later).
    Rrule,
}

impl Kind {
    /// What a text is, by its looks.
    pub fn of(text: &str) -> Kind {
        if super::is_rule(text) { Kind::Rrule } else { Kind::Cron }
    }

    /// The value of the column.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Cron => "cron",
            Kind::Rrule => "rrule",
        }
    }
}

/// Why a text is no recurrence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misread {
    /// It is no cron expression.
    #[error("{text:?} is no cron expression: {reason}")]
    Cron {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It looks like a rule and is none.
    #[error("{text:?} is no recurrence rule: {reason}")]
    Rule {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Its zone is none.
    #[error("{0}")]
    Zone(#[from] ZoneError),
}

/// A text that was understood, in its zone.
#[derive(Debug)]
pub struct Recurrence {
    zone: TimeZone,
    rhythm: Rhythm,
}

#[derive(Debug)]
enum Rhythm {
    Cron(Cron),
    Rule(Box<super::Rule>),
}

/// Something that the clocks' change does to a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upset {
    /// When the clocks change.
    pub at: Timestamp,
    /// The local date.
    pub date: jiff::civil::Date,
    /// Whether local times are skipped, or come twice.
    pub skipped: bool,
    /// The local times concerned, the first of many.
    pub times: Vec<jiff::civil::Time>,
}

impl fmt::Display for Upset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times: Vec<_> = self.times.iter().map(ToString::to_string).collect();
        let times = times.join(", ");
        if self.skipped {
            write!(f, "{}: the clocks skip {times}, so nothing fires then", self.date)
        } else {
            write!(f, "{}: {times} comes twice, and fires twice", self.date)
        }
    }
}

/// As many local times are named of one change of the clocks.
const NAMED: usize = 4;

impl Recurrence {
    /// Understands a text in the zone of that name. `seed` decides on every `H` of a cron expression.
    ///
    /// # Errors
    /// A text that is neither, or a zone that nobody knows.
    pub fn parse(
        text: &str,
        zone: &str,
        zones: &Zones,
        version: CronVersion,
        seed: &str,
    ) -> Result<Recurrence, Misread> {
        let zone = zones.get(zone)?;
        let text_owned = || text.to_owned();
        let rhythm = match Kind::of(text) {
            Kind::Rrule => {
                let rule = super::Rule::parse(text, &zone, |name| zones.get(name).ok());
                Rhythm::Rule(Box::new(rule.map_err(|reason| Misread::Rule {
                    text: text_owned(),
                    reason: reason.to_string(),
                })?))
            }
            Kind::Cron => {
                let cron = Cron::parse(text, version, seed);
                Rhythm::Cron(cron.map_err(|reason| Misread::Cron {
                    text: text_owned(),
                    reason,
                })?)
            }
        };
        Ok(Recurrence { zone, rhythm })
    }

    /// The zone its local times are meant in.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The zone its occurrences are reckoned in: a rule's DTSTART may name one of its own.
    fn clock(&self) -> &TimeZone {
        match &self.rhythm {
            Rhythm::Cron(_) => &self.zone,
            Rhythm::Rule(rule) => rule.zone(),
        }
    }

    /// The first occurrence after that instant; `None` where there is none, for ever.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.rhythm {
            Rhythm::Cron(cron) => cron.first_within(&self.zone, after, Timestamp::MAX),
            Rhythm::Rule(rule) => rule.after(after).next(),
        }
    }

    /// The occurrences after that instant, one after another.
    pub fn upcoming(&self, after: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        std::iter::successors(self.next(after), |last| self.next(*last))
    }

    /// The last occurrence after `after` and not after `until`.
    pub fn last_within(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        if after >= until {
            return None;
        }
        match &self.rhythm {
            Rhythm::Cron(cron) => cron.last_within(&self.zone, after, until),
            Rhythm::Rule(rule) => rule.latest(after, until),
        }
    }

    /// The occurrences that are due in a pass at that instant, one for each slot they are in: of a cron expression the
    /// last one of the minute, as pg-boss has it, of a rule all.
    pub fn due(&self, now: Timestamp) -> Vec<Timestamp> {
        let Ok(since) = now.checked_sub(WINDOW) else {
            return Vec::new();
        };
        match &self.rhythm {
            Rhythm::Cron(_) => self.last_within(since, now).into_iter().collect(),
            Rhythm::Rule(rule) => {
                let mut due: Vec<_> = rule.within(since, now).collect();
                due.dedup_by_key(|occurrence| slot(*occurrence));
                due
            }
        }
    }

    /// The last occurrences of a gap, one for each slot, the newest first.
    pub fn missed(&self, after: Timestamp, until: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        let mut until = Some(until);
        std::iter::from_fn(move || {
            let found = self.last_within(after, until?)?;
            // What is left ends before the slot.
            until = Timestamp::from_second(slot(found) * 60 - 1).ok();
            Some(found)
        })
    }

    /// What changes of the clocks do to it between two instants. Nothing, where it does not name hours: what recurs in
    /// every hour keeps its pace whatever the clocks show.
    pub fn upsets(&self, after: Timestamp, until: Timestamp) -> Vec<Upset> {
        if matches!(&self.rhythm, Rhythm::Cron(cron) if cron.is_hourly()) {
            return Vec::new();
        }
        let mut upsets = Vec::new();
        for change in self.clock().following(after) {
            let at = change.timestamp();
            if at > until {
                break;
            }
            let Ok(before) = at.checked_sub(SignedDuration::from_nanos(1)) else {
                continue;
            };
            let before = i64::from(self.clock().to_offset(before).seconds());
            let offset = i64::from(change.offset().seconds());
            let (from, to) = (
                at.as_second() + before.min(offset),
                at.as_second() + before.max(offset) - 1,
            );
            let times: Vec<_> = match &self.rhythm {
                Rhythm::Cron(cron) => cron.local_within(from, to).take(NAMED).collect(),
                Rhythm::Rule(rule) if offset > before => {
                    rule.skipped(at, before, offset - before).take(NAMED).collect()
                }
                // Of a local time that comes twice a rule means the first.
                Rhythm::Rule(_) => Vec::new(),
            };
            let named = times.iter().filter_map(|local| Timestamp::from_second(*local).ok());
            let named: Vec<_> = named.map(|local| TimeZone::UTC.to_datetime(local)).collect();
            if let Some(first) = named.first() {
                upsets.push(Upset {
                    at,
                    date: first.date(),
                    skipped: offset > before,
                    times: named.iter().map(|local| local.time()).collect(),
                });
            }
        }
        upsets
    }
}

/// The slot an occurrence is in, in minutes since the epoch.
pub fn slot(occurrence: Timestamp) -> i64 {
    occurrence
        .as_nanosecond()
        .div_euclid(60_000_000_000)
        .try_into()
        .unwrap_or(i64::MAX)
}
