//! More is wanted than there is room for, or less.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use strawboss::handler::Handler;
use strawboss::job::Outcome;
use tokio_util::sync::CancellationToken;

use crate::support::crew::{Crew, Seen, config, handler};
use crate::support::{Release, Schema, needs_node, server, wait_for};

/// Counts how many run at once.
#[derive(Clone, Default)]
struct Crowd {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Crowd {
    fn handler(&self) -> Arc<dyn Handler> {
        let crowd = self.clone();
        handler(move |_, _| {
            let crowd = crowd.clone();
            async move {
                let now = crowd.now.fetch_add(1, Ordering::SeqCst) + 1;
                crowd.most.fetch_max(now, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(3)).await;
                crowd.now.fetch_sub(1, Ordering::SeqCst);
                Ok(Value::Null)
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_claimed_than_there_is_room_for() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    let queues = ["a", "b", "c"];
    for queue in queues {
        schema.queue(queue, json!({})).await;
        schema.jobs(queue, 30).await;
    }
    let (seen, gate) = (Seen::default(), CancellationToken::new());
    // Ten places in each queue, twenty in the process.
    let crew = Crew::start(
        config(&schema, &queues),
        queues.map(|queue| (queue, seen.waiting_handler(&gate))),
    );
    seen.until(20).await;
    assert_eq!(
        schema
            .value("select count(*) from {schema}.job where state = 'active'")
            .await,
        json!(20),
        "what was claimed is what runs"
    );
    let by_queue = "select max(count) from (select count(*) from {schema}.job where state = 'active' group by name) s";
    assert_eq!(schema.value(by_queue).await, json!(10));
    gate.cancel();
    for queue in queues {
        crew.until_processed(queue, Outcome::Completed, 30).await;
    }
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flooded_queue_starves_no_other() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    let (crowd, mut config) = (Crowd::default(), config(&schema, &["flood", "drop"]));
    config.worker.concurrency = 4;
    for queue in ["flood", "drop"] {
        schema.queue(queue, json!({})).await;
    }
    schema.jobs("flood", 4000).await;
    let crew = Crew::start(config, [("flood", crowd.handler()), ("drop", crowd.handler())]);
    crew.until_processed("flood", Outcome::Completed, 50).await;
    schema.jobs("drop", 20).await;
    crew.until_processed("drop", Outcome::Completed, 20).await;
    let flood = crew.processed("flood", Outcome::Completed);
    assert!(flood < 2000, "{flood} of the flood went first");
    assert!(crowd.most.load(Ordering::SeqCst) <= 4);
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn full_batches_follow_each_other_without_a_pause() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", json!({})).await;
    let mut config = config(&schema, &["q"]);
    let queue = config.queues.get_mut("q").expect("it is there");
    // Were a batch followed by a pause, the second would be late by a minute.
    queue.poll_interval = Duration::from_secs(60);
    schema.jobs("q", 500).await;
    let crew = Crew::start(config, [("q", Seen::default().handler())]);
    crew.until_processed("q", Outcome::Completed, 500).await;
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_begun_when_it_is_due() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", json!({})).await;
    let mut config = config(&schema, &["q"]);
    config.queues.get_mut("q").expect("it is there").poll_interval = Duration::from_secs(2);
    let crew = Crew::start(config, [("q", Seen::default().handler())]);
    for _ in 0..3 {
        schema
            .execute("insert into {schema}.job (name, start_after) values ('q', now() + interval '3.1s')")
            .await;
    }
    crew.until_processed("q", Outcome::Completed, 3).await;
    let late = schema
        .value("select max(extract(epoch from started_on - start_after))::float8 from {schema}.job")
        .await
        .as_f64()
        .expect("a number");
    // A busy machine may be slow, but half the poll interval is more than it needs.
    assert!((0.0..1.0).contains(&late), "{late} s late");
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_idle_queues_ask_little_of_the_database() {
    needs_node!();
    // A database of its own, for the server counts by database.
    let name = format!("idle_{}", uuid::Uuid::new_v4().simple());
    let main = crate::support::server::connect(&server().url).await;
    main.batch_execute(&format!("create database {name}"))
        .await
        .expect("it is made");
    let url = {
        let (before, after) = server().url.rsplit_once('/').expect("a URL with a database");
        let options = after.find('?').map_or("", |at| &after[at..]);
        format!("{before}/{name}{options}")
    };
    let schema = Schema::on(&url, Release::NEWEST).await;
    let queues: Vec<String> = (0..50).map(|number| format!("q{number}")).collect();
    for queue in &queues {
        schema.queue(queue, json!({})).await;
    }
    let names: Vec<&str> = queues.iter().map(String::as_str).collect();
    let mut config = config(&schema, &names);
    for queue in config.queues.values_mut() {
        queue.poll_interval = Duration::from_millis(500);
    }
    let seen = Seen::default();
    // Sessions report what they did late, but all of it when they end: a short life and a long one differ in idling only,
    // and a life before them has everybody report what was before.
    let mut counts = Vec::new();
    for idle in [1, 1, 11] {
        let crew = Crew::start(config.clone(), names.iter().map(|name| (*name, seen.handler())));
        crew.until_ready().await;
        tokio::time::sleep(Duration::from_secs(idle)).await;
        crew.stop().await;
        let ended = format!("select count(*) from pg_stat_activity where datname = '{name}' and pid <> $1");
        let others = schema
            .value("select pg_backend_pid() as pid")
            .await
            .as_i64()
            .expect("a number") as i32;
        wait_for("its sessions to end", async || {
            main.query_one(&ended, &[&others])
                .await
                .expect("it is told")
                .get::<_, i64>(0)
                == 0
        })
        .await;
        let sql = format!("select xact_commit + xact_rollback from pg_stat_database where datname = '{name}'");
        counts.push(main.query_one(&sql, &[]).await.expect("it is told").get::<_, i64>(0));
    }
    let [before, short, long] = counts[..] else {
        panic!("three were counted")
    };
    let rate = ((long - short) - (short - before)) as f64 / 10.0;
    // pg-boss makes 33, and a tenth of that is promised.
    assert!(rate < 3.3, "{rate} transactions a second");
    drop(schema);
    main.batch_execute(&format!("drop database {name} with (force)"))
        .await
        .expect("it goes");
}
