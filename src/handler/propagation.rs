//! The trace that a handler's work continues.

use std::collections::HashMap;

use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry_sdk::propagation::TraceContextPropagator;

/// The W3C fields that let whatever the handler calls join the trace.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Trace {
    pub(super) traceparent: Option<String>,
    pub(super) tracestate: Option<String>,
}

impl Trace {
    pub(super) fn of(context: &Context) -> Trace {
        let mut fields = HashMap::new();
        TraceContextPropagator::new().inject_context(context, &mut fields);
        Trace {
            traceparent: fields.remove("traceparent"),
            // The propagator also sets an empty one, which carries nothing.
            tracestate: fields.remove("tracestate").filter(|state| !state.is_empty()),
        }
    }
}
