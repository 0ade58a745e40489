//! What a schema can do, one name each, and the fact that decides it.

use super::Catalog;

/// Something that differs between pg-boss's schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Capability {
    /// Schema 24: a table per queue, `expire_in` an interval, an archive.
    V10,
    /// Policy `exclusive` (26, pg-boss 11.1).
    Exclusive,
    /// `group_id` and `group_tier` (27, pg-boss 12.6).
    Groups,
    /// Policy `key_strict_fifo` (28, pg-boss 12.10).
    StrictFifo,
    /// `heartbeat_on` and `heartbeat_seconds` (30, pg-boss 12.12). Up to 36 (12.25) pg-boss's supervisor looks for silent
    /// jobs only in queues that have a heartbeat of their own; a lease lent to a job of another queue is ours to watch.
    Heartbeat,
    /// `blocked`, `blocking`, `pending_dependencies` (31, pg-boss 12.19).
    Flows,
    /// Schemas 31 and 32, where completing a parent has to unblock its children itself.
    InlineFlows,
    /// `queue.notify` (32, pg-boss 12.21).
    Notify,
    /// A job that is due this very instant is fetched (37; pg-boss 12.27, and 12.26 but for its first release).
    FetchInclusive,
    /// A fetch breaks ties by id (up to 39, pg-boss 12.29).
    FetchOrderById,
    /// `source_name` and its companions on dead letters (34, pg-boss 12.23).
    Lineage,
    /// A dead letter expires as its own queue says and keeps the singleton key (37, pg-boss 12.26).
    DeadLetterKey,
    /// A dead letter keeps priority and group (38, pg-boss 12.28).
    DeadLetterGroup,
    /// A failed job's output goes to the dead letter's `source_output` (43, pg-boss 12.35).
    SourceOutput,
    /// `trace_context` (44, pg-boss 12.36).
    TraceContext,
    /// `upsert_by_key` (45, pg-boss 12.37).
    UpsertByKey,
    /// `retry_delay_max` and `deletion_seconds` (25, pg-boss 11.0).
    RetryDelayMax,
    /// Backoff adds the delay to the power (25 and 26, pg-boss 11.0 to 12.5).
    BackoffAdds,
    /// Backoff counts a delay of 0 as 1 (37, pg-boss 12.26).
    BackoffFloor,
    /// What is filed of a schedule is told apart by the queue's name alone (24 and 25, up to pg-boss 11.0).
    ScheduleKeyName,
    /// `schedule.kind` and `schedule.last_job_id`: rules, and a policy for what was missed (41, pg-boss 12.31).
    ScheduleKind,
    /// What is filed of a cron schedule is told apart by the minute it was due in (42, pg-boss 12.33), and not by the one
    /// it was filed in.
    ScheduleSlot,
    /// `job_now()` (42, pg-boss 12.33).
    JobNow,
    /// The index for priority order, i11, has taken the place of the one by time, i5 (40, pg-boss 12.30). Built some time
    /// after the migration, so the catalog says whether it is there.
    PriorityIndex,
    /// A job that is resumed or retried starts no earlier than now (46, pg-boss 12.38).
    StartNow,
    /// A job that is retried is no longer complete (37, pg-boss 12.26).
    RetryClears,
    /// The index over live states, i14 (46, pg-boss 12.38), once it is built.
    LiveIndex,
    /// The index over finished jobs by when they ended, i16 (46, pg-boss 12.38), once it is built.
    FinishedIndex,
    /// `deletion_seconds = 0` keeps a finished job for ever (27, pg-boss 12.6); before, it goes with the next maintenance.
    KeepForever,
    /// `queue.ready_count` and `failed_count` (32, pg-boss 12.21).
    ReadyCount,
    /// A supervisor releases the children of finished parents, by `version.flow_on` (33, pg-boss 12.22).
    FlowResolver,
    /// `queue.ready_history` and the table `queue_stats` (35, pg-boss 12.24).
    QueueHistory,
    /// Only jobs that wait count as deferred (37, pg-boss 12.26).
    DeferredWaits,
    /// Bloated indexes are rebuilt, by `version.reindex_on` (39, pg-boss 12.29).
    Reindex,
    /// A supervisor's claim of a queue is apart from the time its counts were written, and there is a backoff for the
    /// counting: `queue.monitor_claim_on`, `version.monitor_backoff_on` (40, pg-boss 12.30).
    MonitorClaim,
    /// What came and went since the last count: `queue.created_delta` and its companions (43, pg-boss 12.35).
    Throughput,
    /// `queue.blocked_count`, and how long jobs waited and ran: `wait_bins`, `run_bins` (44, pg-boss 12.36).
    Latency,
    /// Finished jobs are counted as they pass: `queue.retained_count` (46, pg-boss 12.38). A released child starts no
    /// sooner than its release since then, too.
    RetainedCount,
}

impl Capability {
    /// Every capability.
    pub const ALL: [Capability; 38] = [
        Capability::V10,
        Capability::Exclusive,
        Capability::Groups,
        Capability::StrictFifo,
        Capability::Heartbeat,
        Capability::Flows,
        Capability::InlineFlows,
        Capability::Notify,
        Capability::FetchInclusive,
        Capability::FetchOrderById,
        Capability::Lineage,
        Capability::DeadLetterKey,
        Capability::DeadLetterGroup,
        Capability::SourceOutput,
        Capability::TraceContext,
        Capability::UpsertByKey,
        Capability::RetryDelayMax,
        Capability::BackoffAdds,
        Capability::BackoffFloor,
        Capability::ScheduleKeyName,
        Capability::ScheduleKind,
        Capability::ScheduleSlot,
        Capability::JobNow,
        Capability::PriorityIndex,
        Capability::StartNow,
        Capability::RetryClears,
        Capability::LiveIndex,
        Capability::FinishedIndex,
        Capability::KeepForever,
        Capability::ReadyCount,
        Capability::FlowResolver,
        Capability::QueueHistory,
        Capability::DeferredWaits,
        Capability::Reindex,
        Capability::MonitorClaim,
        Capability::Throughput,
        Capability::Latency,
        Capability::RetainedCount,
    ];

    /// The name that guards a line of a template.
    pub fn as_str(self) -> &'static str {
        match self {
            Capability::V10 => "v10",
            Capability::Exclusive => "exclusive",
            Capability::Groups => "groups",
            Capability::StrictFifo => "strict_fifo",
            Capability::Heartbeat => "heartbeat",
            Capability::Flows => "flows",
            Capability::InlineFlows => "inline_flows",
            Capability::Notify => "notify",
            Capability::FetchInclusive => "fetch_inclusive",
            Capability::FetchOrderById => "fetch_order_by_id",
            Capability::Lineage => "lineage",
            Capability::DeadLetterKey => "dead_letter_key",
            Capability::DeadLetterGroup => "dead_letter_group",
            Capability::SourceOutput => "source_output",
            Capability::TraceContext => "trace_context",
            Capability::UpsertByKey => "upsert_by_key",
            Capability::RetryDelayMax => "retry_delay_max",
            Capability::BackoffAdds => "backoff_adds",
            Capability::BackoffFloor => "backoff_floor",
            Capability::ScheduleKeyName => "schedule_key_name",
            Capability::ScheduleKind => "schedule_kind",
            Capability::ScheduleSlot => "schedule_slot",
            Capability::JobNow => "job_now",
            Capability::PriorityIndex => "priority_index",
            Capability::StartNow => "start_now",
            Capability::RetryClears => "retry_clears",
            Capability::LiveIndex => "live_index",
            Capability::FinishedIndex => "finished_index",
            Capability::KeepForever => "keep_forever",
            Capability::ReadyCount => "ready_count",
            Capability::FlowResolver => "flow_resolver",
            Capability::QueueHistory => "queue_history",
            Capability::DeferredWaits => "deferred_waits",
            Capability::Reindex => "reindex",
            Capability::MonitorClaim => "monitor_claim",
            Capability::Throughput => "throughput",
            Capability::Latency => "latency",
            Capability::RetainedCount => "retained_count",
        }
    }

    /// The first pg-boss release that has it, for messages.
    pub fn release(self) -> &'static str {
        match self {
            Capability::V10 => "10.1.5",
            Capability::RetryDelayMax | Capability::BackoffAdds => "11.0",
            Capability::Exclusive => "11.1",
            Capability::Groups => "12.6",
            Capability::StrictFifo => "12.10",
            Capability::Heartbeat => "12.12",
            Capability::Flows | Capability::InlineFlows => "12.19",
            Capability::Notify => "12.21",
            Capability::FetchOrderById | Capability::ScheduleKeyName => "10.1.5",
            Capability::Lineage => "12.23",
            Capability::DeadLetterKey | Capability::BackoffFloor | Capability::FetchInclusive => "12.26",
            Capability::DeadLetterGroup => "12.28",
            Capability::PriorityIndex => "12.30",
            Capability::ScheduleKind => "12.31",
            Capability::JobNow | Capability::ScheduleSlot => "12.33",
            Capability::SourceOutput => "12.35",
            Capability::TraceContext => "12.36",
            Capability::UpsertByKey => "12.37",
            Capability::RetryClears => "12.26",
            Capability::StartNow | Capability::LiveIndex | Capability::FinishedIndex | Capability::RetainedCount => {
                "12.38"
            }
            Capability::KeepForever => "12.6",
            Capability::ReadyCount => "12.21",
            Capability::FlowResolver => "12.22",
            Capability::QueueHistory => "12.24",
            Capability::DeferredWaits => "12.26",
            Capability::Reindex => "12.29",
            Capability::MonitorClaim => "12.30",
            Capability::Throughput => "12.35",
            Capability::Latency => "12.36",
        }
    }

    pub(super) fn holds(self, version: i32, catalog: &Catalog) -> bool {
        match self {
            Capability::V10 => catalog.has_column("job", "expire_in"),
            Capability::Exclusive => version >= 26,
            Capability::Groups => catalog.has_column("job", "group_id"),
            Capability::StrictFifo => version >= 28,
            Capability::Heartbeat => catalog.has_column("job", "heartbeat_seconds"),
            Capability::Flows => catalog.has_column("job", "blocked"),
            Capability::InlineFlows => {
                catalog.has_column("job", "blocked") && !catalog.has_column("version", "flow_on")
            }
            Capability::Notify => catalog.has_column("queue", "notify"),
            Capability::FetchOrderById => version < 40,
            Capability::Lineage => catalog.has_column("job", "source_name"),
            Capability::DeadLetterKey | Capability::BackoffFloor | Capability::FetchInclusive => version >= 37,
            Capability::DeadLetterGroup => version >= 38,
            Capability::SourceOutput => catalog.has_column("job", "source_output"),
            Capability::TraceContext => catalog.has_column("job", "trace_context"),
            Capability::UpsertByKey => catalog.has_column("job", "upsert_by_key"),
            Capability::RetryDelayMax => catalog.has_column("job", "retry_delay_max"),
            Capability::BackoffAdds => matches!(version, 25 | 26),
            Capability::ScheduleKeyName => version <= 25,
            Capability::ScheduleSlot => version >= 42,
            Capability::ScheduleKind => catalog.has_column("schedule", "kind"),
            Capability::JobNow => catalog.has_function("job_now"),
            Capability::PriorityIndex => version >= 40 && built(catalog, "job_common_i11"),
            Capability::StartNow => version >= 46,
            Capability::RetryClears => version >= 37,
            Capability::LiveIndex => version >= 46 && built(catalog, "job_common_i14"),
            Capability::FinishedIndex => version >= 46 && built(catalog, "job_common_i16"),
            Capability::KeepForever => version >= 27,
            Capability::ReadyCount => catalog.has_column("queue", "ready_count"),
            Capability::FlowResolver => catalog.has_column("version", "flow_on"),
            Capability::QueueHistory => catalog.has_column("queue", "ready_history"),
            Capability::DeferredWaits => version >= 37,
            Capability::Reindex => catalog.has_column("version", "reindex_on"),
            Capability::MonitorClaim => catalog.has_column("queue", "monitor_claim_on"),
            Capability::Throughput => catalog.has_column("queue", "created_delta"),
            Capability::Latency => catalog.has_column("queue", "wait_bins"),
            Capability::RetainedCount => catalog.has_column("queue", "retained_count"),
        }
    }
}

/// Whether an index of the common table is there and valid; an install without such a table is taken at its version's word.
fn built(catalog: &Catalog, index: &str) -> bool {
    catalog.has_index(index) || !catalog.has_table("job_common")
}
