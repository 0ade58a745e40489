//! SIGTERM: what may finish, what is handed back, and how the second one ends everything.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Program, newest, queue, send};
use crate::support::sink::{Reply, Sink, reply, status};
use crate::support::{needs_node, wait_for};

fn served(grace: &str, queues: &[(&str, &Sink)]) -> String {
    let mut text = format!("[worker]\nshutdown_grace = '{grace}'\n");
    for (name, sink) in queues {
        let url = sink.url(&format!("/{name}"));
        text.push_str(&format!(
            "[queues.{name}]\npoll_interval = '50ms'\nhandler = {{ http = '{url}' }}\n"
        ));
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_may_finish_within_the_grace() {
    needs_node!();
    let (schema, boss) = newest().await;
    queue(&boss, "q", json!({})).await;
    let sink = Sink::start().await;
    let done = CancellationToken::new();
    let body = status(200).body(r#"{"late":true}"#.into()).expect("a response");
    sink.then(Reply::Later(done.clone(), body));
    let strawboss = Program::run(&schema, &served("25s", &[("q", &sink)]));
    let first = send(&boss, "q", json!({})).await;
    sink.until(1).await;

    strawboss.signal(Signal::SIGTERM);
    strawboss.log.with("stopping: nothing more is claimed").await;
    wait_for("not being ready", async || strawboss.get("/readyz").await.status == 503).await;
    assert_eq!(strawboss.get("/readyz").await.json()["draining"], true);
    assert_eq!(strawboss.get("/healthz").await.status, 200);
    let second = send(&boss, "q", json!({})).await;
    done.cancel();
    let report = strawboss.ended().await.well().log;
    assert!(
        report.contains("stopped, 1 completed; on the stop 1 finished and 0 were handed back"),
        "{report}"
    );
    let job = async |id: &str| boss.call("getJobById", json!(["q", id])).await.expect("it is there");
    let (first, second) = (job(&first).await, job(&second).await);
    assert_eq!(
        [&first["state"], &first["output"]],
        [&json!("completed"), &json!({ "late": true })]
    );
    assert_eq!(second["state"], "created", "nothing is claimed any more");
    assert_eq!(sink.received().len(), 1);
    boss.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_longer_is_handed_back_without_using_up_an_attempt() {
    needs_node!();
    let (schema, boss) = newest().await;
    queue(&boss, "fresh", json!({ "retryLimit": 0 })).await;
    queue(&boss, "tried", json!({ "retryLimit": 1, "retryDelay": 0 })).await;
    let (fresh, tried) = (Sink::start().await, Sink::start().await);
    let hung_up = CancellationToken::new();
    fresh.then(Reply::Never(hung_up.clone()));
    tried.then(reply(500, ""));
    tried.then(Reply::Never(CancellationToken::new()));
    let strawboss = Program::run(&schema, &served("500ms", &[("fresh", &fresh), ("tried", &tried)]));
    let ids = [
        send(&boss, "fresh", json!({ "n": 1 })).await,
        send(&boss, "tried", json!({ "n": 2 })).await,
    ];
    fresh.until(1).await;
    tried.until(2).await;

    let report = strawboss.stop().await.log;
    assert!(report.contains("the grace is over"), "{report}");
    assert!(
        report.contains("stopped, 2 released, 1 retried; on the stop 0 finished and 2 were handed back"),
        "{report}"
    );
    assert!(hung_up.is_cancelled(), "the request was cut off");

    let mut seen = Vec::new();
    for (queue, id) in ["fresh", "tried"].into_iter().zip(&ids) {
        let job = boss.call("getJobById", json!([queue, id])).await.expect("it is there");
        seen.push(["state", "retryCount", "startedOn"].map(|key| job[key].clone()));
    }
    assert_eq!(
        seen,
        [
            [json!("created"), json!(0), Value::Null],
            [json!("retry"), json!(1), Value::Null]
        ]
    );
    // The next one to take them is at the same attempt as we were.
    for (queue, count) in [("fresh", 0), ("tried", 1)] {
        let options = json!({ "includeMetadata": true });
        let fetched = boss
            .call("fetch", json!([queue, options]))
            .await
            .expect("it is fetched");
        assert_eq!(fetched[0]["retryCount"], json!(count), "{queue}");
    }
    boss.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_at_once() {
    needs_node!();
    let (schema, boss) = newest().await;
    queue(&boss, "q", json!({})).await;
    let sink = Sink::start().await;
    sink.then(Reply::Never(CancellationToken::new()));
    let strawboss = Program::run(&schema, &served("1h", &[("q", &sink)]));
    send(&boss, "q", json!({})).await;
    sink.until(1).await;
    strawboss.signal(Signal::SIGTERM);
    strawboss.log.with("told to stop").await;
    let signalled = Instant::now();
    strawboss.signal(Signal::SIGINT);
    let ended = strawboss.ended().await;
    assert_eq!(ended.code, Some(130), "{}", ended.log);
    assert!(
        signalled.elapsed() < Duration::from_secs(5),
        "at once, not after {:?}",
        signalled.elapsed()
    );
    let state = schema.value("select state::text as state from {schema}.job").await;
    assert_eq!(state, "active", "its lease brings it back");
    boss.stop().await;
}
