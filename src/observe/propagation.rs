//! Trace context on its way: out of `job.trace_context`, and into it.
//!
//! The carrier is what pg-boss stores: a flat JSON object of the W3C fields `traceparent`, `tracestate` and `baggage`.
//! Whatever else is found there is ignored; a broken carrier is no carrier, and never an error.

use std::collections::HashMap;

use http::HeaderMap;
use opentelemetry::Context;
use opentelemetry::propagation::{Injector, TextMapPropagator};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::job::RawJson;

/// The context a job was sent in; the root context where it was sent without one.
pub fn extract(carrier: Option<&RawValue>) -> Context {
    let Some(Ok(fields)) = carrier.map(|carrier| serde_json::from_str::<Map<String, Value>>(carrier.get())) else {
        return Context::new();
    };
    let fields: HashMap<String, String> = fields
        .into_iter()
        .filter_map(|(name, value)| match value {
            Value::String(text) => Some((name.to_lowercase(), text)),
            _ => None,
        })
        .collect();
    of_fields(&fields)
}

/// The context a request was sent in; the root context where it says nothing of one.
pub fn received(headers: &HeaderMap) -> Context {
    let named = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let fields = ["traceparent", "tracestate", "baggage"];
    of_fields(
        &fields
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), named(name)?)))
            .collect(),
    )
}

/// The context that the environment speaks of, as a handler's program has it; the root context where it does not.
pub fn environment() -> Context {
    let fields = ["traceparent", "tracestate", "baggage"];
    let fields = fields
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), std::env::var(name.to_uppercase()).ok()?)));
    of_fields(&fields.collect())
}

fn of_fields(fields: &HashMap<String, String>) -> Context {
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), fields);
    BaggagePropagator::new().extract_with_context(&context, fields)
}

/// The carrier to store with a job sent in `context`; `None` where there is nothing to carry.
pub fn inject(context: &Context) -> Option<RawJson> {
    let mut fields = Fields::default();
    TraceContextPropagator::new().inject_context(context, &mut fields);
    BaggagePropagator::new().inject_context(context, &mut fields);
    if fields.0.is_empty() {
        return None;
    }
    serde_json::value::to_raw_value(&fields.0).ok()
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Injector for Fields {
    fn set(&mut self, name: &str, value: String) {
        // The propagator also sets an empty `tracestate`, which carries nothing.
        if !value.is_empty() {
            self.0.insert(name.to_owned(), Value::String(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::baggage::BaggageExt;
    use opentelemetry::trace::TraceContextExt;

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn raw(json: &str) -> RawJson {
        RawValue::from_string(json.to_owned()).expect("JSON")
    }

    #[test]
    fn a_carrier_survives_the_way_out_and_in() {
        let sent = format!(r#"{{"baggage":"tenant=a%20b","traceparent":"{PARENT}","tracestate":"vendor=1"}}"#);
        let context = extract(Some(&raw(&sent)));
        assert_eq!(
            context.span().span_context().trace_id().to_string(),
            "4bf92f3577b34da6a3ce929d0e0e4736"
        );
        assert!(context.span().span_context().is_remote());
        assert_eq!(context.baggage().get("tenant").map(|value| value.as_str()), Some("a b"));
        let again: Value = serde_json::from_str(inject(&context).expect("a carrier").get()).expect("JSON");
        assert_eq!(again["traceparent"], PARENT);
        assert_eq!(again["tracestate"], "vendor=1");
        assert_eq!(again["baggage"], "tenant=a%20b");
    }

    #[test]
    fn a_broken_carrier_is_no_carrier() {
        for broken in [
            "null",
            "7",
            "[]",
            "\"x\"",
            "{}",
            r#"{"traceparent":7}"#,
            r#"{"traceparent":"00-zz-zz-01"}"#,
            r#"{"traceparent":{"deep":true}}"#,
        ] {
            let context = extract(Some(&raw(broken)));
            assert!(!context.span().span_context().is_valid(), "{broken}");
            assert!(inject(&context).is_none(), "{broken}");
        }
        assert!(!extract(None).span().span_context().is_valid());
    }

    #[test]
    fn one_odd_field_does_not_cost_the_others() {
        let context = extract(Some(&raw(&format!(r#"{{"traceparent":"{PARENT}","odd":[1]}}"#))));
        assert!(context.span().span_context().is_valid());
    }

    #[test]
    fn the_carrier_has_no_empty_field() {
        let context = extract(Some(&raw(&format!(r#"{{"traceparent":"{PARENT}"}}"#))));
        assert_eq!(
            inject(&context).expect("a carrier").get(),
            format!(r#"{{"traceparent":"{PARENT}"}}"#)
        );
    }
}
