//! `strawboss top` in a real terminal, beside a real worker.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use serde_json::json;
use strawboss::handler::HandlerError;
use strawboss::job::Outcome;
use tokio::process::Command;

use crate::support::crew::{Crew, config, handler};
use crate::support::proxy::{Mode, Proxy};
use crate::support::terminal::Terminal;
use crate::support::{Release, Schema, needs_node};

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
    schema.queue("email", json!({ "retryLimit": 0 })).await;
    schema.queue("report", json!({})).await;
    let mut config = config(schema, &["email"]);
    config.http.listen = Some(listen);
    config.worker.name = "billing".to_owned();
    let fails = handler(|_, _| async { Err::<(), _>(HandlerError::retry("the mail server says \u{1b}[31mno")) });
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
    crew.until_processed("email", Outcome::Failed, 3).await;
    crew.metrics.event_circuit_state.with_label_values(&["mailer"]).set(2);

    let directory = tempfile::tempdir().expect("a directory");
    let file = written(directory.path(), &schema.url, &schema, listen);
    let terminal = Terminal::run(&top(&file), 120, 40);
    let screen = terminal.until_shown("the mail server says").await;
    for text in [
        "schema 46",
        "(all workers)",
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
    assert_eq!(row(&screen, "report ")[1..4], ["70", "0", "0"], "{screen}");
    assert_eq!(row(&screen, "email ")[1..4], ["0", "0", "3"], "{screen}");

    // What changes is seen.
    schema.jobs("report", 7).await;
    terminal
        .until("77 reports", |screen| row(screen, "report ").get(1).is_some_and(|ready| ready == "77"))
        .await;

    // By ready, the fullest comes first; the failures of one queue; a filter; help; another size.
    terminal.press(&["s"]);
    terminal
        .until("report above email", |screen| {
            screen.contains("QUEUE by ready") && screen.find("\nreport ") < screen.find("\nemail ")
        })
        .await;
    terminal.press(&["Down", "Enter"]);
    let screen = terminal.until_shown("Last failures of report").await;
    assert!(!screen.contains("the mail server"), "{screen}");
    terminal.press(&["Escape", "/", "m", "a", "i"]);
    terminal
        .until("only email", |screen| screen.contains("/mai") && !screen.contains("\nreport "))
        .await;
    terminal.press(&["Escape", "?"]);
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
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_and_ctrl_c_give_the_terminal_back() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = written(directory.path(), &schema.url, &schema, free_address());
    for ends in ["C-c", "TERM"] {
        let terminal = Terminal::run(&top(&file), 100, 30);
        terminal.until_shown("none answers at").await;
        if ends == "TERM" {
            let killed = Command::new("kill").args(["-TERM", &terminal.program()]).status().await;
            assert!(killed.expect("kill runs").success());
        } else {
            terminal.press(&[ends]);
        }
        terminal.until_shown("ended with 0").await;
        // Typed text is echoed again, so the terminal is in order.
        terminal.press(&["echo back-$((40+2))", "Enter"]);
        terminal.until_shown("back-42").await;
    }
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
    terminal.until_shown("nothing can be read, trying again").await;
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
        crew.until_processed("email", Outcome::Failed, 1).await;
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
        for text in [
            &format!("schema {}", release.schema_version()),
            "the mail server says",
            "is ready, in flight: 0 of 20",
            "\nreport ",
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
