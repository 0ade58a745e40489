//! The span of a call that creates jobs, and what of it travels with them, as pg-boss's own telemetry has it.

use std::borrow::Cow;

use opentelemetry::Context;
use uuid::Uuid;

use super::{Client, Error};
use crate::dialect::{Capability, Dialect};
use crate::enqueue::{FlowJob, JobChanges, JobInsert, SendOptions};
use crate::job::RawJson;
use crate::observe::{self, OperationSpan, Tracer};

/// Who makes spans, and of which trace they are part. Off, and without a trace to pass on, it costs nothing.
#[derive(Clone, Default)]
pub(super) struct Producer {
    pub tracer: Tracer,
    pub parent: Context,
}

/// A call under way.
pub(super) struct Producing {
    span: Option<OperationSpan>,
    carrier: Option<RawJson>,
}

impl<E> Client<E> {
    /// Begins a call that creates `jobs` jobs in a queue, in several (`None`), or for an event.
    pub(super) fn producing(&self, operation: &str, destination: Option<&str>, jobs: usize) -> Producing {
        let Producer { tracer, parent } = &self.producer;
        let span = tracer.send_span(operation, destination, jobs, parent);
        let carrier = span.carrier();
        Producing {
            span: tracer.is_on().then_some(span),
            carrier,
        }
    }
}

impl Producing {
    /// What is to be carried in place of nothing; what the caller has chosen stays, and so does what the schema has no room for.
    fn for_one(&self, chosen: Option<&RawJson>, dialect: &Dialect) -> Option<RawJson> {
        match chosen {
            None if dialect.has(Capability::TraceContext) => self.carrier.clone(),
            _ => None,
        }
    }

    pub fn options<'o>(&self, options: &'o SendOptions, dialect: &Dialect) -> Cow<'o, SendOptions> {
        match self.for_one(options.trace.as_ref(), dialect) {
            None => Cow::Borrowed(options),
            trace => Cow::Owned(SendOptions {
                trace,
                ..options.clone()
            }),
        }
    }

    pub fn changes<'o>(&self, changes: &'o JobChanges, dialect: &Dialect) -> Cow<'o, JobChanges> {
        match self.for_one(changes.trace.as_ref(), dialect) {
            None => Cow::Borrowed(changes),
            trace => Cow::Owned(JobChanges {
                trace,
                ..changes.clone()
            }),
        }
    }

    pub fn jobs<'j>(&self, jobs: &'j [JobInsert], dialect: &Dialect) -> Cow<'j, [JobInsert]> {
        self.each(jobs, dialect, |job| &mut job.options)
    }

    pub fn flow<'j>(&self, jobs: &'j [FlowJob], dialect: &Dialect) -> Cow<'j, [FlowJob]> {
        self.each(jobs, dialect, |job| &mut job.options)
    }

    fn each<'j, J: Clone>(
        &self,
        jobs: &'j [J],
        dialect: &Dialect,
        options: impl Fn(&mut J) -> &mut SendOptions,
    ) -> Cow<'j, [J]> {
        if self.carrier.is_none() || !dialect.has(Capability::TraceContext) {
            return Cow::Borrowed(jobs);
        }
        let mut jobs = jobs.to_vec();
        for job in &mut jobs {
            let options = options(job);
            options.trace = options.trace.take().or_else(|| self.carrier.clone());
        }
        Cow::Owned(jobs)
    }

    /// Ends the span with what came of the call; it names the job where there is one.
    pub fn ended<T>(self, result: Result<T, Error>, job: impl FnOnce(&T) -> Option<Uuid>) -> Result<T, Error> {
        let Some(span) = self.span else { return result };
        match &result {
            Ok(done) => {
                if let Some(id) = job(done) {
                    span.job(id);
                }
                span.end(None);
            }
            Err(error) => span.end(Some(observe::Failure {
                kind: error.kind(),
                message: &error.to_string(),
                stack: None,
            })),
        }
        result
    }
}
