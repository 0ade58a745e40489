//! The pages of docs/: the reference is what the code says, and what the others show works.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use clap::Parser;
use serde_json::Value;
use strawboss::cli::Cli;
use strawboss::config::{self, Request, Severity};

use crate::readme::{anchor, blocks_of, words};

const REFERENCE: &str = include_str!("../../docs/configuration.md");
const PAGES: [(&str, &str); 6] = [
    ("configuration.md", REFERENCE),
    ("logs.md", include_str!("../../docs/logs.md")),
    ("runbook.md", include_str!("../../docs/runbook.md")),
    ("moving-a-queue.md", include_str!("../../docs/moving-a-queue.md")),
    ("serverless.md", include_str!("../../docs/serverless.md")),
    ("guarantees.md", include_str!("../../docs/guarantees.md")),
];

/// What a key may hold, in a word or two.
fn kind(schema: &Value) -> String {
    if let Some(values) = schema["enum"].as_array() {
        return values
            .iter()
            .map(|value| format!("`{value}`"))
            .collect::<Vec<_>>()
            .join(", ");
    }
    let name = |kind: &Value| match kind.as_str() {
        Some("integer") => "number".to_owned(),
        Some("boolean") => "true or false".to_owned(),
        Some("array") => format!("list of {}", kind_of_items(schema)),
        Some("object") => "table".to_owned(),
        Some("string") if schema["pattern"].as_str().is_some_and(|text| text.contains("ms")) => "duration".to_owned(),
        Some("string") => "text".to_owned(),
        _ => "any value".to_owned(),
    };
    match &schema["type"] {
        Value::Array(kinds) => kinds.iter().map(name).collect::<Vec<_>>().join(" or "),
        one => name(one),
    }
}

fn kind_of_items(schema: &Value) -> String {
    match kind(&schema["items"]).as_str() {
        "any value" => "values".to_owned(),
        "table" => "tables".to_owned(),
        text => format!("{text}s"),
    }
}

/// A row for every key below, depth first.
fn rows(page: &mut String, path: &str, schema: &Value) {
    let inner = if schema["items"]["properties"].is_object() {
        &schema["items"]
    } else {
        schema
    };
    let required: Vec<_> = inner["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (key, value) in inner["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        let default = match &value["default"] {
            Value::Null if required.contains(&key.as_str()) => "has to be given".to_owned(),
            Value::Null => String::new(),
            default => format!("`{default}`"),
        };
        let text = value["description"]
            .as_str()
            .unwrap_or_default()
            .replace('\n', " ")
            .replace('|', "\\|");
        writeln!(page, "| `{path}` | {} | {default} | {text} |", kind(value)).expect("to memory");
        rows(page, &path, value);
    }
}

fn reference() -> String {
    let schema = serde_json::to_value(config::json_schema()).expect("JSON");
    let mut page = "# Configuration reference\n\nEvery key of `strawboss.toml`, as the program knows it; made by \
        `STRAWBOSS_WRITE_DOCS=1 cargo test --test it docs::`. [README](../README.md#configuration) explains them,\n\
        `strawboss config example` prints a complete file. A duration has a unit: `\"500ms\"`, `\"30s\"`, `\"1d\"`. Where no \
        default stands, there is none, or the description says what holds.\n"
        .to_owned();
    for (section, value) in schema["properties"].as_object().expect("sections") {
        let (title, path, node) = match (section.as_str(), &value["additionalProperties"]) {
            ("schedules", _) => ("[[schedules]]".to_owned(), "schedules".to_owned(), value),
            (_, inner) if inner.is_object() => (format!("[{section}.NAME]"), format!("{section}.NAME"), inner),
            _ => (format!("[{section}]"), section.clone(), value),
        };
        let text = value["description"].as_str().unwrap_or_default();
        write!(
            page,
            "\n## {title}\n\n{text}\n\n| key | is | default | |\n|---|---|---|---|\n"
        )
        .expect("to memory");
        rows(&mut page, &path, node);
    }
    page
}

#[test]
fn the_reference_is_what_the_program_knows() {
    let made = reference();
    if std::env::var_os("STRAWBOSS_WRITE_DOCS").is_some() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
        std::fs::write(file, &made).expect("written");
        return;
    }
    assert!(made.lines().count() > 80, "{made}");
    assert!(
        made == REFERENCE,
        "docs/configuration.md is not current; STRAWBOSS_WRITE_DOCS=1 cargo test --test it docs:: writes it"
    );
}

#[test]
fn every_command_and_every_configuration_of_a_page_is_understood() {
    let mut seen = 0;
    for (name, text) in PAGES {
        for line in blocks_of(text, "sh").iter().flat_map(|block| block.lines()) {
            let line = line.split(" #").next().unwrap_or_default();
            if line.starts_with("strawboss ") {
                Cli::try_parse_from(words(line)).unwrap_or_else(|error| panic!("{name}: {line}\n{error}"));
                seen += 1;
            }
        }
        // Each variable that is named without a default is set, and no other.
        let environment = |name: &str| match name {
            "DATABASE_URL" => Some("postgres://localhost/app".to_owned()),
            _ if text.contains(&format!("${{{name}}}")) => Some("whsec_c2VjcmV0LW9mLXRoZS1leGFtcGxl".to_owned()),
            _ => None,
        };
        for block in blocks_of(text, "toml") {
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), &block).expect("written");
            let request = Request {
                file: Some(file.path()),
                environment: &environment,
                ..Request::process()
            };
            let findings = config::read(&request).findings;
            let errors: Vec<_> = findings
                .iter()
                .filter(|finding| finding.severity == Severity::Error)
                .collect();
            assert!(errors.is_empty(), "{name}: {block}\n{errors:#?}");
            seen += 1;
        }
    }
    assert!(seen > 5, "only {seen} were found");
}

#[test]
fn no_link_of_a_page_leads_nowhere() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let anchors =
        |text: &str| -> BTreeSet<_> { text.lines().filter(|line| line.starts_with('#')).map(anchor).collect() };
    let mut seen = 0;
    for (name, text) in PAGES {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                docs.join(name)
            } else {
                docs.join(file)
            };
            let there = std::fs::read_to_string(&target).unwrap_or_else(|_| panic!("{name}: no file for {link}"));
            assert!(
                place.is_empty() || anchors(&there).contains(place),
                "{name}: no heading for {link}"
            );
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen} were found");
}
