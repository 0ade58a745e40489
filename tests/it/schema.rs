//! The schema of our own making against the real pg-boss's, and what is said of schemas that are there.

mod install;
mod status;
mod verify;

use serde_json::Value;
use strawboss::postgres::{Database, Settings};

use crate::support::Schema;

/// A pool on the test's server.
fn database(url: &str) -> Database {
    Database::new(&Settings::parse(url).expect("it is a URL")).expect("a pool opens nothing")
}

/// A URL for a role of its own that was granted nothing, and the role's name.
async fn humble(schema: &Schema) -> (String, String) {
    let role = format!("{}_role", schema.name);
    schema.execute(&format!("create role {role}")).await;
    let separator = if schema.url.contains('?') { '&' } else { '?' };
    (format!("{}{separator}options=-c%20role%3D{role}", schema.url), role)
}

/// Every fact of the catalog about a schema, its name left out.
async fn catalog(schema: &Schema) -> Vec<String> {
    schema
        .client()
        .query(include_str!("schema/catalog.sql"), &[&schema.name])
        .await
        .expect("the catalog is read")
        .iter()
        .map(|row| row.get(0))
        .collect()
}

/// One step of Node's migrations.
struct Step {
    from: i64,
    to: i64,
    up: String,
    down: String,
}

/// Node's migrations for a schema of that name, oldest first.
fn migrations(schema: &str) -> Vec<Step> {
    let output = crate::support::node::node("migrations.mjs")
        .arg(schema)
        .output()
        .expect("Node runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let steps: Vec<Value> = serde_json::from_slice(&output.stdout).expect("the migrations are JSON");
    steps
        .into_iter()
        .map(|step| Step {
            from: step["from"].as_i64().expect("a number"),
            to: step["to"].as_i64().expect("a number"),
            up: step["up"].as_str().expect("a text").to_owned(),
            down: step["down"].as_str().expect("a text").to_owned(),
        })
        .collect()
}

/// Builds what migrations have left to be built, as an instance that migrates would.
async fn build_all(schema: &Schema) {
    for build in schema
        .rows("select id::text, command from {schema}.bam where status <> 'completed' order by created_on, id")
        .await
    {
        let (id, command) = (
            build["id"].as_str().expect("a text"),
            build["command"].as_str().expect("a text"),
        );
        schema.execute(command).await;
        schema
            .execute(&format!(
                "update {{schema}}.bam set status = 'completed' where id = '{id}'"
            ))
            .await;
    }
}
