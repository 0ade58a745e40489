//! Cron expressions as Node's pg-boss reads them, which is as npm cron-parser does.
//!
//! Version 5 of it came with pg-boss 11.0.8, so that all schemas from 26 on have it; before, it was version 4. The two differ in
//! what they accept and in what some of it means (measured; see [`Syntax`]). The fields are normalised here and handed to the crate
//! `cron`, which knows the times of a day and the months; which days are meant is decided here, for the crate ANDs the two day
//! fields, and has neither `L` nor `#`.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;

use chrono::{DateTime, Utc};
use cron::TimeUnitSpec;
use jiff::civil;
use jiff::tz::TimeZone;

use super::field::{FIELDS, Item, Position};

/// Whose reading of an expression counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Syntax {
    /// cron-parser 4 (schemas 24 and 25). Accepts repeated values, `8L`, and a blank expression for every minute; a full list
    /// counts as `*`; `#n` is ANDed with the day of month; has no `H`, `@minutely`, `@secondly`, `@weekdays`, `@weekends`,
    /// `@annually`.
    V4,
    /// cron-parser 5 (schema 26 and later). Refuses lists with repeats and blank expressions; only `*` and `?` themselves count
    /// as unrestricted.
    V5,
}

/// Why a text is no cron expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub(super) String);

impl Invalid {
    pub(super) fn new(message: impl Into<String>) -> Invalid {
        Invalid(message.into())
    }
}

/// When a schedule is due, in local time.
#[derive(Debug, Clone)]
pub struct Expression {
    syntax: Syntax,
    /// Seconds, minutes, hours and months; its days are all.
    times: cron::Schedule,
    /// The months as bits, from 1 on.
    months: u16,
    month_days: Days,
    week_days: Days,
    /// Of `5#3` the 3. A fraction is accepted, and matches no day.
    nth: Option<f64>,
}

/// A day field.
#[derive(Debug, Clone, Default)]
struct Days {
    /// The days listed; of the week, Sunday is both 0 and 7.
    bits: u32,
    /// How many values were listed, repeats included.
    count: usize,
    /// `L`: the last day of the month; of the week, those whose last occurrence in the month is meant.
    last: u32,
    /// Written as `*` or `?`.
    any: bool,
}

impl Days {
    fn has(&self, day: i8) -> bool {
        u32::try_from(day).is_ok_and(|day| self.bits & (1 << day) != 0)
    }
}

/// The days of the longest February, and so on.
const MONTHS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

impl Expression {
    /// Reads an expression. `H` stands for a value that depends on `seed` and the field alone: the schedule's name and key, so that
    /// every process and every pass takes the same.
    ///
    /// # Errors
    /// Says which field is wrong and why.
    pub fn parse(text: &str, syntax: Syntax, seed: &str) -> Result<Expression, Invalid> {
        let white = |c: char| c.is_whitespace() || c == '\u{feff}';
        if syntax == Syntax::V5 && text.chars().all(white) {
            return Err(Invalid::new("the expression is blank"));
        }
        let text = predefined(text, syntax).unwrap_or(text);
        if syntax == Syntax::V5 && text.encode_utf16().count() > 1024 {
            return Err(Invalid::new("the expression has more than 1024 characters"));
        }
        let written: Vec<&str> = text.split(white).filter(|part| !part.is_empty()).collect();
        let missing = FIELDS.len().checked_sub(written.len()).ok_or_else(|| {
            Invalid::new(format!(
                "{} fields are too many: an expression has 1 to 6",
                written.len()
            ))
        })?;
        // Right-aligned: what is left out stands on the left.
        let parts: Vec<&str> = ["0", "*", "*", "*", "*", "*"][..missing]
            .iter()
            .copied()
            .chain(written)
            .collect();
        let (week_days, nth) = nth(parts[5], syntax)?;
        let mut read = Vec::with_capacity(FIELDS.len());
        for (field, part) in FIELDS.iter().zip(parts[..5].iter().copied().chain([week_days])) {
            read.push(field.read(part, syntax, hashed(seed, field.position))?);
        }
        let [seconds, minutes, hours, month_days, months, week_days]: [Vec<Item>; 6] =
            read.try_into().expect("there are six fields");
        let months = bits(&months);
        let mut expression = Expression {
            syntax,
            times: times(bits(&seconds), bits(&minutes), bits(&hours), months)?,
            months: u16::try_from(months).expect("12 months"),
            month_days: days(&month_days, parts[3]),
            week_days: days(&week_days, parts[5]),
            nth,
        };
        expression.settle_month_days(&month_days)?;
        Ok(expression)
    }

    /// Leaves out the days that the only month has not, and refuses an expression that no date can ever match.
    fn settle_month_days(&mut self, listed: &[Item]) -> Result<(), Invalid> {
        let impossible = || Invalid::new("none of its months has such a day");
        let months = (1..=12).filter(|month| self.months & (1 << month) != 0);
        let lengths: Vec<u32> = months.map(|month: usize| MONTHS[month - 1]).collect();
        let smallest = self.month_days.bits.trailing_zeros();
        let only = (lengths.len() == 1).then(|| lengths[0]);
        match self.syntax {
            Syntax::V4 => {
                if let Some(length) = only {
                    if self.month_days.bits != 0 && smallest > length {
                        return Err(impossible());
                    }
                    self.month_days.bits &= up_to(length);
                    self.month_days.count = listed
                        .iter()
                        .filter(|item| !matches!(item, Item::Number(day) if *day > length))
                        .count();
                }
            }
            Syntax::V5 => {
                if let Some(length) = only
                    && (self.month_days.bits & up_to(length) != 0 || self.month_days.last != 0)
                {
                    self.month_days.bits &= up_to(length);
                }
                let longest = lengths.iter().max().copied().unwrap_or(31);
                if self.month_days.last == 0 && self.week_days.any && smallest > longest {
                    return Err(impossible());
                }
            }
        }
        Ok(())
    }

    /// Whether a day is meant, whatever the time.
    pub fn has_day(&self, date: civil::Date) -> bool {
        if self.months & (1 << date.month()) == 0 {
            return false;
        }
        let week_day = date.weekday().to_sunday_zero_offset();
        let last_week = date.day() > date.days_in_month() - 7;
        let nth = self.nth.is_none_or(|nth| f64::from((date.day() + 6) / 7) == nth);
        let listed = self.week_days.has(week_day) || week_day == 0 && self.week_days.has(7);
        let last = last_week && self.week_days.last & (1 << week_day) != 0;
        let by_month =
            self.month_days.has(date.day()) || self.month_days.last != 0 && date.day() == date.days_in_month();
        match self.syntax {
            Syntax::V5 => {
                let by_week = listed && nth || last;
                match (self.month_days.any, self.week_days.any) {
                    (false, false) => by_month || by_week,
                    (_, true) => by_month,
                    (true, false) => by_week,
                }
            }
            Syntax::V4 => {
                let length = MONTHS[usize::try_from(date.month() - 1).unwrap_or(0)];
                let any_month_day = self.month_days.count >= usize::try_from(length).unwrap_or(31);
                let any_week_day = self.week_days.count == 8;
                let by_week = listed || last;
                let either = match (any_month_day, any_week_day) {
                    (_, true) => by_month,
                    (true, false) => by_week,
                    (false, false) => by_month || by_week,
                };
                either && nth
            }
        }
    }

    /// Whether a local time is meant, to the second.
    pub fn matches(&self, at: civil::DateTime) -> bool {
        // The fields of the local time, carried as if they were UTC: the crate knows no zones, and shall know none.
        let carried = TimeZone::UTC.to_timestamp(at).ok();
        let carried = carried.and_then(|carried| DateTime::<Utc>::from_timestamp(carried.as_second(), 0));
        // The crate's years end with 2100.
        carried.is_some_and(|carried| self.times.includes(carried)) && self.has_day(at.date())
    }

    /// The times of a day at which it is due, in order.
    pub fn times(&self) -> impl Iterator<Item = civil::Time> + '_ {
        let small = |value: u32| i8::try_from(value).unwrap_or(0);
        self.times.hours().iter().flat_map(move |hour| {
            self.times.minutes().iter().flat_map(move |minute| {
                let seconds = self.times.seconds();
                let of_minute: Vec<u32> = seconds.iter().collect();
                of_minute
                    .into_iter()
                    .map(move |second| civil::time(small(hour), small(minute), small(second), 0))
            })
        })
    }
}

/// As normalised, six fields.
impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.times.source())
    }
}

fn up_to(day: u32) -> u32 {
    u32::MAX >> (31 - day)
}

fn bits(items: &[Item]) -> u64 {
    items
        .iter()
        .filter_map(|item| match item {
            Item::Number(number) => Some(1_u64 << number),
            Item::Last(_) => None,
        })
        .fold(0, |all, bit| all | bit)
}

fn days(items: &[Item], written: &str) -> Days {
    let numbers = u32::try_from(bits(items)).expect("no more than 31 days");
    Days {
        bits: numbers,
        count: items.len(),
        last: items
            .iter()
            .filter_map(|item| match item {
                // Of `L` alone, which only the day of month has, it is but important that it is there.
                Item::Last(day) => Some(1 << day.unwrap_or(0)),
                Item::Number(_) => None,
            })
            .fold(0, |all, bit: u32| all | bit),
        any: matches!(written, "*" | "?"),
    }
}

/// The crate's view of the times of a day and the months.
fn times(seconds: u64, minutes: u64, hours: u64, months: u64) -> Result<cron::Schedule, Invalid> {
    let list = |bits: u64| {
        let values: Vec<String> = (0..64)
            .filter(|value| bits & (1 << value) != 0)
            .map(|value| value.to_string())
            .collect();
        values.join(",")
    };
    let text = format!(
        "{} {} {} * {} *",
        list(seconds),
        list(minutes),
        list(hours),
        list(months)
    );
    cron::Schedule::from_str(&text).map_err(|error| Invalid::new(error.to_string()))
}

/// A number in [0, 1) that is the same wherever the seed and the field are.
fn hashed(seed: &str, position: Position) -> f64 {
    let mut hasher = DefaultHasher::new();
    (seed, position as u8).hash(&mut hasher);
    // As many bits as a float holds.
    (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Parts `5#3`.
fn nth(written: &str, syntax: Syntax) -> Result<(&str, Option<f64>), Invalid> {
    let Some((day, place)) = written.split_once('#') else {
        return Ok((written, None));
    };
    let with: &[char] = if syntax == Syntax::V5 {
        &[',', '-', '/', 'L']
    } else {
        &[',', '/', '-']
    };
    if let Some(sign) = written.chars().find(|c| with.contains(c)) {
        return Err(Invalid::new(format!(
            "day of week {written:?}: `#` and `{sign}` do not go together"
        )));
    }
    let place: Option<f64> = place.parse().ok().filter(|place| (1.0..=5.0).contains(place));
    match place {
        Some(place) => Ok((day, Some(place))),
        None => Err(Invalid::new(format!(
            "day of week {written:?}: after `#` stands 1 to 5"
        ))),
    }
}

fn predefined(text: &str, syntax: Syntax) -> Option<&'static str> {
    let expression = match text {
        "@yearly" => "0 0 0 1 1 *",
        "@monthly" => "0 0 0 1 * *",
        "@weekly" => "0 0 0 * * 0",
        "@daily" => "0 0 0 * * *",
        "@hourly" => "0 0 * * * *",
        "@annually" if syntax == Syntax::V5 => "0 0 0 1 1 *",
        "@minutely" if syntax == Syntax::V5 => "0 * * * * *",
        "@secondly" if syntax == Syntax::V5 => "* * * * * *",
        "@weekdays" if syntax == Syntax::V5 => "0 0 0 * * 1-5",
        "@weekends" if syntax == Syntax::V5 => "0 0 0 * * 0,6",
        _ => return None,
    };
    Some(expression)
}
