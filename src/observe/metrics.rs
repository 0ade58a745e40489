//! The metrics, each under the name that dashboards know.

use prometheus::{Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// Seconds, from a millisecond to a quarter of an hour.
const DURATIONS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0,
];
/// Seconds a job waits, up to a day.
const WAITS: &[f64] = &[
    0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0,
];
/// Rows of one statement.
const BATCHES: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0];
/// Attempts of one job.
const ATTEMPTS: &[f64] = &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 50.0];

/// Every metric of the worker; cheap to clone.
#[derive(Clone)]
#[allow(missing_docs)]
pub struct Metrics {
    pub registry: Registry,
    pub jobs_processed: IntCounterVec,
    pub job_duration: HistogramVec,
    pub job_wait: HistogramVec,
    pub job_attempts: HistogramVec,
    pub jobs_in_flight: IntGaugeVec,
    pub concurrency_limit: IntGaugeVec,
    pub oldest_running: GaugeVec,
    pub queue_paused: IntGaugeVec,
    pub claim_duration: HistogramVec,
    pub claim_batch_size: HistogramVec,
    pub wakeups: IntCounterVec,
    pub settle_duration: HistogramVec,
    pub settle_batch_size: HistogramVec,
    pub settle_failures: IntCounterVec,
    pub fence_rejections: IntCounterVec,
    pub heartbeats: IntCounterVec,
    pub rescued_jobs: IntCounterVec,
    pub schema_version: IntGauge,
    pub schema_supported: IntGauge,
    pub listen_connected: IntGauge,
    pub pool_connections: IntGaugeVec,
    pub db_errors: IntCounterVec,
    pub clock_skew: Gauge,
    pub http_push_requests: IntCounterVec,
}

impl Metrics {
    /// Makes and registers them all.
    ///
    /// # Panics
    /// Never: the names are constants, and each is registered once in a registry of its own.
    pub fn new() -> Metrics {
        let registry = Registry::new();
        let made = Maker { registry: &registry };
        let metrics = Metrics {
            jobs_processed: made.counters(
                "pgboss_jobs_processed_total",
                "Attempts by what came of them.",
                &["queue", "outcome"],
            ),
            job_duration: made.histograms(
                "pgboss_job_duration_seconds",
                "Time a handler ran.",
                &["queue", "outcome"],
                DURATIONS,
            ),
            job_wait: made.histograms(
                "pgboss_job_wait_seconds",
                "Time from when a job was allowed to run until it was claimed.",
                &["queue"],
                WAITS,
            ),
            job_attempts: made.histograms(
                "pgboss_job_attempts",
                "Attempts a job had needed when it ended.",
                &["queue"],
                ATTEMPTS,
            ),
            jobs_in_flight: made.gauges(
                "pgboss_jobs_in_flight",
                "Jobs claimed here whose verdict is not written yet.",
                &["queue"],
            ),
            concurrency_limit: made.gauges(
                "pgboss_worker_concurrency_limit",
                "Jobs of the queue that may run here at once.",
                &["queue"],
            ),
            oldest_running: made.float_gauges(
                "pgboss_job_oldest_running_seconds",
                "Age of the oldest attempt running here; 0 when none does.",
                &["queue"],
            ),
            queue_paused: made.gauges(
                "pgboss_queue_paused",
                "1 while nothing is claimed from the queue on purpose.",
                &["queue"],
            ),
            claim_duration: made.histograms(
                "pgboss_claim_duration_seconds",
                "Time of one claim statement.",
                &["queue"],
                DURATIONS,
            ),
            claim_batch_size: made.histograms(
                "pgboss_claim_batch_size",
                "Jobs one claim brought.",
                &["queue"],
                BATCHES,
            ),
            wakeups: made.counters(
                "pgboss_wakeups_total",
                "What made the worker look for jobs.",
                &["queue", "source"],
            ),
            settle_duration: made.histograms(
                "pgboss_settle_duration_seconds",
                "Time of one settle statement.",
                &["op"],
                DURATIONS,
            ),
            settle_batch_size: made.histograms(
                "pgboss_settle_batch_size",
                "Verdicts written by one settle statement.",
                &["op"],
                BATCHES,
            ),
            settle_failures: made.counters(
                "pgboss_settle_failures_total",
                "Settle statements that failed and are tried again or given up.",
                &["op"],
            ),
            fence_rejections: made.counters(
                "pgboss_fence_rejections_total",
                "Verdicts refused because the row had moved on.",
                &["queue"],
            ),
            heartbeats: made.counters(
                "pgboss_heartbeats_total",
                "Rows touched to keep their lease.",
                &["queue"],
            ),
            rescued_jobs: made.counters(
                "pgboss_rescued_jobs_total",
                "Jobs taken back from a worker that fell silent or overran.",
                &["queue", "reason"],
            ),
            schema_version: made.gauge("pgboss_schema_version", "The schema version found; 0 when none is."),
            schema_supported: made.gauge(
                "pgboss_schema_supported",
                "1 while the schema is one this worker speaks.",
            ),
            listen_connected: made.gauge("pgboss_listen_connected", "1 while the LISTEN connection is up."),
            pool_connections: made.gauges("pgboss_db_pool_connections", "Connections of the pool.", &["state"]),
            db_errors: made.counters("pgboss_db_errors_total", "Database errors by class.", &["class"]),
            clock_skew: made.float_gauge("pgboss_db_clock_skew_seconds", "Database time minus local time."),
            http_push_requests: made.counters(
                "http_push_requests_total",
                "Requests to handlers over HTTP.",
                &["queue", "status_class"],
            ),
            registry: registry.clone(),
        };
        let info = made.gauges("pgboss_build_info", "1, labelled with the version.", &["version"]);
        info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        #[cfg(target_os = "linux")]
        made.register(prometheus::process_collector::ProcessCollector::for_self());
        metrics
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes collectors and registers them; an error can only be a mistake in the names above.
struct Maker<'a> {
    registry: &'a Registry,
}

const NAMES: &str = "metric names are unique and well formed";

impl Maker<'_> {
    fn register(&self, collector: impl prometheus::core::Collector + 'static) {
        self.registry.register(Box::new(collector)).expect(NAMES);
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        let made = IntCounterVec::new(Opts::new(name, help), labels).expect(NAMES);
        self.register(made.clone());
        made
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        let made = IntGaugeVec::new(Opts::new(name, help), labels).expect(NAMES);
        self.register(made.clone());
        made
    }

    fn float_gauges(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        let made = GaugeVec::new(Opts::new(name, help), labels).expect(NAMES);
        self.register(made.clone());
        made
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        let made = IntGauge::new(name, help).expect(NAMES);
        self.register(made.clone());
        made
    }

    fn float_gauge(&self, name: &str, help: &str) -> Gauge {
        let made = Gauge::new(name, help).expect(NAMES);
        self.register(made.clone());
        made
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        let made = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels).expect(NAMES);
        self.register(made.clone());
        made
    }
}
