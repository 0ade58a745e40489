//! The road to PostgreSQL, driven on real ones.

mod certificates;
mod listening;
mod pooling;
mod refusals;
mod statements;
mod tls;

use strawboss::postgres::{Client, Database, Error, Executor, Settings};
use tokio_postgres::Row;

/// A database of one's settings that has found out how it is served.
async fn database(url: &str) -> Database {
    let database = undetected(url);
    database.detect().await.expect("the server answers");
    database
}

fn undetected(url: &str) -> Database {
    let settings = Settings::parse(url).expect("the URL is understood");
    Database::new(&settings).expect("the settings can be used")
}

/// One connection by this URL, or why there is none.
async fn connect(url: &str) -> Result<Client, Error> {
    undetected(url).client().await
}

/// The only row of a statement without parameters.
async fn row(client: &impl Executor, sql: &str) -> Row {
    let mut rows = client
        .query(sql, &[])
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert_eq!(rows.len(), 1, "{sql}");
    rows.remove(0)
}

/// The server process that serves this client.
async fn backend(client: &impl Executor) -> i32 {
    row(client, "select pg_backend_pid()").await.get(0)
}

/// `url` with a query of its own.
fn with(url: &str, query: &str) -> String {
    let join = if url.contains('?') { '&' } else { '?' };
    format!("{url}{join}{query}")
}
