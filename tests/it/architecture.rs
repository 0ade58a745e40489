//! The invariants of ARCHITECTURE.md, those of absence above all, read off the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const ARCHITECTURE: &str = include_str!("../../ARCHITECTURE.md");

/// A source file without its comments and its unit tests.
struct Source {
    /// Below `src`.
    path: String,
    code: String,
}

impl Source {
    fn read(file: &Path) -> Source {
        let text = fs::read_to_string(file).expect("it is there");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let comment = if file.extension().is_some_and(|kind| kind == "sql") {
            "-- "
        } else {
            "//"
        };
        let lines = code.lines().filter(|line| !line.trim_start().starts_with(comment));
        Source {
            path: file.strip_prefix(root()).expect("below").display().to_string(),
            code: lines.collect::<Vec<_>>().join("\n"),
        }
    }

    /// Whether it belongs to that room: `settle` is `settle.rs` and all below `settle/`.
    fn is_of(&self, room: &str) -> bool {
        self.path == format!("{room}.rs") || self.path == room || self.path.starts_with(&format!("{room}/"))
    }

    fn has(&self, pattern: &str) -> bool {
        self.code.contains(pattern)
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// All sources of a kind.
fn sources(kind: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut open = vec![root()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == kind) && !path.ends_with("tests.rs") {
                found.push(Source::read(&path));
            }
        }
    }
    assert!(found.len() > 5, "only {} sources were found", found.len());
    found
}

/// What has one of the patterns, of those rooms alone.
fn within<'a>(rooms: &'a [&str], patterns: &'a [&str]) -> Vec<String> {
    for room in rooms {
        assert!(
            sources("rs").iter().any(|source| source.is_of(room)),
            "there is no room {room}"
        );
    }
    having(patterns, |source| rooms.iter().any(|room| source.is_of(room)))
}

/// What has one of the patterns, those rooms aside.
fn beyond(rooms: &[&str], patterns: &[&str]) -> Vec<String> {
    having(patterns, |source| !rooms.iter().any(|room| source.is_of(room)))
}

fn having(patterns: &[&str], wanted: impl Fn(&Source) -> bool) -> Vec<String> {
    let found = sources("rs").into_iter().filter(|source| wanted(source));
    found
        .flat_map(|source| {
            let path = source.path.clone();
            let met = patterns.iter().filter(move |pattern| source.has(pattern));
            met.map(|pattern| format!("{path}: {pattern}")).collect::<Vec<_>>()
        })
        .collect()
}

const NOTHING: [String; 0] = [];

#[test]
fn the_row_decides_about_a_retry() {
    assert_eq!(within(&["settle"], &["retry_delay", "retry_backoff"]), NOTHING);
}

#[test]
fn every_write_of_a_verdict_is_fenced() {
    let fence = ["j.state = 'active'", "j.retry_count = v.retry_count"];
    assert_eq!(within(&["settle", "run", "upkeep"], &["by_hand"]), NOTHING);
    let written = sources("sql");
    for name in [
        "settle/complete.sql",
        "settle/fail.sql",
        "settle/release.sql",
        "run/touch.sql",
    ] {
        let source = written.iter().find(|source| source.path == name).expect(name);
        let mut lines = source.code.lines();
        // What a person fails at the desk is no verdict; `settle` never asks for that.
        let always = |line: &str| {
            line.split_once("--?")
                .is_none_or(|(_, guard)| guard.trim() == "!+by_hand")
        };
        assert!(
            lines.any(|line| fence.iter().all(|half| line.contains(half)) && always(line)),
            "{name}"
        );
    }
}

#[test]
fn rows_are_judged_by_the_database_s_clock() {
    let rooms = ["enqueue", "claim", "run", "settle", "upkeep", "schedule", "desk"];
    assert_eq!(within(&rooms, &["Utc::now", "SystemTime::now", "Local::now"]), NOTHING);
}

#[test]
fn a_job_holds_no_transaction() {
    assert_eq!(
        within(&["claim", "run", "handler", "settle"], &["transaction(", "BEGIN"]),
        NOTHING
    );
}

#[test]
fn only_handlers_and_windows_talk_http() {
    let patterns = ["axum", "hyper", "reqwest::Client", "reqwest::get", "use reqwest::{"];
    assert_eq!(beyond(&["handler", "server", "observe"], &patterns), NOTHING);
}

#[test]
fn handlers_know_no_database() {
    assert_eq!(
        within(&["handler"], &["postgres", "dialect::", "enqueue::", "settle::"]),
        NOTHING
    );
}

#[test]
fn the_road_does_not_know_what_travels_on_it() {
    let nouns = [
        "crate::job",
        "crate::queue",
        "crate::claim",
        "crate::run",
        "crate::settle",
        "crate::handler",
    ];
    assert_eq!(within(&["postgres"], &nouns), NOTHING);
}

#[test]
fn pure_decisions_never_wait() {
    let rooms = [
        "settle/lane.rs",
        "settle/output.rs",
        "settle/jsonb.rs",
        "handler/http/answer.rs",
        "handler/http/signature.rs",
        "schedule/cron",
        "schedule/pass.rs",
        "schedule/recurrence.rs",
        "schedule/rule",
        "dialect/capability.rs",
        "dialect/template.rs",
        "events/retry.rs",
        "events/circuit.rs",
        "events/key.rs",
        "events/validation.rs",
        "events/deep.rs",
        "server/api/shape.rs",
        "server/api/issue.rs",
        "server/api/request.rs",
        "server/api/options.rs",
        "server/api/guard.rs",
        "server/api/cors.rs",
        "config",
    ];
    assert_eq!(within(&rooms, &["async ", ".await"]), NOTHING);
}

#[test]
fn whoever_prints_or_runs_asks_no_questions() {
    let statements = ["SELECT ", "INSERT ", "UPDATE ", "DELETE "];
    assert_eq!(within(&["cli", "handler"], &statements), NOTHING);
}

#[test]
fn no_schema_is_altered() {
    // The demo drops what it made; supervision drops days of the history, and, where asked to, what is left of an index.
    let free = ["schema/manifest", "demo", "upkeep/history.rs", "upkeep/indexes.rs"];
    let kept = |source: &Source| !free.iter().any(|room| source.is_of(room));
    assert_eq!(having(&["ALTER ", "DROP "], kept), NOTHING);
    let dropped: BTreeSet<&str> = sources("rs")
        .iter()
        .filter(|source| source.is_of("upkeep"))
        .flat_map(|source| {
            source
                .code
                .match_indices("DROP ")
                .map(|(at, _)| source.code[at..].to_owned())
                .collect::<Vec<_>>()
        })
        .map(|rest| {
            if rest.starts_with("DROP TABLE IF EXISTS {}.{}") {
                "a day"
            } else if rest.starts_with("DROP INDEX CONCURRENTLY IF EXISTS {}") {
                "an index"
            } else {
                "something else"
            }
        })
        .collect();
    assert_eq!(dropped, BTreeSet::from(["a day", "an index"]));
    assert_eq!(within(&["upkeep"], &["ALTER "]), NOTHING);
    for source in sources("sql") {
        assert!(!source.has("ALTER ") && !source.has("DROP "), "{}", source.path);
    }
}

#[test]
fn only_commands_print() {
    assert_eq!(
        beyond(&["cli", "main"], &["println!", "print!", "eprint", "dbg!"]),
        NOTHING
    );
}

#[test]
fn tasks_are_spawned_by_name() {
    let patterns = [
        "tokio::spawn",
        "thread::spawn",
        "thread::Builder",
        "spawn_blocking",
        "JoinSet",
        "spawn_local",
    ];
    // A client's sends are not of any worker.
    let elsewhere = [
        "lifecycle",
        "postgres",
        "observe",
        "demo",
        "bench",
        "events/testing",
        "client/gather",
    ];
    assert_eq!(beyond(&elsewhere, &patterns), NOTHING);
}

#[test]
fn nothing_is_unsafe_or_unwrapped() {
    assert_eq!(beyond(&[], &["unsafe ", ".unwrap()"]), NOTHING);
}

/// The tasks that are spawned are those of the table.
#[test]
fn the_servants_are_listed() {
    let mut spawned = BTreeSet::new();
    for source in sources("rs").iter().filter(|source| source.is_of("worker")) {
        let flat = source.code.split_whitespace().collect::<Vec<_>>().join(" ");
        for call in ["spawn(", "spawn_apart(", "spawn_handler("] {
            for rest in flat.split(call).skip(1) {
                let name = rest
                    .trim_start()
                    .strip_prefix('"')
                    .and_then(|rest| rest.split('"').next());
                spawned.extend(name.map(str::to_owned));
            }
        }
    }
    let from = ARCHITECTURE.find("| task | does |").expect("the table");
    let rows = ARCHITECTURE[from..]
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let listed: BTreeSet<String> = rows
        .flat_map(|row| {
            let cell = row.split('|').nth(1).unwrap_or_default();
            cell.split('`').skip(1).step_by(2).map(str::to_owned)
        })
        .collect();
    assert_eq!(listed, spawned);
}
