//! Recurrence rules, against what pg-boss 12.38 makes of them and against the crate `rrule`.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use strawboss::schedule::{Refused, Rule, is_rule};

#[derive(serde::Deserialize)]
struct Vectors {
    froms: Vec<i64>,
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    #[serde(rename = "e")]
    text: String,
    #[serde(rename = "z")]
    zone: String,
    #[serde(rename = "a")]
    accepted: u8,
    /// The next ten after each of `froms`; null where there are fewer.
    #[serde(rename = "n", default)]
    next: Vec<Vec<Option<i64>>>,
}

fn rule(text: &str, zone: &str) -> Result<Rule, Refused> {
    let zone = TimeZone::get(zone).expect("a zone");
    Rule::parse(text, &zone, |name| TimeZone::get(name).ok())
}

#[test]
fn every_rule_that_was_recorded_is_judged_and_evaluated_as_pg_boss_does() {
    let vectors: Vectors = serde_json::from_str(include_str!("../../vectors/rrule.json")).expect("vectors");
    let (mut refused, mut lists) = (0, 0);
    for case in &vectors.cases {
        assert!(is_rule(&case.text), "{:?}", case.text);
        let read = rule(&case.text, &case.zone);
        let accepted = case.accepted == 1;
        assert_eq!(
            read.is_ok(),
            accepted,
            "{:?} in {}: {:?}",
            case.text,
            case.zone,
            read.err()
        );
        let Ok(rule) = read else {
            refused += 1;
            continue;
        };
        for (from, next) in vectors.froms.iter().zip(&case.next) {
            let from = Timestamp::from_millisecond(*from).expect("an instant");
            let expected: Vec<i64> = next.iter().flatten().copied().collect();
            let found: Vec<i64> = rule.after(from).take(10).map(Timestamp::as_millisecond).collect();
            assert_eq!(found, expected, "{:?} in {} after {from}", case.text, case.zone);
            lists += 1;
        }
    }
    assert_eq!((refused, lists), (19, 164), "all of the vectors");
}

fn some_of(name: &'static str, values: &'static [&'static str]) -> impl Strategy<Value = String> {
    let chosen = proptest::sample::subsequence(values, 1..=values.len().min(3));
    proptest::option::of(chosen)
        .prop_map(move |chosen| chosen.map_or(String::new(), |chosen| format!(";{name}={}", chosen.join(","))))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    /// In UTC, with a DTSTART and an end that are near, the crate is right for FREQ from YEARLY to DAILY.
    #[test]
    fn the_crate_of_the_same_purpose_agrees_where_it_is_right(
        frequency in proptest::sample::select(vec!["YEARLY", "MONTHLY", "WEEKLY", "DAILY"]),
        interval in 1..5_u8,
        months in some_of("BYMONTH", &["1", "2", "3", "7", "12"]),
        days in some_of("BYMONTHDAY", &["1", "13", "28", "-1", "-28"]),
        week_days in some_of("BYDAY", &["MO", "TU", "FR", "SA", "SU"]),
        hours in some_of("BYHOUR", &["0", "9", "12", "23"]),
        minutes in some_of("BYMINUTE", &["0", "30", "59"]),
        positions in some_of("BYSETPOS", &["1", "2", "-1"]),
        start in "202[34]0[1-9]1[0-9]T0[0-9]1500Z",
    ) {
        let days = if frequency == "WEEKLY" { String::new() } else { days };
        let named = [&months, &days, &week_days].iter().any(|named| !named.is_empty());
        // Of DTSTART's week the crate counts only what is left of it.
        let named = named && frequency != "WEEKLY";
        let positions = if named { positions } else { String::new() };
        let text = format!("FREQ={frequency};INTERVAL={interval}{months}{days}{week_days}{hours}{minutes}{positions}");
        let text = format!("DTSTART:{start}\nRRULE:{text};UNTIL=20270101T000000Z");
        let ours = rule(&text, "UTC").expect("a rule");
        let found: Vec<i64> = ours.after(Timestamp::UNIX_EPOCH).map(Timestamp::as_second).take(60).collect();
        let theirs: rrule::RRuleSet = text.parse().expect("a rule");
        let expected: Vec<i64> = theirs.all(60).dates.iter().map(|at| at.timestamp()).collect();
        prop_assert_eq!(found, expected, "{}", text);
    }
}
