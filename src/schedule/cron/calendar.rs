//! Days, counted and dated: local seconds are carried as if there were no zones.

/// Seconds of a day.
pub(super) const DAY: i64 = 86_400;

const LENGTHS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// A date, and how many days after the epoch it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Day {
    count: i64,
    year: i64,
    pub month: i64,
    pub day: i64,
}

impl Day {
    /// The day of a local second.
    pub fn of(second: i64) -> Day {
        let count = second.div_euclid(DAY);
        // Years are counted from March, so that the odd day is their last.
        let shifted = count + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 {
            shifted_month + 3
        } else {
            shifted_month - 9
        };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Day {
            count,
            year,
            month,
            day,
        }
    }

    /// Its first second.
    pub fn start(&self) -> i64 {
        self.count * DAY
    }

    /// Sunday is 0.
    pub fn weekday(&self) -> i64 {
        (self.count + 4).rem_euclid(7)
    }

    /// How many days its month has.
    pub fn length(&self) -> i64 {
        length(self.year, self.month)
    }

    /// How many days its month has at most.
    pub fn longest(&self) -> usize {
        usize::from(longest(u8::try_from(self.month).unwrap_or(1)))
    }

    pub fn next(self) -> Day {
        if self.day == self.length() {
            return self.next_month();
        }
        Day {
            count: self.count + 1,
            day: self.day + 1,
            ..self
        }
    }

    pub fn before(self) -> Day {
        if self.day == 1 {
            return self.month_before();
        }
        Day {
            count: self.count - 1,
            day: self.day - 1,
            ..self
        }
    }

    /// The first day of the next month.
    pub fn next_month(self) -> Day {
        let (year, month) = match self.month {
            12 => (self.year + 1, 1),
            month => (self.year, month + 1),
        };
        Day {
            count: self.count - self.day + self.length() + 1,
            year,
            month,
            day: 1,
        }
    }

    /// The last day of the month before.
    pub fn month_before(self) -> Day {
        let (year, month) = match self.month {
            1 => (self.year - 1, 12),
            month => (self.year, month - 1),
        };
        Day {
            count: self.count - self.day,
            year,
            month,
            day: length(year, month),
        }
    }
}

fn length(year: i64, month: i64) -> i64 {
    let leap = year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0);
    let usual = usize::try_from(month - 1).ok().and_then(|index| LENGTHS.get(index));
    usual.copied().unwrap_or(31) + i64::from(leap && month == 2)
}

/// How many days a month has at most, February in a leap year.
pub(super) fn longest(month: u8) -> u8 {
    match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_follow_each_other_as_jiff_has_them() {
        let mut day = Day::of(-800 * 366 * DAY);
        for _ in 0..300_000 {
            let date = jiff::Timestamp::from_second(day.start()).expect("in range");
            let date = jiff::tz::TimeZone::UTC.to_datetime(date).date();
            let dated = (i64::from(date.year()), i64::from(date.month()), i64::from(date.day()));
            assert_eq!((day.year, day.month, day.day), dated);
            assert_eq!(day.weekday(), i64::from(date.weekday().to_sunday_zero_offset()));
            assert_eq!(day.length(), i64::from(date.days_in_month()));
            assert_eq!(day, Day::of(day.start() + DAY - 1));
            assert_eq!(day.next().before(), day);
            day = day.next();
        }
    }
}
