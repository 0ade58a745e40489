//! The examples, run as README.md runs them.

use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use strawboss::config::Config;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::oneshot;

use crate::support::node::{directory, program};
use crate::support::{Release, Schema, needs_node};

#[path = "../../examples/rust_worker.rs"]
#[allow(dead_code, reason = "its main is for people")]
mod rust_worker;

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_worker_charges_retries_and_dead_letters() {
    let schema = Schema::new(Release::NEWEST).await;
    let mut config = Config::default();
    config.database.url.clone_from(&schema.url);
    config.database.schema.clone_from(&schema.name);
    config.http.listen = None;
    let (stop, stopped) = oneshot::channel();
    let settled = async {
        schema
            .until("(select count(*) from {schema}.job where state in ('completed', 'failed')) = 3")
            .await;
        let _ = stop.send(());
    };
    let work = rust_worker::work(config, async { drop(stopped.await) });
    let (report, ()) = tokio::join!(work, settled);
    let report = report.expect("it ends well");
    assert!(report.is_clean(), "{report}");

    let rows = schema
        .rows("select data->>'customer' as customer, state, retry_count, output from {schema}.job where name = 'invoice' order by 1")
        .await;
    let of = |customer: &str| rows.iter().find(|row| row["customer"] == customer).expect("a row");
    assert_eq!(of("ada")["state"], "completed");
    assert_eq!(
        (&of("grace")["state"], &of("grace")["retry_count"]),
        (&json!("completed"), &json!(1))
    );
    assert_eq!(of("alan")["output"]["name"], "InvoiceError");
    let dead = schema
        .row("select data from {schema}.job where name = 'invoice-dead'")
        .await;
    assert_eq!(dead["data"]["customer"], "alan");
}

const FILES: [(&str, &str); 3] = [
    ("app.mjs", include_str!("../../examples/node-app/app.mjs")),
    ("package.json", include_str!("../../examples/node-app/package.json")),
    ("strawboss.toml", include_str!("../../examples/node-app/strawboss.toml")),
];

/// The example's directory as `npm install` leaves it, with the packages that the tests have installed already.
fn install(home: &Path) {
    for (name, text) in FILES {
        std::fs::write(home.join(name), text).expect("written");
    }
    let wanted: Value = serde_json::from_str(FILES[1].1).expect("JSON");
    let ours: Value = serde_json::from_str(include_str!("../node/package.json")).expect("JSON");
    let newest = Release::NEWEST.npm();
    assert_eq!(wanted["dependencies"]["pg-boss"], newest);
    assert_eq!(
        wanted["dependencies"]["standardwebhooks"],
        ours["dependencies"]["standardwebhooks"]
    );

    let modules = home.join("node_modules");
    std::fs::create_dir(&modules).expect("made");
    for (name, installed) in [
        ("pg-boss", format!("pg-boss-{newest}")),
        ("standardwebhooks", "standardwebhooks".to_owned()),
    ] {
        let target = directory().join("node_modules").join(installed);
        std::os::unix::fs::symlink(target, modules.join(name)).expect("linked");
    }
}

/// A process of the tour; ended with the value.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(command: &mut Command) -> Running {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Running { child, lines }
    }

    /// Reads on until a line begins like that; returns the rest of it.
    async fn line(&mut self, beginning: &str) -> String {
        while let Some(line) = self.lines.next_line().await.expect("text") {
            if let Some(rest) = line.strip_prefix(beginning) {
                return rest.to_owned();
            }
        }
        panic!("it ended without saying {beginning:?}");
    }

    /// Tells it to stop, as a terminal or a supervisor would.
    async fn stop(mut self) {
        let pid = i32::try_from(self.child.id().expect("it runs")).expect("a pid");
        kill(Pid::from_raw(pid), Signal::SIGTERM).expect("it is ours");
        let status = self.child.wait().await.expect("it ends");
        assert!(status.success(), "{status}");
    }
}

async fn post(port: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}"))
        .await
        .expect("it listens");
    let length = body.len();
    let request =
        format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers");
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.expect("a status"), answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tour_through_the_node_app_goes_as_told() {
    needs_node!();
    let schema = Schema::vacant().await;
    let home = tempfile::tempdir().expect("a directory");
    install(home.path());
    let prepared = |program: &Path| {
        let mut command = Command::new(program);
        command
            .current_dir(home.path())
            .env("DATABASE_URL", &schema.url)
            .env("PGBOSS_SCHEMA", &schema.name)
            .env("EMAIL_WEBHOOK_SECRET", "whsec_c2VjcmV0LW9mLXRoZS1leGFtcGxl")
            .env("STRAWBOSS_LISTEN", "127.0.0.1:0");
        command
    };
    let mut app = Running::start(prepared(program()).arg("app.mjs").env("PORT", "0"));
    let port = app.line("listening at http://127.0.0.1:").await;
    let worker = Running::start(
        prepared(Path::new(env!("CARGO_BIN_EXE_strawboss")))
            .arg("run")
            .env("PORT", &port)
            .stderr(Stdio::null()),
    );

    for to in ["ada@example.com", "busy@example.com", "nobody"] {
        let (status, answer) = post(&port, "/signup", &json!({ "to": to }).to_string()).await;
        assert_eq!(status, 202, "{answer}");
    }
    app.line("mail to ada@example.com, attempt 1").await;
    app.line("mail to busy@example.com, attempt 2").await;
    schema
        .until(
            "(select count(*) from {schema}.job where name = 'email' and state = 'completed') = 2 \
             and (select count(*) from {schema}.job where name = 'email-dead') = 1",
        )
        .await;
    let dead = schema
        .row("select data, source_output from {schema}.job where name = 'email-dead'")
        .await;
    assert_eq!(dead["data"]["to"], "nobody");
    assert_eq!(dead["source_output"]["status"], 422);

    let (status, _) = post(&port, "/api/jobs/email", r#"{"to": "eve@example.com"}"#).await;
    assert_eq!(status, 401, "nobody but the worker may run jobs");
    worker.stop().await;
    app.stop().await;
}
