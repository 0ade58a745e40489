//! Which days a rule means.

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
#[derive(Debug)]
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
            Frequency::Yearly if unsaid && !self.weeks.is_empty() => self.week_days.push((0, start.weekday())),
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

    /// Weeks are those of ISO 8601, whatever day they are said to start on.
    fn have_week(&self, date: Date) -> bool {
        let week = date.iso_week_date();
        let length = if week.in_long_year() { 53 } else { 52 };
        let week = week.week();
        self.weeks
            .iter()
            .any(|named| *named == week || *named == week - length - 1)
    }
}
