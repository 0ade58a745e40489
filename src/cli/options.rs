//! Options that many commands share, and the connection they lead to.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::Error;
use crate::client;
use crate::config::{self, Config, DatabaseConfig, Period, Report, Request};
use crate::dialect::{Dialect, OLDEST};
use crate::enqueue;
use crate::home::Home;
use crate::postgres::{self, Class, Client, Database, Settings};
use crate::refusal::Refusal;

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

/// A database that nobody has asked anything yet.
pub struct Opened {
    /// The pool.
    pub database: Database,
    /// The configuration: its section `[database]`, and defaults for the rest.
    pub config: Config,
    /// Where the database is, fit to be shown.
    pub place: String,
}

/// A database and the pg-boss in it.
pub struct Connection {
    /// The connection.
    pub client: Client,
    /// The schema's dialect.
    pub dialect: Dialect,
    /// The pool it is of, with one more.
    pub database: Database,
    /// Our own schema there.
    pub home: Home,
    /// Where the database is, fit to be shown.
    pub place: String,
}

impl Connection {
    /// The error of a command whose question the database refused.
    pub fn refused(&self, source: postgres::Error) -> Error {
        refused(&self.place, source)
    }
}

impl Connection {
    /// Who does what pg-boss's users do.
    pub(super) fn boss(&self) -> client::Client {
        client::Client::new(self.database.clone(), self.dialect.schema())
    }

    /// Refuses the name of a queue that is not there.
    pub(super) async fn must_have(&self, queue: &str) -> Result<(), Error> {
        let found = self.boss().get_queue(queue).await;
        match found.map_err(|error| self.failed(error))? {
            Some(_) => Ok(()),
            None => Err(no_queue(queue)),
        }
    }

    /// The error of a call of [`boss`](Connection::boss).
    pub(super) fn failed(&self, error: impl Into<client::Error>) -> Error {
        match error.into() {
            client::Error::Enqueue(error) => self.not_taken(error),
            client::Error::Refused(Refusal::Database(source)) | client::Error::Database(source) => self.refused(source),
            client::Error::Refused(Refusal::UnknownQueue(queue)) => no_queue(queue.as_str()),
            error => Error::Refused {
                what: error.to_string(),
                next: None,
            },
        }
    }

    /// The error of a job or a queue that was not taken.
    pub(super) fn not_taken(&self, error: enqueue::Error) -> Error {
        let next = match &error {
            enqueue::Error::UnknownQueue(queue) => Some(format!(
                "`strawboss queues create {queue}` creates it, `strawboss queues list` shows those that are there"
            )),
            enqueue::Error::UnknownDeadLetter(queue) => Some(format!("`strawboss queues create {queue}` creates it")),
            _ => None,
        };
        match error {
            enqueue::Error::Database(source) => self.refused(source),
            error => Error::Refused {
                what: error.to_string(),
                next,
            },
        }
    }
}

/// The error of a queue that is not there.
pub(super) fn no_queue(queue: &str) -> Error {
    Error::Refused {
        what: format!("there is no queue {queue:?}"),
        next: Some("`strawboss queues list` shows those that are there".to_owned()),
    }
}

/// The error of a database that refused.
pub(super) fn refused(place: &str, source: postgres::Error) -> Error {
    Error::Database {
        place: place.to_owned(),
        source,
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

    /// Reads the section `[database]`, which is all that most commands need, and makes a pool of `connections`. No
    /// connection is opened yet.
    ///
    /// # Errors
    /// Where the section is not in order.
    pub fn open(&self, connections: usize) -> Result<Opened, Error> {
        self.open_with(connections, false)
    }

    /// As [`DatabaseOptions::open`]; with `events` the section `[events]` is read, too.
    ///
    /// # Errors
    /// Where the sections are not in order.
    pub fn open_with(&self, connections: usize, events: bool) -> Result<Opened, Error> {
        let request = Request {
            database_only: true,
            events,
            ..self.request()
        };
        let config = config::read(&request).into_config()?;
        let place = place(&config.database);
        let database = Settings::of(&config.database)
            .and_then(|settings| Database::new(&settings.with_pool_size(connections)))
            .map_err(|source| refused(&place, source))?;
        Ok(Opened {
            database,
            config,
            place,
        })
    }

    /// Connects to the database and reads which pg-boss is there.
    ///
    /// # Errors
    /// Where there is no database, or no pg-boss in it that is spoken.
    pub async fn connect(&self) -> Result<Connection, Error> {
        self.open(2)?.connect().await
    }

    fn request(&self) -> Request<'_> {
        Request {
            file: self.config.as_deref(),
            database_url: self.database_url.as_deref(),
            schema: self.schema.as_deref(),
            api_without_file: true,
            ..Request::process()
        }
    }
}

impl Opened {
    /// Connects and reads which pg-boss is there.
    ///
    /// # Errors
    /// Where there is no database, or no pg-boss in it that is spoken.
    pub async fn connect(self) -> Result<Connection, Error> {
        let Opened {
            database,
            config,
            place,
        } = self;
        let home = Home::new(config.database.own_schema);
        let schema = config.database.schema;
        let client = database.client().await.map_err(|source| refused(&place, source))?;
        match Dialect::read(&client, &schema).await {
            Ok(dialect) if dialect.version() < OLDEST => Err(Error::Refused {
                what: format!(
                    "the pg-boss schema {schema:?} has version {}, which is not spoken",
                    dialect.version()
                ),
                next: Some(format!(
                    "upgrade the Node app to pg-boss 10.1.5 (version {OLDEST}) or later"
                )),
            }),
            Ok(dialect) => Ok(Connection {
                client,
                dialect,
                database,
                home,
                place,
            }),
            Err(error) if error.class() == Class::Schema => Err(Error::NoPgBoss { schema, place }),
            Err(error) => Err(refused(&place, error)),
        }
    }
}

/// Where a database is, fit to be shown.
pub(super) fn place(config: &DatabaseConfig) -> String {
    match Settings::of(config) {
        Ok(settings) => settings.describe(),
        Err(_) => "the database".to_owned(),
    }
}

/// Reads a time: bare seconds, as pg-boss counts, or with a unit (`90`, `90s`, `15m`, `1d`).
pub(super) fn time(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => text.parse().map(|Period(period)| period),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_have_a_unit() {
        assert_eq!(time("90"), Ok(Duration::from_secs(90)));
        assert_eq!(time("15m"), Ok(Duration::from_secs(900)));
        assert_eq!(time("0"), Ok(Duration::ZERO));
        for text in ["-1", "1.5", "soon", ""] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
