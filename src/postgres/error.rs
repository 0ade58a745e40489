//! What a database error means for whoever meets it.

use tokio_postgres::error::SqlState;

/// An error on the way to or in PostgreSQL.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection settings cannot be used; no retry mends it.
    #[error("{0}")]
    Settings(String),
    /// No connection could be had from the pool.
    #[error("no database connection: {0}")]
    Pool(String),
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
}

impl Error {
    /// Sorts the error by its SQLSTATE.
    pub fn class(&self) -> Class {
        let Error::Postgres(error) = self else {
            return match self {
                Error::Pool(_) => Class::Connection,
                _ => Class::Permanent,
            };
        };
        let Some(state) = error.code() else {
            return Class::Connection;
        };
        match *state {
            SqlState::UNDEFINED_COLUMN
            | SqlState::UNDEFINED_TABLE
            | SqlState::UNDEFINED_FUNCTION
            | SqlState::UNDEFINED_OBJECT
            | SqlState::INVALID_SCHEMA_NAME
            | SqlState::FEATURE_NOT_SUPPORTED => Class::Schema,
            SqlState::UNIQUE_VIOLATION => Class::Conflict,
            _ => match &state.code()[..2] {
                "08" | "57" => Class::Connection,
                "40" | "53" | "55" | "25" | "58" => Class::Transient,
                "22" | "23" | "54" => Class::Data,
                _ => Class::Permanent,
            },
        }
    }

    /// Whether the same statement may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self.class(), Class::Connection | Class::Transient | Class::Schema)
    }

    /// The SQLSTATE, where the server sent one.
    pub fn code(&self) -> Option<&SqlState> {
        match self {
            Error::Postgres(error) => error.code(),
            _ => None,
        }
    }
}

fn describe(error: &tokio_postgres::Error) -> String {
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
