//! The road to PostgreSQL: pool, TLS, statements, error classes, the `LISTEN` connection.

mod error;
mod pool;

pub use error::{Class, Error};
pub use pool::{Client, Database, Settings};

use std::future::Future;

use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

/// A bound parameter with its type, so that no round trip is spent on asking the server for it.
pub type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// Whatever runs our statements: a pooled [`Client`], or the caller's own transaction.
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
