//! `strawboss check`

use super::*;
use crate::support::{Release, needs_node};

fn check(schema: Option<&Schema>, configuration: &str) -> (Ended, Value) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("worker.toml");
    std::fs::write(&file, configuration).expect("written");
    let file = file.to_str().expect("UTF-8");
    let arguments = ["check", "--config", file];
    let (people, machine) = match schema {
        Some(schema) => (
            run_on(schema, &arguments),
            run_on(schema, &[&arguments[..], &["--json"]].concat()),
        ),
        None => (run(&arguments), run(&[&arguments[..], &["--json"]].concat())),
    };
    assert_eq!(people.code, machine.code);
    let json = machine.json();
    (people, json)
}

/// The findings as `severity key: message`.
fn findings(json: &Value) -> Vec<String> {
    let findings = json["findings"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    findings
        .iter()
        .map(|finding| {
            format!(
                "{} {}: {}",
                text(&finding["severity"]),
                text(&finding["key"]),
                text(&finding["message"])
            )
        })
        .collect()
}

#[test]
fn a_file_that_is_not_in_order_is_shown_line_by_line() {
    let (ended, json) = check(
        None,
        "[database]\nurl = 'postgres://app:hunter2@db/app'\n[worker]\nconcurency = 1\nshutdown_grace = 30\n",
    );
    assert_eq!(ended.code, 1);
    assert!(
        ended
            .out
            .contains("worker.toml:4: worker.concurency: unknown key; did you mean `concurrency`?")
    );
    assert!(
        ended
            .out
            .contains("worker.toml:5: worker.shutdown_grace: a bare number")
    );
    assert!(ended.out.ends_with("errors: 2\n"), "{}", ended.out);
    assert!(!ended.out.contains("hunter2"));
    assert_eq!(
        (&json["findings"][0]["line"], &json["findings"][1]["line"]),
        (&4.into(), &5.into())
    );
    let url = &json["settings"][0];
    assert_eq!(
        (&url["key"], &url["value"]),
        (&"database.url".into(), &"postgres://app:***@db/app".into())
    );
}

#[test]
fn handlers_that_cannot_be_made_are_found_without_a_database() {
    let (ended, json) = check(
        None,
        "[database]\nurl = 'postgres://127.0.0.1:1/app'\n[queues.a]\nhandler = { exec = ['./no/such/program'] }\n[queues.b]\n",
    );
    assert_eq!(ended.code, 1);
    let found = findings(&json);
    assert!(found[0].starts_with("error queues.a.handler: "), "{found:?}");
    assert!(
        found[1].starts_with("error queues.b: has neither a handler nor ensure"),
        "{found:?}"
    );
    assert!(found[2].starts_with("notice database: "), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_has_all_that_is_asked_for_is_in_order() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    run_on(&schema, &["queues", "create", "email", "--retry-limit", "5"]).well();
    let (ended, json) = check(
        Some(&schema),
        "[queues.email]\nhandler = { noop = true }\nensure = { retry_limit = 5, dead_letter = 'dead' }\n[queues.dead]\nensure = {}\n",
    );
    assert_eq!(
        findings(&json),
        [
            "notice queues.email.ensure.dead_letter: the queue is there already, with null instead of \"dead\", and is left as it is"
        ]
    );
    assert_eq!(ended.code, 0);
    assert!(ended.out.contains("version 46\n"), "{}", ended.out);
    assert!(ended.out.contains("ok queue \"email\": 0 ready"), "{}", ended.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_schema_lacks_is_found() {
    needs_node!();
    let schema = Schema::new(Release::V10_4_2).await;
    let (ended, json) = check(
        Some(&schema),
        r#"
        [queues.gone]
        handler = { noop = true }
        [queues.new]
        handler = { noop = true }
        group_concurrency = 3
        ensure = { policy = "key_strict_fifo", notify = true, heartbeat_seconds = 10, dead_letter = "nowhere" }
        "#,
    );
    assert_eq!(ended.code, 1);
    assert_eq!(
        findings(&json),
        [
            "notice worker.heartbeat: schema version 24 has no heartbeats (pg-boss 12.12 has), so the jobs of a worker that was killed come back when they expire",
            "error queues.gone: there is no such queue; create it with `strawboss queues create gone`, or add ensure = {}",
            "error queues.new.ensure.policy: schema version 24 has no such policy; pg-boss 12.10 has",
            "error queues.new.ensure.heartbeat_seconds: schema version 24 has no heartbeats; pg-boss 12.12 has",
            "error queues.new.ensure.notify: schema version 24 has no notifications; pg-boss 12.21 has",
            "error queues.new.group_concurrency: schema version 24 has no groups; pg-boss 12.6 has",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_pg_boss_is_an_error() {
    let url = &crate::support::server().url;
    let ended = run(&["check", "--database-url", url, "--schema", "no_such_schema"]);
    assert_eq!(ended.code, 1);
    assert!(
        ended.out.contains("there is no pg-boss in schema \"no_such_schema\""),
        "{}",
        ended.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn privileges_that_the_role_lacks_are_named() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    let role = format!("role_of_{}", schema.name);
    schema
        .execute(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'pw';
             GRANT USAGE ON SCHEMA {{schema}} TO {role};
             GRANT SELECT ON ALL TABLES IN SCHEMA {{schema}} TO {role};
             GRANT INSERT, UPDATE ON {{schema}}.job, {{schema}}.job_common TO {role}"
        ))
        .await;
    let (_, place) = schema
        .url
        .rsplit_once('@')
        .unwrap_or(("", schema.url.trim_start_matches("postgres://")));
    let url = format!("postgres://{role}:pw@{place}");
    let ended = run(&["check", "--json", "--database-url", &url, "--schema", &schema.name]);
    let found = findings(&ended.json());
    schema.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    let name = &schema.name;
    let lacks = |table| {
        format!("error database: the role lacks a privilege: GRANT DELETE ON \"{name}\".\"{table}\" TO CURRENT_USER")
    };
    assert_eq!(found[1..], [lacks("job"), lacks("job_common")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_worker_is_asked_whether_it_is_ready() {
    use strawboss::observe::{Health, Metrics};
    use strawboss::server::Server;

    let server = Server::bind(([127, 0, 0, 1], 0).into()).await.expect("a port is free");
    let address = server.address();
    let (health, stop) = (Health::new(), tokio_util::sync::CancellationToken::new());
    let schema = health.condition("schema");
    let serving = tokio::spawn(server.run(Metrics::new(), health.clone(), stop.clone()));
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("worker.toml");
    // Everywhere on this machine, as in a container: it is asked on the loopback.
    std::fs::write(&file, format!("[http]\nlisten = '0.0.0.0:{}'\n", address.port())).expect("written");
    let live = async || {
        let file = file.clone();
        let ask = move || run(&["check", "--live", "--config", file.to_str().expect("UTF-8")]);
        tokio::task::spawn_blocking(ask).await.expect("it ends")
    };

    schema.set(Err("there is no pg-boss yet".into()));
    let ended = live().await;
    assert_eq!(ended.code, 1, "{}", ended.err);
    assert!(
        ended.out.contains("there is no pg-boss yet"),
        "{}{}",
        ended.out,
        ended.err
    );
    schema.set(Ok(()));
    let ended = live().await.well();
    assert!(ended.out.starts_with("ready: the worker on 0.0.0.0:"), "{}", ended.out);
    stop.cancel();
    serving.await.expect("it ends").expect("well");
    let ended = live().await;
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("no worker answers on 0.0.0.0:"), "{}", ended.err);
}
