//! A small pool of connections.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{self, Pool, PoolError, RecycleError, RecycleResult, TimeoutType, Timeouts};
use deadpool_postgres::ClientWrapper;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connect::connect;
use super::{Class, Client, Error, Pooler, Settings, pooler};
use crate::observe::{Metrics, PoolState};

/// How long a caller waits for a connection while all are in use.
const WAIT: Duration = Duration::from_secs(30);

/// What a session of ours is told first. A statement that was prepared while the job table was empty would otherwise keep
/// the plan for an empty table when thousands of jobs arrive, until the next ANALYZE: seconds for a claim. Planning anew
/// costs a few tenths of a millisecond.
const PLAN_ANEW: &str = "SET plan_cache_mode = force_custom_plan";

/// The pool of connections. It opens one when there is none free and room for another, keeps those that come back, and
/// replaces those that broke. Making a `Database` opens none.
#[derive(Clone)]
pub struct Database {
    pool: Pool<Sessions>,
    shared: Arc<Shared>,
}

/// How many connections there are, and who wants one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStatus {
    /// How many connections may be open.
    pub max: usize,
    /// How many are open.
    pub size: usize,
    /// How many of those are in nobody's hands.
    pub available: usize,
    /// How many callers wait for one.
    pub waiting: usize,
}

/// What all connections of a pool have in common.
pub(super) struct Shared {
    settings: Settings,
    pooler: AtomicU8,
    watcher: OnceLock<Box<dyn Fn(Class) + Send + Sync>>,
}

/// One pooled connection.
pub(super) struct Session {
    pub(super) client: ClientWrapper,
    /// Set when the server turned out to be the wrong one: the connection is not to be used again.
    pub(super) unfit: AtomicBool,
    /// Set once it has been told [`PLAN_ANEW`].
    plans_anew: AtomicBool,
}

/// Opens and examines connections for the pool.
pub(super) struct Sessions {
    shared: Arc<Shared>,
}

impl managed::Manager for Sessions {
    type Type = Session;
    type Error = Error;

    async fn create(&self) -> Result<Session, Error> {
        // In a box: whoever waits for the pool would carry the whole handshake in its future, several times over.
        let (client, wire) = Box::pin(connect(&self.shared.settings)).await?;
        let wire = tokio::spawn(async move {
            if let Err(error) = wire.await {
                tracing::debug!(error = %Error::Postgres(error), "a database connection ended");
            }
        });
        Ok(Session {
            client: ClientWrapper::new(client, wire),
            unfit: AtomicBool::new(false),
            plans_anew: AtomicBool::new(false),
        })
    }

    async fn recycle(&self, session: &mut Session, _: &managed::Metrics) -> RecycleResult<Error> {
        if session.client.is_closed() || *session.unfit.get_mut() {
            return Err(RecycleError::message("the connection is of no use any more"));
        }
        Ok(())
    }
}

impl Database {
    /// Makes the pool; the server need not be up yet. Settings that can never connect are refused here.
    pub fn new(settings: &Settings) -> Result<Database, Error> {
        settings.tls.connector()?;
        let shared = Arc::new(Shared {
            settings: settings.clone(),
            pooler: AtomicU8::new(settings.pooler as u8),
            watcher: OnceLock::new(),
        });
        Database::of(shared, settings.pool_size)
    }

    /// A second pool of `size` connections, for work that must never wait for the first; what is known of a pooler, and
    /// who watches for errors, is common to both.
    pub fn beside(&self, size: usize) -> Result<Database, Error> {
        Database::of(Arc::clone(&self.shared), size.max(1))
    }

    fn of(shared: Arc<Shared>, size: usize) -> Result<Database, Error> {
        let pool = Pool::builder(Sessions {
            shared: Arc::clone(&shared),
        })
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .timeouts(Timeouts {
            wait: Some(WAIT),
            // Connecting has limits of its own, one for each address.
            create: None,
            recycle: None,
        })
        .build()
        .map_err(|error| Error::Settings(error.to_string()))?;
        Ok(Database { pool, shared })
    }

    /// Takes a connection from the pool, opening one if there is room; waits up to 30 s for one to come free.
    pub async fn client(&self) -> Result<Client, Error> {
        match self.pool.get().await {
            Ok(session) => {
                if self.shared.pooler() == Pooler::None && !session.plans_anew.load(Ordering::Relaxed) {
                    let told = session.client.batch_execute(PLAN_ANEW).await;
                    told.map_err(|error| self.shared.noted(Error::Postgres(error)))?;
                    session.plans_anew.store(true, Ordering::Relaxed);
                }
                Ok(Client::new(session, Arc::clone(&self.shared)))
            }
            Err(error) => Err(self.shared.noted(match error {
                PoolError::Backend(error) => error,
                PoolError::Timeout(TimeoutType::Wait) => Error::Pool(format!(
                    "all {} are in use and none came free within {} s; raise pool_size, or look for slow statements",
                    self.pool.status().max_size,
                    WAIT.as_secs()
                )),
                other => Error::Pool(other.to_string()),
            })),
        }
    }

    /// Waits for `work`, which asks this database something, no longer than `limit`. A connection that owes an answer by then
    /// is given up and its statement cancelled; whether it was run is not known.
    ///
    /// # Errors
    /// [`Error::Timeout`], or whatever `work` says.
    pub async fn within<T>(&self, limit: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::time::timeout(limit, work)
            .await
            .unwrap_or_else(|_| Err(self.shared.noted(Error::Timeout(limit))))
    }

    /// Finds out whether a pooler lends us its server connections one transaction at a time, unless the settings say so
    /// or it is known by now: what has no news costs nothing to ask again. Before it has answered, the pool relies on
    /// nothing of a session, and statements are parsed every time.
    pub async fn detect(&self) -> Result<Pooler, Error> {
        if self.pooler() == Pooler::Auto {
            let found = pooler::detect(&self.shared.settings).await;
            let found = found.map_err(|error| self.shared.noted(error))?;
            self.shared.pooler.store(found as u8, Ordering::Relaxed);
        }
        Ok(self.pooler())
    }

    /// What is known of a pooler by now.
    pub fn pooler(&self) -> Pooler {
        self.shared.pooler()
    }

    /// Whether a pooler lends us its server connections one transaction at a time; LISTEN is of no use then.
    pub fn is_pooled(&self) -> bool {
        self.pooler() == Pooler::Transaction
    }

    /// The pool's fill, for metrics.
    pub fn status(&self) -> PoolStatus {
        let status = self.pool.status();
        PoolStatus {
            max: status.max_size,
            size: status.size,
            available: status.available,
            waiting: status.waiting,
        }
    }

    /// Sets the gauges of the pool.
    pub fn measure(&self, metrics: &Metrics) {
        let status = self.status();
        let in_use = status.size.saturating_sub(status.available);
        for (state, count) in [(PoolState::Idle, status.available), (PoolState::InUse, in_use)] {
            metrics
                .pool_connections
                .with_label_values(&[state.as_str()])
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// The settings the pool was made from.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Has `watcher` told the class of every error the pool meets, for counting. The first watcher stays.
    pub fn watch_errors(&self, watcher: impl Fn(Class) + Send + Sync + 'static) {
        let _ = self.shared.watcher.set(Box::new(watcher));
    }

    /// Closes all connections, those in use when they come back; whoever asks for one afterwards is refused.
    pub fn close(&self) {
        self.pool.close();
    }
}

impl Shared {
    pub(super) fn pooler(&self) -> Pooler {
        let known = self.pooler.load(Ordering::Relaxed);
        [Pooler::None, Pooler::Transaction]
            .into_iter()
            .find(|pooler| *pooler as u8 == known)
            .unwrap_or(Pooler::Auto)
    }

    /// A prepared statement was lost or was somebody else's: there is a pooler, whatever we thought.
    pub(super) fn met_pooler(&self) {
        if self.settings.pooler == Pooler::Auto
            && self.pooler.swap(Pooler::Transaction as u8, Ordering::Relaxed) != Pooler::Transaction as u8
        {
            tracing::warn!(
                "prepared statements get lost on the way to the database, as behind a pooler in transaction mode; \
                 none are used from now on"
            );
        }
    }

    /// What makes TLS connections, for a connection beside the pool.
    pub(super) fn connector(&self) -> Result<MakeRustlsConnect, Error> {
        self.settings.tls.connector()
    }

    /// How long a statement may take to be answered.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.settings.query_timeout
    }

    pub(super) fn noted(&self, error: Error) -> Error {
        if let Some(watcher) = self.watcher.get() {
            watcher(error.class());
        }
        error
    }
}
