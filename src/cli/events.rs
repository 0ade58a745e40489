//! `strawboss events …`

mod emit;
mod letters;
mod outbox;
mod subscriptions;

use std::sync::Arc;

use clap::{Args, Subcommand};

use super::options::{Connection, DatabaseOptions, Opened};
use super::{Done, Error, Page};
use crate::config::EventsConfig;
use crate::events::{Emitter, Place};
use crate::home::Home;
use crate::postgres::{self, Class, Client, Database};

/// The event system: the outbox, who subscribes to what, dead letters, queries.
#[derive(Debug, Args)]
pub struct Events {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Install(outbox::Install),
    Emit(emit::Emit),
    Query(emit::Query),
    Outbox(outbox::Outbox),
    DeadLetters(letters::DeadLetters),
    Replay(letters::Replay),
    Prune(outbox::Prune),
    Subscriptions(subscriptions::Subscriptions),
    Subscribe(subscriptions::Subscribe),
    Unsubscribe(subscriptions::Unsubscribe),
}

impl Events {
    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        match self.command {
            Command::Install(install) => install.run(page).await,
            Command::Emit(emit) => emit.run(page).await,
            Command::Query(query) => query.run(page).await,
            Command::Outbox(outbox) => outbox.run(page).await,
            Command::DeadLetters(letters) => letters.run(page).await,
            Command::Replay(replay) => replay.run(page).await,
            Command::Prune(prune) => prune.run(page).await,
            Command::Subscriptions(subscriptions) => subscriptions.run(page).await,
            Command::Subscribe(subscribe) => subscribe.run(page).await,
            Command::Unsubscribe(unsubscribe) => unsubscribe.run(page).await,
        }
    }
}

/// Where the tables are.
#[derive(Debug, Clone, Default, Args)]
struct Options {
    /// The schema of the app's event tables; goes before the file [default: public]
    #[arg(long, value_name = "NAME", help_heading = "Database")]
    outbox_schema: Option<String>,
    #[command(flatten)]
    database: DatabaseOptions,
}

/// A connection, and where the tables are.
struct Scene {
    client: Client,
    database: Database,
    place: Place,
    config: EventsConfig,
    /// The database, fit to be shown.
    shown: String,
}

impl Options {
    /// The configuration and a pool, with nothing asked of the database yet.
    fn open(&self) -> Result<Opened, Error> {
        let mut opened = self.database.open_with(2, true)?;
        if let Some(schema) = &self.outbox_schema {
            opened.config.events.outbox_schema.clone_from(schema);
        }
        Ok(opened)
    }

    async fn scene(&self) -> Result<Scene, Error> {
        let opened = self.open()?;
        let (database, config) = (opened.database.clone(), opened.config.events.clone());
        let home = Home::new(&opened.config.database.own_schema);
        let Connection {
            client, dialect, place, ..
        } = opened.connect().await?;
        Ok(Scene {
            client,
            database,
            place: Place::new(Arc::new(dialect), home, &config.outbox_schema),
            config,
            shown: place,
        })
    }
}

impl Scene {
    /// The error of a question that the database refused.
    fn refused(&self, source: postgres::Error) -> Error {
        refused(&self.shown, self.place.outbox_schema(), source)
    }

    /// Makes what is written to beside the app's tables.
    async fn prepare(&mut self) -> Result<(), Error> {
        let prepared = self.place.prepare(&mut self.client).await;
        prepared.map_err(|error| match error {
            crate::enqueue::Error::Database(source) => self.refused(source),
            error => Error::Refused {
                what: error.to_string(),
                next: None,
            },
        })
    }

    fn emitter(&self) -> Emitter {
        Emitter::new(self.place.clone(), &self.config)
    }
}

/// The error of a question that the database refused; a missing table has its own way out.
fn refused(shown: &str, outbox_schema: &str, source: postgres::Error) -> Error {
    if source.class() == Class::Schema {
        return Error::Refused {
            what: format!(
                "the event tables in schema {outbox_schema:?} of {shown} are not as they should be: {source}"
            ),
            next: Some(
                "`strawboss events install` creates what is missing; --outbox-schema names another schema".to_owned(),
            ),
        };
    }
    super::options::refused(shown, source)
}
