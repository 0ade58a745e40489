//! One PgBoss in a Node process of its own.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, oneshot};

use super::Release;
use super::install::node;
use crate::support::wait::PATIENCE;

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Result<Value, BossError>>>>>;

/// What a call of pg-boss threw.
#[derive(Debug, Clone, PartialEq)]
pub struct BossError {
    pub name: String,
    pub message: String,
    /// The SQLSTATE, where it came from the database.
    pub code: Option<String>,
}

/// A PgBoss that a test can call; its process ends with the value.
pub struct Boss {
    process: Child,
    input: tokio::sync::Mutex<ChildStdin>,
    waiting: Waiting,
    events: tokio::sync::Mutex<mpsc::UnboundedReceiver<Value>>,
    next: AtomicU64,
}

impl Boss {
    /// Starts that release on a schema that is there already, with nothing of its own running: no supervision, no
    /// schedules, no migration. `options` are laid over that; `tests/node/bridge.mjs` knows two more: `start` and `traces`.
    pub async fn start(release: Release, url: &str, schema: &str, options: Value) -> Boss {
        let mut all = json!({
            "connectionString": url,
            "schema": schema,
            "migrate": false,
            "supervise": false,
            "schedule": false,
            "max": 4,
        });
        let given = options.as_object().expect("options are an object").clone();
        all.as_object_mut().expect("made above").extend(given);
        let configuration = json!({ "release": release.npm(), "options": all });

        let mut process = Command::from(node("bridge.mjs"))
            .arg(configuration.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Node runs");
        let input = process.stdin.take().expect("it is piped");
        let output = process.stdout.take().expect("it is piped");

        let waiting = Waiting::default();
        let (sender, events) = mpsc::unbounded_channel();
        tokio::spawn(read(BufReader::new(output), Arc::clone(&waiting), sender));
        let boss = Boss {
            process,
            input: tokio::sync::Mutex::new(input),
            waiting,
            events: tokio::sync::Mutex::new(events),
            next: AtomicU64::new(1),
        };
        boss.event("started").await;
        boss
    }

    /// Calls a method: `boss.call("send", json!(["queue", {"n": 1}]))`. Dates are given as `{"$date": "…Z"}`.
    pub async fn call(&self, method: &str, arguments: Value) -> Result<Value, BossError> {
        self.ask(json!({ "op": "call", "method": method, "args": arguments }))
            .await
    }

    /// Registers a worker whose handler does what `behaviour` says; `tests/node/bridge.mjs` lists what it may say.
    /// Every job it is given shows as the event `job`, every end of a handler as `handled`.
    pub async fn work(&self, queue: &str, options: Value, behaviour: Value) -> Value {
        self.ask(json!({ "op": "work", "queue": queue, "options": options, "behaviour": behaviour }))
            .await
            .unwrap_or_else(|error| panic!("work on {queue}: {error:?}"))
    }

    /// Serves an endpoint whose requests have spans, where the process makes any; its address.
    pub async fn serve(&self, status: u16) -> String {
        let address = self.ask(json!({ "op": "serve", "status": status })).await;
        let address = address.unwrap_or_else(|error| panic!("the endpoint: {error:?}"));
        address.as_str().expect("a URL").to_owned()
    }

    /// Runs the body of an asynchronous function of `boss`, `args` and `say`.
    pub async fn eval(&self, body: &str, arguments: Value) -> Result<Value, BossError> {
        self.ask(json!({ "op": "eval", "body": body, "args": arguments })).await
    }

    /// The next event of that name; others before it are passed over. Panics after a while.
    pub async fn event(&self, name: &str) -> Value {
        let mut events = self.events.lock().await;
        let found = async {
            while let Some(event) = events.recv().await {
                if event["event"] == name {
                    return event;
                }
            }
            panic!("the Node process ended without the event {name}; see its standard error");
        };
        tokio::time::timeout(PATIENCE, found)
            .await
            .unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain for the event {name}"))
    }

    /// Stops as an application would: handlers may finish.
    pub async fn stop(mut self) {
        self.call("stop", json!([{ "graceful": true, "timeout": 10_000 }]))
            .await
            .expect("pg-boss stops");
        drop(self.input);
        self.process.wait().await.expect("the Node process ends");
    }

    /// Ends the process as a crash would.
    pub async fn kill(mut self) {
        self.process.kill().await.expect("the Node process ends");
    }

    async fn ask(&self, mut request: Value) -> Result<Value, BossError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        request["id"] = json!(id);
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().expect("nobody panics with it").insert(id, sender);
        let line = format!("{request}\n");
        self.input
            .lock()
            .await
            .write_all(line.as_bytes())
            .await
            .expect("the Node process listens");
        tokio::time::timeout(PATIENCE, answer)
            .await
            .unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain for an answer to {request}"))
            .unwrap_or_else(|_| panic!("the Node process ended before it answered {request}"))
    }
}

async fn read(output: BufReader<tokio::process::ChildStdout>, waiting: Waiting, events: mpsc::UnboundedSender<Value>) {
    let mut lines = output.lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(mut said) = serde_json::from_str::<Value>(&line) else {
            eprintln!("node: {line}");
            continue;
        };
        let Some(id) = said["id"].as_u64() else {
            // A test that does not look at events has dropped nothing it needs.
            let _ = events.send(said);
            continue;
        };
        let answer = match said.get_mut("error") {
            None => Ok(said["ok"].take()),
            Some(error) => Err(BossError {
                name: error["name"].as_str().unwrap_or_default().to_owned(),
                message: error["message"].as_str().unwrap_or_default().to_owned(),
                code: error["code"].as_str().map(str::to_owned),
            }),
        };
        if let Some(sender) = waiting.lock().expect("nobody panics with it").remove(&id) {
            // The asker may have given up.
            let _ = sender.send(answer);
        }
    }
    // Whoever still waits for an answer learns that none will come.
    waiting.lock().expect("nobody panics with it").clear();
}
