//! Options that many commands share, and the connection they lead to.

use std::path::PathBuf;

use clap::Args;

use super::Error;
use crate::config::{self, Config, Period, Report, Request, shown_url};
use crate::dialect::{Dialect, OLDEST};
use crate::postgres::{self, Class, Client, Database, Settings};

/// Where the database is.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Database")]
pub struct DatabaseOptions {
    /// The configuration; ./strawboss.toml if it is there
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// libpq URL or key=value text; goes before the environment's DATABASE_URL, which goes before the file. Without any
    /// of them the PG* variables are read
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// The pg-boss schema; goes before the file [default: pgboss]
    #[arg(long, value_name = "NAME")]
    pub schema: Option<String>,
}

/// A database and the pg-boss in it.
pub struct Connection {
    /// The connection.
    pub client: Client,
    /// The schema's dialect.
    pub dialect: Dialect,
    /// Where the database is, fit to be shown.
    pub place: String,
}

impl Connection {
    /// The error of a command whose question the database refused.
    pub fn refused(&self, source: postgres::Error) -> Error {
        Error::Database {
            place: self.place.clone(),
            source,
        }
    }
}

impl DatabaseOptions {
    /// Reads the configuration, all of it.
    pub fn read(&self) -> Report {
        config::read(&self.request())
    }

    /// Reads the configuration, all of it, and refuses what is not in order.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn configuration(&self) -> Result<Config, Error> {
        Ok(self.read().into_config()?)
    }

    /// Connects to the database, which is all that most commands need of the configuration.
    ///
    /// # Errors
    /// Where there is no database, or no pg-boss in it that is spoken.
    pub async fn connect(&self) -> Result<Connection, Error> {
        let request = Request {
            database_only: true,
            ..self.request()
        };
        let config = config::read(&request).into_config()?.database;
        let place = place(&config.url);
        let refused = |source| Error::Database {
            place: place.clone(),
            source,
        };
        let settings = Settings::parse(&config.url).map_err(refused)?.with_pool_size(2);
        let database = Database::new(&settings).map_err(refused)?;
        let client = database.client().await.map_err(refused)?;
        match Dialect::read(&client, &config.schema).await {
            Ok(dialect) if dialect.version() < OLDEST => Err(Error::Refused {
                what: format!(
                    "the pg-boss schema {:?} has version {}, which is not spoken",
                    config.schema,
                    dialect.version()
                ),
                next: format!("upgrade the Node app to pg-boss 10.1.5 (version {OLDEST}) or later"),
            }),
            Ok(dialect) => Ok(Connection { client, dialect, place }),
            Err(error) if error.class() == Class::Schema => Err(Error::NoPgBoss {
                schema: config.schema,
                place,
            }),
            Err(error) => Err(refused(error)),
        }
    }

    fn request(&self) -> Request<'_> {
        Request {
            file: self.config.as_deref(),
            database_url: self.database_url.as_deref(),
            schema: self.schema.as_deref(),
            ..Request::process()
        }
    }
}

/// Where a database is, fit to be shown.
pub(super) fn place(url: &str) -> String {
    match url {
        "" => "the database of the PG* variables".to_owned(),
        url => shown_url(url),
    }
}

/// Reads a number of seconds: bare, as pg-boss counts them, or with a unit (`90`, `90s`, `15m`, `1d`).
pub(super) fn seconds(text: &str) -> Result<i32, String> {
    let seconds = match text.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let Period(period) = text.parse()?;
            if period.subsec_nanos() != 0 {
                return Err("whole seconds only".to_owned());
            }
            period.as_secs()
        }
    };
    i32::try_from(seconds).map_err(|_| "too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_bare_or_with_a_unit() {
        assert_eq!(seconds("90"), Ok(90));
        assert_eq!(seconds("15m"), Ok(900));
        assert_eq!(seconds("0"), Ok(0));
        for text in ["-1", "1500ms", "1.5", "soon", "99999999999"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
