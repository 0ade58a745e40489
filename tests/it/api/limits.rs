//! Who is let in, how much is read, and what a stop waits for.

use std::time::Duration;

use serde_json::{Value, json};
use strawboss::config::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Proxy, call, serving};
use crate::support::client::{get, request};
use crate::support::{Release, Schema};

#[tokio::test]
async fn the_bearer_of_the_token_is_let_in() {
    let on = Schema::new(Release::NEWEST).await;
    let mut config = serving(&on);
    config.api.token = Some(Secret::new("t0ken"));
    let proxy = Proxy::with(config).await;
    let asked = async |authorization: Option<&str>| {
        let headers: Vec<_> = authorization
            .map(|value| ("authorization", value.to_owned()))
            .into_iter()
            .collect();
        request(proxy.address, "GET", "/api/isInstalled", &headers, None).await
    };
    let answer = asked(Some("Bearer t0ken")).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, r#"{"ok":true,"result":true}"#)
    );
    for wrong in [
        None,
        Some("Bearer t0kem"),
        Some("Bearer"),
        Some("Basic dDBrZW46dDBrZW4="),
    ] {
        let answer = asked(wrong).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (401, "Unauthorized"),
            "{wrong:?}"
        );
        assert_eq!(answer.header("www-authenticate"), Some(r#"Bearer realm="Secure Area""#));
    }
    // The window itself is for everybody, and so are the pages.
    for open in [
        "/metrics",
        "/healthz",
        "/readyz",
        "/status",
        "/",
        "/docs",
        "/openapi.json",
    ] {
        assert_eq!(get(proxy.address, open).await.status, 200, "{open}");
    }
    proxy.end().await;
}

#[tokio::test]
async fn a_worker_does_not_serve_it_to_others_without_credentials() {
    let on = Schema::new(Release::NEWEST).await;
    let mut config = serving(&on);
    config.http.listen = Some(([0, 0, 0, 0], 0).into());
    let error = strawboss::Worker::new(config.clone())
        .run(std::future::pending())
        .await
        .expect_err("it is refused")
        .to_string();
    assert!(error.contains("without credentials on 0.0.0.0:"), "{error}");
    config.api.anonymous = true;
    let report = strawboss::Worker::new(config)
        .run(async {})
        .await
        .expect("it was asked for");
    assert!(report.is_clean());
}

#[tokio::test]
async fn a_body_without_a_length_is_measured_while_it_is_read() {
    let on = Schema::new(Release::NEWEST).await;
    let mut config = serving(&on);
    config.api.body_limit = 100;
    let proxy = Proxy::with(config).await;
    let chunked = async |chunk: &str| {
        let mut stream = TcpStream::connect(proxy.address).await.expect("it listens");
        let head = "POST /api/send HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
                    transfer-encoding: chunked\r\n\r\n";
        let text = format!("{head}{:x}\r\n{chunk}\r\n0\r\n\r\n", chunk.len());
        stream.write_all(text.as_bytes()).await.expect("it is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it is answered");
        answer
    };
    assert!(chunked(r#"{"name":5}"#).await.starts_with("HTTP/1.1 400 "));
    let long = json!({ "name": "x".repeat(100) }).to_string();
    let answer = chunked(&long).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("Request body too large (max 100 bytes)"));
    proxy.end().await;
}

#[tokio::test]
async fn a_stop_waits_for_requests_and_takes_no_more() {
    let on = Schema::new(Release::NEWEST).await;
    let proxy = Proxy::with(serving(&on)).await;
    call(&proxy, "createQueue", json!({ "name": "slow" })).await;
    let mut holder = on.connect().await;
    let held = holder.transaction().await.expect("a transaction");
    let lock = on.sql("lock table {schema}.queue in access exclusive mode");
    held.batch_execute(&lock).await.expect("the lock");

    let address = proxy.address;
    let body = json!({ "name": "slow", "data": { "late": true } }).to_string();
    let headers = [("content-type", "application/json".to_owned())];
    let sending = tokio::spawn(async move { request(address, "POST", "/api/send", &headers, Some(&body)).await });
    // Seen from a connection of its own, for this one waits for nobody.
    let waiting = "exists (select from pg_locks l join pg_class c on c.oid = l.relation \
                   where not l.granted and c.relname = 'queue' and c.relnamespace = '{schema}'::regnamespace)";
    on.until(waiting).await;

    let ending = tokio::spawn(proxy.end());
    crate::support::wait_for("no more to be taken", async || {
        request(address, "GET", "/api/meta", &[], None).await.status == 503
    })
    .await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!ending.is_finished() && !sending.is_finished(), "it waits");
    held.commit().await.expect("the lock goes");
    let answer = sending.await.expect("it is answered");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(ending.await.expect("it ends").is_clean());
    let rows = on.rows("select data from {schema}.job").await;
    assert_eq!(rows, [json!({ "data": { "late": true } })]);
}

#[tokio::test]
async fn payloads_go_through_as_they_are() {
    let on = Schema::new(Release::NEWEST).await;
    let proxy = Proxy::with(serving(&on)).await;
    call(&proxy, "createQueue", json!({ "name": "exact" })).await;
    let text = r#"{"name":"exact","data":{"big":12345678901234567890123,"exact":1.10,"a":{"b":[[],{}]}}}"#;
    let headers = [("content-type", "application/json".to_owned())];
    let answer = request(proxy.address, "POST", "/api/send", &headers, Some(text)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let fetched = request(
        proxy.address,
        "POST",
        "/api/fetch",
        &headers,
        Some(r#"{"name":"exact"}"#),
    )
    .await;
    assert!(
        fetched.body.contains("12345678901234567890123") && fetched.body.contains("1.10"),
        "{}",
        fetched.body
    );
    // What the database cannot keep is its refusal, and the next request is served.
    let nul = "{\"name\":\"exact\",\"data\":{\"nul\":\"\\u0000\"}}";
    assert_eq!(
        request(proxy.address, "POST", "/api/send", &headers, Some(nul))
            .await
            .status,
        500
    );
    let deep = format!(
        "{{\"name\":\"exact\",\"data\":{{\"deep\":{}{}}}}}",
        "[".repeat(500),
        "]".repeat(500)
    );
    assert_eq!(
        request(proxy.address, "POST", "/api/send", &headers, Some(&deep))
            .await
            .status,
        200
    );
    proxy.end().await;
}

#[tokio::test]
async fn what_went_wrong_is_said_where_that_is_wanted() {
    let on = Schema::new(Release::NEWEST).await;
    let mut config = serving(&on);
    config.api.expose_errors = true;
    let proxy = Proxy::with(config).await;
    let said = async |route: &str, body: Value| {
        let answer = call(&proxy, route, body).await;
        assert_eq!(answer.status, 500);
        answer.json()["error"]["message"]
            .as_str()
            .expect("a message")
            .to_owned()
    };
    assert!(said("send", json!({ "name": "none" })).await.contains("none"));
    call(&proxy, "createQueue", json!({ "name": "q" })).await;
    for (options, named) in [
        (json!({ "priority": 1.5 }), "priority"),
        (json!({ "priority": 1e12 }), "priority"),
        (json!({ "retryLimit": -1 }), "retryLimit"),
        (json!({ "id": "strange" }), "uuid"),
        (json!({ "startAfter": "strange" }), "strange"),
    ] {
        let message = said("send", json!({ "name": "q", "options": options })).await;
        assert!(message.contains(named), "{options}: {message}");
    }
    proxy.end().await;
}
