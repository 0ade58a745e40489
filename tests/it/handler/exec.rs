//! Programs: what they read, and what each way to end comes to.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::{Value, json};
use strawboss::config::HandlerConfig;
use strawboss::handler::{Handler, HandlerError, SetupError, Then};
use strawboss::job::RawJson;
use strawboss::observe::propagation;
use tempfile::TempDir;

use super::{LONG, context, job, made, raw, refused, run, text, value};
use crate::support::wait_for;

/// A shell script as a handler, with a directory of its own to work in.
struct Script {
    handler: Arc<dyn Handler>,
    dir: TempDir,
}

impl Script {
    fn new(script: &str) -> Script {
        Script::within(script, LONG)
    }

    fn within(script: &str, timeout: Duration) -> Script {
        let dir = TempDir::new().expect("a directory");
        let config = HandlerConfig::Exec {
            command: ["sh", "-c", script].map(str::to_owned).to_vec(),
            timeout,
            working_dir: Some(dir.path().to_owned()),
            env: BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]),
        };
        Script {
            handler: made(&config),
            dir,
        }
    }

    async fn run(&self) -> Result<Option<RawJson>, HandlerError> {
        run(&self.handler).await
    }

    async fn fails(&self) -> HandlerError {
        self.run().await.expect_err("a failure")
    }

    /// The process whose id the script writes to that file.
    async fn process(&self, file: &str) -> Process {
        let file = self.dir.path().join(file);
        let read = || fs::read_to_string(&file).ok().filter(|text| text.ends_with('\n'));
        wait_for("the script to write its process's id", async || read().is_some()).await;
        Process(Pid::from_raw(read().expect("text").trim().parse().expect("an id")))
    }
}

struct Process(Pid);

impl Process {
    /// Alive, and not merely a zombie that nobody has asked for yet.
    fn runs(&self) -> bool {
        let zombie = fs::read_to_string(format!("/proc/{}/stat", self.0)).is_ok_and(|stat| {
            stat.rsplit(')')
                .next()
                .is_some_and(|rest| rest.trim_start().starts_with('Z'))
        });
        kill(self.0, None).is_ok() && !zombie
    }

    async fn until_gone(&self) -> Duration {
        wait_for("a process to end", async || !self.runs()).await
    }
}

#[tokio::test]
async fn a_program_reads_the_job_as_one_object() {
    let script = Script::new("cat");
    let job = job(r#"{"z": 1.00, "a": 123456789012345678901234567890}"#);
    let mut context = context(LONG);
    let carrier = raw(r#"{"traceparent":"00-11111111111111111111111111111111-2222222222222222-01"}"#);
    context.trace = propagation::extract(Some(&carrier));
    let output = script.handler.run(Arc::new(job), context).await.expect("done");
    let output = output.expect("an output");
    assert!(
        output
            .get()
            .contains(r#""data":{"z": 1.00, "a": 123456789012345678901234567890},"#),
        "{}",
        output.get()
    );
    let mut read: Value = serde_json::from_str(output.get()).expect("JSON");
    read["data"].take();
    assert_eq!(
        read,
        json!({
            "id": "7b0c4a34-6b1c-4f51-9b8e-0a3d5f3c2e11",
            "queue": "mail/out",
            "name": "mail/out",
            "data": null,
            "retryCount": 1,
            "retryLimit": 4,
            "priority": 3,
            "createdOn": "2026-01-02T03:04:05.678Z",
            "startAfter": "2026-01-02T03:04:06.000Z",
            "startedOn": "2026-01-02T03:05:00.000Z",
            "deadline": "2026-01-02T03:20:00.000Z",
            "expireInSeconds": 900.0,
            "groupId": "tenant-1",
            "groupTier": null,
            "singletonKey": "only",
            "traceparent": "00-11111111111111111111111111111111-2222222222222222-01",
        })
    );
}

#[tokio::test]
async fn a_program_finds_the_job_in_its_environment_and_itself_in_its_directory() {
    let script = Script::new(
        r#"printf '["%s","%s","%s","%s","%s","%s","%s","%s","%s"]' "$PGBOSS_JOB_ID" "$PGBOSS_QUEUE" "$PGBOSS_RETRY_COUNT" \
           "$PGBOSS_RETRY_LIMIT" "$PGBOSS_CREATED_ON" "$PGBOSS_DEADLINE" "${TRACEPARENT-none}" "$GREETING" "$(pwd -P)""#,
    );
    let dir = script.dir.path().canonicalize().expect("the directory");
    assert_eq!(
        value(script.run().await.expect("done")),
        json!([
            "7b0c4a34-6b1c-4f51-9b8e-0a3d5f3c2e11",
            "mail/out",
            "1",
            "4",
            "2026-01-02T03:04:05.678Z",
            "2026-01-02T03:20:00.000Z",
            "none",
            "hello",
            dir,
        ])
    );
}

#[tokio::test]
async fn standard_output_is_the_output_if_it_is_json() {
    for (script, expected) in [
        (r#"echo '{"b":1.0,"a":[2]}'"#, Some(r#"{"b":1.0,"a":[2]}"#)),
        ("echo; echo ' 7 '", Some("7")),
        ("echo null", None),
        ("echo done", None),
        ("printf '\"\\377\"'", None),
        ("echo complaining >&2", None),
        ("true", None),
    ] {
        let output = Script::new(script).run().await.expect("done");
        assert_eq!(text(output).as_deref(), expected, "{script}");
    }
}

#[tokio::test]
async fn the_exit_status_is_the_verdict_and_standard_error_the_message() {
    for (script, then, message, exit_code) in [
        ("echo no such order >&2; exit 65", Then::DeadLetter, "no such order", 65),
        ("echo later >&2; exit 75", Then::Retry, "later", 75),
        ("echo a >&2; echo b >&2; exit 1", Then::Retry, "a\nb", 1),
    ] {
        let error = Script::new(script).fails().await;
        assert_eq!((error.then, error.message.as_str()), (then, message), "{script}");
        assert_eq!(error.name, "ExitError");
        assert_eq!(Value::Object(error.detail), json!({ "exitCode": exit_code }));
    }
    let error = Script::new("echo '{}'; exit 3").fails().await;
    assert!(error.message.ends_with("/sh exited with status 3"), "{error}");
}

#[tokio::test]
async fn only_the_tail_of_standard_error_is_the_message() {
    let script = "i=0; while [ $i -lt 3000 ]; do echo line $i >&2; i=$((i+1)); done; exit 1";
    let error = Script::new(script).fails().await;
    assert!(error.message.starts_with('…'), "{error}");
    assert!(error.message.ends_with("line 2998\nline 2999"), "{error}");
    assert!((4000..4200).contains(&error.message.len()), "{}", error.message.len());
}

#[tokio::test]
async fn a_signal_is_named() {
    let error = Script::new("echo oops >&2; kill -SEGV $$").fails().await;
    assert_eq!(error.then, Then::Retry);
    assert!(error.message.ends_with("/sh was ended by SIGSEGV: oops"), "{error}");
    assert_eq!(error.detail["signal"], "SIGSEGV");
}

#[tokio::test]
async fn ten_megabytes_in_and_out_hold_nobody_up() {
    let big = format!("\"{}\"", "x".repeat(10 * 1024 * 1024));
    // It writes while it reads: whoever does one after the other waits for ever.
    let script = Script::new("tee count >&2; wc -c < count");
    let output = script.handler.run(Arc::new(job(&big)), context(LONG)).await;
    let read: usize = text(output.expect("done"))
        .expect("a number")
        .parse()
        .expect("a number");
    assert!(read > big.len());

    let echoed = Script::new("cat").handler.run(Arc::new(job(&big)), context(LONG)).await;
    assert_eq!(
        value(echoed.expect("done")),
        json!({ "outputDropped": "standard output was larger than 1048576 bytes" })
    );
}

#[tokio::test]
async fn a_program_need_not_read_its_input() {
    let big = format!("\"{}\"", "x".repeat(1024 * 1024));
    let script = Script::new("exec <&-; echo 1");
    let output = script.handler.run(Arc::new(job(&big)), context(LONG)).await;
    assert_eq!(text(output.expect("done")).as_deref(), Some("1"));
}

#[tokio::test]
async fn on_timeout_the_whole_group_is_ended() {
    let script = Script::within(
        "sleep 300 & echo $! > child; (sleep 301 & echo $! > grandchild; wait) & echo at work >&2; wait",
        Duration::from_millis(500),
    );
    let error = script.fails().await;
    assert_eq!((error.name.as_str(), error.then), ("TimeoutError", Then::Retry));
    assert!(error.message.ends_with("/sh did not end within 500.0ms"), "{error}");
    assert_eq!(error.detail["stderr"], "at work");
    for file in ["child", "grandchild"] {
        script.process(file).await.until_gone().await;
    }
}

#[tokio::test]
async fn who_ignores_sigterm_gets_sigkill_after_a_grace() {
    let script = Script::within(
        "trap '' TERM; echo $$ > leader; while :; do sleep 0.1; done",
        Duration::from_millis(300),
    );
    let began = Instant::now();
    assert_eq!(script.fails().await.name, "TimeoutError");
    assert!(began.elapsed() > Duration::from_secs(2), "{:?}", began.elapsed());
    script.process("leader").await.until_gone().await;
}

#[tokio::test]
async fn a_program_may_say_a_last_word_on_sigterm() {
    let script = Script::within(
        "trap 'echo interrupted >&2; exit 0' TERM; while :; do sleep 0.05; done",
        Duration::from_millis(300),
    );
    let error = script.fails().await;
    assert_eq!(error.name, "TimeoutError");
    let said = error.detail["stderr"].as_str().expect("text");
    assert!(said.ends_with("interrupted"), "{said}");
}

#[tokio::test]
async fn what_is_left_of_the_expiry_ends_it_too() {
    let script = Script::new("sleep 300");
    let ran = script
        .handler
        .run(Arc::new(job("{}")), context(Duration::from_millis(100)))
        .await;
    let error = ran.expect_err("a failure");
    assert_eq!(error.name, "TimeoutError");
    assert!(error.message.contains("left of the job's expiry"), "{error}");

    let script = Script::new("touch ran");
    let ran = script.handler.run(Arc::new(job("{}")), context(Duration::ZERO)).await;
    assert_eq!(ran.expect_err("a failure").name, "TimeoutError");
    assert!(!script.dir.path().join("ran").exists());
}

#[tokio::test]
async fn cancelling_ends_the_group() {
    let script = Script::new("sleep 300 & echo $! > child; wait");
    let context = context(LONG);
    let cancelled = context.cancelled.clone();
    let run = tokio::spawn(script.handler.run(Arc::new(job("{}")), context));
    let child = script.process("child").await;
    cancelled.cancel();
    let error = run.await.expect("no panic").expect_err("a failure");
    assert_eq!((error.name.as_str(), error.then), ("AbortError", Then::Retry));
    child.until_gone().await;
}

#[tokio::test]
async fn dropping_ends_the_group() {
    let script = Script::new("sleep 300 & echo $! > child; wait");
    let run = tokio::spawn(script.handler.run(Arc::new(job("{}")), context(LONG)));
    let child = script.process("child").await;
    run.abort();
    child.until_gone().await;
}

#[tokio::test]
async fn dropping_kills_who_ignores_sigterm() {
    let script = Script::new("trap '' TERM; echo $$ > leader; while :; do sleep 0.1; done");
    let run = tokio::spawn(script.handler.run(Arc::new(job("{}")), context(LONG)));
    let leader = script.process("leader").await;
    run.abort();
    assert!(leader.until_gone().await > Duration::from_secs(1));
}

#[test]
fn the_end_of_the_runtime_kills_at_once() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
    };
    let script = Script::new("trap '' TERM; echo $$ > leader; while :; do sleep 0.1; done");
    let running = runtime();
    running.spawn(script.handler.run(Arc::new(job("{}")), context(LONG)));
    let leader = running.block_on(script.process("leader"));
    drop(running);
    runtime().block_on(leader.until_gone());
}

#[tokio::test]
async fn what_a_program_leaves_behind_is_ended_with_it() {
    // One keeps the pipes open, the other does not.
    let script = Script::new("sleep 300 & echo $! > first; sleep 301 > /dev/null 2>&1 & echo $! > second; echo 1");
    assert_eq!(text(script.run().await.expect("done")).as_deref(), Some("1"));
    for file in ["first", "second"] {
        script.process(file).await.until_gone().await;
    }
}

/// What is configured as `exec`.
fn exec(command: &[&str], working_dir: Option<&Path>) -> HandlerConfig {
    HandlerConfig::Exec {
        command: command.iter().map(|&part| part.to_owned()).collect(),
        timeout: LONG,
        working_dir: working_dir.map(Path::to_owned),
        env: BTreeMap::new(),
    }
}

#[tokio::test]
async fn a_program_that_vanishes_fails_the_attempt_and_says_so() {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("job");
    fs::write(&file, "#!/bin/sh\nexit 0\n").expect("a script");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("its mode");
    let handler = made(&exec(&["./job"], Some(dir.path())));
    fs::remove_file(&file).expect("it was there");
    let error = run(&handler).await.expect_err("a failure");
    assert_eq!((error.name.as_str(), error.then), ("SpawnError", Then::Retry));
    assert!(error.message.contains("could not be started: No such file"), "{error}");
}

#[test]
fn bad_commands_are_refused() {
    let dir = TempDir::new().expect("a directory");
    assert!(matches!(refused(&exec(&[], None)), SetupError::NoProgram));
    assert!(matches!(
        refused(&exec(&["no-such-program-here"], None)),
        SetupError::ProgramNotFound(_)
    ));
    assert!(matches!(
        refused(&exec(&["sh"], Some(&dir.path().join("nowhere")))),
        SetupError::WorkingDirectory(_)
    ));
}
