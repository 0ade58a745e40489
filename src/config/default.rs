//! What holds where nothing is said.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::{DatabaseConfig, HttpConfig, Pooler, QueueConfig, UpkeepConfig, WorkerConfig};

pub(super) const SCHEMA: &str = "pgboss";
pub(super) const OWN_SCHEMA: &str = "strawboss";
pub(super) const POOL_SIZE: usize = 10;
pub(super) const CONCURRENCY: usize = 64;
pub(super) const SHUTDOWN_GRACE: Duration = Duration::from_secs(30);
pub(super) const HEARTBEAT: Duration = Duration::from_secs(10);
pub(super) const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(500);
pub(super) const HTTP_TIMEOUT: Duration = Duration::from_secs(30);
/// pg-boss's own default expiry: a subprocess has, unless told otherwise, all the time its job has.
pub(super) const EXEC_TIMEOUT: Duration = Duration::from_secs(15 * 60);
pub(super) const MAX_RESPONSE_BYTES: usize = 1 << 20;

/// A claim never takes more than there are free slots; this bounds what one statement locks on top of that.
pub(super) fn batch_size(concurrency: usize) -> usize {
    concurrency.min(100)
}

/// The host's name, as pg-boss's own instances call themselves.
pub(super) fn worker_name() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "strawboss".to_owned())
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            schema: SCHEMA.to_owned(),
            own_schema: OWN_SCHEMA.to_owned(),
            pool_size: POOL_SIZE,
            pooler: Pooler::Auto,
        }
    }
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            name: worker_name(),
            concurrency: CONCURRENCY,
            shutdown_grace: SHUTDOWN_GRACE,
            supervise: true,
            maintain_schema: false,
            schedule: false,
            listen: true,
            heartbeat: HEARTBEAT,
        }
    }
}

impl Default for UpkeepConfig {
    fn default() -> Self {
        Self {
            supervise_interval: Duration::from_secs(60),
            monitor_interval: Duration::from_secs(60),
            maintenance_interval: Duration::from_secs(24 * 60 * 60),
            queue_cache_interval: Duration::from_secs(60),
            flow_interval: Duration::from_secs(1),
            persist_warnings: false,
            warning_retention_days: 30,
            persist_queue_stats: false,
            queue_stat_retention_days: 7,
        }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { listen: Some(LISTEN) }
    }
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            concurrency: CONCURRENCY,
            batch_size: batch_size(CONCURRENCY),
            poll_interval: POLL_INTERVAL,
            min_priority: None,
            max_priority: None,
            group_concurrency: None,
            handler: None,
            ensure: None,
        }
    }
}
