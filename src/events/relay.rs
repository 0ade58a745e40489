//! Moves pending rows of the outbox to the queues that are subscribed to their events, one transaction a batch.

mod book;
mod servant;

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Backoff, Place};
use crate::config::{EventsConfig, Unhandled};
use crate::dialect::Template;
use crate::postgres::{Class, Client, Error, Executor, Param};

pub use servant::Relay;

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
