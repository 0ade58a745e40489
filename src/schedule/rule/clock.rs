//! The occurrences of rules of hours, minutes and seconds.

use std::collections::VecDeque;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};

use super::Frequency;
use super::steps::step;
use super::text::Parts;
use super::walk::{PATIENCE, local};

/// FREQ from HOURLY on: steps of absolute time from DTSTART, and what the local time at each of them says.
pub(super) struct Clock<'a> {
    parts: &'a Parts,
    from: i64,
    to: i64,
    /// How long an hour, a minute or a second is.
    unit: i64,
    stride: i64,
    number: i64,
    /// What the step has.
    found: VecDeque<i64>,
    over: bool,
}

impl<'a> Clock<'a> {
    pub fn new(parts: &'a Parts, from: i64, to: i64) -> Clock<'a> {
        let unit = match parts.frequency {
            Frequency::Hourly => 3600,
            Frequency::Minutely => 60,
            _ => 1,
        };
        let stride = parts.interval.saturating_mul(unit);
        Clock {
            parts,
            from,
            to,
            unit,
            stride,
            // What a step has may be up to a unit before or after it.
            number: (from - unit - parts.begins).div_euclid(stride).max(0),
            found: VecDeque::new(),
            over: to <= from,
        }
    }

    /// Goes on to the next step that has anything; `false`: there is none any more.
    fn turn(&mut self) -> bool {
        for _ in 0..PATIENCE {
            step();
            let Some(at) = self
                .number
                .checked_mul(self.stride)
                .and_then(|past| past.checked_add(self.parts.begins))
            else {
                return false;
            };
            if at - self.unit > self.to {
                return false;
            }
            let Some(local) = local(at, &self.parts.zone) else {
                return false;
            };
            if self.repeats(at, local) {
                self.number += 1;
                continue;
            }
            let past = i64::from(local.minute()) * 60 + i64::from(local.second());
            let named = |named: &Option<Vec<i8>>, value: i8| named.as_ref().is_none_or(|named| named.contains(&value));
            let sub_minute = i64::from(local.second());
            let earliest = if !self.parts.days.have(local.date()) {
                match self.next_day(local.date()) {
                    Some(day) => day,
                    None => return false,
                }
            } else if !named(&self.parts.hours, local.hour()) {
                at + 3600 - past
            } else if self.unit < 3600 && !named(&self.parts.minutes, local.minute()) {
                at + 60 - sub_minute
            } else {
                self.number += 1;
                self.found = self.within(at, local);
                if self.found.is_empty() {
                    continue;
                }
                return true;
            };
            let aim = earliest - self.parts.begins;
            let whole = aim.div_euclid(self.stride) + i64::from(aim.rem_euclid(self.stride) > 0);
            self.number = whole.max(self.number + 1);
        }
        false
    }

    /// Whether it is the same hour of the clock as a step ago: pg-boss goes through an hour that comes twice once, where
    /// it steps by single hours.
    fn repeats(&self, at: i64, now: DateTime) -> bool {
        self.unit == 3600
            && self.parts.interval == 1
            && local(at - 3600, &self.parts.zone).is_some_and(|before| before.hour() == now.hour())
    }

    /// When the next day that is meant begins.
    fn next_day(&self, after: Date) -> Option<i64> {
        let last = local(self.to, &self.parts.zone)?.date();
        let mut day = after.tomorrow().ok()?;
        for _ in 0..PATIENCE {
            step();
            if day > last {
                return None;
            }
            if self.parts.days.have(day) {
                let midnight = self.parts.zone.to_ambiguous_timestamp(day.at(0, 0, 0, 0));
                return midnight.compatible().ok().map(Timestamp::as_second);
            }
            day = day.tomorrow().ok()?;
        }
        None
    }

    /// What the named minutes and seconds of an hour or minute come to, in the offset that applies at the step.
    fn within(&self, at: i64, local: DateTime) -> VecDeque<i64> {
        let or = |named: &Option<Vec<i8>>, value: i8| named.clone().unwrap_or_else(|| vec![value]);
        let own = |value: i8| vec![value];
        let (minutes, seconds) = match self.unit {
            3600 => (
                or(&self.parts.minutes, local.minute()),
                or(&self.parts.seconds, local.second()),
            ),
            60 => (own(local.minute()), or(&self.parts.seconds, local.second())),
            _ => (own(local.minute()), own(local.second())),
        };
        if self.unit == 1
            && self
                .parts
                .seconds
                .as_ref()
                .is_some_and(|named| !named.contains(&local.second()))
        {
            return VecDeque::new();
        }
        let mut found = VecDeque::new();
        for minute in &minutes {
            for second in &seconds {
                step();
                let apart = i64::from(*minute - local.minute()) * 60 + i64::from(*second - local.second());
                found.push_back(at + apart);
            }
        }
        if self.parts.positions.is_empty() {
            return found;
        }
        let all = found.len();
        let chosen = |index: usize| {
            let place = |place: usize| i64::try_from(place).unwrap_or(i64::MAX);
            let (front, back) = (place(index + 1), -place(all - index));
            self.parts.positions.contains(&front) || self.parts.positions.contains(&back)
        };
        let chosen = found.iter().enumerate().filter(|(index, _)| chosen(*index));
        chosen.map(|(_, at)| *at).collect()
    }
}

impl Iterator for Clock<'_> {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        while !self.over {
            match self.found.pop_front() {
                Some(found) if found > self.to => self.over = true,
                Some(found) if found > self.from => return Some(found),
                Some(_) => {}
                None => self.over = !self.turn(),
            }
        }
        None
    }
}
