//! The closed sets of values that metric labels take, beside [`Outcome`](crate::job::Outcome) and
//! [`Class`].
//!
//! A label's values are known beforehand, so that every series can be there at 0 before its first event, and so that
//! nothing a user or a database says can ever become a series of its own.

use crate::postgres::Class;

/// Every value of the label `class` of `pgboss_db_errors_total`.
pub(super) const ERROR_CLASSES: [Class; 6] = [
    Class::Connection,
    Class::Transient,
    Class::Schema,
    Class::Conflict,
    Class::Data,
    Class::Permanent,
];

/// What made the worker look for jobs: the label `source` of `pgboss_wakeups_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wakeup {
    /// The poll interval was over.
    Poll,
    /// The queue said so with `NOTIFY`.
    Notify,
    /// A job became due that was seen earlier, waiting for its `start_after`.
    StartAfter,
    /// The claim before came back full, so there is more.
    Backlog,
    /// The LISTEN connection is back, and what was said meanwhile was missed.
    Reconnect,
}

impl Wakeup {
    /// Every source.
    pub const ALL: [Wakeup; 5] = [
        Wakeup::Poll,
        Wakeup::Notify,
        Wakeup::StartAfter,
        Wakeup::Backlog,
        Wakeup::Reconnect,
    ];

    /// The value of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Wakeup::Poll => "poll",
            Wakeup::Notify => "notify",
            Wakeup::StartAfter => "start_after",
            Wakeup::Backlog => "backlog",
            Wakeup::Reconnect => "reconnect",
        }
    }
}

/// How a group of verdicts is written: the label `op` of the settle metrics, and the name of the settle span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SettleOp {
    /// The rows become `completed`.
    Complete,
    /// The rows follow their own retry rule.
    Fail,
    /// The rows fail for good, whatever retries they have left.
    DeadLetter,
    /// The rows go back without using up an attempt.
    Release,
}

impl SettleOp {
    /// Every operation.
    pub const ALL: [SettleOp; 4] = [
        SettleOp::Complete,
        SettleOp::Fail,
        SettleOp::DeadLetter,
        SettleOp::Release,
    ];

    /// The value of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            SettleOp::Complete => "complete",
            SettleOp::Fail => "fail",
            SettleOp::DeadLetter => "dead_letter",
            SettleOp::Release => "release",
        }
    }
}

/// Why a job was taken back from whoever held it: the label `reason` of `pgboss_rescued_jobs_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rescue {
    /// Its lease was not kept.
    Heartbeat,
    /// It outlived its expiry.
    Expired,
}

impl Rescue {
    /// Every reason.
    pub const ALL: [Rescue; 2] = [Rescue::Heartbeat, Rescue::Expired];

    /// The value of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Rescue::Heartbeat => "heartbeat",
            Rescue::Expired => "expired",
        }
    }
}

/// What a run of an event's handler came to: the label `outcome` of `event_handler_runs_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventOutcome {
    /// The handler succeeded.
    Completed,
    /// It had succeeded for this idempotency key before, and was not run.
    Skipped,
    /// It failed and may be tried again.
    Failed,
    /// It was cut off by its timeout, and may be tried again.
    TimedOut,
    /// It failed for good, or its payload broke its schema.
    Rejected,
    /// It was not run: its circuit is open, its key is held by another, or its turn has not come.
    Postponed,
    /// It was cut off for another reason: a shutdown, a lost row, the job's deadline.
    Cancelled,
}

impl EventOutcome {
    /// Every outcome.
    pub const ALL: [EventOutcome; 7] = [
        EventOutcome::Completed,
        EventOutcome::Skipped,
        EventOutcome::Failed,
        EventOutcome::TimedOut,
        EventOutcome::Rejected,
        EventOutcome::Postponed,
        EventOutcome::Cancelled,
    ];

    /// The value of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            EventOutcome::Completed => "completed",
            EventOutcome::Skipped => "skipped",
            EventOutcome::Failed => "failed",
            EventOutcome::TimedOut => "timed_out",
            EventOutcome::Rejected => "rejected",
            EventOutcome::Postponed => "postponed",
            EventOutcome::Cancelled => "cancelled",
        }
    }
}

/// What a pooled connection does: the label `state` of `pgboss_db_pool_connections`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PoolState {
    /// Open and free.
    Idle,
    /// Lent to a task.
    InUse,
}

impl PoolState {
    /// Every state.
    pub const ALL: [PoolState; 2] = [PoolState::Idle, PoolState::InUse];

    /// The value of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            PoolState::Idle => "idle",
            PoolState::InUse => "in_use",
        }
    }
}
