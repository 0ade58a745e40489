//! The program as a user meets it: arguments, output, exit codes.

mod check;
mod decide;
mod events;
mod jobs;
mod send;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::Schema;

/// What a command came to.
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }

    /// The output of a command that did what it should.
    pub fn well(self) -> Ended {
        assert_eq!(self.code, 0, "{}\n{}", self.out, self.err);
        self
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Ended {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Ended {
            code: output.status.code().expect("it exits by itself"),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

/// The program with nothing of our environment, in a directory with nothing in it.
pub fn program(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strawboss"));
    command
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .current_dir(directory);
    command
}

pub fn run(arguments: &[&str]) -> Ended {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = program(directory.path(), arguments);
    command.output().expect("the program runs").into()
}

/// Runs a command against a schema.
pub fn run_on(schema: &Schema, arguments: &[&str]) -> Ended {
    let database = ["--database-url", &schema.url, "--schema", &schema.name];
    run(&[arguments, &database].concat())
}

/// Runs a command against a schema, with something on standard input.
fn run_with(schema: &Schema, arguments: &[&str], input: &str) -> Ended {
    let directory = tempfile::tempdir().expect("a directory");
    let mut child = program(directory.path(), arguments)
        .args(["--database-url", &schema.url, "--schema", &schema.name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    child.wait_with_output().expect("it ends").into()
}

#[test]
fn the_example_is_in_order_and_read_from_the_current_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    let example = run(&["config", "example"]).well().out;
    std::fs::write(directory.path().join("strawboss.toml"), example).expect("written");
    let output = program(directory.path(), &["check"])
        .output()
        .expect("the program runs");
    let ended = Ended::from(output).well();
    assert!(
        ended.out.starts_with("configuration: strawboss.toml\n"),
        "{}",
        ended.out
    );
    assert!(
        ended
            .out
            .contains("does not answer, so only the configuration was checked")
    );
}

#[test]
fn the_schema_is_json_schema() {
    let schema = run(&["config", "schema"]).well().json();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    assert_eq!(
        schema["properties"]["worker"]["properties"]["concurrency"]["default"],
        64
    );
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = run(&["completions", shell]).well();
        assert!(ended.out.contains("singleton-key"), "{shell}: {}", ended.out);
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut child = program(directory.path(), &["completions", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    drop(child.stdout.take());
    let ended = Ended::from(child.wait_with_output().expect("it ends")).well();
    assert_eq!(ended.err, "");
}

#[test]
fn wrong_usage_is_exit_code_2_on_standard_error() {
    for arguments in [
        &[][..],
        &["nonsense"],
        &["jobs", "list"],
        &["jobs", "list", "q", "--state", "done"],
        &["jobs", "list", "q", "--data", "{"],
        &["jobs", "show", "q", "7"],
        &["send", "q", "{"],
        &["send", "q", "-", "--id", "4d9de3c4-8e0e-4c5e-9d4a-3f0e6f0b1a55"],
        &["bench", "drain", "--jobs", "0"],
        &["completions", "csh"],
    ] {
        let ended = run(arguments);
        assert_eq!(ended.code, 2, "{arguments:?}: {}", ended.err);
        assert_eq!(ended.out, "", "{arguments:?}");
        assert_ne!(ended.err, "", "{arguments:?}");
    }
}

#[test]
fn every_command_teaches() {
    let commands = [
        "demo",
        "run",
        "check",
        "top",
        "send",
        "queues list",
        "queues show",
        "queues create",
        "jobs list",
        "jobs show",
        "schema status",
        "schema install",
        "schema verify",
        "bench drain",
        "bench send",
        "bench latency",
        "bench idle",
        "config example",
        "config schema",
        "completions",
    ];
    for command in commands {
        let arguments: Vec<_> = command.split(' ').chain(["--help"]).collect();
        let help = run(&arguments).well().out;
        assert!(help.contains("Example"), "{command}: {help}");
        assert!(help.contains(&format!("strawboss {command}")), "{command}: {help}");
        assert!(!help.contains('\x1b'), "{command} is coloured for nobody");
    }
}

#[test]
fn without_a_database_the_error_says_what_to_do_next() {
    let ended = run(&["queues", "list"]);
    assert_eq!((ended.code, ended.out.as_str()), (1, ""));
    assert!(
        ended.err.contains("DATABASE_URL") && ended.err.contains("\nnext: "),
        "{}",
        ended.err
    );

    // A port that nothing listens on: it was ours until just now.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("bound").port();
    drop(free);
    let url = format!("postgres://app:hunter2@127.0.0.1:{port}/app");
    let ended = run(&["queues", "list", "--database-url", &url]);
    assert_eq!(ended.code, 1);
    assert!(
        ended.err.contains(&format!("app@127.0.0.1:{port}/app")),
        "{}",
        ended.err
    );
    assert!(ended.err.contains("next: is PostgreSQL up"), "{}", ended.err);
    assert!(!ended.err.contains("hunter2"));
}
