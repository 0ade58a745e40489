//! `strawboss demo`, and what it leaves behind: nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::program::Program;
use crate::support::client::get;
use crate::support::server::{connect, server};
use crate::support::wait_for;

/// A directory for temporary files that the server's user, who is another one for root, may walk into.
fn room() -> TempDir {
    let room = tempfile::tempdir().expect("a directory");
    std::fs::set_permissions(room.path(), std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    room
}

fn demo(room: &Path, arguments: &[&str]) -> Program {
    // Whatever npm may need, where PostgreSQL comes from there.
    let ours: Vec<(String, String)> = std::env::vars()
        .filter(|(name, _)| {
            !["PG", "DATABASE_URL", "OTEL", "RUST_LOG"]
                .iter()
                .any(|other| name.starts_with(other))
        })
        .collect();
    let ours = ours.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let room = [("TMPDIR", room.to_str().expect("UTF-8"))];
    let environment: Vec<_> = ours.chain(room).collect();
    Program::start(&[&["demo"], arguments].concat(), "", &environment)
}

/// What is in the room.
fn rest(room: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(room).expect("it is there");
    entries.map(|entry| entry.expect("it can be read").path()).collect()
}

/// The private server that runs in the room.
fn server_in(room: &Path) -> Option<Pid> {
    let [cluster] = rest(room).try_into().ok()?;
    let lock = std::fs::read_to_string(cluster.join("data/postmaster.pid")).ok()?;
    Some(Pid::from_raw(lock.lines().next()?.parse().ok()?))
}

fn is_gone(server: Pid) -> bool {
    kill(server, None) == Err(Errno::ESRCH)
}

/// What the demo shows of a queue: jobs sent, completed, retries, dead letters.
fn figures(out: &str, queue: &str) -> Vec<usize> {
    let row = out.lines().find(|line| line.starts_with(queue));
    let row = row.unwrap_or_else(|| panic!("nothing is said of {queue}:\n{out}"));
    let mut last: Vec<_> = row.split_whitespace().rev().take(4).collect();
    last.reverse();
    last.into_iter()
        .map(|number| number.parse().expect("a number"))
        .collect()
}

fn assert_summary(out: &str) {
    assert_eq!(figures(out, "welcome-email"), [2000, 2000, 0, 0]);
    assert_eq!(figures(out, "thumbnail"), [40, 40, 80, 0]);
    assert_eq!(figures(out, "payment "), [10, 0, 20, 10]);
    assert_eq!(figures(out, "event.inventory"), [100, 100, 0, 0]);
    assert_eq!(figures(out, "event.receipt"), [100, 97, 9, 3]);
    assert_eq!(out.matches("the card was declined").count(), 3, "{out}");
    assert_eq!(out.matches("the customer has no address").count(), 3, "{out}");
    assert!(out.contains("Dead letters lie in queue payment-dead"), "{out}");
    assert!(
        out.contains(
            "Worker stopped, 2237 completed, 13 dead_lettered, 109 retried; on the stop 0 finished and 0 were"
        ),
        "{out}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_by_itself_with_something_to_show() {
    let room = room();
    let demo = demo(room.path(), &[]);
    let line = demo.log.with("Working; metrics at http://").await;
    let address = line
        .split(['/', ' '])
        .find_map(|part| part.parse().ok())
        .expect("an address");
    wait_for("metrics while it runs", async || {
        tokio::net::TcpStream::connect(address).await.is_ok()
    })
    .await;
    let metrics = get(address, "/metrics").await.body;
    assert!(
        metrics.contains("pgboss_jobs_processed_total{outcome=\"completed\",queue=\"welcome-email\"}"),
        "{metrics}"
    );
    let server = server_in(room.path()).expect("it has a private server");

    let ended = demo.ended().await.well();
    assert_summary(&ended.out);
    assert!(
        ended
            .out
            .contains(&format!("Metrics were served at http://{address}/metrics")),
        "{}",
        ended.out
    );
    assert!(
        ended.log.contains("jobs done: "),
        "no progress was shown: {}",
        ended.log
    );
    assert!(is_gone(server), "the server outlives the demo");
    let rest = rest(room.path());
    assert!(rest.is_empty(), "{rest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_database_that_is_there_it_uses_schemas_of_its_own_and_drops_them() {
    // A database of its own, in which nobody else's demo can be.
    let name = format!("demo_{}", uuid::Uuid::new_v4().simple());
    let administrator = connect(&server().url).await;
    administrator
        .batch_execute(&format!("create database {name}"))
        .await
        .expect("it is made");
    let (place, _) = server().url.rsplit_once('/').expect("a URL");
    let url = format!("{place}/{name}");
    let schemas = async || {
        let client = connect(&url).await;
        let rows = client
            .query(
                "select nspname::text from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'",
                &[],
            )
            .await
            .expect("they are listed");
        rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>()
    };
    let before = schemas().await;

    let demo = Program::start(&["demo"], "", &[("DATABASE_URL", &url)]);
    demo.log.with("Working").await;
    let during = schemas().await;
    // pg-boss's, and one for our own tables and those of events.
    assert_eq!(during.len(), before.len() + 2, "{during:?}");
    let ended = demo.ended().await.well();
    assert_summary(&ended.out);
    assert_eq!(schemas().await, before);

    for moment in ["Installed", "Working"] {
        let demo = Program::start(&["demo"], "", &[("DATABASE_URL", &url)]);
        demo.log.with(moment).await;
        demo.signal(Signal::SIGINT);
        let ended = demo.ended().await;
        assert_eq!(ended.code, Some(1), "it did not come to its end: {}", ended.log);
        assert_eq!(schemas().await, before, "after Ctrl-C at {moment:?}");
    }

    administrator
        .batch_execute(&format!("drop database {name} with (force)"))
        .await
        .expect("it is dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn control_c_midway_removes_the_private_server() {
    // While the server is being made, and while jobs run.
    for moment in ["Making a private PostgreSQL", "Working"] {
        let room = room();
        let demo = demo(room.path(), &[]);
        demo.log.with(moment).await;
        let server = server_in(room.path());
        demo.signal(Signal::SIGINT);
        let ended = demo.ended().await;
        assert_eq!(ended.code, Some(1), "it did not come to its end: {}", ended.log);
        wait_for("the directory to go", async || rest(room.path()).is_empty()).await;
        assert!(server.is_none_or(is_gone), "the server outlives the demo");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_it_runs_on_until_control_c() {
    let room = room();
    let demo = demo(room.path(), &["--keep"]);
    demo.out.with("Everything keeps running until Ctrl-C").await;
    let export = demo.out.with("export DATABASE_URL=").await;
    let url = export.split('\'').nth(1).expect("it is quoted").to_owned();
    let server = server_in(room.path()).expect("it has a private server");

    // What it says to look at is there to be looked at.
    let jobs = Program::start(
        &["jobs", "list", "payment-dead", "--json"],
        "",
        &[("DATABASE_URL", &url)],
    );
    let listed: serde_json::Value = serde_json::from_str(&jobs.ended().await.well().out).expect("JSON");
    assert_eq!(listed.as_array().map(Vec::len), Some(10), "{listed}");

    demo.signal(Signal::SIGINT);
    demo.ended().await.well();
    assert!(is_gone(server), "the server outlives the demo");
    let rest = rest(room.path());
    assert!(rest.is_empty(), "{rest:?}");
}
