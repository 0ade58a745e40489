//! A small pool of connections whose statements are prepared once.

use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts};
use tokio_postgres::{NoTls, Row};

use super::{Error, Executor, Param};
use crate::observe::{Metrics, PoolState};

/// Where the database is and how it is spoken to.
#[derive(Clone)]
pub struct Settings {
    config: tokio_postgres::Config,
    pool_size: usize,
}

impl Settings {
    /// Reads a libpq URL or key=value string.
    pub fn parse(url: &str) -> Result<Settings, Error> {
        let config = url
            .parse()
            .map_err(|error: tokio_postgres::Error| Error::Settings(error.to_string()))?;
        Ok(Settings { config, pool_size: 10 })
    }

    /// The database's name.
    pub fn database_name(&self) -> String {
        self.config.get_dbname().unwrap_or("postgres").to_owned()
    }

    /// How many connections the pool may open.
    pub fn with_pool_size(mut self, size: usize) -> Settings {
        self.pool_size = size;
        self
    }
}

/// The pool. Making one opens no connection.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
}

impl Database {
    /// Makes the pool; the server need not be up yet.
    pub fn new(settings: &Settings) -> Result<Database, Error> {
        let manager = Manager::from_config(
            settings.config.clone(),
            NoTls,
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let pool = Pool::builder(manager)
            .max_size(settings.pool_size)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(Duration::from_secs(30)),
                create: Some(Duration::from_secs(10)),
                recycle: Some(Duration::from_secs(5)),
            })
            .build()
            .map_err(|error| Error::Settings(error.to_string()))?;
        Ok(Database { pool })
    }

    /// Sets the gauges of the pool.
    pub fn measure(&self, metrics: &Metrics) {
        let status = self.pool.status();
        let in_use = status.size.saturating_sub(status.available);
        for (state, count) in [(PoolState::Idle, status.available), (PoolState::InUse, in_use)] {
            metrics
                .pool_connections
                .with_label_values(&[state.as_str()])
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Takes a connection from the pool, opening one if there is room.
    pub async fn client(&self) -> Result<Client, Error> {
        let inner = self.pool.get().await.map_err(|error| match error {
            deadpool_postgres::PoolError::Backend(error) => Error::Postgres(error),
            other => Error::Pool(other.to_string()),
        })?;
        Ok(Client { inner })
    }
}

/// A pooled connection; it returns to the pool when dropped.
pub struct Client {
    inner: deadpool_postgres::Client,
}

impl Client {
    /// Runs several statements that take no parameters and whose rows are not wanted, as one transaction.
    pub async fn batch(&self, sql: &str) -> Result<(), Error> {
        Ok(self.inner.batch_execute(sql).await?)
    }

    /// Begins a transaction, which rolls back when it is dropped without a commit.
    pub async fn transaction(&mut self) -> Result<tokio_postgres::Transaction<'_>, Error> {
        let client: &mut tokio_postgres::Client = &mut self.inner;
        Ok(client.transaction().await?)
    }
}

impl Executor for Client {
    async fn query<'a>(&'a self, sql: &'a str, params: &'a [Param<'a>]) -> Result<Vec<Row>, Error> {
        let types: Vec<_> = params.iter().map(|(_, kind)| kind.clone()).collect();
        let values: Vec<_> = params.iter().map(|(value, _)| *value).collect();
        let statement = self.inner.prepare_typed_cached(sql, &types).await?;
        Ok(self.inner.query(&statement, &values).await?)
    }
}
