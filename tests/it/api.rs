//! pg-boss's API over HTTP.

mod description;
mod limits;
mod program;
mod replay;

use std::collections::HashMap;
use std::net::SocketAddr;

use serde_json::Value;
use strawboss::config::{self, Request};
use strawboss::lifecycle::Report;
use strawboss::{Config, Worker};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::client::{Answer, request};
use crate::support::{Schema, wait_for};

/// A worker without queues, that serves the API.
pub struct Proxy {
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    working: JoinHandle<Report>,
}

impl Proxy {
    /// One that is told by the environment alone, as pg-boss's own.
    pub async fn of(schema: &Schema, environment: &HashMap<String, String>) -> Proxy {
        let report = config::read(&Request {
            file: Some("/dev/null".as_ref()),
            database_url: Some(&schema.url),
            schema: Some(&schema.name),
            environment: &|name| environment.get(name).cloned(),
            ..Request::process()
        });
        let mut config = report.into_config().expect("a configuration");
        config.api.enabled = true;
        // As where no file is read.
        config.worker.supervise = false;
        config.worker.schedule = false;
        Proxy::with(config).await
    }

    /// One that is told by its configuration.
    pub async fn with(config: Config) -> Proxy {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (stop, stopped) = oneshot::channel();
        let worker = Worker::new(config).with_listener(listener);
        let working = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            worker.run(stopped).await.expect("it works")
        });
        let proxy = Proxy { address, stop, working };
        wait_for("the worker to be ready", async || {
            let ready = crate::support::client::ask(address, "GET", "/readyz").await;
            ready.is_ok_and(|answer| answer.status == 200)
        })
        .await;
        proxy
    }

    pub async fn end(self) -> Report {
        drop(self.stop);
        self.working.await.expect("it ends")
    }
}

/// A configuration that serves the API of this schema and nothing else.
pub fn serving(schema: &Schema) -> Config {
    let mut config = crate::support::crew::config(schema, &[]);
    config.api.enabled = true;
    config
}

/// A body posted to a route.
pub async fn call(proxy: &Proxy, route: &str, body: Value) -> Answer {
    let headers = [("content-type", "application/json".to_owned())];
    let path = format!("/api/{route}");
    request(proxy.address, "POST", &path, &headers, Some(&body.to_string())).await
}
