//! Outputs that are JSON and yet more than `jsonb` can hold: the job is done all the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use strawboss::config::{Config, DatabaseConfig, HttpConfig, QueueConfig, WorkerConfig};
use strawboss::handler::{self, HandlerError};
use strawboss::job::Job;
use strawboss::worker::Worker;
use tokio::sync::oneshot;

use super::raw;
use crate::support::{Boss, Release, Schema, needs_node};

fn config(schema: &Schema) -> Config {
    let queue = QueueConfig {
        concurrency: 20,
        batch_size: 20,
        poll_interval: Duration::from_millis(50),
        ..QueueConfig::default()
    };
    Config {
        database: DatabaseConfig {
            url: schema.url.clone(),
            schema: schema.name.clone(),
            pool_size: 2,
            ..DatabaseConfig::default()
        },
        worker: WorkerConfig {
            schedule: false,
            concurrency: 20,
            shutdown_grace: Duration::from_secs(5),
            ..WorkerConfig::default()
        },
        queues: BTreeMap::from([("odd".to_owned(), queue)]),
        http: HttpConfig { listen: None },
        ..Config::default()
    }
}

/// Runs a job for each output, and one more that fails with U+0000 in what it says; gives back what is
/// stored of all of them.
async fn stored(outputs: &[String]) -> Vec<Value> {
    let schema = Schema::new(Release::NEWEST).await;
    let boss = Boss::start(Release::NEWEST, &schema.url, &schema.name, json!({})).await;
    let queue = json!(["odd", { "retryLimit": 0 }]);
    boss.call("createQueue", queue).await.expect("the queue is made");
    for number in 0..=outputs.len() {
        boss.call("send", json!(["odd", { "number": number }]))
            .await
            .expect("it is sent");
    }
    let mut worker = Worker::new(config(&schema));
    let outputs: Arc<[String]> = outputs.into();
    worker.handle(
        "odd",
        handler::raw(move |job: Arc<Job>, _context| {
            let outputs = Arc::clone(&outputs);
            async move {
                let data: Value = serde_json::from_str(job.data_text())?;
                let number = data["number"].as_u64().expect("a number") as usize;
                match outputs.get(number) {
                    Some(output) => Ok(Some(raw(output))),
                    None => Err(HandlerError::retry("a\0b").with("c\0d", "e\0f")),
                }
            }
        }),
    );
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(worker.run(async move {
        // An error says that the test has ended, which is a reason to stop as well.
        let _ = stopped.await;
    }));
    schema
        .until("SELECT bool_and(state > 'active') FROM {schema}.job WHERE name = 'odd'")
        .await;
    stop.send(()).expect("the worker still runs");
    running.await.expect("no panic").expect("it ends well");
    boss.stop().await;
    schema
        .rows("SELECT state, output FROM {schema}.job WHERE name = 'odd' ORDER BY (data->>'number')::int")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_jsonb_refuses_is_mended_or_left_out_and_the_job_is_done() {
    needs_node!();
    let outputs = [
        r#"{"fine":[1.50,"\\u0000 \ud83d\ude00"]}"#.to_owned(),
        r#"{"nul":"a\u0000b"}"#.to_owned(),
        r#"{"half":"\ud83d"}"#.to_owned(),
        r#"{"large":1e131072}"#.to_owned(),
        r#"{"small":1e-16384}"#.to_owned(),
        format!("{}{}", "[".repeat(20_000), "]".repeat(20_000)),
    ];
    let beyond = json!({ "outputDropped": "the output has a number beyond the range of PostgreSQL's numeric" });
    let expected = [
        json!({ "fine": [1.5, "\\u0000 😀"] }),
        json!({ "nul": "a\u{fffd}b" }),
        json!({ "half": "\u{fffd}" }),
        beyond.clone(),
        beyond,
        json!({ "outputDropped": "the output is nested too deeply for PostgreSQL" }),
    ];
    let mut expected: Vec<Value> = expected
        .into_iter()
        .map(|output| json!({ "state": "completed", "output": output }))
        .collect();
    expected.push(json!({
        "state": "failed",
        "output": { "name": "Error", "message": "a\u{fffd}b", "c\u{fffd}d": "e\u{fffd}f" },
    }));
    assert_eq!(stored(&outputs).await, expected);
}
