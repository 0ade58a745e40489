//! One look: what the database knows of the queues and their workers, and what a worker on this machine says of itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::exposition::Samples;
use crate::claim;
use crate::cli::options::Opened;
use crate::dialect::Dialect;
use crate::home::Home;
use crate::inspect::{ALONG_THE_INDEXES, Failure, Figures, QueueFigures, failures, figures, finished, instances};
use crate::postgres::{Class, Client, Database, Error};
use crate::refusal::Refusal;
use crate::server;

/// How far back the rates look that the database knows.
const WINDOW: Duration = Duration::from_secs(10);
/// How many failures are read.
const FAILURES: u16 = 50;
/// How long a statement about failures may take where no index leads to them; and how often it is sent at most.
const PATIENCE: (&str, Duration) = ("SET LOCAL statement_timeout = '1s'", Duration::from_secs(10));
/// How long a look may take in all.
const LIMIT: Duration = Duration::from_secs(8);
/// How long the worker is given to answer.
const ANSWER: Duration = Duration::from_secs(3);

/// What was seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Look {
    /// The schema's version; `None` where there was none to be read.
    pub version: Option<i32>,
    /// Why nothing could be read, or why some of it could not.
    pub trouble: Option<String>,
    /// The queues, by name.
    pub queues: Vec<Queue>,
    /// Whose the rates are.
    pub rates: Rates,
    /// The processes that have registered themselves; `None` before schema 44.
    pub workers: Option<Vec<Instance>>,
    /// What the worker on this machine says.
    pub here: Here,
    /// The last failures, latest first; `None` where reading them took too long.
    pub failures: Option<Vec<Failure>>,
}

/// Whose the rates are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Rates {
    /// Nobody knows them.
    #[default]
    Unknown,
    /// Every worker's, Node's too.
    All,
    /// Those of the worker on this machine.
    Here,
}

/// A queue.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    /// Its jobs.
    pub figures: QueueFigures,
    /// Since when, and why, strawboss's workers claim none of them.
    pub paused: Option<String>,
    /// Jobs that complete, a second.
    pub done: Option<f64>,
    /// Attempts, or where all workers are looked at jobs, that fail, a second.
    pub failed: Option<f64>,
}

/// A process that has registered itself, of Node or of strawboss.
#[derive(Debug, Clone, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Instance {
    /// What it calls itself.
    pub name: Option<String>,
    /// The machine.
    pub host: Option<String>,
    /// The process.
    pub pid: Option<i64>,
    /// "strawboss" and its version, or pg-boss's.
    pub version: Option<String>,
    /// It has said so lately.
    pub live: bool,
    /// When it stopped, if it said so.
    pub stopped_on: Option<String>,
    /// When it last said that it is there.
    pub heartbeat_on: Option<DateTime<Utc>>,
    /// What it serves.
    #[serde(default)]
    pub workers: Option<Vec<Serves>>,
}

impl Instance {
    /// For how many seconds it has said nothing.
    pub fn silent_for(&self, now: DateTime<Utc>) -> f64 {
        self.heartbeat_on.map_or(f64::INFINITY, |at| (now - at).as_seconds_f64())
    }
}

/// A queue that a process serves.
#[derive(Debug, Clone, Deserialize, PartialEq)]
pub(super) struct Serves {
    /// The queue.
    pub name: Option<String>,
}

/// What the worker says that listens where the configuration says.
#[derive(Debug, Clone, Default)]
pub(super) struct Here {
    /// Its address; `None` where the configuration has none.
    pub listen: Option<SocketAddr>,
    /// Why it was not heard; `None` where it was.
    pub silent: Option<String>,
    /// Why it is not ready; empty where it is.
    pub unready: Vec<String>,
    /// Jobs in flight, and how many there may be.
    pub in_flight: (f64, f64),
    /// The circuits of its handlers of events: 0 closed, 1 half-open, 2 open.
    pub circuits: BTreeMap<String, f64>,
}

/// Looks again and again; remembers what rates and patience need.
pub(super) struct Looker {
    opened: Opened,
    home: Home,
    listen: Option<SocketAddr>,
    /// The attempts of the worker here by queue and outcome, and when it was asked.
    before: Option<(Instant, BTreeMap<(String, String), f64>)>,
    /// What was read of failures, and when.
    failed: Option<(Instant, Option<Vec<Failure>>)>,
}

impl Looker {
    /// Looks at this database, and at the worker that listens there.
    pub fn new(opened: Opened, listen: Option<SocketAddr>) -> Looker {
        Looker {
            home: Home::new(opened.config.database.own_schema.clone()),
            opened,
            listen,
            before: None,
            failed: None,
        }
    }

    /// Where the database is, fit to be shown.
    pub fn place(&self) -> String {
        format!("{} in {}", self.opened.config.database.schema, self.opened.place)
    }

    /// Looks once. What cannot be had is missing, and said.
    pub async fn look(&mut self) -> Look {
        let (here, rates) = self.ask().await;
        let mut look = match self.read().await {
            Ok(look) => look,
            Err(trouble) => Look {
                trouble: Some(trouble),
                ..Look::default()
            },
        };
        if look.rates == Rates::Unknown && !rates.is_empty() {
            look.rates = Rates::Here;
            for queue in &mut look.queues {
                (queue.done, queue.failed) = rates.get(&queue.figures.name).copied().unwrap_or_default().into();
            }
        }
        look.here = here;
        look
    }

    async fn read(&mut self) -> Result<Look, String> {
        let database = self.opened.database.clone();
        let schema = self.opened.config.database.schema.clone();
        database.within(LIMIT, self.read_all(&database, &schema)).await.map_err(|error| {
            if error.class() == Class::Schema {
                format!("there is no pg-boss in schema {schema:?}")
            } else {
                error.to_string()
            }
        })
    }

    async fn read_all(&mut self, database: &Database, schema: &str) -> Result<Look, Error> {
        let mut client = database.client().await?;
        let dialect = Dialect::read(&client, schema).await?;
        let Figures { queues, .. } = figures(&mut client, &dialect).await?;
        let names: Vec<String> = queues.iter().map(|queue| queue.name.clone()).collect();
        let paused = claim::paused(&client, &self.home, schema).await?;
        let mut paused: BTreeMap<_, _> = paused.into_iter().map(|it| (it.queue, it.reason.unwrap_or_default())).collect();
        let ended = {
            let transaction = client.transaction().await?;
            transaction.batch(ALONG_THE_INDEXES).await?;
            let ended = finished(&transaction, &dialect, &names, WINDOW).await?;
            transaction.commit().await?;
            ended
        };
        let rates = if ended.is_some() { Rates::All } else { Rates::Unknown };
        let mut ended: BTreeMap<_, _> = ended.into_iter().flatten().map(|it| (it.queue.clone(), it)).collect();
        let a_second = |count: i64| count as f64 / WINDOW.as_secs_f64();
        let queues = queues.into_iter().map(|figures| {
            let ended = ended.remove(&figures.name);
            Queue {
                paused: paused.remove(&figures.name),
                done: ended.as_ref().map(|it| a_second(it.completed)),
                failed: ended.as_ref().map(|it| a_second(it.failed)),
                figures,
            }
        });
        let queues = queues.collect();
        let workers = registered(&client, &dialect).await?;
        let failures = self.failures(&mut client, &dialect, &names).await?;
        Ok(Look {
            version: Some(dialect.version()),
            queues,
            rates,
            workers,
            failures,
            ..Look::default()
        })
    }

    async fn failures(
        &mut self,
        client: &mut Client,
        dialect: &Dialect,
        queues: &[String],
    ) -> Result<Option<Vec<Failure>>, Error> {
        let bounded = dialect.has(crate::dialect::Capability::LiveIndex);
        if let Some((at, known)) = &self.failed
            && !bounded
            && at.elapsed() < PATIENCE.1
        {
            return Ok(known.clone());
        }
        let transaction = client.transaction().await?;
        transaction.batch(if bounded { ALONG_THE_INDEXES } else { PATIENCE.0 }).await?;
        let read = match failures(&transaction, dialect, queues, FAILURES).await {
            Ok(read) => Some(read),
            // It took longer than it may.
            Err(error) if error.code().is_some_and(|code| *code == tokio_postgres::error::SqlState::QUERY_CANCELED) => None,
            Err(error) => return Err(error),
        };
        transaction.rollback().await?;
        self.failed = Some((Instant::now(), read.clone()));
        Ok(read)
    }

    /// What the worker here says, and what came of attempts since it was asked before, a second: completed and failed.
    async fn ask(&mut self) -> (Here, BTreeMap<String, (Option<f64>, Option<f64>)>) {
        let Some(listen) = self.listen else {
            return (Here::default(), BTreeMap::new());
        };
        let mut here = Here {
            listen: Some(listen),
            ..Here::default()
        };
        let answers = tokio::try_join!(
            server::ask(listen, "/metrics", ANSWER),
            server::ask(listen, "/readyz", ANSWER)
        );
        let ((_, metrics), (_, ready)) = match answers {
            Ok(answers) => answers,
            Err(error) => {
                self.before = None;
                here.silent = Some(error.to_string());
                return (here, BTreeMap::new());
            }
        };
        here.unready = reasons(&ready);
        let samples = Samples(&metrics);
        here.in_flight = (
            samples.of("pgboss_jobs_in_flight").map(|sample| sample.value).sum(),
            samples.of("pgboss_worker_concurrency_limit").map(|sample| sample.value).sum(),
        );
        here.circuits = samples
            .of("event_circuit_state")
            .map(|sample| (sample.label("handler"), sample.value))
            .collect();
        let processed: BTreeMap<_, _> = samples
            .of("pgboss_jobs_processed_total")
            .map(|sample| ((sample.label("queue"), sample.label("outcome")), sample.value))
            .collect();
        let mut rates = BTreeMap::new();
        if let Some((at, before)) = &self.before {
            let seconds = at.elapsed().as_secs_f64().max(0.001);
            for ((queue, outcome), count) in &processed {
                let key = (queue.clone(), outcome.clone());
                let grown = (count - before.get(&key).copied().unwrap_or_default()).max(0.0) / seconds;
                let of: &mut (Option<f64>, Option<f64>) = rates.entry(queue.clone()).or_insert((Some(0.0), Some(0.0)));
                match outcome.as_str() {
                    "completed" => of.0 = of.0.map(|rate| rate + grown),
                    "retried" | "failed" | "dead_lettered" | "expired" => of.1 = of.1.map(|rate| rate + grown),
                    _ => {}
                }
            }
        }
        self.before = Some((Instant::now(), processed));
        (here, rates)
    }
}

/// Why a worker is not ready, by its `/readyz`.
fn reasons(readyz: &str) -> Vec<String> {
    let said: serde_json::Value = serde_json::from_str(readyz).unwrap_or_default();
    let mut reasons: Vec<String> = said["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|condition| condition["ready"] == false)
        .map(|condition| condition["reason"].as_str().unwrap_or("not ready").to_owned())
        .collect();
    if said["draining"] == true {
        reasons.push("it was told to stop".to_owned());
    }
    reasons
}

async fn registered(client: &Client, dialect: &Dialect) -> Result<Option<Vec<Instance>>, Error> {
    match instances(client, dialect).await {
        Ok(rows) => Ok(Some(rows.iter().filter_map(|row| serde_json::from_str(row.get()).ok()).collect())),
        Err(Refusal::Database(error)) if error.class() != Class::Permanent => Err(error),
        // The table is not there, or may not be read.
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_those_of_what_is_not_ready() {
        let readyz = r#"{"ready":false,"draining":true,"conditions":[
            {"name":"database","ready":true,"reason":null},{"name":"schema","ready":false,"reason":"none there"}]}"#;
        assert_eq!(reasons(readyz), ["none there", "it was told to stop"]);
        assert!(reasons("not JSON").is_empty());
    }

    #[test]
    fn an_instance_of_node_and_one_of_ours_are_read() {
        let text = r#"{"id":"x","name":"app","host":"web-1","pid":12,"version":"12.38.0","live":true,"stoppedOn":null,
            "heartbeatOn":"2026-01-02T03:04:05.678Z",
            "workers":[{"name":"email","batchSize":1}]}"#;
        let instance: Instance = serde_json::from_str(text).expect("it is one");
        let later = "2026-01-02T03:04:15.678Z".parse().expect("a time");
        assert_eq!(instance.silent_for(later), 10.0);
        assert_eq!(instance.workers.expect("it serves")[0].name.as_deref(), Some("email"));
        serde_json::from_str::<Instance>(r#"{"live":false,"workers":null}"#).expect("what is not said is left out");
    }
}
