//! Commands that change queues and jobs.

use serde_json::json;

use super::*;
use crate::differential::{id, job};
use crate::support::{Release, needs_node};

/// Runs it with a home of the schema's own.
fn run_at_home(schema: &Schema, arguments: &[&str]) -> Ended {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("strawboss.toml");
    let text = format!(
        "[database]\nurl = \"{}\"\nschema = \"{}\"\nown_schema = \"{}\"\n",
        schema.url,
        schema.name,
        schema.own()
    );
    std::fs::write(&file, text).expect("it is written");
    let file = file.display().to_string();
    let config = ["--config", file.as_str()];
    let mut command = program(directory.path(), &[arguments, &config].concat());
    command.output().expect("the program runs").into()
}

async fn states(schema: &Schema) -> String {
    let text = "select coalesce(string_agg(state::text, ' ' order by id), '') from {schema}.job where name = 'q'";
    schema.value(text).await.as_str().expect("a text").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_and_jobs_are_changed_by_command() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    let run = |arguments: &[&str]| run_at_home(&schema, arguments);
    run(&["queues", "create", "dead"]).well();
    run(&["queues", "create", "q", "--dead-letter", "dead"]).well();
    run(&[
        "queues",
        "update",
        "q",
        "--retry-limit",
        "7",
        "--no-dead-letter",
        "--notify=true",
    ])
    .well();
    let row = schema
        .row("select retry_limit, dead_letter, notify from {schema}.queue where name = 'q'")
        .await;
    assert_eq!(row, json!({"retry_limit": 7, "dead_letter": null, "notify": true}));
    assert_eq!(run(&["queues", "update", "q"]).code, 2);
    let refused = run(&["queues", "update", "none", "--retry-limit", "1"]);
    assert!(
        refused.code == 1 && refused.err.contains("Queue none does not exist"),
        "{}",
        refused.err
    );

    let rows: Vec<String> = (1..=6)
        .map(|n| {
            let state = ["created", "retry", "active", "completed", "cancelled", "failed"][n as usize - 1];
            let row = job(n, json!({"state": state, "singleton_key": (n % 2 == 0).then_some("even"), "name": "q"}));
            let columns: Vec<&str> = row.as_object().expect("a row").keys().map(String::as_str).collect();
            let columns = columns.join(", ");
            format!("insert into {{schema}}.job ({columns}) select {columns} from jsonb_populate_record(null::{{schema}}.job, '{row}');")
        })
        .collect();
    schema.execute(&rows.concat()).await;

    // Without a word nothing is done, and what would be is counted.
    let asked = run(&["jobs", "cancel", "q"]);
    assert!(
        asked.code == 1 && asked.err.contains("this would cancel 3 jobs of queue q"),
        "{}",
        asked.err
    );
    assert_eq!(states(&schema).await, "created retry active completed cancelled failed");
    let done = run(&["jobs", "cancel", "q", "--singleton-key", "even", "--yes"]).well();
    assert_eq!(done.out, "cancelled 1 jobs\n");
    let done = run(&["jobs", "retry", "q", &id(6), &id(1)]);
    assert_eq!((done.code, done.out.as_str()), (1, "retried 1 of 2 jobs\n"));
    run(&["jobs", "resume", "q", "--state", "cancelled", "--yes"]).well();
    assert_eq!(states(&schema).await, "created created active completed created retry");
    assert_eq!(run(&["jobs", "resume", "q", "--state", "failed", "--yes"]).code, 2);
    let done = run(&["jobs", "delete", "q", "--data", "{\"n\": 5}", "--yes"]).well();
    assert_eq!(done.out, "deleted 1 jobs\n");
    let told = run(&["jobs", "explain", "q", &id(6), "--json"]).well().json();
    assert_eq!(told[0]["what"], "sent");
    assert_eq!(run(&["jobs", "explain", "q", &id(5)]).code, 1);
    let done = run(&["queues", "purge", "q", "--yes"]).well();
    assert_eq!(done.out, "deleted 3 jobs of q\n");
    assert_eq!(states(&schema).await, "active completed");

    for arguments in [["queues", "purge", "none"], ["jobs", "list", "none"]] {
        let refused = run(&arguments);
        assert_eq!(refused.code, 1, "{arguments:?}");
        assert!(refused.err.contains("there is no queue \"none\""), "{}", refused.err);
    }

    let done = run(&["queues", "pause", "q", "--reason", "rest"]).well();
    assert!(done.err.contains("Node's pg-boss does not know of it"), "{}", done.err);
    let listed = run(&["queues", "list", "--json"]).well().json();
    assert!(
        listed[1]["paused"]
            .as_str()
            .is_some_and(|since| since.ends_with(": rest")),
        "{listed}"
    );
    assert!(run(&["queues", "list"]).well().out.contains("PAUSED"));
    run(&["queues", "resume", "q"]).well();
    assert!(!run(&["queues", "list"]).well().out.contains("PAUSED"));

    schema
        .execute(&format!(
            "insert into {{schema}}.job (id, name, source_name) values ('{}', 'dead', 'q'), ('{}', 'dead', 'gone')",
            id(20),
            id(21)
        ))
        .await;
    let preview = run(&["redrive", "dead", "--dry-run", "--json"]).well().json();
    assert_eq!(
        preview,
        json!({"total": 2, "destinations": [{"name": "q", "count": 1}], "unroutable": 1})
    );
    assert_eq!(run(&["redrive", "dead"]).well().out, "moved 1 jobs\n");
    // A script that names the queue means it: there is nobody to be asked.
    let done = run(&["queues", "purge", "dead", "--all"]).well();
    assert!(done.err.contains("about to delete"), "{}", done.err);
    run(&["queues", "delete", "dead"]).well();
    assert_eq!(schema.value("select count(*) from {schema}.queue").await, json!(1));
}
