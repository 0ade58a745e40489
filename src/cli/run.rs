//! `strawboss run`

use clap::Args;
use tokio::sync::oneshot;

use super::options::{DatabaseOptions, place};
use super::{Done, Error};
use crate::lifecycle;
use crate::observe::{Tracer, log};
use crate::worker::{self, Worker};

/// Run the worker until it is told to stop.
///
/// SIGTERM or SIGINT: no more claims; what runs may finish within worker.shutdown_grace and is then handed back without
/// using up an attempt. A second signal stops at once.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    strawboss run --config worker.toml\n  \
    RUST_LOG=debug strawboss run         one line per job\n  \
    RUST_LOG=strawboss::claim=debug,info strawboss run\n\n\
    Logs go to standard error, as text or, with telemetry.log_format = \"json\", as one JSON object per line. RUST_LOG says \
    what is logged: a level (error, warn, info, debug, trace; info by default), or module=level pairs with commas between.\n\
    `strawboss config example` prints a configuration to start from, `strawboss check` says what is wrong with it.")]
pub struct Run {
    #[command(flatten)]
    #[allow(missing_docs, reason = "shown as a heading of its own")]
    pub database: DatabaseOptions,
}

impl Run {
    pub(super) async fn run(self) -> Result<Done, Error> {
        let report = self.database.read();
        let notices: Vec<_> = report.notices().map(ToString::to_string).collect();
        let config = report.into_config()?;
        let not_started = |what: String| Error::Refused { what, next: None };
        log::filter()
            .and_then(|filter| log::init(config.telemetry.log_format, filter.as_deref()))
            .map_err(|error| not_started(error.to_string()))?;
        for notice in notices {
            tracing::warn!("{notice}");
        }
        let tracer = Tracer::new(config.telemetry.otlp_endpoint.as_deref())
            .map_err(|error| not_started(format!("traces cannot be sent: {error}")))?;
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            database = %place(&config.database),
            schema = %config.database.schema,
            queues = config.queues.len(),
            "starting"
        );
        let (stop, stopped) = oneshot::channel();
        lifecycle::on_signals(stop).map_err(|error| not_started(format!("signals cannot be heard: {error}")))?;
        let place = place(&config.database);
        let worker = Worker::new(config).with_tracer(tracer);
        let report = worker
            .run(async { drop(stopped.await) })
            .await
            .map_err(|error| match error {
                worker::Error::Database(source) => Error::Database { place, source },
                error => not_started(error.to_string()),
            })?;
        tracing::info!("{report}");
        Ok(if report.is_clean() { Done::Well } else { Done::Findings })
    }
}
