//! Recorded from cron-parser as pg-boss calls it: 1,230 expressions, and around every change of clocks what fired in four hours.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use strawboss::schedule::{Expression, Syntax, fires, within};

#[derive(Deserialize)]
struct Vectors {
    zones: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    #[serde(rename = "e")]
    expression: String,
    #[serde(rename = "z")]
    zone: usize,
    #[serde(flatten)]
    v5: Answers,
    /// Where it differs.
    v4: Option<Answers>,
    /// Contains `H`.
    h: Option<u8>,
}

#[derive(Deserialize, Clone, Default)]
struct Answers {
    #[serde(rename = "a")]
    accepted: Option<u8>,
    #[serde(rename = "t", default)]
    instants: Vec<Vec<Option<i64>>>,
    #[serde(rename = "w", default)]
    windows: Vec<(i64, i64, i64, String)>,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../vectors/cron.json")).expect("the file is in order")
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn what_pg_boss_accepts_is_accepted_and_nothing_else() {
    let mut wrong = Vec::new();
    for case in vectors().cases {
        let five = case.v5.accepted == Some(1);
        let four = case
            .v4
            .as_ref()
            .and_then(|four| four.accepted)
            .map_or(five, |accepted| accepted == 1);
        for (syntax, accepted) in [(Syntax::V5, five), (Syntax::V4, four)] {
            let read = Expression::parse(&case.expression, syntax, "");
            if read.is_ok() != accepted {
                wrong.push(format!("{:?} {syntax:?}: {read:?}", case.expression));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong: {wrong:#?}", wrong.len());
}

/// The slots that fired, in minutes since the epoch.
fn slots(base: i64, coded: &str) -> BTreeSet<i64> {
    let mut slots = BTreeSet::new();
    let mut at = base;
    for part in coded.split_whitespace() {
        let (delta, times) = part.split_once('x').unwrap_or((part, "1"));
        let (delta, times): (i64, i64) = (delta.parse().expect("a number"), times.parse().expect("a number"));
        for _ in 0..times {
            at += delta;
            slots.insert(at);
        }
    }
    slots
}

#[test]
fn in_every_window_the_same_slots_fire() {
    let vectors = vectors();
    let (mut windows, mut wrong) = (0, Vec::new());
    for case in &vectors.cases {
        for (syntax, answers) in [(Syntax::V5, Some(&case.v5)), (Syntax::V4, case.v4.as_ref())] {
            let Some(answers) = answers.filter(|_| case.h.is_none()) else {
                continue;
            };
            let Ok(expression) = Expression::parse(&case.expression, syntax, "") else {
                continue;
            };
            let zone = zone(&vectors.zones[case.zone]);
            for (first, step, base, coded) in &answers.windows {
                windows += 1;
                let last = first + 4 * 3_600_000;
                let instant = |ms| Timestamp::from_millisecond(ms).expect("an instant");
                let minute = jiff::SignedDuration::from_secs(60);
                let due: BTreeSet<Timestamp> = fires(&expression, &zone, instant(*first) - minute)
                    .take_while(|due| *due < instant(last))
                    .collect();
                let mut fired = BTreeSet::new();
                for (n, tick) in (*first..last)
                    .step_by(usize::try_from(*step).expect("a step"))
                    .enumerate()
                {
                    let at = instant(tick);
                    let latest = due
                        .range(..=at)
                        .next_back()
                        .copied()
                        .filter(|latest| *latest > at - minute);
                    // The pass decides by the window alone, which comes to the same.
                    if n % 16 == 0 {
                        assert_eq!(within(&expression, &zone, at - minute, at).next(), latest);
                    }
                    fired.extend(latest.map(|latest| latest.as_second().div_euclid(60)));
                }
                let expected = slots(*base, coded);
                if fired != expected {
                    wrong.push(format!(
                        "{:?} {syntax:?} {} from {first}: {:?} instead of {:?}",
                        case.expression,
                        vectors.zones[case.zone],
                        fired.difference(&expected),
                        expected.difference(&fired)
                    ));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {windows} wrong: {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(20)]
    );
    assert_eq!(windows, 1132);
}

/// cron-parser's own `next()` skips repeats and moves what a skipped hour drops, and no worker fires by it; where the clocks go
/// evenly it says what fires.
#[test]
fn between_changes_of_the_clocks_the_next_ones_are_cron_parsers() {
    let vectors = vectors();
    let mut compared = 0;
    for case in &vectors.cases {
        for (syntax, answers) in [(Syntax::V5, Some(&case.v5)), (Syntax::V4, case.v4.as_ref())] {
            let Some(answers) = answers.filter(|_| case.h.is_none()) else {
                continue;
            };
            let Ok(expression) = Expression::parse(&case.expression, syntax, "") else {
                continue;
            };
            let zone = zone(&vectors.zones[case.zone]);
            for instants in &answers.instants {
                let (Some(t), next) = (instants[0], &instants[2..]) else {
                    panic!("{instants:?}")
                };
                let mut at = t.div_euclid(1000);
                let next = next.iter().map_while(|delta| {
                    at += (*delta)?;
                    Timestamp::from_second(at).ok()
                });
                let next: Vec<Timestamp> = next.collect();
                let from = Timestamp::from_millisecond(t).expect("an instant");
                let until = next.last().copied().unwrap_or(from);
                // On the day of a change it loses its way already before the change.
                let day = jiff::SignedDuration::from_hours(36);
                let next_change = zone.following(from - day).next();
                let even = next_change.is_none_or(|change| change.timestamp() > until + day);
                if even && !next.is_empty() {
                    compared += 1;
                    let ours: Vec<Timestamp> = fires(&expression, &zone, from).take(next.len()).collect();
                    assert_eq!(
                        ours, next,
                        "{:?} {syntax:?} {} from {from}",
                        case.expression, vectors.zones[case.zone]
                    );
                }
            }
        }
    }
    assert!(compared > 1000, "{compared}");
}
