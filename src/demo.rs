//! The main job on an embedded default: a private PostgreSQL, a pg-boss schema, and a worker with sample jobs and events.

pub mod cluster;
mod sample;
mod shared;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::config::{Config, EventsConfig};
use crate::dialect::Dialect;
use crate::enqueue;
use crate::events::{self, EmitError, EmitOptions, Emitter, Letter, LetterFilter, RegisterError, letters};
use crate::home::Home;
use crate::inspect::{self, JobFilter};
use crate::job::Outcome;
use crate::lifecycle::Report;
use crate::observe::Metrics;
use crate::postgres::{Client, Database, Settings};
use crate::queue::QueueName;
use crate::schema;
use crate::server::ServerError;
use crate::worker::{self, Worker};
use cluster::Cluster;

pub use sample::{DEAD, Sample};
pub use shared::shared_server;

/// How the demo's schema is named in somebody's own database, where `pgboss` may be in use. What follows is of chance: a
/// schema that is dropped at the end must be one that was made for it.
const SCHEMA: &str = "strawboss_demo_";
/// The database of a private server that the demo leaves to whoever wants to try something of his own.
const EMPTY: &str = "app";
/// After which time without any progress the demo gives up.
const STUCK: Duration = Duration::from_secs(60);
/// How often the figures are read.
const TICK: Duration = Duration::from_millis(100);

/// Why there is nothing to see.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The private PostgreSQL would not start.
    #[error("{0}")]
    Cluster(#[from] cluster::Error),
    /// The database would not.
    #[error("{0}")]
    Database(#[from] crate::postgres::Error),
    /// The schema could not be installed.
    #[error("{0}")]
    Schema(#[from] schema::Error),
    /// The sample jobs could not be sent.
    #[error("{0}")]
    Enqueue(#[from] enqueue::Error),
    /// The sample events could not be emitted.
    #[error("{0}")]
    Emit(#[from] EmitError),
    /// The handlers of the sample events were refused.
    #[error("{0}")]
    Handlers(#[from] RegisterError),
    /// The worker would not start.
    #[error("{0}")]
    Worker(#[from] worker::Error),
    /// The worker stopped making progress.
    #[error("nothing has happened for {STUCK:?}; the log says why (RUST_LOG=debug says more)")]
    Stuck,
}

/// A demo that runs.
pub struct Demo {
    place: Place,
    http: SocketAddr,
    metrics: Metrics,
    samples: Vec<Sample>,
    stop: oneshot::Sender<()>,
    worker: JoinHandle<Result<Report, worker::Error>>,
}

/// Where it happens, and what has to go afterwards.
struct Place {
    cluster: Option<Cluster>,
    database: Database,
    url: String,
    schema: String,
    /// Our own schema.
    own: String,
    /// Where the app's event tables are.
    outbox: String,
}

/// How far one queue has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Jobs sent.
    pub sent: u64,
    /// Jobs completed.
    pub completed: u64,
    /// Attempts that failed and were tried again.
    pub retried: u64,
    /// Jobs that failed for good.
    pub dead: u64,
}

/// What is left of a job that failed for good.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The id of the job that failed; empty where the schema does not keep it.
    pub source: String,
    /// Its payload.
    pub data: Value,
    /// What the last attempt failed of.
    pub reason: Value,
}

impl Demo {
    /// Starts everything: the private server unless `database_url` names another, the schema, the queues, the worker
    /// and its endpoints. `say` is told what is being done.
    ///
    /// # Errors
    /// Whatever of it cannot be had; nothing is left behind then.
    pub async fn start(database_url: Option<String>, say: Arc<dyn Fn(&str) + Send + Sync>) -> Result<Demo, Error> {
        let place = Place::make(database_url, &say).await?;
        match Demo::set_up(&place, &say).await {
            Ok((worker, http, metrics)) => {
                let (stop, stopped) = oneshot::channel();
                let worker = tokio::spawn(worker.run(async { drop(stopped.await) }));
                say(&format!("Working; metrics at http://{http}/metrics"));
                Ok(Demo {
                    place,
                    http,
                    metrics,
                    samples: sample::samples(),
                    stop,
                    worker,
                })
            }
            Err(error) => {
                // What is said of the error matters more than what is said of the clearing up after it.
                let _ = place.clear().await;
                Err(error)
            }
        }
    }

    /// Makes the worker, and sends it what it is to do.
    async fn set_up(
        place: &Place,
        say: &Arc<dyn Fn(&str) + Send + Sync>,
    ) -> Result<(Worker, SocketAddr, Metrics), Error> {
        let mut config = Config::default();
        config.database.url.clone_from(&place.url);
        config.database.schema.clone_from(&place.schema);
        // It has no schedules, and leaves nothing behind in a schema of ours.
        config.worker.schedule = false;
        config.database.own_schema.clone_from(&place.own);
        config.events.enabled = true;
        config.events.outbox_schema.clone_from(&place.outbox);
        config.events.polling_interval = TICK;
        let handlers = sample::handlers(config.events.handlers())?;
        let emitted = config.events.clone();
        let (listener, http) = listener(config.http.listen).map_err(worker::Error::from)?;
        let metrics = Metrics::new();
        let mut worker = Worker::new(config)
            .with_metrics(metrics.clone())
            .with_listener(listener);
        worker.handle_events(handlers);
        let mut client = place.database.client().await?;
        let dialect = Dialect::read(&client, &place.schema).await?;
        let samples = sample::samples();
        for sample in samples.iter().filter(|sample| !sample.is_of_events()) {
            worker.handle(sample.queue, sample.handler());
            let queue = QueueName::from(sample.queue);
            enqueue::ensure(&client, &dialect, &queue, &sample.options()).await?;
            enqueue::insert(&client, &dialect, &queue, &sample.jobs()).await?;
        }
        let jobs = samples.iter().filter(|sample| !sample.is_of_events());
        say(&format!(
            "Sent {} jobs to {} queues",
            jobs.clone().map(|sample| sample.count).sum::<usize>(),
            jobs.count()
        ));
        place.emit(&mut client, dialect, &emitted).await?;
        say(&format!("Emitted {} events into the outbox", sample::EVENTS));
        Ok((worker, http, metrics))
    }

    /// What the queues are there to show.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The address of `/metrics`, `/healthz`, `/readyz` and `/status`.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where the private server is, with its password, since that is needed to look around; `None` where the database is
    /// somebody's own, whose password is not ours to show.
    pub fn private_url(&self) -> Option<String> {
        self.place.cluster.as_ref().map(Cluster::url)
    }

    /// Where in the private server an empty database is.
    pub fn empty_database(&self) -> Option<String> {
        self.place.cluster.as_ref().map(|cluster| cluster.url_of(EMPTY))
    }

    /// Its pg-boss schema.
    pub fn schema(&self) -> &str {
        &self.place.schema
    }

    /// How far each sample has come, in the order of [`Demo::samples`].
    pub fn figures(&self) -> Vec<Figures> {
        let count = |queue: &str, outcome: Outcome| {
            self.metrics
                .jobs_processed
                .with_label_values(&[queue, outcome.as_str()])
                .get()
        };
        let figures = self.samples.iter().map(|sample| Figures {
            sent: sample.count as u64,
            completed: count(sample.queue, Outcome::Completed),
            retried: count(sample.queue, Outcome::Retried),
            dead: count(sample.queue, Outcome::DeadLettered),
        });
        figures.collect()
    }

    /// Waits until every job is done, one way or the other; `watch` is shown the figures meanwhile.
    ///
    /// # Errors
    /// When nothing happens any more.
    pub async fn finished(&self, mut watch: impl FnMut(&[Figures])) -> Result<Duration, Error> {
        let started = Instant::now();
        let (mut last, mut since) = (Vec::new(), started);
        loop {
            let figures = self.figures();
            watch(&figures);
            let buried = self.metrics.event_dead_letters.with_label_values(&["receipt"]).get();
            let dead = self.samples.iter().zip(&figures);
            let dead: u64 = dead.filter(|(of, _)| of.is_of_events()).map(|(_, of)| of.dead).sum();
            if figures.iter().all(|of| of.completed + of.dead >= of.sent) && buried >= dead {
                return Ok(started.elapsed());
            }
            if figures != last {
                (last, since) = (figures, Instant::now());
            } else if since.elapsed() > STUCK || self.worker.is_finished() {
                return Err(Error::Stuck);
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Some of the dead letters, oldest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn dead_letters(&self, limit: u32) -> Result<Vec<DeadLetter>, Error> {
        let client = self.place.database.client().await?;
        let dialect = Dialect::read(&client, &self.place.schema).await?;
        let rows = inspect::jobs(&client, &dialect, DEAD, &JobFilter::default(), limit).await?;
        let letters = rows.iter().rev().map(|job| {
            let row: Value = serde_json::from_str(job.row.get()).unwrap_or_default();
            // Where the schema has no place for it, the copy keeps the reason as its own output.
            let output = row.get("source_output").unwrap_or(&row["output"]);
            DeadLetter {
                source: row["source_id"].as_str().unwrap_or_default().to_owned(),
                data: row["data"].clone(),
                reason: output["message"].clone(),
            }
        });
        Ok(letters.collect())
    }

    /// Some of the events that a handler failed for good.
    ///
    /// # Errors
    /// What the database says.
    pub async fn dead_events(&self, limit: u32) -> Result<Vec<Letter>, Error> {
        let client = self.place.database.client().await?;
        let dialect = Dialect::read(&client, &self.place.schema).await?;
        let place = self.place.events(dialect);
        Ok(letters(&client, &place, &LetterFilter::default(), limit).await?)
    }

    /// Drains the worker, and removes what was made for the demo.
    ///
    /// # Errors
    /// What could not be removed.
    pub async fn stop(self) -> Result<Report, Error> {
        let _ = self.stop.send(());
        let report = self.worker.await.unwrap_or_else(|_| Ok(Report::default()));
        self.place.clear().await?;
        Ok(report?)
    }
}

impl Place {
    /// A database and a fresh schema in it.
    async fn make(database_url: Option<String>, say: &Arc<dyn Fn(&str) + Send + Sync>) -> Result<Place, Error> {
        let (cluster, url, schema) = match database_url {
            Some(url) => (None, url, format!("{SCHEMA}{:08x}", rand::random::<u32>())),
            None => {
                let options = cluster::Options {
                    progress: Arc::clone(say),
                    ..cluster::Options::default()
                };
                let started = tokio::task::spawn_blocking(|| Cluster::start(options)).await;
                let cluster = started.map_err(|error| crate::postgres::Error::Settings(error.to_string()))??;
                let url = cluster.url();
                (Some(cluster), url, "pgboss".to_owned())
            }
        };
        let database = Database::new(&Settings::parse(&url)?)?;
        if cluster.is_some() {
            let create = format!("CREATE DATABASE {EMPTY}");
            database.client().await?.batch(&create).await?;
        }
        schema::install(&database, &schema).await?;
        say(&format!("Installed pg-boss's schema as \"{schema}\""));
        let (own, outbox) = match cluster {
            Some(_) => (Config::default().database.own_schema, "public".to_owned()),
            // Both in one schema, that goes with the demo.
            None => (format!("{schema}_own"), format!("{schema}_own")),
        };
        Ok(Place {
            cluster,
            database,
            url,
            schema,
            own,
            outbox,
        })
    }

    /// Where its event system is.
    fn events(&self, dialect: Dialect) -> events::Place {
        events::Place::new(Arc::new(dialect), Home::new(self.own.as_str()), &self.outbox)
    }

    /// Makes the app's event tables, and emits what the demo is to show.
    async fn emit(&self, client: &mut Client, dialect: Dialect, config: &EventsConfig) -> Result<(), Error> {
        let place = self.events(dialect);
        events::install(client, place.home(), &self.outbox, true).await?;
        place.prepare(client).await?;
        let handlers = sample::handlers(config.handlers())?;
        // Before the first event, so that none finds that nobody has subscribed yet.
        events::register(
            client,
            place.dialect(),
            place.home(),
            handlers.list(),
            handlers.defaults(),
        )
        .await?;
        let emitter = Emitter::new(place, config);
        for n in 1..=sample::EVENTS {
            let payload = to_raw_value(&json!({ "n": n })).map_err(EmitError::Json)?;
            emitter
                .emit(client, sample::EVENT, &payload, "demo", &EmitOptions::default())
                .await?;
        }
        Ok(())
    }

    /// Removes what was made.
    async fn clear(self) -> Result<(), Error> {
        match self.cluster {
            Some(cluster) => drop(tokio::task::spawn_blocking(|| drop(cluster)).await),
            None => {
                let [schema, own] = [&self.schema, &self.own].map(|name| crate::dialect::quoted(name));
                let drop = format!("DROP SCHEMA {schema} CASCADE; DROP SCHEMA IF EXISTS {own} CASCADE");
                self.database.client().await?.batch(&drop).await?;
            }
        }
        Ok(())
    }
}

/// The configured address if it is free, else another port of this machine; either is held from now on.
fn listener(configured: Option<SocketAddr>) -> Result<(TcpListener, SocketAddr), ServerError> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let bound = TcpListener::bind(configured.unwrap_or(any)).or_else(|_| TcpListener::bind(any));
    let listener = bound.map_err(|source| ServerError::Bind { address: any, source })?;
    let address = listener.local_addr().map_err(ServerError::Serve)?;
    Ok((listener, address))
}
