//! `[events]` and `[[events.handler]]`, and the variables `EVENT_*` that go behind the file and before the defaults.

mod written;

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::HandlerConfig;
pub(super) use written::Events;

/// `[events]`: the outbox, its relay, and what holds for handlers that do not say otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct EventsConfig {
    /// Relay, emit and run handlers of events. On in a file with a section `[events]`, off otherwise;
    /// `EVENT_SYSTEM_ENABLED`.
    pub enabled: bool,
    /// Somebody said `enabled = false` or `EVENT_SYSTEM_ENABLED=false`, which is worth a word.
    pub switched_off: bool,
    /// The schema of the app's event tables, unquoted; `public` by default.
    pub outbox_schema: String,
    /// What becomes of an event that nobody subscribes to.
    pub unhandled: Unhandled,
    /// How often the outbox is looked at, notifications aside; 5 s by default, `EVENT_OUTBOX_POLLING_INTERVAL`.
    pub polling_interval: Duration,
    /// Rows relayed in one transaction; 500 by default.
    pub batch_size: usize,
    /// `max_retries` of the rows that are emitted here; 3 by default, `EVENT_DEFAULT_MAX_RETRIES`.
    pub max_retries: u32,
    /// The wait before the first retry; 1 s by default, `EVENT_DEFAULT_BACKOFF_MS`.
    pub backoff: Duration,
    /// Whether it doubles; true by default, `EVENT_EXPONENTIAL_BACKOFF`.
    pub exponential: bool,
    /// Whether it is spread by a tenth; true by default, `EVENT_BACKOFF_JITTER`.
    pub jitter: bool,
    /// What one run of a handler may take; 30 s by default, `EVENT_DEFAULT_TIMEOUT`.
    pub timeout: Duration,
    /// The largest payload that is emitted, in bytes of JSON; 1 MiB by default, `EVENT_MAX_PAYLOAD_SIZE`.
    pub max_payload_size: usize,
    /// Keep what is emitted in `event_history`; true by default, `EVENT_HISTORY_ENABLED`.
    pub history: bool,
    /// Deliver in the transaction that emits; false by default, `EVENT_IMMEDIATE_PROCESSING`.
    pub immediate: bool,
    /// Failures within the window that open a handler's circuit; 5 by default, 0 never opens it;
    /// `EVENT_CIRCUIT_BREAKER_THRESHOLD`.
    pub circuit_threshold: u32,
    /// How far back failures count; 60 s by default, `EVENT_CIRCUIT_BREAKER_TIME_WINDOW`.
    pub circuit_window: Duration,
    /// How long an open circuit waits before it probes; 30 s by default, `EVENT_CIRCUIT_BREAKER_RECOVERY_TIMEOUT`.
    pub circuit_recovery: Duration,
    /// How long a row of the outbox may be `processing`, unchanged, before it counts as left by a dead worker; 30 minutes
    /// by default.
    pub stuck_after: Duration,
    /// What becomes of such a row.
    pub stuck: Stuck,
    /// The handlers, in the order of the file.
    pub handlers: Vec<EventHandlerConfig>,
}

/// What becomes of an event that nobody subscribes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unhandled {
    /// Its row is completed, counted, and warned of once per name.
    #[default]
    Complete,
    /// Its row stays pending until somebody subscribes.
    Hold,
}

/// What becomes of a row that a dead worker left in `processing`: it does not say whether its handlers ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stuck {
    /// It is relayed; what has run may run again, unless the log of idempotency keys knows it.
    #[default]
    Requeue,
    /// It goes to `event_dead_letter`, to be looked at and replayed by hand.
    DeadLetter,
}

/// `[[events.handler]]`
#[derive(Debug, Clone, PartialEq)]
pub struct EventHandlerConfig {
    /// The event's name.
    pub event: String,
    /// The module the handler belongs to.
    pub module: String,
    /// The handler's stable name; `module-event` where not said.
    pub handler_id: Option<String>,
    /// What makes two events the same, with `{{…}}` for fields of the event; its id where not said.
    pub idempotency_key: Option<String>,
    /// What one run may take.
    pub timeout: Duration,
    /// Run it after the sequential handlers of the event that come before it.
    pub sequential: bool,
    /// `retry_limit` of its deliveries; `max_retries` of the row of the outbox where not said.
    pub max_attempts: Option<u32>,
    /// The wait before the first retry.
    pub backoff: Duration,
    /// Whether it doubles from retry to retry.
    pub exponential: bool,
    /// Whether it is spread by a tenth.
    pub jitter: bool,
    /// A JSON Schema file that the payload must satisfy; relative names are from the file's directory.
    pub schema: Option<PathBuf>,
    /// What runs it.
    pub handler: HandlerConfig,
}

impl Default for EventsConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            switched_off: false,
            outbox_schema: "public".to_owned(),
            unhandled: Unhandled::default(),
            polling_interval: Duration::from_secs(5),
            batch_size: 500,
            max_retries: 3,
            backoff: Duration::from_secs(1),
            exponential: true,
            jitter: true,
            timeout: Duration::from_secs(30),
            max_payload_size: 1 << 20,
            history: true,
            immediate: false,
            circuit_threshold: 5,
            circuit_window: Duration::from_secs(60),
            circuit_recovery: Duration::from_secs(30),
            stuck_after: Duration::from_secs(30 * 60),
            stuck: Stuck::default(),
            handlers: Vec::new(),
        }
    }
}
