//! A paused queue is left alone, and what attempts came to is remembered where that is wanted.

use std::time::Duration;

use serde_json::json;
use strawboss::chronicle::CHRONICLE;
use strawboss::claim::{pause, paused, unpause};
use strawboss::dialect::Dialect;
use strawboss::handler::HandlerError;
use strawboss::home::Home;
use strawboss::inspect::life;
use strawboss::postgres::{Database, Settings};
use strawboss::{Client, SendOptions};

use crate::support::crew::{Crew, config, handler};
use crate::support::{Boss, Release, Schema, needs_node, wait_for};

fn database(schema: &Schema) -> Database {
    let settings = Settings::parse(&schema.url).expect("a URL").with_pool_size(2);
    Database::new(&settings).expect("a pool")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_queue_is_left_alone_until_it_is_resumed() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    for queue in ["q", "r"] {
        schema
            .execute(&format!(
                "select {{schema}}.create_queue('{queue}', '{{\"policy\": \"standard\"}}')"
            ))
            .await;
    }
    let (home, database) = (Home::new(schema.own()), database(&schema));
    let done = || handler(|_, _| async { Ok(json!({})) });
    let crew = Crew::start(config(&schema, &["q", "r"]), [("q", done()), ("r", done())]);
    crew.until_ready().await;
    // Nobody has paused anything before, so the worker learns of the table, too.
    let mut client = database.client().await.expect("a connection");
    let why = Some("the provider is down");
    assert!(
        pause(&mut client, &home, &schema.name, &"q".into(), why)
            .await
            .expect("paused")
    );
    assert!(
        !pause(&mut client, &home, &schema.name, &"q".into(), None)
            .await
            .expect("paused already")
    );
    wait_for("the worker to notice", async || {
        crew.metrics.queue_paused.with_label_values(&["q"]).get() == 1
    })
    .await;
    assert_eq!(crew.metrics.queue_paused.with_label_values(&["r"]).get(), 0);
    assert_eq!(crew.health.status()["paused"], json!(["q"]));
    let told = paused(&client, &home, &schema.name).await.expect("read");
    assert_eq!((told.len(), told[0].reason.as_deref()), (1, why));

    let boss = Client::new(database.clone(), &schema.name);
    boss.send("q", &json!({}), &SendOptions::default()).await.expect("sent");
    boss.send("r", &json!({}), &SendOptions::default()).await.expect("sent");
    schema
        .until("(select state = 'completed' from {schema}.job where name = 'r')")
        .await;
    // One look rings for both, so by now it would have run.
    boss.send("r", &json!({}), &SendOptions::default()).await.expect("sent");
    schema
        .until("(select bool_and(state = 'completed') from {schema}.job where name = 'r')")
        .await;
    assert_eq!(
        schema.value("select state from {schema}.job where name = 'q'").await,
        json!("created")
    );

    assert!(
        unpause(&client, &home, &schema.name, &"q".into())
            .await
            .expect("resumed")
    );
    schema
        .until("(select state = 'completed' from {schema}.job where name = 'q')")
        .await;
    assert_eq!(crew.metrics.queue_paused.with_label_values(&["q"]).get(), 0);
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attempt_is_remembered_for_a_while() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema
        .execute("select {schema}.create_queue('q', '{\"policy\": \"standard\", \"retryLimit\": 1}')")
        .await;
    let (home, database) = (Home::new(schema.own()), database(&schema));
    let mut client = database.client().await.expect("a connection");
    home.ensure(&mut client, &CHRONICLE).await.expect("it is made");
    let own = schema.own();
    let note = |schema: &str| {
        format!(
            "insert into {own}.attempt select '{schema}', 'q', gen_random_uuid(), 0, 'w', now() - interval '3 hours', \
             now() - interval '2 hours', 'completed';"
        )
    };
    schema.execute(&note(&schema.name)).await;
    schema.execute(&note("of_another_pg_boss")).await;
    let mut config = config(&schema, &["q"]);
    config.worker.history = Duration::from_secs(3600);
    config.worker.name = "billing".to_owned();
    let twice = handler(|job, _| async move {
        if job.attempt.retry_count == 0 {
            return Err(HandlerError::retry("not the first time\0"));
        }
        Ok(json!({}))
    });
    let crew = Crew::start(config, [("q", twice)]);
    let boss = Client::new(database.clone(), &schema.name);
    let id = boss
        .send("q", &json!({}), &SendOptions::default())
        .await
        .expect("sent")
        .expect("an id");
    schema.until("(select state = 'completed' from {schema}.job)").await;
    let known = format!("(select count(*) = 2 from {own}.attempt where job_id = '{id}')");
    schema.until(&known).await;
    crew.stop().await;
    let left = schema
        .rows(&format!("select distinct schema from {own}.attempt order by 1"))
        .await;
    assert_eq!(
        left.len(),
        2,
        "the old note of this schema is gone, that of another is not: {left:?}"
    );
    assert_eq!(
        schema
            .value(&format!(
                "select count(*) from {own}.attempt where schema = '{}'",
                schema.name
            ))
            .await,
        json!(2)
    );

    let dialect = Dialect::read(&client, &schema.name).await.expect("it is there");
    let told = life(&client, &dialect, &home, &"q".into(), id)
        .await
        .expect("told")
        .expect("it is there");
    let what: Vec<&str> = told.iter().map(|event| event.what).collect();
    assert_eq!(what, ["sent", "attempt", "attempt", "completed"], "{told:?}");
    assert!(told[1].detail.starts_with("1 on billing: retried after "), "{told:?}");
    assert!(told[1].detail.contains(": not the first time"), "{told:?}");
    assert!(told[2].detail.starts_with("2 on billing: completed after "), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_a_job_that_node_ran() {
    needs_node!();
    for release in [Release::V10_4_2, Release::V12_27_0, Release::NEWEST] {
        let schema = Schema::new(release).await;
        let boss = Boss::start(release, &schema.url, &schema.name, json!({})).await;
        boss.call("createQueue", json!(["dead"])).await.expect("created");
        let options = json!(["q", {"name": "q", "policy": "standard", "retryLimit": 1, "deadLetter": "dead"}]);
        boss.call("createQueue", options).await.expect("created");
        let id = boss.call("send", json!(["q", {}])).await.expect("sent");
        let id = id.as_str().expect("an id");
        let client = database(&schema).client().await.expect("a connection");
        let dialect = Dialect::read(&client, &schema.name).await.expect("it is there");
        let home = Home::new(schema.own());
        let mut told = Vec::new();
        for message in ["once", "twice"] {
            boss.call("fetch", json!(["q"])).await.expect("fetched");
            boss.call("fail", json!(["q", id, {"message": message}]))
                .await
                .expect("failed");
            let id = id.parse().expect("an id");
            told = life(&client, &dialect, &home, &"q".into(), id)
                .await
                .expect("told")
                .expect("it is there");
            let what: Vec<&str> = told.iter().map(|event| event.what).collect();
            match message {
                "once" => assert_eq!(what, ["sent", "attempt", "waits"], "{told:?}"),
                _ if release == Release::V10_4_2 => assert_eq!(what, ["sent", "attempt", "failed"], "{told:?}"),
                _ => assert!(
                    what.starts_with(&["sent", "attempt"]) && what.contains(&"dead_lettered"),
                    "{told:?}"
                ),
            }
        }
        let failed = told.iter().find(|event| event.what == "failed").expect("it failed");
        assert_eq!(failed.detail, "for good, after 1 of 1 retries: twice");
        if release == Release::NEWEST {
            boss.call("redrive", json!(["dead"])).await.expect("redriven");
            let told = life(&client, &dialect, &home, &"q".into(), id.parse().expect("an id")).await;
            let told = told.expect("told").expect("it is there");
            assert!(
                told.iter()
                    .any(|event| event.what == "redriven" && event.detail.ends_with("which is created")),
                "{told:?}"
            );
        }
    }
}
