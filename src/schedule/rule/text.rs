//! The text of a rule, and what is refused of it, as Node's pg-boss does: whatever would be read past silently.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;

use super::days::{Days, Skip};
use super::{Frequency, Refused};

/// Where a rule without a DTSTART of its own begins, in the schedule's zone: a Thursday.
const EPOCH: &str = "19700101T000000";

/// A rule as it was written, with what it does not say taken from its DTSTART.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    pub frequency: Frequency,
    pub interval: i64,
    pub count: Option<u64>,
    pub until: Option<i64>,
    pub days: Days,
    /// The hours, minutes and seconds that are named; none: not restricted.
    pub hours: Option<Vec<i8>>,
    pub minutes: Option<Vec<i8>>,
    pub seconds: Option<Vec<i8>>,
    /// Which of a period's occurrences count: from the front, or negative from the back.
    pub positions: Vec<i64>,
    pub start: DateTime,
    pub begins: i64,
    pub zone: TimeZone,
    pub excluded: BTreeSet<i64>,
    pub added: BTreeSet<i64>,
}

/// A line of the text: `NAME;PARAMETER=X:VALUE`.
struct Line<'a> {
    name: String,
    parameters: &'a str,
    value: &'a str,
}

impl<'a> Line<'a> {
    fn of(text: &'a str) -> Line<'a> {
        let end = text.find([':', ';']).filter(|end| {
            let name = &text[..*end];
            name.starts_with(|first: char| first.is_ascii_alphabetic())
                && name.chars().all(|rest| rest.is_ascii_alphanumeric() || rest == '-')
        });
        // Without a name it is the value of an RRULE line.
        let Some(end) = end else {
            return Line {
                name: "RRULE".to_owned(),
                parameters: "",
                value: text,
            };
        };
        let (parameters, value) = text[end..].split_once(':').unwrap_or((&text[end..], ""));
        Line {
            name: text[..end].to_ascii_uppercase(),
            parameters,
            value,
        }
    }

    fn parameter(&self, wanted: &str) -> Option<&'a str> {
        let parameters = self.parameters.split(';').filter_map(|part| part.split_once('='));
        let mut found = parameters.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.next().map(|(_, value)| value.trim_matches('"'))
    }
}

/// Reads a rule for a schedule in `zone`; `named` knows the zones a TZID may name.
pub(super) fn parse(text: &str, zone: &TimeZone, named: impl Fn(&str) -> Option<TimeZone>) -> Result<Parts, Refused> {
    let unfolded = text.replace("\r\n", "\n").replace("\n ", "").replace("\n\t", "");
    let (mut start, mut rule, mut dates) = (None, None, Vec::new());
    for text in unfolded.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let line = Line::of(text);
        match line.name.as_str() {
            "BEGIN" | "END" => {
                return refuse(
                    "only the DTSTART, RRULE, RDATE and EXDATE lines of a calendar entry are taken, without BEGIN and END",
                );
            }
            "DTSTART" if start.is_some() => return refuse("there is more than one DTSTART"),
            "RRULE" if rule.is_some() => return refuse("there is more than one RRULE"),
            "RRULE" if !line.parameters.is_empty() => return refuse("RRULE takes no parameters"),
            "DTSTART" => start = Some(line),
            "RRULE" => rule = Some(line.value),
            "RDATE" | "EXDATE" => dates.push(line),
            name => {
                return refuse(format!(
                    "{name} is not taken; there are DTSTART, RRULE, RDATE and EXDATE"
                ));
            }
        }
        if text.contains(char::is_whitespace) {
            return refuse(format!("there is white space within {text:?}"));
        }
    }
    let Some(rule) = rule else {
        return refuse("there is no RRULE to recur on");
    };
    let parts = split(rule)?;
    let part = |wanted: &str| {
        parts
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.as_str())
    };
    if start.is_none() && part("COUNT").is_some() {
        return refuse("COUNT counts from DTSTART, so that it needs one");
    }
    let anchor = Line::of(EPOCH);
    let first = start.as_ref().unwrap_or(&anchor);
    let zone_of = |line: &Line<'_>, otherwise: &TimeZone| match line.parameter("TZID") {
        Some(name) => named(name).ok_or_else(|| Refused::new(format!("there is no time zone {name:?}"))),
        None => Ok(otherwise.clone()),
    };
    let zone = zone_of(first, zone)?;
    let dated = !first.value.contains('T')
        || first
            .parameter("VALUE")
            .is_some_and(|kind| kind.eq_ignore_ascii_case("DATE"));
    let begins = moment(first.value, &zone, dated)?;
    // Of a local time that does not exist what the clocks then show; a zoned time is converted first.
    let start = local(begins, &zone)?;

    let mut sets = [BTreeSet::new(), BTreeSet::new()];
    for line in &dates {
        let zone = zone_of(line, &zone)?;
        for value in line.value.split(',') {
            if value.contains('T') != first.value.contains('T') {
                return refuse(format!("{} {value:?} is not of the kind that DTSTART is", line.name));
            }
            sets[usize::from(line.name == "RDATE")].insert(moment(value, &zone, !value.contains('T'))?);
        }
    }
    let [excluded, added] = sets;

    let frequency = match part("FREQ") {
        Some("YEARLY") => Frequency::Yearly,
        Some("MONTHLY") => Frequency::Monthly,
        Some("WEEKLY") => Frequency::Weekly,
        Some("DAILY") => Frequency::Daily,
        Some("HOURLY") => Frequency::Hourly,
        Some("MINUTELY") => Frequency::Minutely,
        Some("SECONDLY") => Frequency::Secondly,
        Some(other) => return refuse(format!("there is no FREQ={other}")),
        None => return refuse("there is no FREQ"),
    };
    let interval = part("INTERVAL").map_or(Ok(1), |value| integer("INTERVAL", value))?;
    if interval < 1 {
        return refuse("INTERVAL is at least 1");
    }
    let until = part("UNTIL").map(|value| {
        let absolute = first.value.ends_with('Z') || first.parameter("TZID").is_some();
        if value.contains('T') == dated {
            return refuse("UNTIL is not of the kind that DTSTART is");
        }
        if !dated && absolute && !value.ends_with('Z') {
            return refuse("UNTIL has to be in UTC where DTSTART names a zone");
        }
        moment(value, &zone, dated)
    });
    let count = part("COUNT").map(|value| integer("COUNT", value)).transpose()?;
    if count.is_some() && until.is_some() {
        return refuse("COUNT and UNTIL exclude each other");
    }
    let days = Days {
        frequency,
        months: list(part("BYMONTH"), "BYMONTH", 1..=12)?.unwrap_or_default(),
        month_days: list(part("BYMONTHDAY"), "BYMONTHDAY", -31..=31)?.unwrap_or_default(),
        year_days: list(part("BYYEARDAY"), "BYYEARDAY", -366..=366)?.unwrap_or_default(),
        weeks: list(part("BYWEEKNO"), "BYWEEKNO", -53..=53)?.unwrap_or_default(),
        week_days: part("BYDAY").map_or(Ok(Vec::new()), week_days)?,
        week_start: part("WKST").map_or(Ok(Weekday::Monday), |value| {
            week_day(value).ok_or_else(|| Refused::new(format!("there is no WKST={value}")))
        })?,
        skip: skip(part("RSCALE"), part("SKIP"))?,
        adrift: false,
    };
    let hours = list(part("BYHOUR"), "BYHOUR", 0..=23)?;
    let minutes = list(part("BYMINUTE"), "BYMINUTE", 0..=59)?;
    let seconds = list(part("BYSECOND"), "BYSECOND", 0..=59)?;
    let positions = list(part("BYSETPOS"), "BYSETPOS", i64::MIN..=i64::MAX)?.unwrap_or_default();
    let timed = hours.is_some() || minutes.is_some() || seconds.is_some();
    if !positions.is_empty() && days.every() && !timed {
        return refuse("BYSETPOS chooses among what another BY part names");
    }
    days.check()?;
    Ok(Parts {
        frequency,
        interval,
        // pg-boss gives one for a negative count.
        count: count.map(|count| u64::try_from(count).unwrap_or(1)),
        until: until.transpose()?,
        days: days.anchored(start.date()),
        hours,
        minutes,
        seconds,
        positions,
        start,
        begins,
        zone,
        excluded,
        added,
    })
}

/// The parts of a rule, in capitals.
fn split(rule: &str) -> Result<Vec<(String, String)>, Refused> {
    const KNOWN: [&str; 16] = [
        "FREQ",
        "UNTIL",
        "COUNT",
        "INTERVAL",
        "BYSECOND",
        "BYMINUTE",
        "BYHOUR",
        "BYDAY",
        "BYMONTHDAY",
        "BYYEARDAY",
        "BYWEEKNO",
        "BYMONTH",
        "BYSETPOS",
        "WKST",
        "RSCALE",
        "SKIP",
    ];
    let mut parts: Vec<(String, String)> = Vec::new();
    for part in rule.split(';').filter(|part| !part.is_empty()) {
        let part = part.to_ascii_uppercase();
        let mut pieces = part.split('=');
        let (name, value) = (pieces.next().unwrap_or_default(), pieces.next().unwrap_or_default());
        if value.is_empty() {
            return refuse(format!("{name} has no value"));
        }
        if !KNOWN.contains(&name) && !name.starts_with("X-") {
            return refuse(format!("there is no part {part}"));
        }
        if parts.iter().any(|(known, _)| known == name) {
            return refuse(format!("there is more than one {name}"));
        }
        parts.push((name.to_owned(), value.to_owned()));
    }
    Ok(parts)
}

/// The instant of a date, of a local time in `zone`, or of one in UTC.
fn moment(value: &str, zone: &TimeZone, dated: bool) -> Result<i64, Refused> {
    let wrong = || Refused::new(format!("{value:?} is no date or time"));
    let digits = |from: usize, to: usize| -> Result<i8, Refused> {
        let digits = value
            .get(from..to)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
        digits.and_then(|digits| digits.parse().ok()).ok_or_else(wrong)
    };
    let century = i16::from(digits(0, 2)?);
    let year = century * 100 + i16::from(digits(2, 4)?);
    let date = Date::new(year, digits(4, 6)?, digits(6, 8)?).map_err(|_| wrong())?;
    if dated {
        return at(date.at(0, 0, 0, 0), zone);
    }
    let utc = value.ends_with('Z');
    let clock = value
        .get(8..)
        .and_then(|rest| rest.strip_prefix('T'))
        .ok_or_else(wrong)?;
    let clock = clock.strip_suffix('Z').unwrap_or(clock);
    let (minutes, seconds) = match clock.len() {
        6 => (digits(11, 13)?, digits(13, 15)?),
        4 if !utc => (digits(11, 13)?, 0),
        2 if !utc => (0, 0),
        _ => return Err(wrong()),
    };
    // A leap second is the one before it.
    let time = Time::new(digits(9, 11)?, minutes, seconds.min(59), 0).map_err(|_| wrong())?;
    let local = date.to_datetime(time);
    if utc {
        at(local, &TimeZone::UTC)
    } else {
        at(local, zone)
    }
}

fn at(local: DateTime, zone: &TimeZone) -> Result<i64, Refused> {
    let instant = zone.to_ambiguous_timestamp(local).compatible();
    instant
        .map(Timestamp::as_second)
        .map_err(|_| Refused::new(format!("{local} is out of range")))
}

fn local(instant: i64, zone: &TimeZone) -> Result<DateTime, Refused> {
    let instant = Timestamp::from_second(instant);
    instant
        .map(|instant| zone.to_datetime(instant))
        .map_err(|_| Refused::new("DTSTART is out of range"))
}

fn integer(name: &str, value: &str) -> Result<i64, Refused> {
    let digits = value.strip_prefix(['+', '-']).unwrap_or(value);
    let well = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    // What has more digits than fit is as good as the largest.
    let number = well.then(|| {
        value
            .parse()
            .unwrap_or(if value.starts_with('-') { i64::MIN } else { i64::MAX })
    });
    number.ok_or_else(|| Refused::new(format!("{name}={value} is no whole number")))
}

/// Distinct numbers, 0 among them only where the range begins there. One that is written in two ways is refused, as
/// pg-boss does.
fn list<T>(value: Option<&str>, name: &str, range: RangeInclusive<i64>) -> Result<Option<Vec<T>>, Refused>
where
    T: TryFrom<i64> + Ord,
{
    let Some(value) = value else { return Ok(None) };
    let mut found = BTreeSet::new();
    for text in value.split(',') {
        if name == "BYMONTH" && text.strip_suffix('L').is_some_and(|month| integer(name, month).is_ok()) {
            return refuse(format!("the leap month {text} is of calendars other than GREGORIAN"));
        }
        let number = integer(name, text)?;
        if !range.contains(&number) || number == 0 && *range.start() != 0 {
            return refuse(format!("{name} has no {text}"));
        }
        found.extend(T::try_from(number).ok());
    }
    let written: BTreeSet<_> = value.split(',').collect();
    if written.len() != found.len() {
        return refuse(format!("{name}={value} writes one number in two ways"));
    }
    Ok(Some(found.into_iter().collect()))
}

fn week_days(value: &str) -> Result<Vec<(i16, Weekday)>, Refused> {
    let mut found = Vec::new();
    for text in value.split(',') {
        let wrong = || Refused::new(format!("there is no BYDAY={text}"));
        let split = text
            .len()
            .checked_sub(2)
            .filter(|at| text.is_char_boundary(*at))
            .ok_or_else(wrong)?;
        let (ordinal, name) = text.split_at(split);
        let day = week_day(name).ok_or_else(wrong)?;
        let ordinal = match ordinal {
            "" => 0,
            some => integer("BYDAY", some)
                .ok()
                .filter(|ordinal| *ordinal != 0 && some.trim_start_matches(['+', '-']).len() <= 2)
                .and_then(|ordinal| i16::try_from(ordinal).ok())
                .ok_or_else(wrong)?,
        };
        found.push((ordinal, day));
    }
    Ok(found)
}

fn week_day(name: &str) -> Option<Weekday> {
    Some(match name {
        "MO" => Weekday::Monday,
        "TU" => Weekday::Tuesday,
        "WE" => Weekday::Wednesday,
        "TH" => Weekday::Thursday,
        "FR" => Weekday::Friday,
        "SA" => Weekday::Saturday,
        "SU" => Weekday::Sunday,
        _ => return None,
    })
}

fn skip(calendar: Option<&str>, skip: Option<&str>) -> Result<Skip, Refused> {
    match (calendar, skip) {
        (None, None) => Ok(Skip::Omit),
        (None, Some(_)) => refuse("SKIP needs an RSCALE"),
        (Some("GREGORIAN" | "GREGORY" | "ISO8601"), skip) => match skip {
            None | Some("OMIT") => Ok(Skip::Omit),
            Some("BACKWARD") => Ok(Skip::Backward),
            Some("FORWARD") => Ok(Skip::Forward),
            Some(other) => refuse(format!("there is no SKIP={other}")),
        },
        (Some(other), _) => refuse(format!(
            "the calendar {other} is not known here, only GREGORIAN; pg-boss itself may know it"
        )),
    }
}

fn refuse<T>(why: impl Into<String>) -> Result<T, Refused> {
    Err(Refused::new(why))
}
