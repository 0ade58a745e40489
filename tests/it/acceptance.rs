//! What is promised, seen from outside: the program itself, the real pg-boss beside it, an endpoint, a collector.

mod crash;
mod demo;
mod handlers;
mod metrics;
pub mod program;
mod rows;
mod schema;
mod setup;
mod stopping;
mod traces;
mod waiting;

use std::future::Future;
use std::time::Duration;

use program::Program;
use serde_json::{Value, json};

use crate::support::{Boss, Release, Schema};

/// A schema of the newest release, and that release on it.
async fn newest() -> (Schema, Boss) {
    let schema = Schema::new(Release::NEWEST).await;
    let boss = Boss::start(Release::NEWEST, &schema.url, &schema.name, json!({})).await;
    (schema, boss)
}

/// Makes a queue as the Node app would.
async fn queue(boss: &Boss, name: &str, options: Value) {
    let mut all = json!({ "name": name, "policy": "standard" });
    let given = options.as_object().expect("options are an object").clone();
    all.as_object_mut().expect("made above").extend(given);
    boss.call("createQueue", json!([name, all]))
        .await
        .unwrap_or_else(|error| panic!("the queue {name} is not made: {error:?}"));
}

/// Sends a job as the Node app would; its id.
async fn send(boss: &Boss, queue: &str, data: Value) -> String {
    let id = boss.call("send", json!([queue, data])).await;
    let id = id.unwrap_or_else(|error| panic!("nothing is sent to {queue}: {error:?}"));
    id.as_str().expect("an id").to_owned()
}

/// What comes within so long; panics with `what` if it does not.
async fn within<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(limit, future).await;
    waited.unwrap_or_else(|_| panic!("waited {limit:?} in vain for: {what}"))
}
