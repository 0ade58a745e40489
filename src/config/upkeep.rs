//! `[upkeep]`: the pace of supervision.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::resolve::Resolver;
use super::{Period, UpkeepConfig};

/// pg-boss refuses intervals above a day, and keeps nothing longer than a year.
const LONGEST: (Duration, u32) = (Duration::from_secs(86_400), 365);

/// pg-boss's own supervision, with its defaults.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Upkeep {
    /// How often a supervisor walks the queues.
    #[schemars(extend("default" = "1m"))]
    supervise_interval: Option<Period>,
    /// How old the last look at a queue has to be for its jobs to be counted and the expired ones to be failed. Schema 24
    /// knows one such time for all queues, which has to be twice as old.
    #[schemars(extend("default" = "1m"))]
    monitor_interval: Option<Period>,
    /// How often jobs past their retention are deleted from a queue.
    #[schemars(extend("default" = "1d"))]
    maintenance_interval: Option<Period>,
    /// The most that what is known of a queue may lag behind its row, as in pg-boss. A worker remembers no row for longer than
    /// a poll interval, so that it keeps any value; it shows in the registry of instances.
    #[schemars(extend("default" = "1m"))]
    queue_cache_interval: Option<Period>,
    /// How often the children of finished parents are released (schema 33 and later).
    #[schemars(extend("default" = "1s"))]
    flow_interval: Option<Period>,
    /// Keep warnings in the table `warning` (schema 29 and later).
    #[schemars(extend("default" = false))]
    persist_warnings: Option<bool>,
    /// How long warnings are kept, in days.
    #[schemars(range(min = 1, max = 365), extend("default" = 30))]
    warning_retention_days: Option<u32>,
    /// Keep a history of the queues' counts in the table `queue_stats` (schema 35 and later).
    #[schemars(extend("default" = false))]
    persist_queue_stats: Option<bool>,
    /// How long that history is kept, in days.
    #[schemars(range(min = 1, max = 365), extend("default" = 7))]
    queue_stat_retention_days: Option<u32>,
}

impl Upkeep {
    pub(super) fn resolve(self, resolver: &mut Resolver<'_>) -> UpkeepConfig {
        let default = UpkeepConfig::default();
        let mut interval = |name: &str, written: Option<Period>, default| {
            let key = format!("upkeep.{name}");
            if let Some(period) = written {
                resolver.at_least(&key, period, Duration::from_secs(1));
                if period.0 > LONGEST.0 {
                    resolver.error(&key, format!("must be at most {}", Period(LONGEST.0)));
                }
            }
            resolver.period(&key, written, default)
        };
        let supervise_interval = interval(
            "supervise_interval",
            self.supervise_interval,
            default.supervise_interval,
        );
        let monitor_interval = interval("monitor_interval", self.monitor_interval, default.monitor_interval);
        let maintenance_interval = interval(
            "maintenance_interval",
            self.maintenance_interval,
            default.maintenance_interval,
        );
        let queue_cache_interval = interval(
            "queue_cache_interval",
            self.queue_cache_interval,
            default.queue_cache_interval,
        );
        let flow_interval = interval("flow_interval", self.flow_interval, default.flow_interval);
        let mut days = |name: &str, written: Option<u32>, default| {
            let key = format!("upkeep.{name}");
            match written {
                Some(0) => resolver.error(&key, "must be at least 1"),
                Some(days) if days > LONGEST.1 => resolver.error(&key, format!("must be at most {}", LONGEST.1)),
                _ => {}
            }
            resolver.pick(&key, written, || default)
        };
        let warning_retention_days = days(
            "warning_retention_days",
            self.warning_retention_days,
            default.warning_retention_days,
        );
        let queue_stat_retention_days = days(
            "queue_stat_retention_days",
            self.queue_stat_retention_days,
            default.queue_stat_retention_days,
        );
        let mut flag = |name: &str, written, default| resolver.pick(&format!("upkeep.{name}"), written, || default);
        UpkeepConfig {
            supervise_interval,
            monitor_interval,
            maintenance_interval,
            queue_cache_interval,
            flow_interval,
            persist_warnings: flag("persist_warnings", self.persist_warnings, default.persist_warnings),
            warning_retention_days,
            persist_queue_stats: flag(
                "persist_queue_stats",
                self.persist_queue_stats,
                default.persist_queue_stats,
            ),
            queue_stat_retention_days,
        }
    }
}
