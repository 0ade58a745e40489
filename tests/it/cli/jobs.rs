//! `strawboss queues` and `strawboss jobs`

use serde_json::json;

use super::*;
use crate::support::{Boss, Release, needs_node};

#[tokio::test(flavor = "multi_thread")]
async fn queues_and_jobs_of_every_release_are_shown_with_all_their_columns() {
    needs_node!();
    for release in Release::ALL {
        let schema = Schema::new(release).await;
        let boss = Boss::start(release, &schema.url, &schema.name, json!({})).await;
        boss.call("createQueue", json!(["dead"])).await.expect("createQueue");
        let options =
            json!(["email", { "name": "email", "policy": "standard", "deadLetter": "dead", "retryLimit": 0 }]);
        boss.call("createQueue", options).await.expect("createQueue");
        let mut ids = Vec::new();
        for (data, options) in [
            (json!({ "n": 1 }), json!({})),
            (
                json!({ "n": 2, "to": "a" }),
                json!({ "singletonKey": "k", "priority": 7 }),
            ),
            (json!({ "n": 3 }), json!({ "startAfter": 3600 })),
        ] {
            let id = boss.call("send", json!(["email", data, options])).await.expect("send");
            ids.push(id.as_str().expect("an id").to_owned());
        }
        schema
            .execute("ALTER TABLE {schema}.job ADD COLUMN unheard_of int DEFAULT 5")
            .await;
        // As the release itself leaves them: one completed, one failed and dead-lettered.
        let claimed = boss.call("fetch", json!(["email"])).await.expect("fetch");
        assert_eq!(claimed[0]["id"], json!(ids[1]), "{release}: the highest priority first");
        boss.call("complete", json!(["email", ids[1], { "ok": true }]))
            .await
            .expect("complete");
        boss.call("fail", json!(["email", ids[0], { "message": "no" }]))
            .await
            .expect("fail");

        let queues = run_on(&schema, &["queues", "list", "--json"]).well().json();
        let email = queues
            .as_array()
            .expect("a list")
            .iter()
            .find(|queue| queue["name"] == "email");
        let counts = &email.expect("listed")["counts"];
        let expected = json!({
            "deferred": 1, "ready": 0, "blocked": 0, "active": 0, "failed": 1, "completed": 1, "cancelled": 0
        });
        assert_eq!(counts, &expected, "{release}");
        let live = run_on(&schema, &["queues", "--live", "--json"]).well().json();
        let dead = live
            .as_array()
            .expect("a list")
            .iter()
            .find(|queue| queue["name"] == "dead");
        let counts = &dead.expect("listed")["counts"];
        assert_eq!(
            (&counts["ready"], &counts["completed"]),
            (&json!(1), &Value::Null),
            "{release}"
        );

        let shown = run_on(&schema, &["queues", "show", "email"]).well().out;
        assert!(
            shown.contains("\ndead_letter ") && shown.contains("  dead\n"),
            "{release}: {shown}"
        );

        let list = |arguments: &[&str]| {
            let arguments = [&["jobs", "list", "email", "--json"], arguments].concat();
            let rows = run_on(&schema, &arguments).well().json();
            let rows = rows.as_array().expect("a list").clone();
            rows.iter()
                .map(|row| row["id"].as_str().expect("an id").to_owned())
                .collect::<Vec<_>>()
        };
        let newest_first: Vec<_> = ids.iter().rev().cloned().collect();
        assert_eq!(list(&[]), newest_first, "{release}");
        assert_eq!(list(&["--limit", "1"]), newest_first[..1], "{release}");
        assert_eq!(
            list(&["--state", "completed", "--state", "failed"]),
            [&*ids[1], &*ids[0]],
            "{release}"
        );
        assert_eq!(list(&["--singleton-key", "k"]), [&*ids[1]], "{release}");
        assert_eq!(list(&["--data", r#"{"to": "a"}"#]), [&*ids[1]], "{release}");
        assert_eq!(list(&["--id", &ids[2]]), [&*ids[2]], "{release}");

        let job = run_on(&schema, &["jobs", "show", "email", &ids[1], "--json"])
            .well()
            .json();
        assert_eq!(
            (&job["state"], &job["output"], &job["unheard_of"]),
            (&json!("completed"), &json!({ "ok": true }), &json!(5)),
            "{release}"
        );
        let columns = schema.value("select count(*) from information_schema.columns where table_schema = '{schema}' and table_name = 'job'").await;
        let shown = job.as_object().expect("an object").len();
        assert_eq!(json!(shown), columns, "{release}");

        let table = run_on(&schema, &["jobs", "list", "email"]).well().out;
        assert!(table.starts_with("ID "), "{release}: {table}");
        assert_eq!(table.lines().count(), 4, "{release}: {table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_any_length_are_shown_as_they_are() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    run_on(&schema, &["queues", "create", "q"]).well();
    let number = "1".repeat(309);
    let id = run_on(&schema, &["send", "q", &format!("{{\"n\": {number}, \"m\": 5e-324}}")])
        .well()
        .out;
    let shown = run_on(&schema, &["jobs", "show", "q", id.trim(), "--json"]).well().out;
    assert!(shown.contains(&number), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_the_end_of_time_is_shown_like_any_other() {
    let schema = Schema::vacant().await;
    run_on(&schema, &["schema", "install"]).well();
    run_on(&schema, &["queues", "create", "q"]).well();
    run_on(&schema, &["send", "q"]).well();
    schema
        .execute("UPDATE {schema}.job SET start_after = 'infinity', created_on = '-infinity', started_on = 'infinity'")
        .await;
    let table = run_on(&schema, &["jobs", "list", "q"]).well().out;
    assert!(
        table.contains("+262142-12-31") && table.contains("-262143-01-01"),
        "{table}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_of_schema_24_is_read_too() {
    needs_node!();
    let schema = Schema::new(Release::V10_4_2).await;
    run_on(&schema, &["queues", "create", "q"]).well();
    let id = run_on(&schema, &["send", "q"]).well().out.trim().to_owned();
    schema
        .execute(
            "UPDATE {schema}.job SET state = 'completed', completed_on = now();
             INSERT INTO {schema}.archive SELECT *, now() FROM {schema}.job;
             DELETE FROM {schema}.job",
        )
        .await;
    let job = run_on(&schema, &["jobs", "show", "q", &id, "--json"]).well().json();
    assert_eq!(job["state"], "completed");
    assert!(job["archived_on"].is_string(), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_exit_code_1_and_says_what_next() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    let nobody = "4d9de3c4-8e0e-4c5e-9d4a-3f0e6f0b1a55";
    for (arguments, what, next) in [
        (
            &["queues", "show", "nope"][..],
            "there is no queue \"nope\"",
            "strawboss queues list",
        ),
        (&["jobs", "show", "nope", nobody], nobody, "strawboss jobs list nope"),
        (
            &["send", "nope", "{}"],
            "Queue nope does not exist",
            "strawboss queues create nope",
        ),
        (
            &["queues", "create", "a", "--dead-letter", "nope"],
            "dead letter queue nope",
            "strawboss queues create nope",
        ),
    ] {
        let ended = run_on(&schema, arguments);
        assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{arguments:?}");
        assert!(
            ended.err.starts_with("error: ") && ended.err.contains(what),
            "{}",
            ended.err
        );
        assert!(
            ended.err.contains("\nnext: ") && ended.err.contains(next),
            "{}",
            ended.err
        );
    }
    let empty = run_on(&schema, &["queues", "list"]).well().out;
    assert_eq!(empty, "no queues\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_cannot_command_the_terminal() {
    needs_node!();
    let schema = Schema::new(Release::V11_1_2).await;
    schema
        .value("select {schema}.create_queue(e'a\\x1b[31m', '{\"policy\": \"standard\"}')::text as made")
        .await;
    let table = run_on(&schema, &["queues", "list"]).well().out;
    assert!(table.contains("a\\u{1b}[31m"), "{table}");
}
