//! `strawboss schema status|install|verify`

use clap::{Args, Subcommand};

use super::options::DatabaseOptions;

/// Say which pg-boss schema is there, create one, or compare it with what it should be.
#[derive(Debug, Args)]
pub struct Schema {
    #[command(subcommand)]
    #[allow(missing_docs, reason = "shown as commands of their own")]
    pub command: Command,
}

/// What to do with the schema.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say which version is there and whether it is spoken
    #[command(after_help = "Example:\n  strawboss schema status --json")]
    Status(Read),
    /// Create the schema where there is none, so that Node's pg-boss of the same version starts on it
    #[command(after_help = "Example:\n  strawboss schema install --schema pgboss")]
    Install(Install),
    /// Compare the schema with what its version should have; exit code 1 where something is missing
    #[command(after_help = "Example:\n  strawboss schema verify --json")]
    Verify(Read),
}

/// Arguments of `status` and `verify`.
#[derive(Debug, Args)]
pub struct Read {
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs, reason = "shown as a heading of its own")]
    pub database: DatabaseOptions,
}

/// Arguments of `install`.
#[derive(Debug, Args)]
pub struct Install {
    #[command(flatten)]
    #[allow(missing_docs, reason = "shown as a heading of its own")]
    pub database: DatabaseOptions,
}
