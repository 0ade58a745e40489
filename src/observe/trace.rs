//! Traces: made where an endpoint is set, sent in batches by a thread of their own, and never in anyone's way.
//!
//! A collector that is down, slow or wrong costs spans, which are counted, and nothing else. The SDK reads the standard variables for what is
//! not in the configuration: `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER` (a parent's decision
//! is followed unless it says otherwise), `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_BSP_*`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use http::Uri;
use opentelemetry::trace::{Link, SpanBuilder, SpanKind, TraceContextExt, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracer, SdkTracerProvider, Span, SpanData, SpanProcessor};
use prometheus::IntCounterVec;

use super::propagation;
use super::span::{Opening, OperationSpan, Place, ProcessSpan, RunLink, attribute};
use crate::job::Job;
use crate::queue::QueueName;

/// How long one delivery to the collector may take.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last delivery may hold up the end of the program.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Why traces cannot be made. A collector that is down is no such reason.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The endpoint is not a URL that can be posted to. It is not repeated here, since it may hold a password.
    #[error("telemetry.otlp_endpoint must be an http:// or https:// URL, such as http://localhost:4318")]
    Endpoint,
    /// The exporter refused its settings.
    #[error("traces cannot be exported: {0}")]
    Exporter(String),
}

/// Makes spans; cheap to clone. Off, it makes none and costs nothing.
#[derive(Debug, Clone, Default)]
pub struct Tracer {
    active: Option<Active>,
    place: Option<Arc<Place>>,
}

#[derive(Debug, Clone)]
struct Active {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    counts: Arc<Counts>,
}

/// Spans on their way to the collector.
#[derive(Debug, Default)]
struct Counts {
    /// Those that wait for the exporter, or that it is sending.
    waiting: AtomicUsize,
    spans: OnceLock<IntCounterVec>,
}

impl Counts {
    fn count(&self, outcome: &str, spans: usize) {
        if let Some(counter) = self.spans.get() {
            counter.with_label_values(&[outcome]).inc_by(spans as u64);
        }
    }
}

impl Tracer {
    /// Makes no spans.
    pub fn off() -> Tracer {
        Tracer::default()
    }

    /// Sends spans to the collector at `endpoint` (OTLP over HTTP, protobuf), or makes none where there is no endpoint.
    ///
    /// The endpoint is a base as in `OTEL_EXPORTER_OTLP_ENDPOINT`: `/v1/traces` is added unless it is there already.
    /// Nothing is sent yet; the collector need not be up.
    pub fn new(endpoint: Option<&str>) -> Result<Tracer, TraceError> {
        let Some(endpoint) = endpoint.map(str::trim).filter(|endpoint| !endpoint.is_empty()) else {
            return Ok(Tracer::off());
        };
        if std::env::var("OTEL_SDK_DISABLED").is_ok_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(Tracer::off());
        }
        let url = traces_url(endpoint)?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(url.to_string())
            .with_http_client(client(&url)?)
            .build()
            .map_err(|error| TraceError::Exporter(error.to_string()))?;
        let counts = Arc::new(Counts::default());
        let watched = Watched {
            exporter,
            failing: AtomicBool::new(false),
            counts: Arc::clone(&counts),
        };
        let gate = Gate {
            inner: BatchSpanProcessor::builder(watched).build(),
            most: queue_size(),
            counts: Arc::clone(&counts),
        };
        let provider = SdkTracerProvider::builder()
            .with_span_processor(gate)
            .with_resource(resource())
            .build();
        let scope = InstrumentationScope::builder("strawboss")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        let tracer = provider.tracer_with_scope(scope);
        Ok(Tracer {
            active: Some(Active {
                provider,
                tracer,
                counts,
            }),
            place: None,
        })
    }

    /// Counts what becomes of spans: `exported`, `lost` where the collector did not take them, `dropped` where so many waited
    /// for it that there was no room. What happened before is not counted.
    pub fn count_in(&self, spans: IntCounterVec) {
        if let Some(active) = &self.active {
            // Whoever came first counts.
            let _ = active.counts.spans.set(spans);
        }
    }

    /// The same tracer, whose spans say in which database and schema they happened.
    pub fn within(&self, database: &str, schema: &str) -> Tracer {
        let place = self.active.is_some().then(|| {
            Arc::new(Place {
                namespace: format!("{database}|{schema}").into(),
                schema: schema.into(),
            })
        });
        Tracer {
            active: self.active.clone(),
            place,
        }
    }

    /// Whether spans are made at all.
    pub fn is_on(&self) -> bool {
        self.active.is_some()
    }

    /// Starts the span of one attempt, as of when it was claimed by this machine's clock. It continues the trace the job
    /// was sent in, and begins one where there is none; it is never part of the trace of whoever calls this.
    pub fn process_span(&self, job: &Job, claimed: SystemTime) -> ProcessSpan {
        let parent = propagation::extract(job.trace_context.as_deref());
        let Some(active) = &self.active else {
            return ProcessSpan::new(parent, job.id());
        };
        let about = [
            KeyValue::new(attribute::MESSAGE_ID, job.id().to_string()),
            KeyValue::new(attribute::RETRY_COUNT, i64::from(job.attempt.retry_count)),
        ];
        let span = self
            .opening("process", "process", SpanKind::Consumer, Some(job.queue.as_str()))
            .builder(about)
            .with_start_time(claimed);
        ProcessSpan::new(active.start(span, &parent), job.id())
    }

    /// Starts the span of one statement that writes verdicts. One verdict makes it a child of the attempt's own span;
    /// several make it a trace of its own that links to each of them.
    ///
    /// `queue` is `None` where the verdicts are of several queues. With traces off `runs` is not looked at.
    pub fn settle_span(
        &self,
        operation: &str,
        queue: Option<&QueueName>,
        runs: impl IntoIterator<Item = RunLink>,
    ) -> OperationSpan {
        let Some(active) = &self.active else {
            return OperationSpan::new(Context::new());
        };
        let runs: Vec<RunLink> = runs.into_iter().collect();
        let opening = self.opening(operation, "settle", SpanKind::Client, queue.map(QueueName::as_str));
        let context = match runs.as_slice() {
            [run] => {
                let about = KeyValue::new(attribute::MESSAGE_ID, run.job.to_string());
                active.start(opening.builder([about]), &run.context)
            }
            runs => {
                let links = runs
                    .iter()
                    .map(|run| Link::with_context(run.context.span().span_context().clone()))
                    .collect();
                let span = opening.builder([count(runs.len())]).with_links(links);
                active.start(span, &Context::new())
            }
        };
        OperationSpan::new(context)
    }

    /// Starts the span of one call that creates `jobs` jobs, as a part of the trace in `parent`: a handler's own
    /// [`Context::trace`](crate::handler::Context::trace), or the root context.
    ///
    /// `destination` is the queue, or the event that is published; `None` where the jobs are of several queues.
    ///
    /// With traces off the parent's trace is passed on as it is.
    pub fn send_span(
        &self,
        operation: &str,
        destination: Option<&str>,
        jobs: usize,
        parent: &Context,
    ) -> OperationSpan {
        let Some(active) = &self.active else {
            return OperationSpan::new(parent.clone());
        };
        let span = self
            .opening(operation, "send", SpanKind::Producer, destination)
            .builder((jobs > 1).then(|| count(jobs)));
        OperationSpan::new(active.start(span, parent))
    }

    fn opening<'a>(
        &'a self,
        operation: &'a str,
        kind: &'static str,
        span_kind: SpanKind,
        queue: Option<&'a str>,
    ) -> Opening<'a> {
        Opening {
            operation,
            kind,
            span_kind,
            queue,
            place: self.place.as_deref(),
        }
    }

    /// Sends what is left, waiting for the collector a few seconds at most. Spans that end later are lost.
    pub async fn shutdown(&self) {
        let Some(Active { provider, .. }) = self.active.clone() else {
            return;
        };
        // It waits for the exporter's thread, which must not hold up a thread of the runtime.
        let shut = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(SHUTDOWN_TIMEOUT)).await;
        if let Ok(Err(error)) = shut {
            tracing::warn!(%error, "the last spans were not delivered");
        }
    }
}

impl Active {
    fn start(&self, span: SpanBuilder, parent: &Context) -> Context {
        parent.with_span(self.tracer.build_with_context(span, parent))
    }
}

fn count(jobs: usize) -> KeyValue {
    KeyValue::new(attribute::MESSAGE_COUNT, i64::try_from(jobs).unwrap_or(i64::MAX))
}

fn resource() -> Resource {
    let resource = Resource::builder().build();
    let named = resource
        .get(&opentelemetry::Key::from_static_str("service.name"))
        .is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let mut builder = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if !named {
        builder = builder.with_service_name("strawboss");
    }
    builder.build()
}

fn traces_url(endpoint: &str) -> Result<Uri, TraceError> {
    let base = endpoint.trim_end_matches('/');
    let url = if base.ends_with("/v1/traces") {
        base.to_owned()
    } else {
        format!("{base}/v1/traces")
    };
    let url: Uri = url.parse().map_err(|_| TraceError::Endpoint)?;
    if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none_or(str::is_empty) {
        return Err(TraceError::Endpoint);
    }
    Ok(url)
}

fn is_loopback(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The client of the exporter's thread. It has its own TLS settings so that nothing depends on a default set for the
/// whole process.
fn client(endpoint: &Uri) -> Result<reqwest::blocking::Client, TraceError> {
    let mut roots = rustls::RootCertStore::empty();
    if endpoint.scheme_str() == Some("https") {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| TraceError::Exporter(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut builder = reqwest::blocking::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(EXPORT_TIMEOUT);
    if is_loopback(endpoint) {
        // A proxy of the environment would look for the collector on its own machine.
        builder = builder.no_proxy();
    }
    // A blocking client must not be made on a thread of the runtime.
    std::thread::spawn(move || builder.build())
        .join()
        .map_err(|_| TraceError::Exporter("the HTTP client could not be made".into()))?
        .map_err(|error| TraceError::Exporter(error.to_string()))
}

/// Lets spans through as long as there is room for them. The SDK's own queue drops the rest, too, but does not count it.
#[derive(Debug)]
struct Gate {
    inner: BatchSpanProcessor,
    most: usize,
    counts: Arc<Counts>,
}

impl SpanProcessor for Gate {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        if self.counts.waiting.fetch_add(1, Ordering::Relaxed) >= self.most {
            self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
            self.counts.count("dropped", 1);
            return;
        }
        self.inner.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// How many spans may wait, as the SDK reads it.
fn queue_size() -> usize {
    let said = std::env::var("OTEL_BSP_MAX_QUEUE_SIZE").ok();
    said.and_then(|said| said.parse().ok()).unwrap_or(2048)
}

/// Says in the log when spans begin to be lost and when they no longer are, once each.
#[derive(Debug)]
struct Watched {
    exporter: SpanExporter,
    failing: AtomicBool,
    counts: Arc<Counts>,
}

impl opentelemetry_sdk::trace::SpanExporter for Watched {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.exporter.export(batch).await;
        self.counts.waiting.fetch_sub(spans, Ordering::Relaxed);
        self.counts
            .count(if result.is_ok() { "exported" } else { "lost" }, spans);
        match &result {
            Ok(()) => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("spans are delivered again");
                }
            }
            Err(error) => {
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, spans, "spans are lost until the collector takes them");
                }
            }
        }
        result
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.exporter.shutdown()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_is_a_base() {
        let url = |endpoint| traces_url(endpoint).expect("a URL").to_string();
        assert_eq!(url("http://localhost:4318"), "http://localhost:4318/v1/traces");
        assert_eq!(url("http://localhost:4318/"), "http://localhost:4318/v1/traces");
        assert_eq!(url("https://otlp.example/otlp"), "https://otlp.example/otlp/v1/traces");
        assert_eq!(url("https://otlp.example/v1/traces"), "https://otlp.example/v1/traces");
    }

    #[test]
    fn an_odd_endpoint_is_refused_without_repeating_it() {
        for odd in ["localhost:4318", "grpc://me:secret@host:4317", "http://", "not a url"] {
            let error = Tracer::new(Some(odd)).expect_err(odd).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn loopback_is_known_by_name_and_address() {
        for (endpoint, expected) in [
            ("http://localhost:4318", true),
            ("http://127.0.0.1:4318", true),
            ("http://[::1]:4318", true),
            ("http://collector:4318", false),
            ("http://10.0.0.1:4318", false),
        ] {
            let url = traces_url(endpoint).expect("a URL");
            assert_eq!(is_loopback(&url), expected, "{endpoint}");
        }
    }

    #[test]
    fn no_endpoint_is_off() {
        assert!(!Tracer::new(None).expect("off").is_on());
        assert!(!Tracer::new(Some("  ")).expect("off").is_on());
    }
}
