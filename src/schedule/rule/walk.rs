//! The occurrences of a rule in order, from any instant on, without those before it having been gone through.

use std::collections::{BTreeSet, VecDeque};

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Span, Timestamp, ToSpan};

use super::Frequency;
use super::days::Skip;
use super::text::Parts;

/// As many days, hours and steps are gone through in search of one occurrence before there is said to be none; days for
/// about a century.
const PATIENCE: usize = 40_000;

/// What comes after an instant, as instants in seconds, up to and including the end.
pub(super) fn after(parts: &Parts, from: i64, to: i64) -> Box<dyn Iterator<Item = i64> + '_> {
    let from = from.max(parts.begins - 1);
    let to = parts.until.map_or(to, |until| until.min(to));
    if parts.frequency <= Frequency::Daily {
        Box::new(Calendar::new(parts, from, to))
    } else {
        Box::new(Clock::new(parts, from, to))
    }
}

/// How many steps have been made by this thread, for tests of how much work something is.
#[cfg(test)]
pub(super) mod steps {
    use std::cell::Cell;

    thread_local!(static STEPS: Cell<usize> = const { Cell::new(0) });

    pub fn step() {
        STEPS.set(STEPS.get() + 1);
    }

    /// What was done, and how many steps it took.
    pub fn of<T>(work: impl FnOnce() -> T) -> (T, usize) {
        let before = STEPS.get();
        let done = work();
        (done, STEPS.get() - before)
    }
}
#[cfg(not(test))]
mod steps {
    pub fn step() {}
}
use steps::step;

/// FREQ from YEARLY to DAILY: periods of the calendar, and in them local times.
///
/// Of a local time that comes twice the first is meant, and one that does not exist is left out. What is left comes in
/// the order of the local times.
struct Calendar<'a> {
    parts: &'a Parts,
    from: i64,
    to: i64,
    /// The local time of `from`: nothing earlier can come later.
    since: DateTime,
    /// The number of the period, counted from that of DTSTART.
    period: i64,
    /// The days of the period that are still to come.
    days: VecDeque<Date>,
    /// The next time of the first of them.
    slot: usize,
    /// What BYSETPOS chose in the period.
    chosen: VecDeque<i64>,
    times: Times,
    over: bool,
}

impl<'a> Calendar<'a> {
    fn new(parts: &'a Parts, from: i64, to: i64) -> Calendar<'a> {
        let since = local(from, &parts.zone);
        let mut calendar = Calendar {
            parts,
            from,
            to,
            since: since.unwrap_or(parts.start),
            period: 0,
            days: VecDeque::new(),
            slot: 0,
            chosen: VecDeque::new(),
            times: Times::of(parts),
            over: since.is_none() || to <= from,
        };
        // The day put off from the period before, and a week that began in the year before.
        calendar.period = (calendar.number(calendar.since.date()) / parts.interval - 1).max(0) - 1;
        calendar
    }

    /// The number of the period a day is in, INTERVAL aside.
    fn number(&self, date: Date) -> i64 {
        let start = self.parts.start.date();
        let months = |date: Date| i64::from(date.year()) * 12 + i64::from(date.month());
        match self.parts.frequency {
            Frequency::Yearly => i64::from(date.year() - start.year()),
            Frequency::Monthly => months(date) - months(start),
            Frequency::Weekly => days_between(self.week(start), self.week(date)) / 7,
            _ => days_between(start, date),
        }
    }

    /// The first day of a week.
    fn week(&self, date: Date) -> Date {
        let since = date.weekday().since(self.parts.days.week_start);
        date.checked_sub(i64::from(since).days()).unwrap_or(date)
    }

    /// The first and the last day of the period.
    fn bounds(&self) -> Option<(Date, Date)> {
        let start = self.parts.start.date();
        let number = self.period.checked_mul(self.parts.interval)?;
        let span = |make: fn(Span, i64) -> Result<Span, jiff::Error>| make(Span::new(), number).ok();
        Some(match self.parts.frequency {
            Frequency::Yearly => {
                let first = start.first_of_year().checked_add(span(Span::try_years)?).ok()?;
                (first, first.last_of_year())
            }
            Frequency::Monthly => {
                let first = start.first_of_month().checked_add(span(Span::try_months)?).ok()?;
                (first, first.last_of_month())
            }
            Frequency::Weekly => {
                let first = self.week(start).checked_add(span(Span::try_weeks)?).ok()?;
                (first, first.checked_add(6.days()).ok()?)
            }
            _ => {
                let day = start.checked_add(span(Span::try_days)?).ok()?;
                (day, day)
            }
        })
    }

    /// The days of the period that are meant, from `since` to `until` if only those are wanted.
    fn days(&self, first: Date, last: Date, until: Date) -> VecDeque<Date> {
        let days = &self.parts.days;
        let forward = days.skip == Skip::Forward && self.parts.frequency == Frequency::Monthly;
        // Positions are counted among all of a period.
        let (begin, end) = if self.parts.positions.is_empty() {
            (first.max(self.since.date()), last.min(until))
        } else {
            (first, last)
        };
        let mut found = VecDeque::new();
        let mut day = Some(begin);
        while let Some(date) = day.filter(|date| *date <= end) {
            step();
            // What the month before puts off to this one's first day is of that month's period.
            let put_off = forward && date == first && days.overflows(date) && !days.month_days.contains(&1);
            if days.have(date) && !put_off {
                found.push_back(date);
            }
            day = date.tomorrow().ok();
        }
        if let Ok(next) = last.tomorrow()
            && forward
            && days.overflows(next)
        {
            found.push_back(next);
        }
        found
    }

    /// Goes on to the next period that has days; `false`: there is none any more.
    fn turn(&mut self) -> bool {
        let mut patience = PATIENCE;
        // Where clocks are set back over midnight a day has begun once before it does.
        let until = local(self.to, &self.parts.zone).and_then(|to| to.date().tomorrow().ok());
        let until = until.unwrap_or(Date::MAX);
        while patience > 0 {
            self.period += 1;
            let Some((first, last)) = self.bounds().filter(|(first, _)| *first <= until) else {
                return false;
            };
            step();
            let days = self.days(first, last, until);
            if days.is_empty() {
                let length = usize::try_from(days_between(first, last)).unwrap_or(0);
                patience = patience.saturating_sub(length + 1);
                continue;
            }
            if self.parts.positions.is_empty() {
                self.slot = match days.front() {
                    Some(day) if *day == self.since.date() => self.times.first_from(self.since.time()),
                    _ => 0,
                };
                self.days = days;
            } else {
                self.chosen = self.choose(&days);
            }
            return true;
        }
        false
    }

    /// What BYSETPOS chooses.
    fn choose(&self, days: &VecDeque<Date>) -> VecDeque<i64> {
        // A day on which the clocks are put forward may have fewer.
        let counts: Vec<usize> = days.iter().map(|day| self.existing(*day)).collect();
        let all: usize = counts.iter().sum();
        let mut chosen = BTreeSet::new();
        for position in &self.parts.positions {
            let Ok(size) = usize::try_from(position.unsigned_abs()) else {
                continue;
            };
            if size > all {
                continue;
            }
            let mut left = if *position > 0 { size - 1 } else { all - size };
            let at = days.iter().zip(&counts).find_map(|(day, count)| {
                if left < *count {
                    return self.nth(*day, *count, left);
                }
                left -= count;
                None
            });
            chosen.extend(at);
        }
        chosen.into_iter().collect()
    }

    /// How many of the times exist on a day.
    fn existing(&self, day: Date) -> usize {
        step();
        let zone = &self.parts.zone;
        let offset = |day: Date| {
            zone.to_ambiguous_timestamp(day.at(0, 0, 0, 0))
                .compatible()
                .map(|at| zone.to_offset(at))
        };
        let even = match (offset(day), day.tomorrow().and_then(offset)) {
            (Ok(today), Ok(tomorrow)) => today == tomorrow,
            _ => false,
        };
        if even {
            return self.times.count();
        }
        (0..self.times.count())
            .filter(|slot| self.instant(day, *slot).is_some())
            .count()
    }

    fn nth(&self, day: Date, count: usize, nth: usize) -> Option<i64> {
        if count == self.times.count() {
            return self.instant(day, nth);
        }
        let mut there = (0..self.times.count()).filter_map(|slot| self.instant(day, slot));
        there.nth(nth)
    }

    fn instant(&self, day: Date, slot: usize) -> Option<i64> {
        step();
        instant(day.to_datetime(self.times.at(slot)), &self.parts.zone)
    }
}

impl Iterator for Calendar<'_> {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        while !self.over {
            let found = if let Some(chosen) = self.chosen.pop_front() {
                Some(chosen)
            } else if let Some(day) = self.days.front().copied() {
                let found = (self.slot < self.times.count()).then(|| self.instant(day, self.slot));
                self.slot += 1;
                if self.slot >= self.times.count() {
                    self.days.pop_front();
                    self.slot = 0;
                }
                found.flatten()
            } else {
                self.over = !self.turn();
                None
            };
            match found {
                Some(found) if found > self.to => self.over = true,
                Some(found) if found > self.from => return Some(found),
                _ => {}
            }
        }
        None
    }
}

/// The times of a day, in order, without them being listed.
struct Times {
    hours: Vec<i8>,
    minutes: Vec<i8>,
    seconds: Vec<i8>,
}

impl Times {
    fn of(parts: &Parts) -> Times {
        let or = |named: &Option<Vec<i8>>, start: i8| named.clone().unwrap_or_else(|| vec![start]);
        Times {
            hours: or(&parts.hours, parts.start.hour()),
            minutes: or(&parts.minutes, parts.start.minute()),
            seconds: or(&parts.seconds, parts.start.second()),
        }
    }

    fn count(&self) -> usize {
        self.hours.len() * self.minutes.len() * self.seconds.len()
    }

    fn at(&self, slot: usize) -> Time {
        let (minutes, seconds) = (self.minutes.len(), self.seconds.len());
        let hour = self.hours[slot / (minutes * seconds)];
        Time::constant(
            hour,
            self.minutes[slot / seconds % minutes],
            self.seconds[slot % seconds],
            0,
        )
    }

    /// The first that is not before `time`.
    fn first_from(&self, time: Time) -> usize {
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = low.midpoint(high);
            if self.at(middle) < time {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// FREQ from HOURLY on: steps of absolute time from DTSTART, and what the local time at each of them says.
struct Clock<'a> {
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
    fn new(parts: &'a Parts, from: i64, to: i64) -> Clock<'a> {
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

fn local(instant: i64, zone: &TimeZone) -> Option<DateTime> {
    let instant = Timestamp::from_second(instant).ok()?;
    Some(zone.to_datetime(instant))
}

/// The first instant at which it is that local time.
fn instant(local: DateTime, zone: &TimeZone) -> Option<i64> {
    let offset = match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset,
        AmbiguousOffset::Fold { before, .. } => before,
        AmbiguousOffset::Gap { .. } => return None,
    };
    offset.to_timestamp(local).ok().map(Timestamp::as_second)
}

fn days_between(from: Date, to: Date) -> i64 {
    let apart = to.since(from).map(|span| span.get_days());
    apart.map_or(0, i64::from)
}
