//! What the worker is told: typed and validated configuration.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Everything `strawboss run` needs to know.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Config {
    pub database: DatabaseConfig,
    pub worker: WorkerConfig,
    pub http: HttpConfig,
    pub telemetry: TelemetryConfig,
    pub queues: BTreeMap<String, QueueConfig>,
}

/// `[database]`
#[derive(Clone, Default)]
#[allow(missing_docs)]
pub struct DatabaseConfig {
    pub url: String,
    pub schema: String,
    pub pool_size: usize,
}

/// `[worker]`
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct WorkerConfig {
    pub name: String,
    pub concurrency: usize,
    pub shutdown_grace: Duration,
    pub supervise: bool,
    pub schedule: bool,
    pub listen: bool,
    /// The lease lent to jobs without a heartbeat of their own; zero lends none.
    pub heartbeat: Duration,
}

/// `[http]`
#[derive(Clone, Default)]
#[allow(missing_docs)]
pub struct HttpConfig {
    pub listen: Option<SocketAddr>,
}

/// `[telemetry]`
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct TelemetryConfig {
    pub otlp_endpoint: Option<String>,
    pub log_format: LogFormat,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// `[queues.NAME]`
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct QueueConfig {
    pub concurrency: usize,
    pub batch_size: usize,
    pub poll_interval: Duration,
    pub min_priority: Option<i32>,
    pub max_priority: Option<i32>,
    pub group_concurrency: Option<GroupConcurrency>,
    pub handler: Option<HandlerConfig>,
}

impl QueueConfig {
    /// A queue that is not configured, within the worker's own limits.
    pub fn within(worker: &WorkerConfig) -> QueueConfig {
        QueueConfig {
            concurrency: worker.concurrency,
            batch_size: worker.concurrency.min(50),
            poll_interval: Duration::from_millis(500),
            ..QueueConfig::default()
        }
    }
}

/// How many jobs of one group may be active at once, in all workers together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct GroupConcurrency {
    pub default: u32,
    pub tiers: BTreeMap<String, u32>,
}

/// `handler = { … }`
#[derive(Clone)]
#[allow(missing_docs)]
pub enum HandlerConfig {
    Http {
        url: String,
        timeout: Duration,
        secrets: Vec<String>,
        headers: BTreeMap<String, String>,
        max_response_bytes: usize,
    },
    Exec {
        command: Vec<String>,
        timeout: Duration,
        working_dir: Option<PathBuf>,
        env: BTreeMap<String, String>,
    },
    Noop,
    Log,
}

impl std::fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseConfig")
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpConfig")
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for HandlerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            HandlerConfig::Http { .. } => "http",
            HandlerConfig::Exec { .. } => "exec",
            HandlerConfig::Noop => "noop",
            HandlerConfig::Log => "log",
        })
    }
}
