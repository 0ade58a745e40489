//! Which days a rule means.

use jiff::ToSpan;
use jiff::civil::{Date, Weekday};

use super::{Frequency, Refused};

/// What becomes of a day that a month does not have (RFC 7529).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Skip {
    /// It is left out.
    Omit,
    /// The month's last day takes its place.
    Backward,
    /// The first day of the month after does.
    Forward,
}

/// The days that are named. Empty: not restricted.
#[derive(Debug, Clone)]
pub(super) struct Days {
    pub frequency: Frequency,
    pub months: Vec<i8>,
    /// Negative from the month's end.
    pub month_days: Vec<i8>,
    /// Negative from the year's end.
    pub year_days: Vec<i16>,
    /// Weeks of the year, negative from its end.
    pub weeks: Vec<i8>,
    /// With a number other than 0 the so-manieth of its month or year.
    pub week_days: Vec<(i16, Weekday)>,
    pub week_start: Weekday,
    pub skip: Skip,
    /// The weekday of named weeks is left to DTSTART.
    pub adrift: bool,
}

impl Days {
    /// Whether nothing is named.
    pub fn every(&self) -> bool {
        self.months.is_empty()
            && self.month_days.is_empty()
            && self.year_days.is_empty()
            && self.weeks.is_empty()
            && self.week_days.is_empty()
    }

    /// Refuses what RFC 5545 forbids to be combined.
    pub fn check(&self) -> Result<(), Refused> {
        use Frequency::{Daily, Monthly, Weekly, Yearly};
        let frequency = self.frequency;
        let ordinals = self.week_days.iter().any(|(ordinal, _)| *ordinal != 0);
        let wrong = if !self.weeks.is_empty() && frequency != Yearly {
            "BYWEEKNO is for FREQ=YEARLY"
        } else if !self.year_days.is_empty() && matches!(frequency, Daily | Weekly | Monthly) {
            "BYYEARDAY is not for FREQ=DAILY, WEEKLY or MONTHLY"
        } else if !self.month_days.is_empty() && frequency == Weekly {
            "BYMONTHDAY is not for FREQ=WEEKLY"
        } else if ordinals && !matches!(frequency, Monthly | Yearly) {
            "BYDAY with a number is for FREQ=MONTHLY and YEARLY"
        } else if ordinals && !self.weeks.is_empty() {
            "BYDAY with a number does not go with BYWEEKNO"
        } else {
            return Ok(());
        };
        Err(Refused::new(wrong))
    }

    /// Takes from DTSTART what no part says.
    pub fn anchored(mut self, start: Date) -> Days {
        let unsaid = self.month_days.is_empty() && self.year_days.is_empty() && self.week_days.is_empty();
        match self.frequency {
            Frequency::Yearly if unsaid && !self.weeks.is_empty() => self.adrift = true,
            Frequency::Yearly if unsaid => {
                self.month_days.push(start.day());
                if self.months.is_empty() {
                    self.months.push(start.month());
                }
            }
            Frequency::Monthly if unsaid => self.month_days.push(start.day()),
            Frequency::Weekly if unsaid => self.week_days.push((0, start.weekday())),
            _ => {}
        }
        self
    }

    /// Whether a day is meant.
    pub fn have(&self, date: Date) -> bool {
        self.have_month_day(date)
            && (self.week_days.is_empty() || self.week_days.iter().any(|(nth, day)| self.is_nth(date, *nth, *day)))
            && (self.year_days.is_empty() || {
                let (day, length) = (date.day_of_year(), date.days_in_year());
                self.year_days
                    .iter()
                    .any(|named| *named == day || *named == day - length - 1)
            })
            && (self.weeks.is_empty() || self.have_week(date))
    }

    fn have_month(&self, date: Date) -> bool {
        self.months.is_empty() || self.months.contains(&date.month())
    }

    /// Whether the month is meant, and in it the day; with it what took the place of a day the month has not.
    fn have_month_day(&self, date: Date) -> bool {
        let length = date.days_in_month();
        let (day, beyond) = (date.day(), self.month_days.iter().any(|named| *named > length));
        let own = self.month_days.is_empty()
            || self
                .month_days
                .iter()
                .any(|named| *named == day || *named == day - length - 1)
            || self.skip == Skip::Backward && beyond && day == length;
        own && self.have_month(date) || self.skip == Skip::Forward && day == 1 && self.overflows(date)
    }

    /// Whether a day that the month before has not is put off to this one, its first.
    pub fn overflows(&self, first: Date) -> bool {
        first
            .yesterday()
            .is_ok_and(|before| self.have_month(before) && self.month_days.iter().any(|named| *named > before.day()))
    }

    fn is_nth(&self, date: Date, nth: i16, day: Weekday) -> bool {
        if date.weekday() != day {
            return false;
        }
        let in_month = self.frequency == Frequency::Monthly || !self.months.is_empty();
        let (at, length) = if in_month {
            (i16::from(date.day()), i16::from(date.days_in_month()))
        } else {
            (date.day_of_year(), date.days_in_year())
        };
        match nth {
            0 => true,
            1.. => (at - 1) / 7 + 1 == nth,
            _ => -((length - at) / 7 + 1) == nth,
        }
    }

    fn have_week(&self, date: Date) -> bool {
        let year = self.week_year(date);
        let (begin, end) = (self.first_week(year), self.first_week(year + 1));
        let (week, length) = (days_between(begin, date) / 7 + 1, days_between(begin, end) / 7);
        let mut named = self.weeks.iter().map(|named| i64::from(*named));
        named.any(|named| named == week || named == week - length - 1)
    }

    /// The year of whose weeks a day is.
    pub fn week_year(&self, date: Date) -> i16 {
        let year = date.year();
        if date < self.first_week(year) {
            year - 1
        } else if year < 9999 && date >= self.first_week(year + 1) {
            year + 1
        } else {
            year
        }
    }

    /// When the first week of a year begins: that with its 4th of January.
    pub fn first_week(&self, year: i16) -> Date {
        Date::new(year, 1, 4).map_or(Date::MAX, |fourth| self.week(fourth))
    }

    /// The first day of a week.
    pub fn week(&self, date: Date) -> Date {
        let since = date.weekday().since(self.week_start);
        date.checked_sub(i64::from(since).days()).unwrap_or(date)
    }
}

/// How many days later `to` is.
pub(super) fn days_between(from: Date, to: Date) -> i64 {
    from.duration_until(to).as_hours() / 24
}
