//! What is refused, as Node refuses it, and what an older schema lacks.

use std::time::Duration;

use chrono::Utc;
use serde_json::{Value, json};
use strawboss::enqueue::{Error, QueueOptions, SendOptions, StartAfter, create_queue, send};
use strawboss::job::Group;
use strawboss::queue::Policy;

use super::pair::{Pair, name};
use crate::support::{Release, needs_node};

fn none() -> SendOptions {
    SendOptions::default()
}

fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

fn group(id: &str, tier: Option<&str>) -> Option<Group> {
    Some(Group {
        id: id.to_owned(),
        tier: tier.map(str::to_owned),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_queue_is_an_error() {
    needs_node!();
    for release in Release::ALL {
        let pair = Pair::new(release).await;
        let sent = pair.send("missing", json!({}), json!({}), &none()).await;
        match release {
            // It answers null there, as it does for a throttled job; we do not.
            Release::V10_4_2 => assert_eq!(sent.theirs, Ok(Value::Null)),
            _ => {
                let (theirs, ours) = sent.refused("an unknown queue");
                assert_eq!(theirs, ours, "pg-boss {release}");
            }
        }
        assert!(matches!(sent.ours, Err(Error::UnknownQueue(_))), "{:?}", sent.ours);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn options_that_node_refuses_are_refused() {
    needs_node!();
    for release in Release::ALL {
        let pair = Pair::new(release).await;
        let version = pair.version();
        pair.queue("q", json!({}), QueueOptions::default()).await;
        let mut cases = vec![
            (
                json!({"expireInSeconds": 0.5}),
                SendOptions {
                    expire: Some(Duration::from_millis(500)),
                    ..none()
                },
            ),
            (
                json!({"expireInSeconds": 86_401}),
                SendOptions {
                    expire: seconds(86_401),
                    ..none()
                },
            ),
            (
                json!({"retentionSeconds": 0}),
                SendOptions {
                    retention: seconds(0),
                    ..none()
                },
            ),
            (
                json!({"retryDelay": 1.5}),
                SendOptions {
                    retry_delay: Some(Duration::from_millis(1500)),
                    ..none()
                },
            ),
            (
                json!({"retryLimit": 2_147_483_648_u32}),
                SendOptions {
                    retry_limit: Some(2_147_483_648),
                    ..none()
                },
            ),
            (
                json!({"startAfter": "soon"}),
                SendOptions {
                    start_after: Some(StartAfter::Text("soon".into())),
                    ..none()
                },
            ),
            (
                json!({"singletonKey": "a\u{0}b"}),
                SendOptions {
                    singleton_key: Some("a\u{0}b".into()),
                    ..none()
                },
            ),
        ];
        if version < 38 {
            cases.push((
                json!({"expireInSeconds": 86_400}),
                SendOptions {
                    expire: seconds(86_400),
                    ..none()
                },
            ));
        }
        if version == 24 {
            cases.push((
                json!({"singletonSeconds": 43_201}),
                SendOptions {
                    singleton_seconds: seconds(43_201),
                    ..none()
                },
            ));
        } else {
            cases.push((
                json!({"retryDelayMax": 5}),
                SendOptions {
                    retry_delay_max: seconds(5),
                    ..none()
                },
            ));
            cases.push((
                json!({"singletonSeconds": 0}),
                SendOptions {
                    singleton_seconds: seconds(0),
                    ..none()
                },
            ));
        }
        if version == 26 {
            cases.push((
                json!({"deleteAfterSeconds": 0}),
                SendOptions {
                    delete_after: seconds(0),
                    ..none()
                },
            ));
        }
        if version >= 30 {
            for group in [group("", None), group("g", Some(""))] {
                let Group { id, tier } = group.clone().expect("it is made above");
                let mut theirs = json!({"group": {"id": id}});
                if let Some(tier) = tier {
                    theirs["group"]["tier"] = json!(tier);
                }
                cases.push((theirs, SendOptions { group, ..none() }));
            }
            cases.push((
                json!({"heartbeatSeconds": 9}),
                SendOptions {
                    heartbeat: seconds(9),
                    ..none()
                },
            ));
        }
        for (theirs, ours) in cases {
            let what = format!("pg-boss {release}: {theirs}");
            pair.send("q", json!({}), theirs, &ours).await.refused(&what);
        }
        assert_eq!(pair.ours.value("select count(*) from {schema}.job").await, json!(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_does_not_exist_is_named_as_the_reason() {
    needs_node!();
    let pair = Pair::new(Release::NEWEST).await;
    pair.queue("q", json!({}), QueueOptions::default()).await;
    let ours = SendOptions {
        dead_letter: Some("missing".into()),
        ..none()
    };
    let sent = pair.send("q", json!({}), json!({"deadLetter": "missing"}), &ours).await;
    let (_, reason) = sent.refused("an unknown dead letter queue");
    assert_eq!(reason, "the dead_letter of a job is a queue that does not exist");
    assert_eq!(pair.ours.value("select count(*) from {schema}.job").await, json!(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_schema_lacks_is_refused_with_the_release_that_has_it() {
    needs_node!();
    let options = [
        (
            "12.6",
            27,
            SendOptions {
                group: group("g", None),
                ..none()
            },
        ),
        (
            "12.12",
            30,
            SendOptions {
                heartbeat: seconds(10),
                ..none()
            },
        ),
        (
            "11.0",
            25,
            SendOptions {
                delete_after: seconds(1),
                ..none()
            },
        ),
        (
            "11.0",
            25,
            SendOptions {
                retry_backoff: Some(true),
                retry_delay_max: seconds(1),
                ..none()
            },
        ),
        (
            "11.0",
            25,
            SendOptions {
                singleton_offset: Some(0),
                singleton_seconds: seconds(60),
                ..none()
            },
        ),
    ];
    let queues = [
        (
            "11.1",
            26,
            QueueOptions {
                policy: Policy::Exclusive,
                ..QueueOptions::default()
            },
        ),
        (
            "12.10",
            28,
            QueueOptions {
                policy: Policy::KeyStrictFifo,
                ..QueueOptions::default()
            },
        ),
        (
            "11.0",
            25,
            QueueOptions {
                partition: true,
                ..QueueOptions::default()
            },
        ),
        (
            "12.21",
            32,
            QueueOptions {
                notify: true,
                ..QueueOptions::default()
            },
        ),
        (
            "12.12",
            30,
            QueueOptions {
                heartbeat: seconds(10),
                ..QueueOptions::default()
            },
        ),
        (
            "11.0",
            25,
            QueueOptions {
                warning_queue_size: Some(1),
                ..QueueOptions::default()
            },
        ),
    ];
    for old in [Release::V10_4_2, Release::V11_1_2] {
        let pair = Pair::new(old).await;
        let version = pair.version();
        pair.queue("q", json!({}), QueueOptions::default()).await;
        for (release, since, options) in &options {
            let sent = send(&pair.client, &pair.dialect, &name("q"), None, options).await;
            match sent {
                Ok(_) => assert!(version >= *since, "{options:?} went in on schema {version}"),
                Err(error) => expect_release(&error, release, version),
            }
        }
        for (release, since, options) in &queues {
            let queue = name(&format!("q{since}{release}"));
            match create_queue(&pair.client, &pair.dialect, &queue, options).await {
                Ok(_) => assert!(version >= *since, "{options:?} went in on schema {version}"),
                Err(error) => expect_release(&error, release, version),
            }
        }
        let kept = SendOptions {
            keep_until: Some(Utc::now()),
            ..none()
        };
        let sent = send(&pair.client, &pair.dialect, &name("q"), None, &kept).await;
        assert_eq!(sent.is_ok(), version == 24, "keep_until: {sent:?}");
    }
    let old = Pair::new(Release::V11_1_2).await;
    old.queue("q", json!({}), QueueOptions::default()).await;
    let dead_letter = SendOptions {
        dead_letter: Some("q".into()),
        ..none()
    };
    let refused = send(&old.client, &old.dialect, &name("q"), None, &dead_letter).await;
    expect_release(&refused.expect_err("Node would leave it out unsaid"), "12.6", 26);
}

fn expect_release(error: &Error, release: &str, version: i32) {
    let message = error.to_string();
    assert!(
        message.ends_with(&format!(
            "needs pg-boss {release} or later; the schema here is version {version}"
        )),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_that_node_refuses_are_refused() {
    needs_node!();
    for release in Release::ALL {
        let pair = Pair::new(release).await;
        let mut cases = vec![
            (
                "q",
                json!({"expireInSeconds": 86_401}),
                QueueOptions {
                    expire: seconds(86_401),
                    ..QueueOptions::default()
                },
            ),
            (
                "q",
                json!({"retryDelay": 0.5}),
                QueueOptions {
                    retry_delay: Some(Duration::from_millis(500)),
                    ..QueueOptions::default()
                },
            ),
            (
                "q",
                json!({"retentionSeconds": 0}),
                QueueOptions {
                    retention: seconds(0),
                    ..QueueOptions::default()
                },
            ),
            ("", json!({}), QueueOptions::default()),
            ("*?", json!({}), QueueOptions::default()),
        ];
        if release > Release::V11_1_2 {
            cases.push(("a b", json!({}), QueueOptions::default()));
            cases.push((
                "q",
                json!({"retryDelayMax": 3}),
                QueueOptions {
                    retry_delay_max: seconds(3),
                    ..QueueOptions::default()
                },
            ));
        }
        for (queue, theirs, ours) in cases {
            let what = format!("pg-boss {release}: {queue:?} {theirs}");
            let node = pair.boss.call("createQueue", json!([queue, theirs])).await;
            assert!(node.is_err(), "{what}: Node took it");
            let created = create_queue(&pair.client, &pair.dialect, &name(queue), &ours).await;
            assert!(matches!(created, Err(Error::Invalid(_))), "{what}: {created:?}");
        }
        assert_eq!(pair.ours.value("select count(*) from {schema}.queue").await, json!(0));
    }
}
