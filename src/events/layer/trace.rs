//! Every run is seen: in the log, and as metrics.

use std::fmt;
use std::time::Instant;

use tower::{Layer, ServiceExt};
use tracing::Instrument;

use super::{Answer, Call, Inner, service};
use crate::handler::{HandlerError, Then};
use crate::observe::{EventOutcome, Metrics};

/// How much of a correlation id a log line has, in characters.
const SHOWN: usize = 64;

/// Gives each run a span that names the handler, the event, its id and its correlation id, so that every line that is
/// logged inside says for whom, and counts it in `event_handler_runs_total` and `event_handler_duration_seconds`.
#[derive(Clone)]
pub struct TraceLayer {
    handler: std::sync::Arc<str>,
    metrics: Metrics,
}

impl TraceLayer {
    /// Shows runs under that handler's name.
    pub fn new(handler: impl Into<std::sync::Arc<str>>, metrics: &Metrics) -> TraceLayer {
        let handler = handler.into();
        metrics.register_event_handler(&handler);
        TraceLayer {
            handler,
            metrics: metrics.clone(),
        }
    }

    async fn around<S: Inner>(self, inner: S, call: Call) -> Result<Answer, HandlerError> {
        let (event, job) = (&call.event, &call.job);
        let correlation: String = event.metadata.correlation_id.chars().take(SHOWN).collect();
        let span = tracing::info_span!(
            "event",
            handler = &*self.handler,
            event = ?event.metadata.event_name,
            id = %event.metadata.event_id,
            correlation = ?correlation,
            retry_count = job.attempt.retry_count,
        );
        let mut seen = Seen {
            layer: &self,
            since: Instant::now(),
            outcome: EventOutcome::Cancelled,
        };
        let result = inner.oneshot(call).instrument(span.clone()).await;
        seen.outcome = match &result {
            Ok(answer) if answer.skipped => EventOutcome::Skipped,
            Ok(_) => EventOutcome::Completed,
            Err(error) => match error.then {
                Then::Postpone(_) => EventOutcome::Postponed,
                Then::DeadLetter => EventOutcome::Rejected,
                _ if error.name == "TimeoutError" => EventOutcome::TimedOut,
                _ => EventOutcome::Failed,
            },
        };
        let ms = seen.since.elapsed().as_secs_f64() * 1e3;
        span.in_scope(|| tracing::debug!(outcome = seen.outcome.as_str(), ms, "handled"));
        drop(seen);
        result
    }
}

impl fmt::Debug for TraceLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TraceLayer").field(&self.handler).finish()
    }
}

/// Counts a run once, however it ends.
struct Seen<'a> {
    layer: &'a TraceLayer,
    since: Instant,
    outcome: EventOutcome,
}

impl Drop for Seen<'_> {
    fn drop(&mut self) {
        let TraceLayer { handler, metrics } = self.layer;
        if std::thread::panicking() {
            self.outcome = EventOutcome::Failed;
        }
        metrics
            .event_handler_runs
            .with_label_values(&[&**handler, self.outcome.as_str()])
            .inc();
        metrics
            .event_handler_duration
            .with_label_values(&[&**handler])
            .observe(self.since.elapsed().as_secs_f64());
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Traced<S>;

    fn layer(&self, inner: S) -> Traced<S> {
        Traced {
            layer: self.clone(),
            inner,
        }
    }
}

/// A service with a [`TraceLayer`] around it.
#[derive(Debug, Clone)]
pub struct Traced<S> {
    layer: TraceLayer,
    inner: S,
}

service!(Traced);
