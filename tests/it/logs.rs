//! What is logged: each failed attempt once, in fields that are documented.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use strawboss::handler::{HandlerError, typed};
use strawboss::job::{Job, Outcome};

use crate::acceptance::program::{Program, configuration};
use crate::readme::blocks_of;
use crate::support::crew::{Crew, config, handler};
use crate::support::otlp::Collector;
use crate::support::sink::{Sink, reply};
use crate::support::{Release, Schema, lines, needs_node};

const PAGE: &str = include_str!("../../docs/logs.md");

/// The fields of the page with their types.
fn documented() -> BTreeMap<&'static str, &'static str> {
    let (_, table) = PAGE.split_once("| field | type | is |").expect("there is a table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let fields = rows.flat_map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let names: Vec<_> = cells[0].split(", ").map(|name| name.trim_matches('`')).collect();
        names.into_iter().map(move |name| (name, cells[1]))
    });
    fields.collect()
}

/// Holds a line to being a flat object of documented fields.
fn parsed(line: &str) -> Map<String, Value> {
    let object: Map<String, Value> =
        serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON object ({error}): {line}"));
    let documented = documented();
    for (name, value) in &object {
        let kind = match value {
            Value::String(_) => "text",
            Value::Number(_) => "number",
            Value::Bool(_) => "true or false",
            _ => "neither",
        };
        assert_eq!(documented.get(name.as_str()), Some(&kind), "{name} in {line}");
    }
    for name in ["timestamp", "level", "target", "message"] {
        assert!(object.contains_key(name), "{name} is missing in {line}");
    }
    let at = object["timestamp"].as_str().unwrap_or_default();
    chrono::DateTime::parse_from_rfc3339(at).unwrap_or_else(|error| panic!("{error}: {line}"));
    object
}

/// The arguments of each call of a macro of `tracing` in a source.
fn arguments(code: &str) -> Vec<Vec<String>> {
    let mut calls = Vec::new();
    for (at, _) in code.match_indices("tracing::") {
        let rest = &code[at + "tracing::".len()..];
        let name = rest.split('(').next().unwrap_or_default();
        if !["trace!", "debug!", "info!", "warn!", "error!", "info_span!"].contains(&name) {
            continue;
        }
        let (mut arguments, mut argument, mut depth, mut quoted) = (Vec::new(), String::new(), 1, false);
        let mut characters = rest[name.len() + 1..].chars();
        while depth > 0 {
            let character = characters.next().expect("the call ends");
            match character {
                '\\' if quoted => argument.extend(characters.next()),
                '"' => quoted = !quoted,
                _ if quoted => {}
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                ',' if depth == 1 => {
                    arguments.push(std::mem::take(&mut argument));
                    continue;
                }
                _ => {}
            }
            argument.push(if quoted || character == '"' { '"' } else { character });
        }
        argument.pop();
        arguments.push(argument);
        calls.push(arguments);
    }
    calls
}

/// The fields that the sources write, those of the commands that have no logs aside.
fn written() -> BTreeSet<String> {
    let mut fields = BTreeSet::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.ends_with("src/bench") || path.ends_with("src/demo") {
                continue;
            } else if path.is_dir() {
                open.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = fs::read_to_string(&path).expect("it is there");
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            for call in arguments(&lines.collect::<Vec<_>>().join("\n")) {
                for argument in call {
                    let argument = argument.trim();
                    // A message, or the name of a span.
                    if argument.is_empty() || argument.starts_with('"') || argument.starts_with("self.message") {
                        continue;
                    }
                    let name = argument.split(['=', ' ']).next().unwrap_or_default();
                    fields.insert(name.trim_start_matches(['%', '?']).to_owned());
                }
            }
        }
    }
    assert!(fields.len() > 40, "only {fields:?} were found");
    fields
}

#[test]
fn every_field_that_is_written_is_documented_and_every_one_documented_is_written() {
    let mut written = written();
    written.extend(["timestamp", "level", "target", "message"].map(str::to_owned));
    let documented: BTreeSet<String> = documented().into_keys().map(str::to_owned).collect();
    assert_eq!(written, documented);
}

#[test]
fn the_line_of_the_page_is_one() {
    let blocks = blocks_of(PAGE, "json");
    let [block] = blocks.as_slice() else {
        panic!("one line is shown");
    };
    let line = parsed(block.trim());
    assert_eq!(
        (&line["level"], &line["message"]),
        (&json!("warn"), &json!("job failed"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_attempt_is_one_line_whatever_failed_it() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    let queues = ["again", "buried", "panics", "slow", "unfit"];
    schema.queue("dead", json!({})).await;
    for queue in queues {
        let options = match queue {
            "again" => json!({ "retryLimit": 1, "retryDelay": 0 }),
            "buried" => json!({ "retryLimit": 5, "deadLetter": "dead" }),
            "slow" => json!({ "retryLimit": 0, "expireInSeconds": 1 }),
            _ => json!({ "retryLimit": 0 }),
        };
        schema.queue(queue, options).await;
    }
    let mut config = config(&schema, &queues);
    // Nobody else takes back what overruns.
    config.worker.supervise = false;
    let crew = Crew::start(
        config,
        [
            ("again", handler(|_, _| async { Err(HandlerError::retry("not yet")) })),
            (
                "buried",
                handler(|_, _| async { Err(HandlerError::never_retry("never")) }),
            ),
            ("panics", handler(|_, _| async { panic!("out of sorts") })),
            ("slow", handler(|_, _| std::future::pending())),
            ("unfit", typed(|_: Job<u64>, _| async { Ok::<(), HandlerError>(()) })),
        ],
    );
    for queue in queues {
        schema.jobs(queue, 1).await;
    }
    let ends = [
        ("again", "failed", 2, "not yet"),
        ("buried", "dead_lettered", 1, "never"),
        ("panics", "failed", 1, "handler panicked: out of sorts"),
        ("slow", "expired", 1, "handler execution exceeded 1s"),
        ("unfit", "failed", 1, "does not fit its handler"),
    ];
    for (queue, outcome, attempts, error) in ends {
        let outcome = *Outcome::ALL.iter().find(|it| it.as_str() == outcome).expect("one");
        crew.until_processed(queue, outcome, 1).await;
        let job = schema
            .value(&format!("select id from {{schema}}.job where name = '{queue}'"))
            .await;
        let job = job.as_str().expect("an id").to_owned();
        crate::support::wait_for("the line to be written", async || lines::grave(&job).len() >= attempts).await;
        let lines = lines::grave(&job);
        assert_eq!(lines.len(), attempts, "{queue}: {lines:#?}");
        for (attempt, line) in lines.iter().enumerate() {
            assert_eq!(line["level"], "WARN", "{line:?}");
            assert_eq!(line["message"], "job failed", "{line:?}");
            assert_eq!(line["retry_count"], attempt.to_string(), "{line:?}");
            assert!(line["error"].contains(error), "{line:?}");
        }
        assert_eq!(lines[attempts - 1]["outcome"], outcome.as_str());
    }
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_the_program_are_flat_json_and_lead_to_their_traces() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    for (queue, limit) in [("web", 1), ("program", 0), ("late", 0), ("fine", 0)] {
        schema
            .queue(queue, json!({ "retryLimit": limit, "retryDelay": 0 }))
            .await;
    }
    let (collector, sink) = (Collector::start().await, Sink::start().await);
    for _ in 0..2 {
        sink.then(reply(500, "out of\norder"));
    }
    let served = format!(
        "[telemetry]\nlog_format = 'json'\notlp_endpoint = '{}'\n\
         [queues.web]\nhandler = {{ http = '{}' }}\n\
         [queues.program]\nhandler = {{ exec = ['/bin/sh', '-c', 'cat > /dev/null; echo \"no luck\" >&2; exit 3'] }}\n\
         [queues.late]\nhandler = {{ exec = ['/bin/sh', '-c', 'sleep 60'], timeout = '300ms' }}\n\
         [queues.fine]\nhandler = {{ log = true }}\n",
        collector.endpoint(),
        sink.url("/")
    );
    let strawboss = Program::start(
        &["run", "--config", "worker.toml"],
        &configuration(&schema.url, &schema.name, &served),
        &[("RUST_LOG", "strawboss=debug,info")],
    );
    for queue in ["web", "program", "late", "fine"] {
        schema.jobs(queue, 1).await;
    }
    schema
        .until("(select count(*) = 4 from {schema}.job where state in ('completed', 'failed'))")
        .await;
    let log = strawboss.stop().await.log;

    let lines: Vec<_> = log.lines().map(parsed).collect();
    let of = |message: &str| -> Vec<_> { lines.iter().filter(|line| line["message"] == message).collect() };
    let failed: Vec<_> = of("job failed");
    let mut seen: Vec<_> = failed
        .iter()
        .map(|line| {
            (
                line["queue"].as_str(),
                line["retry_count"].as_u64(),
                line["outcome"].as_str(),
            )
        })
        .collect();
    seen.sort_unstable();
    let expected = [
        ("late", 0, "failed"),
        ("program", 0, "failed"),
        ("web", 0, "retried"),
        ("web", 1, "failed"),
    ];
    let expected = expected.map(|(queue, count, outcome)| (Some(queue), Some(count), Some(outcome)));
    assert_eq!(seen, expected, "{log}");
    let grave: Vec<_> = lines
        .iter()
        .filter(|line| line["level"] == "warn" || line["level"] == "error")
        .collect();
    assert_eq!(grave.len(), failed.len(), "nothing else is grave: {log}");
    let program = failed
        .iter()
        .find(|line| line["queue"] == "program")
        .expect("it failed");
    assert_eq!(program["error"], "no luck");
    let settled = of("job settled");
    assert_eq!((settled.len(), &settled[0]["queue"]), (1, &json!("fine")), "{log}");

    // Each leads to the span of its own attempt.
    for line in failed.iter().chain(&settled) {
        let (queue, count) = (line["queue"].as_str().unwrap_or_default(), &line["retry_count"]);
        let name = format!("process {queue}");
        let span = collector
            .span(&name, |span| {
                span.name == name && span.attributes["pgboss.job.retry_count"] == *count
            })
            .await;
        assert_eq!(line["trace_id"], json!(span.trace_id), "{line:?}");
        assert_eq!(line["span_id"], json!(span.span_id), "{line:?}");
    }
}

#[tokio::test]
async fn a_filter_that_makes_no_sense_keeps_the_worker_from_starting() {
    let url = "postgres://nobody@127.0.0.1:1/none";
    for filter in ["strawboss=loud", "a=b=c"] {
        let strawboss = Program::start(
            &["run", "--config", "worker.toml"],
            &configuration(url, "pgboss", ""),
            &[("RUST_LOG", filter)],
        );
        let ended = strawboss.ended().await;
        assert_eq!(ended.code, Some(1), "{}", ended.log);
        assert!(
            ended.log.contains("RUST_LOG is not understood") && ended.log.contains("RUST_LOG=debug"),
            "{}",
            ended.log
        );
    }
}
