//! An event enters: its history and its row of the outbox in one statement, the caller's transaction or one of its own.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Event, Place};
use crate::config::EventsConfig;
use crate::dialect::Template;
use crate::enqueue;
use crate::postgres::{self, Client, Executor, Param};

/// Emits into the outbox.
pub const EMIT: Template = Template(concat!(
    include_str!("emit/event.sql"),
    include_str!("emit/emitted.sql")
));
/// Emits and delivers at once.
pub const PUBLISH: Template = Template(concat!(
    include_str!("emit/event.sql"),
    include_str!("delivery/enter.sql"),
    include_str!("emit/published.sql")
));

/// The most characters of an event's name.
const NAME: usize = 255;

/// Emits events. Cheap to clone.
///
/// ```no_run
/// use std::sync::Arc;
/// use strawboss::config::EventsConfig;
/// use strawboss::dialect::Dialect;
/// use strawboss::events::{EmitOptions, Emitter, Event, Place};
/// use strawboss::home::Home;
/// use strawboss::postgres::{Database, Settings};
///
/// #[derive(serde::Serialize)]
/// #[serde(rename_all = "camelCase")]
/// struct OrderCompleted {
///     order_id: String,
/// }
///
/// impl Event for OrderCompleted {
///     const NAME: &'static str = "payment:order.completed";
/// }
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let database = Database::new(&Settings::parse("postgres://localhost/app")?)?;
/// let mut client = database.client().await?;
/// let dialect = Arc::new(Dialect::read(&client, "pgboss").await?);
/// let place = Place::new(dialect, Home::new("strawboss"), "public");
/// let emitter = Emitter::new(place, &EventsConfig::default());
/// emitter.prepare(&mut client).await?;
///
/// let transaction = client.transaction().await?;
/// // … the app's own statements …
/// let order = OrderCompleted { order_id: "o-1".into() };
/// emitter.emit_event(&transaction, &order, "payment", &EmitOptions::default()).await?;
/// transaction.commit().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Emitter {
    pub(super) place: Place,
    enabled: bool,
    history: bool,
    immediate: bool,
    max_retries: u32,
    max_payload_size: usize,
}

/// What may be said of an event as it is emitted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EmitOptions {
    /// What ties it to others; any text of any length, a new UUID by default.
    pub correlation_id: Option<String>,
    /// Deliver it in this transaction to those who subscribe now, and leave no row in the outbox; false by default. It is as
    /// durable as the transaction; an event that nobody subscribes to leaves nothing but its history.
    pub bypass_outbox: bool,
    /// Deliver it in this transaction, and write its row of the outbox as completed; as the configuration says by default.
    pub immediate: Option<bool>,
}

/// An event that was emitted, once the transaction is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emitted {
    /// The event's own id, `metadata.eventId`.
    pub event_id: Uuid,
    /// Its row of the outbox; with `bypass_outbox` there is none, and the id is what its deliveries and dead letters go by.
    pub outbox_id: Uuid,
    /// Its metadata as JSON text.
    pub metadata: String,
    /// How many queues it was delivered to already; 0 where the relay does that.
    pub queues: u64,
}

/// Why an event was not emitted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The event system is off.
    #[error("the event system is switched off (events.enabled, EVENT_SYSTEM_ENABLED): nothing is emitted")]
    Disabled,
    /// The event's name is empty or too long for its column.
    #[error("an event's name has 1 to 255 characters, and this one has {0}")]
    Name(usize),
    /// The payload is larger than is allowed.
    #[error(
        "the payload has {size} bytes of JSON; at most {limit} are emitted (events.max_payload_size, EVENT_MAX_PAYLOAD_SIZE)"
    )]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The payload or a text is one that PostgreSQL cannot store.
    #[error("the event cannot be stored: {0}")]
    Unstorable(String),
    /// The payload cannot be written as JSON.
    #[error("the payload is no JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// What deliveries need could not be made.
    #[error(transparent)]
    Queue(enqueue::Error),
    /// The database said no, or was not there.
    #[error(transparent)]
    Database(postgres::Error),
}

impl Emitter {
    /// Emits there, as configured; nothing where the event system is switched off.
    pub fn new(place: Place, config: &EventsConfig) -> Emitter {
        Emitter {
            place,
            enabled: !config.switched_off,
            history: config.history,
            immediate: config.immediate,
            max_retries: config.max_retries,
            max_payload_size: config.max_payload_size,
        }
    }

    /// Makes what immediate deliveries need beside the app's tables: our own, and the queue of dead letters. Events that go through
    /// the outbox need none of it.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn prepare(&self, client: &mut Client) -> Result<(), EmitError> {
        self.place.prepare(client).await.map_err(EmitError::Queue)
    }

    /// Emits an event whose type says its name.
    ///
    /// # Errors
    /// As [`Emitter::emit`].
    pub async fn emit_event<T: Event + Serialize>(
        &self,
        executor: &impl Executor,
        event: &T,
        source_module: &str,
        options: &EmitOptions,
    ) -> Result<Emitted, EmitError> {
        let payload = to_raw_value(event)?;
        self.emit(executor, T::NAME, &payload, source_module, options).await
    }

    /// Emits an event, in one statement: on a client that is a transaction of its own, on a transaction a part of it. The payload
    /// goes to the database as the text it is.
    ///
    /// # Errors
    /// A name or a payload that is not taken, before anything is asked of the database; else what it says.
    pub async fn emit(
        &self,
        executor: &impl Executor,
        name: &str,
        payload: &RawValue,
        source_module: &str,
        options: &EmitOptions,
    ) -> Result<Emitted, EmitError> {
        self.check(name, payload)?;
        for (what, text) in [
            ("the source module", Some(source_module)),
            ("the correlation id", options.correlation_id.as_deref()),
        ] {
            if text.is_some_and(|text| text.contains('\0')) {
                return Err(EmitError::Unstorable(format!("{what} contains U+0000")));
            }
        }
        let publish = options.bypass_outbox || options.immediate.unwrap_or(self.immediate);
        let mut flags = Vec::new();
        for (flag, on) in [
            ("history", self.history),
            ("outbox", !options.bypass_outbox),
            ("publish", publish),
        ] {
            if on {
                flags.push(flag);
            }
        }
        let (schema, channel) = (self.place.dialect().schema(), self.place.channel());
        let (outbox_id, event_id) = (Uuid::new_v4(), Uuid::new_v4());
        let retries = i32::try_from(self.max_retries).unwrap_or(i32::MAX);
        let text = payload.get();
        let params: [Param<'_>; 9] = [
            (&schema, Type::TEXT),
            (&channel, Type::TEXT),
            (&outbox_id, Type::UUID),
            (&name, Type::TEXT),
            (&text, Type::TEXT),
            (&event_id, Type::UUID),
            (&source_module, Type::TEXT),
            (&options.correlation_id, Type::TEXT),
            (&retries, Type::INT4),
        ];
        let template = if publish { PUBLISH } else { EMIT };
        let sql = self.place.render(template, &flags);
        let rows = executor.query(&sql, &params).await.map_err(refused)?;
        let row = rows.first();
        Ok(Emitted {
            event_id,
            outbox_id,
            metadata: row.map(|row| row.get("metadata")).unwrap_or_default(),
            queues: row.map_or(0, |row| u64::try_from(row.get::<_, i64>("queues")).unwrap_or(0)),
        })
    }

    /// Looks for what would be refused, so that the caller's transaction is not lost to it.
    pub(super) fn check(&self, name: &str, payload: &RawValue) -> Result<(), EmitError> {
        if !self.enabled {
            return Err(EmitError::Disabled);
        }
        let length = name.chars().count();
        if length == 0 || length > NAME {
            return Err(EmitError::Name(length));
        }
        if name.contains('\0') {
            return Err(EmitError::Unstorable("its name contains U+0000".to_owned()));
        }
        let (size, limit) = (payload.get().len(), self.max_payload_size);
        if size > limit {
            return Err(EmitError::TooLarge { size, limit });
        }
        match enqueue::unstorable(payload.get()) {
            Some(why) => Err(EmitError::Unstorable(why)),
            None => Ok(()),
        }
    }
}

/// What the database's refusal means in terms of the event; its words that quote the payload are left out.
pub(super) fn refused(error: postgres::Error) -> EmitError {
    if let postgres::Error::Postgres(inner) = &error
        && let Some(refusal) = inner.as_db_error()
        && [
            SqlState::UNTRANSLATABLE_CHARACTER,
            SqlState::INVALID_TEXT_REPRESENTATION,
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            SqlState::PROGRAM_LIMIT_EXCEEDED,
        ]
        .contains(refusal.code())
    {
        let detail = refusal
            .detail()
            .map(|detail| format!(" ({detail})"))
            .unwrap_or_default();
        return EmitError::Unstorable(format!("{}{detail}", refusal.message()));
    }
    EmitError::Database(error)
}
