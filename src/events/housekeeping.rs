//! Looks after the outbox: rows that dead workers left behind, the backlog, and who serves which queue.

use std::time::{Duration, Instant};

use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use super::Place;
use crate::config::{EventsConfig, Stuck, Unhandled};
use crate::dialect::{Template, Watch};
use crate::home::Home;
use crate::observe::{Metrics, Pulse};
use crate::postgres::{Client, Database, Error, Executor};

/// Takes up rows left in `processing`.
pub const STUCK: Template = Template(include_str!("housekeeping/stuck.sql"));
/// Counts the backlog.
pub const MEASURE: Template = Template(include_str!("housekeeping/measure.sql"));
/// Says who is served here.
const SERVED: Template = Template(include_str!("housekeeping/served.sql"));
/// Forgets rows that are gone.
const FORGET: Template = Template(include_str!("housekeeping/forget.sql"));

/// How often the house is looked after, at most and at least.
const INTERVAL: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));
/// A round may take at most this share of the time between two: a large backlog takes a while to count.
const DUTY: u32 = 20;
/// How long a round may take before its connection is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// The servant.
pub struct Housekeeper {
    /// Where the outbox is.
    pub database: Database,
    /// How pg-boss's schema is spoken to.
    pub watch: Watch,
    /// Our own schema.
    pub home: Home,
    /// The event system's configuration.
    pub config: EventsConfig,
    /// The queues of the handlers that run here.
    pub served: Vec<String>,
    /// Where it is counted.
    pub metrics: Metrics,
}

impl Housekeeper {
    /// Looks after the house until told to stop.
    pub async fn run(mut self, pulse: Pulse, stop: CancellationToken) {
        let interval = (self.config.stuck_after / 4).clamp(INTERVAL.0, INTERVAL.1);
        let mut prepared = None;
        loop {
            pulse.beat();
            let dialect = tokio::select! {
                dialect = self.watch.spoken() => dialect,
                () = tokio::time::sleep(PATIENCE) => continue,
                () = stop.cancelled() => return,
            };
            let place = Place::new(dialect, self.home.clone(), &self.config.outbox_schema);
            let version = place.dialect().version();
            let began = Instant::now();
            let round = async {
                let mut client = self.database.client().await?;
                if prepared != Some(version) {
                    place.prepare(&mut client).await.map_err(super::place::database_error)?;
                }
                self.round(&client, &place).await
            };
            match self.database.within(PATIENCE, round).await {
                Ok(()) => prepared = Some(version),
                // The relay says it aloud.
                Err(error) => tracing::debug!(%error, "the outbox could not be looked after"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(interval.max((began.elapsed() * DUTY).min(PATIENCE))) => {}
            }
        }
    }

    async fn round(&self, client: &Client, place: &Place) -> Result<(), Error> {
        let (schema, outbox) = (place.dialect().schema(), place.outbox_schema());
        if !self.served.is_empty() {
            let sql = place.render(SERVED, &[]);
            client
                .query(&sql, &[(&schema, Type::TEXT), (&self.served, Type::TEXT_ARRAY)])
                .await?;
        }
        for event in take_up(client, place, self.config.stuck_after, self.config.stuck).await? {
            let choice = match self.config.stuck {
                Stuck::Requeue => "requeue",
                Stuck::DeadLetter => "dead_letter",
            };
            tracing::warn!(event, choice, "took up a row that a dead worker had left in processing");
        }
        client
            .query(&place.render(FORGET, &[]), &[(&outbox, Type::TEXT)])
            .await?;
        let flags: &[&'static str] = match self.config.unhandled {
            Unhandled::Hold => &["hold"],
            Unhandled::Complete => &[],
        };
        if let Some(row) = client.query(&place.render(MEASURE, flags), &[]).await?.first() {
            self.metrics.event_outbox_pending.set(row.get("pending"));
            self.metrics.event_outbox_oldest_pending.set(row.get("oldest"));
            self.metrics.event_outbox_held.set(row.get("held"));
        }
        Ok(())
    }
}

/// Looks at the rows in `processing`, and takes up those that have been so, unchanged, for as long as that. Returns the names
/// of their events.
///
/// # Errors
/// Whatever the database says; nothing was done then.
pub async fn take_up(
    client: &impl Executor,
    place: &Place,
    stuck_after: Duration,
    choice: Stuck,
) -> Result<Vec<String>, Error> {
    let flags: &[&'static str] = match choice {
        Stuck::Requeue => &[],
        Stuck::DeadLetter => &["bury"],
    };
    let (outbox, seconds) = (place.outbox_schema(), stuck_after.as_secs_f64());
    let sql = place.render(STUCK, flags);
    let rows = client
        .query(&sql, &[(&outbox, Type::TEXT), (&seconds, Type::FLOAT8)])
        .await?;
    Ok(rows.iter().map(|row| row.get("event_name")).collect())
}
