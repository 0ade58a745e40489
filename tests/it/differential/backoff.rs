//! How long a failed job waits for its next attempt, by the rule of each release.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use strawboss::handler::{HandlerError, Then};
use strawboss::job::Outcome;

use super::fail::{error, running};
use super::{Pair, on_releases};
use crate::support::{Release, Schema};

on_releases!(every: backoff);

/// A rule for delays: the columns that set it, and the seconds for the least and the greatest luck.
struct Rule {
    columns: Value,
    least: f64,
    most: f64,
}

fn rules(release: Release) -> Vec<Rule> {
    let rule = |columns: Value, least: f64, most: f64| Rule { columns, least, most };
    let backoff = |delay: i32, count: i32, max: Option<i32>| json!({"retry_backoff": true, "retry_delay": delay, "retry_count": count, "retry_limit": 50, "retry_delay_max": max});
    let mut rules = vec![
        rule(json!({"retry_delay": 0, "retry_limit": 1}), 0.0, 0.0),
        rule(
            json!({"retry_delay": 3000, "retry_count": 3, "retry_limit": 5}),
            3000.0,
            3000.0,
        ),
        // A cap is for backoff only.
        rule(
            json!({"retry_delay": 3000, "retry_delay_max": 10, "retry_limit": 5}),
            3000.0,
            3000.0,
        ),
    ];
    rules.extend(match release {
        Release::V10_4_2 => vec![
            rule(backoff(1000, 0, None), 1000.0, 2000.0),
            rule(backoff(1000, 3, None), 8000.0, 16_000.0),
            rule(backoff(1, 20, None), 32_768.0, 65_536.0),
            rule(backoff(0, 9, None), 0.0, 0.0),
        ],
        Release::V11_1_2 => vec![
            rule(backoff(1000, 9, None), 1512.0, 2024.0),
            rule(backoff(10, 20, None), 32_778.0, 65_546.0),
            rule(backoff(0, 9, None), 512.0, 1024.0),
            rule(backoff(1000, 9, Some(1700)), 1512.0, 1700.0),
            rule(backoff(1000, 9, Some(0)), 0.0, 0.0),
        ],
        Release::V12_20_0 | Release::V12_21_0 | Release::V12_24_0 => vec![
            rule(backoff(1000, 0, None), 1000.0, 2000.0),
            rule(backoff(1, 20, None), 32_768.0, 65_536.0),
            rule(backoff(1000, 2, Some(6000)), 4000.0, 6000.0),
            rule(backoff(1000, 9, Some(6000)), 6000.0, 6000.0),
            rule(backoff(1000, 9, Some(0)), 0.0, 0.0),
            rule(backoff(0, 9, None), 0.0, 0.0),
        ],
        Release::V12_27_0 | Release::V12_38_0 => vec![
            rule(backoff(1000, 0, None), 1000.0, 2000.0),
            rule(backoff(1, 20, None), 32_768.0, 65_536.0),
            rule(backoff(1000, 2, Some(6000)), 4000.0, 6000.0),
            rule(backoff(1000, 9, Some(6000)), 6000.0, 6000.0),
            rule(backoff(1000, 9, Some(0)), 0.0, 0.0),
            rule(backoff(0, 9, None), 512.0, 1024.0),
        ],
    });
    rules
}

async fn backoff(release: Release) {
    const JOBS: u32 = 200;
    let pair = Pair::new(release).await;
    for (number, rule) in rules(release).iter().enumerate() {
        let queue = format!("rule-{number}");
        pair.queue(&queue, json!({})).await;
        pair.jobs(&queue, (0..JOBS).map(|n| running(n, rule.columns.clone())))
            .await;
        let before = Utc::now();
        pair.fail_all(&queue).await;
        for (side, schema) in [("pg-boss", &pair.theirs), ("strawboss", &pair.ours)] {
            let what = format!("{release} {side} {}", rule.columns);
            let delays = delays(schema, &queue, before).await;
            assert_eq!(delays.len(), JOBS as usize, "{what}");
            // The two sides fail their jobs within a few seconds.
            let within = |delay: &f64| (rule.least - 0.5..=rule.most + 10.0).contains(delay);
            assert!(delays.iter().all(within), "{what}: {delays:?}");
            // So many evenly spread ones leave no quarter of the range out, even where a cap cuts it short.
            if rule.most - rule.least > 100.0 {
                let quarter = |n: u8| {
                    let reach = rule.most - rule.least;
                    let from = rule.least + reach * f64::from(n) / 4.0;
                    delays
                        .iter()
                        .any(|delay| (from..from + reach / 4.0 + 10.0).contains(delay))
                };
                assert!((0..4).all(quarter), "{what}: not spread over the range: {delays:?}");
            }
        }
    }
    pair.assert_equal("after every rule for delays", &["start_after"]).await;

    // What a handler may ask for instead, which pg-boss has no word for.
    pair.queue("asked", json!({})).await;
    let asked = [
        (Then::RetryAfter(Duration::from_secs(5000)), 5000.0),
        (Then::RetryNoSooner(Duration::from_secs(5000)), 5000.0),
        (Then::RetryNoSooner(Duration::from_secs(5)), 600.0),
    ];
    for (n, (then, delay)) in (0u32..).zip(asked) {
        pair.jobs("asked", [running(n, json!({"retry_limit": 3, "retry_delay": 600}))])
            .await;
        let before = Utc::now();
        let outcomes = pair.fail_ours("asked", HandlerError { then, ..error() }).await;
        assert_eq!(outcomes, [Outcome::Retried]);
        let delays = delays(&pair.ours, "asked", before).await;
        assert!(
            (delay - 0.5..delay + 10.0).contains(&delays[n as usize]),
            "{then:?}: {delays:?}"
        );
    }
}

/// How many seconds after that moment the retries of a queue may start, by number.
async fn delays(schema: &Schema, queue: &str, from: DateTime<Utc>) -> Vec<f64> {
    let rows = format!("select start_after from {{schema}}.job where name = '{queue}' and state = 'retry' order by id");
    let start = |row: &Value| {
        row["start_after"]
            .as_str()
            .expect("a moment")
            .parse::<DateTime<Utc>>()
            .expect("a moment")
    };
    schema
        .rows(&rows)
        .await
        .iter()
        .map(|row| (start(row) - from).as_seconds_f64())
        .collect()
}
