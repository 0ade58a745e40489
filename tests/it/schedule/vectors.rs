//! What cron-parser 5 and 4 made of 1,230 expressions, recorded: `tests/vectors/cron.json` says how in its `meta`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use strawboss::schedule::{Cron, CronVersion, Zones};

const RECORDED: &str = include_str!("../../vectors/cron.json");

#[derive(Deserialize)]
struct Recording {
    zones: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    e: String,
    z: usize,
    a: u8,
    #[serde(default)]
    h: u8,
    #[serde(default)]
    t: Vec<Vec<Option<i64>>>,
    #[serde(default)]
    w: Vec<Window>,
    /// Only where version 4 made something else of it.
    v4: Option<Four>,
    /// For the few that have no field of their own where both agree.
    #[serde(default)]
    m: Option<String>,
}

#[derive(Deserialize)]
struct Four {
    a: Option<u8>,
    w: Option<Vec<Window>>,
}

/// First tick, step, the minute counted from, and the slots that fired.
#[derive(Deserialize)]
struct Window(i64, i64, i64, String);

impl Window {
    /// The slots, as minutes since the epoch.
    fn slots(&self) -> BTreeSet<i64> {
        let mut minute = self.2;
        let mut slots = BTreeSet::new();
        for run in self.3.split_whitespace() {
            let (delta, count) = run.split_once('x').unwrap_or((run, "1"));
            for _ in 0..count.parse::<usize>().expect("a count") {
                minute += delta.parse::<i64>().expect("a number of minutes");
                slots.insert(minute);
            }
        }
        slots
    }

    /// What a pass at every tick of four hours finds.
    fn found(&self, cron: &Cron, zone: &TimeZone) -> BTreeSet<i64> {
        let ticks = 4 * 3_600_000 / self.1;
        (0..ticks)
            .filter_map(|tick| {
                let now = Timestamp::from_millisecond(self.0 + tick * self.1).expect("an instant");
                cron.last_within(zone, now - SignedDuration::from_secs(60), now)
            })
            .map(|occurrence| occurrence.as_second().div_euclid(60))
            .collect()
    }
}

fn recording() -> Recording {
    serde_json::from_str(RECORDED).expect("the vectors are as their meta says")
}

fn zone(zones: &Zones, name: &str) -> TimeZone {
    zones.get(name).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_expression_is_accepted_or_refused_as_each_version_does() {
    let recording = recording();
    let (mut judged, mut wrong) = (0, Vec::new());
    for case in &recording.cases {
        let four = case.v4.as_ref().and_then(|four| four.a).unwrap_or(case.a);
        for (version, accepted) in [(CronVersion::Five, case.a), (CronVersion::Four, four)] {
            judged += 1;
            let read = Cron::parse(&case.e, version, "");
            if read.is_ok() != (accepted == 1) {
                wrong.push(format!(
                    "{version:?} {:?}: {:?}; recorded {accepted} {:?}",
                    case.e,
                    read.err(),
                    case.m
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {judged}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(judged, 2460);
}

#[test]
fn every_window_fires_the_recorded_slots() {
    let (recording, zones) = (recording(), Zones::bundled());
    let (mut judged, mut wrong) = (0, Vec::new());
    for case in &recording.cases {
        let zone = zone(&zones, &recording.zones[case.z]);
        let four = case.v4.as_ref().and_then(|four| four.w.as_ref());
        for (version, windows) in [(CronVersion::Five, Some(&case.w)), (CronVersion::Four, four)] {
            let Some(windows) = windows.filter(|windows| !windows.is_empty()) else {
                continue;
            };
            let cron = Cron::parse(&case.e, version, "").unwrap_or_else(|error| panic!("{:?}: {error}", case.e));
            for window in windows {
                judged += 1;
                let (found, recorded) = (window.found(&cron, &zone), window.slots());
                if found != recorded {
                    let place = &recording.zones[case.z];
                    let missing: Vec<_> = recorded.difference(&found).collect();
                    let extra: Vec<_> = found.difference(&recorded).collect();
                    wrong.push(format!(
                        "{version:?} {:?} {place} {}: missing {missing:?}, too many {extra:?}",
                        case.e, window.0
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {judged}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(judged >= 1117, "{judged}");
    eprintln!("{judged} windows");
}

/// cron-parser's own preview, wherever no change of the zone's clock is near, for there it lists what never fires.
#[test]
fn what_comes_next_is_what_was_recorded() {
    let (recording, zones) = (recording(), Zones::bundled());
    let (mut judged, mut wrong) = (0, Vec::new());
    for case in recording.cases.iter().filter(|case| case.a == 1 && case.h == 0) {
        let zone = zone(&zones, &recording.zones[case.z]);
        let cron = Cron::parse(&case.e, CronVersion::Five, "").unwrap_or_else(|error| panic!("{:?}: {error}", case.e));
        for row in &case.t {
            let [Some(start), _, deltas @ ..] = &row[..] else {
                continue;
            };
            let start = Timestamp::from_millisecond(*start).expect("an instant");
            let mut expected = Timestamp::from_second(start.as_millisecond().div_euclid(1000)).expect("an instant");
            let mut after = start;
            for delta in deltas {
                let Some(delta) = delta else { break };
                expected += SignedDuration::from_secs(*delta);
                let mut changes = zone.following(after - SignedDuration::from_hours(24));
                if changes
                    .next()
                    .is_some_and(|change| change.timestamp() < expected + SignedDuration::from_hours(24))
                {
                    break;
                }
                judged += 1;
                let found = cron.first_within(&zone, after, Timestamp::MAX);
                if found != Some(expected) {
                    wrong.push(format!("{:?} after {after}: {found:?}, recorded {expected}", case.e));
                    break;
                }
                after = expected;
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {judged}:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
    assert!(judged > 5_000, "{judged}");
}

/// Ten thousand schedules are looked at in a small part of a second even unoptimised.
#[test]
fn a_pass_over_many_schedules_is_cheap() {
    let (recording, zones) = (recording(), Zones::bundled());
    let schedules: Vec<_> = recording
        .cases
        .iter()
        .filter_map(|case| {
            let cron = Cron::parse(&case.e, CronVersion::Five, "").ok()?;
            Some((cron, zone(&zones, &recording.zones[case.z])))
        })
        .collect();
    let now: Timestamp = "2025-11-02T06:00:10Z".parse().expect("an instant");
    let began = Instant::now();
    let mut looked = 0;
    while looked < 10_000 {
        for (cron, zone) in &schedules {
            let _ = cron.last_within(zone, now - SignedDuration::from_secs(60), now);
            looked += 1;
        }
    }
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{looked} took {:?}",
        began.elapsed()
    );
}
