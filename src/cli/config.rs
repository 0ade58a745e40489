//! `strawboss config example|schema`

use clap::{Args, Subcommand};

use super::{Done, Error, Page};
use crate::config::{EXAMPLE, json_schema};

/// Print a configuration to start from, or its JSON Schema for editors.
#[derive(Debug, Args)]
pub struct Config {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a complete configuration file, every key with its meaning and default
    #[command(after_help = "Example:\n  strawboss config example > strawboss.toml")]
    Example,
    /// Print the JSON Schema of the configuration file, so that editors complete and check it
    #[command(after_help = "Example:\n  strawboss config schema > strawboss.schema.json\n\n\
        The first line of the example, `#:schema ./strawboss.schema.json`, is what editors look for.")]
    Schema,
}

impl Config {
    pub(super) fn run(&self, page: &mut Page) -> Result<Done, Error> {
        match self.command {
            Command::Example => page.line(EXAMPLE.trim_end())?,
            Command::Schema => page.json(&json_schema())?,
        }
        Ok(Done::Well)
    }
}
