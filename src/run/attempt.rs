//! Runs a handler once, and turns whatever happens into a verdict.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::handler::{Along, Context, Handler, HandlerError};
use crate::job::{Job, Outcome, Verdict};
use crate::run::Lost;
use crate::settle;

/// How an attempt ended.
#[derive(Debug)]
pub enum Ended {
    /// The handler came to a verdict.
    Verdict(Verdict),
    /// The deadline cut it off; the verdict says so.
    Expired(Verdict),
    /// The row is no longer this attempt's; there is nothing to write.
    Lost(Outcome),
}

/// Runs the handler until it is done, its deadline passes, the row is lost, or `hand_back` is cancelled.
pub async fn attempt(
    handler: &Arc<dyn Handler>,
    job: &Arc<Job>,
    deadline: Instant,
    lost: &Lost,
    hand_back: &CancellationToken,
    trace: opentelemetry::Context,
) -> Ended {
    let cancelled = CancellationToken::new();
    let along = Along::default();
    let context = Context {
        cancelled: cancelled.clone(),
        deadline,
        trace,
        along: along.clone(),
    };
    let begun = catch_unwind(AssertUnwindSafe(|| handler.run(Arc::clone(job), context)));
    let mut run = match begun {
        Ok(run) => run,
        Err(panic) => return Ended::Verdict(Verdict::Fail(panicked(&*panic))),
    };
    let ended = tokio::select! {
        biased;
        () = lost.happened() => Ended::Lost(lost.outcome()),
        result = AssertUnwindSafe(&mut run).catch_unwind() => Ended::Verdict(match result {
            Ok(Ok(output)) => Verdict::Complete {
                output: output.and_then(settle::wrap),
                logged: along.take(),
            },
            Ok(Err(error)) => Verdict::Fail(error),
            Err(panic) => Verdict::Fail(panicked(&*panic)),
        }),
        () = tokio::time::sleep_until(deadline.into()) => Ended::Expired(Verdict::Fail(overrun(job.expire))),
        () = hand_back.cancelled() => Ended::Verdict(Verdict::Release),
    };
    // Of an attempt that did not succeed; somebody may keep the context for longer.
    drop(along.take());
    // First, so that whatever the handler has begun elsewhere knows when its future goes.
    cancelled.cancel();
    if let Err(panic) = catch_unwind(AssertUnwindSafe(move || drop(run))) {
        tracing::warn!(queue = %job.queue, job = %job.attempt.id, panic = told(&*panic), "a handler panicked when it was cut off");
    }
    ended
}

pub(crate) fn panicked(panic: &(dyn Any + Send)) -> HandlerError {
    HandlerError::retry(format!("handler panicked: {}", told(panic))).named("PanicError")
}

fn overrun(expire: Duration) -> HandlerError {
    HandlerError::retry(format!("handler execution exceeded {}s", expire.as_secs_f64())).named("TimeoutError")
}

fn told(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
