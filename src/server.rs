//! The window: what the worker shows over HTTP, and nothing it does.
//!
//! Four addresses answer to GET: `/metrics`, `/healthz`, `/readyz` and `/status`. Where it is wanted, pg-boss's API is
//! below a prefix of its own ([`api`]). Everything else is 404.

pub mod api;
mod ask;
mod routes;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::observe::{Health, Metrics};
use api::Api;

pub use ask::ask;

/// How long answers under way may take once the server is told to stop.
const GRACE: Duration = Duration::from_secs(2);

/// Why the endpoints cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address} (http.listen): {source}; {}", advice(.source))]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The listening socket broke.
    #[error("the HTTP endpoints broke: {0}")]
    Serve(io::Error),
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another process has that port: end it, or set http.listen to a free one",
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address: set http.listen to one of its own, 127.0.0.1 or 0.0.0.0"
        }
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege: set http.listen to a higher one",
        _ => "set http.listen to another address",
    }
}

/// A bound listener that does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    api: Option<Api>,
}

impl Server {
    /// Takes the address. Port 0 takes any free port; [`Server::address`] says which.
    pub async fn bind(listen: SocketAddr) -> Result<Server, ServerError> {
        let refused = |source| ServerError::Bind {
            address: listen,
            source,
        };
        let listener = TcpListener::bind(listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Server {
            listener,
            address,
            api: None,
        })
    }

    /// Takes a listener that is bound already. Within the runtime that is to serve it.
    pub fn adopt(listener: std::net::TcpListener) -> Result<Server, ServerError> {
        let address = listener.local_addr().map_err(ServerError::Serve)?;
        listener.set_nonblocking(true).map_err(ServerError::Serve)?;
        let listener = TcpListener::from_std(listener).map_err(ServerError::Serve)?;
        Ok(Server {
            listener,
            address,
            api: None,
        })
    }

    /// Serves this, too.
    pub fn with_api(mut self, api: Api) -> Server {
        self.api = Some(api);
        self
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop`, then lets answers under way finish for a moment.
    pub async fn run(self, metrics: Metrics, health: Health, stop: CancellationToken) -> Result<(), ServerError> {
        let serving = axum::serve(self.listener, routes::router(metrics, health, self.api))
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        let overdue = async {
            stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            served = serving => served.map_err(ServerError::Serve),
            () = overdue => Ok(()),
        }
    }
}
