//! `[cron]` and `[[schedules]]`.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::resolve::Resolver;
use super::{CronConfig, Period, ScheduleConfig, default};
use crate::schedule::{CronVersion, Recurrence, Zones};

/// The longest interval between two passes: an occurrence stays due for a minute.
const LONGEST: Duration = Duration::from_secs(45);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cron {
    /// How often schedules are looked at, at most 45 s.
    #[schemars(extend("default" = "30s"))]
    monitor_interval: Option<Period>,
    /// How often due schedules are forwarded to their queues, at most 45 s.
    #[schemars(extend("default" = "5s"))]
    worker_interval: Option<Period>,
    /// How often the clocks are compared, at most 10 minutes.
    #[schemars(extend("default" = "10m"))]
    clock_interval: Option<Period>,
    /// How long what became of occurrences is remembered.
    #[schemars(extend("default" = "30d"))]
    ledger_retention: Option<Period>,
    /// The directory of the time zones; where not said `TZDIR`, the system's, or those built in, whichever are newer.
    zoneinfo: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Schedule {
    /// The queue it sends to.
    queue: String,
    /// Tells several schedules of a queue apart (schema 25 and later).
    key: Option<String>,
    /// A cron expression.
    cron: Option<String>,
    /// An RFC 5545 recurrence, instead of cron (schema 41 and later).
    rrule: Option<String>,
    /// The zone the expression is meant in; UTC where not said.
    timezone: Option<String>,
    /// The job's payload.
    data: Option<Map<String, Value>>,
    /// Options of the job in pg-boss's spelling, as in `send`.
    options: Option<Map<String, Value>>,
    /// What is done when nobody looked while it was due: `skip`, or `once` for the last one missed (schema 41 and later).
    #[schemars(extend("enum" = ["skip", "once"], "default" = "skip"))]
    missed: Option<String>,
    /// Catch up as many missed runs, the latest, with the occurrence in the job's data.
    #[schemars(range(min = 0, max = 10_000), extend("default" = 0))]
    catch_up: Option<u32>,
}

impl Cron {
    pub(super) fn resolve(self, resolver: &mut Resolver<'_>) -> CronConfig {
        let usual = CronConfig::default();
        for (name, written, most) in [
            ("monitor_interval", self.monitor_interval, LONGEST),
            ("worker_interval", self.worker_interval, LONGEST),
            ("clock_interval", self.clock_interval, default::CLOCK_INTERVAL),
        ] {
            if let Some(period) = written {
                let key = format!("cron.{name}");
                resolver.at_least(&key, period, Duration::from_secs(1));
                if period.0 > most {
                    resolver.error(&key, format!("must be at most {}", Period(most)));
                }
            }
        }
        if let Some(period) = self.ledger_retention {
            resolver.at_least("cron.ledger_retention", period, Duration::from_secs(60));
        }
        let zoneinfo = self.zoneinfo.filter(|directory| !directory.is_empty());
        resolver.pick("cron.zoneinfo", zoneinfo.clone(), || "(the newest there is)".to_owned());
        CronConfig {
            monitor_interval: resolver.period("cron.monitor_interval", self.monitor_interval, usual.monitor_interval),
            worker_interval: resolver.period("cron.worker_interval", self.worker_interval, usual.worker_interval),
            clock_interval: resolver.period("cron.clock_interval", self.clock_interval, usual.clock_interval),
            ledger_retention: resolver.period("cron.ledger_retention", self.ledger_retention, usual.ledger_retention),
            zoneinfo: zoneinfo.map(PathBuf::from),
        }
    }
}

impl Schedule {
    pub(super) fn resolve(self, resolver: &mut Resolver<'_>, key: &str, zones: Option<&Zones>) -> ScheduleConfig {
        if self.queue.is_empty() {
            resolver.error(&format!("{key}.queue"), "must not be empty");
        }
        let text = match (&self.cron, &self.rrule) {
            (Some(_), Some(_)) => {
                resolver.error(key, "has both cron and rrule; keep one");
                None
            }
            (None, None) => {
                resolver.error(key, "needs cron = \"…\" or rrule = \"…\"");
                None
            }
            (Some(text), None) | (None, Some(text)) if text.trim().is_empty() => {
                resolver.error(key, "its expression must not be empty");
                None
            }
            (Some(text), None) | (None, Some(text)) => Some(text.clone()),
        };
        if self.timezone.as_deref().is_some_and(str::is_empty) {
            resolver.error(&format!("{key}.timezone"), "must not be empty");
        }
        if let (Some(text), Some(zones)) = (&text, zones) {
            let zone = self
                .timezone
                .as_deref()
                .filter(|zone| !zone.is_empty())
                .unwrap_or("UTC");
            // Which pg-boss will read it is not known yet; what none of them takes is wrong.
            let read = |version| Recurrence::parse(text, zone, zones, version, "");
            if let Err(error) = read(CronVersion::Five)
                && read(CronVersion::Four).is_err()
            {
                resolver.error(key, error.to_string());
            }
        }
        if self
            .missed
            .as_deref()
            .is_some_and(|missed| !matches!(missed, "skip" | "once"))
        {
            resolver.error(&format!("{key}.missed"), "must be \"skip\" or \"once\"");
        }
        if self.catch_up.is_some_and(|runs| runs > 10_000) {
            resolver.error(&format!("{key}.catch_up"), "must be at most 10000");
        }
        ScheduleConfig {
            queue: self.queue,
            key: self.key.unwrap_or_default(),
            cron: text.unwrap_or_default(),
            timezone: self.timezone,
            data: self.data.and_then(|data| serde_json::value::to_raw_value(&data).ok()),
            options: self.options.unwrap_or_default(),
            missed_once: self.missed.as_deref() == Some("once"),
            catch_up: self.catch_up.unwrap_or(0),
        }
    }
}
