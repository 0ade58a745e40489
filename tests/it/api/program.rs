//! The program in the place of pg-boss's proxy, asked by curl: the commands of README.md and docs/api.md as they stand
//! there, and those of the proxy's own README.

use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::acceptance::program::Program;
use crate::support::{Release, Schema};

const README: &str = include_str!("../../../README.md");
const DOCS: &str = include_str!("../../../docs/api.md");

/// As pg-boss documents its proxy.
const DOCUMENTED: &str = r#"
curl -X POST http://localhost:3000/api/send \
  -H "Content-Type: application/json" \
  -d '{"name": "my-queue", "data": {"key": "value"}}'
curl -X POST http://localhost:3000/api/fetch \
  -H "Content-Type: application/json" \
  -d '{"name": "my-queue"}'
curl "http://localhost:3000/api/getQueue?name=my-queue"
curl "http://localhost:3000/api/getQueues"
"#;

/// The blocks for a shell that ask by curl.
fn commands(text: &str) -> Vec<&str> {
    let blocks = text
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("\n```").next());
    let blocks: Vec<_> = blocks.filter(|block| block.contains("createQueue")).collect();
    assert!(!blocks.is_empty());
    blocks
}

/// What a shell's commands print, each answer of ours on its own.
async fn shell(commands: &str, environment: &[(&str, &str)]) -> Vec<Value> {
    let output = Command::new("sh")
        .args(["-eu", "-c", commands])
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .await
        .expect("a shell");
    let text = String::from_utf8(output.stdout).expect("text");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{commands}\n{text}\n{said}");
    let answers = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    answers
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The program with no file, as an image starts it in the place of the proxy.
async fn proxy(schema: &Schema, environment: &[(&str, &str)]) -> (Program, SocketAddr) {
    let mut all = vec![
        ("DATABASE_URL", schema.url.as_str()),
        ("PGBOSS_SCHEMA", &schema.name),
        ("PORT", "0"),
    ];
    all.extend(environment);
    let program = Program::start(&["run"], "", &all);
    program.log.with("serving pg-boss's API").await;
    let address = program.address().await;
    crate::support::wait_for("the schema to be spoken", async || {
        program.get("/readyz").await.status == 200
    })
    .await;
    (program, address)
}

#[tokio::test]
async fn without_a_file_it_is_the_proxy() {
    let schema = Schema::new(Release::NEWEST).await;
    let (program, address) = proxy(&schema, &[]).await;
    let readme = commands(README)
        .concat()
        .replace("127.0.0.1:9464", &address.to_string());
    let answers = shell(&readme, &[]).await;
    assert_eq!(answers.len(), 3);
    assert!(answers.iter().all(|answer| answer["ok"] == true), "{answers:?}");
    assert_eq!(answers[2]["result"]["name"], "email");
    let rows = schema.rows("select name, data from {schema}.job").await;
    assert_eq!(rows, [json!({ "name": "email", "data": { "to": "a@example.com" } })]);

    let create = "curl -sS -H 'content-type: application/json' http://localhost:3000/api/createQueue -d '{\"name\":\"my-queue\"}'";
    let documented = format!("{create}{DOCUMENTED}").replace("localhost:3000", &address.to_string());
    let answers = shell(&documented, &[]).await;
    assert_eq!(answers.len(), 5);
    assert!(answers.iter().all(|answer| answer["ok"] == true), "{answers:?}");
    assert_eq!(answers[2]["result"][0]["data"], json!({ "key": "value" }));
    assert_eq!(answers[2]["result"][0]["id"], answers[1]["result"]);
    program.stop().await;
}

#[tokio::test]
async fn what_is_documented_works_with_a_token() {
    let schema = Schema::new(Release::NEWEST).await;
    let (program, address) = proxy(&schema, &[("STRAWBOSS_API_TOKEN", "t0ken"), ("HOST", "0.0.0.0")]).await;
    let (api, auth) = (
        format!("http://127.0.0.1:{}/api", address.port()),
        "Authorization: Bearer t0ken",
    );
    let told: Vec<_> = commands(DOCS)
        .concat()
        .lines()
        .map(|line| format!("{line}\n"))
        .collect();
    let answers = shell(&told.concat(), &[("API", &api), ("AUTH", auth)]).await;
    assert_eq!(answers.len(), 5, "{answers:?}");
    assert!(answers.iter().all(|answer| answer["ok"] == true), "{answers:?}");
    assert_eq!(answers[3]["result"]["affected"], 1);
    let found = &answers[4]["result"][0];
    assert_eq!(
        (&found["state"], &found["output"]),
        (&json!("completed"), &json!({ "sent": true }))
    );
    let log = program.stop().await.log;
    assert!(!log.contains("t0ken"), "{log}");
}

#[tokio::test]
async fn without_credentials_it_is_for_this_machine_only() {
    let schema = Schema::new(Release::NEWEST).await;
    let open = [
        ("DATABASE_URL", schema.url.as_str()),
        ("PGBOSS_SCHEMA", &schema.name),
        ("PORT", "0"),
        ("HOST", "0.0.0.0"),
    ];
    for command in ["run", "check"] {
        let ended = Program::start(&[command], "", &open).ended().await;
        assert_eq!(ended.code, Some(1), "{command}: {}{}", ended.out, ended.log);
        let said = format!("{}{}", ended.out, ended.log);
        assert!(said.contains("without credentials on 0.0.0.0:0"), "{said}");
        assert!(said.contains("http.api_token"), "{said}");
    }
}

/// The keys of the table of settings are those there are.
#[test]
fn the_settings_documented_are_those_that_are_read() {
    let schema = strawboss::config::json_schema();
    let there: std::collections::BTreeSet<_> = schema["properties"]["api"]["properties"]
        .as_object()
        .expect("keys")
        .keys()
        .map(|key| format!("api.{key}"))
        .collect();
    let rows = DOCS.lines().filter(|line| line.starts_with("| `api."));
    let named = rows.flat_map(|row| {
        row.split(" | ")
            .next()
            .unwrap_or_default()
            .trim_matches(['|', ' '])
            .split(", ")
    });
    let named: std::collections::BTreeSet<_> = named.map(|key| key.trim_matches('`').to_owned()).collect();
    assert_eq!(named, there);
}
