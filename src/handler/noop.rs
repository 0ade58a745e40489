//! Handlers that do nothing: `noop`, and `log`, which says so.

use std::sync::Arc;

use super::{Context, Handler, Run};
use crate::job::Job;

/// Completes every job at once, without an output.
pub(super) struct Noop;

impl Handler for Noop {
    fn run(&self, _job: Arc<Job>, _context: Context) -> Run {
        Box::pin(std::future::ready(Ok(None)))
    }
}

/// Completes every job at once and writes a line about it; never the payload, only its size.
pub(super) struct Log;

impl Handler for Log {
    fn run(&self, job: Arc<Job>, _context: Context) -> Run {
        tracing::info!(
            queue = %job.queue,
            job = %job.id(),
            retry_count = job.attempt.retry_count,
            retry_limit = job.retry_limit,
            priority = job.priority,
            created_on = %job.created_on.to_rfc3339(),
            data_bytes = job.data_text().len(),
            "a job came",
        );
        Box::pin(std::future::ready(Ok(None)))
    }
}
