//! Moves pending rows of the outbox to the queues that are subscribed to their events, one transaction a batch.

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Backoff, Place};
use crate::config::{EventsConfig, Unhandled};
use crate::dialect::{Template, Watch};
use crate::home::Home;
use crate::observe::{Metrics, Pulse};
use crate::postgres::{Class, Client, Database, Error, Executor, ListenEvent, Param, Pooler, listen};

/// Relays a batch.
pub const RELAY: Template = Template(concat!(
    include_str!("relay/claim.sql"),
    include_str!("delivery/enter.sql"),
    include_str!("relay/done.sql")
));
/// The row that is relayed next.
pub const NEXT: Template = Template(include_str!("relay/next.sql"));
/// Sets a row aside.
pub const SPOIL: Template = Template(include_str!("relay/spoil.sql"));

/// The channel on which the outbox's trigger notifies; the payload is the outbox's schema.
pub const CHANNEL: &str = "strawboss_event_outbox";

/// What a batch is planned with: every index that it needs is there, and statistics of an outbox are never of the present.
const PLAN: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off";
/// How long a batch may take before its connection is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How soon an outbox that could not be looked at is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often the relay says that it is alive.
const BEAT: Duration = Duration::from_secs(20);
/// How many names of events the metrics know, and how many are warned of; the others go by the name of `other`.
const NAMES: usize = 500;

/// Who relays, and how.
#[derive(Debug, Clone)]
pub struct RelayTerms {
    /// Rows in one transaction.
    pub batch_size: usize,
    /// What becomes of events without a subscription.
    pub unhandled: Unhandled,
    /// When a row that could not be relayed is tried again.
    pub backoff: Backoff,
}

impl From<&EventsConfig> for RelayTerms {
    fn from(config: &EventsConfig) -> RelayTerms {
        RelayTerms {
            batch_size: config.batch_size,
            unhandled: config.unhandled,
            backoff: Backoff {
                first: config.backoff,
                exponential: config.exponential,
                jitter: config.jitter,
            },
        }
    }
}

/// What became of rows with one event name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relayed {
    /// The name.
    pub event: String,
    /// How many rows.
    pub rows: u64,
    /// To how many queues each of them went.
    pub queues: u64,
}

impl RelayTerms {
    fn flags(&self) -> &'static [&'static str] {
        match self.unhandled {
            Unhandled::Complete => &[],
            Unhandled::Hold => &["hold"],
        }
    }

    /// Relays one batch of at most `rows`, in a transaction of its own.
    ///
    /// # Errors
    /// Whatever the database says; nothing was done then.
    pub async fn relay(&self, client: &mut Client, place: &Place, rows: usize) -> Result<Vec<Relayed>, Error> {
        let transaction = client.transaction().await?;
        transaction.batch(PLAN).await?;
        let done = self.batch(&transaction, place, rows, None).await?;
        transaction.commit().await?;
        Ok(done)
    }

    async fn batch(
        &self,
        executor: &impl Executor,
        place: &Place,
        rows: usize,
        only: Option<Uuid>,
    ) -> Result<Vec<Relayed>, Error> {
        let mut flags = self.flags().to_vec();
        let rows = i32::try_from(rows).unwrap_or(i32::MAX);
        let (schema, channel, outbox) = (place.dialect().schema(), place.channel(), place.outbox_schema());
        let mut params: Vec<Param<'_>> = vec![
            (&schema, Type::TEXT),
            (&channel, Type::TEXT),
            (&outbox, Type::TEXT),
            (&rows, Type::INT4),
        ];
        if only.is_some() {
            flags.push("one");
            params.push((&only, Type::UUID));
        }
        let sql = place.render(RELAY, &flags);
        let rows = executor.query(&sql, &params).await?;
        let relayed = rows.iter().map(|row| Relayed {
            event: row.get("event_name"),
            rows: u64::try_from(row.get::<_, i64>("rows")).unwrap_or(0),
            queues: u64::try_from(row.get::<_, i64>("queues")).unwrap_or(0),
        });
        Ok(relayed.collect())
    }

    /// Relays the next row alone and sets it aside if it cannot be; whether there was one, and what became of it.
    async fn single(&self, client: &mut Client, place: &Place) -> Result<Single, Error> {
        let transaction = client.transaction().await?;
        transaction.batch(PLAN).await?;
        let outbox = place.outbox_schema();
        let sql = place.render(NEXT, self.flags());
        let rows = Executor::query(&transaction, &sql, &[(&outbox, Type::TEXT)]).await?;
        let Some(row) = rows.first() else {
            return Ok(Single::None);
        };
        let (id, retries): (Uuid, i32) = (row.get("id"), row.get("retry_count"));
        transaction.batch("SAVEPOINT alone").await?;
        let tried = async {
            let done = self.batch(&transaction, place, 1, Some(id)).await?;
            // What pg-boss checks at the end of a transaction only is this row's fault as well.
            transaction.batch("SET CONSTRAINTS ALL IMMEDIATE").await?;
            Ok(done)
        };
        match tried.await {
            Ok(done) => {
                transaction.commit().await?;
                Ok(Single::Relayed(done))
            }
            Err(error) if is_of_row(&error) => {
                transaction.batch("ROLLBACK TO SAVEPOINT alone").await?;
                let reason = error.to_string();
                let delay = self
                    .backoff
                    .delay(u32::try_from(retries).unwrap_or(0), &mut rand::rng());
                let sql = place.render(SPOIL, &[]);
                let seconds = delay.as_secs_f64();
                let params: [Param<'_>; 4] = [
                    (&outbox, Type::TEXT),
                    (&id, Type::UUID),
                    (&reason, Type::TEXT),
                    (&seconds, Type::FLOAT8),
                ];
                let rows = Executor::query(&transaction, &sql, &params).await?;
                transaction.commit().await?;
                let (status, event) = match rows.first() {
                    Some(row) => (row.get("status"), row.get("event_name")),
                    None => (String::new(), String::new()),
                };
                Ok(Single::Spoilt {
                    id,
                    event,
                    failed: status == "failed",
                    reason,
                })
            }
            Err(error) => Err(error),
        }
    }
}

/// What became of a row that was tried alone.
enum Single {
    None,
    Relayed(Vec<Relayed>),
    Spoilt {
        id: Uuid,
        event: String,
        failed: bool,
        reason: String,
    },
}

/// Whether the row is to blame, and not the database, the role or the schema: then the others of its batch go without it.
fn is_of_row(error: &Error) -> bool {
    match error.class() {
        Class::Data | Class::Conflict => true,
        Class::Permanent => error.code().is_some_and(|code| {
            ["21", "22", "23", "2F", "38", "39", "54", "P0"]
                .iter()
                .any(|class| code.code().starts_with(class))
        }),
        Class::Connection | Class::Transient | Class::Schema => false,
    }
}

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

/// What the making of queues and tables met, as the database said it.
pub(super) fn database_error(error: crate::enqueue::Error) -> Error {
    match error {
        crate::enqueue::Error::Database(error) => error,
        other => Error::Settings(other.to_string()),
    }
}

/// What was counted and what was said.
struct Book {
    metrics: Metrics,
    unhandled: Unhandled,
    names: HashSet<String>,
    warned: BTreeSet<String>,
    trouble: Option<String>,
}

impl Book {
    fn new(metrics: Metrics, unhandled: Unhandled) -> Book {
        Book {
            metrics,
            unhandled,
            names: HashSet::new(),
            warned: BTreeSet::new(),
            trouble: None,
        }
    }

    /// The name as the metrics know it: no more of them than there is room for.
    fn label(&mut self, event: &str) -> String {
        if self.names.len() < NAMES {
            self.names.insert(event.to_owned());
        }
        let known = self.names.contains(event);
        if known { event } else { "other" }.to_owned()
    }

    /// Counts a batch; how many rows it had.
    fn relayed(&mut self, relayed: &[Relayed]) -> u64 {
        self.trouble = None;
        for Relayed { event, rows, queues } in relayed {
            let label = self.label(event);
            let outcome = if *queues == 0 { "unhandled" } else { "relayed" };
            self.metrics
                .event_outbox_relayed
                .with_label_values(&[label.as_str(), outcome])
                .inc_by(*rows);
            if *queues == 0
                && self.unhandled == Unhandled::Complete
                && self.warned.len() < NAMES
                && self.warned.insert(event.clone())
            {
                tracing::warn!(
                    event,
                    "nobody subscribes to this event; its rows are completed (events.unhandled)"
                );
            }
        }
        relayed.iter().map(|relayed| relayed.rows).sum()
    }

    fn spoilt(&mut self, event: &str, failed: bool) {
        let label = self.label(event);
        let outcome = if failed { "failed" } else { "retried" };
        self.metrics
            .event_outbox_relayed
            .with_label_values(&[label.as_str(), outcome])
            .inc();
    }

    /// Says what keeps the outbox from being relayed, once.
    fn trouble(&mut self, error: &Error, schema: &str) {
        let said = error.to_string();
        if self.trouble.as_ref() == Some(&said) {
            return;
        }
        if error.class() == Class::Schema {
            tracing::error!(
                error = said,
                schema,
                "the outbox cannot be relayed; `strawboss events install` creates the tables that are missing"
            );
        } else if error.is_transient() {
            tracing::debug!(error = said, "the outbox could not be relayed; trying again");
        } else {
            tracing::error!(error = said, schema, "the outbox cannot be relayed; trying again");
        }
        self.trouble = Some(said);
    }
}
