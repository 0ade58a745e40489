//! A connection in somebody's hands, and the transaction on it.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use deadpool::managed::Object;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{CancelToken, Row};

use super::owing::{Asked, Owing};
use super::pool::{Sessions, Shared};
use super::{Class, Error, Executor, Param, Pooler};

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
    /// To cancel what nobody waits for any more; the transaction has the session for itself.
    cancel: CancelToken,
    shared: &'a Shared,
}

/// Who is to know of an error, and how long an answer may take.
#[derive(Clone, Copy)]
struct Watch<'a> {
    /// Set when the connection is not to be used again.
    unfit: &'a AtomicBool,
    asked: Asked<'a>,
    shared: &'a Shared,
}

impl Client {
    pub(super) fn new(session: Object<Sessions>, shared: Arc<Shared>) -> Client {
        Client { session, shared }
    }

    /// Begins a transaction.
    pub async fn transaction(&mut self) -> Result<Transaction<'_>, Error> {
        let session = &mut *self.session;
        let cancel = session.client.cancel_token();
        let (unfit, shared) = (&session.unfit, &*self.shared);
        let watch = Watch::within(unfit, &cancel, shared);
        let inner = watch.over(session.client.transaction()).await?;
        Ok(Transaction {
            inner,
            unfit,
            cancel,
            shared,
        })
    }

    /// Runs one or several statements parted by semicolons, without parameters, and forgets their rows.
    pub async fn batch(&self, sql: &str) -> Result<(), Error> {
        self.watch().over(self.session.client.batch_execute(sql)).await
    }

    /// Closes the connection instead of giving it back, with all that its session holds.
    pub fn discard(self) {
        drop(Object::take(self.session));
    }

    /// The driver's own client, for what an [`Executor`] cannot do (COPY, cancelling).
    pub fn driver(&self) -> &tokio_postgres::Client {
        &self.session.client
    }

    fn watch(&self) -> Watch<'_> {
        Watch {
            unfit: &self.session.unfit,
            asked: Asked::Alone(&self.session),
            shared: &self.shared,
        }
    }
}

impl Executor for Client {
    async fn query<'a>(&'a self, sql: &'a str, params: &'a [Param<'a>]) -> Result<Vec<Row>, Error> {
        let client = &self.session.client;
        let work = async {
            if self.shared.pooler() == Pooler::None {
                let (values, types) = parted(params);
                let prepared = async {
                    let statement = client.prepare_typed_cached(sql, &types).await?;
                    client.query(&statement, &values).await
                };
                match prepared.await {
                    // It failed for having been prepared, so it has done nothing: once more, unprepared.
                    Err(error) if is_stale(&error) => {
                        drop(client.statement_cache.remove(sql, &types));
                        if error.code() != Some(&SqlState::FEATURE_NOT_SUPPORTED) {
                            self.shared.met_pooler();
                        }
                    }
                    done => return done,
                }
            }
            client.query_typed(sql, params).await
        };
        self.watch().over(work).await
    }
}

impl Transaction<'_> {
    /// Makes what was done last.
    pub async fn commit(self) -> Result<(), Error> {
        let watch = Watch::within(self.unfit, &self.cancel, self.shared);
        watch.over(self.inner.commit()).await
    }

    /// Undoes what was done, and waits until it is undone.
    pub async fn rollback(self) -> Result<(), Error> {
        let watch = Watch::within(self.unfit, &self.cancel, self.shared);
        watch.over(self.inner.rollback()).await
    }

    /// Runs one or several statements parted by semicolons, without parameters, and forgets their rows.
    pub async fn batch(&self, sql: &str) -> Result<(), Error> {
        self.watch().over(self.inner.batch_execute(sql)).await
    }

    fn watch(&self) -> Watch<'_> {
        Watch::within(self.unfit, &self.cancel, self.shared)
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
        let work = async {
            if self.shared.pooler() != Pooler::None {
                return self.inner.query_typed(sql, params).await;
            }
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
        };
        self.watch().over(work).await
    }
}

impl<'a> Watch<'a> {
    fn within(unfit: &'a AtomicBool, cancel: &'a CancelToken, shared: &'a Shared) -> Watch<'a> {
        Watch {
            unfit,
            asked: Asked::Within(cancel),
            shared,
        }
    }

    /// Waits for an answer as long as the settings allow, and passes an error on to those concerned.
    async fn over<T>(self, work: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Error> {
        let owing = Owing::new(self.unfit, self.asked, self.shared);
        let done = match self.shared.patience() {
            None => work.await.map_err(Error::Postgres),
            Some(limit) => match tokio::time::timeout(limit, work).await {
                Ok(done) => done.map_err(Error::Postgres),
                Err(_) => Err(Error::Timeout(limit)),
            },
        };
        if !matches!(done, Err(Error::Timeout(_))) {
            owing.answered();
        }
        done.map_err(|error| {
            // A broken connection may not have noticed yet that it is closed, and after a failover this server takes no
            // writes while another one does.
            if error.class() == Class::Connection || error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) {
                self.unfit.store(true, Ordering::Relaxed);
            }
            self.shared.noted(error)
        })
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
