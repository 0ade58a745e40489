//! The schema itself: what is installed, installing one, and whether it is whole.
//!
//! Only the newest schema is ever created here. Migrating an older one stays Node's business, since pg-boss's own
//! processes have to agree on it; nothing in this room alters a schema that is already there.

mod install;
mod inventory;
mod manifest;
mod name;
mod needs;
mod status;
mod verify;

pub use install::{Installed, install};
pub use name::{check_name, spelling};
pub use status::{Builds, Install, Status, status};
pub use verify::{Finding, Kind, Problem, Severity, Verification, verify};

use crate::dialect::{NEWEST, releases};
use crate::postgres;

/// Why a schema could not be installed or looked at; each message says what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Node's pg-boss could not be pointed at a schema of that name.
    #[error("{0}")]
    Name(String),
    /// A schema of another version is there, and is left as it is.
    #[error(
        "schema {schema:?} holds pg-boss's schema version {found} (pg-boss {}) and was left as it is; {}",
        releases(*.found).unwrap_or("of a release this build does not know"),
        mend(*.found)
    )]
    OtherVersion {
        /// The schema, unquoted.
        schema: String,
        /// The version it holds.
        found: i32,
    },
    /// The table `version` is there but says nothing.
    #[error(
        "schema {schema:?} has a table `version` without a number in it: a pg-boss install that was tampered with, or \
         another application's; restore the row, or name another schema with --schema"
    )]
    NoVersion {
        /// The schema, unquoted.
        schema: String,
    },
    /// There is an install whose name differs in nothing but case.
    #[error(
        "pg-boss is installed in schema {other:?}, which differs from {schema:?} only in case, and a second install \
         would hide its jobs; use --schema {other:?}, or a name that differs in more"
    )]
    CaseVariant {
        /// The name asked for, unquoted.
        schema: String,
        /// The name that is installed, unquoted.
        other: String,
    },
    /// Something that is not pg-boss's is in the way.
    #[error(
        "schema {schema:?} already has an object that pg-boss needs for itself ({object}) but no pg-boss; \
         name another schema with --schema"
    )]
    Taken {
        /// The schema, unquoted.
        schema: String,
        /// What the server said.
        object: String,
    },
    /// Somebody else has held the lock for installs and migrations for half a minute.
    #[error(
        "another install or migration of schema {schema:?} did not end within 30 seconds; see who it is with \
         `SELECT * FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory'`, then try again"
    )]
    Busy {
        /// The schema, unquoted.
        schema: String,
    },
    /// The database role may not do that.
    #[error("role {role:?} lacks a privilege for schema {schema:?}; as an administrator run: {grant}")]
    Forbidden {
        /// The role that tried.
        role: String,
        /// The schema, unquoted.
        schema: String,
        /// The statement that allows it.
        grant: String,
    },
    /// There is no pg-boss in the schema.
    #[error(
        "pg-boss is not installed in schema {schema:?}; `strawboss schema install` creates it, and so does the first \
         start of the Node app"
    )]
    NotInstalled {
        /// The schema, unquoted.
        schema: String,
    },
    /// The database said no to something else.
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Error::Postgres(error.into())
    }
}

fn mend(found: i32) -> String {
    let newest = releases(NEWEST).unwrap_or_default();
    match found {
        ..24 => format!(
            "strawboss does not speak it: start Node's pg-boss 10.1.5 or later on it, or install pg-boss {newest} in \
             another schema with --schema"
        ),
        24 => format!(
            "strawboss speaks it as it is; no release of pg-boss migrates it, so for pg-boss {newest} name another \
             schema with --schema"
        ),
        25..NEWEST => format!(
            "strawboss speaks it as it is; to bring it to version {NEWEST}, start Node's pg-boss {newest} on it, \
             which migrates"
        ),
        _ => format!("strawboss knows versions up to {NEWEST}; `strawboss schema verify` says what of it is usable"),
    }
}
