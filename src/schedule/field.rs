//! One field of a cron expression: from its text to the values it lists.

use super::expression::{Invalid, Syntax};

/// Which field it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    Second,
    Minute,
    Hour,
    MonthDay,
    Month,
    WeekDay,
}

/// A field's name and bounds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) position: Position,
    name: &'static str,
    least: u32,
    most: u32,
}

const fn field(position: Position, name: &'static str, least: u32, most: u32) -> Field {
    Field {
        position,
        name,
        least,
        most,
    }
}

/// The six fields in their order.
pub(super) const FIELDS: [Field; 6] = [
    field(Position::Second, "second", 0, 59),
    field(Position::Minute, "minute", 0, 59),
    field(Position::Hour, "hour", 0, 23),
    field(Position::MonthDay, "day of month", 1, 31),
    field(Position::Month, "month", 1, 12),
    field(Position::WeekDay, "day of week", 0, 7),
];

/// One value of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    /// A number within the field's bounds.
    Number(u32),
    /// `L`; of the week with the day it belongs to.
    Last(Option<u32>),
}

/// No field has so many values, so whoever lists more repeats some.
const MOST_VALUES: usize = 256;

impl Field {
    /// Reads the field; `hash` in [0, 1) decides what `H` stands for.
    pub(super) fn read(&self, written: &str, syntax: Syntax, hash: f64) -> Result<Vec<Item>, Invalid> {
        let text = self.without_names(written)?;
        self.check_characters(&text, syntax, written)?;
        let text = match syntax {
            Syntax::V4 => self.v4_wildcards(&text),
            Syntax::V5 => self.hashed(&self.v5_wildcards(&text, written)?, hash, written)?,
        };
        let mut items = Vec::new();
        for part in text.split(',') {
            if part.is_empty() {
                return Err(self.invalid(written, "a list has a value between any two commas"));
            }
            if items.len() > MOST_VALUES {
                return Err(self.invalid(written, "the list repeats values"));
            }
            self.part(part, syntax, written, &mut items)?;
        }
        if syntax == Syntax::V5 {
            self.refuse_repeats(&items, written)?;
        }
        Ok(items)
    }

    fn invalid(&self, written: &str, why: &str) -> Invalid {
        Invalid::new(format!("{} {written:?}: {why}", self.name))
    }

    fn out_of_bounds(&self, written: &str) -> Invalid {
        self.invalid(written, &format!("its values are {} to {}", self.least, self.most))
    }

    /// Puts numbers for names: any three letters in a row are meant as one.
    fn without_names(&self, written: &str) -> Result<String, Invalid> {
        let names: &[&str] = match self.position {
            Position::Month => &[
                "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
            ],
            Position::WeekDay => &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
            _ => return Ok(written.to_owned()),
        };
        let mut text = String::new();
        let mut rest = written;
        while let Some(next) = rest.chars().next() {
            let letters = rest
                .as_bytes()
                .get(..3)
                .filter(|three| three.iter().all(u8::is_ascii_alphabetic));
            if let Some(three) = letters {
                let name = String::from_utf8_lossy(three).to_ascii_lowercase();
                let Some(place) = names.iter().position(|known| *known == name) else {
                    return Err(self.invalid(written, &format!("there is no {} `{name}`", self.name)));
                };
                text.push_str(&(place + usize::from(self.position == Position::Month)).to_string());
                rest = &rest[3..];
            } else {
                text.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
        Ok(text)
    }

    fn check_characters(&self, text: &str, syntax: Syntax, written: &str) -> Result<(), Invalid> {
        let day = matches!(self.position, Position::MonthDay | Position::WeekDay);
        let known = |c: char| match c {
            ',' | '*' | '/' | '-' | '0'..='9' => true,
            '?' => day || syntax == Syntax::V5,
            'L' => day,
            '#' => self.position == Position::WeekDay,
            'H' | '(' | ')' => syntax == Syntax::V5,
            _ => false,
        };
        match text.chars().find(|c| !known(*c)) {
            Some(odd) => Err(self.invalid(written, &format!("`{}` has no place there", odd.escape_default()))),
            None if text.is_empty() => Err(self.invalid(written, "it is empty")),
            None => Ok(()),
        }
    }

    /// Version 4 puts the whole range wherever a star stands, also within a number.
    fn v4_wildcards(&self, text: &str) -> String {
        let sign = if text.contains('*') { '*' } else { '?' };
        text.replace(sign, &format!("{}-{}", self.least, self.most))
    }

    /// Version 5 knows only a whole value, with a step or without.
    fn v5_wildcards(&self, text: &str, written: &str) -> Result<String, Invalid> {
        let parts: Vec<String> = text
            .split(',')
            .map(|part| match part.strip_prefix(['*', '?']) {
                Some(step) if step.is_empty() || step.starts_with('/') => {
                    format!("{}-{}{step}", self.least, self.most)
                }
                _ => part.to_owned(),
            })
            .collect();
        let text = parts.join(",");
        if text.contains(['*', '?']) {
            return Err(self.invalid(written, "a wildcard stands alone, or before a step"));
        }
        Ok(text)
    }

    /// Puts values for `H`, `H(a-b)`, `H/n` and `H(a-b)/n`.
    fn hashed(&self, text: &str, hash: f64, written: &str) -> Result<String, Invalid> {
        let mut done = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('H') {
            done.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let range = rest.strip_prefix('(').and_then(|inner| {
                let (range, after) = inner.split_once(')')?;
                let (from, to) = range.split_once('-')?;
                Some((digits(from)?, digits(to)?, after))
            });
            let (mut least, mut most) = (self.least, self.most);
            if let Some((from, to, after)) = range {
                rest = after;
                if from > to {
                    return Err(self.invalid(written, "a range goes upwards"));
                }
                (least, most) = (least.max(from), most.min(to));
                if least > most {
                    return Err(self.out_of_bounds(written));
                }
            }
            let pick = |values: u32| (hash * f64::from(values)) as u32;
            let length = rest
                .strip_prefix('/')
                .map_or(0, |step| step.bytes().take_while(u8::is_ascii_digit).count());
            if length == 0 {
                done.push_str(&(least + pick(most - least + 1)).to_string());
                continue;
            }
            let step = digits(&rest[1..=length]).unwrap_or(u32::MAX);
            rest = &rest[1 + length..];
            if step == 0 {
                return Err(self.invalid(written, "a step is at least 1"));
            }
            let first = (least / step) * step + pick(step);
            let values: Vec<u32> = (first..=most)
                .step_by(step as usize)
                .filter(|value| *value >= least)
                .collect();
            if values.is_empty() {
                done.push_str(&(least + pick(most - least + 1)).to_string());
            } else {
                let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                done.push_str(&values.join(","));
            }
        }
        done.push_str(rest);
        Ok(done)
    }

    /// One part of a list: a value or a range, with a step or without.
    fn part(&self, part: &str, syntax: Syntax, written: &str, items: &mut Vec<Item>) -> Result<(), Invalid> {
        let mut halves = part.split('/');
        let (base, step, more) = (halves.next().unwrap_or_default(), halves.next(), halves.next());
        if more.is_some() {
            return Err(self.invalid(written, "a value has one step"));
        }
        let open = format!("{base}-{}", self.most);
        // From the value on to the end. Version 4 takes a step of anything else for nothing.
        let base = match (step, syntax) {
            (Some(_), Syntax::V5) if !base.contains('-') => &open,
            (Some(_), Syntax::V4) if digits(base).is_some() || base.is_empty() => &open,
            _ => base,
        };
        let Some((from, to)) = base.split_once('-') else {
            items.push(self.single(base, syntax, written)?);
            return Ok(());
        };
        let to = match (to.split_once('-'), syntax) {
            (Some(_), Syntax::V5) => return Err(self.invalid(written, "a range has two ends")),
            (Some((to, _)), Syntax::V4) => to,
            (None, _) => to,
        };
        let to = if to.is_empty() && syntax == Syntax::V4 { "0" } else { to };
        let (Some(from), Some(to)) = (digits(from), digits(to)) else {
            return Err(self.out_of_bounds(written));
        };
        if from < self.least || to > self.most {
            return Err(self.out_of_bounds(written));
        }
        if from > to {
            return Err(self.invalid(written, "a range goes upwards"));
        }
        let step = match step {
            None => 1,
            Some(step) => digits(step)
                .filter(|step| *step > 0)
                .ok_or_else(|| self.invalid(written, "a step is at least 1"))?,
        };
        let week = self.position == Position::WeekDay && to % 7 == 0;
        let sunday = week && (syntax == Syntax::V4 || (to - from) % step == 0);
        if sunday {
            items.push(Item::Number(0));
        }
        let values = (from..=to).step_by(step as usize);
        items.extend(values.filter(|value| !(sunday && *value == 0)).map(Item::Number));
        Ok(())
    }

    fn single(&self, text: &str, syntax: Syntax, written: &str) -> Result<Item, Invalid> {
        let week = self.position == Position::WeekDay;
        if text.contains('L') {
            let day = text.strip_suffix('L').unwrap_or(text);
            // Of what precedes it, version 4 looks at the first figure only, and not before a day is judged.
            let first = text
                .bytes()
                .next()
                .filter(u8::is_ascii_digit)
                .map(|figure| u32::from(figure - b'0') % 7);
            return match (syntax, week) {
                (Syntax::V4, true) => first
                    .map(|day| Item::Last(Some(day)))
                    .ok_or_else(|| self.invalid(written, "before `L` stands a day")),
                (Syntax::V4, false) => Ok(Item::Last(None)),
                (Syntax::V5, false) if day.is_empty() => Ok(Item::Last(None)),
                (Syntax::V5, true) if matches!(day.as_bytes(), [b'0'..=b'7']) => Ok(Item::Last(first)),
                (Syntax::V5, true) => Err(self.invalid(written, "before `L` stands a day, as in `5L`")),
                (Syntax::V5, false) => Err(self.invalid(written, "`L` stands alone")),
            };
        }
        match digits(text) {
            Some(value) if (self.least..=self.most).contains(&value) => {
                Ok(Item::Number(if week { value % 7 } else { value }))
            }
            _ => Err(self.out_of_bounds(written)),
        }
    }

    fn refuse_repeats(&self, items: &[Item], written: &str) -> Result<(), Invalid> {
        for (place, item) in items.iter().enumerate() {
            if items[..place].contains(item) {
                let value = match item {
                    Item::Number(value) => value.to_string(),
                    Item::Last(day) => format!("{}L", day.map(|day| day.to_string()).unwrap_or_default()),
                };
                return Err(self.invalid(written, &format!("{value} stands in it twice")));
            }
        }
        Ok(())
    }
}

/// A number written in figures; too large a one for any field is as large as it gets.
fn digits(text: &str) -> Option<u32> {
    let figures = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    figures.then(|| text.parse().unwrap_or(u32::MAX))
}
