//! The servant that relays: batch after batch, woken by the outbox or by the clock.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::book::Book;
use super::{CHANNEL, RelayTerms, Single, is_of_row};
use crate::config::EventsConfig;
use crate::dialect::Watch;
use crate::events::Place;
use crate::events::place::database_error;
use crate::home::Home;
use crate::observe::{Metrics, Pulse};
use crate::postgres::{Database, ListenEvent, Pooler, listen};

/// How long a batch may take before its connection is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How soon an outbox that could not be looked at is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often the relay says that it is alive.
const BEAT: Duration = Duration::from_secs(20);
/// The servant that relays.
pub struct Relay {
    /// Where the outbox is.
    pub database: Database,
    /// How pg-boss's schema is spoken to.
    pub watch: Watch,
    /// Our own schema.
    pub home: Home,
    /// The event system's configuration.
    pub config: EventsConfig,
    /// Whether to listen for notifications of the outbox.
    pub listen: bool,
    /// Where it is counted.
    pub metrics: Metrics,
}

impl Relay {
    /// Relays until told to stop. A batch that has begun is finished.
    pub async fn run(mut self, pulse: Pulse, stop: CancellationToken) {
        let (sender, mut heard) = mpsc::channel(16);
        let listening = self.listening(sender, &stop);
        let relaying = self.relaying(&mut heard, pulse, &stop);
        tokio::pin!(listening, relaying);
        tokio::select! {
            () = &mut relaying => {}
            () = &mut listening => relaying.await,
        }
    }

    /// Hears the outbox's notifications; ends where that is not wanted or not possible.
    fn listening(
        &self,
        sender: mpsc::Sender<ListenEvent>,
        stop: &CancellationToken,
    ) -> impl Future<Output = ()> + use<> {
        let (database, wanted, stop) = (self.database.clone(), self.listen, stop.clone());
        async move {
            if !wanted {
                return;
            }
            while let Err(error) = database.detect().await {
                tracing::debug!(%error, "not known yet whether a pooler stands before the database");
                tokio::time::sleep(AGAIN).await;
            }
            if database.pooler() != Pooler::Transaction {
                listen(database.settings().clone(), CHANNEL.to_owned(), sender, stop).await;
            }
        }
    }

    async fn relaying(&mut self, heard: &mut mpsc::Receiver<ListenEvent>, pulse: Pulse, stop: &CancellationToken) {
        let terms = RelayTerms::from(&self.config);
        let mut book = Book::new(self.metrics.clone(), terms.unhandled);
        let mut prepared = None;
        let mut size = terms.batch_size;
        loop {
            pulse.beat();
            let dialect = tokio::select! {
                dialect = self.watch.spoken() => dialect,
                () = tokio::time::sleep(BEAT) => continue,
                () = stop.cancelled() => return,
            };
            let place = Place::new(dialect, self.home.clone(), &self.config.outbox_schema);
            let version = place.dialect().version();
            let round = async {
                let mut client = self.database.client().await?;
                if prepared != Some(version) {
                    place.prepare(&mut client).await.map_err(database_error)?;
                }
                if size > 1 {
                    return Ok((Some(terms.relay(&mut client, &place, size).await), Single::None));
                }
                Ok((None, terms.single(&mut client, &place).await?))
            };
            let pause = match self.database.within(PATIENCE, round).await {
                Ok((Some(Ok(relayed)), _)) => {
                    prepared = Some(version);
                    let rows = usize::try_from(book.relayed(&relayed)).unwrap_or(usize::MAX);
                    let full = rows >= size;
                    size = (size * 2).min(terms.batch_size);
                    if full {
                        Duration::ZERO
                    } else {
                        self.config.polling_interval
                    }
                }
                // One of them is not to be relayed: halves are tried until it is found.
                Ok((Some(Err(error)), _)) if is_of_row(&error) => {
                    prepared = Some(version);
                    size /= 2;
                    size = size.max(1);
                    Duration::ZERO
                }
                Ok((None, single)) => {
                    prepared = Some(version);
                    size = terms.batch_size.min(2);
                    match single {
                        Single::None => self.config.polling_interval,
                        Single::Relayed(relayed) => {
                            book.relayed(&relayed);
                            Duration::ZERO
                        }
                        Single::Spoilt {
                            id,
                            event,
                            failed,
                            reason,
                        } => {
                            book.spoilt(&event, failed);
                            tracing::warn!(outbox = %id, event, reason, failed, "a row of the outbox could not be relayed");
                            Duration::ZERO
                        }
                    }
                }
                Ok((Some(Err(error)), _)) | Err(error) => {
                    book.trouble(&error, &self.config.outbox_schema);
                    AGAIN.min(self.config.polling_interval)
                }
            };
            if stop.is_cancelled() {
                return;
            }
            if pause.is_zero() {
                continue;
            }
            let until = Instant::now() + pause;
            loop {
                pulse.beat();
                let left = until.saturating_duration_since(Instant::now());
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(left.min(BEAT)) => if left <= BEAT { break },
                    Some(event) = heard.recv() => match event {
                        ListenEvent::Notified(schema) if schema != self.config.outbox_schema => {}
                        ListenEvent::Disconnected(reason) => {
                            tracing::debug!(reason, "the outbox's notifications are not heard; it is polled");
                        }
                        ListenEvent::Notified(_) | ListenEvent::Connected => {
                            // Many may have come at once; one look stands for all.
                            while heard.try_recv().is_ok() {}
                            break;
                        }
                    },
                }
            }
        }
    }
}
