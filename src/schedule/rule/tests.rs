use jiff::{SignedDuration, ToSpan};

use super::*;

fn rule(text: &str, zone: &str) -> Rule {
    try_rule(text, zone).expect("a rule")
}

fn try_rule(text: &str, zone: &str) -> Result<Rule, Refused> {
    let zone = TimeZone::get(zone).expect("a zone");
    Rule::parse(text, &zone, |name| TimeZone::get(name).ok())
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

fn shown(found: impl Iterator<Item = Timestamp>) -> Vec<String> {
    found.map(|at| at.to_string()).collect()
}

#[test]
fn a_rule_is_told_from_a_cron_expression() {
    for text in [
        "FREQ=DAILY",
        "freq=daily;byhour=9",
        "INTERVAL=2;FREQ=DAILY",
        "RRULE:FREQ=DAILY",
        "nothing\n  DTSTART;TZID=UTC:20250101T000000",
        "BEGIN:VEVENT",
        "X-ANY;",
    ] {
        assert!(is_rule(text), "{text:?}");
    }
    for text in [
        "* * * * *",
        "@daily",
        "0 9 * * 1-5",
        "",
        "NOFREQ=1",
        "FREQ",
        "1:2",
        ":x",
        "é:1",
    ] {
        assert!(!is_rule(text), "{text:?}");
    }
}

#[test]
fn the_end_of_a_window_is_in_it_and_its_beginning_is_not() {
    let rule = rule("FREQ=MINUTELY", "UTC");
    let found = shown(rule.within(at("2025-03-01T00:00:00Z"), at("2025-03-01T00:02:00Z")));
    assert_eq!(found, ["2025-03-01T00:01:00Z", "2025-03-01T00:02:00Z"]);
    let found = shown(rule.within(at("2025-03-01T00:00:00.001Z"), at("2025-03-01T00:00:59.999Z")));
    assert!(found.is_empty());
}

#[test]
fn what_is_added_and_left_out_is() {
    let text = "DTSTART:20250110T090000Z\nRRULE:FREQ=DAILY;COUNT=3\nEXDATE:20250111T090000Z,20250120T090000Z\n\
                RDATE:20250105T090000Z,20250120T090000Z\nRDATE:20250110T090000Z,20250110T090030Z";
    let found = shown(rule(text, "Europe/Berlin").after(at("2025-01-01T00:00:00Z")));
    let expected = [
        "2025-01-05T09:00:00Z",
        "2025-01-10T09:00:00Z",
        "2025-01-10T09:00:30Z",
        "2025-01-12T09:00:00Z",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_folded_line_is_one() {
    let text = "DTSTART:20250110T090000Z\r\nRRULE:FREQ=DAI\r\n LY;COUNT=2\r\n";
    assert_eq!(rule(text, "UTC").after(at("2025-01-01T00:00:00Z")).count(), 2);
}

#[test]
fn an_hour_that_comes_twice_counts_once_only_in_steps_of_one_hour() {
    let (from, to) = (at("2025-10-25T23:30:00Z"), at("2025-10-26T03:00:00Z"));
    let found = shown(rule("FREQ=HOURLY", "Europe/Berlin").within(from, to));
    assert_eq!(
        found,
        ["2025-10-26T00:00:00Z", "2025-10-26T02:00:00Z", "2025-10-26T03:00:00Z"]
    );
    let found = shown(rule("FREQ=MINUTELY;INTERVAL=60;BYSECOND=0", "Europe/Berlin").within(from, to));
    assert_eq!(found.len(), 4);
}

#[test]
fn the_week_of_a_year_falls_on_the_day_that_pg_boss_finds() {
    let rule = rule("FREQ=YEARLY;BYWEEKNO=20", "UTC");
    let day = |from: &str| {
        let from = at(from);
        shown(rule.within(from, from + SignedDuration::from_hours(24)))
    };
    assert_eq!(day("2026-05-13T12:00:00Z"), ["2026-05-14T00:00:00Z"]);
    assert_eq!(day("2027-05-20T12:00:00Z"), ["2027-05-21T00:00:00Z"]);
}

#[test]
fn the_latest_is_the_last_of_the_window() {
    for text in [
        "FREQ=SECONDLY;BYMONTHDAY=1",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYHOUR=1,2",
        "FREQ=SECONDLY;INTERVAL=7;UNTIL=20250301T000000Z",
        "FREQ=HOURLY;INTERVAL=5;BYHOUR=9",
        "DTSTART:20250101T090000Z\nRRULE:FREQ=WEEKLY\nRDATE:20250320T090030Z",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
    ] {
        let rule = rule(text, "America/New_York");
        for to in ["2025-03-02T00:00:00Z", "2025-03-25T09:00:00Z"] {
            let (from, to) = (at("2025-02-20T00:00:00Z"), at(to));
            assert_eq!(rule.latest(from, to), rule.within(from, to).last(), "{text} until {to}");
        }
    }
}

#[test]
fn what_would_be_read_past_is_refused() {
    for (text, why) in [
        ("FREQ=DAILY;COUNT=5", "COUNT counts from DTSTART"),
        ("FREQ=DAILY;BYHOUR=9,25", "BYHOUR has no 25"),
        ("FREQ=DAILY;BYHOUR=9,09", "in two ways"),
        ("FREQ=DAILY;BYHOUR=", "BYHOUR has no value"),
        ("FREQ=DAILY;BYHOUR=9;byhour=10", "more than one BYHOUR"),
        ("FREQ=DAILY; BYHOUR=9", "white space"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL is at least 1"),
        ("FREQ=MONTHLY;BYDAY=0MO", "no BYDAY=0MO"),
        ("FREQ=MONTHLY;BYDAY=é", "no BYDAY="),
        ("FREQ=DAILY;UNTIL=20250105", "UNTIL is not of the kind"),
        (
            "DTSTART:20250101T000000Z\nRRULE:FREQ=DAILY;UNTIL=20250105T000000",
            "UNTIL has to be in UTC",
        ),
        (
            "DTSTART:20250101T000000Z\nRRULE:FREQ=DAILY;COUNT=1;UNTIL=20250105T000000Z",
            "exclude each other",
        ),
        (
            "DTSTART:20250101T000000Z\nDTSTART:20250101T000000Z\nRRULE:FREQ=DAILY",
            "more than one DTSTART",
        ),
        (
            "DTSTART;TZID=Mars/Olympus:20250101T000000\nRRULE:FREQ=DAILY",
            "no time zone \"Mars/Olympus\"",
        ),
        ("DTSTART:20250230T000000\nRRULE:FREQ=DAILY", "no date or time"),
        (
            "DTSTART:20250101T000000\nRRULE:FREQ=DAILY\nEXDATE:20250102",
            "of the kind that DTSTART is",
        ),
        ("FREQ=DAILY;BYSETPOS=1", "BYSETPOS chooses"),
        ("FREQ=MONTHLY;RSCALE=HEBREW", "HEBREW is not known"),
        ("FREQ=MONTHLY;SKIP=OMIT", "SKIP needs an RSCALE"),
        ("FREQ=DAILY;BYWEEKNO=3", "BYWEEKNO is for FREQ=YEARLY"),
        (
            "DTSTART:20250101T000000Z\nRRULE:FREQ=DAILY;BYHOUR=1;COUNT=100001",
            "COUNT is at most 100000",
        ),
    ] {
        let refused = try_rule(text, "UTC").expect_err(text).to_string();
        assert!(refused.contains(why), "{text:?}: {refused}");
    }
    try_rule("DTSTART:20250101T000000Z\nRRULE:FREQ=SECONDLY;COUNT=100001", "UTC").expect("needs no walk");
}

/// A step is a day, a step of time or an occurrence looked at. Unoptimised, 2,000 take a millisecond at most.
#[test]
fn a_pass_costs_little_however_often_a_rule_recurs_and_however_long_ago_it_began() {
    let positions = "FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9,17;BYSETPOS=-1,100";
    for text in [
        "FREQ=SECONDLY",
        "FREQ=SECONDLY;INTERVAL=7;BYMONTHDAY=31;BYHOUR=4",
        "FREQ=MINUTELY;INTERVAL=7",
        "FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=HOURLY;INTERVAL=5;BYHOUR=3",
        "FREQ=DAILY;BYSECOND=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30",
        "FREQ=DAILY;INTERVAL=3;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU",
        "FREQ=MONTHLY;BYDAY=-1FR",
        "FREQ=YEARLY;BYWEEKNO=53",
        positions,
        "DTSTART:19010101T000000Z\nRRULE:FREQ=SECONDLY;UNTIL=19020101T000000Z",
    ] {
        let rule = rule(text, "America/New_York");
        for now in [
            "2025-03-09T07:00:30Z",
            "2025-11-02T06:00:30Z",
            "2025-12-31T23:59:59Z",
            "2400-02-29T12:00:00Z",
        ] {
            let now = at(now);
            let (found, steps) = steps::of(|| rule.within(now - 60.seconds(), now).count());
            let bound = if text == positions { 2_000 } else { 500 };
            assert!(steps < bound, "{text}: {steps} steps for {found} occurrences at {now}");
            let month = SignedDuration::from_hours(30 * 24);
            let (_, steps) = steps::of(|| rule.latest(now - month, now));
            assert!(
                steps < 40 * bound,
                "{text}: {steps} steps for the last of the month before {now}"
            );
        }
    }
}

#[test]
fn what_never_comes_is_not_looked_for_for_ever() {
    for text in [
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=HOURLY;INTERVAL=2;BYHOUR=3",
        "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30",
    ] {
        let rule = rule(text, "UTC");
        let (found, steps) = steps::of(|| rule.after(at("2025-01-01T00:00:00Z")).next());
        assert_eq!(found, None, "{text}");
        assert!(steps < 100_000, "{text}: {steps}");
    }
}
