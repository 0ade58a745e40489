//! Runs a handler once, and turns whatever happens into a verdict.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::handler::{Context, Handler, HandlerError, Then};
use crate::job::{Job, Verdict};
use crate::settle;

/// How an attempt ended.
#[derive(Debug)]
pub enum Ended {
    /// The handler came to a verdict.
    Verdict(Verdict),
    /// The deadline cut it off; the verdict says so.
    Expired(Verdict),
    /// The row is no longer this attempt's (cancelled by a user, or taken back): there is nothing to write.
    Lost,
}

/// Runs the handler until it is done, its deadline passes, the row is lost, or `hand_back` is cancelled.
pub async fn attempt(
    handler: &Arc<dyn Handler>,
    job: &Arc<Job>,
    deadline: Instant,
    lost: &CancellationToken,
    hand_back: &CancellationToken,
    trace: opentelemetry::Context,
) -> Ended {
    let cancelled = CancellationToken::new();
    let _guard = cancelled.clone().drop_guard();
    let context = Context {
        cancelled,
        deadline,
        trace,
    };
    let run = AssertUnwindSafe(async { handler.run(Arc::clone(job), context).await }).catch_unwind();
    tokio::select! {
        biased;
        () = lost.cancelled() => Ended::Lost,
        result = run => Ended::Verdict(match result {
            Ok(Ok(output)) => Verdict::Complete { output: output.and_then(settle::wrap) },
            Ok(Err(error)) => failed(&error),
            Err(panic) => failed(&HandlerError::retry(format!("handler panicked: {}", told(&*panic))).named("PanicError")),
        }),
        () = tokio::time::sleep_until(deadline.into()) => Ended::Expired(failed(&overrun(job.expire))),
        () = hand_back.cancelled() => Ended::Verdict(Verdict::Release),
    }
}

fn overrun(expire: Duration) -> HandlerError {
    HandlerError::retry(format!("handler execution exceeded {}s", expire.as_secs_f64())).named("TimeoutError")
}

fn failed(error: &HandlerError) -> Verdict {
    let output = settle::failure(error);
    let reason = error.message.clone();
    match error.then {
        Then::Retry => Verdict::Fail {
            output,
            reason,
            not_before: None,
            after: None,
        },
        Then::RetryNoSooner(delay) => Verdict::Fail {
            output,
            reason,
            not_before: Some(delay),
            after: None,
        },
        Then::RetryAfter(delay) => Verdict::Fail {
            output,
            reason,
            not_before: None,
            after: Some(delay),
        },
        Then::DeadLetter => Verdict::DeadLetter { output, reason },
    }
}

fn told(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
