//! The trace that a handler's work continues.

use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use serde_json::Value;

use super::Context;
use crate::job::Job;

/// The W3C fields that let whatever the handler calls join the trace.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Trace {
    pub(super) traceparent: Option<String>,
    pub(super) tracestate: Option<String>,
}

impl Trace {
    /// Of the attempt's own span; while traces are off here, of the producer's, so that the trace is not cut.
    pub(super) fn of(job: &Job, context: &Context) -> Trace {
        let mut carrier = HashMap::new();
        TraceContextPropagator::new().inject_context(&context.trace, &mut carrier);
        let own = Trace {
            traceparent: carrier.remove("traceparent"),
            tracestate: carrier.remove("tracestate").filter(|state| !state.is_empty()),
        };
        if own.traceparent.is_some() {
            own
        } else {
            Trace::of_producer(job)
        }
    }

    /// What the producer left in `trace_context`. It is data: anything but a line of visible ASCII is left out.
    fn of_producer(job: &Job) -> Trace {
        let Some(Ok(Value::Object(mut carrier))) = job
            .trace_context
            .as_deref()
            .map(|carrier| serde_json::from_str(carrier.get()))
        else {
            return Trace::default();
        };
        let mut field = |name| match carrier.remove(name) {
            Some(Value::String(text)) if is_line(&text) => Some(text),
            _ => None,
        };
        let (traceparent, tracestate) = (field("traceparent"), field("tracestate"));
        Trace {
            tracestate: tracestate.filter(|_| traceparent.is_some()),
            traceparent,
        }
    }
}

fn is_line(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}
