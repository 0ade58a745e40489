//! The handlers that need no code of anybody's, as configured.

use serde_json::{Value, json};

use super::{Program, newest, queue, send};
use crate::support::needs_node;

/// A program that does as the job says, and shows what it was given.
const SCRIPT: &str = r#"job=$(cat)
case "$job" in
  *'"work"'*) printf '{"given": %s}' "$job" ;;
  *'"die"'*) echo "cannot be read" >&2; exit 65 ;;
  *'"later"'*) echo "not now" >&2; [ "$PGBOSS_RETRY_COUNT" = 1 ] || exit 75 ;;
esac
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_program_decides_by_its_exit_code() {
    needs_node!();
    let (schema, boss) = newest().await;
    queue(&boss, "dead", json!({})).await;
    queue(
        &boss,
        "q",
        json!({ "retryLimit": 5, "retryDelay": 0, "deadLetter": "dead" }),
    )
    .await;
    let served = format!(
        "[queues.q]\npoll_interval = '50ms'\nhandler = {{ exec = ['/bin/sh', '-c', '''{SCRIPT}'''], timeout = '20s' }}\n"
    );
    let strawboss = Program::run(&schema, &served);
    let mut ids = Vec::new();
    for deed in ["work", "die", "later"] {
        ids.push(send(&boss, "q", json!({ "deed": deed })).await);
    }
    schema
        .until("(select count(*) = 3 from {schema}.job where name = 'q' and state in ('completed', 'failed'))")
        .await;
    let mut jobs = Vec::new();
    for id in &ids {
        jobs.push(boss.call("getJobById", json!(["q", id])).await.expect("it is there"));
    }
    let [work, die, later]: [Value; 3] = jobs.try_into().expect("three jobs");
    assert_eq!((&work["state"], &work["retryCount"]), (&json!("completed"), &json!(0)));
    let given = &work["output"]["given"];
    assert_eq!(
        [&given["id"], &given["data"]],
        [&json!(ids[0]), &json!({ "deed": "work" })]
    );

    assert_eq!(
        (&die["state"], &die["retryCount"]),
        (&json!("failed"), &json!(0)),
        "65: no other attempt"
    );
    assert_eq!(
        die["output"],
        json!({ "name": "ExitError", "message": "cannot be read", "exitCode": 65 })
    );
    let letter = schema
        .row("select source_id, data, source_output->>'message' as reason from {schema}.job where name = 'dead'")
        .await;
    assert_eq!(
        letter,
        json!({ "source_id": ids[1], "data": { "deed": "die" }, "reason": "cannot be read" })
    );
    assert_eq!(
        (&later["state"], &later["retryCount"]),
        (&json!("completed"), &json!(1)),
        "75: another attempt"
    );
    for (outcome, count) in [("completed", 2.0), ("retried", 1.0), ("dead_lettered", 1.0)] {
        let series = format!("pgboss_jobs_processed_total{{outcome=\"{outcome}\",queue=\"q\"}}");
        assert_eq!(strawboss.metric(&series).await, Some(count), "{outcome}");
    }
    strawboss.stop().await;
    boss.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn log_says_that_a_job_came_but_not_what_it_holds_and_noop_says_nothing() {
    needs_node!();
    let (schema, boss) = newest().await;
    queue(&boss, "noop", json!({})).await;
    queue(&boss, "log", json!({})).await;
    let served = "[telemetry]\nlog_format = 'json'\n\
                  [queues.noop]\npoll_interval = '50ms'\nhandler = { noop = true }\n\
                  [queues.log]\npoll_interval = '50ms'\nhandler = { log = true }\n";
    let strawboss = Program::start(
        &["run", "--config", "worker.toml"],
        &super::program::configuration(&schema.url, &schema.name, served),
        &[("RUST_LOG", "debug")],
    );
    let noop = send(&boss, "noop", json!({ "card": "nobody's business" })).await;
    let log = send(&boss, "log", json!({ "card": "nobody's business" })).await;
    schema
        .until("(select count(*) = 2 from {schema}.job where state = 'completed' and output is null)")
        .await;
    let written = strawboss.stop().await.log;
    let lines: Vec<Value> = written
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let said = |message: &str| {
        let of_it = lines.iter().filter(|line| line["message"] == message);
        let mut seen: Vec<_> = of_it
            .map(|line| [&line["queue"], &line["job"]].map(|of| of.to_string()))
            .collect();
        seen.sort();
        seen
    };
    let quoted = |queue: &str, id: &str| [json!(queue).to_string(), json!(id).to_string()];
    assert_eq!(said("a job came"), [quoted("log", &log)]);
    assert_eq!(
        said("job settled"),
        [quoted("log", &log), quoted("noop", &noop)],
        "one line per job at debug"
    );
    assert!(!written.contains("nobody's"), "payloads are never logged");
    boss.stop().await;
}
