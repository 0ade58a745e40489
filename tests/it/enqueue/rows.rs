//! Every option of `send`, alone and inherited from the queue, leaves the row that Node leaves.

use std::time::Duration;

use chrono::DateTime;
use serde_json::{Value, json};
use strawboss::enqueue::{QueueOptions, SendOptions, StartAfter};
use strawboss::job::Group;

use super::pair::Pair;
use crate::support::{Release, needs_node};

/// An option in both spellings, and the schemas that have it.
struct Case {
    theirs: Value,
    ours: SendOptions,
    versions: std::ops::RangeInclusive<i32>,
}

fn case(theirs: Value, ours: SendOptions) -> Case {
    Case {
        theirs,
        ours,
        versions: 24..=46,
    }
}

fn since(version: i32, theirs: Value, ours: SendOptions) -> Case {
    Case {
        theirs,
        ours,
        versions: version..=46,
    }
}

fn none() -> SendOptions {
    SendOptions::default()
}

fn starting(start_after: StartAfter) -> SendOptions {
    SendOptions {
        start_after: Some(start_after),
        ..none()
    }
}

fn text(text: &str) -> SendOptions {
    starting(StartAfter::Text(text.to_owned()))
}

fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

fn cases() -> Vec<Case> {
    let instant = DateTime::from_timestamp_millis(1_893_456_000_123).expect("a valid instant");
    vec![
        case(json!({}), none()),
        case(
            json!({"id": "00000000-0000-4000-8000-000000000001"}),
            SendOptions {
                id: Some(uuid::Uuid::from_u128(0x0000_0000_0000_4000_8000_0000_0000_0001)),
                ..none()
            },
        ),
        case(
            json!({"priority": -7}),
            SendOptions {
                priority: Some(-7),
                ..none()
            },
        ),
        case(
            json!({"startAfter": 90.5}),
            starting(StartAfter::In(Duration::from_millis(90_500))),
        ),
        case(json!({"startAfter": 0}), starting(StartAfter::In(Duration::ZERO))),
        case(
            json!({"startAfter": {"$date": "2030-01-01T00:00:00.123Z"}}),
            starting(StartAfter::At(instant)),
        ),
        case(json!({"startAfter": "5"}), text("5")),
        case(json!({"startAfter": "-5"}), text("-5")),
        case(json!({"startAfter": "10 minutes"}), text("10 minutes")),
        case(json!({"startAfter": "PT1H"}), text("PT1H")),
        case(json!({"startAfter": "2027-01"}), text("2027-01")),
        case(
            json!({"startAfter": "2030-01-01T08:00:00Z"}),
            text("2030-01-01T08:00:00Z"),
        ),
        since(38, json!({"startAfter": "2030-01-01"}), text("2030-01-01")),
        since(38, json!({"startAfter": "2030-01-01 08:00"}), text("2030-01-01 08:00")),
        since(
            38,
            json!({"startAfter": "2030-01-01T08:00:00.25"}),
            text("2030-01-01T08:00:00.25"),
        ),
        since(
            38,
            json!({"startAfter": "2030-01-01T08:00+05:30"}),
            text("2030-01-01T08:00+05:30"),
        ),
        since(
            38,
            json!({"startAfter": "2030-01-01 08:00 America/New_York"}),
            text("2030-01-01 08:00 America/New_York"),
        ),
        case(
            json!({"singletonKey": "a key"}),
            SendOptions {
                singleton_key: Some("a key".into()),
                ..none()
            },
        ),
        case(
            json!({"singletonKey": ""}),
            SendOptions {
                singleton_key: Some(String::new()),
                ..none()
            },
        ),
        case(
            json!({"singletonKey": "throttled", "singletonSeconds": 3600}),
            SendOptions {
                singleton_key: Some("throttled".into()),
                singleton_seconds: seconds(3600),
                ..none()
            },
        ),
        case(
            json!({"retryLimit": 0}),
            SendOptions {
                retry_limit: Some(0),
                ..none()
            },
        ),
        case(
            json!({"retryDelay": 11}),
            SendOptions {
                retry_delay: seconds(11),
                ..none()
            },
        ),
        case(
            json!({"retryBackoff": true}),
            SendOptions {
                retry_backoff: Some(true),
                ..none()
            },
        ),
        case(
            json!({"retryBackoff": false}),
            SendOptions {
                retry_backoff: Some(false),
                ..none()
            },
        ),
        case(
            json!({"retryBackoff": true, "retryDelay": 0}),
            SendOptions {
                retry_backoff: Some(true),
                retry_delay: seconds(0),
                ..none()
            },
        ),
        since(
            25,
            json!({"retryBackoff": true, "retryDelayMax": 99}),
            SendOptions {
                retry_backoff: Some(true),
                retry_delay_max: seconds(99),
                ..none()
            },
        ),
        case(
            json!({"expireInSeconds": 33}),
            SendOptions {
                expire: seconds(33),
                ..none()
            },
        ),
        case(
            json!({"expireInSeconds": 86_399}),
            SendOptions {
                expire: seconds(86_399),
                ..none()
            },
        ),
        since(
            38,
            json!({"expireInSeconds": 86_400}),
            SendOptions {
                expire: seconds(86_400),
                ..none()
            },
        ),
        case(
            json!({"retentionSeconds": 77}),
            SendOptions {
                retention: seconds(77),
                ..none()
            },
        ),
        case(
            json!({"retentionSeconds": 77, "startAfter": 10}),
            SendOptions {
                retention: seconds(77),
                ..starting(StartAfter::In(Duration::from_secs(10)))
            },
        ),
        since(
            25,
            json!({"deleteAfterSeconds": 66}),
            SendOptions {
                delete_after: seconds(66),
                ..none()
            },
        ),
        since(
            27,
            json!({"deleteAfterSeconds": 0}),
            SendOptions {
                delete_after: seconds(0),
                ..none()
            },
        ),
        Case {
            versions: 24..=24,
            ..case(
                json!({"deadLetter": "other-dead"}),
                SendOptions {
                    dead_letter: Some("other-dead".into()),
                    ..none()
                },
            )
        },
        since(
            27,
            json!({"deadLetter": "other-dead"}),
            SendOptions {
                dead_letter: Some("other-dead".into()),
                ..none()
            },
        ),
        since(
            27,
            json!({"group": {"id": "tenant"}}),
            SendOptions {
                group: Some(Group {
                    id: "tenant".into(),
                    tier: None,
                }),
                ..none()
            },
        ),
        since(
            27,
            json!({"group": {"id": "tenant", "tier": "gold"}}),
            SendOptions {
                group: Some(Group {
                    id: "tenant".into(),
                    tier: Some("gold".into()),
                }),
                ..none()
            },
        ),
        since(
            30,
            json!({"heartbeatSeconds": 10}),
            SendOptions {
                heartbeat: seconds(10),
                ..none()
            },
        ),
    ]
}

/// A queue that sets whatever the release lets it set.
pub fn tuned(version: i32) -> (Value, QueueOptions) {
    let mut theirs = json!({
        "retryLimit": 4, "retryDelay": 6, "retryBackoff": true, "expireInSeconds": 120, "deadLetter": "dead",
    });
    let mut ours = QueueOptions {
        retry_limit: Some(4),
        retry_delay: seconds(6),
        retry_backoff: Some(true),
        expire: seconds(120),
        retention: seconds(600),
        dead_letter: Some("dead".into()),
        ..QueueOptions::default()
    };
    let mut set = |key: &str, value: Value| theirs[key] = value;
    if version == 24 {
        set("retentionMinutes", json!(10));
    } else {
        set("retentionSeconds", json!(600));
        set("retryDelayMax", json!(50));
        set("deleteAfterSeconds", json!(1000));
        set("warningQueueSize", json!(5));
        set("partition", json!(true));
        ours.retry_delay_max = seconds(50);
        ours.delete_after = seconds(1000);
        ours.warning_queue_size = Some(5);
        ours.partition = true;
    }
    if version >= 30 {
        set("heartbeatSeconds", json!(20));
        ours.heartbeat = seconds(20);
    }
    if version >= 32 {
        set("notify", json!(true));
        ours.notify = true;
    }
    (theirs, ours)
}

async fn every_option(release: Release) {
    let pair = Pair::new(release).await;
    for queue in ["dead", "other-dead", "plain"] {
        pair.queue(queue, json!({}), QueueOptions::default()).await;
    }
    let (theirs, ours) = tuned(pair.version());
    pair.queue("tuned", theirs, ours).await;

    for Case { theirs, ours, .. } in cases().into_iter().filter(|it| it.versions.contains(&pair.version())) {
        for queue in ["plain", "tuned"] {
            let what = format!("{theirs} on {queue}");
            let sent = pair.send(queue, json!({"n": [1, "two"]}), theirs.clone(), &ours).await;
            assert!(sent.entered(&what), "{what}");
            pair.assert_same_jobs(&what).await;
            pair.execute("delete from {schema}.job").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_option_leaves_the_same_row_as_pg_boss_10() {
    needs_node!();
    every_option(Release::V10_4_2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_option_leaves_the_same_row_as_pg_boss_11() {
    needs_node!();
    every_option(Release::V11_1_2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_option_leaves_the_same_row_as_pg_boss_12_24() {
    needs_node!();
    every_option(Release::V12_24_0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_option_leaves_the_same_row_as_pg_boss_12_27() {
    needs_node!();
    every_option(Release::V12_27_0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_option_leaves_the_same_row_as_pg_boss_12_38() {
    needs_node!();
    every_option(Release::V12_38_0).await;
}
