//! The part of the crew that runs handlers of events.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{FOUND, FOUNDING, SILENCE};
use crate::config::{Config, EventsConfig};
use crate::dialect::{Watch, quoted};
use crate::enqueue;
use crate::events::{Burial, Housekeeper, Relay};
use crate::events::{Common, Handlers, KeyKeeper, Runner, TurnKeeper, register};
use crate::handler::Handler;
use crate::home::Home;
use crate::lifecycle::Lifecycle;
use crate::observe::{Health, Metrics};
use crate::postgres::{Database, Error};

/// The servants of the handlers of events, and the handlers to be made known.
pub(super) struct Events {
    handlers: Handlers,
    database: Database,
    home: Home,
    keys: KeyKeeper,
    turns: TurnKeeper,
}

/// What runs the deliveries of each queue.
type Runners = Vec<(String, Arc<dyn Handler>)>;

impl Events {
    /// The servants, and for each queue what runs its deliveries.
    pub(super) fn new(
        handlers: Handlers,
        database: &Database,
        home: Home,
        metrics: &Metrics,
    ) -> Result<(Events, Runners), Error> {
        let log: Arc<str> = format!("{}.event_processing_log", quoted(handlers.outbox_schema())).into();
        // A connection of its own: its session holds the keys.
        let (key_keeper, keys) = KeyKeeper::new(database.beside(1)?, &log);
        let (turn_keeper, turns) = TurnKeeper::new(database.clone(), home.clone());
        let common = Common {
            keys,
            turns,
            log,
            metrics: metrics.clone(),
        };
        let runners = handlers
            .list()
            .iter()
            .map(|registered| {
                let runner: Arc<dyn Handler> = Arc::new(Runner::new(registered, handlers.defaults(), &common));
                (registered.queue.to_string(), runner)
            })
            .collect();
        let events = Events {
            handlers,
            database: database.clone(),
            home,
            keys: key_keeper,
            turns: turn_keeper,
        };
        Ok((events, runners))
    }

    /// The queues of the handlers.
    pub(super) fn queues(&self) -> Vec<String> {
        let listed = self.handlers.list().iter();
        listed.map(|registered| registered.queue.to_string()).collect()
    }

    /// Spawns the servants. The keys are held until the last verdict is written.
    pub(super) fn spawn(
        self,
        life: &Lifecycle,
        watch: &Watch,
        health: &Health,
        again: Arc<Notify>,
        over: &CancellationToken,
    ) {
        let Events {
            handlers,
            database,
            home,
            keys,
            turns,
        } = self;
        life.spawn(
            "event keys",
            keys.run(health.register("event keys", SILENCE), over.clone()),
        );
        life.spawn(
            "event turns",
            turns.run(watch.clone(), health.register("event turns", SILENCE), over.clone()),
        );
        let registering = registering(handlers, database, home, watch.clone(), again);
        let soft = life.soft.clone();
        life.spawn(
            "event registrar",
            async move { soft.run_until_cancelled(registering).await },
        );
    }
}

/// Makes the handlers known, as soon as that can be.
async fn registering(handlers: Handlers, database: Database, home: Home, mut watch: Watch, again: Arc<Notify>) {
    let mut pause = FOUND.0;
    let mut said = false;
    loop {
        let dialect = watch.spoken().await;
        let registered = async {
            let mut client = database.client().await?;
            register(&mut client, &dialect, &home, handlers.list(), handlers.defaults()).await
        };
        let trouble = match tokio::time::timeout(FOUNDING, registered).await {
            Ok(Ok(created)) => {
                for queue in created {
                    tracing::info!(%queue, "created the queue of an event's handler");
                }
                again.notify_one();
                return;
            }
            Ok(Err(error)) => told(&error),
            Err(_) => Some(format!("no answer within {FOUNDING:?}")),
        };
        if let Some(error) = trouble.filter(|_| !said) {
            said = true;
            tracing::error!(error, "the handlers of events could not be registered; trying again");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(FOUND.1);
    }
}

/// What is worth saying of an error.
fn told(error: &enqueue::Error) -> Option<String> {
    (!error.is_transient()).then(|| error.to_string())
}

/// The servants of the outbox.
pub(super) struct Outbox<'a> {
    pub(super) config: &'a Config,
    /// Where the app's tables are, unquoted.
    pub(super) outbox_schema: String,
    /// The queues of the handlers that run here.
    pub(super) served: Vec<String>,
    pub(super) home: Home,
}

impl Outbox<'_> {
    /// Spawns them where the event system is on, or has handlers and is not off.
    pub(super) fn spawn(
        self,
        life: &Lifecycle,
        database: &Database,
        watch: &Watch,
        health: &Health,
        metrics: &Metrics,
    ) {
        let Outbox {
            config,
            outbox_schema,
            served,
            home,
        } = self;
        if !config.events.enabled && served.is_empty() {
            return;
        }
        let events = &EventsConfig {
            outbox_schema,
            ..config.events.clone()
        };
        let relay = Relay {
            database: database.clone(),
            watch: watch.clone(),
            home: home.clone(),
            config: events.clone(),
            listen: config.worker.listen,
            metrics: metrics.clone(),
        };
        let burial = Burial {
            database: database.clone(),
            watch: watch.clone(),
            home: home.clone(),
            outbox_schema: events.outbox_schema.clone(),
            metrics: metrics.clone(),
        };
        let housekeeper = Housekeeper {
            database: database.clone(),
            watch: watch.clone(),
            home,
            config: events.clone(),
            served,
            metrics: metrics.clone(),
        };
        let pulse = |name: &str| health.register(name, SILENCE);
        life.spawn("event relay", relay.run(pulse("event relay"), life.soft.clone()));
        life.spawn("event burial", burial.run(pulse("event burial"), life.soft.clone()));
        life.spawn(
            "event housekeeper",
            housekeeper.run(pulse("event housekeeper"), life.soft.clone()),
        );
    }
}
