//! The section as it is written, and what holds then: the file, else the variables `EVENT_*`, else the defaults.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{EventHandlerConfig, EventsConfig, Stuck, Unhandled};
use crate::config::Period;
use crate::config::file::Handler;
use crate::config::origin::Origin;
use crate::config::resolve::Resolver;
use crate::config::secret::{Secret, Secrets};
use crate::schema::check_name;

/// `[events]` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Events {
    /// Relay, emit and run handlers of events; on where this section is there. `EVENT_SYSTEM_ENABLED` where not said.
    enabled: Option<bool>,
    /// The schema of the app's event tables.
    #[schemars(extend("default" = "public"))]
    outbox_schema: Option<String>,
    /// What becomes of an event that nobody subscribes to: `complete`, or `hold` it in the outbox.
    #[schemars(extend("enum" = ["complete", "hold"], "default" = "complete"))]
    unhandled: Option<String>,
    /// How often the outbox is looked at, notifications aside. `EVENT_OUTBOX_POLLING_INTERVAL` (ms) where not said.
    #[schemars(extend("default" = "5s"))]
    polling_interval: Option<Period>,
    /// Rows relayed in one transaction.
    #[schemars(range(min = 1), extend("default" = 500))]
    batch_size: Option<usize>,
    /// `max_retries` of what is emitted here. `EVENT_DEFAULT_MAX_RETRIES` where not said.
    #[schemars(extend("default" = 3))]
    max_retries: Option<u32>,
    /// The wait before the first retry. `EVENT_DEFAULT_BACKOFF_MS` where not said.
    #[schemars(extend("default" = "1s"))]
    backoff: Option<Period>,
    /// Double the wait from retry to retry, up to 60 s. `EVENT_EXPONENTIAL_BACKOFF` where not said.
    #[schemars(extend("default" = true))]
    exponential: Option<bool>,
    /// Spread the wait by a tenth. `EVENT_BACKOFF_JITTER` where not said.
    #[schemars(extend("default" = true))]
    jitter: Option<bool>,
    /// What one run of a handler may take. `EVENT_DEFAULT_TIMEOUT` (ms) where not said.
    #[schemars(extend("default" = "30s"))]
    timeout: Option<Period>,
    /// The largest payload that is emitted, in bytes. `EVENT_MAX_PAYLOAD_SIZE` where not said.
    #[schemars(range(min = 1), extend("default" = 1_048_576))]
    max_payload_size: Option<usize>,
    /// Keep what is emitted in `event_history`. `EVENT_HISTORY_ENABLED` where not said.
    #[schemars(extend("default" = true))]
    history: Option<bool>,
    /// Deliver in the transaction that emits. `EVENT_IMMEDIATE_PROCESSING` where not said.
    #[schemars(extend("default" = false))]
    immediate: Option<bool>,
    /// When the circuit of a handler opens, and for how long.
    #[serde(default)]
    circuit: CircuitBreaker,
    /// How long a row may be `processing` before it counts as left by a dead worker.
    #[schemars(extend("default" = "30m"))]
    stuck_after: Option<Period>,
    /// What becomes of such a row: `requeue` or `dead_letter`.
    #[schemars(extend("enum" = ["requeue", "dead_letter"], "default" = "requeue"))]
    stuck: Option<String>,
    /// Handlers, each with its own subscription and queue.
    #[serde(default)]
    handler: Vec<EventHandler>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CircuitBreaker {
    /// Failures within the window that open it; 0 never does. `EVENT_CIRCUIT_BREAKER_THRESHOLD` where not said.
    #[schemars(extend("default" = 5))]
    threshold: Option<u32>,
    /// How far back failures count. `EVENT_CIRCUIT_BREAKER_TIME_WINDOW` (ms) where not said.
    #[schemars(extend("default" = "60s"))]
    window: Option<Period>,
    /// How long it is open before it probes. `EVENT_CIRCUIT_BREAKER_RECOVERY_TIMEOUT` (ms) where not said.
    #[schemars(extend("default" = "30s"))]
    recovery: Option<Period>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EventHandler {
    /// The event's name.
    event: String,
    /// The module the handler belongs to.
    module: String,
    /// The handler's stable name; `module-event` where not said.
    handler_id: Option<String>,
    /// What makes two events the same, with `{{…}}` for fields of the event; its id where not said.
    idempotency_key: Option<String>,
    /// What one run may take.
    timeout: Option<Period>,
    /// Run the handlers of this event one after another.
    sequential: Option<bool>,
    /// When and how often it is tried again.
    retry: Option<EventRetry>,
    /// `POST` the event to this URL.
    http: Option<String>,
    /// The key of the signature, or several of which the first is the newest.
    secret: Option<Secrets>,
    /// Sent along with every request.
    headers: Option<BTreeMap<String, Secret>>,
    /// What is read of an answer, in bytes.
    #[schemars(range(min = 1))]
    max_response_bytes: Option<usize>,
    /// Run this program, without a shell.
    exec: Option<Vec<String>>,
    /// Where it runs.
    working_dir: Option<String>,
    /// Variables added to the worker's own.
    env: Option<BTreeMap<String, Secret>>,
    /// Complete at once.
    noop: Option<bool>,
    /// Log the delivery's id and complete.
    log: Option<bool>,
    /// A JSON Schema file that the payload must satisfy.
    schema: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EventRetry {
    /// `retry_limit` of its deliveries: how often one is run again after its first run failed.
    #[schemars(range(min = 1))]
    max_attempts: Option<u32>,
    /// The delay before the first retry.
    backoff: Option<Period>,
    /// Double the delay from retry to retry.
    exponential: Option<bool>,
    /// Spread the delay by a tenth.
    jitter: Option<bool>,
}

/// A value of the environment as people write it there: milliseconds, counts, `true` and `false`.
trait Variable: Sized + Display + Copy {
    fn read(text: &str) -> Result<Self, &'static str>;
}

impl Variable for bool {
    fn read(text: &str) -> Result<bool, &'static str> {
        match text.trim() {
            text if text.eq_ignore_ascii_case("true") => Ok(true),
            text if text.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err("neither true nor false"),
        }
    }
}

impl Variable for u32 {
    fn read(text: &str) -> Result<u32, &'static str> {
        // The column it goes to is a signed one.
        let fits = |number: &u32| i32::try_from(*number).is_ok();
        text.trim()
            .parse()
            .ok()
            .filter(fits)
            .ok_or("no whole number that is not negative")
    }
}

impl Variable for usize {
    fn read(text: &str) -> Result<usize, &'static str> {
        text.trim().parse().map_err(|_| "no whole number of bytes")
    }
}

impl Variable for Period {
    fn read(text: &str) -> Result<Period, &'static str> {
        let millis = text
            .trim()
            .parse::<u32>()
            .map_err(|_| "no whole number of milliseconds")?;
        Ok(Period(Duration::from_millis(millis.into())))
    }
}

/// The file's word, else the variable's, else the default. A variable that cannot be read is refused in any case.
fn settle<T>(
    resolver: &mut Resolver<'_>,
    key: &str,
    written: Option<T>,
    variable: &'static str,
    least: Option<T>,
    default: T,
) -> T
where
    T: Variable + PartialOrd,
{
    let said = resolver.variable(variable).map(|text| (T::read(&text), text));
    let said = match said {
        Some((Ok(value), _)) => Some(value),
        Some((Err(why), text)) => {
            resolver.error(variable, format!("{text:?} is {why}"));
            None
        }
        None => None,
    };
    for (at, value) in [(key, written), (variable, said)] {
        if let (Some(value), Some(least)) = (value, least)
            && value < least
        {
            resolver.error(at, format!("must be at least {least}"));
        }
    }
    match (written, said) {
        (None, Some(value)) => {
            resolver.note(key, value, Origin::Environment(variable.to_owned()));
            value
        }
        (written, _) => resolver.pick(key, written, || default),
    }
}

impl Events {
    pub(in crate::config) fn resolve(self, resolver: &mut Resolver<'_>) -> EventsConfig {
        let r = resolver;
        let default = EventsConfig::default();
        let there = r.mentions("events");
        let said = self.enabled.is_some() || r.variable("EVENT_SYSTEM_ENABLED").is_some();
        let enabled = settle(r, "events.enabled", self.enabled, "EVENT_SYSTEM_ENABLED", None, there);
        let key = "events.outbox_schema";
        let outbox_schema = r.pick(key, self.outbox_schema, || default.outbox_schema.clone());
        if let Err(problem) = check_name(&outbox_schema) {
            r.error(key, problem);
        }
        let unhandled = match word(r, "events.unhandled", self.unhandled, ["complete", "hold"]) {
            "hold" => Unhandled::Hold,
            _ => Unhandled::Complete,
        };
        let stuck = match word(r, "events.stuck", self.stuck, ["requeue", "dead_letter"]) {
            "dead_letter" => Stuck::DeadLetter,
            _ => Stuck::Requeue,
        };
        let instant = Some(Period(Duration::from_millis(1)));
        let period = |r: &mut Resolver<'_>, key: &str, written, variable, least, default| {
            settle(r, &format!("events.{key}"), written, variable, least, Period(default)).0
        };
        let resolved = EventsConfig {
            enabled,
            switched_off: said && !enabled,
            outbox_schema,
            unhandled,
            polling_interval: period(
                r,
                "polling_interval",
                self.polling_interval,
                "EVENT_OUTBOX_POLLING_INTERVAL",
                instant,
                default.polling_interval,
            ),
            batch_size: r.count("events.batch_size", self.batch_size, default.batch_size),
            max_retries: settle(
                r,
                "events.max_retries",
                self.max_retries,
                "EVENT_DEFAULT_MAX_RETRIES",
                None,
                default.max_retries,
            ),
            backoff: period(
                r,
                "backoff",
                self.backoff,
                "EVENT_DEFAULT_BACKOFF_MS",
                None,
                default.backoff,
            ),
            exponential: settle(
                r,
                "events.exponential",
                self.exponential,
                "EVENT_EXPONENTIAL_BACKOFF",
                None,
                default.exponential,
            ),
            jitter: settle(
                r,
                "events.jitter",
                self.jitter,
                "EVENT_BACKOFF_JITTER",
                None,
                default.jitter,
            ),
            timeout: period(
                r,
                "timeout",
                self.timeout,
                "EVENT_DEFAULT_TIMEOUT",
                instant,
                default.timeout,
            ),
            max_payload_size: settle(
                r,
                "events.max_payload_size",
                self.max_payload_size,
                "EVENT_MAX_PAYLOAD_SIZE",
                Some(1),
                default.max_payload_size,
            ),
            history: settle(
                r,
                "events.history",
                self.history,
                "EVENT_HISTORY_ENABLED",
                None,
                default.history,
            ),
            immediate: settle(
                r,
                "events.immediate",
                self.immediate,
                "EVENT_IMMEDIATE_PROCESSING",
                None,
                default.immediate,
            ),
            circuit_threshold: settle(
                r,
                "events.circuit.threshold",
                self.circuit.threshold,
                "EVENT_CIRCUIT_BREAKER_THRESHOLD",
                None,
                default.circuit_threshold,
            ),
            circuit_window: period(
                r,
                "circuit.window",
                self.circuit.window,
                "EVENT_CIRCUIT_BREAKER_TIME_WINDOW",
                instant,
                default.circuit_window,
            ),
            circuit_recovery: period(
                r,
                "circuit.recovery",
                self.circuit.recovery,
                "EVENT_CIRCUIT_BREAKER_RECOVERY_TIMEOUT",
                instant,
                default.circuit_recovery,
            ),
            stuck_after: r.period("events.stuck_after", self.stuck_after, default.stuck_after),
            stuck,
            handlers: Vec::new(),
        };
        if let Some(period) = self.stuck_after {
            r.at_least("events.stuck_after", period, Duration::from_secs(1));
        }
        if !there && !enabled {
            // Nobody speaks of events, so nobody wants to read what would hold.
            r.forget_defaults("events.");
        }
        let handlers = self.handler.into_iter().enumerate();
        let handlers = handlers
            .filter_map(|(n, handler)| handler.resolve(r, &format!("events.handler[{n}]"), &resolved))
            .collect();
        EventsConfig { handlers, ..resolved }
    }
}

/// One of two words, the first by default.
fn word(resolver: &mut Resolver<'_>, key: &str, written: Option<String>, known: [&'static str; 2]) -> &'static str {
    let found = match &written {
        None => Some(known[0]),
        Some(text) => known.into_iter().find(|known| known == text),
    };
    if let (None, Some(text)) = (found, &written) {
        resolver.error(key, format!("must be {:?} or {:?}, not {text:?}", known[0], known[1]));
    }
    resolver.pick(key, written.and(found), || known[0])
}

impl EventHandler {
    fn resolve(self, resolver: &mut Resolver<'_>, key: &str, events: &EventsConfig) -> Option<EventHandlerConfig> {
        let at = |name: &str| format!("{key}.{name}");
        if self.event.is_empty() || self.event.chars().count() > 255 {
            resolver.error(&at("event"), "must have 1 to 255 characters");
        }
        for (name, text) in [
            ("module", Some(&self.module)),
            ("handler_id", self.handler_id.as_ref()),
            ("idempotency_key", self.idempotency_key.as_ref()),
            ("schema", self.schema.as_ref()),
        ] {
            if text.is_some_and(String::is_empty) {
                resolver.error(&at(name), "must not be empty");
            }
        }
        if let Some(period) = self.timeout {
            resolver.at_least(&at("timeout"), period, Duration::from_millis(1));
        }
        let retry = self.retry.unwrap_or_default();
        if retry.max_attempts == Some(0) {
            resolver.error(&at("retry.max_attempts"), "must be at least 1");
        }
        let origin = resolver.written(key);
        resolver.note(&at("event"), &self.event, origin);
        let timeout = self.timeout.map_or(events.timeout, |period| period.0);
        let handler = Handler {
            http: self.http,
            exec: self.exec,
            noop: self.noop,
            log: self.log,
            timeout: Some(Period(timeout)),
            secret: self.secret,
            headers: self.headers,
            max_response_bytes: self.max_response_bytes,
            working_dir: self.working_dir,
            env: self.env,
        };
        Some(EventHandlerConfig {
            handler: handler.resolve(resolver, key)?,
            event: self.event,
            module: self.module,
            handler_id: self.handler_id,
            idempotency_key: self.idempotency_key,
            timeout,
            sequential: self.sequential.unwrap_or_default(),
            max_attempts: retry.max_attempts,
            backoff: retry.backoff.map_or(events.backoff, |period| period.0),
            exponential: retry.exponential.unwrap_or(events.exponential),
            jitter: retry.jitter.unwrap_or(events.jitter),
            schema: self.schema.map(|schema| resolver.beside(&schema)),
        })
    }
}
