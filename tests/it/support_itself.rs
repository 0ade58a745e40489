//! The ground the other tests stand on, tested first.

use std::pin::pin;
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry::trace::{Span, Tracer, TracerProvider};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::json;
use tokio::time::timeout;

use crate::support::otlp::Collector;
use crate::support::proxy::{Mode, Proxy};
use crate::support::server::connect;
use crate::support::{Boss, Release, Schema, needs_node, server, wait_for};

#[tokio::test]
async fn every_release_makes_its_schema_and_works_on_it() {
    needs_node!();
    for release in Release::ALL {
        let schema = Schema::new(release).await;
        assert_eq!(
            schema.value("select version from {schema}.version").await,
            json!(release.schema_version())
        );
        let boss = Boss::start(release, &schema.url, &schema.name, json!({})).await;
        boss.call("createQueue", json!(["q"])).await.expect("the queue is made");
        let id = boss.call("send", json!(["q", { "n": 1 }])).await.expect("it is sent");
        boss.work(
            "q",
            json!({ "pollingIntervalSeconds": 0.5 }),
            json!({ "complete": { "n": 2 } }),
        )
        .await;
        assert_eq!(boss.event("job").await["job"]["id"], id, "pg-boss {release}");
        schema
            .until("select count(*) = 1 from {schema}.job where state = 'completed'")
            .await;
        assert_eq!(
            schema.row("select data, output from {schema}.job").await,
            json!({ "data": { "n": 1 }, "output": { "n": 2 } }),
            "pg-boss {release}"
        );
        boss.stop().await;
    }
}

#[tokio::test]
async fn without_node_there_is_still_the_newest_schema() {
    let schema = Schema::new(Release::NEWEST).await;
    assert_eq!(
        schema.value("select version from {schema}.version").await,
        json!(Release::NEWEST.schema_version())
    );
}

#[tokio::test]
async fn what_pg_boss_throws_arrives_with_name_and_code() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    let boss = Boss::start(Release::NEWEST, &schema.url, &schema.name, json!({})).await;
    let error = boss
        .call("send", json!(["nowhere", {}]))
        .await
        .expect_err("no such queue");
    assert_eq!(error.message, "Queue nowhere does not exist");
    let error = boss
        .eval("await boss.getDb().executeSql('select 1 / $1::int', args)", json!([0]))
        .await
        .expect_err("a division by zero");
    assert_eq!(error.code.as_deref(), Some("22012"));
    boss.kill().await;
}

#[tokio::test]
async fn a_handler_under_node_fails_as_often_as_told() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    let boss = Boss::start(Release::NEWEST, &schema.url, &schema.name, json!({})).await;
    boss.call("createQueue", json!(["q", { "retryLimit": 3 }]))
        .await
        .expect("the queue is made");
    let later = json!({ "$date": "2000-01-01T00:00:00Z" });
    boss.call("send", json!(["q", null, { "startAfter": later }]))
        .await
        .expect("it is sent");
    boss.work(
        "q",
        json!({ "pollingIntervalSeconds": 0.5 }),
        json!({ "failTimes": 2, "complete": "third" }),
    )
    .await;
    schema
        .until("exists (select from {schema}.job where state = 'completed')")
        .await;
    assert_eq!(
        schema
            .row("select retry_count, output, start_after < '2001-01-01' as was_due from {schema}.job")
            .await,
        json!({ "retry_count": 2, "output": { "value": "third" }, "was_due": false })
    );
    boss.stop().await;
}

#[tokio::test]
async fn the_proxy_stalls_delays_cuts_and_refuses() {
    let url = &server().url;
    let proxy = Proxy::before(url).await;
    let proxied = proxy.url(url);
    let client = connect(&proxied).await;
    assert_eq!(proxy.connections(), 1);

    let delay = Duration::from_millis(30);
    proxy.set(Mode::Delay(delay));
    let began = Instant::now();
    client.simple_query("select 1").await.expect("it passes");
    assert!(began.elapsed() >= 2 * delay, "there and back");

    proxy.set(Mode::Stall);
    let mut stalled = pin!(client.simple_query("select 1"));
    assert!(timeout(Duration::from_millis(50), &mut stalled).await.is_err());
    proxy.set(Mode::Pass);
    stalled.await.expect("it passes after all");

    proxy.outage().await;
    assert!(client.simple_query("select 1").await.is_err());
    let refused = tokio_postgres::connect(&proxied, tokio_postgres::NoTls).await;
    assert!(refused.is_err());

    proxy.set(Mode::Pass);
    wait_for("the proxy to take connections again", async || {
        tokio_postgres::connect(&proxied, tokio_postgres::NoTls).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn the_collector_keeps_the_spans_an_exporter_sends() {
    let collector = Collector::start().await;
    let endpoint = format!("{}/v1/traces", collector.endpoint());
    // The exporter's client wants a provider even for plain HTTP; another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // That client blocks.
    tokio::task::spawn_blocking(move || {
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_endpoint(endpoint)
            .build()
            .expect("an exporter");
        let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder()
            .with_simple_exporter(exporter)
            .build();
        let mut span = provider
            .tracer("test")
            .span_builder("process q")
            .with_kind(opentelemetry::trace::SpanKind::Consumer)
            .with_attributes([KeyValue::new("messaging.system", "pg-boss"), KeyValue::new("n", 3)])
            .start(&provider.tracer("test"));
        span.end();
        provider.shutdown().expect("the span is sent");
    })
    .await
    .expect("it does not panic");

    let span = collector.span("process q", |span| span.name == "process q").await;
    assert_eq!(span.kind, SpanKind::Consumer);
    assert_eq!(span.attributes["messaging.system"], "pg-boss");
    assert_eq!(span.attributes["n"], 3);
    assert_eq!(span.trace_id.len(), 32);
    assert_eq!(span.parent_span_id, "");
}

#[tokio::test]
async fn a_trace_begins_under_node() {
    needs_node!();
    let collector = Collector::start().await;
    let schema = Schema::new(Release::NEWEST).await;
    let options = json!({ "traces": collector.endpoint(), "openTelemetry": { "propagateContext": true } });
    let boss = Boss::start(Release::NEWEST, &schema.url, &schema.name, options).await;
    boss.call("createQueue", json!(["q"])).await.expect("the queue is made");
    boss.call("send", json!(["q"])).await.expect("it is sent");
    let span = collector.span("send q", |span| span.name == "send q").await;
    assert_eq!(span.kind, SpanKind::Producer);
    assert_eq!(
        schema
            .value("select trace_context->>'traceparent' from {schema}.job")
            .await,
        json!(format!("00-{}-{}-01", span.trace_id, span.span_id))
    );
    boss.stop().await;
}
