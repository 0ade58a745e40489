//! The spans, named and attributed as pg-boss names and attributes its own.
//!
//! `process Q` is one attempt and continues the trace of whoever sent the job. `complete Q`, `fail Q`… are the statements
//! that write verdicts: a child of the attempt where there is one verdict, a trace of their own with links where there
//! are several. `send Q` creates jobs, and its context is what travels with them. A worker's empty polls have no span.

use std::sync::Arc;

use opentelemetry::trace::{SpanBuilder, SpanKind, SpanRef, Status, TraceContextExt};
use opentelemetry::{Context, KeyValue};
use uuid::Uuid;

use super::propagation;
use crate::handler::HandlerError;
use crate::job::{Outcome, RawJson, State};

/// The names of attributes: those of the OpenTelemetry messaging conventions, and pg-boss's own.
pub mod attribute {
    /// Always `pg-boss`.
    pub const SYSTEM: &str = "messaging.system";
    /// `send`, `process`, `complete`…
    pub const OPERATION_NAME: &str = "messaging.operation.name";
    /// `send`, `process` or `settle`.
    pub const OPERATION_TYPE: &str = "messaging.operation.type";
    /// The queue.
    pub const DESTINATION: &str = "messaging.destination.name";
    /// The job's id, where the span is about one job.
    pub const MESSAGE_ID: &str = "messaging.message.id";
    /// How many jobs, where the span is about several.
    pub const MESSAGE_COUNT: &str = "messaging.batch.message_count";
    /// The kind of error, where there was one.
    pub const ERROR_TYPE: &str = "error.type";
    /// `{database}|{schema}`.
    pub const DB_NAMESPACE: &str = "db.namespace";
    /// The schema pg-boss lives in.
    pub const SCHEMA: &str = "pgboss.schema";
    /// Which attempt it is; 0 is the first.
    pub const RETRY_COUNT: &str = "pgboss.job.retry_count";
    /// The state the attempt left the job in.
    pub const JOB_STATE: &str = "pgboss.job.state";
}

/// Why a span ended in an error.
#[derive(Debug, Clone, Copy)]
pub struct Failure<'a> {
    /// The kind of error; becomes `error.type`.
    pub kind: &'a str,
    /// What happened, for people.
    pub message: &'a str,
    /// Where it happened, where that is known.
    pub stack: Option<&'a str>,
}

impl<'a> From<&'a HandlerError> for Failure<'a> {
    fn from(error: &'a HandlerError) -> Self {
        Failure {
            kind: &error.name,
            message: &error.message,
            stack: error.stack.as_deref(),
        }
    }
}

/// What every span says of the place it happened in.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) namespace: Arc<str>,
    pub(super) schema: Arc<str>,
}

/// A span about to start.
pub(super) struct Opening<'a> {
    pub(super) operation: &'a str,
    pub(super) kind: &'static str,
    pub(super) span_kind: SpanKind,
    /// `None` where the span is about several queues.
    pub(super) queue: Option<&'a str>,
    pub(super) place: Option<&'a Place>,
}

impl Opening<'_> {
    pub(super) fn builder(&self, about: impl IntoIterator<Item = KeyValue>) -> SpanBuilder {
        let name = match self.queue {
            Some(queue) => format!("{} {queue}", self.operation),
            None => self.operation.to_owned(),
        };
        let mut attributes = Vec::with_capacity(9);
        attributes.push(KeyValue::new(attribute::SYSTEM, "pg-boss"));
        attributes.push(KeyValue::new(attribute::OPERATION_NAME, self.operation.to_owned()));
        attributes.push(KeyValue::new(attribute::OPERATION_TYPE, self.kind));
        if let Some(queue) = self.queue {
            attributes.push(KeyValue::new(attribute::DESTINATION, queue.to_owned()));
        }
        if let Some(place) = self.place {
            attributes.push(KeyValue::new(attribute::DB_NAMESPACE, Arc::clone(&place.namespace)));
            attributes.push(KeyValue::new(attribute::SCHEMA, Arc::clone(&place.schema)));
        }
        attributes.extend(about);
        SpanBuilder {
            attributes: Some(attributes),
            ..SpanBuilder::from_name(name).with_kind(self.span_kind.clone())
        }
    }
}

/// The span of one attempt, from its claim until its verdict is written.
///
/// Dropping it without [`ProcessSpan::end`] ends it without an outcome, once no clone of its context is left.
#[derive(Debug)]
pub struct ProcessSpan {
    context: Context,
    job: Uuid,
}

/// One attempt as a settle span refers to it.
#[derive(Debug, Clone)]
pub struct RunLink {
    /// The attempt's span, to be its parent or to be linked.
    pub(super) context: Context,
    /// The job.
    pub(super) job: Uuid,
}

impl ProcessSpan {
    pub(super) fn new(context: Context, job: Uuid) -> ProcessSpan {
        ProcessSpan { context, job }
    }

    /// What the handler is given: whatever it starts or calls with it continues this trace.
    ///
    /// With traces off it is the context the job was sent in, so that the trace at least passes through.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The trace it is in, unless there is none.
    pub fn trace_id(&self) -> Option<String> {
        let span = self.context.span();
        let context = span.span_context();
        context.is_valid().then(|| context.trace_id().to_string())
    }

    /// The trace and the span of it that a log line names, so that each leads to the other: none of a trace that nobody
    /// keeps, and no span where it is another's, for with traces off it passes through.
    pub(crate) fn logged(&self) -> (Option<String>, Option<String>) {
        let span = self.context.span();
        let context = span.span_context();
        let kept = context.is_valid() && context.is_sampled();
        (
            kept.then(|| context.trace_id().to_string()),
            (kept && !context.is_remote()).then(|| context.span_id().to_string()),
        )
    }

    /// How the statement that writes the verdict refers to this attempt.
    pub fn link(&self) -> RunLink {
        RunLink {
            context: self.context.clone(),
            job: self.job,
        }
    }

    /// Ends the span with what became of the attempt, and why if it failed.
    pub fn end(self, outcome: Outcome, failure: Option<Failure<'_>>) {
        let span = self.context.span();
        if !span.is_recording() {
            return;
        }
        if let Some(state) = state_after(outcome) {
            span.set_attribute(KeyValue::new(attribute::JOB_STATE, state.as_str()));
        }
        if let Some(failure) = failure {
            record(&span, failure);
        }
        span.end();
    }
}

/// The span of one statement that sends jobs or writes verdicts.
///
/// Dropping it without [`OperationSpan::end`] ends it as if all went well.
#[derive(Debug)]
pub struct OperationSpan {
    context: Context,
}

impl OperationSpan {
    pub(super) fn new(context: Context) -> OperationSpan {
        OperationSpan { context }
    }

    /// What is stored as `job.trace_context`, so that whoever runs the job continues this trace; `None` where there is
    /// nothing to continue.
    pub fn carrier(&self) -> Option<RawJson> {
        propagation::inject(&self.context)
    }

    /// Says which job came of it, where it was about one.
    pub fn job(&self, id: Uuid) {
        let span = self.context.span();
        if span.is_recording() {
            span.set_attribute(KeyValue::new(attribute::MESSAGE_ID, id.to_string()));
        }
    }

    /// Ends the span, with what went wrong if something did.
    pub fn end(self, failure: Option<Failure<'_>>) {
        let span = self.context.span();
        if let Some(failure) = failure {
            record(&span, failure);
        }
        span.end();
    }
}

/// The state an outcome leaves the row in, where the outcome alone tells.
fn state_after(outcome: Outcome) -> Option<State> {
    match outcome {
        Outcome::Completed => Some(State::Completed),
        Outcome::Retried => Some(State::Retry),
        Outcome::Failed | Outcome::DeadLettered => Some(State::Failed),
        Outcome::Cancelled => Some(State::Cancelled),
        // The row's own rule, or whoever else holds it by now, decided.
        Outcome::Expired | Outcome::Released | Outcome::Fenced => None,
    }
}

fn record(span: &SpanRef<'_>, failure: Failure<'_>) {
    let mut event = vec![
        KeyValue::new("exception.type", failure.kind.to_owned()),
        KeyValue::new("exception.message", failure.message.to_owned()),
    ];
    if let Some(stack) = failure.stack {
        event.push(KeyValue::new("exception.stacktrace", stack.to_owned()));
    }
    span.add_event("exception", event);
    span.set_attribute(KeyValue::new(attribute::ERROR_TYPE, failure.kind.to_owned()));
    span.set_status(Status::error(failure.message.to_owned()));
}
