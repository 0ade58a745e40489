//! Places where nobody is, hosts that are one of several, and what the error then says.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use strawboss::demo::cluster::Cluster;
use strawboss::postgres::{Class, Error, Executor};
use tokio::net::TcpListener;

use super::{connect, row, undetected, with};
use crate::support::server::{private_cluster, server};

/// One that wants a password, whatever the server of the other tests wants.
static GUARDED: LazyLock<Cluster> = LazyLock::new(private_cluster);

async fn refusal(url: &str) -> Error {
    connect(url).await.err().expect("nobody is let in there")
}

/// A port on which nothing listens.
async fn dead_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

#[tokio::test]
async fn every_way_of_not_getting_in_says_what_to_do() {
    let cluster = &*GUARDED;
    let url = cluster.url();
    let (before, at) = url.rsplit_once('@').expect("a URL with a password");
    let place = at.strip_suffix("/postgres").expect("the database is named");
    let dead = dead_port().await;
    for (url, class, state, advice) in [
        (
            format!("postgres://u@127.0.0.1:{dead}/d"),
            Class::Connection,
            "",
            "start PostgreSQL",
        ),
        (
            format!(
                "postgres:///d?host={}&user=u",
                std::env::temp_dir().join("nowhere").display()
            ),
            Class::Connection,
            "",
            "start PostgreSQL",
        ),
        (
            "postgres://u@nowhere.invalid/d".to_owned(),
            Class::Connection,
            "",
            "Check the host",
        ),
        (
            format!("postgres://postgres:guess@{at}"),
            Class::Permanent,
            "28P01",
            "PGPASSWORD",
        ),
        (format!("postgres://postgres@{at}"), Class::Permanent, "", "~/.pgpass"),
        (
            format!("{before}@{place}/absent"),
            Class::Permanent,
            "3D000",
            "createdb absent",
        ),
        (
            with(&url, "statement_timeout=soon"),
            Class::Data,
            "22023",
            "statement_timeout",
        ),
    ] {
        let error = refusal(&url).await;
        let message = error.to_string();
        assert!(message.contains(advice), "{message}");
        assert!(!message.contains("guess"), "{message}");
        assert_eq!(error.class(), class, "{message}");
        assert_eq!(error.code().map_or("", |state| state.code()), state, "{message}");
        assert!(error.is_transient(), "nothing was sent: {message}");
    }
}

#[tokio::test]
async fn a_host_that_says_nothing_is_given_up_in_time() {
    // It takes connections into its backlog and never speaks.
    let mute = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let place = mute.local_addr().expect("it is bound");
    let began = Instant::now();
    let error = refusal(&format!("postgres://u@{place}/d?connect_timeout=1")).await;
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(error.class(), Class::Connection);
    assert!(error.to_string().contains("no answer within 1 s"), "{error}");
}

#[tokio::test]
async fn the_first_host_that_is_there_is_taken() {
    let cluster = &*GUARDED;
    let dead = dead_port().await;
    let url = cluster.url().replacen(
        "@127.0.0.1",
        &format!("@127.0.0.1:{dead},nowhere.invalid:1,127.0.0.1"),
        1,
    );
    connect(&url).await.expect("the third is there");

    let password = cluster.url().split([':', '@']).nth(2).expect("a password").to_owned();
    let guessed = url.replacen(&password, "guess", 1);
    let several = guessed.replacen(
        &format!(":{}/", cluster.port()),
        &format!(":{},127.0.0.1:{dead}/", cluster.port()),
        1,
    );
    let message = refusal(&several).await.to_string();
    assert_eq!(
        message.matches("connection refused").count(),
        1,
        "a server that refuses us ends the search: {message}"
    );
}

#[tokio::test]
async fn the_session_is_the_wanted_one() {
    let url = GUARDED.url();
    for (query, fits) in [
        ("target_session_attrs=read-write", true),
        ("target_session_attrs=read-only", false),
        ("target_session_attrs=primary", true),
        ("target_session_attrs=standby", false),
        ("target_session_attrs=prefer-standby", true),
        ("target_session_attrs=read-only&default_transaction_read_only=on", true),
        (
            "target_session_attrs=read-write&default_transaction_read_only=on",
            false,
        ),
    ] {
        let result = connect(&with(&url, query)).await;
        assert_eq!(result.is_ok(), fits, "{query}");
        if let Err(error) = result {
            assert_eq!(error.class(), Class::Connection, "a failover may end it: {error}");
        }
    }
}

#[tokio::test]
async fn sockets_and_password_files_open_the_door() {
    let cluster = &*GUARDED;
    let url = cluster.url();
    let password = url.split([':', '@']).nth(2).expect("a password");
    let (directory, port) = (cluster.directory().display().to_string(), cluster.port());
    let encoded = directory.replace('/', "%2F");
    for url in [
        format!("postgres://postgres:{password}@/postgres?host={directory}&port={port}"),
        format!("postgres://postgres:{password}@{encoded}:{port}/postgres"),
        format!("socket://postgres:{password}@{directory}?db=postgres&port={port}"),
        format!("host='{directory}' port={port} user=postgres password='{password}' dbname=postgres"),
    ] {
        let client = connect(&url).await.unwrap_or_else(|error| panic!("{error}"));
        let over_tcp: bool = row(&client, "select inet_client_addr() is not null").await.get(0);
        assert!(!over_tcp);
    }

    let file = cluster.directory().join("pgpass");
    fs::write(&file, format!("127.0.0.1:{port}:*:postgres:{password}\n")).expect("written");
    let by_file = format!(
        "postgres://postgres@127.0.0.1:{port}/postgres?passfile={}",
        file.display()
    );
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("it is ours");
    connect(&by_file).await.expect("the file has the password");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("it is ours");
    assert!(connect(&by_file).await.is_err(), "a password all can read is none");
}

#[tokio::test]
async fn settings_of_the_url_reach_the_server() {
    let url = with(
        &server().url,
        "statement_timeout=50ms&search_path=a,%20%22b%20c%22&options=-c%20app.tenant%3D7&lock_timeout=1234",
    );
    let client = connect(&url).await.expect("the server is there");
    let shown = row(
        &client,
        "select current_setting('search_path'), current_setting('app.tenant'), current_setting('lock_timeout'),
                current_setting('application_name')",
    )
    .await;
    let shown: Vec<String> = (0..4).map(|column| shown.get(column)).collect();
    assert_eq!(shown, ["a, \"b c\"", "7", "1234ms", "strawboss"]);

    let error = client
        .query("select pg_sleep(30)", &[])
        .await
        .expect_err("it takes too long");
    assert_eq!(error.code().map(|state| state.code()), Some("57014"));
    assert_eq!(error.class(), Class::Transient);
}

#[tokio::test]
async fn a_pool_can_be_made_before_its_server_is_there() {
    let mut cluster = private_cluster();
    let database = undetected(&cluster.url());
    cluster.stop().expect("it goes down");
    assert_eq!(
        database.client().await.err().expect("it is away").class(),
        Class::Connection
    );
    cluster.restart().expect("it comes back");
    database.client().await.expect("it is back");
}
