//! A worker that is there before its database, and before its schema.

use serde_json::{Value, json};

use super::program::{Program, configuration, value};
use super::{queue, send};
use crate::support::proxy::{Mode, Proxy};
use crate::support::{Boss, Release, Schema, needs_node, wait_for};

/// Waits until `/readyz` says no for a reason that has this in it.
async fn unready(strawboss: &Program, reason: &str) {
    wait_for(&format!("{reason:?} in /readyz"), async || {
        let answer = strawboss.get("/readyz").await;
        let said = answer.json()["conditions"].to_string();
        answer.status == 503 && said.contains(reason)
    })
    .await;
    let alive = strawboss.get("/healthz").await;
    assert_eq!(alive.status, 200, "{}", alive.body);
    let metrics = strawboss.get("/metrics").await.body;
    let schema = ["pgboss_schema_supported", "pgboss_schema_version"].map(|name| value(&metrics, name));
    assert_eq!(schema, [Some(0.0), Some(0.0)]);
    let status = strawboss.get("/status").await.json();
    assert_eq!(status["schema"]["supported"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_and_without_a_schema_it_waits_and_says_for_what() {
    needs_node!();
    let schema = Schema::vacant().await;
    let proxy = Proxy::before(&schema.url).await;
    proxy.outage().await;
    let served = "[queues.q]\npoll_interval = '50ms'\nhandler = { noop = true }\n";
    let settings = configuration(&proxy.url(&schema.url), &schema.name, served);
    let strawboss = Program::start(&["run", "--config", "worker.toml"], &settings, &[]);
    unready(&strawboss, "refused").await;
    strawboss.log.with("connection refused").await;

    proxy.set(Mode::Pass);
    let how = format!("strawboss schema install --schema {}", schema.name);
    unready(&strawboss, &how).await;
    strawboss.log.with(&how).await;

    let options = json!({ "migrate": true, "createSchema": true });
    let boss = Boss::start(Release::NEWEST, &schema.url, &schema.name, options).await;
    wait_for("being ready", async || strawboss.get("/readyz").await.status == 200).await;
    let metrics = strawboss.get("/metrics").await.body;
    let found = ["pgboss_schema_supported", "pgboss_schema_version"].map(|name| value(&metrics, name));
    assert_eq!(found, [Some(1.0), Some(46.0)]);
    queue(&boss, "q", json!({})).await;
    let id = send(&boss, "q", Value::Null).await;
    schema
        .until(&format!(
            "exists (select from {{schema}}.job where id = '{id}' and state = 'completed')"
        ))
        .await;

    proxy.outage().await;
    wait_for("the outage in /readyz", async || {
        let answer = strawboss.get("/readyz").await;
        answer.status == 503 && answer.json()["conditions"].to_string().contains("refused")
    })
    .await;
    assert_eq!(strawboss.get("/healthz").await.status, 200, "it waits, and is well");
    let id = send(&boss, "q", Value::Null).await;
    proxy.set(Mode::Pass);
    schema
        .until(&format!(
            "exists (select from {{schema}}.job where id = '{id}' and state = 'completed')"
        ))
        .await;
    wait_for("being ready again", async || {
        strawboss.get("/readyz").await.status == 200
    })
    .await;
    strawboss.stop().await;
    boss.stop().await;
}
