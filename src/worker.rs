//! The crew put together: who is spawned, who tells whom, and how all of it stops.

mod runs;
mod stopping;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::claim::{CLAIM, Consumer, Demand, Listener, Scout, Served, Slots, Terms, Watched};
use crate::config::{Config, QueueConfig};
use crate::dialect::{Needed, Watch, Watcher};
use crate::enqueue::{QueueOptions, ensure};
use crate::handler::{self, Handler};
use crate::lifecycle::{Lifecycle, Quarters, Report};
use crate::observe::{Health, Metrics, Tracer};
use crate::postgres::{Class, Database, Settings};
use crate::queue::{QueueName, READ};
use crate::run::{Keeper, Leases, TOUCH};
use crate::server::Server;
use crate::server::api::{Api, Backend};
use crate::settle::{COMPLETE, FAIL, RELEASE, Settler};
use crate::upkeep::{FlowResolver, Rescuer, Supervisor};
use runs::Runs;
use stopping::Stopping;

/// How long a loop may be silent before the worker counts as stuck: longer than any time-out of a statement.
const SILENCE: Duration = Duration::from_secs(90);

/// How long until queues that could not be created are tried again: at first, and at most.
const FOUND: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How long the making of one queue may take: the locks it needs may be held for half a minute by a migration.
const FOUNDING: Duration = Duration::from_secs(45);

/// Why a worker could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database settings cannot be used.
    #[error("{0}")]
    Database(#[from] crate::postgres::Error),
    /// A queue is configured and nothing runs its jobs.
    #[error("queue {0:?} has no handler; configure one or register one with `Worker::handle`")]
    NoHandler(String),
    /// The threads of the servants cannot be had, or died.
    #[error("the worker's own threads: {0}")]
    Runtime(#[source] std::io::Error),
    /// The address of the endpoints cannot be had.
    #[error("{0}")]
    Server(#[from] crate::server::ServerError),
    /// The API must not be served on that address.
    #[error("{0}")]
    Api(String),
    /// A configured handler cannot be made.
    #[error("queue {queue:?}: {source}")]
    Handler {
        /// The queue.
        queue: String,
        /// What is wrong with it.
        source: handler::SetupError,
    },
}

/// A queue, how it is served, and by what.
struct Assigned {
    queue: QueueName,
    config: QueueConfig,
    handler: Arc<dyn Handler>,
}

/// A worker for the queues of one schema.
pub struct Worker {
    config: Config,
    metrics: Metrics,
    health: Health,
    tracer: Tracer,
    listener: Option<TcpListener>,
    handlers: BTreeMap<String, Arc<dyn Handler>>,
}

impl Worker {
    /// A worker as configured, with metrics and health of its own and without traces.
    pub fn new(config: Config) -> Worker {
        Worker {
            config,
            metrics: Metrics::new(),
            health: Health::new(),
            tracer: Tracer::off(),
            listener: None,
            handlers: BTreeMap::new(),
        }
    }

    /// Counts in these metrics, which the caller may serve.
    pub fn with_metrics(mut self, metrics: Metrics) -> Worker {
        self.metrics = metrics;
        self
    }

    /// Reports its health here, which the caller may serve.
    pub fn with_health(mut self, health: Health) -> Worker {
        self.health = health;
        self
    }

    /// Makes spans with this tracer.
    pub fn with_tracer(mut self, tracer: Tracer) -> Worker {
        self.tracer = tracer;
        self
    }

    /// Serves its endpoints on this, which is bound already, in place of `http.listen`.
    pub fn with_listener(mut self, listener: TcpListener) -> Worker {
        self.listener = Some(listener);
        self
    }

    /// Runs the jobs of `queue` with `handler`, in place of a configured one; a queue that is not configured is served
    /// with the defaults.
    pub fn handle(&mut self, queue: &str, handler: Arc<dyn Handler>) -> &mut Worker {
        self.handlers.insert(queue.to_owned(), handler);
        self
    }

    /// Works until `stop` completes, then drains and reports.
    ///
    /// # Errors
    /// Only before the first claim: what cannot be worked with at all. A database that is away is waited for.
    pub async fn run(mut self, stop: impl Future<Output = ()> + Send) -> Result<Report, Error> {
        let settings = Settings::of(&self.config.database)?;
        let place = settings.database_name();
        let database = Database::new(&settings)?;
        let apart = database.beside(1)?;
        let queues = self.queues()?;
        let quarters = Quarters::new().map_err(Error::Runtime)?;
        let life = Lifecycle::new(&quarters);
        let (listener, listen) = (self.listener.take(), self.config.http.listen);
        let bound = life.spawn("server", async move {
            match (listener, listen) {
                (Some(listener), _) => Server::adopt(listener).map(Some),
                (None, Some(address)) => Server::bind(address).await.map(Some),
                (None, None) => Ok(None),
            }
        });
        let server = bound.await.map_err(|error| Error::Runtime(error.into()))??;
        if let Some(refusal) = server
            .as_ref()
            .and_then(|server| self.config.api.refusal(server.address()))
        {
            return Err(Error::Api(refusal));
        }

        // The servants that finish what is under way outlive both stops and end by this.
        let over = CancellationToken::new();
        // Whoever drops this future is done with the worker: nothing of it may go on claiming.
        let _all = [&life.soft, &life.hard, &over].map(|token| token.clone().drop_guard());
        let schema = &self.config.database.schema;
        let (watcher, watch) = Watcher::new(database.clone(), schema, needed(), self.metrics.clone());
        let (errors, doubted) = (self.metrics.db_errors.clone(), watch.clone());
        database.watch_errors(move |class| {
            errors.with_label_values(&[class.as_str()]).inc();
            if class == Class::Permanent {
                doubted.doubt();
            }
        });
        life.spawn(
            "schema watch",
            watcher
                .reporting(self.health.condition("database"))
                .run(self.health.register("schema watch", SILENCE), over.clone()),
        );

        let leases = Leases::default();
        let keeper = Keeper {
            database: apart,
            watch: watch.clone(),
            leases: leases.clone(),
            metrics: self.metrics.clone(),
        };
        life.spawn_apart(
            "lease keeper",
            keeper.run(self.health.register("lease keeper", SILENCE), over.clone()),
        );

        let tracer = self.tracer.within(&place, schema);
        let backlog = (self.config.worker.concurrency * 4).max(1024);
        let (settler, verdicts) = Settler::new(
            database.clone(),
            watch.clone(),
            leases.clone(),
            self.metrics.clone(),
            tracer.clone(),
            backlog,
        );
        life.spawn(
            "settler",
            settler.run(self.health.register("settler", SILENCE), over.clone()),
        );
        let runs = Runs::new(life.clone(), leases.clone(), verdicts, self.metrics.clone(), tracer);

        let claiming = TaskTracker::new();
        let names = queues.iter().map(|assigned| assigned.queue.clone()).collect();
        let served = self.serve(queues, &database, &watch, &life, &claiming, &runs);
        self.show(&database, &watch, names, served, &life, &runs);
        let api = self
            .config
            .api
            .enabled
            .then(|| Api::new(&self.config.api, Backend::new(database.clone(), watch.clone(), schema)));
        if let Some(mut server) = server {
            tracing::info!(address = %server.address(), "serving /metrics, /healthz, /readyz and /status");
            if let Some(api) = &api {
                tracing::info!(address = %server.address(), prefix = self.config.api.prefix, "serving pg-boss's API");
                server = server.with_api(api.clone());
            }
            let serving = server.run(self.metrics.clone(), self.health.clone(), over.clone());
            life.spawn("server", async move {
                if let Err(error) = serving.await {
                    tracing::error!(%error, "nothing is served over HTTP any more");
                }
            });
        }

        tokio::select! {
            () = stop => {}
            name = life.broken() => {
                tracing::error!(task = name, "a part of the worker died; it stops, for it is of no use without");
            }
        }
        let stopping = Stopping {
            grace: self.config.worker.shutdown_grace,
            health: self.health.clone(),
            tracer: self.tracer.clone(),
            life,
            claiming,
            runs: runs.counters(),
            api,
            over,
        };
        // Only the consumers keep the settler's channel open from now on.
        drop(runs);
        let drained = quarters.handle().spawn(stopping.drain()).await;
        drained.map_err(|error| Error::Runtime(error.into()))
    }

    /// The queues with their handlers: those configured, and those registered without a configuration.
    ///
    /// A queue without a handler that is only kept in existence is not served.
    fn queues(&self) -> Result<Vec<Assigned>, Error> {
        let mut configured = self.config.queues.clone();
        configured.retain(|name, config| {
            config.handler.is_some() || config.ensure.is_none() || self.handlers.contains_key(name)
        });
        for name in self.handlers.keys() {
            configured
                .entry(name.clone())
                .or_insert_with(|| QueueConfig::within(&self.config.worker));
        }
        configured
            .into_iter()
            .map(|(name, config)| {
                let queue = QueueName::new(name.as_str());
                let handler = match (self.handlers.get(&name), &config.handler) {
                    (Some(handler), _) => Arc::clone(handler),
                    (None, Some(handler)) => handler::from_config(handler, &queue, &self.metrics)
                        .map_err(|source| Error::Handler { queue: name, source })?,
                    (None, None) => return Err(Error::NoHandler(name)),
                };
                Ok(Assigned { queue, config, handler })
            })
            .collect()
    }

    /// Spawns a consumer per queue, and the servants that look after all of them.
    fn serve(
        &self,
        queues: Vec<Assigned>,
        database: &Database,
        watch: &Watch,
        life: &Lifecycle,
        claiming: &TaskTracker,
        runs: &Runs,
    ) -> Vec<watch::Receiver<Option<Served>>> {
        let process = Arc::new(Semaphore::new(self.config.worker.concurrency));
        let again = Arc::new(Notify::new());
        let mut watched = Vec::new();
        let mut rows = Vec::new();
        let mut heard = Vec::new();
        for Assigned {
            queue: name,
            config,
            handler,
        } in queues
        {
            self.metrics.register_queue(&name);
            let limit = i64::try_from(config.concurrency).unwrap_or(i64::MAX);
            self.metrics
                .concurrency_limit
                .with_label_values(&[name.as_str()])
                .set(limit);
            let demand = Demand::new(name.clone(), self.metrics.clone());
            let (served, row) = watch::channel(None);
            rows.push(row.clone());
            heard.push((row.clone(), demand.clone()));
            watched.push(Watched {
                name: name.clone(),
                poll_interval: config.poll_interval,
                demand: demand.clone(),
                served,
            });
            let pulse = self.health.register(format!("consumer {name}"), SILENCE);
            let consumer = Consumer {
                name,
                database: database.clone(),
                watch: watch.clone(),
                again: Arc::clone(&again),
                served: row,
                demand,
                slots: Slots::new(Arc::clone(&process), config.concurrency),
                batch_size: config.batch_size,
                terms: Terms::of(&config, self.config.worker.heartbeat),
                handler: Arc::clone(&handler),
                metrics: self.metrics.clone(),
            };
            let runs = runs.clone();
            let dispatch = move |claimed| runs.start(&handler, claimed);
            let consuming = consumer.run(dispatch, pulse, life.soft.clone());
            life.spawn("consumer", claiming.track_future(consuming));
        }
        let listener = Listener {
            database: database.clone(),
            schema: self.config.database.schema.clone(),
            wanted: self.config.worker.listen,
            queues: heard,
            metrics: self.metrics.clone(),
        };
        life.spawn("listener", listener.run(life.soft.clone()));
        let founding = self.founding(database.clone(), watch.clone(), Arc::clone(&again));
        let soft = life.soft.clone();
        life.spawn("queue founder", async move { soft.run_until_cancelled(founding).await });
        if self.config.worker.supervise {
            let rescuer = Rescuer {
                database: database.clone(),
                watch: watch.clone(),
                leases: runs.leases.clone(),
                served: rows.clone(),
                metrics: self.metrics.clone(),
            };
            let pulse = self.health.register("rescuer", SILENCE);
            life.spawn("rescuer", rescuer.run(pulse, life.soft.clone()));
            self.supervise(database, watch, life, runs);
        }
        let scout = Scout::new(database.clone(), watch.clone(), watched, again);
        life.spawn(
            "scout",
            scout.run(self.health.register("scout", SILENCE), life.soft.clone()),
        );
        rows
    }

    /// Spawns those who look after all queues, and not only after those served here.
    fn supervise(&self, database: &Database, watch: &Watch, life: &Lifecycle, runs: &Runs) {
        let supervisor = Supervisor {
            database: database.clone(),
            watch: watch.clone(),
            leases: runs.leases.clone(),
            config: self.config.upkeep.clone(),
            metrics: self.metrics.clone(),
        };
        let pulse = self.health.register("supervisor", SILENCE);
        life.spawn("supervisor", supervisor.run(pulse, life.soft.clone()));
        let resolver = FlowResolver {
            database: database.clone(),
            watch: watch.clone(),
            leases: runs.leases.clone(),
            interval: self.config.upkeep.flow_interval,
        };
        let pulse = self.health.register("flow resolver", SILENCE);
        life.spawn("flow resolver", resolver.run(pulse, life.soft.clone()));
    }

    /// Creates the queues that are wanted, once there is a schema to create them in.
    fn founding(&self, database: Database, mut watch: Watch, again: Arc<Notify>) -> impl Future<Output = ()> + use<> {
        let mut wanted = dead_letters_first(&self.config.queues);
        async move {
            let mut pause = FOUND.0;
            let mut said = BTreeSet::new();
            while !wanted.is_empty() {
                let dialect = watch.spoken().await;
                let mut left = Vec::new();
                for (name, options) in wanted {
                    let ensured = async { ensure(&database.client().await?, &dialect, &name, &options).await };
                    let trouble = match tokio::time::timeout(FOUNDING, ensured).await {
                        Ok(Ok(created)) => {
                            for queue in created {
                                tracing::info!(%queue, "created the queue");
                            }
                            again.notify_one();
                            continue;
                        }
                        Ok(Err(error)) if error.is_transient() => None,
                        Ok(Err(error)) => Some(error.to_string()),
                        Err(_) => Some(format!("no answer within {FOUNDING:?}")),
                    };
                    if let Some(error) = trouble.filter(|_| said.insert(name.clone())) {
                        tracing::error!(queue = %name, error, "the queue could not be created; trying again");
                    }
                    left.push((name, options));
                }
                wanted = left;
                if !wanted.is_empty() {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(FOUND.1);
                }
            }
        }
    }

    /// Lets the window see in: readiness, `/status`, and the gauges that are read when they are asked for.
    fn show(
        &self,
        database: &Database,
        watch: &Watch,
        names: Vec<QueueName>,
        served: Vec<watch::Receiver<Option<Served>>>,
        life: &Lifecycle,
        runs: &Runs,
    ) {
        let condition = self.health.condition("schema");
        let mut changing = watch.clone();
        life.spawn("readiness", {
            let over = life.hard.clone();
            async move {
                loop {
                    condition.set(
                        changing
                            .now()
                            .trouble()
                            .map_or(Ok(()), |trouble| Err(trouble.to_owned())),
                    );
                    tokio::select! {
                        () = changing.changed() => {}
                        () = over.cancelled() => return,
                    }
                }
            }
        });
        let known = watch.clone();
        self.health.provide("schema", move || match known.now().dialect() {
            Some(dialect) => json!({ "name": dialect.schema(), "version": dialect.version(), "supported": true }),
            None => json!({ "supported": false, "reason": known.now().trouble() }),
        });
        self.health.provide("queues", move || {
            served
                .iter()
                .filter_map(|served| served.borrow().as_ref().map(|served| served.queue.name.to_string()))
                .collect()
        });
        let (tasks, in_flight) = (life.clone(), runs.counters());
        self.health.provide("tasks", move || json!(tasks.running()));
        self.health.provide("in_flight", move || json!(in_flight.in_flight()));
        let (pool, held) = (database.clone(), runs.leases.clone());
        self.metrics.before_scrape(move |metrics| {
            pool.measure(metrics);
            let oldest = held.oldest();
            for queue in &names {
                let since = oldest.get(queue).map_or(0.0, |since| since.elapsed().as_secs_f64());
                metrics.oldest_running.with_label_values(&[queue.as_str()]).set(since);
            }
        });
    }
}

/// The queues to be created, each behind its dead letter queue: where that one is configured too, it is to be created as
/// configured, and not with the defaults because another needed it first.
fn dead_letters_first(queues: &BTreeMap<String, QueueConfig>) -> Vec<(QueueName, QueueOptions)> {
    let mut ordered = Vec::new();
    let mut seen = BTreeSet::new();
    for name in queues.keys() {
        let mut chain = Vec::new();
        let mut next = Some(name);
        while let Some(name) = next.filter(|name| seen.insert(name.as_str()))
            && let Some(ensure) = queues.get(name).and_then(|config| config.ensure.as_ref())
        {
            chain.push((QueueName::new(name.as_str()), ensure.into()));
            next = ensure.dead_letter.as_ref();
        }
        ordered.extend(chain.into_iter().rev());
    }
    ordered
}

/// Every statement of the worker, for the watcher to try.
fn needed() -> Vec<Needed> {
    let needed = |purpose, template, flags| Needed {
        purpose,
        template,
        flags,
    };
    vec![
        needed("claim jobs", CLAIM, &[]),
        needed("complete jobs", COMPLETE, &[]),
        needed("fail jobs", FAIL, &["settle"]),
        needed("take lost jobs back", FAIL, &["sweep"]),
        needed("hand jobs back", RELEASE, &[]),
        needed("keep leases", TOUCH, &[]),
        needed("read the queues", READ, &[]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EnsureConfig;

    #[test]
    fn a_dead_letter_queue_is_created_before_those_that_need_it() {
        let queue = |dead_letter: Option<&str>| QueueConfig {
            ensure: Some(EnsureConfig {
                dead_letter: dead_letter.map(str::to_owned),
                ..EnsureConfig::default()
            }),
            ..QueueConfig::default()
        };
        let queues = BTreeMap::from([
            ("a".to_owned(), queue(Some("b"))),
            ("b".to_owned(), queue(Some("c"))),
            ("c".to_owned(), queue(None)),
            ("d".to_owned(), queue(Some("elsewhere"))),
            ("e".to_owned(), queue(Some("b"))),
            ("x".to_owned(), queue(Some("y"))),
            ("y".to_owned(), queue(Some("x"))),
            ("z".to_owned(), QueueConfig::default()),
        ]);
        let ordered: Vec<_> = dead_letters_first(&queues)
            .iter()
            .map(|(name, _)| name.to_string())
            .collect();
        assert_eq!(ordered, ["c", "b", "a", "d", "e", "y", "x"]);
    }
}
