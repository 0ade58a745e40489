//! Testing code that emits events or handles them: a bus of its own for each test, against a real database.
//!
//! ```
//! use std::time::Duration;
//!
//! use strawboss::events::testing::{EventFixture, TestBus};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! // A private PostgreSQL, made for this process and gone with it, from binaries that are found on this machine.
//! let bus = TestBus::start().await?;
//! let orders = bus.mock_handler("order.completed").await?;
//! orders.fail_next(1);
//!
//! // What is under test writes its events to the outbox of this database; here, a fixture does.
//! let event = EventFixture::of("order.completed").payload(&serde_json::json!({ "orderId": "o-1" }));
//! bus.emit(&event).await?;
//!
//! let emitted = bus.wait_for_event("order.completed", Duration::from_secs(10)).await?;
//! assert_eq!(emitted.data.get(), r#"{"orderId": "o-1"}"#);
//!
//! // The first call fails, so it is called again.
//! let calls = orders.wait_for_calls(2, Duration::from_secs(10)).await?;
//! assert!(orders.was_called() && calls[0].failed && !calls[1].failed);
//! assert_eq!(calls[1].payload::<serde_json::Value>()?["orderId"], "o-1");
//!
//! bus.clear().await?;
//! assert!(!orders.was_called());
//! bus.stop().await?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })
//! # }
//! ```

mod fixture;
mod mock;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_postgres::types::Type;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

pub use fixture::EventFixture;
pub use mock::{MockCall, MockHandler};

use super::{Backoff, Defaults, Delivery, EmitError, Emitter, HandlerOptions, Handlers, Place, RegisterError, install};
use crate::config::{Config, DatabaseConfig, HttpConfig, QueueConfig, WorkerConfig};
use crate::demo::{cluster, shared_server};
use crate::dialect::{Dialect, quoted};
use crate::home::Home;
use crate::lifecycle::Report;
use crate::postgres::{Database, Executor, Settings};
use crate::schema;
use crate::worker::{self, Worker};

const EMITTED: &str = include_str!("testing/emitted.sql");
const EMIT: &str = include_str!("testing/emit.sql");
const CLEAR: &str = include_str!("testing/clear.sql");

/// How often the database is asked for what is waited for.
const LOOK: Duration = Duration::from_millis(20);
/// How long a handler may take to be registered.
const REGISTERING: Duration = Duration::from_secs(30);

/// Why a test cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no PostgreSQL to be had.
    #[error("{0}")]
    Cluster(#[from] cluster::Error),
    /// The database refuses something.
    #[error("{0}")]
    Database(#[from] crate::postgres::Error),
    /// The schema cannot be made.
    #[error("{0}")]
    Schema(#[from] schema::Error),
    /// What deliveries need cannot be made.
    #[error("{0}")]
    Emit(#[from] EmitError),
    /// A handler cannot be registered.
    #[error("{0}")]
    Register(#[from] RegisterError),
    /// A worker of the bus ended with an error.
    #[error("{0}")]
    Worker(#[from] worker::Error),
    /// A handler was not registered in time.
    #[error("the handlers of {0} were not registered within {REGISTERING:?}; the log says why")]
    NotRegistered(String),
    /// Nothing of that name was emitted in time.
    #[error("no event {name:?} was emitted within {timeout:?}")]
    NotEmitted {
        /// The event's name.
        name: String,
        /// How long it was waited for.
        timeout: Duration,
    },
    /// A mock was not called as often as was waited for.
    #[error("the mock of {event:?} was called {got} times within {timeout:?}, not {wanted}")]
    NotCalled {
        /// The event's name.
        event: String,
        /// How often it was to be called.
        wanted: usize,
        /// How often it was.
        got: usize,
        /// How long it was waited for.
        timeout: Duration,
    },
}

/// An event system of its own: a pg-boss schema, the app's four tables, a relay, and the handlers that are registered.
///
/// Its schemas have names that nobody else has, so tests may run side by side. Dropped, its workers end; [`TestBus::stop`]
/// waits for that.
pub struct TestBus {
    config: Config,
    database: Database,
    emitter: Emitter,
    crew: Mutex<Vec<JoinHandle<Result<Report, worker::Error>>>>,
    mocks: Mutex<BTreeMap<String, MockHandler>>,
    /// Events that were waited for already.
    seen: Mutex<Vec<Uuid>>,
    over: CancellationToken,
    _end: DropGuard,
}

impl TestBus {
    /// A bus on a private PostgreSQL, which all buses of this process share and which is gone with it. It is made from
    /// binaries that are found on this machine, or fetched by npm.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn start() -> Result<TestBus, Error> {
        TestBus::on(&shared_server().await?).await
    }

    /// A bus on that database, in schemas that it makes. They are left there.
    ///
    /// # Errors
    /// What the database says.
    pub async fn on(url: &str) -> Result<TestBus, Error> {
        let name = format!("test_{}", &Uuid::new_v4().simple().to_string()[..16]);
        let mut config = Config {
            database: DatabaseConfig {
                url: url.to_owned(),
                schema: name.clone(),
                own_schema: format!("{name}_own"),
                pool_size: 3,
                ..DatabaseConfig::default()
            },
            worker: WorkerConfig {
                shutdown_grace: Duration::from_secs(5),
                ..WorkerConfig::default()
            },
            http: HttpConfig { listen: None },
            ..Config::default()
        };
        config.events.outbox_schema = format!("{name}_app");
        let database = Database::new(&Settings::of(&config.database)?)?;
        schema::install(&database, &name).await?;
        let mut client = database.client().await?;
        let home = Home::new(&config.database.own_schema);
        install(&mut client, &home, &config.events.outbox_schema, true).await?;
        let dialect = Dialect::read(&client, &name).await?;
        let place = Place::new(Arc::new(dialect), home, &config.events.outbox_schema);
        // As whoever emits has it; here that is nobody's worker.
        config.events.enabled = true;
        let emitter = Emitter::new(place, &config.events);
        config.events.enabled = false;
        emitter.prepare(&mut client).await?;
        drop(client);
        let over = CancellationToken::new();
        let bus = TestBus {
            config,
            database,
            emitter,
            crew: Mutex::default(),
            mocks: Mutex::default(),
            seen: Mutex::default(),
            _end: over.clone().drop_guard(),
            over,
        };
        let mut relaying = bus.config.clone();
        relaying.events.enabled = true;
        relaying.events.polling_interval = LOOK;
        bus.hire(Worker::new(relaying));
        Ok(bus)
    }

    /// How what is under test is configured to work here: the database, its schemas, and where the app's tables are.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The database's URL; it carries a password.
    pub fn url(&self) -> &str {
        &self.config.database.url
    }

    /// The database, to emit with or to look into.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Emits into this bus.
    pub fn emitter(&self) -> &Emitter {
        &self.emitter
    }

    /// Registers a mock for that event and waits until its events reach it; the same one if there is one already. Its
    /// retries follow each other at once.
    ///
    /// # Errors
    /// Why it cannot be registered.
    pub async fn mock_handler(&self, event: &str) -> Result<MockHandler, Error> {
        if let Some(mock) = locked(&self.mocks).get(event) {
            return Ok(mock.clone());
        }
        let mock = MockHandler::new(event);
        let mut handlers = self.handlers();
        handlers.register_service(event, HandlerOptions::of("mock"), mock.service())?;
        self.register(handlers).await?;
        locked(&self.mocks).insert(event.to_owned(), mock.clone());
        Ok(mock)
    }

    /// Handlers to be registered here, which find the tables of this bus and are tried again after 10 ms.
    pub fn handlers(&self) -> Handlers {
        let defaults = Defaults {
            backoff: Backoff {
                first: Duration::from_millis(10),
                exponential: false,
                jitter: false,
            },
            ..Defaults::default()
        };
        Handlers::new(defaults).in_schema(&self.config.events.outbox_schema)
    }

    /// Runs these handlers, and waits until events reach them.
    ///
    /// # Errors
    /// Why they do not.
    pub async fn register(&self, handlers: Handlers) -> Result<(), Error> {
        let mut config = self.config.clone();
        for registered in handlers.list() {
            let queue = QueueConfig {
                poll_interval: LOOK,
                ..QueueConfig::within(&config.worker)
            };
            config.queues.insert(registered.queue.to_string(), queue);
        }
        let wanted: Vec<(String, String)> = handlers
            .list()
            .iter()
            .map(|registered| (registered.event.clone(), registered.queue.to_string()))
            .collect();
        let mut worker = Worker::new(config);
        worker.handle_events(handlers);
        self.hire(worker);
        let subscription = format!(
            "SELECT event, name FROM {}.subscription",
            quoted(&self.config.database.schema)
        );
        let since = Instant::now();
        loop {
            let rows = self.database.client().await?.query(&subscription, &[]).await?;
            let there: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
            if wanted.iter().all(|pair| there.contains(pair)) {
                return Ok(());
            }
            if since.elapsed() > REGISTERING {
                let events: Vec<_> = wanted.into_iter().map(|(event, _)| event).collect();
                return Err(Error::NotRegistered(events.join(", ")));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Writes the event to the outbox, as the app does; returns the row's id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn emit(&self, event: &EventFixture) -> Result<Uuid, Error> {
        let event = event.build();
        let rows = self
            .database
            .client()
            .await?
            .query(
                &self.sql(EMIT),
                &[
                    (&event.metadata.event_name, Type::TEXT),
                    (&event.data.get(), Type::TEXT),
                    (&event.metadata_text.get(), Type::TEXT),
                ],
            )
            .await?;
        Ok(rows[0].get(0))
    }

    /// Waits until an event of that name has been emitted, by whomever, and returns it, the oldest first and each once.
    ///
    /// # Errors
    /// If none has within that time.
    pub async fn wait_for_event(&self, name: &str, timeout: Duration) -> Result<Delivery, Error> {
        let since = Instant::now();
        loop {
            let seen = locked(&self.seen).clone();
            let rows = self
                .database
                .client()
                .await?
                .query(&self.sql(EMITTED), &[(&name, Type::TEXT), (&seen, Type::UUID_ARRAY)])
                .await?;
            let found = rows.iter().find_map(|row| {
                let (metadata, data): (&str, &str) = (row.get(0), row.get(1));
                Delivery::parse(&format!("{{\"metadata\":{metadata},\"data\":{data}}}")).ok()
            });
            if let Some(delivery) = found {
                locked(&self.seen).push(delivery.metadata.event_id);
                return Ok(delivery);
            }
            if since.elapsed() >= timeout {
                return Err(Error::NotEmitted {
                    name: name.to_owned(),
                    timeout,
                });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Forgets every event, delivery and call. Handlers stay registered.
    ///
    /// # Errors
    /// What the database says.
    pub async fn clear(&self) -> Result<(), Error> {
        let client = self.database.client().await?;
        client.batch(&self.sql(CLEAR)).await?;
        for mock in locked(&self.mocks).values() {
            mock.clear();
        }
        locked(&self.seen).clear();
        Ok(())
    }

    /// Stops the workers of the bus, and waits until they have.
    ///
    /// # Errors
    /// If one of them had ended with an error before.
    pub async fn stop(self) -> Result<(), Error> {
        self.over.cancel();
        let crew = std::mem::take(&mut *locked(&self.crew));
        for worker in crew {
            match worker.await {
                Ok(done) => drop(done?),
                Err(died) => std::panic::resume_unwind(died.into_panic()),
            }
        }
        Ok(())
    }

    fn hire(&self, worker: Worker) {
        let working = tokio::spawn(worker.run(self.over.clone().cancelled_owned()));
        locked(&self.crew).push(working);
    }

    fn sql(&self, text: &str) -> String {
        let lines = text.lines().filter(|line| !line.starts_with("--"));
        let text = lines.collect::<Vec<_>>().join("\n");
        text.replace("{app}", &quoted(&self.config.events.outbox_schema))
            .replace("{boss}", &quoted(&self.config.database.schema))
    }
}

impl std::fmt::Debug for TestBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TestBus").field(&self.config.database.schema).finish()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
