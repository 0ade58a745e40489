//! `strawboss` as a process that is looked at while it runs.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::within;
use crate::support::Schema;
use crate::support::client::{Answer, get};
use crate::support::wait::PATIENCE;

/// A process of the program, ended with the value.
pub struct Program {
    child: Child,
    /// What it has written, in lines: answers, and everything else.
    pub out: Lines,
    pub log: Lines,
    /// Has the configuration, and is the current directory.
    _directory: TempDir,
}

/// How a process ended, and all it wrote.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub log: String,
}

/// Lines as they come.
#[derive(Clone)]
pub struct Lines(watch::Receiver<Vec<String>>);

impl Program {
    /// Starts it with nothing of our environment, in a directory of its own where `worker.toml` is that text.
    pub fn start(arguments: &[&str], configuration: &str, environment: &[(&str, &str)]) -> Program {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("worker.toml"), configuration).expect("written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_strawboss"))
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(environment.iter().copied())
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program runs");
        let out = Lines::of(child.stdout.take().expect("it is piped"));
        let log = Lines::of(child.stderr.take().expect("it is piped"));
        Program {
            child,
            out,
            log,
            _directory: directory,
        }
    }

    /// `strawboss run` on a schema, with its endpoints on a port of its own; `rest` follows in the configuration.
    pub fn run(schema: &Schema, rest: &str) -> Program {
        Program::start(
            &["run", "--config", "worker.toml"],
            &configuration(&schema.url, &schema.name, rest),
            &[],
        )
    }

    /// Where `/metrics` and its siblings are.
    pub async fn address(&self) -> SocketAddr {
        let line = self.log.with("serving /metrics").await;
        let (_, address) = line.split_once("address=").expect("the line says where");
        address.trim().parse().expect("an address")
    }

    pub async fn get(&self, path: &str) -> Answer {
        get(self.address().await, path).await
    }

    /// The value of one series, labels included as they are rendered; `None` if it is not there.
    pub async fn metric(&self, series: &str) -> Option<f64> {
        value(&self.get("/metrics").await.body, series)
    }

    pub fn signal(&self, signal: Signal) {
        let id = self.child.id().expect("it runs");
        kill(Pid::from_raw(id.cast_signed()), signal).expect("it is our child");
    }

    /// How it ends, by itself or by a signal that was sent.
    pub async fn ended(mut self) -> Ended {
        let status = within(PATIENCE, "the program to end", self.child.wait()).await;
        let (out, log) = tokio::join!(self.out.all(), self.log.all());
        Ended {
            code: status.expect("it can be waited for").code(),
            out,
            log,
        }
    }

    /// Tells it to stop, as a deploy does, and holds it to doing so well.
    pub async fn stop(self) -> Ended {
        self.signal(Signal::SIGTERM);
        self.ended().await.well()
    }
}

impl Ended {
    /// The same, which has to be exit code 0.
    pub fn well(self) -> Ended {
        assert_eq!(self.code, Some(0), "{}\n{}", self.out, self.log);
        self
    }
}

impl Lines {
    fn of(pipe: impl AsyncRead + Unpin + Send + 'static) -> Lines {
        let (sender, lines) = watch::channel(Vec::new());
        let sender = Arc::new(sender);
        tokio::spawn(async move {
            let mut pipe = BufReader::new(pipe).lines();
            while let Ok(Some(line)) = pipe.next_line().await {
                sender.send_modify(|lines: &mut Vec<String>| lines.push(line));
            }
        });
        Lines(lines)
    }

    /// The first line that has this in it, now or soon.
    pub async fn with(&self, text: &str) -> String {
        let mut lines = self.0.clone();
        let has = |line: &String| line.contains(text);
        let waited = tokio::time::timeout(PATIENCE, lines.wait_for(|lines| lines.iter().any(has))).await;
        let found = match waited {
            Ok(Ok(lines)) => lines.iter().find(|line| has(line)).cloned(),
            _ => None,
        };
        found.unwrap_or_else(|| panic!("waited in vain for a line with {text:?}; there are:\n{}", self.now()))
    }

    /// All there is by now.
    pub fn now(&self) -> String {
        self.0.borrow().join("\n")
    }

    /// All there will be.
    async fn all(&self) -> String {
        let mut lines = self.0.clone();
        // A child that holds the pipe on would keep it from ending.
        let ended = async { while lines.changed().await.is_ok() {} };
        within(PATIENCE, "the end of what the program writes", ended).await;
        self.now()
    }
}

/// A configuration on a schema, with endpoints on a free port.
pub fn configuration(url: &str, schema: &str, rest: &str) -> String {
    format!("[database]\nurl = '{url}'\nschema = '{schema}'\n[http]\nlisten = '127.0.0.1:0'\n{rest}")
}

/// The value of one series in the Prometheus text format.
pub fn value(exposition: &str, series: &str) -> Option<f64> {
    let line = exposition
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(line.parse().expect("a number"))
}
