//! The crew put together: who is spawned, who tells whom, and how all of it stops.

mod events;
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

use crate::chronicle::{Chronicler, Notes};
use crate::claim::{CLAIM, Consumer, Demand, Listener, Scout, Served, Slots, Terms, Watched};
use crate::config::{Config, QueueConfig};
use crate::dialect::{Needed, Watch, Watcher};
use crate::enqueue::{QueueOptions, ensure};
use crate::events::Handlers;
use crate::handler::{self, Handler};
use crate::home::Home;
use crate::inspect::Surveyor;
use crate::lifecycle::{Lifecycle, Quarters, Report};
use crate::observe::{Health, Metrics, Survey, Tracer};
use crate::postgres::{Class, Database, Settings};
use crate::queue::{QueueName, READ};
use crate::run::{Keeper, Leases, TOUCH};
use crate::schedule::{Crier, Porter, ZoneError, Zones};
use crate::server::Server;
use crate::server::api::{Api, Backend};
use crate::settle::{COMPLETE, FAIL, RELEASE, Settler};
use crate::upkeep::{FlowResolver, IndexKeeper, Post, Registrar, Rescuer, Supervisor};
use events::{Events, Outbox};
use runs::Runs;
use stopping::Stopping;

/// How long a loop may be silent before the worker counts as stuck: longer than any time-out of a statement.
const SILENCE: Duration = Duration::from_secs(90);

/// How often the worker says in the registry that it is there, as pg-boss does.
const BEAT: Duration = Duration::from_secs(30);

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
    /// The time zones that the configuration names are not there.
    #[error("{0}")]
    Zones(#[from] ZoneError),
    /// The threads of the servants cannot be had, or died.
    #[error("the worker's own threads: {0}")]
    Runtime(#[source] std::io::Error),
    /// The address of the endpoints cannot be had.
    #[error("{0}")]
    Server(#[from] crate::server::ServerError),
    /// A configured handler of events cannot be made.
    #[error("events.handler: {0}")]
    EventHandler(#[from] crate::events::ConfiguredError),
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
    events: Handlers,
    /// Has the rows of the queues read again.
    again: Arc<Notify>,
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
            events: Handlers::default(),
            again: Arc::new(Notify::new()),
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

    /// Runs these handlers of events, each with a queue, a subscription and a consumer of its own, and relays the outbox to them
    /// and to all other subscribers, unless the event system is switched off.
    pub fn handle_events(&mut self, handlers: Handlers) -> &mut Worker {
        self.events = handlers;
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
        let home = Home::new(&self.config.database.own_schema);
        let handlers = self.event_handlers()?;
        let outbox_schema = handlers.outbox_schema().to_owned();
        let events = match handlers {
            handlers if handlers.is_empty() => None,
            handlers => {
                let (events, runners) = Events::new(handlers, &database, home.clone(), &self.metrics)?;
                self.handlers.extend(runners);
                Some(events)
            }
        };
        let outbox = Outbox {
            config: &self.config,
            outbox_schema,
            served: events.as_ref().map(Events::queues).unwrap_or_default(),
            home,
        };
        let queues = self.queues()?;
        let zones = Zones::open(self.config.cron.zoneinfo.as_deref())?;
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

        self.tracer.count_in(self.metrics.trace_spans.clone());
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
        let notes = self.chronicle(&database, &life, &over);
        let (held, counted) = (leases.clone(), self.metrics.clone());
        let runs = Runs::new(life.clone(), held, verdicts, counted, tracer.clone(), notes);

        let claiming = TaskTracker::new();
        let names = queues.iter().map(|assigned| assigned.queue.clone()).collect();
        if let Some(events) = events {
            events.spawn(&life, &watch, &self.health, Arc::clone(&self.again), &over);
        }
        outbox.spawn(&life, &database, &watch, &self.health, &self.metrics);
        let registrar = self.registrar(&queues, &database, &watch, &runs);
        life.spawn(
            "registrar",
            registrar.run(self.health.register("registrar", SILENCE), over.clone()),
        );
        let served = self.serve(queues, &database, &watch, &life, &claiming, &runs);
        if self.config.worker.schedule {
            self.fire(&database, &watch, zones, &life);
        }
        self.show(&database, &watch, names, served, &life, &runs);
        let (survey, surveyed) = Survey::new();
        self.metrics.survey(survey);
        let surveyor = Surveyor {
            database: database.clone(),
            watch: watch.clone(),
            metrics: self.metrics.clone(),
            surveyed,
        };
        life.spawn("surveyor", surveyor.run(over.clone()));
        let api = self.config.api.enabled.then(|| {
            Api::new(
                &self.config.api,
                Backend::new(database.clone(), watch.clone(), schema, tracer),
            )
        });
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

    /// Spawns the one who keeps the history of attempts, if it is wanted.
    fn chronicle(&self, database: &Database, life: &Lifecycle, over: &CancellationToken) -> Option<Notes> {
        if self.config.worker.history.is_zero() {
            return None;
        }
        let (notes, left) = Chronicler::notes();
        let chronicler = Chronicler {
            database: database.clone(),
            home: Home::new(self.config.database.own_schema.as_str()),
            schema: self.config.database.schema.clone(),
            worker: self.config.worker.name.clone(),
            retention: self.config.worker.history,
        };
        let pulse = self.health.register("chronicler", SILENCE);
        life.spawn("chronicler", chronicler.run(left, pulse, over.clone()));
        Some(notes)
    }

    /// The handlers of events: those registered, and those configured behind them. None while the event system is off.
    fn event_handlers(&mut self) -> Result<Handlers, Error> {
        let mut handlers = std::mem::take(&mut self.events);
        let config = &self.config.events;
        if config.switched_off {
            tracing::warn!(
                "the event system is switched off (events.enabled or EVENT_SYSTEM_ENABLED): nothing is relayed, and no \
                 handler of events runs"
            );
            return Ok(Handlers::default());
        }
        if handlers.is_empty() {
            handlers = config.handlers();
        }
        if config.enabled {
            config.register(&mut handlers, &self.metrics)?;
        }
        Ok(handlers.or_in_schema(&config.outbox_schema))
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
        let again = Arc::clone(&self.again);
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
        if self.config.worker.supervise || self.config.worker.maintain_schema {
            self.keep_indexes(database, watch, life);
        }
        let home = Home::new(self.config.database.own_schema.as_str());
        let scout = Scout::new(database.clone(), watch.clone(), home, watched, again);
        life.spawn(
            "scout",
            scout.run(self.health.register("scout", SILENCE), life.soft.clone()),
        );
        rows
    }

    /// Spawns those who fire schedules.
    fn fire(&self, database: &Database, watch: &Watch, zones: Zones, life: &Lifecycle) {
        tracing::info!(%zones, "firing schedules");
        let home = Home::new(self.config.database.own_schema.as_str());
        let bell = Arc::new(Notify::new());
        let porter = Porter {
            database: database.clone(),
            watch: watch.clone(),
            home: home.clone(),
            interval: self.config.cron.worker_interval,
            metrics: self.metrics.clone(),
            bell: Arc::clone(&bell),
        };
        let pulse = self.health.register("porter", SILENCE);
        life.spawn("porter", porter.run(pulse, life.soft.clone()));
        let crier = Crier {
            database: database.clone(),
            watch: watch.clone(),
            zones,
            home,
            config: self.config.cron.clone(),
            declared: self.config.schedules.clone(),
            keep_warnings: self.config.upkeep.persist_warnings,
            metrics: self.metrics.clone(),
            bell,
        };
        let pulse = self.health.register("crier", SILENCE);
        life.spawn("crier", crier.run(pulse, life.soft.clone()));
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

    /// Spawns the one who looks after the indexes.
    fn keep_indexes(&self, database: &Database, watch: &Watch, life: &Lifecycle) {
        let maintain = self.config.worker.maintain_schema;
        // Building an index may take hours, in which it keeps a connection; looking does not.
        let apart = maintain.then(|| database.beside(1).ok()).flatten();
        let keeper = IndexKeeper {
            database: apart.unwrap_or_else(|| database.clone()),
            watch: watch.clone(),
            maintain,
            persist_warnings: self.config.upkeep.persist_warnings,
        };
        let pulse = self.health.register("index keeper", SILENCE);
        life.spawn("index keeper", keeper.run(pulse, life.soft.clone()));
    }

    /// Who shows the worker to pg-boss's `getInstances()`.
    fn registrar(&self, queues: &[Assigned], database: &Database, watch: &Watch, runs: &Runs) -> Registrar {
        let counters = runs.counters();
        let posts = queues.iter().map(|Assigned { queue, config, .. }| {
            let mut options = serde_json::Map::new();
            let bounds = [
                ("minPriority", config.min_priority),
                ("maxPriority", config.max_priority),
            ];
            options.extend(
                bounds
                    .into_iter()
                    .filter_map(|(name, bound)| Some((name.to_owned(), bound?.into()))),
            );
            if let Some(groups) = &config.group_concurrency {
                options.insert("groupConcurrency".to_owned(), groups.as_option());
            }
            Post {
                id: uuid::Uuid::new_v4(),
                queue: queue.clone(),
                concurrency: config.concurrency,
                batch_size: config.batch_size,
                poll_interval: config.poll_interval,
                options: options.into(),
            }
        });
        Registrar {
            database: database.clone(),
            watch: watch.clone(),
            config: self.config.clone(),
            posts: posts.collect(),
            interval: BEAT,
            activity: Box::new(move |queue| counters.activity(queue)),
        }
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
        let paused = served.clone();
        self.health.provide("paused", move || {
            paused
                .iter()
                .filter_map(|served| {
                    served
                        .borrow()
                        .as_ref()
                        .filter(|it| it.paused)
                        .map(|it| it.queue.name.to_string())
                })
                .collect()
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
        let concurrency = self.config.worker.concurrency;
        self.health.provide("concurrency", move || json!(concurrency));
        let (processed, circuits) = (self.metrics.clone(), self.metrics.clone());
        self.health.provide("processed", move || json!(processed.processed()));
        self.health.provide("circuits", move || json!(circuits.circuits()));
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
