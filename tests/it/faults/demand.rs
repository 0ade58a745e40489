//! More is wanted than there is room for, or less.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strawboss::handler::Handler;
use strawboss::job::Outcome;
use tokio_util::sync::CancellationToken;

use crate::support::crew::{Crew, Seen, config, handler};
use crate::support::proxy::Proxy;
use crate::support::{Boss, Release, Schema, needs_node, wait_for};

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
    let schema = Schema::new(Release::NEWEST).await;
    let queues: Vec<String> = (0..50).map(|number| format!("q{number}")).collect();
    for queue in &queues {
        schema.queue(queue, json!({})).await;
    }
    let names: Vec<&str> = queues.iter().map(String::as_str).collect();
    let proxy = Proxy::before(&schema.url).await;
    let mut config = config(&schema, &names);
    config.database.url = proxy.url(&schema.url);
    for queue in config.queues.values_mut() {
        queue.poll_interval = Duration::from_millis(500);
    }
    let seen = Seen::default();
    let crew = Crew::start(config, names.iter().map(|name| (*name, seen.handler())));
    crew.until_ready().await;
    for name in ["q7", "q49"] {
        schema.jobs(name, 1).await;
        crew.until_processed(name, Outcome::Completed, 1).await;
    }
    // Something has to be idled away to be counted; what comes of those two jobs is done by then.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (before, began) = (proxy.asked(), Instant::now());
    tokio::time::sleep(Duration::from_secs(9)).await;
    let rate = (proxy.asked() - before) as f64 / began.elapsed().as_secs_f64();
    // pg-boss makes 33 transactions a second, and a tenth of that is promised.
    assert!(rate < 3.3, "{rate} statements a second");
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_notifications_makes_one_claim() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", json!({ "notify": true })).await;
    let mut config = config(&schema, &["q"]);
    // Nobody but NOTIFY would look in time.
    config.queues.get_mut("q").expect("it is there").poll_interval = Duration::from_secs(60);
    let seen = Seen::default();
    let crew = Crew::start(config, [("q", seen.handler())]);
    wait_for("the worker to listen", async || {
        crew.metrics.listen_connected.get() == 1
    })
    .await;
    let boss = Boss::start(Release::NEWEST, &schema.url, &schema.name, json!({})).await;
    boss.call("send", json!(["q", {}])).await.expect("it is sent");
    crew.until_processed("q", Outcome::Completed, 1).await;

    let claims = || crew.metrics.claim_duration.with_label_values(&["q"]).get_sample_count();
    let told = crew.metrics.wakeups.with_label_values(&["q", "notify"]);
    // A claim is held up, and notified of meanwhile are hundreds of jobs.
    let somebody = schema.connect().await;
    let lock = "begin; lock table {schema}.job_common in share row exclusive mode";
    somebody.batch_execute(&schema.sql(lock)).await.expect("it is locked");
    let channel = strawboss::postgres::channel(&schema.name);
    let before = (told.get(), claims());
    for count in 1..=200 {
        schema.execute(&format!("notify {channel}, 'q'")).await;
        if count == 1 {
            schema
                .until("exists (select from pg_locks where not granted and relation = '{schema}.job_common'::regclass)")
                .await;
        }
    }
    wait_for("all to be heard", async || told.get() >= before.0 + 200).await;
    let jobs = schema.sql("insert into {schema}.job (name) values ('q'); commit");
    somebody.batch_execute(&jobs).await.expect("it is unlocked");
    crew.until_processed("q", Outcome::Completed, 2).await;
    wait_for("the claims to come to rest", async || claims() >= before.1 + 2).await;
    assert_eq!(claims(), before.1 + 2, "the one held up, and one for all the others");
    boss.stop().await;
    crew.stop().await;
}
