//! `strawboss top` in a real terminal, beside a real worker.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use strawboss::cli::top::Screen;
use strawboss::handler::HandlerError;
use strawboss::job::Outcome;
use tokio::process::Command;

use crate::support::crew::{Crew, config, handler};
use crate::support::proxy::{Mode, Proxy};
use crate::support::terminal::Terminal;
use crate::support::{Boss, Release, Schema, needs_node};

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address")
}

/// A configuration for the program, in a directory of its own.
fn written(directory: &Path, url: &str, schema: &Schema, listen: SocketAddr) -> PathBuf {
    let file = directory.join("strawboss.toml");
    let text = format!(
        "[database]\nurl = {url:?}\nschema = {:?}\nown_schema = {:?}\n[http]\nlisten = \"{listen}\"\n",
        schema.name,
        schema.own()
    );
    std::fs::write(&file, text).expect("written");
    file
}

fn top(file: &Path) -> String {
    format!(
        "{} top --interval 200ms --config {}",
        env!("CARGO_BIN_EXE_strawboss"),
        file.display()
    )
}

/// A worker under the configuration that the program reads, too: `email` fails, `report` waits for nobody.
async fn crew(schema: &Schema, listen: SocketAddr) -> Crew {
    schema.queue("email-dead", json!({})).await;
    schema
        .queue("email", json!({ "retryLimit": 0, "deadLetter": "email-dead" }))
        .await;
    schema.queue("report", json!({})).await;
    let mut config = config(schema, &["email"]);
    config.http.listen = Some(listen);
    config.worker.name = "billing".to_owned();
    let fails = handler(|_, _| async { Err::<Value, _>(HandlerError::retry("the mail server says \u{1b}[31mno")) });
    let crew = Crew::start(config, [("email", fails)]);
    crew.until_ready().await;
    crew
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_queues_workers_circuits_and_failures() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    let listen = free_address();
    let crew = crew(&schema, listen).await;
    schema.jobs("email", 3).await;
    schema.jobs("report", 70).await;
    crew.until_processed("email", Outcome::DeadLettered, 3).await;
    crew.metrics.event_circuit_state.with_label_values(&["mailer"]).set(2);
    let options = json!({ "registerInstance": true, "instanceName": "web", "instanceHeartbeatSeconds": 1 });
    let boss = Boss::start(Release::NEWEST, &schema.url, &schema.name, options).await;
    boss.work("report-by-node", json!({}), json!({})).await;

    let directory = tempfile::tempdir().expect("a directory");
    let file = written(directory.path(), &schema.url, &schema, listen);
    let terminal = Terminal::run(&top(&file), 120, 40);
    let screen = terminal.until_shown("the mail server says").await;
    for text in [
        "schema 46",
        "(all workers, last 10 s)",
        "is ready, in flight: 0 of 20",
        "strawboss  billing",
        "open       mailer",
        r"says \u{1b}[31mno",
        "0/0  email",
    ] {
        assert!(screen.contains(text), "{text}\n{screen}");
    }
    let row = |screen: &str, queue: &str| -> Vec<String> {
        let line = screen.lines().find(|line| line.starts_with(queue)).unwrap_or_default();
        line.split_whitespace().map(str::to_owned).collect()
    };
    // By its columns: policy, ready, deferred, blocked, active, failed, and what waits in the dead letter queue.
    let counts = ["standard", "70", "0", "0", "0", "0", "-"];
    assert_eq!(row(&screen, "report ")[1..8], counts, "{screen}");
    let counts = ["standard", "0", "0", "0", "0", "3", "3"];
    assert_eq!(row(&screen, "email ")[1..8], counts, "{screen}");
    terminal
        .until("the worker of Node, and what it serves", |screen| {
            screen
                .lines()
                .any(|line| line.starts_with("node       web 12.38.0 ") && line.ends_with("report-by-node"))
        })
        .await;

    // What changes is seen.
    schema.jobs("report", 7).await;
    terminal
        .until("77 reports", |screen| {
            row(screen, "report ").get(2).is_some_and(|ready| ready == "77")
        })
        .await;

    // What fails now is a rate.
    schema.jobs("email", 40).await;
    terminal
        .until("that jobs fail", |screen| {
            row(screen, "email ")
                .get(10)
                .is_some_and(|rate| rate.parse::<f64>().is_ok_and(|rate| rate >= 1.0))
        })
        .await;

    // By ready, the fullest comes first; the failures of one queue; a filter; help; another size.
    terminal.press(&["s"]);
    terminal
        .until("report above email", |screen| {
            screen.contains("QUEUE by ready") && screen.find("\nreport ") < screen.find("\nemail ")
        })
        .await;
    terminal.press(&["Down", "Enter"]);
    terminal.until_shown("Last failures of report").await;
    let screen = terminal.until_shown("dead letter queue -").await;
    assert!(!screen.contains("the mail server"), "{screen}");
    assert!(screen.contains("retries 2 after 0s  expires after 15m"), "{screen}");
    // Escape and another key at once would be that key with Alt.
    terminal.press(&["Escape"]);
    terminal.until_shown("the mail server says").await;
    terminal.press(&["/", "m", "a", "i"]);
    terminal
        .until("only email", |screen| {
            screen.contains("/mai") && !screen.contains("\nreport ")
        })
        .await;
    terminal.press(&["Escape"]);
    terminal
        .until("the filter to be gone", |screen| screen.contains("\nreport "))
        .await;
    terminal.press(&["?"]);
    terminal.until_shown("order by name, ready, oldest").await;
    terminal.press(&["?"]);
    terminal.resize(70, 15);
    terminal
        .until("fewer columns", |screen| {
            screen.contains("\nreport ") && screen.contains("DONE/S") && !screen.contains("DEFERRED")
        })
        .await;

    terminal.press(&["q"]);
    let screen = terminal.until_shown("ended with 0").await;
    assert!(!screen.contains("OLDEST"), "the screen from before is back:\n{screen}");
    terminal.until_in_order().await;
    boss.stop().await;
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_and_ctrl_c_give_the_terminal_back() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = written(directory.path(), &schema.url, &schema, free_address());
    for ends in [None, Some(Signal::SIGTERM), Some(Signal::SIGINT), Some(Signal::SIGHUP)] {
        let terminal = Terminal::run(&top(&file), 100, 30);
        terminal.until_shown("none answers at").await;
        assert!(terminal.is_taken());
        match ends {
            None => terminal.press(&["C-c"]),
            Some(signal) => terminal.signal(signal),
        }
        terminal.until_shown("ended with 0").await;
        terminal.until_in_order().await;
    }
}

#[tokio::test]
async fn a_panic_gives_the_terminal_back() {
    // This test runs itself in a terminal, where it takes that and panics.
    if std::env::var_os("STRAWBOSS_TEST_IN_TERMINAL").is_some() {
        let mut screen = Screen::open().expect("there is a terminal");
        screen
            .draw(|area, buffer| buffer.set_string(area.x, area.y, "drawn here", ratatui::style::Style::new()))
            .expect("drawn");
        let key = std::io::stdin().read(&mut [0]).expect("a key");
        panic!("on purpose, after {key} key");
    }
    let itself = std::env::current_exe().expect("this program");
    let command = format!(
        "env STRAWBOSS_TEST_IN_TERMINAL=1 {} --exact top::a_panic_gives_the_terminal_back --nocapture",
        itself.display()
    );
    let terminal = Terminal::run(&command, 100, 30);
    terminal.until_shown("drawn here").await;
    assert!(terminal.is_taken());
    terminal.press(&["x"]);
    let screen = terminal.until_shown("ended with 101").await;
    assert!(
        screen.contains("on purpose, after 1 key") && !screen.contains("drawn here"),
        "{screen}"
    );
    terminal.until_in_order().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_is_waited_for() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("email", json!({})).await;
    let proxy = Proxy::before(&schema.url).await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = written(directory.path(), &proxy.url(&schema.url), &schema, free_address());
    let terminal = Terminal::run(&top(&file), 100, 30);
    terminal.until_shown("\nemail ").await;
    proxy.set(Mode::Refuse);
    proxy.cut();
    let screen = terminal
        .until_shown("nothing can be read, trying again (below is what was there at")
        .await;
    assert!(screen.contains("\nemail "), "{screen}");
    proxy.set(Mode::Pass);
    terminal
        .until("email again", |screen| {
            screen.contains("\nemail ") && !screen.contains("trying again")
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_schema_is_shown_and_without_a_terminal_one_screen_is_printed() {
    needs_node!();
    for release in Release::ALL {
        let schema = Schema::new(release).await;
        let listen = free_address();
        let crew = crew(&schema, listen).await;
        schema.jobs("email", 1).await;
        schema.jobs("report", 2).await;
        crew.until_processed("email", Outcome::DeadLettered, 1).await;
        let directory = tempfile::tempdir().expect("a directory");
        let file = written(directory.path(), &schema.url, &schema, listen);
        let output = Command::new(env!("CARGO_BIN_EXE_strawboss"))
            .args(["top", "--config"])
            .arg(&file)
            .output()
            .await
            .expect("it runs");
        let screen = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "pg-boss {release}: {screen}");
        let whose = match release {
            Release::NEWEST => "all workers, last 10 s",
            // It has looked twice, so that there is something to tell.
            _ => "the worker here alone",
        };
        let others = match release {
            Release::NEWEST => "strawboss  billing",
            _ => "who else works here is not known before schema 44",
        };
        for text in [
            &format!("schema {}", release.schema_version()),
            "the mail server says",
            "is ready, in flight: 0 of 20",
            "\nreport ",
            whose,
            others,
        ] {
            assert!(screen.contains(text), "pg-boss {release}: {text}\n{screen}");
        }
        assert!(!screen.contains('\u{1b}'), "pg-boss {release}: {screen}");
        crew.stop().await;
    }
}

#[tokio::test]
async fn without_a_database_it_says_so_and_fails() {
    let output = Command::new(env!("CARGO_BIN_EXE_strawboss"))
        .args(["top", "--once", "--database-url", "postgres://nobody@127.0.0.1:1/none"])
        .output()
        .await
        .expect("it runs");
    let screen = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{screen}");
    assert!(screen.contains("nothing can be read"), "{screen}");
    let output = Command::new(env!("CARGO_BIN_EXE_strawboss"))
        .args(["top", "--interval", "1ms"])
        .output()
        .await
        .expect("it runs");
    assert_eq!(output.status.code(), Some(2));
}
