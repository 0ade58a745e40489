//! From a configuration to a worker: `check`, the queues it wants, and notifications.

use std::time::Duration;

use serde_json::json;

use super::program::{Ended, Program, configuration};
use super::{newest, send, within};
use crate::support::{Release, Schema, needs_node, wait_for};

/// Two queues that are to be made, one with a dead letter queue; polls that nobody would wait for.
const WANTED: &str = r#"
[queues.order]
poll_interval = "30s"
handler = { noop = true }
ensure = { notify = true, retry_limit = 4, dead_letter = "order-dead" }
[queues.mail]
poll_interval = "30s"
handler = { log = true }
ensure = { policy = "short", retry_backoff = true }
[queues.order-dead]
ensure = { retention_seconds = 86400 }
"#;

async fn check(settings: &str) -> Ended {
    Program::start(&["check", "--config", "worker.toml"], settings, &[])
        .ended()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_by_its_exit_code_whether_run_would_work() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    let good = configuration(&schema.url, &schema.name, WANTED);
    let found = check(&good).await.well();
    assert!(found.out.contains("in order"), "{}", found.out);

    let wrong = good.replace("retry_limit", "retry_limits");
    let found = check(&wrong).await;
    assert_eq!(found.code, Some(1));
    assert!(found.out.contains("did you mean `retry_limit`?"), "{}", found.out);
    // What `check` finds, `run` refuses to start with.
    let refused = Program::start(&["run", "--config", "worker.toml"], &wrong, &[])
        .ended()
        .await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.log.contains("did you mean `retry_limit`?"), "{}", refused.log);

    let missing = configuration(&schema.url, "no_such_schema", WANTED);
    let found = check(&missing).await;
    assert_eq!(found.code, Some(1));
    assert!(found.out.contains("no pg-boss"), "{}", found.out);

    let usage = Program::start(&["check", "--no-such-option"], "", &[]).ended().await;
    assert_eq!(usage.code, Some(2));
    let absent = Program::start(&["check", "--config", "absent.toml"], "", &[])
        .ended()
        .await;
    assert_eq!(absent.code, Some(1));
    assert!(format!("{}{}", absent.out, absent.log).contains("absent.toml"));
}

#[tokio::test(flavor = "multi_thread")]
async fn wanted_queues_are_made_and_a_notification_wakes_their_worker() {
    needs_node!();
    let (schema, boss) = newest().await;
    let strawboss = Program::run(&schema, WANTED);
    for name in ["order", "order-dead", "mail"] {
        schema
            .until(&format!("exists (select from {{schema}}.queue where name = '{name}')"))
            .await;
    }
    let seen = async |name: &str, keys: &[&str]| {
        let queue = boss.call("getQueue", json!([name])).await.expect("it is there");
        keys.iter().map(|key| queue[key].clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        seen("order", &["policy", "notify", "retryLimit", "deadLetter"]).await,
        [json!("standard"), json!(true), json!(4), json!("order-dead")]
    );
    assert_eq!(
        seen("mail", &["policy", "notify", "retryBackoff", "deadLetter"]).await,
        [json!("short"), json!(false), json!(true), json!(null)]
    );
    assert_eq!(seen("order-dead", &["retentionSeconds"]).await, [json!(86400)]);

    wait_for("LISTEN", async || {
        strawboss.metric("pgboss_listen_connected").await == Some(1.0)
    })
    .await;
    for n in 0..3 {
        let id = send(&boss, "order", json!({ "n": n })).await;
        let done = format!("exists (select from {{schema}}.job where id = '{id}' and state = 'completed')");
        within(
            Duration::from_secs(10),
            "a job that was notified of",
            schema.until(&done),
        )
        .await;
    }
    let woken = |source: &str| format!("pgboss_wakeups_total{{queue=\"order\",source=\"{source}\"}}");
    assert_eq!(strawboss.metric(&woken("notify")).await, Some(3.0));
    // The look that follows the making of a queue may coincide with the first job.
    let polls = strawboss.metric(&woken("poll")).await;
    assert!(
        polls.is_some_and(|polls| polls <= 1.0),
        "the poll found them: {polls:?}"
    );
    strawboss.stop().await;
    boss.stop().await;
}
