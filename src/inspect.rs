//! Looking without touching: queues and jobs for people, and whether a worker would find what it needs. Nothing here
//! writes.

pub mod doctor;
mod events;
mod figures;
mod flow;
mod install;
mod instance;
pub mod iso;
mod job;
mod life;
mod matching;
mod queue;
mod queue_record;
mod readiness;
mod record;
mod schedules;
mod stats;

pub use flow::{JobRef, Page, dependencies, dependents};
pub use install::{BamStatus, bam_status, is_installed, schema_version};
pub use instance::instances;
mod surveyor;

pub use doctor::{Diagnosis, Examination, Urgency};
pub use figures::{ALONG_THE_INDEXES, Figures, QueueFigures, figures};
pub use job::{JobFilter, JobRow, jobs, one_job};
pub use life::{Event, life};
pub use matching::{count_jobs, job_ids};
pub use queue::{Counts, QueueRow, queues};
pub use queue_record::{QueueRecord, blocked_keys, queue_records};
pub use readiness::{Readiness, check_database, check_handlers};
pub use record::{FindJobs, JobRecord, find_jobs, job_by_id, job_by_id_or_archived};
pub(crate) use record::{checked, jobs_by_id};
pub use stats::{Aggregate, QueueStats, StatsOptions, Window, queue_stats};
pub use surveyor::Surveyor;

use crate::dialect::Template;

/// The statements of this room that differ from schema to schema, and what each is for.
pub const STATEMENTS: [(&str, Template); 7] = [
    ("read the gauges", figures::FIGURES),
    ("list queues", queue::QUEUES),
    ("list jobs", job::JOBS),
    ("find jobs", record::FIND),
    ("read queues", queue_record::QUEUE_RECORDS),
    ("count jobs", stats::STATS),
    ("list blocked keys", queue_record::BLOCKED_KEYS),
];

/// Those that only newer schemas have a table for, with their flags and that table.
pub const STATEMENTS_OF_NEWER: [(&str, Template, &[&str], &str); 11] = [
    ("read the history of a queue", stats::HISTORY, &[], "queue_stats"),
    (
        "read the history of a queue by width",
        stats::HISTORY,
        &["bucketed", "bucket", "max"],
        "queue_stats",
    ),
    (
        "read the history of a queue by number",
        stats::HISTORY,
        &["bucketed", "auto", "avg"],
        "queue_stats",
    ),
    (
        "read the lowest of the history of a queue",
        stats::HISTORY,
        &["bucketed", "bucket", "min"],
        "queue_stats",
    ),
    ("list parents", flow::RELATIVES, &["parents"], "job_dependency"),
    ("list children", flow::RELATIVES, &["children"], "job_dependency"),
    ("find what came of a job", life::KIN, &[], "queue_stats"),
    ("count jobs that match", matching::MATCHING, &["count"], "job"),
    ("find jobs that match", matching::MATCHING, &["ids"], "job"),
    ("count asynchronous migrations", install::BAM_STATUS, &[], "bam"),
    ("list instances", instance::INSTANCES, &[], "instance"),
];
