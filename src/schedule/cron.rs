//! One cron expression: which local seconds it means, and which of them come between two instants.
//!
//! It is read in the dialect of pg-boss's own parser ([`CronVersion`]). The sets of seconds, minutes, hours and months are
//! those of the `cron` crate, fed with fields that are normalised already; which days are meant is decided here, for the
//! crate knows neither `L` nor `#` and joins both day fields by AND. An occurrence is a whole second whose local wall clock
//! matches. So a repeated hour has its occurrences twice and a skipped one has none, as pg-boss's passes find them.

mod calendar;
mod five;
mod four;
mod unit;

use std::str::FromStr;

use cron::{Schedule, TimeUnitSpec};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use calendar::{DAY, Day};
use unit::Fields;

use crate::dialect::{Capability, Dialect};

/// Beyond this nothing new comes: the calendar repeats itself.
const CYCLE: i64 = 400 * 366 * DAY;

/// The release of npm `cron-parser` whose dialect is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CronVersion {
    /// That of pg-boss 10 and 11.0 (schemas 24 and 25).
    Four,
    /// That of pg-boss 11.1 and later.
    Five,
}

impl CronVersion {
    /// The one that the Node instances on this schema have.
    pub fn of(dialect: &Dialect) -> CronVersion {
        if dialect.has(Capability::V10) || dialect.version() <= 25 {
            CronVersion::Four
        } else {
            CronVersion::Five
        }
    }
}

/// A cron expression that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    seconds: u64,
    minutes: u64,
    hours: u64,
    months: u64,
    days: Days,
}

/// Which days are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Days {
    version: CronVersion,
    /// Days of the month as bits, from 1.
    month: u64,
    /// Whether the last day of a month is meant, too.
    last: bool,
    /// Days of the week as bits; Sunday is 0.
    week: u64,
    /// Days of the week whose last one in a month is meant, as bits.
    last_week: u64,
    /// The only occurrence in its month of a day of the week that is meant.
    nth: Option<u8>,
    /// Whether the day of the week is left open.
    any_week: bool,
    /// From how many days a month on the day of the month is left open, by version 5 never or always.
    open_month: OpenMonth,
}

/// When the day of the month counts as left open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OpenMonth {
    Always,
    Never,
    /// In months of at most so many days (version 4, which counts the values of the field).
    UpTo(usize),
}

impl Cron {
    /// Understands an expression.
    ///
    /// `seed` decides on every `H`: the same text gives the same second, minute or day each time. Where not every choice
    /// makes an expression that can be (`H,30`), one that does is looked for.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str, version: CronVersion, seed: &str) -> Result<Cron, String> {
        match version {
            CronVersion::Four => Cron::of(four::parse(text)?, version),
            CronVersion::Five => {
                let mut read = five::parse(text, seed, 0);
                // Only a hashed field can come out otherwise the next time.
                if read.is_err() && text.contains('H') {
                    read = (1..64)
                        .find_map(|salt| five::parse(text, seed, salt).ok())
                        .map_or(read, Ok);
                }
                Cron::of(read?, version)
            }
        }
    }

    fn of(fields: Fields, version: CronVersion) -> Result<Cron, String> {
        let Fields {
            second,
            minute,
            hour,
            month,
            days,
        } = fields;
        let listed = |values: &[u8]| {
            let texts: Vec<_> = values.iter().map(u8::to_string).collect();
            texts.join(",")
        };
        let text = format!(
            "{} {} {} * {} *",
            listed(&second),
            listed(&minute),
            listed(&hour),
            listed(&month)
        );
        let sets = Schedule::from_str(&text).map_err(|error| error.to_string())?;
        let bits = |set: &dyn Fn(u32) -> bool| (0..60).filter(|n| set(*n)).fold(0, |bits, n| bits | 1 << n);
        Ok(Cron {
            seconds: bits(&|n| sets.seconds().includes(n)),
            minutes: bits(&|n| sets.minutes().includes(n)),
            hours: bits(&|n| sets.hours().includes(n)),
            months: bits(&|n| sets.months().includes(n)),
            days: days.meant(version),
        })
    }

    /// The first occurrence after `after` and not after `until`.
    pub fn first_within(&self, zone: &TimeZone, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let until = floor(until).min(floor(after).saturating_add(CYCLE));
        let mut at = floor(after) + 1;
        while at <= until {
            let from = Timestamp::from_second(at).ok()?;
            let offset = i64::from(zone.to_offset(from).seconds());
            let change = zone.following(from).next().map(|change| floor(change.timestamp()));
            let end = change.map_or(until, |change| until.min(change - 1));
            if let Some(local) = self.first_local(at + offset, end + offset) {
                return Timestamp::from_second(local - offset).ok();
            }
            at = end + 1;
        }
        None
    }

    /// The last occurrence after `after` and not after `until`.
    pub fn last_within(&self, zone: &TimeZone, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let mut at = floor(until);
        let after = (floor(after) + 1).max(at.saturating_sub(CYCLE));
        while at >= after {
            let from = Timestamp::from_second(at).ok()?;
            let offset = i64::from(zone.to_offset(from).seconds());
            let beyond = Timestamp::from_second(at + 1).ok()?;
            let change = zone.preceding(beyond).next().map(|change| floor(change.timestamp()));
            let begin = change.map_or(after, |change| after.max(change));
            if let Some(local) = self.last_local(at + offset, begin + offset) {
                return Timestamp::from_second(local - offset).ok();
            }
            at = begin - 1;
        }
        None
    }

    /// The first local second that matches, both ends included.
    fn first_local(&self, from: i64, until: i64) -> Option<i64> {
        let mut day = Day::of(from);
        let mut earliest = from.rem_euclid(DAY);
        while day.start() <= until {
            if self.months & 1 << day.month == 0 {
                day = day.next_month();
            } else {
                if self.days.include(&day)
                    && let Some(second) = self.first_of_day(earliest)
                {
                    return Some(day.start() + second).filter(|found| *found <= until);
                }
                day = day.next();
            }
            earliest = 0;
        }
        None
    }

    /// The last local second that matches, both ends included.
    fn last_local(&self, from: i64, until: i64) -> Option<i64> {
        let mut day = Day::of(from);
        let mut latest = from.rem_euclid(DAY);
        while day.start() + latest >= until {
            if self.months & 1 << day.month == 0 {
                day = day.month_before();
            } else {
                if self.days.include(&day)
                    && let Some(second) = self.last_of_day(latest)
                {
                    return Some(day.start() + second).filter(|found| *found >= until);
                }
                day = day.before();
            }
            latest = DAY - 1;
        }
        None
    }

    fn first_of_day(&self, earliest: i64) -> Option<i64> {
        let (hour, minute, second) = (earliest / 3600, earliest / 60 % 60, earliest % 60);
        let first = |bits: u64, least: i64| {
            let rest = bits & (u64::MAX << least);
            (rest != 0).then(|| i64::from(rest.trailing_zeros()))
        };
        let seconds_in = |least: i64| first(self.seconds, least);
        let minutes_in = |least: i64, second: i64| match first(self.minutes, least)? {
            found if found == least => match seconds_in(second) {
                Some(second) => Some(found * 60 + second),
                None => Some(first(self.minutes, least + 1)? * 60 + seconds_in(0)?),
            },
            found => Some(found * 60 + seconds_in(0)?),
        };
        match first(self.hours, hour)? {
            found if found == hour => match minutes_in(minute, second) {
                Some(rest) => Some(found * 3600 + rest),
                None => Some(first(self.hours, hour + 1)? * 3600 + minutes_in(0, 0)?),
            },
            found => Some(found * 3600 + minutes_in(0, 0)?),
        }
    }

    fn last_of_day(&self, latest: i64) -> Option<i64> {
        let (hour, minute, second) = (latest / 3600, latest / 60 % 60, latest % 60);
        let last = |bits: u64, most: i64| {
            if most < 0 {
                return None;
            }
            let rest = bits & (u64::MAX >> (63 - most));
            (rest != 0).then(|| 63 - i64::from(rest.leading_zeros()))
        };
        let seconds_in = |most: i64| last(self.seconds, most);
        let minutes_in = |most: i64, second: i64| match last(self.minutes, most)? {
            found if found == most => match seconds_in(second) {
                Some(second) => Some(found * 60 + second),
                None => Some(last(self.minutes, most - 1)? * 60 + seconds_in(59)?),
            },
            found => Some(found * 60 + seconds_in(59)?),
        };
        match last(self.hours, hour)? {
            found if found == hour => match minutes_in(minute, second) {
                Some(rest) => Some(found * 3600 + rest),
                None => Some(last(self.hours, hour - 1)? * 3600 + minutes_in(59, 59)?),
            },
            found => Some(found * 3600 + minutes_in(59, 59)?),
        }
    }
}

impl Days {
    fn include(&self, day: &Day) -> bool {
        let of_month = self.month & 1 << day.day != 0 || self.last && day.day == day.length();
        let weekday = 1 << day.weekday();
        let nth = self.nth.is_none_or(|nth| (day.day + 6) / 7 == i64::from(nth));
        let last_week = self.last_week & weekday != 0 && day.day + 7 > day.length();
        match self.version {
            CronVersion::Five => {
                let of_week = self.week & weekday != 0 && nth || last_week;
                match (self.open_month == OpenMonth::Always, self.any_week) {
                    // Both are restricted: either will do.
                    (false, false) => of_month || of_week,
                    (_, true) => of_month,
                    (true, false) => of_week,
                }
            }
            CronVersion::Four => {
                let of_week = self.week & weekday != 0 || last_week;
                let open = match self.open_month {
                    OpenMonth::Always => true,
                    OpenMonth::Never => false,
                    OpenMonth::UpTo(days) => day.longest() <= days,
                };
                let refused = !of_month && (!of_week || self.any_week) || open && !self.any_week && !of_week || !nth;
                !refused
            }
        }
    }
}

/// The whole second that an instant is in.
fn floor(instant: Timestamp) -> i64 {
    instant
        .as_nanosecond()
        .div_euclid(1_000_000_000)
        .try_into()
        .unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cron(text: &str) -> Cron {
        Cron::parse(text, CronVersion::Five, "").unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    #[test]
    fn forwards_and_backwards_meet_the_same_occurrences() {
        let zone = TimeZone::get("Europe/Berlin").expect("a zone");
        let (from, until) = (at("2025-10-20T00:00:00.5Z"), at("2025-11-10T00:00:00Z"));
        for text in [
            "30 2 * * *",
            "*/7 */5 * * 1-5",
            "15 30 1,2,3 L * 1L",
            "0 0 1 11 *",
            "59 59 23 * * *",
        ] {
            let cron = cron(text);
            let mut forwards = Vec::new();
            let mut after = from;
            while let Some(found) = cron.first_within(&zone, after, until) {
                forwards.push(found);
                after = found;
            }
            let mut backwards = Vec::new();
            let mut before = until;
            while let Some(found) = cron.last_within(&zone, from, before) {
                backwards.push(found);
                before = found - jiff::SignedDuration::from_nanos(1);
            }
            backwards.reverse();
            assert!(!forwards.is_empty(), "{text}");
            assert_eq!(forwards, backwards, "{text}");
        }
    }

    #[test]
    fn bounds_are_after_and_up_to_to_the_nanosecond() {
        let (every, utc) = (cron("* * * * *"), TimeZone::UTC);
        let minute = at("2025-01-01T00:01:00Z");
        let (before, after) = (
            at("2025-01-01T00:00:59.999999999Z"),
            at("2025-01-01T00:01:00.000000001Z"),
        );
        let until = at("2025-01-01T00:01:59.999Z");
        assert_eq!(every.first_within(&utc, before, minute), Some(minute));
        assert_eq!(every.first_within(&utc, minute, until), None);
        assert_eq!(every.last_within(&utc, before, after), Some(minute));
        assert_eq!(every.last_within(&utc, at("2025-01-01T00:00:00Z"), before), None);
        assert_eq!(every.last_within(&utc, minute, until), None);
        // Before the epoch, too.
        let old = at("1969-12-31T23:59:59.5Z");
        assert_eq!(every.first_within(&utc, old, minute), Some(Timestamp::UNIX_EPOCH));
        assert_eq!(
            every.last_within(&utc, at("1969-12-31T23:58:00Z"), old),
            Some(at("1969-12-31T23:59:00Z"))
        );
    }

    #[test]
    fn what_never_comes_is_known_at_once() {
        let zone = TimeZone::get("America/New_York").expect("a zone");
        let began = std::time::Instant::now();
        // The last day of a month is never in its second week; February has no 31st; the second Sunday of March no 02:30.
        for (text, version) in [
            ("0 0 L * *#2", CronVersion::Four),
            ("0 0 31 2,4 *", CronVersion::Four),
            ("30 2 * 3 0#2", CronVersion::Five),
        ] {
            let cron = Cron::parse(text, version, "").expect("it is understood");
            let from = at("2025-06-01T00:00:00Z");
            assert_eq!(cron.first_within(&zone, from, Timestamp::MAX), None, "{text}");
            assert_eq!(
                cron.last_within(&zone, at("2008-01-01T00:00:00Z"), from),
                None,
                "{text}"
            );
        }
        assert!(
            began.elapsed() < std::time::Duration::from_secs(2),
            "{:?}",
            began.elapsed()
        );
    }

    #[test]
    fn a_hash_is_the_same_each_time_and_another_for_another_schedule() {
        let read = |seed: &str| Cron::parse("H H * * *", CronVersion::Five, seed).expect("it is understood");
        assert_eq!(read("a"), read("a"));
        assert!((0..8).any(|n| read(&n.to_string()) != read("a")));
        // Whatever is drawn, what has a choice that can be is accepted.
        for n in 0..200 {
            Cron::parse("H,30 * H 2 *", CronVersion::Five, &n.to_string()).expect("it is understood");
        }
    }
}
