//! The worker's row in the table `instance`, as pg-boss reads it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strawboss::config::GroupConcurrency;
use strawboss::observe::Health;
use strawboss::queue::QueueName;
use strawboss::upkeep::{Activity, Post, Registrar, instances};
use tokio_util::sync::CancellationToken;

use crate::differential::Straw;
use crate::support::crew::{Crew, Seen, config};
use crate::support::{Boss, Release, Schema, needs_node};

fn keys(object: &Value) -> Vec<&String> {
    let mut keys: Vec<_> = object.as_object().expect("an object").keys().collect();
    keys.sort();
    keys
}

/// Of which kind of JSON a value is.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_shows_among_the_instances_of_pg_boss() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("mail", json!({})).await;
    let options = json!({"registerInstance": true, "instanceName": "node", "instanceHeartbeatSeconds": 1});
    let boss = Boss::start(Release::NEWEST, &schema.url, &schema.name, options).await;
    let groups = json!({"default": 5, "tiers": {"gold": 20}});
    let options = json!({"batchSize": 3, "pollingIntervalSeconds": 1, "minPriority": 1, "maxPriority": 9, "groupConcurrency": groups});
    boss.work("mail", options, json!({"complete": 1})).await;
    let mut config = config(&schema, &["mail"]);
    config.worker.name = "billing".to_owned();
    let mail = config.queues.get_mut("mail").expect("it is there");
    (mail.min_priority, mail.max_priority) = (Some(1), Some(9));
    mail.group_concurrency = Some(GroupConcurrency {
        default: 5,
        tiers: [("gold".to_owned(), 20)].into(),
    });
    config.worker.schedule = false;
    config.upkeep.persist_warnings = true;
    let crew = Crew::start(config, [("mail", Seen::default().handler())]);
    schema
        .until("exists (select from {schema}.instance where name = 'billing')")
        .await;
    // Node tells of its worker by its second beat only.
    schema
        .until("(select jsonb_array_length(workers) = 1 from {schema}.instance where name = 'node')")
        .await;

    let all = boss.call("getInstances", json!([])).await.expect("pg-boss reads it");
    let find = |name: &str| {
        let mut all = all.as_array().expect("a list").iter();
        all.find(|one| one["name"] == name)
            .unwrap_or_else(|| panic!("no {name} in {all:?}"))
    };
    let (ours, theirs) = (find("billing"), find("node"));
    assert_eq!(keys(ours), keys(theirs));
    assert_eq!(keys(&ours["metrics"]), keys(&theirs["metrics"]));
    let known = keys(&ours["config"]);
    for key in keys(&theirs["config"]) {
        assert!(known.contains(&key), "{key} is not told: {known:?}");
        assert_eq!(kind(&ours["config"][key]), kind(&theirs["config"][key]), "{key}");
    }
    let (our, their) = (&ours["workers"][0], &theirs["workers"][0]);
    assert_eq!(keys(our), keys(their));
    for key in keys(their) {
        let (our, their) = (kind(&our[key]), kind(&their[key]));
        assert!(
            our == their || our == "null" || their == "null",
            "{key}: {our}, {their}"
        );
    }
    assert_eq!(our["options"], their["options"]);
    assert_eq!(ours["live"], true);
    assert_eq!(ours["pid"], std::process::id());
    assert_eq!(ours["host"], theirs["host"]);
    assert_eq!(ours["heartbeatSeconds"], 30);
    assert_eq!(ours["applicationName"], "strawboss");
    assert_eq!(ours["version"], concat!("strawboss ", env!("CARGO_PKG_VERSION")));
    assert_eq!(ours["nodeVersion"], "rust");
    assert_eq!(
        [&ours["supervise"], &ours["schedule"], &ours["migrate"]],
        [true, false, false]
    );
    assert_eq!([&ours["persistQueueStats"], &ours["persistWarnings"]], [false, true]);
    assert_eq!(ours["poolMax"], 5);
    assert_eq!(ours["crashRestarts"], 0);
    assert_eq!(ours["config"]["adapter"], "strawboss");
    assert!(!ours.to_string().contains("postgres://"), "{ours}");
    let worker = &ours["workers"][0];
    assert_eq!(
        [&worker["queue"], &worker["localConcurrency"]],
        [&json!("mail"), &json!(10)]
    );
    assert_eq!(
        [&worker["batchSize"], &worker["pollingIntervalSeconds"]],
        [&json!(10), &json!(0.05)]
    );

    // The same through our own eyes.
    let straw = Straw::on(&schema).await;
    let client = straw.database.client().await.expect("a connection");
    let read = instances(&client, &straw.dialect, 10, None)
        .await
        .expect("the table is read");
    let read: Vec<Value> = read
        .iter()
        .map(|one| serde_json::to_value(one).expect("JSON"))
        .collect();
    assert_eq!(read.len(), 2);
    assert_eq!(keys(&read[1]), keys(ours));
    let page = instances(
        &client,
        &straw.dialect,
        10,
        Some(read[0]["id"].as_str().expect("an id").parse().expect("one")),
    );
    assert_eq!(page.await.expect("the table is read").len(), 1);

    crew.stop().await;
    let all = boss.call("getInstances", json!([])).await.expect("pg-boss reads it");
    let ours = all
        .as_array()
        .expect("a list")
        .iter()
        .find(|one| one["name"] == "billing");
    let ours = ours.expect("it stays");
    assert_eq!(ours["live"], false);
    assert!(ours["stoppedOn"].is_string(), "{ours}");
    boss.stop().await;
}

/// A registrar that beats every second.
fn registrar(schema: &Schema, straw: &Straw, activity: Arc<Mutex<Activity>>) -> Registrar {
    let mut config = config(schema, &[]);
    config.worker.name = "billing".to_owned();
    Registrar {
        database: straw.database.clone(),
        watch: straw.watch.clone(),
        config,
        posts: vec![Post {
            id: uuid::Uuid::new_v4(),
            queue: QueueName::new("mail"),
            concurrency: 7,
            batch_size: 3,
            poll_interval: Duration::from_secs(2),
            options: json!({"minPriority": 1}),
        }],
        interval: Duration::from_secs(1),
        activity: Box::new(move |_| *activity.lock().expect("nobody panics with it")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_beat_tells_what_happened_and_a_new_life_counts_those_that_crashed() {
    let schema = Schema::new(Release::NEWEST).await;
    let host = nix::unistd::gethostname().expect("a name");
    let host = host.to_str().expect("text");
    // Of 30 lives before, one ended in good order and the 25 after it in silence; beyond 20 they go.
    schema
        .execute(&format!(
            "insert into {{schema}}.instance (id, name, host, pid, version, node_version, heartbeat_seconds, supervise, schedule,
                 migrate, persist_queue_stats, persist_warnings, started_on, heartbeat_on, stopped_on)
             select gen_random_uuid(), 'billing', '{host}', 1, '12.38.0', 'v24', 30, true, true, true, false, false,
                 now() - n * interval '1h', now() - n * interval '1h' + interval '5min',
                 case when n = 26 then now() - n * interval '1h' + interval '5min' end
             from generate_series(1, 30) n"
        ))
        .await;
    let straw = Straw::on(&schema).await;
    let activity = Arc::new(Mutex::new(Activity::default()));
    let stop = CancellationToken::new();
    let running = tokio::spawn(registrar(&schema, &straw, Arc::clone(&activity)).run(
        Health::new().register("registrar", Duration::from_secs(90)),
        stop.clone(),
    ));
    let ours = "{schema}.instance where version like 'strawboss %'";
    schema
        .until(&format!("exists (select from {ours} and crash_restarts = 25)"))
        .await;
    schema.until("(select count(*) from {schema}.instance) = 21").await;
    let first = schema
        .row(&format!("select started_on, workers->0 as worker, metrics from {ours}"))
        .await;
    assert_eq!(first["worker"]["lastFetchedOn"], Value::Null);
    assert_eq!(first["metrics"]["cpu"], Value::Null);
    let now = Instant::now();
    *activity.lock().expect("nobody panics with it") = Activity {
        active: 2,
        fetched: Some(now),
        ended: now.checked_sub(Duration::from_secs(60)),
        failed: None,
    };
    schema
        .until(&format!(
            "exists (select from {ours} and workers->0->>'active' = '2' and metrics->'cpu' <> 'null'
                 and heartbeat_on > started_on and crash_restarts_since is not null
                 and (workers->0->>'lastFetchedOn')::timestamptz between now() - interval '20s' and now()
                 and (workers->0->>'lastFetchedOn')::timestamptz - (workers->0->>'lastJobEndedOn')::timestamptz
                     = interval '60s')"
        ))
        .await;
    // Whoever prunes a row whose process slept gets it back.
    schema
        .execute("delete from {schema}.instance where version like 'strawboss %'")
        .await;
    schema.until(&format!("exists (select from {ours})")).await;
    let again = schema
        .row(&format!("select started_on, workers->0 as worker from {ours}"))
        .await;
    assert_eq!(again["started_on"], first["started_on"]);
    assert_eq!(again["worker"]["options"], json!({"minPriority": 1}));
    stop.cancel();
    running.await.expect("it ends");
    schema
        .until(&format!("exists (select from {ours} and stopped_on is not null)"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_may_not_register_works_all_the_same() {
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("mail", json!({})).await;
    let role = format!("{}_role", schema.name);
    schema
        .execute(&format!(
            "create role {role} login password 'x'; grant usage on schema {{schema}} to {role};
             grant all on all tables in schema {{schema}} to {role}; revoke all on {{schema}}.instance from {role}"
        ))
        .await;
    let mut config = config(&schema, &["mail"]);
    let url = &mut config.database.url;
    let (start, end) = (url.find("//").expect("a URL") + 2, url.rfind('@').expect("a user"));
    url.replace_range(start..end, &format!("{role}:x"));
    let seen = Seen::default();
    let crew = Crew::start(config, [("mail", seen.handler())]);
    schema.jobs("mail", 1).await;
    seen.until(1).await;
    crew.until_ready().await;
    assert_eq!(schema.value("select count(*) from {schema}.instance").await, 0);
    crew.stop().await;
    schema.execute(&format!("drop owned by {role}; drop role {role}")).await;
}
