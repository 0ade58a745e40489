//! The HTTP endpoints over real connections.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use strawboss::observe::{Health, Metrics};
use strawboss::server::{Server, ServerError};

use crate::support::client::{ask, get};
use crate::support::wait_for;

struct Worker {
    address: SocketAddr,
    health: Health,
    metrics: Metrics,
    stop: CancellationToken,
    serving: JoinHandle<Result<(), ServerError>>,
}

async fn worker() -> Worker {
    let server = Server::bind(([127, 0, 0, 1], 0).into()).await.expect("a port is free");
    let address = server.address();
    let (health, metrics, stop) = (Health::new(), Metrics::new(), CancellationToken::new());
    let serving = tokio::spawn(server.run(metrics.clone(), health.clone(), stop.clone()));
    Worker {
        address,
        health,
        metrics,
        stop,
        serving,
    }
}

#[tokio::test]
async fn metrics_are_served_in_the_text_format() {
    let worker = worker().await;
    worker.metrics.register_queue(&"email".into());
    worker.metrics.before_scrape(|metrics| metrics.schema_version.set(46));
    let answer = get(worker.address, "/metrics").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    assert!(
        answer
            .body
            .contains("pgboss_jobs_processed_total{outcome=\"completed\",queue=\"email\"} 0\n")
    );
    assert!(
        answer.body.contains("pgboss_schema_version 46\n"),
        "it is refreshed first"
    );
    #[cfg(target_os = "linux")]
    assert!(answer.body.contains("process_resident_memory_bytes "));
}

#[tokio::test]
async fn a_stuck_loop_is_not_alive_until_it_moves() {
    let worker = worker().await;
    let _settle = worker.health.register("settle", Duration::from_secs(3600));
    assert_eq!(get(worker.address, "/healthz").await.status, 200);
    let claim = worker.health.register("claim", Duration::from_millis(300));

    wait_for("the claim loop to be missed", async || {
        get(worker.address, "/healthz").await.status == 503
    })
    .await;
    let answer = get(worker.address, "/healthz").await.json();
    assert_eq!(answer["live"], false);
    let stuck: Vec<_> = answer["loops"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|each| each["live"] == false)
        .map(|each| &each["name"])
        .collect();
    assert_eq!(stuck, [&json!("claim")]);

    wait_for("the claim loop to be seen again", async || {
        claim.beat();
        get(worker.address, "/healthz").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_loop_that_died_is_not_alive_at_once() {
    let worker = worker().await;
    let claim = worker.health.register("claim", Duration::from_secs(3600));
    let dying = tokio::spawn(async move {
        let _claim = claim;
        panic!("on purpose");
    });
    dying.await.expect_err("it panicked");
    let answer = get(worker.address, "/healthz").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["loops"][0]["ended"], true);
}

#[tokio::test]
async fn readiness_says_what_is_missing() {
    let worker = worker().await;
    let database = worker.health.condition("database");
    let schema = worker.health.condition("schema");
    database.set(Ok(()));
    schema.set(Err(
        "there is no schema pgboss; create it with: strawboss schema install".into(),
    ));
    let answer = get(worker.address, "/readyz").await;
    assert_eq!(answer.status, 503);
    assert_eq!(
        answer.json()["conditions"],
        json!([
            { "name": "database", "ready": true },
            {
                "name": "schema",
                "ready": false,
                "reason": "there is no schema pgboss; create it with: strawboss schema install",
            },
        ])
    );
    // Not ready is not dead: nobody shall start it anew for that.
    assert_eq!(get(worker.address, "/healthz").await.status, 200);

    schema.set(Ok(()));
    assert_eq!(get(worker.address, "/readyz").await.status, 200);
    worker.health.drain();
    let answer = get(worker.address, "/readyz").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["draining"], true);
}

#[tokio::test]
async fn status_is_made_of_what_was_provided() {
    let worker = worker().await;
    worker
        .health
        .provide("queues", || json!({ "email": { "in_flight": 3 } }));
    let answer = get(worker.address, "/status").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let status = answer.json();
    assert_eq!(status["queues"]["email"]["in_flight"], 3);
    assert_eq!(status["process"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["health"]["live"], true);
    assert_eq!(status["readiness"]["ready"], true);
}

#[tokio::test]
async fn everything_else_is_not_there() {
    let worker = worker().await;
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/api/queues"),
        ("GET", "/metrics/"),
        ("GET", "/status/../metrics"),
        ("POST", "/metrics"),
        ("DELETE", "/status"),
        ("OPTIONS", "/healthz"),
    ] {
        let answer = ask(worker.address, method, path).await.expect("the server answers");
        assert_eq!(answer.status, 404, "{method} {path}");
    }
}

#[tokio::test]
async fn a_taken_address_is_an_error_that_says_what_to_do() {
    let worker = worker().await;
    let error = Server::bind(worker.address).await.expect_err("it is taken").to_string();
    assert!(error.contains(&worker.address.to_string()), "{error}");
    assert!(error.contains("set http.listen to a free one"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_finishes_the_answer_under_way_and_takes_no_new_ones() {
    let worker = worker().await;
    let (entered, inside) = mpsc::channel();
    let (release, gate) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    worker.health.provide("slow", move || {
        entered.send(()).expect("the test waits");
        gate.lock().expect("not poisoned").recv().expect("the test opens it");
        json!("told")
    });
    let address = worker.address;
    let asking = tokio::spawn(async move { get(address, "/status").await });
    tokio::task::block_in_place(|| inside.recv()).expect("the request arrived");

    worker.stop.cancel();
    release.send(()).expect("the provider waits");
    let answer = asking.await.expect("no panic");
    assert_eq!(answer.json()["slow"], "told");
    worker.serving.await.expect("no panic").expect("it ends well");
    let refused = TcpStream::connect(address).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_client_that_keeps_its_connection_does_not_hold_up_the_end() {
    let worker = worker().await;
    let mut idle = TcpStream::connect(worker.address).await.expect("it listens");
    idle.write_all(b"GET /status HTTP/1.1\r\nhost: x\r\n")
        .await
        .expect("half a request");
    worker.stop.cancel();
    tokio::time::timeout(Duration::from_secs(20), worker.serving)
        .await
        .expect("it ends although the request never does")
        .expect("no panic")
        .expect("it ends well");
}
