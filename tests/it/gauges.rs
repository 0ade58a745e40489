//! The gauges that only the database knows: what they say, what they cost, and that nobody reads them unasked.

use std::time::Duration;

use serde_json::json;
use strawboss::dialect::Capability;
use strawboss::inspect::{ALONG_THE_INDEXES, QueueFigures, STATEMENTS, figures};
use strawboss::observe::Metrics;
use strawboss::postgres::{Client, Database, Settings};
use strawboss::{Dialect, Worker};

use crate::support::client::get;
use crate::support::{Release, Schema, crew, needs_node};

async fn connected(schema: &Schema) -> (Client, Dialect) {
    let settings = Settings::parse(&schema.url).expect("a URL").with_pool_size(1);
    let client = Database::new(&settings)
        .expect("a pool")
        .client()
        .await
        .expect("it answers");
    let dialect = Dialect::read(&client, &schema.name).await.expect("it is there");
    (client, dialect)
}

async fn read(schema: &Schema) -> Vec<QueueFigures> {
    let (mut client, dialect) = connected(schema).await;
    figures(&mut client, &dialect).await.expect("they are read").queues
}

#[tokio::test(flavor = "multi_thread")]
async fn the_jobs_of_a_queue_are_counted_by_what_they_wait_for_on_every_schema() {
    needs_node!();
    for release in Release::ALL {
        let schema = Schema::new(release).await;
        schema.queue("dead", json!({})).await;
        schema.queue("q", json!({ "deadLetter": "dead" })).await;
        schema.jobs("q", 7).await;
        schema.jobs("dead", 2).await;
        // Two active, one failed, one to come, and the first of the three that are due since a minute.
        schema
            .execute(
                "with n as (select id, row_number() over (order by id) as n from {schema}.job where name = 'q')
                 update {schema}.job j set
                   state = (case when n <= 2 then 'active' when n = 3 then 'failed' when n = 5 then 'retry' else 'created' end)::{schema}.job_state,
                   start_after = now() + (case when n = 4 then interval '1h' when n = 5 then interval '-60s' else interval '-10s' end)
                 from n where n.id = j.id",
            )
            .await;
        let (mut client, dialect) = connected(&schema).await;
        let read = figures(&mut client, &dialect).await.expect("they are read").queues;
        let of = |name: &str| read.iter().find(|queue| queue.name == name).expect("it is there");
        let exact = dialect.has(Capability::LiveIndex);
        let q = of("q");
        assert_eq!((q.ready, q.deferred), (Some(3), Some(1)), "pg-boss {release}");
        assert!((59.0..90.0).contains(&q.oldest), "pg-boss {release}: {}", q.oldest);
        // Before schema 46 no index leads there, and the supervisor has written nothing yet.
        let elsewhere = exact.then_some((2, 1));
        assert_eq!(q.active.zip(q.failed), elsewhere, "pg-boss {release}");
        assert_eq!((q.buries, of("dead").buries), (false, true));
        assert_eq!((of("dead").ready, of("dead").oldest < 60.0), (Some(2), true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_ends_where_the_row_of_the_queue_goes_on() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", json!({})).await;
    schema
        .execute(
            "insert into {schema}.job (name, start_after) select 'q', now() - interval '1 min' from generate_series(1, 12000);
             analyze {schema}.job_common",
        )
        .await;
    assert_eq!(read(&schema).await[0].ready, Some(10_000));
    let row = async |ready: &str, age: &str| {
        let counts = format!("ready_count = {ready}, monitor_on = now() - interval '{age}'");
        schema.execute(&format!("update {{schema}}.queue set {counts}")).await;
    };
    row("12000", "1 min").await;
    assert_eq!(read(&schema).await[0].ready, Some(12_000));
    row("999999", "1 hour").await;
    assert_eq!(read(&schema).await[0].ready, Some(10_000), "that was an hour ago");

    // Each count stops: no node of the plan has brought more rows than are counted, and none walked over a table.
    let (_, dialect) = connected(&schema).await;
    let (_, template) = STATEMENTS
        .iter()
        .find(|(purpose, _)| *purpose == "read the gauges")
        .expect("it is there");
    let sql = template.render(&dialect, "job").replace("$1", "10000::bigint");
    schema.execute(&format!("BEGIN; {ALONG_THE_INDEXES}")).await;
    let explained = format!("EXPLAIN (ANALYZE, TIMING OFF) {sql}");
    let plan = schema.client().query(&explained, &[]).await.expect("it is explained");
    schema.execute("COMMIT").await;
    let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    let walks = plan
        .iter()
        .any(|line| line.contains("Seq Scan on job") || line.contains("Sort Key: j"));
    assert!(!walks, "{}", plan.join("\n"));
    assert!(
        plan.iter().any(|line| line.contains("job_common_i14")),
        "{}",
        plan.join("\n")
    );
    let most = plan
        .iter()
        .filter_map(|line| {
            line.split("(actual rows=")
                .nth(1)?
                .split([' ', '.'])
                .next()?
                .parse::<u64>()
                .ok()
        })
        .max();
    assert_eq!(most, Some(10_000), "{}", plan.join("\n"));
}

/// What a worker without queues shows at its address.
async fn exported(schema: &Schema, metrics: &Metrics, look: impl AsyncFnOnce(std::net::SocketAddr)) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = Worker::new(crew::config(schema, &[]))
        .with_metrics(metrics.clone())
        .with_listener(listener);
    let working = worker.run(async { drop(stopped.await) });
    let looking = async {
        crate::support::wait_for("the worker to be ready", async || {
            get(address, "/readyz").await.status == 200
        })
        .await;
        look(address).await;
        drop(stop);
    };
    let (report, ()) = tokio::join!(working, looking);
    assert!(report.expect("it ends").is_clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_queues_is_an_exporter_that_reads_when_asked() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("dead", json!({})).await;
    schema.queue("q", json!({ "deadLetter": "dead" })).await;
    schema.jobs("q", 3).await;
    let metrics = Metrics::new();
    exported(&schema, &metrics, async |address| {
        // Nobody has asked: nothing was read. An idle worker asks for nothing but work.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(metrics.gauges_read.get() <= 0.0);
        let scraped = get(address, "/metrics").await.body;
        for line in [
            "pgboss_queue_jobs{queue=\"q\",state=\"ready\"} 3\n",
            "pgboss_queue_jobs{queue=\"q\",state=\"active\"} 0\n",
            "pgboss_dead_letter_jobs{queue=\"dead\"} 0\n",
            "pgboss_db_lock_waits ",
            "pgboss_db_dead_tuples{table=\"job_common\"} ",
        ] {
            assert!(scraped.contains(line), "{line} is missing in\n{scraped}");
        }
        assert!(
            !scraped.contains("pgboss_dead_letter_jobs{queue=\"q\"}"),
            "it is nobody's dead letter queue"
        );
        let first = metrics.gauges_read.get();
        assert!(first > 0.0);
        // However many scrape, it is read once in five seconds; and a queue that is gone goes with the next reading.
        schema
            .execute("delete from {schema}.job; delete from {schema}.queue where name = 'q'")
            .await;
        for _ in 0..20 {
            assert!(
                get(address, "/metrics")
                    .await
                    .body
                    .contains("pgboss_queue_jobs{queue=\"q\"")
            );
        }
        crate::support::wait_for("the queue to be forgotten", async || {
            !get(address, "/metrics").await.body.contains("queue=\"q\"")
        })
        .await;
    })
    .await;
}
