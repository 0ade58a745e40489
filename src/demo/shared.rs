//! A private PostgreSQL for whoever in this process needs one.

use tokio::sync::OnceCell;

use super::cluster::{Cluster, Error, Options};

/// Its watchdog ends it with the process.
static SERVER: OnceCell<Cluster> = OnceCell::const_new();

/// The URL of a private server, started when it is first asked for and gone with this process. What it holds does not
/// outlive a crash of the machine.
///
/// # Errors
/// Why there is none: no PostgreSQL on this machine, and none to be had from npm.
///
/// # Panics
/// Outside of a runtime.
pub async fn shared_server() -> Result<String, Error> {
    let start = || async {
        let options = Options {
            durable: false,
            max_connections: 300,
            ..Options::default()
        };
        let starting = tokio::task::spawn_blocking(|| Cluster::start(options));
        starting.await.expect("starting a server does not panic")
    };
    SERVER.get_or_try_init(start).await.map(Cluster::url)
}
