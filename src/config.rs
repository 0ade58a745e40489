//! What the worker is told: typed and validated configuration, and where each value of it came from.
//!
//! [`read`] takes a TOML file, the environment and the command line's word for the database, and gives a [`Report`]:
//! the [`Config`], the origin of every value, and every [`Finding`] at once. A flag goes before the environment, the
//! environment before the file, the file before the defaults documented here.

mod api;
mod default;
mod events;
mod file;
mod finding;
mod origin;
mod period;
mod placeholder;
mod queue;
mod read;
mod resolve;
mod schedule;
mod schema;
mod secret;
mod tree;
mod upkeep;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use api::{ApiConfig, BasicAuth, CorsConfig, PagesConfig};
pub use events::{EventHandlerConfig, EventsConfig, Stuck, Unhandled};
pub use finding::{Finding, Refused, Severity};
pub(crate) use origin::dotted;
pub use origin::{Origin, Place, Setting};
pub use period::Period;
pub use read::{Report, Request, read};
pub use schema::json_schema;
pub use secret::{Secret, shown_url};

use crate::job::RawJson;
pub use crate::postgres::Pooler;
use crate::queue::Policy;

/// A complete configuration file, every key with its meaning, that [`read`] accepts as it stands.
pub const EXAMPLE: &str = include_str!("config/example.toml");

/// Everything `strawboss run` needs to know.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Where the database is.
    pub database: DatabaseConfig,
    /// The worker as a whole.
    pub worker: WorkerConfig,
    /// The window: metrics and health.
    pub http: HttpConfig,
    /// pg-boss's API over HTTP.
    pub api: ApiConfig,
    /// The pace of supervision; read where `worker.supervise` is on.
    pub upkeep: UpkeepConfig,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
    /// The queues this worker serves, by name.
    pub queues: BTreeMap<String, QueueConfig>,
    /// The pace of schedules.
    pub cron: CronConfig,
    /// Schedules that are set at start.
    pub schedules: Vec<ScheduleConfig>,
    /// The event outbox and the handlers of events.
    pub events: EventsConfig,
}

/// `[database]`
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseConfig {
    /// libpq URL or key=value text; empty (the default) reads the `PG*` environment.
    pub url: String,
    /// The pg-boss schema as `pg_namespace` spells it; `pgboss` by default.
    pub schema: String,
    /// Our own schema, for what the worker remembers beside pg-boss's tables; `strawboss` by default. It is created when
    /// something first needs it.
    pub own_schema: String,
    /// Connections for claims and verdicts, the one that renews leases and the one that listens aside; 10 by default.
    pub pool_size: usize,
    /// Whether a pooler stands between; found out at start by default.
    pub pooler: Pooler,
}

/// `[worker]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerConfig {
    /// What the worker calls itself towards others; the host's name by default.
    pub name: String,
    /// Jobs in flight in this process, all queues together; 64 by default.
    pub concurrency: usize,
    /// What running jobs are given after SIGTERM before they are cut off and handed back; 30 s by default, zero cuts
    /// them off at once.
    pub shutdown_grace: Duration,
    /// Supervise all queues as pg-boss does (expiry, deletion, statistics, flows), and take back the lost jobs of those
    /// served here within seconds; true by default.
    pub supervise: bool,
    /// Do what pg-boss does to its own tables in the background, too: build the indexes that a migration has put off, and
    /// rebuild bloated ones. False by default: that is left to Node.
    pub maintain_schema: bool,
    /// Fire cron and rrule schedules, beside whoever else does; true by default.
    pub schedule: bool,
    /// Be woken by LISTEN/NOTIFY on queues that notify; true by default.
    pub listen: bool,
    /// The lease lent to jobs without a heartbeat of their own (schema 30 and later), in whole seconds; 10 s by
    /// default, zero lends none.
    pub heartbeat: Duration,
    /// How long the outcome of every attempt is remembered in our own schema, for `strawboss jobs explain`; zero, the
    /// default, remembers none.
    pub history: Duration,
}

/// `[http]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where `/metrics`, `/healthz`, `/readyz` and `/status` are served; 127.0.0.1:9464 by default, `None` (an empty
    /// text in the file) serves nothing.
    pub listen: Option<SocketAddr>,
}

/// `[upkeep]`: what pg-boss's own supervision is told, by the same names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpkeepConfig {
    /// How often a supervisor walks the queues; 60 s by default.
    pub supervise_interval: Duration,
    /// How old the last look at a queue has to be for its jobs to be counted and the expired ones to be failed; 60 s by
    /// default. Schema 24 knows one such time for all queues, which has to be twice as old.
    pub monitor_interval: Duration,
    /// How often jobs past their retention are deleted from a queue; a day by default.
    pub maintenance_interval: Duration,
    /// The most that what is known of a queue may lag behind its row; 60 s by default. A worker remembers no row for longer
    /// than a poll interval, so that it keeps any value.
    pub queue_cache_interval: Duration,
    /// How often the children of finished parents are released (schema 33 and later); 1 s by default.
    pub flow_interval: Duration,
    /// Keep warnings in the table `warning` (schema 29 and later); false by default.
    pub persist_warnings: bool,
    /// How long warnings are kept, in days; 30 by default.
    pub warning_retention_days: u32,
    /// Keep a history of the queues' counts in the table `queue_stats` (schema 35 and later); false by default.
    pub persist_queue_stats: bool,
    /// How long that history is kept, in days; 7 by default.
    pub queue_stat_retention_days: u32,
}

/// `[telemetry]`
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// Base URL of an OTLP/HTTP collector; `OTEL_EXPORTER_OTLP_ENDPOINT` by default, `None` sends no traces.
    pub otlp_endpoint: Option<String>,
    /// How log lines are written; text by default.
    pub log_format: LogFormat,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One readable line each.
    #[default]
    Text,
    /// One JSON object each.
    Json,
}

/// `[cron]`, read where `worker.schedule` is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronConfig {
    /// How often schedules are looked at; 30 s by default, 45 s at most.
    pub monitor_interval: Duration,
    /// How often due schedules are forwarded that another process filed; 5 s by default.
    pub worker_interval: Duration,
    /// How often it is said that the clocks are far apart; 10 minutes by default.
    pub clock_interval: Duration,
    /// How long what became of occurrences is remembered; 30 days by default.
    pub ledger_retention: Duration,
    /// The directory of the time zones; `None` (the default) takes `TZDIR`, the system's, or those built in.
    pub zoneinfo: Option<PathBuf>,
}

/// `[[schedules]]`
#[derive(Debug, Clone, Default)]
pub struct ScheduleConfig {
    /// The queue it sends to.
    pub queue: String,
    /// Tells several schedules of a queue apart; empty by default.
    pub key: String,
    /// A cron expression or a rule.
    pub cron: String,
    /// The zone it is meant in; UTC by default.
    pub timezone: Option<String>,
    /// The payload of its jobs; none by default.
    pub data: Option<RawJson>,
    /// The options of its jobs in pg-boss's spelling; none by default.
    pub options: serde_json::Map<String, serde_json::Value>,
    /// Whether the last occurrence that was missed is made up for; not by default.
    pub missed_once: bool,
    /// How many missed runs our own passes catch up; none by default.
    pub catch_up: u32,
}

/// `[queues.NAME]`
#[derive(Debug, Clone, PartialEq)]
pub struct QueueConfig {
    /// Jobs of this queue in flight in this process; as `worker.concurrency` by default.
    pub concurrency: usize,
    /// The most jobs taken by one claim; the queue's concurrency by default, but never more than 100 unless said.
    pub batch_size: usize,
    /// How long an idle queue waits before it looks again, NOTIFY aside; 500 ms by default.
    pub poll_interval: Duration,
    /// Jobs below this priority are left to others; no bound by default.
    pub min_priority: Option<i32>,
    /// Jobs above this priority are left to others; no bound by default.
    pub max_priority: Option<i32>,
    /// Limits per group (schema 27 and later); none by default.
    pub group_concurrency: Option<GroupConcurrency>,
    /// What runs the jobs; `None` where Rust code registers its own, or where the queue is only kept in existence.
    pub handler: Option<HandlerConfig>,
    /// Create the queue at start with these options if it is not there; an existing one is left as it is.
    pub ensure: Option<EnsureConfig>,
}

impl QueueConfig {
    /// A queue that is not configured, within the worker's own limits.
    pub fn within(worker: &WorkerConfig) -> QueueConfig {
        QueueConfig {
            concurrency: worker.concurrency,
            batch_size: default::batch_size(worker.concurrency),
            ..QueueConfig::default()
        }
    }
}

/// How many jobs of one group may be active at once, in all workers together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupConcurrency {
    /// The limit of a group whose tier is not named below.
    pub default: u32,
    /// The limits by tier.
    pub tiers: BTreeMap<String, u32>,
}

impl GroupConcurrency {
    /// As the option `groupConcurrency` of pg-boss's `work()` has it.
    pub(crate) fn as_option(&self) -> serde_json::Value {
        if self.tiers.is_empty() {
            self.default.into()
        } else {
            serde_json::json!({ "default": self.default, "tiers": self.tiers })
        }
    }
}

/// `ensure = { … }`: the options of pg-boss's `createQueue`. `None` leaves the choice to pg-boss's own default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnsureConfig {
    /// How many jobs may exist or run at once; `standard` where not said.
    pub policy: Option<Policy>,
    /// Keep the jobs in a table of their own (schema 25 and later).
    pub partition: Option<bool>,
    /// Where jobs go that failed for good.
    pub dead_letter: Option<String>,
    /// Backlog above which a supervisor warns.
    pub warning_queue_size: Option<i32>,
    /// Retries after the first attempt.
    pub retry_limit: Option<i32>,
    /// Seconds before a retry.
    pub retry_delay: Option<i32>,
    /// Let the delay grow from retry to retry.
    pub retry_backoff: Option<bool>,
    /// The most the delay grows to, in seconds (schema 25 and later).
    pub retry_delay_max: Option<i32>,
    /// Seconds one attempt may take.
    pub expire_in_seconds: Option<i32>,
    /// Seconds a job may wait before it is deleted unrun.
    pub retention_seconds: Option<i32>,
    /// Seconds a finished job is kept; 0 keeps it for ever (schema 25 and later).
    pub delete_after_seconds: Option<i32>,
    /// The queue's own heartbeat (schema 30 and later), at least 10.
    pub heartbeat_seconds: Option<i32>,
    /// Inserts wake listening workers (schema 32 and later).
    pub notify: Option<bool>,
}

/// `handler = { … }`
#[derive(Clone, PartialEq, Eq)]
pub enum HandlerConfig {
    /// `POST` to an endpoint.
    Http {
        /// Where to; `http` or `https`.
        url: String,
        /// What one request may take; 30 s by default, and never more than is left of the job's expiry.
        timeout: Duration,
        /// Keys of the signature, the newest first; empty signs nothing.
        secrets: Vec<String>,
        /// Sent along with every request.
        headers: BTreeMap<String, String>,
        /// What is read of an answer; 1 MiB by default.
        max_response_bytes: usize,
    },
    /// A program, started once per job.
    Exec {
        /// The program and its arguments; no shell in between.
        command: Vec<String>,
        /// What one run may take; 15 minutes by default, and never more than is left of the job's expiry.
        timeout: Duration,
        /// Where it runs; the worker's own directory by default.
        working_dir: Option<PathBuf>,
        /// Variables added to the worker's own.
        env: BTreeMap<String, String>,
    },
    /// Completes at once.
    Noop,
    /// Logs the job's id and completes.
    Log,
}

impl HandlerConfig {
    /// The key that names this kind in a file.
    pub fn kind(&self) -> &'static str {
        match self {
            HandlerConfig::Http { .. } => "http",
            HandlerConfig::Exec { .. } => "exec",
            HandlerConfig::Noop => "noop",
            HandlerConfig::Log => "log",
        }
    }
}

impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseConfig")
            .field("url", &shown_url(&self.url))
            .field("schema", &self.schema)
            .field("own_schema", &self.own_schema)
            .field("pool_size", &self.pool_size)
            .field("pooler", &self.pooler)
            .finish()
    }
}

impl fmt::Debug for TelemetryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TelemetryConfig")
            .field("otlp_endpoint", &self.otlp_endpoint.as_deref().map(shown_url))
            .field("log_format", &self.log_format)
            .finish()
    }
}

/// Names the kind only: commands, headers and endpoints may carry secrets.
impl fmt::Debug for HandlerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

#[cfg(test)]
mod tests;
