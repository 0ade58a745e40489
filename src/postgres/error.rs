//! What a database error means for whoever meets it.

use std::time::Duration;

use tokio_postgres::error::SqlState;

/// An error on the way to or in PostgreSQL.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection settings cannot be used; no retry mends it.
    #[error("{0}")]
    Settings(String),
    /// No connection could be had from the pool: all are in use.
    #[error("no database connection: {0}")]
    Pool(String),
    /// No connection could be made; the message says where, why, and what to do.
    #[error("{message}")]
    #[non_exhaustive]
    Connect {
        /// Where, why, and what to do.
        message: String,
        /// What to do about it, as [`Error::class`] tells it.
        class: Class,
        /// What the server or the network said, where one of them said something.
        cause: Option<tokio_postgres::Error>,
    },
    /// No answer within the settings' `query_timeout`, or within the caller's patience; the connection is given up, and whether the statement was run is
    /// not known.
    #[error("no answer from the database within {} s; the connection is given up", .0.as_secs_f32())]
    Timeout(Duration),
    /// The server or the connection to it said no.
    #[error("{}", describe(.0))]
    Postgres(#[from] tokio_postgres::Error),
}

/// What to do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The connection is gone or the server is not up: try again later.
    Connection,
    /// The server is up but could not do it now (deadlock, serialization, out of room): try again later.
    Transient,
    /// A column, table or function is not there: the schema changed under us; look at it again.
    Schema,
    /// A unique index refused the row.
    Conflict,
    /// The value itself was refused; the same value will be refused again.
    Data,
    /// Anything else; trying again will not help.
    Permanent,
}

impl Class {
    /// The value of the label `class`.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Connection => "connection",
            Class::Transient => "transient",
            Class::Schema => "schema",
            Class::Conflict => "conflict",
            Class::Data => "data",
            Class::Permanent => "permanent",
        }
    }

    /// The class of a SQLSTATE.
    ///
    /// | SQLSTATE | is | class |
    /// |---|---|---|
    /// | `08…` | connection exceptions | connection |
    /// | `57P01` `57P02` `57P03` `57P05` | shut down, crashed, starting, idle too long | connection |
    /// | `57014` | cancelled, or longer than `statement_timeout` | transient |
    /// | `40…` | serialization failure `40001`, deadlock `40P01` | transient |
    /// | `53…` | disk full `53100`, memory `53200`, connections `53300` | transient |
    /// | `55…` | lock not available `55P03`, object in use `55006` | transient |
    /// | `25…` | read-only `25006` (a failover left us on the old primary), timeouts `25P03` `25P04` | transient |
    /// | `58…` `XX000` | I/O of the server, internal errors: a rolling upgrade or a failing disk | transient |
    /// | `26000` `42P05` | a prepared statement lost or met twice: a pooler, or `DISCARD ALL` | transient |
    /// | `42P01` `42703` `42883` `42704` `3F000` `0A000` `42P10` | not there (any more), or of another shape | schema |
    /// | `23505` `23P01` | the row is there already | conflict |
    /// | `22…` `23…` `54…` | malformed, null, dangling or oversized values | data |
    /// | `28…` `3D…` `42501` and all others | credentials, database name, privileges, bugs | permanent |
    pub(super) fn of(state: &SqlState) -> Class {
        match *state {
            SqlState::QUERY_CANCELED
            | SqlState::INTERNAL_ERROR
            | SqlState::INVALID_SQL_STATEMENT_NAME
            | SqlState::DUPLICATE_PSTATEMENT => Class::Transient,
            SqlState::UNDEFINED_COLUMN
            | SqlState::UNDEFINED_TABLE
            | SqlState::UNDEFINED_FUNCTION
            | SqlState::UNDEFINED_OBJECT
            | SqlState::INVALID_SCHEMA_NAME
            | SqlState::INVALID_COLUMN_REFERENCE
            | SqlState::FEATURE_NOT_SUPPORTED => Class::Schema,
            SqlState::UNIQUE_VIOLATION | SqlState::EXCLUSION_VIOLATION => Class::Conflict,
            // A pooler may send a code of its own making.
            _ => match state.code().get(..2) {
                Some("08" | "57") => Class::Connection,
                Some("40" | "53" | "55" | "25" | "58") => Class::Transient,
                Some("22" | "23" | "54") => Class::Data,
                _ => Class::Permanent,
            },
        }
    }
}

impl Error {
    /// Sorts the error by its SQLSTATE; without one the connection was lost.
    pub fn class(&self) -> Class {
        match self {
            Error::Settings(_) => Class::Permanent,
            Error::Pool(_) => Class::Transient,
            Error::Connect { class, .. } => *class,
            Error::Timeout(_) => Class::Connection,
            Error::Postgres(error) => match error.code() {
                Some(state) => Class::of(state),
                None => without_state(error),
            },
        }
    }

    /// Whether the same statement may succeed later. One that found no connection may, whatever the reason: it was not
    /// sent, and passwords, certificates and databases are mended while we run.
    pub fn is_transient(&self) -> bool {
        matches!(self, Error::Connect { .. })
            || matches!(self.class(), Class::Connection | Class::Transient | Class::Schema)
    }

    /// The SQLSTATE, where the server sent one.
    pub fn code(&self) -> Option<&SqlState> {
        match self {
            Error::Postgres(error) | Error::Connect { cause: Some(error), .. } => error.code(),
            _ => None,
        }
    }
}

/// The class of an error in which no server had a word: most are of the connection, some are of our own making.
fn without_state(error: &tokio_postgres::Error) -> Class {
    let text = error.to_string();
    let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| text.starts_with(beginning));
    if begins(&["error serializing parameter", "error encoding message"]) {
        Class::Data
    } else if begins(&[
        "error deserializing column",
        "invalid column",
        "query returned",
        "expected ",
    ]) {
        Class::Permanent
    } else {
        Class::Connection
    }
}

pub(super) fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => {
            let mut text = format!("{} (SQLSTATE {})", db.message(), db.code().code());
            if let Some(hint) = db.hint() {
                text.push_str("; ");
                text.push_str(hint);
            }
            text
        }
        None => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(cause) = source {
                let cause_text = cause.to_string();
                if !text.contains(&cause_text) {
                    text.push_str(": ");
                    text.push_str(&cause_text);
                }
                source = cause.source();
            }
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_postgres::error::SqlState;

    use super::{Class, Error};

    #[test]
    fn every_sqlstate_has_the_class_of_its_remedy() {
        for (class, states) in [
            (Class::Connection, "08000 08006 08P01 57P01 57P02 57P03 57P05"),
            (
                Class::Transient,
                "57014 40001 40P01 53100 53200 53300 55P03 55006 25006 25P03 58030 XX000 26000 42P05",
            ),
            (Class::Schema, "42P01 42703 42883 42704 3F000 0A000 42P10"),
            (Class::Conflict, "23505 23P01"),
            (Class::Data, "22001 22P02 22P05 23502 23503 23514 54000"),
            (Class::Permanent, "28000 28P01 3D000 42501 42601 P0001 XX001 X é"),
        ] {
            for state in states.split(' ') {
                assert_eq!(Class::of(&SqlState::from_code(state)), class, "{state}");
            }
        }
    }

    #[test]
    fn settings_are_not_tried_again_and_a_busy_pool_is() {
        assert!(!Error::Settings("x".to_owned()).is_transient());
        assert!(Error::Pool("x".to_owned()).is_transient());
    }
}
