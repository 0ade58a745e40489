//! The PostgreSQL of the whole test run.

use std::sync::LazyLock;

use strawboss::demo::cluster::{Cluster, Options};

/// Where the tests find PostgreSQL.
pub struct Server {
    /// A libpq URL that both sides understand.
    pub url: String,
    // Never dropped, being in a static: the cluster's watchdog removes it when this process ends.
    _cluster: Option<Cluster>,
}

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    if let Some(url) = std::env::var("TEST_DATABASE_URL").ok().filter(|url| !url.is_empty()) {
        return Server { url, _cluster: None };
    }
    let cluster = private_cluster();
    Server {
        url: cluster.url(),
        _cluster: Some(cluster),
    }
});

/// `TEST_DATABASE_URL` if it is set, else a private cluster started by the first test that asks.
pub fn server() -> &'static Server {
    &SERVER
}

/// A cluster of one's own, for a test that breaks it. Takes a second or two.
pub fn private_cluster() -> Cluster {
    Cluster::start(Options {
        durable: false,
        max_connections: 500,
        progress: std::sync::Arc::new(super::say),
        ..Options::default()
    })
    .unwrap_or_else(|error| panic!("the tests need PostgreSQL: {error}"))
}

/// Opens a connection and drives it in the background of the running test.
pub async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .expect("the test's PostgreSQL takes connections");
    tokio::spawn(connection);
    client
}
