//! `strawboss events …`

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::support::Release;

/// A directory with a configuration for a schema of its own.
fn directory(schema: &Schema) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let (url, name, own) = (&schema.url, &schema.name, schema.own());
    let text = format!(
        "[database]\nurl = '{url}'\nschema = '{name}'\nown_schema = '{own}'\n[events]\noutbox_schema = '{own}'\nmax_retries = 5\n
         [[events.handler]]\nevent = 'e'\nmodule = 'm'\nhttp = '${{NOT_SET_AND_NOT_NEEDED}}'\n"
    );
    std::fs::write(directory.path().join("strawboss.toml"), text).expect("written");
    directory
}

#[tokio::test(flavor = "multi_thread")]
async fn install_makes_the_app_s_tables_to_the_letter_and_only_once() {
    let schema = Schema::new(Release::NEWEST).await;
    let here = directory(&schema);
    let events = |arguments: &[&str]| {
        let mut command = program(here.path(), &[&["events"], arguments].concat());
        Ended::from(command.output().expect("the program runs"))
    };
    let missing = events(&["outbox"]);
    assert_eq!(missing.code, 1);
    assert!(missing.err.contains("strawboss events install"), "{}", missing.err);

    let created = events(&["install", "--json"]).well().json();
    assert_eq!(created.as_array().expect("names").len(), 16, "{created}");
    assert_eq!(events(&["install", "--json"]).well().json(), json!([]));
    let own = schema.own();
    let columns = schema
        .rows(&format!(
            "select table_name as t, column_name as c, udt_name || coalesce('(' || character_maximum_length || ')', '') as k,
               is_nullable = 'NO' as n, column_default as d
             from information_schema.columns where table_schema = '{own}' and table_name like 'event%' order by 1, ordinal_position"
        ))
        .await;
    let described: Vec<String> = columns
        .iter()
        .filter(|column| column["t"] == "event_outbox")
        .map(|column| {
            let text = |key: &str| column[key].as_str().unwrap_or("-").to_owned();
            let null = if column["n"] == true { "not null" } else { "null" };
            format!("{} {} {null} {}", text("c"), text("k"), text("d"))
        })
        .collect();
    assert_eq!(
        described,
        [
            "id uuid not null gen_random_uuid()",
            "event_name varchar(255) not null -",
            "event_data jsonb not null -",
            "metadata jsonb not null -",
            "status varchar(50) not null 'pending'::character varying",
            "retry_count int4 not null 0",
            "max_retries int4 not null 3",
            "created_at timestamptz not null now()",
            "processed_at timestamptz null -",
            "error_message text null -",
        ]
    );
    let count = |table: &str| columns.iter().filter(|column| column["t"] == table).count();
    assert_eq!(
        (
            count("event_dead_letter"),
            count("event_processing_log"),
            count("event_history")
        ),
        (8, 5, 6)
    );
    let indexes = schema
        .rows(&format!(
            "select indexname as name, regexp_replace(indexdef, '^.* USING ', '') as def, indexdef like '% UNIQUE %' as is_unique
             from pg_indexes where schemaname = '{own}' and indexname like 'idx%' order by 1"
        ))
        .await;
    let indexes: Vec<String> = indexes
        .iter()
        .map(|index| {
            format!(
                "{} {} {}",
                index["name"].as_str().unwrap_or_default(),
                index["def"].as_str().unwrap_or_default(),
                index["is_unique"]
            )
        })
        .collect();
    assert_eq!(
        indexes,
        [
            "idx_event_dead_letter_event_name btree (event_name) false",
            "idx_event_dead_letter_failed_at btree (failed_at) false",
            "idx_event_dead_letter_original_event_id btree (original_event_id) false",
            "idx_event_history_emitted_at btree (emitted_at) false",
            "idx_event_history_event_id btree (event_id) false",
            "idx_event_history_event_name btree (event_name) false",
            "idx_event_outbox_created_at btree (created_at) false",
            "idx_event_outbox_event_name btree (event_name) false",
            "idx_event_outbox_status_created btree (status, created_at) false",
            "idx_event_processing_log_event_id btree (event_id) false",
            "idx_event_processing_log_handler_idempotency btree (handler_name, idempotency_key) false",
            "idx_event_processing_log_processed_at btree (processed_at) false",
        ]
    );
    // The trigger, if asked for; and what is missing only.
    schema
        .execute(&format!("drop index {own}.idx_event_history_event_id"))
        .await;
    let created = events(&["install", "--notify", "--json"]).well().json();
    assert_eq!(
        created,
        json!(["idx_event_history_event_id", "strawboss_event_outbox_notify"])
    );
    assert_eq!(events(&["install", "--notify", "--json"]).well().json(), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_emitted_listed_settled_replayed_and_pruned() {
    let schema = Schema::new(Release::NEWEST).await;
    let here = directory(&schema);
    let own = schema.own();
    let events = |arguments: &[&str]| {
        let mut command = program(here.path(), &[&["events"], arguments].concat());
        Ended::from(command.output().expect("the program runs"))
    };
    events(&["install"]).well();
    let said = events(&["subscribe", "order", "stock"]).well().out;
    assert!(said.contains("a new queue"), "{said}");
    assert!(
        !events(&["subscribe", "order", "stock"])
            .well()
            .out
            .contains("a new queue")
    );
    let listed = events(&["subscriptions", "--json"]).well().json();
    assert_eq!(
        (&listed[0]["event"], &listed[0]["queue"], &listed[0]["consumer"]),
        (&json!("order"), &json!("stock"), &json!("unknown"))
    );

    let emitted = events(&["emit", "order", "{\"n\": 1}", "--json"]).well().json();
    let row = emitted["outboxId"].as_str().expect("an id").to_owned();
    assert_eq!(emitted["queues"], 0);
    let shown = events(&["outbox", &row, "--json"]).well().json();
    assert_eq!(
        (&shown[0]["status"], &shown[0]["max_retries"]),
        (&json!("pending"), &json!(5))
    );
    let emitted = events(&["emit", "order", "{\"n\": 2}", "--immediate", "--json"])
        .well()
        .json();
    assert_eq!(emitted["queues"], 1);
    let refused = events(&["emit", "order", "\"\\u0000\""]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("u0000"), "{}", refused.err);
    assert_eq!(events(&["emit", "order", "{"]).code, 2);
    let counts = events(&["outbox", "--json"]).well().json();
    let statuses: Vec<_> = counts
        .as_array()
        .expect("counts")
        .iter()
        .map(|count| (&count["status"], &count["rows"]))
        .collect();
    assert_eq!(
        statuses,
        [(&json!("completed"), &json!(1)), (&json!("pending"), &json!(1))]
    );

    // What an operator does with rows that stand still.
    assert_eq!(events(&["outbox", "--requeue"]).code, 2, "which rows is not said");
    let pending = ["outbox", "--status", "pending"];
    let preview = events(&[&pending[..], &["--dead-letter", "--dry-run"]].concat()).well();
    assert!(preview.out.contains(&row), "{}", preview.out);
    let done = events(&[&pending[..], &["--dead-letter", "--json"]].concat())
        .well()
        .json();
    assert_eq!(done, json!({ "rows": 1 }));
    let letters = events(&["dead-letters", "--json"]).well().json();
    assert_eq!(
        (&letters[0]["original_event_id"], &letters[0]["event_data"]),
        (&json!(row), &json!({ "n": 1 }))
    );
    let id = letters[0]["id"].as_str().expect("an id").to_owned();
    assert!(events(&["dead-letters", &id]).well().out.contains("failure_reason"));
    assert_eq!(events(&["replay"]).code, 2, "which is not said");
    events(&["replay", &id, "--dry-run"]).well();
    assert_eq!(
        events(&["dead-letters", "--json"])
            .well()
            .json()
            .as_array()
            .expect("a list")
            .len(),
        1
    );
    // It never got as far as a handler, so it goes back to the outbox.
    events(&["replay", &id]).well();
    let shown = events(&["outbox", &row, "--json"]).well().json();
    assert_eq!(
        (&shown[0]["status"], &shown[0]["error_message"]),
        (&json!("pending"), &json!(null))
    );
    events(&["outbox", "--status", "pending", "--complete"]).well();

    let refused = events(&["query", "nothing"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("nobody subscribes"), "{}", refused.err);
    let late = events(&["query", "order", "--timeout", "1s"]);
    assert_eq!(late.code, 1);
    assert!(late.err.contains("taken back"), "{}", late.err);

    schema
        .execute(&format!(
            "update {own}.event_outbox set created_at = now() - interval '31 days'"
        ))
        .await;
    let prune = ["prune", "--older-than", "30d", "--outbox", "--history", "--json"];
    let counted = events(&[&prune[..], &["--dry-run"]].concat()).well().json();
    assert_eq!(counted, json!({ "outbox": 2, "history": 0 }));
    assert_eq!(events(&prune).well().json(), json!({ "outbox": 2, "history": 0 }));
    assert_eq!(events(&["outbox", "--json"]).well().json(), json!([]));
    let ended = events(&["unsubscribe", "order", "stock"]).well().out;
    assert!(ended.contains("no more"), "{ended}");
    assert_eq!(events(&["unsubscribe", "order", "stock"]).code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_each_situation_and_the_choice_there_is() {
    let schema = Schema::new(Release::NEWEST).await;
    let here = directory(&schema);
    let file = here.path().join("strawboss.toml");
    let text = std::fs::read_to_string(&file).expect("read");
    std::fs::write(&file, text.replace("http = '${NOT_SET_AND_NOT_NEEDED}'", "noop = true")).expect("written");
    let command = |arguments: &[&str]| {
        let mut command = program(here.path(), arguments);
        Ended::from(command.output().expect("the program runs"))
    };
    let found = command(&["check"]);
    assert_eq!(found.code, 1);
    assert!(found.out.contains("strawboss events install"), "{}", found.out);
    command(&["events", "install"]).well();
    assert!(!command(&["check"]).well().out.contains("--complete"));

    // A handler that was taken out, rows that an older worker left, rows that the app handled itself.
    let own = schema.own();
    let emit = ["events", "emit", "gone", "1"];
    command(&emit).well();
    command(&emit).well();
    command(&["events", "emit", "gone", "1", "--immediate"]).well();
    command(&["events", "subscribe", "gone", "event.gone"]).well();
    schema
        .execute(&format!(
            "insert into {own}.event_handler (schema, handler_id, event, module, queue, sequential, place)
               values ('{{schema}}', 'gone', 'gone', 'm', 'event.gone', false, 1);
             update {own}.event_outbox set created_at = now() - interval '1 day' where status = 'pending';
             update {own}.event_outbox set status = 'processing' where id in
               (select id from {own}.event_outbox where status = 'pending' limit 1)"
        ))
        .await;
    let found = command(&["check"]).well().out;
    for word in [
        "events.stuck",
        "--requeue",
        "--status pending --older-than 5m --complete",
        "unsubscribe --handler gone",
    ] {
        assert!(found.contains(word), "{word}: {found}");
    }
    let found = command(&["doctor"]);
    for word in [
        "--status processing --older-than 30m",
        "unsubscribe --handler gone",
        "--older-than 5m --complete",
    ] {
        assert!(found.out.contains(word), "{word}: {}", found.out);
    }
    let listed = command(&["events", "subscriptions"]);
    assert_eq!(listed.code, 1);
    assert!(listed.out.contains("missing"), "{}", listed.out);
    command(&["events", "unsubscribe", "--handler", "gone"]).well();
    command(&["events", "subscriptions"]).well();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_does_not_parse_keeps_the_worker_from_starting() {
    let schema = Schema::new(Release::NEWEST).await;
    let here = directory(&schema);
    for command in ["run", "check"] {
        let mut command = program(here.path(), &[command]);
        command
            .env("NOT_SET_AND_NOT_NEEDED", "http://127.0.0.1:9")
            .env("EVENT_DEFAULT_TIMEOUT", "30s");
        let refused = Ended::from(command.output().expect("the program runs"));
        assert_eq!(refused.code, 1);
        let said = format!("{}{}", refused.out, refused.err);
        assert!(
            said.contains("EVENT_DEFAULT_TIMEOUT") && said.contains("milliseconds"),
            "{said}"
        );
    }
    let mut command = program(here.path(), &["events", "emit", "order"]);
    let refused = Ended::from(
        command
            .env("EVENT_SYSTEM_ENABLED", "false")
            .output()
            .expect("the program runs"),
    );
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("EVENT_SYSTEM_ENABLED"), "{}", refused.err);
}
