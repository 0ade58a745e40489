//! Why a command failed, and what to do next.

use tokio_postgres::error::SqlState;

use crate::config::Refused;
use crate::postgres;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration cannot be used.
    #[error("the configuration is refused\n{0}")]
    Config(#[from] Refused),
    /// The database did not do what it was asked.
    #[error("{}", located(place, source))]
    Database {
        /// Where it is, without its password.
        place: String,
        /// What it said.
        source: postgres::Error,
    },
    /// There is no pg-boss where it was looked for.
    #[error("there is no pg-boss in schema {schema:?} of {place}")]
    NoPgBoss {
        /// The schema.
        schema: String,
        /// Where the database is, without its password.
        place: String,
    },
    /// What was asked for is not there, or cannot be done.
    #[error("{what}")]
    Refused {
        /// What is not there.
        what: String,
        /// What to do, unless that is said already.
        next: Option<String>,
    },
    /// The arguments make no sense together.
    #[error("{0}")]
    Usage(String),
    /// The answer could not be printed.
    #[error("cannot print: {0}")]
    Output(#[from] std::io::Error),
}

impl Error {
    /// What to do next, where something can be done.
    pub fn next_step(&self) -> Option<String> {
        let step = match self {
            Error::Config(_) => {
                "`strawboss check` shows where each value comes from, `strawboss config example` a complete file"
            }
            // It says itself what to do.
            Error::Database {
                source: postgres::Error::Settings(_),
                ..
            } => return None,
            Error::Database { source, .. } => match source.code().map(SqlState::code) {
                Some("28000" | "28P01") => {
                    "check the user and the password in --database-url, DATABASE_URL or [database] url"
                }
                Some("3D000") => "check the database's name in --database-url, DATABASE_URL or [database] url",
                Some("42501") => "`strawboss check` lists the privileges that the role lacks",
                Some(_) => return None,
                None => {
                    "is PostgreSQL up, and is this its address? --database-url, DATABASE_URL and [database] url say \
                     where, in this order"
                }
            },
            Error::NoPgBoss { .. } => {
                "name another schema with --schema, create it with `strawboss schema install`, or let the Node app start once"
            }
            Error::Refused { next, .. } => return next.clone(),
            Error::Usage(_) => "see --help",
            Error::Output(_) => return None,
        };
        Some(step.to_owned())
    }

    /// The exit code: 2 for what was asked wrongly, 1 for all else.
    pub fn code(&self) -> u8 {
        match self {
            Error::Usage(_) => 2,
            _ => 1,
        }
    }
}

/// What the database said, and which database it was where that is not said already.
pub(super) fn located(place: &str, source: &postgres::Error) -> String {
    let said = source.to_string();
    if said.contains(place) {
        said
    } else {
        format!("{place}: {said}")
    }
}
