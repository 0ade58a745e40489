//! Sections for work this release does not do. They are read and validated like all others, so that a file written
//! for a later release is understood; what asks for that work is refused, never silently ignored.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Period;
use super::file::File;
use super::resolve::Resolver;
use super::secret::Secrets;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cron {
    /// How often schedules are looked at, at most 45 s.
    #[schemars(extend("default" = "30s"))]
    monitor_interval: Option<Period>,
    /// How often due schedules are forwarded to their queues.
    #[schemars(extend("default" = "5s"))]
    worker_interval: Option<Period>,
    /// How often the clocks are compared, at most 10 minutes.
    #[schemars(extend("default" = "10m"))]
    clock_interval: Option<Period>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Events {
    /// Relay the outbox. Not in this release.
    #[schemars(extend("default" = false))]
    enabled: Option<bool>,
    /// The schema of the app's event tables.
    #[schemars(extend("default" = "public"))]
    outbox_schema: Option<String>,
    /// What becomes of an event that nobody subscribes to.
    #[schemars(extend("enum" = ["complete", "hold"], "default" = "complete"))]
    unhandled: Option<String>,
    /// Handlers, each with its own subscription and queue.
    #[serde(default)]
    handler: Vec<EventHandler>,
}

#[expect(dead_code, reason = "their types are all this release looks at")]
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
    /// A JSON Schema file that the payload must satisfy.
    schema: Option<String>,
}

#[expect(dead_code, reason = "their types are all this release looks at")]
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EventRetry {
    /// Attempts in all.
    #[schemars(range(min = 1))]
    max_attempts: Option<u32>,
    /// The delay before the first retry.
    backoff: Option<Period>,
    /// Double the delay from retry to retry.
    exponential: Option<bool>,
    /// Spread the delay by a tenth.
    jitter: Option<bool>,
}

#[expect(dead_code, reason = "their types are all this release looks at")]
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Schedule {
    /// The queue it sends to.
    queue: String,
    /// Tells several schedules of a queue apart.
    key: Option<String>,
    /// A cron expression.
    cron: Option<String>,
    /// An RFC 5545 recurrence, instead of cron.
    rrule: Option<String>,
    /// The zone the expression is meant in; UTC where not said.
    timezone: Option<String>,
    /// The job's payload.
    data: Option<BTreeMap<String, serde_json::Value>>,
    /// Options of the job, as in `send`.
    options: Option<BTreeMap<String, serde_json::Value>>,
}

impl File {
    /// Validates the sections above and refuses what asks for work that is not there.
    pub(super) fn later(&self, resolver: &mut Resolver<'_>) {
        self.cron.check(resolver);
        self.events.check(resolver);
        if self.worker.schedule == Some(true) {
            let key = "worker.schedule";
            resolver.error(
                key,
                "this release does not fire schedules; leave the key out and let a Node pg-boss with `schedule: true` fire them",
            );
        }
        if !self.schedules.is_empty() {
            resolver.error(
                "schedules",
                "[[schedules]]: this release does not fire schedules; remove them, and let a Node pg-boss keep them",
            );
        }
        for (n, schedule) in self.schedules.iter().enumerate() {
            schedule.check(resolver, &format!("schedules[{n}]"));
        }
    }
}

impl Cron {
    fn check(&self, resolver: &mut Resolver<'_>) {
        for (name, written, most) in [
            ("monitor_interval", self.monitor_interval, 45),
            ("worker_interval", self.worker_interval, 45),
            ("clock_interval", self.clock_interval, 600),
        ] {
            if let Some(period) = written {
                let key = format!("cron.{name}");
                resolver.at_least(&key, period, Duration::from_secs(1));
                if period.0 > Duration::from_secs(most) {
                    resolver.error(&key, format!("must be at most {}", Period(Duration::from_secs(most))));
                }
            }
        }
    }
}

impl Events {
    fn check(&self, resolver: &mut Resolver<'_>) {
        if self.outbox_schema.as_deref().is_some_and(str::is_empty) {
            resolver.error("events.outbox_schema", "must not be empty");
        }
        if let Some(unhandled) = &self.unhandled
            && !matches!(unhandled.as_str(), "complete" | "hold")
        {
            resolver.error(
                "events.unhandled",
                format!("must be \"complete\" or \"hold\", not {unhandled:?}"),
            );
        }
        for (n, handler) in self.handler.iter().enumerate() {
            handler.check(resolver, &format!("events.handler[{n}]"));
        }
        if self.enabled == Some(true) {
            resolver.error(
                "events.enabled",
                "[events] enabled = true: this release does not relay events yet; set it to false and let the app's own worker do it",
            );
        }
    }
}

impl EventHandler {
    fn check(&self, resolver: &mut Resolver<'_>, key: &str) {
        if self.event.is_empty() || self.event.chars().count() > 255 {
            resolver.error(&format!("{key}.event"), "must have 1 to 255 characters");
        }
        for (name, text) in [("module", Some(&self.module)), ("handler_id", self.handler_id.as_ref())] {
            if text.is_some_and(String::is_empty) {
                resolver.error(&format!("{key}.{name}"), "must not be empty");
            }
        }
        for (name, text) in [("idempotency_key", &self.idempotency_key), ("schema", &self.schema)] {
            if text.as_ref().is_some_and(String::is_empty) {
                resolver.error(&format!("{key}.{name}"), "must not be empty");
            }
        }
        if let Some(period) = self.timeout {
            resolver.at_least(&format!("{key}.timeout"), period, Duration::from_millis(1));
        }
        if let Some(retry) = &self.retry
            && retry.max_attempts == Some(0)
        {
            resolver.error(&format!("{key}.retry.max_attempts"), "must be at least 1");
        }
        match &self.http {
            Some(url) => resolver.url(&format!("{key}.http"), url),
            None => resolver.error(key, "needs something to run it: http = \"https://…\""),
        }
        if let Some(secrets) = &self.secret {
            resolver.secrets(&format!("{key}.secret"), secrets);
        }
    }
}

impl Schedule {
    fn check(&self, resolver: &mut Resolver<'_>, key: &str) {
        if self.queue.is_empty() {
            resolver.error(&format!("{key}.queue"), "must not be empty");
        }
        match (&self.cron, &self.rrule) {
            (Some(_), Some(_)) => resolver.error(key, "has both cron and rrule; keep one"),
            (None, None) => resolver.error(key, "needs cron = \"…\" or rrule = \"…\""),
            (Some(text), None) | (None, Some(text)) if text.trim().is_empty() => {
                resolver.error(key, "its expression must not be empty");
            }
            _ => {}
        }
        if self.timezone.as_deref().is_some_and(str::is_empty) {
            resolver.error(&format!("{key}.timezone"), "must not be empty");
        }
    }
}
