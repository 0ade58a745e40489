//! Looking without touching: queues and jobs for people, and whether a worker would find what it needs. Nothing here
//! writes.

pub mod doctor;
mod job;
mod queue;
mod readiness;

pub use doctor::{Diagnosis, Examination, Urgency};
pub use job::{JobFilter, JobRow, jobs, one_job};
pub use queue::{Counts, QueueRow, queues};
pub use readiness::{Readiness, check_database, check_handlers};

use crate::dialect::Template;

/// The statements of this room that differ from schema to schema, and what each is for.
pub const STATEMENTS: [(&str, Template); 2] = [("list queues", queue::QUEUES), ("list jobs", job::JOBS)];
