//! `strawboss run`

use clap::Args;

use super::options::DatabaseOptions;

/// Run the worker until it is told to stop.
///
/// SIGTERM or SIGINT: no more claims; what runs may finish within worker.shutdown_grace and is then handed back without
/// using up an attempt. A second signal stops at once.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    strawboss run --config worker.toml\n  \
    RUST_LOG=debug strawboss run         one line per job\n\n\
    `strawboss config example` prints a configuration to start from, `strawboss check` says what is wrong with it.")]
pub struct Run {
    #[command(flatten)]
    #[allow(missing_docs, reason = "shown as a heading of its own")]
    pub database: DatabaseOptions,
}
