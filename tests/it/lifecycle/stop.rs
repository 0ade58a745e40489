//! A worker is told to stop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strawboss::job::Outcome;
use tokio_util::sync::CancellationToken;

use crate::support::crew::{Crew, Seen, config, handler};
use crate::support::{Boss, Release, Schema, needs_node, wait_for};

async fn schema_with_jobs(count: usize) -> Schema {
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", json!({})).await;
    schema.jobs("q", count).await;
    schema
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_may_finish_and_nothing_more_is_begun() {
    needs_node!();
    let schema = schema_with_jobs(15).await;
    let (seen, gate) = (Seen::default(), CancellationToken::new());
    let crew = Crew::start(config(&schema, &["q"]), [("q", seen.waiting_handler(&gate))]);
    seen.until(10).await;
    crew.begin_stop();
    let health = crew.health.clone();
    wait_for("the worker to drain", async || health.readiness().draining).await;
    gate.cancel();
    let report = crew.stop().await;
    assert_eq!(
        (report.drained, report.released, report.unwritten),
        (10, 0, 0),
        "{report}"
    );
    assert_eq!(report.outcomes, BTreeMap::from([("completed", 10)]));
    assert_eq!(report.hanging, BTreeMap::new());
    assert_eq!(schema.states("q").await, json!({ "completed": 10, "created": 5 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_finish_is_cut_off_and_handed_back_without_using_up_an_attempt() {
    needs_node!();
    for release in [Release::V10_4_2, Release::NEWEST] {
        let schema = Schema::new(release).await;
        schema.queue("q", json!({})).await;
        schema.jobs("q", 3).await;
        let (seen, told) = (Seen::default(), CancellationToken::new());
        let run = {
            let (seen, told) = (seen.clone(), told.clone());
            handler(move |job, context| {
                seen.note(job.attempt);
                let told = told.clone();
                // Something a handler has begun elsewhere.
                tokio::spawn(async move {
                    context.cancelled.cancelled().await;
                    told.cancel();
                });
                std::future::pending()
            })
        };
        let mut config = config(&schema, &["q"]);
        config.worker.shutdown_grace = Duration::from_millis(50);
        let crew = Crew::start(config, [("q", run)]);
        seen.until(3).await;
        let report = crew.stop().await;
        assert_eq!(
            (report.drained, report.released, report.unwritten),
            (0, 3, 0),
            "{report}"
        );
        assert_eq!(report.outcomes, BTreeMap::from([("released", 3)]));
        told.cancelled().await;

        let boss = Boss::start(release, &schema.url, &schema.name, json!({})).await;
        let options = json!({ "batchSize": 3, "includeMetadata": true });
        let fetched = boss
            .call("fetch", json!(["q", options]))
            .await
            .expect("they are fetched");
        let counts: Vec<&Value> = fetched
            .as_array()
            .expect("a list")
            .iter()
            .map(|job| &job["retryCount"])
            .collect();
        assert_eq!(counts, [&json!(0), &json!(0), &json!(0)], "pg-boss {release}");
        boss.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_under_way_is_waited_for_and_what_it_brings_is_handed_back_unstarted() {
    needs_node!();
    let schema = schema_with_jobs(0).await;
    let mut config = config(&schema, &["q"]);
    config.worker.supervise = false;
    let seen = Seen::default();
    let crew = Crew::start(config, [("q", seen.handler())]);
    crew.until_ready().await;
    schema
        .execute(
            "insert into {schema}.job (name, start_after) select 'q', now() + interval '1s' from generate_series(1, 3)",
        )
        .await;
    // Readers pass, so that the jobs are seen when they are due; the claim waits.
    let somebody = schema.connect().await;
    let lock = "begin; lock table {schema}.job_common in share row exclusive mode";
    somebody.batch_execute(&schema.sql(lock)).await.expect("it is locked");
    schema
        .until("exists (select from pg_locks where not granted and relation = '{schema}.job_common'::regclass)")
        .await;
    crew.begin_stop();
    let health = crew.health.clone();
    wait_for("the worker to drain", async || health.readiness().draining).await;
    somebody.batch_execute("commit").await.expect("it is unlocked");
    let report = crew.stop().await;
    assert_eq!(
        (report.drained, report.released, report.unwritten),
        (0, 3, 0),
        "{report}"
    );
    assert_eq!(seen.jobs(), 0);
    assert_eq!(
        schema
            .row("select count(*) as jobs, count(started_on) as begun, sum(retry_count) as retries from {schema}.job where state = 'created'")
            .await,
        json!({ "jobs": 3, "begun": 0, "retries": 0 })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_blocks_its_thread_is_named_and_holds_nobody_up_for_ever() {
    needs_node!();
    let schema = schema_with_jobs(1).await;
    let (seen, end) = (Seen::default(), Arc::new(AtomicBool::new(false)));
    let run = {
        let (seen, end) = (seen.clone(), Arc::clone(&end));
        handler(move |job, _| {
            seen.note(job.attempt);
            let end = Arc::clone(&end);
            async move {
                while !end.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Ok(Value::Null)
            }
        })
    };
    let mut config = config(&schema, &["q"]);
    config.worker.shutdown_grace = Duration::from_millis(50);
    let crew = Crew::start(config, [("q", run)]);
    seen.until(1).await;
    let began = Instant::now();
    let report = crew.stop().await;
    end.store(true, Ordering::SeqCst);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(report.hanging, BTreeMap::from([("run", 1)]), "{report}");
    assert!(report.to_string().contains("still hanging: run (1)"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_worker_ends_it() {
    needs_node!();
    let schema = schema_with_jobs(10).await;
    let (seen, gate) = (Seen::default(), CancellationToken::new());
    let crew = Crew::start(config(&schema, &["q"]), [("q", seen.waiting_handler(&gate))]);
    seen.until(10).await;
    let in_flight = crew.metrics.jobs_in_flight.with_label_values(&["q"]);
    drop(crew);
    wait_for("its jobs to be let go", async || in_flight.get() == 0).await;
    let next = Crew::start(config(&schema, &["q"]), [("q", Seen::default().handler())]);
    next.until_processed("q", Outcome::Completed, 10).await;
    next.stop().await;
}
