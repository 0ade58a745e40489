//! The dialect of cron-parser 4, as pg-boss 10 and 11.0 call it, with all that it lets through.

use super::unit::{DayFields, Fields, Unit, Value, digits, expand, nth, numbers, split, within_month};

const MACROS: [(&str, &str); 5] = [
    ("@yearly", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// Reads an expression; a blank one is every minute.
pub(super) fn parse(text: &str) -> Result<Fields, String> {
    let text = expand(text, &MACROS)?;
    let [second, minute, hour, day, month, week] = split(text)?;
    let (days_of_week, nth) = nth_day(&week)?;
    let second = field(Unit::Second, &second)?;
    let minute = field(Unit::Minute, &minute)?;
    let hour = field(Unit::Hour, &hour)?;
    let mut days = field(Unit::DayOfMonth, &day)?;
    let months = numbers(&field(Unit::Month, &month)?);
    let weekdays = field(Unit::DayOfWeek, days_of_week)?;
    if let Some(kept) = within_month(&months, &days) {
        // Of texts only a bare L is kept.
        let kept: Vec<_> = kept
            .into_iter()
            .filter(|day| !matches!(day, Value::Last(text) if text != "L"))
            .collect();
        let earliest = days.iter().filter_map(Value::number).min();
        if earliest.is_some_and(|earliest| !kept.contains(&Value::Number(earliest))) {
            return Err("its month has not that day".to_owned());
        }
        days = kept;
    }
    Ok(Fields {
        second: numbers(&second),
        minute: numbers(&minute),
        hour: numbers(&hour),
        month: months,
        days: DayFields {
            month: days,
            week: weekdays,
            nth,
            open: (false, false),
            last_week: false,
        },
    })
}

fn nth_day(text: &str) -> Result<(&str, Option<u8>), String> {
    let Some((days, rest)) = text.split_once('#') else {
        return Ok((text, None));
    };
    if let Some(c) = text.chars().find(|c| matches!(c, ',' | '-' | '/')) {
        return Err(format!("`#` and `{c}` do not go together in a day of week"));
    }
    if days.is_empty() {
        return Err(format!("day of week {text:?} names no day"));
    }
    Ok((days, Some(nth(rest)?)))
}

fn field(unit: Unit, text: &str) -> Result<Vec<Value>, String> {
    let plain = unit.without_names(text)?;
    let valid = |c: char| match c {
        ',' | '*' | '/' | '-' | '0'..='9' => true,
        '?' | 'L' => unit.has_last(),
        '#' => unit == Unit::DayOfWeek,
        _ => false,
    };
    if plain.is_empty() || !plain.chars().all(valid) {
        return Err(format!(
            "{} {text:?} has characters that mean nothing there",
            unit.name()
        ));
    }
    let (least, most) = unit.range();
    let wildcard = if plain.contains('*') { "*" } else { "?" };
    let spread = plain.replace(wildcard, &format!("{least}-{most}"));
    let mut values = Vec::new();
    for item in spread.split(',') {
        if item.is_empty() {
            return Err(format!("{} {text:?} has an empty place in its list", unit.name()));
        }
        values.extend(repeat(unit, item)?);
    }
    Ok(values)
}

fn repeat(unit: Unit, item: &str) -> Result<Vec<Value>, String> {
    let (_, most) = unit.range();
    match item.split_once('/') {
        None => range(unit, item, "1"),
        Some((_, step)) if step.contains('/') => Err(format!("{} {item:?} has two steps", unit.name())),
        Some((start, step)) if start.is_empty() || digits(start).is_some() => {
            range(unit, &format!("{start}-{most}"), step)
        }
        Some((start, step)) => range(unit, start, step),
    }
}

fn range(unit: Unit, text: &str, step: &str) -> Result<Vec<Value>, String> {
    let bounds: Vec<_> = text.split('-').collect();
    let [from, to, ..] = bounds[..] else {
        return scalar(unit, text).map(|value| vec![value]);
    };
    // Nothing counts as 0, except at the beginning, where it makes a negative number.
    let number = |text: &str| if text.is_empty() { Some(0) } else { digits(text) };
    let (least, most) = unit.range();
    let fitting = number(from).zip(number(to));
    let fitting = fitting.filter(|(low, high)| !from.is_empty() && *low >= least && *high <= most);
    let Some((from, to)) = fitting else {
        return Err(unit.outside(text));
    };
    if from > to {
        return Err(format!("{} {text:?} runs backwards", unit.name()));
    }
    let Some(step) = digits(step).filter(|step| *step > 0) else {
        return Err(format!("{} {text:?}: a step is a number from 1 on", unit.name()));
    };
    // A range that ends at Sunday has it, whatever the step; and a value that is there already uses up no step.
    let sunday = unit == Unit::DayOfWeek && to.is_multiple_of(7);
    let mut values: Vec<_> = sunday.then_some(0).into_iter().collect();
    let mut waited = step;
    for value in from..=to {
        if !values.contains(&value) && waited.is_multiple_of(step) {
            waited = 1;
            values.push(value);
        } else {
            waited = waited.saturating_add(1);
        }
    }
    Ok(values.into_iter().map(Value::Number).collect())
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
