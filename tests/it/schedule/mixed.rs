//! Node instances and ours on one schema, at a clock that is turned: each occurrence is one job, whoever finds it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use strawboss::schedule::{CronVersion, Recurrence, Zones, slot};

use super::Straw;
use crate::support::{Boss, Release, Schema, needs_node};

/// In this week the clocks go forward in Berlin at its beginning, and back in Sydney at its end.
const BEGIN: &str = "2025-03-29T12:00:00Z";
const END: &str = "2025-04-05T20:00:00Z";

/// A queue for each schedule, which on schema 24 could have no second one.
const SCHEDULES: [(&str, &str, &str); 7] = [
    ("minute", "* * * * *", "UTC"),
    ("skipped", "30 2 * * *", "Europe/Berlin"),
    ("twice", "30 2 * * *", "Australia/Sydney"),
    ("both_days", "0 */3 1,6 * 0", "Australia/Lord_Howe"),
    ("seconds", "50 */10 * * * *", "Europe/London"),
    ("last", "15 4 L * 5L", "America/New_York"),
    ("rule", "FREQ=HOURLY;BYMINUTE=7", "Europe/Berlin"),
];

/// Those of them that are due once a night, at half past two.
const NIGHTLY: [&str; 2] = ["skipped", "twice"];

fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

/// How often passes are made away from the changes of the clocks.
#[derive(Clone, Copy, PartialEq)]
enum Pace {
    /// Every minute.
    Minutes,
    /// Twice or three times after each quarter of an hour, when alone something is due.
    Quarters,
}

/// Ticks of passes: half a minute to a minute apart near what matters, a minute everywhere else; never more where something
/// is due.
fn ticks(from: Timestamp, until: Timestamp, pace: Pace, mut chance: u64) -> Vec<i64> {
    let changes = [at("2025-03-30T01:00:00Z"), at("2025-04-05T16:00:00Z")];
    let mut ticks = Vec::new();
    let mut now = from + SignedDuration::from_millis(17_250);
    while now <= until {
        chance = chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let near = changes
            .iter()
            .any(|change| now.duration_since(*change).abs() < SignedDuration::from_hours(2));
        if near || pace == Pace::Minutes || now.as_second() % 900 < 150 {
            ticks.push(now.as_millisecond());
        }
        let step = if near { 30_000 + (chance >> 33) % 29_000 } else { 60_000 };
        now += SignedDuration::from_millis(i64::try_from(step).expect("small"));
    }
    ticks
}

/// Takes hold of the timekeeper, whose passes are then made one by one at the clock that is given.
const TAKE_HOLD: &str = r"
  const path = await import('node:path'), url = await import('node:url')
  const [release, file] = args
  const loaded = await import(url.pathToFileURL(path.join(process.env.STRAWBOSS_NODE_DIRECTORY, 'node_modules', `pg-boss-${release}`, file)))
  const Timekeeper = loaded.default.default ?? loaded.default
  Timekeeper.prototype.start = async function () {
    globalThis.keeper = this
    this.stopped = false
    await this.manager.createQueue('__pgboss__send-it').catch(() => {})
  }
  await boss.start()
  globalThis.clock = Date.now()
  const real = Date.now
  Object.defineProperty(globalThis.keeper, 'databaseTime', { get: () => globalThis.clock })
  globalThis.tick = async (schema, now) => {
    globalThis.clock = now
    await globalThis.keeper.db.executeSql(`update ${schema}.turned set at = '${new Date(now).toISOString()}'`)
    if (release.startsWith('10.')) Date.now = () => now
    try { await globalThis.keeper.onCron() } finally { Date.now = real }
  }
  return true
";

/// Makes passes, and forwards what is filed, as pg-boss's own worker on that queue does.
const PASSES: &str = r"
  const [schema, ticks, forward] = args
  for (const now of ticks) await globalThis.tick(schema, now)
  if (!forward) return 0
  let count = 0
  for (;;) {
    const jobs = await boss.fetch('__pgboss__send-it', { batchSize: 200 })
    if (!jobs?.length) return count
    if (globalThis.keeper.onSendIt) await globalThis.keeper.onSendIt(jobs)
    else await globalThis.keeper.manager.insert(jobs.map(job => job.data))
    await boss.complete('__pgboss__send-it', jobs.map(job => job.id))
    count += jobs.length
  }
";

enum Instance {
    Node(Box<Boss>),
    Straw(Box<Straw>),
}

impl Instance {
    async fn passes(&mut self, schema: &Schema, clock: &tokio_postgres::Client, ticks: &[i64], forward: bool) {
        match self {
            Instance::Node(boss) => {
                let done = boss.eval(PASSES, json!([schema.name, ticks, forward])).await;
                done.unwrap_or_else(|error| panic!("Node's passes: {error:?}"));
            }
            Instance::Straw(straw) => {
                let turn = format!("update {}.turned set at = to_timestamp($1::float8)", schema.name);
                for now in ticks {
                    let now = *now as f64 / 1000.0;
                    clock.execute(&turn, &[&now]).await.expect("the clock is turned");
                    straw.pass().await;
                }
                if forward {
                    straw.forward().await;
                }
            }
        }
    }
}

/// Runs the passes of those stretches of time with an instance of each in turn, by chance, and compares what came of it.
async fn compare(
    release: Release,
    nodes: usize,
    stretches: &[(Timestamp, Timestamp)],
    schedules: &[(&'static str, &str, &str)],
) {
    let schema = Schema::new(release).await;
    let old = release == Release::V10_4_2;
    let often = schedules
        .iter()
        .any(|(queue, ..)| *queue != "quarter" && !NIGHTLY.contains(queue));
    let pace = if often { Pace::Minutes } else { Pace::Quarters };
    // Before 42 there is no clock of pg-boss's own, and its statements name now() without a schema.
    let function = if old { "now" } else { "job_now" };
    schema
        .execute(&format!(
            "create table {{schema}}.turned (at timestamptz); insert into {{schema}}.turned values ('{BEGIN}');
             create or replace function {{schema}}.{function}() returns timestamptz language sql stable as 'select at from {{schema}}.turned'"
        ))
        .await;
    let separator = if schema.url.contains('?') { '&' } else { '?' };
    let url = if old {
        format!(
            "{}{separator}options=-c%20search_path%3D{}%2Cpg_catalog",
            schema.url, schema.name
        )
    } else {
        schema.url.clone()
    };
    let mut instances = Vec::new();
    for _ in 0..nodes {
        let options = json!({ "schedule": true, "start": false });
        let boss = Boss::start(release, &url, &schema.name, options).await;
        let file = if old { "src/timekeeper.js" } else { "dist/timekeeper.js" };
        boss.eval(TAKE_HOLD, json!([release.npm(), file]))
            .await
            .expect("it is held");
        instances.push(Instance::Node(Box::new(boss)));
    }
    for _ in 0..2 {
        instances.push(Instance::Straw(Box::new(Straw::on(&schema, &url).await)));
    }
    if nodes == 0 {
        schema.queue("__pgboss__send-it", json!({})).await;
    }
    let version = if old { CronVersion::Four } else { CronVersion::Five };
    let zones = Zones::bundled();
    let mut expected = BTreeMap::new();
    for (queue, text, zone) in schedules.iter().copied() {
        // There are no rules yet, and what is due within a minute Node itself files twice: under the minutes of two passes.
        if old && (text.starts_with("FREQ") || queue == "seconds" && nodes > 0) {
            continue;
        }
        schema.queue(queue, json!({})).await;
        let (key, kind) = if old {
            (String::new(), String::new())
        } else {
            (", key".to_owned(), ", ''".to_owned())
        };
        let label = if old { "" } else { ", kind" };
        let kind = if old {
            kind
        } else {
            format!("{kind}, '{}'", if text.starts_with("FREQ") { "rrule" } else { "cron" })
        };
        schema
            .execute(&format!(
                "insert into {{schema}}.schedule (name{key}{label}, cron, timezone, created_on) values ('{queue}'{kind}, '{text}', '{zone}', '2025-01-01')"
            ))
            .await;
        let recurrence = Recurrence::parse(text, zone, &zones, version, "").expect("understood");
        let slots = stretches.iter().flat_map(|(from, until)| {
            let last = *ticks(*from, *until, pace, 1).last().expect("some");
            let last = Timestamp::from_millisecond(last).expect("an instant");
            // The first pass looks back for a minute.
            let since = *from + SignedDuration::from_millis(17_250) - SignedDuration::from_secs(60);
            recurrence
                .upcoming(since)
                .take_while(move |at| *at <= last)
                .map(slot)
                .collect::<Vec<_>>()
        });
        let mut slots: Vec<_> = slots.collect();
        slots.dedup();
        // In single nights not each of them has something to do.
        assert!(
            !slots.is_empty() || stretches.len() > 1 || old,
            "{queue} has something to do"
        );
        expected.insert(queue, slots);
    }
    let clock = schema.connect().await;
    let mut chance: u64 = 42;
    for (from, until) in stretches {
        let ticks = ticks(*from, *until, pace, 1);
        let mut rest = ticks.as_slice();
        while !rest.is_empty() {
            chance = chance
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let chosen = (chance >> 33) as usize % (instances.len() * 3);
            // Ours are chosen more often, for they are quicker.
            let chosen = if chosen < nodes { chosen } else { nodes + chosen % 2 };
            let (block, after) = rest.split_at(rest.len().min(1 + (chance >> 40) as usize % 90));
            rest = after;
            let last = block.last().copied().into_iter().collect::<Vec<_>>();
            instances[chosen]
                .passes(&schema, &clock, block, chance >> 50 & 1 == 1 || rest.is_empty())
                .await;
            // Somebody else tries at the same instant, and is refused.
            let other = (chosen + 1) % instances.len();
            instances[other].passes(&schema, &clock, &last, rest.is_empty()).await;
        }
    }
    for (queue, slots) in &expected {
        let filed = schema
            .rows(&format!(
                "select (extract(epoch from singleton_on) / 60)::int8 as slot from {{schema}}.job where name = '__pgboss__send-it' and data ->> 'name' = '{queue}' order by singleton_on"
            ))
            .await;
        let filed: Vec<_> = filed
            .iter()
            .map(|row| row["slot"].as_i64().expect("a number"))
            .collect();
        if old && *queue == "seconds" {
            // Filed under the minute of the pass, which may be the one after.
            assert_eq!(filed.len(), slots.len(), "{queue}");
            continue;
        }
        let wrong: Vec<_> = slots.iter().filter(|slot| !filed.contains(slot)).take(5).collect();
        let extra: Vec<_> = filed.iter().filter(|slot| !slots.contains(slot)).take(5).collect();
        assert_eq!(
            (&wrong, &extra),
            (&vec![], &vec![]),
            "{queue}: of {} slots these are missing, and these too many",
            slots.len()
        );
        assert_eq!(filed.len(), slots.len(), "{queue}");
        let jobs = schema
            .value(&format!("select count(*) from {{schema}}.job where name = '{queue}'"))
            .await;
        assert_eq!(jobs, json!(slots.len()), "{queue}: jobs");
    }
    let left = schema
        .value("select count(*) from {schema}.job where name = '__pgboss__send-it' and state <> 'completed'")
        .await;
    assert_eq!(left, Value::from(0));
}

/// The nights of that week in which clocks change.
fn nights() -> [(Timestamp, Timestamp); 2] {
    [
        (at("2025-03-29T20:00:00Z"), at("2025-03-30T04:00:00Z")),
        (at("2025-04-05T12:00:00Z"), at("2025-04-05T20:00:00Z")),
    ]
}

#[tokio::test]
async fn two_of_node_and_two_of_ours_fire_each_occurrence_of_a_week_once() {
    needs_node!();
    compare(Release::NEWEST, 2, &[(at(BEGIN), at(END))], &SCHEDULES[..3]).await;
}

#[tokio::test]
async fn rules_and_seconds_and_odd_zones_fire_once_in_the_nights_in_which_clocks_change() {
    needs_node!();
    compare(Release::NEWEST, 2, &nights(), &SCHEDULES).await;
}

/// With a schema that knows no other clock than the server's.
#[tokio::test]
async fn two_of_an_old_node_and_two_of_ours_fire_each_occurrence_of_a_week_once() {
    needs_node!();
    // What is due every minute is so in the nights below; a week of minutes on an old schema adds time and nothing else.
    let schedules = [("quarter", "*/15 * * * *", "UTC"), SCHEDULES[1], SCHEDULES[2]];
    compare(Release::V10_4_2, 2, &[(at(BEGIN), at(END))], &schedules).await;
}

#[tokio::test]
async fn an_old_node_and_ours_fire_each_occurrence_once_in_odd_zones() {
    needs_node!();
    compare(Release::V10_4_2, 1, &nights(), &SCHEDULES).await;
    // Without Node nothing is filed twice, at whatever second it is due.
    compare(Release::V10_4_2, 0, &nights()[1..], &SCHEDULES).await;
}
