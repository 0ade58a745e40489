//! What a dashboard sees while there is work, and after.

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::program::{Program, value};
use super::{newest, queue};
use crate::support::sink::{Reply, Sink, reply, status};
use crate::support::{needs_node, wait_for};

/// How many jobs complete.
const WELL: usize = 300;
/// How many complete after failures, and how many failures there are.
const AGAIN: usize = 20;
/// How many are refused.
const DEAD: usize = 10;
/// Of the first, as many are held up for the test to look around.
const HELD: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn every_job_is_counted_and_what_is_under_way_is_shown() {
    needs_node!();
    let (schema, boss) = newest().await;
    queue(&boss, "dead", json!({})).await;
    queue(&boss, "well", json!({})).await;
    queue(&boss, "again", json!({ "retryLimit": 100, "retryDelay": 0 })).await;
    queue(&boss, "refused", json!({ "retryLimit": 5, "deadLetter": "dead" })).await;
    let (well, again, refused) = (Sink::start().await, Sink::start().await, Sink::start().await);
    let go = CancellationToken::new();
    for _ in 0..HELD {
        let done = status(200).body(String::new().into()).expect("a response");
        well.then(Reply::Later(go.clone(), done));
    }
    for _ in 0..AGAIN {
        again.then(reply(503, "busy"));
    }
    for _ in 0..DEAD {
        refused.then(reply(400, "what?"));
    }
    for (name, count) in [("well", WELL), ("again", AGAIN), ("refused", DEAD)] {
        let jobs: Vec<_> = (0..count).map(|n| json!({ "data": { "n": n } })).collect();
        boss.call("insert", json!([name, jobs])).await.expect("they are sent");
    }

    let mut served = "[worker]\nheartbeat = '4s'\n".to_owned();
    for (name, sink) in [("well", &well), ("again", &again), ("refused", &refused)] {
        served.push_str(&format!(
            "[queues.{name}]\nconcurrency = {HELD}\npoll_interval = '50ms'\nhandler = {{ http = '{}' }}\n",
            sink.url("/")
        ));
    }
    let strawboss = Program::run(&schema, &served);
    let metric = async |series: &str| {
        strawboss
            .metric(series)
            .await
            .unwrap_or_else(|| panic!("{series} is not there"))
    };

    well.until(HELD).await;
    wait_for("the held jobs to be in flight", async || {
        metric("pgboss_jobs_in_flight{queue=\"well\"}").await == HELD as f64
    })
    .await;
    wait_for("their leases to be renewed", async || {
        metric("pgboss_heartbeats_total{queue=\"well\"}").await >= HELD as f64
    })
    .await;
    let oldest = metric("pgboss_job_oldest_running_seconds{queue=\"well\"}").await;
    assert!(oldest > 0.1 && oldest < 30.0, "{oldest}");
    assert_eq!(
        metric("pgboss_worker_concurrency_limit{queue=\"well\"}").await,
        HELD as f64
    );
    go.cancel();
    schema
        .until(&format!(
            "(select count(*) = {} from {{schema}}.job where state = 'completed')",
            WELL + AGAIN
        ))
        .await;
    schema
        .until(&format!(
            "(select count(*) = {DEAD} from {{schema}}.job where name = 'dead')"
        ))
        .await;
    for name in ["well", "again", "refused"] {
        let series = format!("pgboss_jobs_in_flight{{queue=\"{name}\"}}");
        wait_for("nothing to be in flight", async || metric(&series).await == 0.0).await;
    }

    let all = strawboss.get("/metrics").await.body;
    let mut wrong = Vec::new();
    let mut is = |series: String, wanted: usize| {
        let found = value(&all, &series);
        if found != Some(wanted as f64) {
            wrong.push(format!("{series} is {found:?}, not {wanted}"));
        }
    };
    // By queue: completed, retried and dead-lettered attempts, and the answers of the endpoint.
    for (queue, completed, retried, dead, answers) in [
        ("well", WELL, 0, 0, &[("2xx", WELL)][..]),
        ("again", AGAIN, AGAIN, 0, &[("2xx", AGAIN), ("5xx", AGAIN)]),
        ("refused", 0, 0, DEAD, &[("4xx", DEAD)]),
    ] {
        let outcomes = [("completed", completed), ("retried", retried), ("dead_lettered", dead)];
        for (outcome, count) in outcomes {
            is(
                format!("pgboss_jobs_processed_total{{outcome=\"{outcome}\",queue=\"{queue}\"}}"),
                count,
            );
            if count > 0 {
                is(
                    format!("pgboss_job_duration_seconds_count{{outcome=\"{outcome}\",queue=\"{queue}\"}}"),
                    count,
                );
            }
        }
        for outcome in ["failed", "cancelled", "expired", "released", "fenced"] {
            is(
                format!("pgboss_jobs_processed_total{{outcome=\"{outcome}\",queue=\"{queue}\"}}"),
                0,
            );
        }
        let attempts = completed + retried + dead;
        is(format!("pgboss_job_wait_seconds_count{{queue=\"{queue}\"}}"), attempts);
        is(format!("pgboss_claim_batch_size_sum{{queue=\"{queue}\"}}"), attempts);
        is(
            format!("pgboss_job_attempts_count{{queue=\"{queue}\"}}"),
            completed + dead,
        );
        is(format!("pgboss_job_attempts_sum{{queue=\"{queue}\"}}"), attempts);
        for (class, count) in answers {
            is(
                format!("http_push_requests_total{{queue=\"{queue}\",status_class=\"{class}\"}}"),
                *count,
            );
        }
        is(format!("pgboss_job_oldest_running_seconds{{queue=\"{queue}\"}}"), 0);
        is(format!("pgboss_fence_rejections_total{{queue=\"{queue}\"}}"), 0);
        is(format!("pgboss_queue_paused{{queue=\"{queue}\"}}"), 0);
        for reason in ["heartbeat", "expired"] {
            is(
                format!("pgboss_rescued_jobs_total{{queue=\"{queue}\",reason=\"{reason}\"}}"),
                0,
            );
        }
    }
    for (operation, verdicts) in [("complete", WELL + AGAIN), ("fail", AGAIN), ("dead_letter", DEAD)] {
        is(format!("pgboss_settle_batch_size_sum{{op=\"{operation}\"}}"), verdicts);
        is(format!("pgboss_settle_failures_total{{op=\"{operation}\"}}"), 0);
    }
    for class in ["connection", "transient", "schema", "conflict", "data", "permanent"] {
        is(format!("pgboss_db_errors_total{{class=\"{class}\"}}"), 0);
    }
    is("pgboss_schema_version".into(), 46);
    is("pgboss_schema_supported".into(), 1);
    is("pgboss_listen_connected".into(), 0);
    is(
        format!("pgboss_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")),
        1,
    );
    assert!(wrong.is_empty(), "{}\n{all}", wrong.join("\n"));

    let number = |series: &str| value(&all, series).unwrap_or_else(|| panic!("{series} is not there\n{all}"));
    let claims = number("pgboss_claim_duration_seconds_count{queue=\"well\"}");
    let full = number("pgboss_claim_batch_size_count{queue=\"well\"}");
    assert!(
        claims >= full && full >= (WELL / HELD) as f64,
        "{claims} claims, {full} of them brought jobs"
    );
    let settles =
        ["duration_seconds", "batch_size"].map(|of| number(&format!("pgboss_settle_{of}_count{{op=\"complete\"}}")));
    assert!(
        settles[0] == settles[1] && settles[0] <= (WELL + AGAIN) as f64,
        "{settles:?}"
    );
    let held = number("pgboss_job_duration_seconds_sum{outcome=\"completed\",queue=\"well\"}");
    assert!(
        held >= HELD as f64 * 0.1,
        "the held jobs alone took longer than {held} s"
    );
    let looked = ["poll", "backlog"]
        .map(|source| number(&format!("pgboss_wakeups_total{{queue=\"well\",source=\"{source}\"}}")));
    assert!(looked.iter().all(|count| *count >= 1.0), "{looked:?}");
    let pool = ["idle", "in_use"].map(|state| number(&format!("pgboss_db_pool_connections{{state=\"{state}\"}}")));
    assert!((1.0..=10.0).contains(&pool.iter().sum()), "{pool:?}");
    let skew = number("pgboss_db_clock_skew_seconds");
    assert!(skew.abs() < 5.0, "{skew}");
    strawboss.stop().await;
    boss.stop().await;
}
