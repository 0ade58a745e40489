//! A connection in somebody's hands, and the transaction on it.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use deadpool::managed::Object;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

use super::pool::{Sessions, Shared};
use super::{Error, Executor, Param, Pooler};

/// A pooled connection; it returns to the pool when dropped.
///
/// Where the session is ours, each statement is prepared once per connection; behind a pooler, and before
/// [`Database::detect`](super::Database::detect), every statement goes unnamed in one round trip.
pub struct Client {
    session: Object<Sessions>,
    shared: Arc<Shared>,
}

/// A transaction on a [`Client`]; dropped without [`commit`](Transaction::commit), it is rolled back.
pub struct Transaction<'a> {
    inner: deadpool_postgres::Transaction<'a>,
    unfit: &'a AtomicBool,
    shared: &'a Shared,
}

impl Client {
    pub(super) fn new(session: Object<Sessions>, shared: Arc<Shared>) -> Client {
        Client { session, shared }
    }

    /// Begins a transaction.
    pub async fn transaction(&mut self) -> Result<Transaction<'_>, Error> {
        let session = &mut *self.session;
        let unfit = &session.unfit;
        match session.client.transaction().await {
            Ok(inner) => Ok(Transaction {
                inner,
                unfit,
                shared: &self.shared,
            }),
            Err(error) => Err(noted(error, unfit, &self.shared)),
        }
    }

    /// Runs one or several statements parted by semicolons, without parameters, and forgets their rows.
    pub async fn batch(&self, sql: &str) -> Result<(), Error> {
        let done = self.session.client.batch_execute(sql).await;
        done.map_err(|error| self.noted(error))
    }

    /// The driver's own client, for what an [`Executor`] cannot do (COPY, cancelling).
    pub fn driver(&self) -> &tokio_postgres::Client {
        &self.session.client
    }

    fn noted(&self, error: tokio_postgres::Error) -> Error {
        noted(error, &self.session.unfit, &self.shared)
    }
}

impl Executor for Client {
    async fn query<'a>(&'a self, sql: &'a str, params: &'a [Param<'a>]) -> Result<Vec<Row>, Error> {
        let client = &self.session.client;
        if self.shared.pooler() == Pooler::None {
            let (values, types) = parted(params);
            let prepared = async {
                let statement = client.prepare_typed_cached(sql, &types).await?;
                client.query(&statement, &values).await
            };
            match prepared.await {
                Ok(rows) => return Ok(rows),
                // It failed for having been prepared, so it has done nothing: once more, unprepared.
                Err(error) if is_stale(&error) => self.forget(sql, &types, &error),
                Err(error) => return Err(self.noted(error)),
            }
        }
        let rows = client.query_typed(sql, params).await;
        rows.map_err(|error| self.noted(error))
    }
}

impl Client {
    fn forget(&self, sql: &str, types: &[Type], error: &tokio_postgres::Error) {
        drop(self.session.client.statement_cache.remove(sql, types));
        if error.code() != Some(&SqlState::FEATURE_NOT_SUPPORTED) {
            self.shared.met_pooler();
        }
    }
}

impl Transaction<'_> {
    /// Makes what was done last.
    pub async fn commit(self) -> Result<(), Error> {
        let (unfit, shared) = (self.unfit, self.shared);
        let done = self.inner.commit().await;
        done.map_err(|error| noted(error, unfit, shared))
    }

    /// Undoes what was done, and waits until it is undone.
    pub async fn rollback(self) -> Result<(), Error> {
        let (unfit, shared) = (self.unfit, self.shared);
        let done = self.inner.rollback().await;
        done.map_err(|error| noted(error, unfit, shared))
    }

    /// Runs one or several statements parted by semicolons, without parameters, and forgets their rows.
    pub async fn batch(&self, sql: &str) -> Result<(), Error> {
        let done = self.inner.batch_execute(sql).await;
        done.map_err(|error| noted(error, self.unfit, self.shared))
    }
}

/// The driver's own transaction, for what an [`Executor`] cannot do.
impl<'a> Deref for Transaction<'a> {
    type Target = tokio_postgres::Transaction<'a>;

    fn deref(&self) -> &tokio_postgres::Transaction<'a> {
        &self.inner
    }
}

impl Executor for Transaction<'_> {
    async fn query<'a>(&'a self, sql: &'a str, params: &'a [Param<'a>]) -> Result<Vec<Row>, Error> {
        let done = if self.shared.pooler() == Pooler::None {
            let (values, types) = parted(params);
            let prepared = async {
                let statement = self.inner.prepare_typed_cached(sql, &types).await?;
                self.inner.query(&statement, &values).await
            };
            let done = prepared.await;
            if done.as_ref().is_err_and(is_stale) {
                // The transaction is lost, but the next one prepares the statement anew.
                drop(self.inner.statement_cache.remove(sql, &types));
            }
            done
        } else {
            self.inner.query_typed(sql, params).await
        };
        done.map_err(|error| noted(error, self.unfit, self.shared))
    }
}

fn parted<'a>(params: &[Param<'a>]) -> (Vec<&'a (dyn ToSql + Sync)>, Vec<Type>) {
    params.iter().map(|(value, kind)| (*value, kind.clone())).unzip()
}

/// Whether the statement failed only because it had been prepared before: its result has another shape since a migration
/// (0A000), or the server does not have it, or has another of that name (26000, 42P05: a pooler, `DISCARD ALL`).
fn is_stale(error: &tokio_postgres::Error) -> bool {
    matches!(
        error.code(),
        Some(
            &SqlState::FEATURE_NOT_SUPPORTED | &SqlState::INVALID_SQL_STATEMENT_NAME | &SqlState::DUPLICATE_PSTATEMENT
        )
    )
}

fn noted(error: tokio_postgres::Error, unfit: &AtomicBool, shared: &Shared) -> Error {
    // After a failover this server takes no writes; the next connection looks for the one that does.
    if error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) {
        unfit.store(true, Ordering::Relaxed);
    }
    shared.noted(Error::Postgres(error))
}
