//! The network between a worker and its database misbehaves.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strawboss::config::Config;
use strawboss::handler::HandlerError;
use strawboss::job::Outcome;
use tokio_util::sync::CancellationToken;

use crate::support::crew::{Crew, Seen, config, handler};
use crate::support::proxy::{Mode, Proxy};
use crate::support::{Release, Schema, needs_node, wait_for};

/// A schema with a queue `q`, a proxy before its server, and the settings of a worker behind that.
async fn behind_a_proxy(options: Value) -> (Schema, Proxy, Config) {
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", options).await;
    let proxy = Proxy::before(&schema.url).await;
    let mut config = config(&schema, &["q"]);
    config.database.url = proxy.url(&schema.url);
    (schema, proxy, config)
}

/// Has so many statements reach the server that `begin` leads to, which does as they say, and nobody hear of it.
async fn lose_the_answers(schema: &Schema, proxy: &Proxy, statements: usize, begin: impl FnOnce()) {
    let somebody = schema.connect().await;
    let lock = schema.sql("begin; select from {schema}.job for update");
    somebody.batch_execute(&lock).await.expect("they are locked");
    begin();
    schema
        .until(&format!(
            "(select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%{{schema}}%') = {statements}"
        ))
        .await;
    proxy.set(Mode::Mute);
    somebody.batch_execute("commit").await.expect("they are unlocked");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_amid_claims_and_settles_lose_and_double_nothing() {
    needs_node!();
    const JOBS: usize = 500;
    let (schema, proxy, config) = behind_a_proxy(json!({ "retryLimit": 100 })).await;
    schema.jobs("q", JOBS).await;
    let seen = Seen::default();
    let crew = Crew::start(config, [("q", seen.handler())]);
    for cut in 1..=10 {
        crew.until_processed("q", Outcome::Completed, cut * 25).await;
        proxy.cut();
    }
    crew.until_processed("q", Outcome::Completed, JOBS as u64).await;
    assert_eq!(seen.repeated(), Default::default(), "each ran once");
    assert_eq!(crew.processed("q", Outcome::Fenced), 0);
    assert_eq!(schema.states("q").await, json!({ "completed": JOBS }));
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_outlive_an_outage_longer_than_the_leases() {
    needs_node!();
    let (schema, proxy, mut config) = behind_a_proxy(json!({})).await;
    config.database.pool_size = 3;
    schema.jobs("q", 10).await;
    let (seen, gate) = (Seen::default(), CancellationToken::new());
    let crew = Crew::start(config, [("q", seen.waiting_handler(&gate))]);
    seen.until(10).await;
    proxy.outage().await;
    gate.cancel();
    wait_for("the worker not to be ready", async || !crew.health.readiness().ready).await;
    schema
        .until("(select bool_and(heartbeat_on + heartbeat_seconds * interval '2s' < now()) from {schema}.job)")
        .await;
    assert_eq!(schema.states("q").await, json!({ "active": 10 }));
    proxy.set(Mode::Pass);
    crew.until_processed("q", Outcome::Completed, 10).await;
    crew.until_ready().await;
    assert_eq!(
        seen.repeated(),
        Default::default(),
        "their own worker did not take them back"
    );
    assert_eq!(
        schema
            .row("select sum(retry_count) as retries, count(*) as jobs from {schema}.job where state = 'completed'")
            .await,
        json!({ "retries": 0, "jobs": 10 })
    );
    assert_eq!(crew.stop().await.unwritten, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_whose_answer_was_lost_is_told_as_what_it_came_to() {
    needs_node!();
    // One kind at a time: each is a statement of its own, and a connection that is not open yet cannot be opened in silence.
    for outcome in [Outcome::Completed, Outcome::Retried, Outcome::DeadLettered] {
        let (schema, proxy, mut config) = behind_a_proxy(json!({})).await;
        // Nor does a renewal come between, by which the row would move and the verdict need a second statement.
        config.worker.heartbeat = Duration::from_secs(60);
        schema.queue("dead", json!({})).await;
        schema
            .execute("update {schema}.queue set dead_letter = 'dead' where name = 'q'")
            .await;
        // One job: two might be settled by two statements.
        schema.jobs("q", 1).await;
        let (seen, gate) = (Seen::default(), CancellationToken::new());
        let run = {
            let (seen, gate) = (seen.clone(), gate.clone());
            handler(move |job, _| {
                seen.note(job.attempt);
                let gate = gate.clone();
                async move {
                    gate.cancelled().await;
                    match outcome {
                        Outcome::Completed => Ok(job.data),
                        Outcome::Retried => Err(HandlerError::retry_after("not today", Duration::from_secs(3600))),
                        _ => Err(HandlerError::never_retry("never")),
                    }
                }
            })
        };
        let crew = Crew::start(config, [("q", run)]);
        seen.until(1).await;
        lose_the_answers(&schema, &proxy, 1, || gate.cancel()).await;
        schema
            .until(
                "(select count(*) from {schema}.job where name = 'q' and state in ('completed', 'retry', 'failed')) = 1",
            )
            .await;
        assert_eq!(crew.processed("q", outcome), 0, "nobody knows yet");
        proxy.cut();
        proxy.set(Mode::Pass);
        crew.until_processed("q", outcome, 1).await;
        assert_eq!(crew.processed("q", Outcome::Fenced), 0);
        if outcome == Outcome::DeadLettered {
            assert_eq!(schema.states("dead").await, json!({ "created": 1 }), "one copy");
        }
        crew.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_back_whose_answer_was_lost_does_not_take_the_job_from_the_next() {
    needs_node!();
    let (schema, proxy, mut config) = behind_a_proxy(json!({})).await;
    config.worker.shutdown_grace = Duration::ZERO;
    config.worker.heartbeat = Duration::from_secs(60);
    schema.jobs("q", 1).await;
    let (first, second) = (Seen::default(), Seen::default());
    let never = CancellationToken::new();
    let other = self::config(&schema, &["q"]);
    let crew = Crew::start(config, [("q", first.waiting_handler(&never))]);
    first.until(1).await;
    lose_the_answers(&schema, &proxy, 1, || crew.begin_stop()).await;
    let gate = CancellationToken::new();
    schema.until("(select state = 'created' from {schema}.job)").await;
    let next = Crew::start(other, [("q", second.waiting_handler(&gate))]);
    second.until(1).await;
    proxy.cut();
    proxy.set(Mode::Pass);
    let report = crew.stop().await;
    assert_eq!(report.unwritten, 0, "{report}");
    assert_eq!(schema.states("q").await, json!({ "active": 1 }), "it is the other's");
    gate.cancel();
    next.until_processed("q", Outcome::Completed, 1).await;
    assert_eq!(schema.value("select retry_count from {schema}.job").await, json!(0));
    next.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_fall_silent_are_given_up_in_time() {
    needs_node!();
    let (schema, proxy, config) = behind_a_proxy(json!({})).await;
    schema.jobs("q", 10).await;
    let (seen, gate) = (Seen::default(), CancellationToken::new());
    let crew = Crew::start(config, [("q", seen.waiting_handler(&gate))]);
    seen.until(10).await;
    proxy.strand();
    let began = Instant::now();
    gate.cancel();
    crew.until_processed("q", Outcome::Completed, 10).await;
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "verdicts waited {:?}",
        began.elapsed()
    );
    schema.jobs("q", 10).await;
    crew.until_processed("q", Outcome::Completed, 20).await;
    assert!(
        began.elapsed() < Duration::from_secs(25),
        "claims waited {:?}",
        began.elapsed()
    );
    assert_eq!(seen.repeated(), Default::default(), "no lease ran out");
    assert_eq!(crew.processed("q", Outcome::Fenced), 0);
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_during_an_outage_ends_and_says_what_is_unwritten() {
    needs_node!();
    let (schema, proxy, mut config) = behind_a_proxy(json!({})).await;
    config.worker.shutdown_grace = Duration::from_millis(100);
    schema.jobs("q", 4).await;
    let (seen, gate) = (Seen::default(), CancellationToken::new());
    let crew = Crew::start(config, [("q", seen.waiting_handler(&gate))]);
    seen.until(4).await;
    // The worse kind: nothing is refused and nothing answers.
    proxy.set(Mode::Stall);
    gate.cancel();
    let began = Instant::now();
    let report = crew.stop().await;
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "it took {:?}",
        began.elapsed()
    );
    assert_eq!(
        (report.unwritten, report.drained, report.released),
        (4, 0, 0),
        "{report}"
    );
    assert_eq!(report.hanging, Default::default());
    assert!(
        report.to_string().contains("4 verdicts could not be written"),
        "{report}"
    );
    // They run again, elsewhere, when their leases are over. What hung in the proxy does not arrive after all.
    proxy.outage().await;
    let next = Crew::start(self::config(&schema, &["q"]), [("q", Seen::default().handler())]);
    next.until_processed("q", Outcome::Completed, 4).await;
    next.stop().await;
}
