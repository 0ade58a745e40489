//! A collector of traces: it takes OTLP over HTTP with protobuf and keeps the spans for the test to look at.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{self as wire, status::StatusCode as WireStatus};
use prost::Message;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::wait::PATIENCE;

/// A span as the collector received it; ids in lower-case hexadecimal, as `traceparent` has them.
#[derive(Debug, Clone)]
pub struct Span {
    pub name: String,
    pub kind: SpanKind,
    pub trace_id: String,
    pub span_id: String,
    /// Empty for a root.
    pub parent_span_id: String,
    pub start_unix_nanos: u64,
    pub end_unix_nanos: u64,
    pub attributes: BTreeMap<String, Value>,
    /// Of the process that sent it, `service.name` among them.
    pub resource: BTreeMap<String, Value>,
    /// Name and attributes of each.
    pub events: Vec<(String, BTreeMap<String, Value>)>,
    /// Trace and span id of each.
    pub links: Vec<(String, String)>,
    pub status: WireStatus,
    pub status_message: String,
}

/// The collector; it ends when dropped.
pub struct Collector {
    address: SocketAddr,
    spans: watch::Receiver<Vec<Span>>,
    serving: AbortHandle,
}

impl Collector {
    /// Listens on a port of its own.
    pub async fn start() -> Collector {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (sender, spans) = watch::channel(Vec::new());
        let router = Router::new()
            .route("/v1/traces", post(receive))
            .with_state(Arc::new(sender));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Collector {
            address,
            spans,
            serving,
        }
    }

    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` would be; `/v1/traces` is the exporter's to add.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that has come so far.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.borrow().clone()
    }

    /// The first span for which the condition holds, now or soon; panics with `what` and the names of those that came
    /// instead.
    pub async fn span(&self, what: &str, mut is_it: impl FnMut(&Span) -> bool) -> Span {
        let mut spans = self.spans.clone();
        let arrived = spans.wait_for(|spans| spans.iter().any(&mut is_it));
        if tokio::time::timeout(PATIENCE, arrived).await.is_err() {
            let names: Vec<_> = self.spans().into_iter().map(|span| span.name).collect();
            panic!("waited {PATIENCE:?} in vain for the span {what}; there are {names:?}");
        }
        self.spans().into_iter().find(is_it).expect("it has arrived")
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn receive(State(spans): State<Arc<watch::Sender<Vec<Span>>>>, body: Bytes) -> impl IntoResponse {
    let Ok(request) = ExportTraceServiceRequest::decode(body) else {
        return (
            StatusCode::BAD_REQUEST,
            [(header::CONTENT_TYPE, "text/plain")],
            Vec::new(),
        );
    };
    spans.send_modify(|spans| {
        for of_resource in request.resource_spans {
            let resource = of_resource
                .resource
                .map(|resource| map(resource.attributes))
                .unwrap_or_default();
            for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                spans.push(read(span, resource.clone()));
            }
        }
    });
    let answer = ExportTraceServiceResponse::default().encode_to_vec();
    (
        StatusCode::OK,
        [(header::CONTENT_TYPE, "application/x-protobuf")],
        answer,
    )
}

fn read(span: wire::Span, resource: BTreeMap<String, Value>) -> Span {
    let kind = span.kind();
    let (status, status_message) = match span.status {
        Some(status) => (status.code(), status.message),
        None => (WireStatus::Unset, String::new()),
    };
    Span {
        name: span.name,
        kind,
        trace_id: hexadecimal(&span.trace_id),
        span_id: hexadecimal(&span.span_id),
        parent_span_id: hexadecimal(&span.parent_span_id),
        start_unix_nanos: span.start_time_unix_nano,
        end_unix_nanos: span.end_time_unix_nano,
        attributes: map(span.attributes),
        resource,
        events: span
            .events
            .into_iter()
            .map(|event| (event.name, map(event.attributes)))
            .collect(),
        links: span
            .links
            .iter()
            .map(|link| (hexadecimal(&link.trace_id), hexadecimal(&link.span_id)))
            .collect(),
        status,
        status_message,
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn map(attributes: Vec<KeyValue>) -> BTreeMap<String, Value> {
    attributes
        .into_iter()
        .map(|attribute| (attribute.key, value(attribute.value)))
        .collect()
}

fn value(any: Option<AnyValue>) -> Value {
    match any.and_then(|any| any.value) {
        None => Value::Null,
        Some(any_value::Value::StringValue(text)) => json!(text),
        Some(any_value::Value::BoolValue(flag)) => json!(flag),
        Some(any_value::Value::IntValue(number)) => json!(number),
        Some(any_value::Value::DoubleValue(number)) => json!(number),
        Some(any_value::Value::ArrayValue(array)) => array.values.into_iter().map(|each| value(Some(each))).collect(),
        Some(any_value::Value::KvlistValue(list)) => json!(map(list.values)),
        Some(other) => json!(format!("{other:?}")),
    }
}
