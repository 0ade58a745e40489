//! The private PostgreSQL: it serves, it survives what it should, and it leaves nothing behind.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use strawboss::demo::cluster::{Cluster, Options};

use crate::support::needs_node;
use crate::support::server::{connect, private_cluster};
use crate::support::wait_for;

/// Set for a copy of this test program that plays the process that made the cluster.
const ROLE: &str = "STRAWBOSS_TEST_HOLDS_A_CLUSTER";

fn is_gone(directory: &Path, port: u16) -> bool {
    !directory.exists() && TcpStream::connect(("127.0.0.1", port)).is_err()
}

#[tokio::test]
async fn what_was_committed_survives_a_crash() {
    let mut cluster = private_cluster();
    let url = cluster.url();
    let client = connect(&url).await;
    client
        .batch_execute("create table kept (n int); insert into kept values (42)")
        .await
        .expect("it is written");
    cluster.crash().expect("it goes down");
    assert!(client.simple_query("select 1").await.is_err());
    assert_eq!(cluster.pid(), None);
    cluster.restart().expect("it comes back");
    assert_eq!(cluster.url(), url);
    let row = connect(&url)
        .await
        .query_one("select n from kept", &[])
        .await
        .expect("it is there");
    assert_eq!(row.get::<_, i32>(0), 42);
}

#[tokio::test]
async fn the_server_is_set_up_as_asked_and_asks_for_a_password() {
    let cluster = Cluster::start(Options {
        max_connections: 17,
        parameters: vec![("application_name".to_owned(), "it's \\ quoted".to_owned())],
        ..Options::default()
    })
    .expect("it starts");
    let row = connect(&cluster.url())
        .await
        .query_one(
            "select current_setting('fsync'), current_setting('max_connections'), reset_val,
                    current_setting('server_encoding')
             from pg_settings where name = 'application_name'",
            &[],
        )
        .await
        .expect("it answers");
    let settings: Vec<Option<&str>> = (0..4).map(|column| row.get(column)).collect();
    assert_eq!(settings, [Some("on"), Some("17"), Some("it's \\ quoted"), Some("UTF8")]);

    let without = format!("postgres://postgres@127.0.0.1:{}/postgres", cluster.port());
    assert!(tokio_postgres::connect(&without, tokio_postgres::NoTls).await.is_err());
}

#[test]
fn nothing_is_left_of_a_dropped_cluster() {
    let cluster = private_cluster();
    let (directory, port) = (cluster.directory().to_owned(), cluster.port());
    assert!(!is_gone(&directory, port));
    drop(cluster);
    assert!(is_gone(&directory, port));
}

#[tokio::test]
async fn nothing_is_left_after_kill_9_of_the_parent() {
    ends_with_its_parent("cluster::nothing_is_left_after_kill_9_of_the_parent", Signal::SIGKILL).await;
}

#[tokio::test]
async fn nothing_is_left_after_control_c() {
    ends_with_its_parent("cluster::nothing_is_left_after_control_c", Signal::SIGINT).await;
}

async fn ends_with_its_parent(test: &str, signal: Signal) {
    if std::env::var_os(ROLE).is_some() {
        hold_a_cluster();
    }
    let (mut parent, said) = copy_of(test, &[]);
    let (directory, port) = said.expect("it starts a cluster");
    assert!(!is_gone(&directory, port));
    kill(Pid::from_raw(parent.id().cast_signed()), signal).expect("it is our child");
    parent.wait().expect("it ends");
    wait_for("the server and its directory to go", async || is_gone(&directory, port)).await;
}

#[test]
fn npm_delivers_postgresql_where_the_machine_has_none() {
    needs_node!();
    if std::env::var_os(ROLE).is_some() {
        hold_a_cluster();
    }
    let test = "cluster::npm_delivers_postgresql_where_the_machine_has_none";
    let (mut parent, said) = copy_of(test, &[("STRAWBOSS_PG_VERSION", "17"), ("STRAWBOSS_PG_BIN", "")]);
    parent.kill().expect("it is our child");
    parent.wait().expect("it ends");
    said.expect("it starts a cluster of what npm delivers");
}

#[test]
fn a_chosen_directory_without_postgresql_is_refused_by_name() {
    if std::env::var_os(ROLE).is_some() {
        hold_a_cluster();
    }
    let test = "cluster::a_chosen_directory_without_postgresql_is_refused_by_name";
    let (mut parent, said) = copy_of(test, &[("STRAWBOSS_PG_BIN", "/no/such/place")]);
    parent.wait().expect("it ends");
    let reason = said.expect_err("there is nothing to start");
    assert!(
        reason.contains("STRAWBOSS_PG_BIN=/no/such/place: initdb does not run"),
        "{reason}"
    );
}

/// Runs one test of this program in a process of its own, in which [`ROLE`] is set; tells the directory and port of the
/// cluster it makes, or why there is none.
fn copy_of(test: &str, environment: &[(&str, &str)]) -> (Child, Result<(PathBuf, u16), String>) {
    let mut child = Command::new(std::env::current_exe().expect("this program has a path"))
        .args([test, "--exact", "--nocapture"])
        .env(ROLE, "1")
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("this program runs");
    let output = BufReader::new(child.stdout.take().expect("it is piped"));
    let said = output.lines().map_while(Result::ok).find_map(|line| {
        if let Some((_, place)) = line.split_once("CLUSTER ") {
            let (port, directory) = place.split_once(' ').expect("it was written so");
            return Some(Ok((directory.into(), port.parse().expect("a number"))));
        }
        let (_, reason) = line.split_once("REFUSED ")?;
        Some(Err(reason.to_owned()))
    });
    (child, said.unwrap_or_else(|| Err("nothing was said".to_owned())))
}

/// What the copy does: makes a cluster and waits for its own end.
fn hold_a_cluster() -> ! {
    match Cluster::start(Options::default()) {
        Ok(cluster) => {
            println!("CLUSTER {} {}", cluster.port(), cluster.directory().display());
            std::thread::sleep(Duration::from_secs(600));
        }
        Err(error) => println!("REFUSED {error}"),
    }
    std::process::exit(0)
}
