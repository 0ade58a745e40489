//! Moves deliveries that failed for good, whoever ran them, to `event_dead_letter`.
//!
//! Every delivery names our own queue as its dead letter queue, so that pg-boss's rule, by whichever worker it is applied, leaves a
//! copy there in the statement that fails it. From there one statement moves it: nothing is lost to a crash, and nothing doubled.

use std::time::Duration;

use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Place;
use crate::dialect::{Template, Watch};
use crate::home::Home;
use crate::observe::{Metrics, Pulse};
use crate::postgres::{Client, Database, Error, Executor};

/// Buries a batch.
pub const BURY: Template = Template(include_str!("burial/bury.sql"));

/// How many are moved at once.
const BATCH: i32 = 200;
/// How often the queue is looked at.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long a look may take before its connection is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// How soon it is tried again when something was wrong.
const AGAIN: Duration = Duration::from_secs(2);

/// A delivery that was buried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buried {
    /// Whose it was: the handler's id, or the queue of a subscriber that is none of ours.
    pub handler: String,
    /// The event's name.
    pub event: String,
    /// The row of the outbox.
    pub outbox_id: Uuid,
    /// The last error.
    pub reason: String,
}

/// Buries a batch of dead letters; `None` for each job that was no delivery.
///
/// # Errors
/// Whatever the database says; nothing was done then.
pub async fn bury(client: &Client, place: &Place) -> Result<Vec<Option<Buried>>, Error> {
    let schema = place.dialect().schema();
    let sql = place.render(BURY, &[]);
    let rows = client
        .query(&sql, &[(&schema, Type::TEXT), (&BATCH, Type::INT4)])
        .await?;
    let buried = rows.iter().map(|row| {
        let handler: Option<String> = row.get("handler");
        handler.map(|handler| Buried {
            handler,
            event: row.get("event_name"),
            outbox_id: row.get("outbox_id"),
            reason: row.get("reason"),
        })
    });
    Ok(buried.collect())
}

/// The servant that buries.
pub struct Burial {
    /// Where the dead letters are.
    pub database: Database,
    /// How pg-boss's schema is spoken to.
    pub watch: Watch,
    /// Our own schema.
    pub home: Home,
    /// The schema of the app's event tables, unquoted.
    pub outbox_schema: String,
    /// Where it is counted.
    pub metrics: Metrics,
}

impl Burial {
    /// Buries until told to stop.
    pub async fn run(mut self, pulse: Pulse, stop: CancellationToken) {
        let mut prepared = None;
        let mut trouble = None;
        loop {
            pulse.beat();
            let dialect = tokio::select! {
                dialect = self.watch.spoken() => dialect,
                () = tokio::time::sleep(PATIENCE) => continue,
                () = stop.cancelled() => return,
            };
            let place = Place::new(dialect, self.home.clone(), &self.outbox_schema);
            let version = place.dialect().version();
            let round = async {
                let mut client = self.database.client().await?;
                if prepared != Some(version) {
                    place.prepare(&mut client).await.map_err(super::place::database_error)?;
                }
                bury(&client, &place).await
            };
            let pause = match self.database.within(PATIENCE, round).await {
                Ok(buried) => {
                    prepared = Some(version);
                    trouble = None;
                    for letter in &buried {
                        self.told(letter.as_ref());
                    }
                    if buried.is_empty() { INTERVAL } else { Duration::ZERO }
                }
                Err(error) => {
                    let said = error.to_string();
                    if !error.is_transient() && trouble.as_ref() != Some(&said) {
                        tracing::error!(error = said, "dead letters of events cannot be moved; trying again");
                        trouble = Some(said);
                    }
                    AGAIN
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn told(&self, letter: Option<&Buried>) {
        match letter {
            Some(Buried {
                handler,
                event,
                outbox_id,
                ..
            }) => {
                self.metrics.event_dead_letters.with_label_values(&[handler]).inc();
                // The failed attempt is logged by whoever ran it.
                tracing::info!(handler, event, outbox = %outbox_id, "an event is dead: its handler failed for good");
            }
            None => tracing::warn!(
                queue = super::DEAD_LETTERS,
                "a job is no delivery of an event; it was failed"
            ),
        }
    }
}
