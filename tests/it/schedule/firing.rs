//! What our own passes and their forwarding do, on a real clock and on a turned one.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use strawboss::config::ScheduleConfig;
use strawboss::schedule::{self, Wanted, Zones};

use super::Straw;
use crate::support::crew::{Crew, Seen, config};
use crate::support::{Boss, Release, Schema, needs_node, wait_for};

/// A worker that is told of a schedule sets it, fires it and runs its job, beside one that cannot be read.
#[tokio::test]
async fn a_worker_fires_what_it_is_configured_with() {
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("report", json!({})).await;
    let mut config = config(&schema, &["report"]);
    config.worker.schedule = true;
    let declared = |cron: &str, key: &str| ScheduleConfig {
        queue: "report".to_owned(),
        key: key.to_owned(),
        cron: cron.to_owned(),
        data: Some(serde_json::value::to_raw_value(&json!({ "n": 1 })).expect("JSON")),
        ..ScheduleConfig::default()
    };
    config.schedules = vec![declared("* * * * *", "a"), declared("* * * * * * *", "never")];
    schema
        .execute("insert into {schema}.schedule (name, key, cron, timezone) values ('report', 'bad', '61 * * * *', 'UTC'), ('report', 'nowhere', '* * * * *', 'Mars/Base')")
        .await;
    let seen = Seen::default();
    let crew = Crew::start(config, [("report", seen.handler())]);
    crew.until_ready().await;
    // The second pass finds what the first one declared, if the first one was made before.
    schema
        .until("exists (select from {schema}.schedule where key = 'a')")
        .await;
    schema
        .execute("update {schema}.version set cron_on = cron_on - interval '1 minute'")
        .await;
    seen.until(1).await;
    assert_eq!(
        schema
            .value("select data from {schema}.job where name = 'report' limit 1")
            .await,
        json!({ "n": 1 })
    );
    assert!(
        crew.metrics
            .schedule_fires
            .with_label_values(&["report", "fired"])
            .get()
            >= 1
    );
    assert!(crew.metrics.schedule_lateness.get_sample_count() >= 1);
    let noted = format!(
        "select count(*) > 0 from {}.schedule_occurrence where name = 'report' and key = 'a' and result = 'fired' and job_id is not null",
        schema.own()
    );
    wait_for("the ledger", async || schema.value(&noted).await == Value::Bool(true)).await;
    crew.stop().await;
}

/// What nobody looked at is skipped, made up for once, or caught up, and the ledger says which.
#[tokio::test]
async fn a_gap_is_made_up_for_as_each_schedule_says() {
    let schema = Schema::new(Release::NEWEST).await;
    let mut straw = Straw::on(&schema, &schema.url).await;
    let mut client = straw.database.client().await.expect("a connection");
    for queue in ["__pgboss__send-it", "skip", "once", "caught", "scalar"] {
        schema.queue(queue, json!({})).await;
    }
    for (queue, data) in [
        ("skip", json!({})),
        ("once", json!({})),
        ("caught", json!({ "a": 1 })),
        ("scalar", json!(7)),
    ] {
        let wanted = Wanted {
            cron: "0 * * * *".to_owned(),
            data: Some(serde_json::value::to_raw_value(&data).expect("JSON")),
            missed: (queue == "once").then_some(schedule::Missed::Once),
            ..Wanted::default()
        };
        schedule::set(&client, &straw.dialect, &Zones::bundled(), &queue.into(), &wanted)
            .await
            .expect("set");
    }
    for queue in ["caught", "scalar"] {
        schedule::set_catch_up(&straw.home, &mut client, &schema.name, queue, "", 2)
            .await
            .expect("set");
    }
    // The last pass was made four hours and a half ago, and it is half past three now.
    schema
        .execute(
            "create table {schema}.clock (at timestamptz); insert into {schema}.clock values ('2025-06-01T03:30:00Z');
             create or replace function {schema}.job_now() returns timestamptz language sql stable as 'select at from {schema}.clock';
             update {schema}.schedule set created_on = '2025-01-01';
             update {schema}.version set cron_on = '2025-05-31T23:00:00Z'",
        )
        .await;
    assert_eq!(straw.pass().await.filed, 5);
    assert_eq!(straw.forward().await, 5);
    let jobs = schema
        .rows("select name, data from {schema}.job where name not like '\\_\\_%' order by name, data")
        .await;
    let told =
        |hour: u8| json!({ "name": "caught", "data": { "a": 1, "occurrence": format!("2025-06-01T0{hour}:00:00Z") } });
    let scalar = json!({ "name": "scalar", "data": 7 });
    let once = json!({ "name": "once", "data": {} });
    assert_eq!(jobs, [told(2), told(3), once, scalar.clone(), scalar]);
    let history = schedule::history(&straw.home, &client, &schema.name, None, 100)
        .await
        .expect("remembered");
    let of = |queue: &str| {
        let lines = history.iter().filter(|line| line.name == queue);
        lines
            .map(|line| (line.occurrence.format("%H").to_string(), line.result.clone()))
            .collect::<Vec<_>>()
    };
    let hours = |results: [&str; 4]| {
        let hours = ["03", "02", "01", "00"].into_iter().zip(results);
        hours
            .map(|(hour, result)| (hour.to_owned(), result.to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("skip"), hours(["skipped"; 4]));
    assert_eq!(of("once"), hours(["late", "skipped", "skipped", "skipped"]));
    assert_eq!(of("caught"), hours(["caught_up", "caught_up", "skipped", "skipped"]));
    assert_eq!(
        straw
            .metrics
            .schedule_fires
            .with_label_values(&["skip", "skipped"])
            .get(),
        4
    );
    // A pass that fails gives back what it had claimed.
    schema
        .execute("update {schema}.clock set at = '2025-06-01T04:00:10Z'; alter table {schema}.schedule rename to away")
        .await;
    assert!(straw.try_pass().await.is_err());
    schema.execute("alter table {schema}.away rename to schedule").await;
    assert_eq!(straw.pass().await.filed, 4);
}

/// What cannot be sent is completed and told of, and costs the rest of its batch nothing.
#[tokio::test]
async fn one_that_cannot_be_sent_holds_up_no_other() {
    let schema = Schema::new(Release::NEWEST).await;
    let mut straw = Straw::on(&schema, &schema.url).await;
    let client = straw.database.client().await.expect("a connection");
    for queue in ["__pgboss__send-it", "good", "gone", "short", "bad"] {
        schema
            .queue(
                queue,
                json!({ "policy": if queue == "short" { "short" } else { "standard" } }),
            )
            .await;
    }
    for queue in ["good", "gone", "short", "bad"] {
        let wanted = Wanted {
            cron: "* * * * *".to_owned(),
            ..Wanted::default()
        };
        schedule::set(&client, &straw.dialect, &Zones::bundled(), &queue.into(), &wanted)
            .await
            .expect("set");
    }
    schema.jobs("short", 1).await;
    schema
        .execute(r#"update {schema}.schedule set options = '{"deadLetter": "nobody"}' where name = 'bad'"#)
        .await;
    assert_eq!(straw.pass().await.filed, 4);
    schema.execute("delete from {schema}.queue where name = 'gone'").await;
    schema
        .execute("insert into {schema}.job (name, data) values ('__pgboss__send-it', '[1]')")
        .await;
    assert_eq!(straw.forward().await, 5);
    assert_eq!(schema.states("__pgboss__send-it").await, json!({ "completed": 5 }));
    for (queue, result) in [
        ("good", "fired"),
        ("gone", "failed"),
        ("short", "refused"),
        ("bad", "failed"),
    ] {
        let count = straw.metrics.schedule_fires.with_label_values(&[queue, result]).get();
        assert_eq!(count, 1, "{queue} {result}");
    }
    assert_eq!(schema.states("good").await, json!({ "created": 1 }));
}

/// Rules that pg-boss itself takes, or that a hand has written, and that cannot be evaluated here: they are refused where
/// they would be set, and where they are there they are told of and stop no other.
#[tokio::test]
async fn a_rule_of_node_that_is_not_understood_stops_no_other() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    let boss = Boss::start(Release::NEWEST, &schema.url, &schema.name, json!({})).await;
    for queue in ["__pgboss__send-it", "q"] {
        schema.queue(queue, json!({})).await;
    }
    let rules = [
        (
            "hebrew",
            "RSCALE=HEBREW;FREQ=YEARLY;BYMONTH=5L;BYMONTHDAY=8;SKIP=FORWARD",
            "5L",
        ),
        ("chinese", "RSCALE=CHINESE;FREQ=YEARLY", "CHINESE is not known"),
        ("leap", "FREQ=YEARLY;BYMONTH=5L", "the leap month 5L"),
        (
            "count",
            "DTSTART:20200101T000000Z\nRRULE:FREQ=DAILY;BYHOUR=1,2,3;COUNT=200000",
            "COUNT is at most 100000",
        ),
    ];
    let mut straw = Straw::on(&schema, &schema.url).await;
    let client = straw.database.client().await.expect("a connection");
    for (key, rule, why) in rules {
        if key == "leap" {
            // pg-boss refuses it, too: its Gregorian year has no such month.
            schema
                .execute(&format!(
                    "insert into {{schema}}.schedule (name, key, kind, cron) values ('q', '{key}', 'rrule', '{rule}')"
                ))
                .await;
        } else {
            let set = boss.call("schedule", json!(["q", rule, null, {"key": key}])).await;
            set.expect("pg-boss takes it");
        }
        let wanted = Wanted {
            cron: rule.to_owned(),
            ..Wanted::default()
        };
        let refused = schedule::set(&client, &straw.dialect, &Zones::bundled(), &"q".into(), &wanted).await;
        let refused = refused.expect_err(rule).to_string();
        assert!(refused.contains(why), "{rule}: {refused}");
    }
    let set = boss
        .call("schedule", json!(["q", "FREQ=MINUTELY", {"fires": true}]))
        .await;
    set.expect("pg-boss takes it");
    assert_eq!(straw.pass().await.filed, 1);
    assert_eq!(straw.forward().await, 1);
    let data = schema.value("select data from {schema}.job where name = 'q'").await;
    assert_eq!(data, json!({"fires": true}));
    let warned = schema
        .rows("select data ->> 'key' as key, message from {schema}.warning where type = 'invalid_schedule'")
        .await;
    assert_eq!(warned.len(), rules.len(), "{warned:#?}");
    for (key, _, why) in rules {
        let of = warned.iter().find(|warning| warning["key"] == key).expect(key);
        assert!(of["message"].as_str().expect("text").contains(why), "{of}");
    }
    // Once each, and not in every pass.
    schema.execute("update {schema}.version set cron_on = null").await;
    straw.pass().await;
    let count = "select count(*) from {schema}.warning";
    assert_eq!(schema.value(count).await, json!(rules.len()));
    boss.stop().await;
}

/// A database whose clock is hours ahead of the worker's own: schedules go by the database's.
#[tokio::test]
async fn a_worker_whose_clock_is_off_fires_by_the_database() {
    let schema = Schema::new(Release::NEWEST).await;
    for queue in ["there", "here"] {
        schema.queue(queue, json!({})).await;
    }
    // Every minute of the hour that it is then, and of the next one where that is near.
    let hours = |ahead: i64| {
        let now = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(ahead);
        let hour = |minutes: i64| {
            let at = now + jiff::SignedDuration::from_mins(minutes);
            jiff::tz::TimeZone::UTC.to_datetime(at).hour()
        };
        if hour(0) == hour(10) {
            format!("* {} * * *", hour(0))
        } else {
            format!("* {},{} * * *", hour(0), hour(10))
        }
    };
    schema
        .execute(&format!(
            "create or replace function {{schema}}.job_now() returns timestamptz language sql stable as
               'select pg_catalog.now() + make_interval(hours => 5)';
             insert into {{schema}}.schedule (name, key, cron, timezone)
               values ('there', '', '{}', 'UTC'), ('here', '', '{}', 'UTC')",
            hours(5),
            hours(0)
        ))
        .await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    let settings = format!(
        "[database]\nurl = \"{}\"\nschema = \"{}\"\nown_schema = \"{}\"\n[worker]\nsupervise = false\n[http]\nlisten = \"\"\n\
         [queues.there]\nhandler = {{ noop = true }}\n[queues.here]\nhandler = {{ noop = true }}\n",
        schema.url,
        schema.name,
        schema.own()
    );
    std::fs::write(file.path(), settings).expect("written");
    let mut worker = Command::new(env!("CARGO_BIN_EXE_strawboss"))
        .args(["run", "--config"])
        .arg(file.path())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs");
    schema
        .until("exists (select from {schema}.job where name = 'there' and state = 'completed')")
        .await;
    let slot =
        "select bool_and(singleton_on at time zone 'UTC' between {schema}.job_now() - interval '5 minutes' and {schema}.job_now())
         from {schema}.job where name = '__pgboss__send-it'";
    assert_eq!(schema.value(slot).await, json!(true));
    assert_eq!(schema.states("here").await, json!({}), "it is not that time there");
    worker.kill().expect("it is our child");
    worker.wait().expect("it ends");
}
