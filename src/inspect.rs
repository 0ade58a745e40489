//! Looking without touching: queues and jobs for people, and whether a worker would find what it needs. Nothing here
//! writes.

pub mod doctor;
mod figures;
mod job;
mod queue;
mod readiness;
mod surveyor;

pub use doctor::{Diagnosis, Examination, Urgency};
pub use figures::{ALONG_THE_INDEXES, Figures, QueueFigures, figures};
pub use job::{JobFilter, JobRow, jobs, one_job};
pub use queue::{Counts, QueueRow, queues};
pub use readiness::{Readiness, check_database, check_handlers};
pub use surveyor::Surveyor;

use crate::dialect::Template;

/// The statements of this room that differ from schema to schema, and what each is for.
pub const STATEMENTS: [(&str, Template); 3] = [
    ("list queues", queue::QUEUES),
    ("list jobs", job::JOBS),
    ("read the gauges", figures::FIGURES),
];
