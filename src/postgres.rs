//! The road to PostgreSQL: settings, TLS, pool, statements, error classes, the `LISTEN` connection.
//!
//! [`Settings`] say where the database is; a [`Database`] is the pool; a [`Client`] taken from it runs statements, also in
//! a [`Transaction`]. [`listen()`] keeps a connection of its own. Nothing here knows what a job is.

mod client;
mod connect;
mod conninfo;
mod error;
mod explain;
mod host;
mod keyword;
mod listen;
mod moment;
mod owing;
mod passfile;
mod pool;
mod pooler;
mod settings;
mod tls;

pub use client::{Client, Transaction};
pub use error::{Class, Error};
pub use listen::{ListenEvent, channel, listen};
pub use moment::Moment;
pub use pool::{Database, PoolStatus};
pub use pooler::Pooler;
pub use settings::Settings;

use std::future::Future;

use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

/// A bound parameter with its type, so that no round trip is spent on asking the server for it.
pub type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// Whatever runs our statements: a pooled [`Client`], or the caller's own transaction.
///
/// Parameters and columns are of built-in types only: an enum goes as text and is cast in the statement, in both
/// directions. The driver would look up any other type by statements it prepares, and behind a pooler those get lost.
pub trait Executor: Sync {
    /// Runs one statement and returns its rows.
    fn query<'a>(
        &'a self,
        sql: &'a str,
        params: &'a [Param<'a>],
    ) -> impl Future<Output = Result<Vec<Row>, Error>> + Send + 'a;
}

impl Executor for tokio_postgres::Client {
    async fn query<'a>(&'a self, sql: &'a str, params: &'a [Param<'a>]) -> Result<Vec<Row>, Error> {
        Ok(self.query_typed(sql, params).await?)
    }
}

impl Executor for tokio_postgres::Transaction<'_> {
    async fn query<'a>(&'a self, sql: &'a str, params: &'a [Param<'a>]) -> Result<Vec<Row>, Error> {
        Ok(self.query_typed(sql, params).await?)
    }
}

impl<E: Executor> Executor for &E {
    async fn query<'a>(&'a self, sql: &'a str, params: &'a [Param<'a>]) -> Result<Vec<Row>, Error> {
        (**self).query(sql, params).await
    }
}

/// Each statement on whichever connection is free.
impl Executor for Database {
    async fn query<'a>(&'a self, sql: &'a str, params: &'a [Param<'a>]) -> Result<Vec<Row>, Error> {
        self.client().await?.query(sql, params).await
    }
}
