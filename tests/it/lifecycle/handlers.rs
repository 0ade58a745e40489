//! Handlers misbehave, and jobs are taken from under them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use strawboss::handler::{Context, Handler, Run, raw};
use strawboss::job::{Job, Outcome};
use tokio_util::sync::CancellationToken;

use crate::support::crew::{Crew, Seen, config, handler};
use crate::support::{Boss, Release, Schema, needs_node, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_fails_its_own_attempt_only() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", json!({ "retryLimit": 0 })).await;
    schema.jobs("q", 4).await;
    let run = handler(|job, _| {
        let n = job.data["n"].as_i64();
        if n == Some(1) {
            panic!("at once");
        }
        async move {
            tokio::task::yield_now().await;
            match n {
                Some(2) => panic!("later, at {}", 2),
                Some(3) => std::panic::panic_any(3),
                _ => Ok(Value::Null),
            }
        }
    });
    let crew = Crew::start(config(&schema, &["q"]), [("q", run)]);
    crew.until_processed("q", Outcome::Failed, 3).await;
    crew.until_processed("q", Outcome::Completed, 1).await;
    assert_eq!(
        schema
            .value(
                "select jsonb_agg(output ->> 'message' order by data -> 'n') from {schema}.job where state = 'failed'"
            )
            .await,
        json!([
            "handler panicked: at once",
            "handler panicked: later, at 2",
            "handler panicked: no message"
        ])
    );
    crew.stop().await;
}

/// Panics when it is dropped, as a guard of some library might.
struct Touchy;

impl Drop for Touchy {
    fn drop(&mut self) {
        panic!("do not drop me");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_hangs_is_cut_off_at_its_deadline_even_if_it_minds() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema
        .queue("q", json!({ "expireInSeconds": 1, "retryLimit": 0 }))
        .await;
    schema.jobs("q", 2).await;
    let run = handler(|job, _| async move {
        let _touchy = (job.data["n"] == 2).then(|| Touchy);
        std::future::pending().await
    });
    let crew = Crew::start(config(&schema, &["q"]), [("q", run)]);
    crew.until_processed("q", Outcome::Expired, 2).await;
    assert_eq!(
        schema
            .value("select jsonb_agg(distinct output) from {schema}.job where state = 'failed'")
            .await,
        json!([{ "name": "TimeoutError", "message": "handler execution exceeded 1s" }])
    );
    let report = crew.stop().await;
    assert_eq!(report.outcomes, BTreeMap::from([("expired", 2)]), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_that_cannot_be_stored_complete_their_jobs_all_the_same() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", json!({ "retryLimit": 0 })).await;
    schema.jobs("q", 4).await;
    let seen = Seen::default();
    let gate = CancellationToken::new();
    let run = {
        let (seen, gate) = (seen.clone(), gate.clone());
        raw(move |job, _| {
            seen.note(job.attempt);
            let gate = gate.clone();
            async move {
                gate.cancelled().await;
                let output = match job.data_text() {
                    r#"{"n": 1}"# => r#"{"nul":"a\u0000b"}"#.to_owned(),
                    r#"{"n": 2}"# => format!("\"{}\"", "x".repeat(20 << 20)),
                    r#"{"n": 3}"# => format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)),
                    _ => r#"{"plain":true}"#.to_owned(),
                };
                Ok(RawValue::from_string(output).ok())
            }
        })
    };
    let crew = Crew::start(config(&schema, &["q"]), [("q", run)]);
    seen.until(4).await;
    // All at once, so that one statement has to do with all of them.
    gate.cancel();
    crew.until_processed("q", Outcome::Completed, 4).await;
    assert_eq!(schema.states("q").await, json!({ "completed": 4 }));
    let outputs =
        "select jsonb_agg(left(output::text, 20) order by data -> 'n') from {schema}.job where data ->> 'n' <> '2'";
    assert_eq!(
        schema.value(outputs).await,
        json!([
            "{\"nul\": \"a\u{fffd}b\"}",
            "{\"outputDropped\": \"t",
            "{\"plain\": true}"
        ])
    );
    crew.stop().await;
}

#[test]
fn handlers_that_block_every_thread_cost_no_lease() {
    needs_node!();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let schema = runtime.block_on(async {
        let schema = Schema::new(Release::NEWEST).await;
        schema.queue("q", json!({})).await;
        schema.jobs("q", 10).await;
        schema
    });
    // The worker has two threads, and its handlers take both.
    let release = Arc::new(AtomicBool::new(false));
    let blocked = Arc::clone(&release);
    let run = handler(move |job, _| {
        let blocked = Arc::clone(&blocked);
        async move {
            while !blocked.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(job.data)
        }
    });
    let theirs = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let crew = {
        let _inside = theirs.enter();
        Crew::start(config(&schema, &["q"]), [("q", run)])
    };
    runtime.block_on(async {
        schema
            .until(
                "(select count(*) = 10 and bool_and(heartbeat_on > started_on + interval '4s')
                  from {schema}.job where state = 'active')",
            )
            .await;
        release.store(true, Ordering::SeqCst);
        crew.until_processed("q", Outcome::Completed, 10).await;
        assert_eq!(
            schema.value("select max(retry_count) from {schema}.job").await,
            json!(0)
        );
    });
    theirs.block_on(crew.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_never_ends_is_fenced_when_its_time_is_over_and_its_job_goes_on() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", json!({ "expireInSeconds": 1 })).await;
    schema.jobs("q", 1).await;
    let (seen, end) = (Seen::default(), Arc::new(AtomicBool::new(false)));
    let run = {
        let (seen, end) = (seen.clone(), Arc::clone(&end));
        handler(move |job, _| {
            seen.note(job.attempt);
            let end = Arc::clone(&end);
            async move {
                // Nothing can cut off what never awaits.
                while job.attempt.retry_count == 0 && !end.load(Ordering::SeqCst) {
                    std::hint::spin_loop();
                }
                Ok(json!({ "attempt": job.attempt.retry_count }))
            }
        })
    };
    let crew = Crew::start(config(&schema, &["q"]), [("q", run)]);
    crew.until_processed("q", Outcome::Completed, 1).await;
    let rescued = crew.metrics.rescued_jobs.with_label_values(&["q", "expired"]);
    assert_eq!(rescued.get(), 1);
    end.store(true, Ordering::SeqCst);
    crew.until_processed("q", Outcome::Fenced, 1).await;
    assert_eq!(
        schema.row("select output, retry_count from {schema}.job").await,
        json!({ "output": { "attempt": 1 }, "retry_count": 1 })
    );
    assert_eq!(crew.stop().await.hanging, BTreeMap::new());
}

/// A worker whose handlers wait for ever on their first attempt, and tell when they are told that they are not wanted.
async fn hung(schema: &Schema) -> (Crew, Seen, CancellationToken) {
    let (seen, told) = (Seen::default(), CancellationToken::new());
    let run = {
        let (seen, told) = (seen.clone(), told.clone());
        handler(move |job, context| {
            seen.note(job.attempt);
            let told = told.clone();
            tokio::spawn(async move {
                context.cancelled.cancelled().await;
                told.cancel();
            });
            async move {
                if job.attempt.retry_count == 0 {
                    std::future::pending::<()>().await;
                }
                Ok(Value::Null)
            }
        })
    };
    let mut config = config(schema, &["q"]);
    config.worker.supervise = false;
    let crew = Crew::start(config, [("q", run)]);
    seen.until(1).await;
    (crew, seen, told)
}

async fn boss_with_a_job(schema: &Schema) -> (Boss, Value) {
    let boss = Boss::start(schema.release, &schema.url, &schema.name, json!({})).await;
    boss.call("createQueue", json!(["q", { "retryDelay": 0 }]))
        .await
        .expect("the queue is made");
    let id = boss.call("send", json!(["q", {}])).await.expect("it is sent");
    (boss, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_a_user_cancels_is_cut_off_and_nothing_is_written() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    let (boss, id) = boss_with_a_job(&schema).await;
    let (crew, _, told) = hung(&schema).await;
    boss.call("cancel", json!(["q", id])).await.expect("it is cancelled");
    let after = schema.row("select to_jsonb(job) as job from {schema}.job").await;
    told.cancelled().await;
    crew.until_processed("q", Outcome::Cancelled, 1).await;
    assert_eq!(schema.row("select to_jsonb(job) as job from {schema}.job").await, after);
    assert_eq!(crew.stop().await.outcomes, BTreeMap::from([("cancelled", 1)]));
    boss.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_deleted_is_cut_off() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    let (boss, id) = boss_with_a_job(&schema).await;
    let (crew, _, told) = hung(&schema).await;
    boss.call("deleteJob", json!(["q", id])).await.expect("it is deleted");
    told.cancelled().await;
    crew.until_processed("q", Outcome::Fenced, 1).await;
    assert_eq!(schema.states("q").await, json!({}));
    assert_eq!(crew.stop().await.outcomes, BTreeMap::from([("fenced", 1)]));
    boss.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_nodes_supervisor_takes_back_is_cut_off_and_runs_again() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    let (boss, _) = boss_with_a_job(&schema).await;
    let (crew, seen, told) = hung(&schema).await;
    schema
        .execute("update {schema}.job set started_on = started_on - interval '1 hour'")
        .await;
    wait_for("the supervisor to take it back", async || {
        boss.call("supervise", json!(["q"])).await.expect("it supervises");
        schema
            .value("select state <> 'active' or retry_count > 0 from {schema}.job")
            .await
            == json!(true)
    })
    .await;
    crew.until_processed("q", Outcome::Completed, 1).await;
    crew.until_processed("q", Outcome::Fenced, 1).await;
    told.cancelled().await;
    assert_eq!(seen.repeated().into_values().collect::<Vec<_>>(), [vec![0, 1]]);
    crew.stop().await;
    boss.stop().await;
}

/// Breaks what asks it, which is a part of the worker itself, once it is told to.
struct Breaks(Seen, Arc<AtomicBool>);

impl Handler for Breaks {
    fn run(&self, job: Arc<Job>, _: Context) -> Run {
        self.0.note(job.attempt);
        Box::pin(async { Ok(None) })
    }

    fn paused(&self) -> Option<String> {
        assert!(!self.1.load(Ordering::SeqCst), "do not ask me");
        None
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_a_part_of_which_died_stops_by_itself_and_says_why() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("q", json!({})).await;
    schema.queue("other", json!({})).await;
    schema.jobs("other", 2).await;
    let (seen, gate) = (Seen::default(), CancellationToken::new());
    let breaks = Arc::new(AtomicBool::new(false));
    let handlers: [(&str, Arc<dyn Handler>); 2] = [
        ("q", Arc::new(Breaks(seen.clone(), Arc::clone(&breaks)))),
        ("other", seen.waiting_handler(&gate)),
    ];
    let crew = Crew::start(config(&schema, &["q", "other"]), handlers);
    seen.until(2).await;
    breaks.store(true, Ordering::SeqCst);
    schema.jobs("q", 1).await;
    wait_for("the worker to stop", async || crew.health.readiness().draining).await;
    // What runs may finish.
    gate.cancel();
    let report = crew.ended().await;
    assert_eq!((report.died, report.is_clean()), (Some("consumer"), false), "{report}");
    assert_eq!(schema.states("other").await, json!({ "completed": 2 }));
    assert_eq!(schema.states("q").await, json!({ "created": 1 }));
}
