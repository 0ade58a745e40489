//! The occurrences of a rule in order, from any instant on, without those before it having been gone through.

use std::collections::{BTreeSet, VecDeque};

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Span, Timestamp, ToSpan};

use super::Frequency;
use super::clock::Clock;
use super::days::{Skip, days_between};
use super::steps::step;
use super::text::Parts;

/// As many days, hours and steps are gone through in search of one occurrence before there is said to be none; days for
/// about a century.
pub(super) const PATIENCE: usize = 40_000;

/// What comes after an instant, as instants in seconds, up to and including the end.
pub(super) fn after(parts: &Parts, from: i64, to: i64) -> Box<dyn Iterator<Item = i64> + '_> {
    let from = from.max(parts.begins - 1);
    let to = parts.until.map_or(to, |until| until.min(to));
    if parts.days.adrift {
        let mut from = from;
        Box::new(std::iter::from_fn(move || {
            from = Calendar::new(parts, from, to).next()?;
            Some(from)
        }))
    } else if parts.frequency <= Frequency::Daily {
        Box::new(Calendar::new(parts, from, to))
    } else {
        Box::new(Clock::new(parts, from, to))
    }
}

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
    /// The weekday, where DTSTART says it and not the rule. What pg-boss takes is that of DTSTART's date in the period
    /// in which it begins to look.
    week_day: Option<Weekday>,
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
            week_day: None,
            over: since.is_none() || to <= from,
        };
        // The day put off from the period before, and a week that began in the year before.
        calendar.period = (calendar.number(calendar.since.date()) / parts.interval - 1).max(0) - 1;
        if parts.days.adrift {
            let years = i64::from(calendar.since.year() - parts.start.year()) / parts.interval;
            calendar.period = years - 1;
            let span = Span::new().try_years(years.saturating_mul(parts.interval));
            let aligned = span.and_then(|span| parts.start.date().checked_add(span));
            calendar.week_day = aligned.ok().map(Date::weekday);
        }
        calendar
    }

    /// The number of the period a day is in, INTERVAL aside.
    fn number(&self, date: Date) -> i64 {
        let start = self.parts.start.date();
        let months = |date: Date| i64::from(date.year()) * 12 + i64::from(date.month());
        match self.parts.frequency {
            Frequency::Yearly if self.weekly() => i64::from(self.parts.days.week_year(date) - start.year()),
            Frequency::Yearly => i64::from(date.year() - start.year()),
            Frequency::Monthly => months(date) - months(start),
            Frequency::Weekly => days_between(self.parts.days.week(start), self.parts.days.week(date)) / 7,
            _ => days_between(start, date),
        }
    }

    /// Whether years are taken as so many weeks.
    fn weekly(&self) -> bool {
        !self.parts.days.weeks.is_empty()
    }

    /// The first and the last day of the period.
    fn bounds(&self) -> Option<(Date, Date)> {
        let start = self.parts.start.date();
        let number = self.period.checked_mul(self.parts.interval)?;
        let span = |make: fn(Span, i64) -> Result<Span, jiff::Error>| make(Span::new(), number).ok();
        Some(match self.parts.frequency {
            Frequency::Yearly => {
                let first = start.first_of_year().checked_add(span(Span::try_years)?).ok()?;
                if self.weekly() {
                    let next = self.parts.days.first_week(first.year().checked_add(1)?);
                    return Some((self.parts.days.first_week(first.year()), next.yesterday().ok()?));
                }
                (first, first.last_of_year())
            }
            Frequency::Monthly => {
                let first = start.first_of_month().checked_add(span(Span::try_months)?).ok()?;
                (first, first.last_of_month())
            }
            Frequency::Weekly => {
                let first = self.parts.days.week(start).checked_add(span(Span::try_weeks)?).ok()?;
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
            let on_its_day = self.week_day.is_none_or(|day| date.weekday() == day);
            if days.have(date) && on_its_day && !put_off {
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

pub(super) fn local(instant: i64, zone: &TimeZone) -> Option<DateTime> {
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
