//! The worker at `http.listen`, as its `/status` has it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::server;

/// How long it is given to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// What it says.
#[derive(Debug, Clone, Default)]
pub(super) struct Here {
    /// Its address; `None` where the configuration has none.
    pub listen: Option<SocketAddr>,
    /// Why it was not heard; `None` where it was.
    pub silent: Option<String>,
    /// When it was.
    heard: Option<Instant>,
    /// What it said.
    pub status: Status,
}

/// As much of `/status` as is shown.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    process: Process,
    readiness: Readiness,
    /// Jobs in flight.
    pub in_flight: u64,
    /// How many there may be.
    pub concurrency: u64,
    /// Attempts since its start, by queue and outcome.
    processed: BTreeMap<String, BTreeMap<String, u64>>,
    /// The circuits of its handlers of events: 0 closed, 1 half-open, 2 open.
    pub circuits: BTreeMap<String, u8>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Process {
    pid: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Readiness {
    draining: bool,
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Condition {
    name: String,
    reason: Option<String>,
}

/// What a queue comes to in a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Rate {
    /// What completes.
    pub completed: f64,
    /// What fails.
    pub failed: f64,
}

impl Here {
    /// Asks it.
    pub async fn ask(listen: Option<SocketAddr>) -> Here {
        let Some(address) = listen else {
            return Here::default();
        };
        let said = match server::ask(address, "/status", PATIENCE).await {
            Ok((_, body)) => Here::of(&body),
            Err(error) => Err(error.to_string()),
        };
        let mut here = said.unwrap_or_else(|why| Here {
            silent: Some(why),
            ..Here::default()
        });
        here.listen = listen;
        here
    }

    /// Whether it was heard.
    pub fn is_heard(&self) -> bool {
        self.heard.is_some()
    }

    fn of(status: &str) -> Result<Here, String> {
        let status = serde_json::from_str(status).map_err(|_| "what listens there is no worker".to_owned())?;
        Ok(Here {
            heard: Some(Instant::now()),
            status,
            ..Here::default()
        })
    }

    /// Why it is not ready; nothing where it is.
    pub fn unready(&self) -> Vec<String> {
        let readiness = &self.status.readiness;
        let stopping = readiness.draining.then(|| "it was told to stop".to_owned());
        let conditions = readiness.conditions.iter();
        let lacking = conditions.filter_map(|it| it.reason.as_ref().map(|reason| format!("{}: {reason}", it.name)));
        stopping.into_iter().chain(lacking).collect()
    }

    /// What came of attempts since it was asked before, by queue; nothing where that was another process, or none.
    pub fn since(&self, before: &Here) -> BTreeMap<String, Rate> {
        let (Some(now), Some(then)) = (self.heard, before.heard) else {
            return BTreeMap::new();
        };
        if self.status.process.pid != before.status.process.pid {
            return BTreeMap::new();
        }
        let seconds = now.duration_since(then).as_secs_f64().max(0.001);
        let of = |(queue, outcomes): (&String, &BTreeMap<String, u64>)| {
            let mut rate = Rate::default();
            for (outcome, count) in outcomes {
                let known = before.status.processed.get(queue).and_then(|it| it.get(outcome));
                let grown = count.saturating_sub(known.copied().unwrap_or_default()) as f64 / seconds;
                match outcome.as_str() {
                    "completed" => rate.completed += grown,
                    "retried" | "failed" | "dead_lettered" | "expired" => rate.failed += grown,
                    _ => {}
                }
            }
            (queue.clone(), rate)
        };
        self.status.processed.iter().map(of).collect()
    }
}

#[cfg(test)]
impl Here {
    /// One that says this.
    pub fn saying(status: &str) -> Here {
        Here {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 9464))),
            ..Here::of(status).expect("a status")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saying(pid: u64, completed: u64, retried: u64) -> Here {
        Here::saying(&format!(
            r#"{{"process":{{"pid":{pid}}},"processed":{{"email":{{"completed":{completed},"retried":{retried},"released":9}}}}}}"#
        ))
    }

    #[test]
    fn a_rate_is_what_was_added() {
        let (mut before, now) = (saying(7, 10, 1), saying(7, 30, 2));
        let then = now.heard.and_then(|now| now.checked_sub(Duration::from_secs(2)));
        before.heard = then;
        let email = now.since(&before)["email"];
        assert_eq!(
            email,
            Rate {
                completed: 10.0,
                failed: 0.5
            }
        );
        assert!(saying(8, 30, 2).since(&before).is_empty(), "it is another process");
        assert!(now.since(&Here::default()).is_empty(), "it was not heard before");
    }

    #[test]
    fn what_is_not_ready_is_named() {
        let here = Here::saying(
            r#"{"readiness":{"ready":false,"draining":true,"conditions":[
                {"name":"database","ready":true},{"name":"schema","ready":false,"reason":"none there"}]}}"#,
        );
        assert_eq!(here.unready(), ["it was told to stop", "schema: none there"]);
        assert!(saying(1, 0, 0).unready().is_empty());
        assert!(Here::of("<html>").is_err());
    }
}
