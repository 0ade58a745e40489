//! The rows that `schedule` leaves, and those that a pass and its forwarding leave, beside Node's own.

use serde_json::{Map, Value, json};
use strawboss::dialect::Dialect;
use strawboss::schedule::{self, Error, Missed, Wanted, Zones};

use super::Straw;
use crate::support::{Boss, Release, Schema, needs_node};

/// What both sides are told, in Node's words and in ours, and from which schema on.
fn asked() -> Vec<(i32, Value, Wanted)> {
    let wanted = |cron: &str| Wanted {
        cron: cron.to_owned(),
        ..Wanted::default()
    };
    let raw = |value: Value| Some(serde_json::value::to_raw_value(&value).expect("JSON"));
    let object = |value: Value| value.as_object().cloned().expect("an object");
    vec![
        (24, json!(["plain", "* * * * *"]), wanted("* * * * *")),
        (
            24,
            json!(["under_score", "*/1 * * * *", { "n": 1, "deep": { "a": [1, 2.5] } }, { "tz": "Europe/Berlin", "priority": 7, "retryLimit": 4, "retryDelay": 3, "expireInSeconds": 90, "singletonKey": "s", "startAfter": 30 }]),
            Wanted {
                timezone: Some("Europe/Berlin".to_owned()),
                data: raw(json!({ "n": 1, "deep": { "a": [1, 2.5] } })),
                options: object(
                    json!({ "priority": 7, "retryLimit": 4, "retryDelay": 3, "expireInSeconds": 90, "singletonKey": "s", "startAfter": 30 }),
                ),
                ..wanted("*/1 * * * *")
            },
        ),
        (
            25,
            json!(["plain", "* * * * *", { "of": "a key" }, { "key": "k_1", "retryBackoff": true, "retentionSeconds": 60, "deleteAfterSeconds": 70 }]),
            Wanted {
                key: "k_1".to_owned(),
                data: raw(json!({ "of": "a key" })),
                options: object(json!({ "retryBackoff": true, "retentionSeconds": 60, "deleteAfterSeconds": 70 })),
                ..wanted("* * * * *")
            },
        ),
        (
            41,
            json!(["plain", "FREQ=MINUTELY", null, { "key": "rule", "missed": "once", "group": { "id": "g", "tier": "t" } }]),
            Wanted {
                key: "rule".to_owned(),
                missed: Some(Missed::Once),
                options: object(json!({ "group": { "id": "g", "tier": "t" } })),
                ..wanted("FREQ=MINUTELY")
            },
        ),
    ]
}

const SCHEDULES: &str = "select to_jsonb(s) - 'created_on' - 'updated_on' - 'last_job_id' as row from {schema}.schedule s order by s.name, s.options";

#[tokio::test]
async fn the_rows_are_those_of_node() {
    needs_node!();
    for release in Release::ALL {
        let (theirs, ours) = (Schema::new(release).await, Schema::new(release).await);
        let boss = Boss::start(release, &theirs.url, &theirs.name, json!({})).await;
        let straw = Straw::on(&ours, &ours.url).await;
        let client = straw.database.client().await.expect("a connection");
        for schema in [&theirs, &ours] {
            schema.queue("plain", json!({})).await;
            schema.queue("under_score", json!({})).await;
        }
        // Twice: the second time changes the row.
        for round in 0..2 {
            for (since, told, wanted) in asked() {
                if release.schema_version() < since {
                    continue;
                }
                boss.call("schedule", told.clone()).await.expect("Node takes it");
                let queue = told[0].as_str().expect("a name").into();
                schedule::set(&client, &straw.dialect, &Zones::bundled(), &queue, &wanted)
                    .await
                    .unwrap_or_else(|error| panic!("{release}: {told}: {error}"));
            }
            assert_eq!(
                theirs.rows(SCHEDULES).await,
                ours.rows(SCHEDULES).await,
                "pg-boss {release}, round {round}"
            );
        }
        let listed = schedule::list(&client, &straw.dialect, Some("plain"))
            .await
            .expect("listed");
        assert!(!listed.is_empty() && listed.iter().all(|row| row.name == "plain"));
        let removed = schedule::remove(&client, &straw.dialect, &"plain".into(), "").await;
        assert!(removed.expect("an answer"));
        let again = schedule::remove(&client, &straw.dialect, &"plain".into(), "").await;
        assert!(!again.expect("an answer"));
        boss.call("unschedule", json!(["plain"])).await.expect("Node does too");
        assert_eq!(
            theirs.rows(SCHEDULES).await,
            ours.rows(SCHEDULES).await,
            "pg-boss {release}, without one"
        );

        let set = async |queue: &str, wanted: Wanted| {
            schedule::set(&client, &straw.dialect, &Zones::bundled(), &queue.into(), &wanted).await
        };
        let wanted = |cron: &str| Wanted {
            cron: cron.to_owned(),
            ..Wanted::default()
        };
        assert!(matches!(
            set("nowhere", wanted("* * * * *")).await,
            Err(Error::UnknownQueue(_))
        ));
        assert!(matches!(
            set("plain", wanted("61 * * * *")).await,
            Err(Error::Misread(_))
        ));
        let unfit = Wanted {
            options: Map::from_iter([("priority".to_owned(), json!("high"))]),
            ..wanted("* * * * *")
        };
        assert!(matches!(set("plain", unfit).await, Err(Error::Invalid(_))));
        if release.schema_version() < 41 {
            assert!(matches!(
                set("plain", wanted("FREQ=DAILY")).await,
                Err(Error::Unsupported { .. })
            ));
        }
    }
}

/// Everything of a job but what is random or the hour of the day; slots are told by whether they are the current minute's.
const JOBS: &str = "select job from (select to_jsonb(j) - 'id' - 'created_on' - 'started_on' - 'completed_on' - 'heartbeat_on' - 'data' - 'output' \
    || jsonb_build_object( \
        'data', j.data #- '{slot}' #- '{strawboss}', \
        'start_after', round(extract(epoch from j.start_after - j.created_on)), \
        'keep_until', j.keep_until - j.start_after, \
        'singleton_on', j.singleton_on <= j.created_on at time zone 'UTC' \
            and j.singleton_on > j.created_on at time zone 'UTC' - interval '3 minutes') as job \
    from {schema}.job j) rows order by job::text";

#[tokio::test]
async fn what_is_filed_and_what_is_forwarded_is_what_node_leaves() {
    needs_node!();
    for release in Release::ALL {
        let (theirs, ours) = (Schema::new(release).await, Schema::new(release).await);
        let mut straw = Straw::on(&ours, &ours.url).await;
        let client = straw.database.client().await.expect("a connection");
        for schema in [&theirs, &ours] {
            schema.queue("plain", json!({})).await;
            schema
                .queue("under_score", json!({ "retryLimit": 9, "expireInSeconds": 77 }))
                .await;
        }
        ours.queue("__pgboss__send-it", json!({})).await;
        let node = json!({ "schedule": true, "cronWorkerIntervalSeconds": 1 });
        let setter = Boss::start(release, &theirs.url, &theirs.name, json!({})).await;
        let mut expected = 0;
        for (since, told, wanted) in asked() {
            if release.schema_version() >= since {
                setter.call("schedule", told.clone()).await.expect("Node takes it");
                let queue = told[0].as_str().expect("a name").into();
                let set = schedule::set(&client, &straw.dialect, &Zones::bundled(), &queue, &wanted).await;
                set.expect("taken");
                expected += 1;
            }
        }
        let boss = Boss::start(release, &theirs.url, &theirs.name, node).await;
        let pass = straw.pass().await;
        assert_eq!((pass.claimed, pass.filed), (Ok(()), expected), "pg-boss {release}");
        assert_eq!(straw.forward().await, expected, "pg-boss {release}");
        let waiting =
            "(select count(*) = 0 from {schema}.job where name = '__pgboss__send-it' and state < 'completed')";
        theirs
            .until(&format!(
                "{waiting} and (select count(*) = {expected} from {{schema}}.job where name not like '\\_\\_%')"
            ))
            .await;
        boss.kill().await;
        assert_eq!(
            theirs.rows(JOBS).await,
            ours.rows(JOBS).await,
            "pg-boss {release}; Node's rows on the left"
        );
        // A second pass comes too early, and what it would file is filed.
        assert!(straw.pass().await.claimed.is_err());
        ours.execute("update {schema}.version set cron_on = cron_on - interval '31 seconds'")
            .await;
        assert!(straw.pass().await.filed <= expected);
        if release.schema_version() >= 41 {
            let named = "select count(*) from {schema}.schedule s join {schema}.job j on j.id = s.last_job_id and j.name = s.name";
            assert_eq!(ours.value(named).await, json!(expected));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_can_be_prepared_on_every_schema() {
    needs_node!();
    for release in Release::ALL {
        let schema = Schema::new(release).await;
        let client = schema.connect().await;
        let dialect = Dialect::read(&client, &schema.name).await.expect("it is there");
        for (purpose, template) in schedule::STATEMENTS {
            if purpose == "note last jobs" && release.schema_version() < 41 {
                continue;
            }
            client
                .prepare(&template.render(&dialect, "job"))
                .await
                .unwrap_or_else(|error| panic!("pg-boss {release}, {purpose}: {error:?}"));
        }
    }
}
