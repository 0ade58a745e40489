//! What both dialects have in common: the fields, their ranges, their names.

use super::calendar::longest;
use super::{CronVersion, Days, OpenMonth};

/// A kind of field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Second,
    Minute,
    Hour,
    DayOfMonth,
    Month,
    DayOfWeek,
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Unit {
    /// Its least and its greatest value; Sunday is 0 and 7.
    pub fn range(self) -> (u64, u64) {
        match self {
            Unit::Second | Unit::Minute => (0, 59),
            Unit::Hour => (0, 23),
            Unit::DayOfMonth => (1, 31),
            Unit::Month => (1, 12),
            Unit::DayOfWeek => (0, 7),
        }
    }

    /// As messages call it.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Second => "second",
            Unit::Minute => "minute",
            Unit::Hour => "hour",
            Unit::DayOfMonth => "day of month",
            Unit::Month => "month",
            Unit::DayOfWeek => "day of week",
        }
    }

    /// Whether `L` may stand in it.
    pub fn has_last(self) -> bool {
        matches!(self, Unit::DayOfMonth | Unit::DayOfWeek)
    }

    /// A value that is out of its range.
    pub fn outside(self, value: &str) -> String {
        let (least, most) = self.range();
        format!("{} {value:?} is not between {least} and {most}", self.name())
    }

    /// Three letters at a time become the number of the month or day that they name.
    pub fn without_names(self, text: &str) -> Result<String, String> {
        let (names, first): (&[&str], usize) = match self {
            Unit::Month => (&MONTHS, 1),
            Unit::DayOfWeek => (&DAYS, 0),
            _ => return Ok(text.to_owned()),
        };
        let mut plain = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            match rest
                .get(..3)
                .filter(|three| three.bytes().all(|b| b.is_ascii_alphabetic()))
            {
                Some(three) => {
                    let named = names.iter().position(|name| name.eq_ignore_ascii_case(three));
                    let number = named.ok_or_else(|| format!("{three:?} names no {}", self.name()))?;
                    plain.push_str(&(number + first).to_string());
                    rest = &rest[3..];
                }
                None => {
                    plain.push(c);
                    rest = &rest[c.len_utf8()..];
                }
            }
        }
        Ok(plain)
    }
}

/// A value of a field: a number, or a text with an `L` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Number(u64),
    Last(String),
}

impl Value {
    pub fn number(&self) -> Option<u64> {
        match self {
            Value::Number(number) => Some(*number),
            Value::Last(_) => None,
        }
    }
}

/// The values of a whole expression.
pub(super) struct Fields {
    pub second: Vec<u8>,
    pub minute: Vec<u8>,
    pub hour: Vec<u8>,
    pub month: Vec<u8>,
    pub days: DayFields,
}

/// The two day fields as they were read.
pub(super) struct DayFields {
    pub month: Vec<Value>,
    pub week: Vec<Value>,
    /// The number after `#`; one that no day can have where it is no whole number.
    pub nth: Option<u8>,
    /// Whether the texts of the fields leave the day open, which is what version 5 goes by.
    pub open: (bool, bool),
    /// The day-of-week field has an `L`, by which version 5 takes every value of it for that of a last one.
    pub last_week: bool,
}

/// The numbers among the values, those that a `u8` can be.
pub(super) fn numbers(values: &[Value]) -> Vec<u8> {
    let numbers = values.iter().filter_map(Value::number);
    numbers.filter_map(|number| number.try_into().ok()).collect()
}

/// Days of a month that has only so many.
pub(super) fn within_month(months: &[u8], days: &[Value]) -> Option<Vec<Value>> {
    let [month] = months else { return None };
    let most = u64::from(longest(*month));
    let kept = days.iter().filter(|day| day.number().is_none_or(|day| day <= most));
    Some(kept.cloned().collect())
}

impl DayFields {
    pub(super) fn meant(&self, version: CronVersion) -> Days {
        let bits = |values: &[Value], modulo: u8| {
            let numbers = numbers(values).into_iter();
            numbers.fold(0, |bits: u64, n| bits | 1 << (n % modulo))
        };
        // The first character of a value tells the day of the week whose last one is meant.
        let first = |value: &Value| match value {
            Value::Number(number) => Some(number % 7),
            Value::Last(text) => text
                .chars()
                .next()
                .and_then(|c| c.to_digit(10))
                .map(|n| u64::from(n % 7)),
        };
        let lasts = self
            .week
            .iter()
            .filter(|value| matches!(value, Value::Last(_)) || version == CronVersion::Five && self.last_week)
            .filter_map(first)
            .fold(0, |bits: u64, n| bits | 1 << n);
        // 7 is never met as a day; where it is meant as Sunday the parser has put a 0 beside it.
        let week: Vec<_> = self
            .week
            .iter()
            .filter(|value| **value != Value::Number(7))
            .cloned()
            .collect();
        Days {
            version,
            month: bits(&self.month, 64),
            last: self.month.iter().any(|value| matches!(value, Value::Last(_))),
            week: bits(&week, 64),
            last_week: lasts,
            nth: self.nth,
            any_week: match version {
                CronVersion::Five => self.open.1,
                CronVersion::Four => self.week.len() == 8,
            },
            open_month: match (version, self.open.0) {
                (CronVersion::Five, true) => OpenMonth::Always,
                (CronVersion::Five, false) => OpenMonth::Never,
                (CronVersion::Four, _) => OpenMonth::UpTo(self.month.len()),
            },
        }
    }
}

/// The fields of an expression, those that are missing on the left filled up; blank at most.
pub(super) fn split(text: &str) -> Result<[String; 6], String> {
    let mut fields = ["0", "*", "*", "*", "*", "*"].map(str::to_owned);
    let given: Vec<_> = text.split(is_space).filter(|field| !field.is_empty()).collect();
    let missing = fields.len().checked_sub(given.len()).ok_or_else(|| {
        format!(
            "it has {} fields; at most 6 are meant: second, minute, hour, day of month, month, day of week",
            given.len()
        )
    })?;
    for (field, given) in fields[missing..].iter_mut().zip(given) {
        given.clone_into(field);
    }
    Ok(fields)
}

/// White space as JavaScript has it.
pub(super) fn is_space(c: char) -> bool {
    c == '\u{feff}' || c != '\u{85}' && c.is_whitespace()
}

/// Digits as a number; one that is too large is larger than any range.
pub(super) fn digits(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().unwrap_or(u64::MAX))
}

/// The number after `#` as JavaScript reads it; a fraction is a number that no day is.
pub(super) fn nth(text: &str) -> Result<u8, String> {
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16).ok().map(f64::from),
        None => text.parse::<f64>().ok(),
    };
    match number {
        Some(number) if (1.0..=5.0).contains(&number) => {
            let whole = [1u8, 2, 3, 4, 5].into_iter().find(|n| f64::from(*n) == number);
            Ok(whole.unwrap_or(u8::MAX))
        }
        _ => Err(format!("#{text} is no occurrence in a month; 1 to 5 are")),
    }
}

/// What the text means, if it is the name of a rhythm.
pub(super) fn expand<'a>(text: &'a str, macros: &[(&str, &'a str)]) -> Result<&'a str, String> {
    if let Some((_, meant)) = macros.iter().find(|(name, _)| *name == text) {
        return Ok(meant);
    }
    if text.starts_with('@') {
        let names: Vec<_> = macros.iter().map(|(name, _)| *name).collect();
        return Err(format!("there is no {text}; there are {}", names.join(", ")));
    }
    Ok(text)
}
