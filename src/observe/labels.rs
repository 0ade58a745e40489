//! The values that metric labels take, beside those of [`Outcome`](crate::job::Outcome).
//!
//! They are known beforehand, so that every series can be there at 0 before its first event, and so that nothing a user
//! or a database says can become a series of its own. The rooms that count use these words.

use crate::postgres::Class;

/// What made the worker look for jobs: `source` of `pgboss_wakeups_total`.
///
/// The poll interval or a job's `start_after` came, the queue said `NOTIFY`, the LISTEN connection is back after what it
/// may have missed, the claim before came back full.
pub const WAKEUP_SOURCES: [&str; 4] = ["poll", "notify", "connect", "full"];

/// How a group of verdicts is written: `op` of the settle metrics, and the name of the settle span.
pub const SETTLE_OPS: [&str; 3] = ["complete", "fail", "release"];

/// Why a job was taken back from whoever held it: `reason` of `pgboss_rescued_jobs_total`.
///
/// Its lease was not kept; it outlived its expiry.
pub const RESCUE_REASONS: [&str; 2] = ["heartbeat", "expired"];

/// What a pooled connection does: `state` of `pgboss_db_pool_connections`.
///
/// It is open and free; it is lent to a task.
pub const POOL_STATES: [&str; 2] = ["idle", "in_use"];

/// Every class of database error: `class` of `pgboss_db_errors_total`.
pub const ERROR_CLASSES: [Class; 6] = [
    Class::Connection,
    Class::Transient,
    Class::Schema,
    Class::Conflict,
    Class::Data,
    Class::Permanent,
];
