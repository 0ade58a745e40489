//! The dialect of cron-parser 5, as pg-boss calls it.

use sha2::{Digest, Sha256};

use super::calendar::longest;
use super::unit::{DayFields, Fields, Unit, Value, digits, expand, is_space, nth, numbers, split, within_month};

/// The longest expression.
const LONGEST: usize = 1024;

const MACROS: [(&str, &str); 10] = [
    ("@yearly", "0 0 0 1 1 *"),
    ("@annually", "0 0 0 1 1 *"),
    ("@monthly", "0 0 0 1 * *"),
    ("@weekly", "0 0 0 * * 0"),
    ("@daily", "0 0 0 * * *"),
    ("@hourly", "0 0 * * * *"),
    ("@minutely", "0 * * * * *"),
    ("@secondly", "* * * * * *"),
    ("@weekdays", "0 0 0 * * 1-5"),
    ("@weekends", "0 0 0 * * 0,6"),
];

/// Reads an expression; `seed` and `salt` decide on every `H`.
pub(super) fn parse(text: &str, seed: &str, salt: u8) -> Result<Fields, String> {
    if text.chars().all(is_space) {
        return Err("it is blank".to_owned());
    }
    if text.encode_utf16().count() > LONGEST {
        return Err(format!("it is longer than {LONGEST} characters"));
    }
    let text = expand(text, &MACROS)?;
    let [second, minute, hour, day, month, week] = split(text)?;
    let (days_of_week, nth) = nth_day(&week)?;
    let read = |unit: Unit, text: &str| field(unit, text, || fraction(seed, unit, salt));
    let second = read(Unit::Second, &second)?;
    let minute = read(Unit::Minute, &minute)?;
    let hour = read(Unit::Hour, &hour)?;
    let months = read(Unit::Month, &month)?;
    let mut days = read(Unit::DayOfMonth, &day)?;
    let weekdays = read(Unit::DayOfWeek, days_of_week)?;
    let of_months = numbers(&months);
    if let Some(kept) = within_month(&of_months, &days).filter(|kept| !kept.is_empty()) {
        days = kept;
    }
    for (unit, values) in [
        (Unit::Second, &second),
        (Unit::Minute, &minute),
        (Unit::Hour, &hour),
        (Unit::DayOfMonth, &days),
        (Unit::Month, &months),
        (Unit::DayOfWeek, &weekdays),
    ] {
        validate(unit, values)?;
    }
    let open = |text: &str| matches!(text, "*" | "?");
    let earliest = numbers(&days).into_iter().min();
    let most = of_months.iter().map(|month| longest(*month)).max();
    if !day.contains('L') && open(&week) && earliest > most {
        return Err("none of its months has that day".to_owned());
    }
    Ok(Fields {
        second: numbers(&second),
        minute: numbers(&minute),
        hour: numbers(&hour),
        month: of_months,
        days: DayFields {
            month: days,
            week: weekdays,
            nth,
            open: (open(&day), open(&week)),
            last_week: week.contains('L'),
        },
    })
}

fn nth_day(text: &str) -> Result<(&str, Option<u8>), String> {
    let Some((days, rest)) = text.split_once('#') else {
        return Ok((text, None));
    };
    if let Some(c) = text.chars().find(|c| matches!(c, ',' | '-' | '/' | 'L')) {
        return Err(format!("`#` and `{c}` do not go together in a day of week"));
    }
    Ok((days, Some(nth(rest)?)))
}

/// What stands for chance in `H`: at least 0, less than 1.
fn fraction(seed: &str, unit: Unit, salt: u8) -> f64 {
    let hash = Sha256::new()
        .chain_update(seed)
        .chain_update([0, salt])
        .chain_update(unit.name())
        .finalize();
    let drawn = hash
        .iter()
        .take(4)
        .fold(0u32, |number, byte| number << 8 | u32::from(*byte));
    f64::from(drawn) / (f64::from(u32::MAX) + 1.0)
}

fn field(unit: Unit, text: &str, fraction: impl Fn() -> f64) -> Result<Vec<Value>, String> {
    let plain = unit.without_names(text)?;
    if !has_valid_characters(unit, &plain) {
        return Err(format!(
            "{} {text:?} has characters that mean nothing there",
            unit.name()
        ));
    }
    let (least, most) = unit.range();
    let spread: Vec<_> = plain
        .split(',')
        .map(|item| match item.strip_prefix(['*', '?']) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{least}-{most}{rest}"),
            _ => item.to_owned(),
        })
        .collect();
    let spread = spread.join(",");
    if spread.contains(['*', '?']) {
        return Err(format!(
            "{} {text:?}: a wildcard stands alone, or before a step",
            unit.name()
        ));
    }
    let hashed = hashed(unit, &spread, fraction)?;
    let mut values = Vec::new();
    for item in hashed.split(',') {
        if item.is_empty() {
            return Err(format!("{} {text:?} has an empty place in its list", unit.name()));
        }
        values.extend(repeat(unit, item)?);
    }
    Ok(values)
}

fn has_valid_characters(unit: Unit, text: &str) -> bool {
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let bracket = rest.strip_prefix("H(").and_then(|inner| {
            let (range, after) = inner.split_once(')')?;
            let (from, to) = range.split_once('-')?;
            (digits(from).is_some() && digits(to).is_some()).then_some(after)
        });
        let fits = match c {
            '?' | ',' | '*' | 'H' | '/' | '-' | '0'..='9' => true,
            'L' => unit.has_last(),
            '#' => unit == Unit::DayOfWeek,
            _ => false,
        };
        rest = match bracket {
            Some(after) => after,
            None if fits => &rest[c.len_utf8()..],
            None => return false,
        };
    }
    !text.is_empty()
}

/// Puts numbers in the place of every `H`, `H(2-5)`, `H/3` and `H(2-5)/3`.
fn hashed(unit: Unit, text: &str, fraction: impl Fn() -> f64) -> Result<String, String> {
    let (least, most) = unit.range();
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('H') {
        plain.push_str(before);
        rest = after;
        let mut range = (least, most);
        if let Some((bracket, after)) = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
            let (from, to) = bracket.split_once('-').unwrap_or_default();
            let (from, to) = (digits(from).unwrap_or(u64::MAX), digits(to).unwrap_or(0));
            range = (from.max(least), to.min(most));
            if from > to || range.0 > range.1 {
                return Err(format!("{} H({bracket}) leaves nothing to choose from", unit.name()));
            }
            rest = after;
        }
        let after = rest.strip_prefix('/').map(|after| {
            let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            after.split_at(end)
        });
        match after.and_then(|(step, after)| Some((digits(step)?, after))) {
            Some((0, _)) => return Err(format!("{} cannot repeat at every 0", unit.name())),
            Some((step, after)) => {
                rest = after;
                // A step that is wider than the range leaves one value of it.
                let offset = drawn(fraction(), 0, step.min(1 << 32) - 1);
                let start = (range.0 / step).saturating_mul(step).saturating_add(offset);
                let values = std::iter::successors(Some(start), |value| value.checked_add(step));
                let values: Vec<_> = values
                    .take_while(|value| *value <= range.1)
                    .filter(|value| *value >= range.0)
                    .map(|value| value.to_string())
                    .collect();
                if values.is_empty() {
                    plain.push_str(&drawn(fraction(), range.0, range.1).to_string());
                }
                plain.push_str(&values.join(","));
            }
            None => plain.push_str(&drawn(fraction(), range.0, range.1).to_string()),
        }
    }
    plain.push_str(rest);
    Ok(plain)
}

/// A number of the range, by chance's stand-in.
fn drawn(fraction: f64, least: u64, most: u64) -> u64 {
    let thousandths = u64::from((fraction * f64::from(u32::MAX)) as u32);
    least + ((u128::from(thousandths) * u128::from(most - least + 1)) >> 32) as u64
}

fn repeat(unit: Unit, item: &str) -> Result<Vec<Value>, String> {
    let (_, most) = unit.range();
    let (range, step) = match item.split_once('/') {
        None => (item.to_owned(), "1"),
        Some((_, step)) if step.contains('/') => return Err(format!("{} {item:?} has two steps", unit.name())),
        Some((range, step)) if range.contains('-') => (range.to_owned(), step),
        Some((start, step)) => (format!("{start}-{most}"), step),
    };
    let Some((from, to)) = range.split_once('-') else {
        return scalar(unit, &range).map(|value| vec![value]);
    };
    let (least, most) = unit.range();
    let bounds = digits(from)
        .zip(digits(to))
        .filter(|(from, to)| *from >= least && *to <= most);
    let Some((from, to)) = bounds else {
        return Err(unit.outside(&range));
    };
    if from > to {
        return Err(format!("{} {range:?} runs backwards", unit.name()));
    }
    let step = digits(step).filter(|step| *step > 0);
    let Some(step) = step else {
        return Err(format!("{} {item:?}: a step is a number from 1 on", unit.name()));
    };
    // A range that arrives at 7 has arrived at Sunday, which is 0.
    let sunday = unit == Unit::DayOfWeek && to.is_multiple_of(7) && (to - from).is_multiple_of(step) && from > 0;
    let mut values: Vec<_> = sunday.then_some(Value::Number(0)).into_iter().collect();
    let run = std::iter::successors(Some(from), |value| value.checked_add(step));
    values.extend(run.take_while(|value| *value <= to).map(Value::Number));
    Ok(values)
}

fn scalar(unit: Unit, text: &str) -> Result<Value, String> {
    let (least, most) = unit.range();
    match digits(text) {
        Some(number) if (least..=most).contains(&number) => Ok(Value::Number(match unit {
            Unit::DayOfWeek => number % 7,
            _ => number,
        })),
        None if text.contains('L') && unit.has_last() => Ok(Value::Last(text.to_owned())),
        _ => Err(unit.outside(text)),
    }
}

fn validate(unit: Unit, values: &[Value]) -> Result<(), String> {
    for (index, value) in values.iter().enumerate() {
        if let Value::Last(text) = value {
            let day = text.strip_suffix('L');
            let fits = match unit {
                Unit::DayOfWeek => day.is_some_and(|day| day.len() == 1 && matches!(day.as_bytes(), [b'0'..=b'7'])),
                _ => day == Some(""),
            };
            if !fits {
                let form = if unit == Unit::DayOfWeek { "5L" } else { "L" };
                return Err(format!("{} {text:?} means nothing; `{form}` does", unit.name()));
            }
        }
        if values[..index].contains(value) {
            let shown = match value {
                Value::Number(number) => number.to_string(),
                Value::Last(text) => text.clone(),
            };
            return Err(format!("{} {shown} is there twice", unit.name()));
        }
    }
    Ok(())
}
