//! What README.md and its companions show works, and what they name is there.

use std::collections::BTreeSet;
use std::path::Path;

use clap::{CommandFactory, Parser};
use prometheus::core::Collector;
use serde_json::Value;
use strawboss::cli::Cli;
use strawboss::config::{self, Request, Severity};
use strawboss::dialect::{NEWEST, OLDEST, releases};
use strawboss::observe::Metrics;

const README: &str = include_str!("../../README.md");
const ARCHITECTURE: &str = include_str!("../../ARCHITECTURE.md");
const CHANGELOG: &str = include_str!("../../CHANGELOG.md");

/// The fenced blocks of a language in README.
fn blocks(language: &str) -> Vec<String> {
    let found = blocks_of(README, language);
    assert!(!found.is_empty(), "there is no block of {language}");
    found
}

/// The fenced blocks of a language.
pub fn blocks_of(text: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(tag) = line.strip_prefix("```") else { continue };
        let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        if tag == language {
            found.push(block.join("\n") + "\n");
        }
    }
    found
}

/// The spans of code in a text, fenced blocks left out.
fn spans(text: &str) -> Vec<&str> {
    let mut spans = Vec::new();
    for (n, part) in text.split("\n```").enumerate() {
        // Every other part is a block.
        if n % 2 == 0 {
            spans.extend(part.split('`').skip(1).step_by(2));
        }
    }
    spans
}

/// The rows of the table that begins with this heading, as their cells.
fn table(text: &'static str, heading: &str) -> Vec<Vec<&'static str>> {
    let from = text.find(heading).unwrap_or_else(|| panic!("no table {heading}"));
    let rows = text[from..].lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect()
}

#[test]
fn every_configuration_is_in_order() {
    // Each variable without a default is set, and no other.
    let environment = |name: &str| match name {
        "DATABASE_URL" => Some("postgres://localhost/app".to_owned()),
        _ if README.contains(&format!("${{{name}}}")) => Some("whsec_c2VjcmV0LW9mLXRoZS1leGFtcGxl".to_owned()),
        _ => None,
    };
    for block in blocks("toml") {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), &block).expect("written");
        let report = config::read(&Request {
            file: Some(file.path()),
            environment: &environment,
            ..Request::process()
        });
        let errors: Vec<_> = report
            .findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .collect();
        assert!(errors.is_empty(), "{block}\n{errors:#?}");
    }
}

#[test]
fn the_example_is_shown_as_it_is() {
    let toml = include_str!("../../examples/node-app/strawboss.toml");
    assert!(blocks("toml").iter().any(|block| block == toml));
    let app = include_str!("../../examples/node-app/app.mjs");
    for line in blocks("js").concat().lines() {
        let line = line.split("  //").next().unwrap_or_default().trim();
        assert!(app.contains(line), "app.mjs has no line {line}");
    }
}

/// The words of one command, as a shell would part them; what comes after a `>` is left out.
pub fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote, mut begun) = (String::new(), None, false);
    for character in command.chars() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '\'' | '"') => (quote, begun) = (Some(character), true),
            (None, '>') => break,
            (None, ' ') => {
                if begun {
                    words.push(std::mem::take(&mut word));
                    begun = false;
                }
            }
            _ => {
                word.push(character);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

#[test]
fn every_command_line_is_understood() {
    let mut seen = 0;
    for block in blocks("sh") {
        for line in block.lines() {
            let line = line.split(" #").next().unwrap_or_default();
            for command in line.split(" | ") {
                let words = words(command);
                let ours = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                    ["strawboss", ..] => words.clone(),
                    ["cargo", "run", "--release", "--", ..] => words[3..].to_vec(),
                    ["cargo", "run", "--example", name] => {
                        let file = format!("{}/examples/{name}.rs", env!("CARGO_MANIFEST_DIR"));
                        assert!(Path::new(&file).exists(), "there is no {file}");
                        continue;
                    }
                    _ => continue,
                };
                if let Err(error) = Cli::try_parse_from(&ours) {
                    panic!("{line}\n{error}");
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 10, "only {seen} command lines were found");
}

#[test]
fn every_command_named_is_there_and_every_command_is_named() {
    let cli = Cli::command();
    for span in spans(README).iter().chain(&spans(ARCHITECTURE)) {
        let Some(rest) = span.strip_prefix("strawboss ") else {
            continue;
        };
        let mut command = &cli;
        for word in rest.split(' ') {
            if let Some(option) = word.strip_prefix("--") {
                assert!(
                    command.get_arguments().any(|known| known.get_long() == Some(option)),
                    "{span}"
                );
            } else if command.has_subcommands() {
                command = command.find_subcommand(word).unwrap_or_else(|| panic!("{span}"));
            }
        }
    }
    for command in cli.get_subcommands() {
        let row = format!("| `strawboss {}", command.get_name());
        assert!(README.contains(&row), "the table has no {}", command.get_name());
    }
}

#[test]
fn the_metrics_named_are_those_that_are_there() {
    let metrics = Metrics::new();
    let mut there: BTreeSet<String> = metrics
        .registry
        .gather()
        .iter()
        .map(|family| family.name().to_owned())
        .filter(|name| !name.starts_with("process_"))
        .collect();
    // These have no series before they are used.
    let unused: [&dyn Collector; 34] = [
        &metrics.jobs_processed,
        &metrics.trace_spans,
        &metrics.job_duration,
        &metrics.job_wait,
        &metrics.job_attempts,
        &metrics.jobs_in_flight,
        &metrics.concurrency_limit,
        &metrics.oldest_running,
        &metrics.queue_paused,
        &metrics.claim_duration,
        &metrics.claim_batch_size,
        &metrics.wakeups,
        &metrics.settle_duration,
        &metrics.settle_batch_size,
        &metrics.settle_failures,
        &metrics.fence_rejections,
        &metrics.heartbeats,
        &metrics.rescued_jobs,
        &metrics.schedule_fires,
        &metrics.db_errors,
        &metrics.http_push_requests,
        &metrics.event_handler_runs,
        &metrics.event_handler_duration,
        &metrics.event_duplicates_skipped,
        &metrics.event_circuit_state,
        &metrics.event_circuit_transitions,
        &metrics.event_outbox_relayed,
        &metrics.event_dead_letters,
        &metrics.event_query_duration,
        &metrics.queue_jobs,
        &metrics.queue_oldest_ready,
        &metrics.dead_letter_jobs,
        &metrics.dead_tuples,
        &metrics.live_tuples,
    ];
    for collector in unused {
        there.extend(collector.desc().iter().map(|desc| desc.fq_name.clone()));
    }
    let named: BTreeSet<String> = README
        .split(|character: char| !(character.is_ascii_alphanumeric() || character == '_'))
        .filter(|word| word.starts_with("pgboss_") || word.starts_with("http_push_"))
        .map(str::to_owned)
        .collect();
    // The app's own tables have names that begin like those of events.
    let ours: BTreeSet<String> = there
        .iter()
        .filter(|name| !name.starts_with("event_"))
        .cloned()
        .collect();
    assert_eq!(named, ours);
    let listed: BTreeSet<String> = table(README, "| metric | labels |")
        .iter()
        .flat_map(|row| row[0].split(", ").map(|name| name.trim_matches('`').to_owned()))
        .collect();
    assert_eq!(listed, there);
}

/// What a node of the JSON Schema has under that key.
fn property<'a>(schema: &'a Value, node: &'a Value, key: &str) -> &'a Value {
    let node = resolved(schema, node);
    match &node["properties"][key] {
        Value::Null => &node["additionalProperties"],
        found => found,
    }
}

fn resolved<'a>(schema: &'a Value, node: &'a Value) -> &'a Value {
    let reference = [&node["$ref"], &node["allOf"][0]["$ref"], &node["anyOf"][0]["$ref"]]
        .into_iter()
        .find_map(Value::as_str);
    match reference.and_then(|reference| reference.strip_prefix('#')) {
        Some(pointer) => schema.pointer(pointer).expect("the schema refers to itself"),
        None => node,
    }
}

#[test]
fn the_keys_of_the_configuration_are_those_that_are_read() {
    let schema: Value = serde_json::to_value(config::json_schema()).expect("JSON");
    let mut there = BTreeSet::new();
    for section in [
        "database",
        "worker",
        "http",
        "upkeep",
        "cron",
        "telemetry",
        "queues.NAME",
    ] {
        let node = section
            .split('.')
            .fold(&schema, |node, key| property(&schema, node, key));
        let keys = resolved(&schema, node)["properties"].as_object().expect("keys").keys();
        there.extend(keys.map(|key| format!("{section}.{key}")));
    }
    // A list, which has a row of its own.
    there.insert("schedules".to_owned());
    let named: BTreeSet<String> = table(README, "| key | default |")
        .iter()
        .flat_map(|row| row[0].split(", ").map(|key| key.trim_matches('`').to_owned()))
        .collect();
    assert_eq!(named, there);
}

#[test]
fn the_releases_of_each_schema_are_named() {
    for version in OLDEST..=NEWEST {
        let row = format!("| {} | {version} |", releases(version).expect("it is spoken"));
        assert!(README.contains(&row), "no cell {row}");
    }
    assert!(README.contains(&format!("Schemas {OLDEST} to {NEWEST}.")));
}

#[test]
fn the_version_is_that_of_the_package() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(README.contains(&format!("This is release {version}.")));
    let newest = CHANGELOG.lines().find(|line| line.starts_with("## ["));
    assert!(
        newest.is_some_and(|line| line.starts_with(&format!("## [{version}]"))),
        "{newest:?}"
    );
}

/// The anchor that a heading has on a page.
pub fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    heading
        .chars()
        .filter(|character| character.is_alphanumeric() || matches!(character, ' ' | '-'))
        .map(|character| if character == ' ' { '-' } else { character })
        .collect()
}

#[test]
fn no_link_leads_nowhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for text in [README, ARCHITECTURE, CHANGELOG] {
        let anchors: BTreeSet<_> = text.lines().filter(|line| line.starts_with('#')).map(anchor).collect();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            match link.strip_prefix('#') {
                Some(place) => assert!(anchors.contains(place), "no heading for {link}"),
                None if link.contains("://") => {}
                None => assert!(root.join(link).exists(), "no file for {link}"),
            }
        }
        let places = ["src/", "tests/", "schema/", "examples/", "bench/", ".ci/"];
        for span in spans(text) {
            if places.iter().any(|place| span.starts_with(place)) {
                assert!(root.join(span).exists(), "no file for {span}");
            }
        }
    }
}
