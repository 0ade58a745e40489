//! The metrics, each under the name that dashboards know.
//!
//! Times are in seconds, sizes in rows. A label is a queue's name or one of a closed set of values, never a job id, a
//! group, an error text or a URL.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use super::Survey;
use super::labels::{ERROR_CLASSES, EventOutcome, PoolState, Rescue, SettleOp, Wakeup};
use crate::job::Outcome;
use crate::queue::QueueName;

/// The content type of [`Metrics::render`]: the Prometheus text format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

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
#[allow(missing_docs, reason = "each field is documented by the help text it is made with")]
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
    pub schedule_fires: IntCounterVec,
    pub schedule_lateness: Histogram,
    pub schema_version: IntGauge,
    pub schema_supported: IntGauge,
    pub listen_connected: IntGauge,
    pub pool_connections: IntGaugeVec,
    pub db_errors: IntCounterVec,
    pub clock_skew: Gauge,
    pub http_push_requests: IntCounterVec,
    pub event_handler_runs: IntCounterVec,
    pub event_handler_duration: HistogramVec,
    pub trace_spans: IntCounterVec,
    pub event_duplicates_skipped: IntCounterVec,
    pub event_circuit_state: IntGaugeVec,
    pub event_circuit_transitions: IntCounterVec,
    pub event_outbox_pending: IntGauge,
    pub event_outbox_oldest_pending: Gauge,
    pub event_outbox_held: IntGauge,
    pub event_outbox_relayed: IntCounterVec,
    pub event_dead_letters: IntCounterVec,
    pub event_query_duration: HistogramVec,
    pub queue_jobs: IntGaugeVec,
    pub queue_oldest_ready: GaugeVec,
    pub dead_letter_jobs: IntGaugeVec,
    pub xmin_age: IntGauge,
    pub oldest_transaction: Gauge,
    pub dead_tuples: IntGaugeVec,
    pub live_tuples: IntGaugeVec,
    pub lock_waits: IntGauge,
    pub gauges_age: Gauge,
    pub gauges_read: Gauge,
    refreshes: Arc<Mutex<Vec<Refresh>>>,
    surveys: Arc<Mutex<Vec<Survey>>>,
}

type Refresh = Arc<dyn Fn(&Metrics) + Send + Sync>;

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
                "Attempts that ended, by what came of them.",
                &["queue", "outcome"],
            ),
            job_duration: made.histograms(
                "pgboss_job_duration_seconds",
                "Seconds from the start of a handler's run to its verdict.",
                &["queue", "outcome"],
                DURATIONS,
            ),
            job_wait: made.histograms(
                "pgboss_job_wait_seconds",
                "Seconds from when a job was allowed to run until it was claimed.",
                &["queue"],
                WAITS,
            ),
            job_attempts: made.histograms(
                "pgboss_job_attempts",
                "Attempts a job had used when it completed or failed for good.",
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
                "Jobs of the queue that may run in this process at once.",
                &["queue"],
            ),
            oldest_running: made.float_gauges(
                "pgboss_job_oldest_running_seconds",
                "Seconds since the oldest attempt running here was claimed; 0 when none runs.",
                &["queue"],
            ),
            queue_paused: made.gauges(
                "pgboss_queue_paused",
                "1 while nothing is claimed from the queue on purpose.",
                &["queue"],
            ),
            claim_duration: made.histograms(
                "pgboss_claim_duration_seconds",
                "Seconds one claim statement took, empty ones included.",
                &["queue"],
                DURATIONS,
            ),
            claim_batch_size: made.histograms(
                "pgboss_claim_batch_size",
                "Jobs one claim brought, empty claims left out.",
                &["queue"],
                BATCHES,
            ),
            wakeups: made.counters(
                "pgboss_wakeups_total",
                "Times the worker looked for jobs, by what made it look.",
                &["queue", "source"],
            ),
            settle_duration: made.histograms(
                "pgboss_settle_duration_seconds",
                "Seconds one settle statement took.",
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
                "Settle statements that failed; their verdicts are kept and tried again.",
                &["op"],
            ),
            fence_rejections: made.counters(
                "pgboss_fence_rejections_total",
                "Verdicts refused because the row had moved on.",
                &["queue"],
            ),
            heartbeats: made.counters(
                "pgboss_heartbeats_total",
                "Leases of running jobs renewed, in rows.",
                &["queue"],
            ),
            rescued_jobs: made.counters(
                "pgboss_rescued_jobs_total",
                "Jobs taken back from a worker that fell silent or overran.",
                &["queue", "reason"],
            ),
            schedule_fires: made.counters(
                "pgboss_schedule_fires_total",
                "Occurrences of schedules, by what became of them; of those that were missed at most a hundred each.",
                &["queue", "result"],
            ),
            schedule_lateness: made.histogram(
                "pgboss_schedule_lateness_seconds",
                "Seconds from an occurrence until its job was sent.",
                WAITS,
            ),
            schema_version: made.gauge("pgboss_schema_version", "The schema version found; 0 when none is."),
            schema_supported: made.gauge(
                "pgboss_schema_supported",
                "1 while the schema is one this worker speaks.",
            ),
            listen_connected: made.gauge("pgboss_listen_connected", "1 while the LISTEN connection is up."),
            pool_connections: made.gauges(
                "pgboss_db_pool_connections",
                "Connections of the pool by what they do.",
                &["state"],
            ),
            db_errors: made.counters("pgboss_db_errors_total", "Database errors by class.", &["class"]),
            clock_skew: made.float_gauge(
                "pgboss_db_clock_skew_seconds",
                "Seconds the database's clock is ahead of this machine's; negative when it is behind.",
            ),
            http_push_requests: made.counters(
                "http_push_requests_total",
                "Requests to HTTP handlers, by class of the answer's status (2xx, 4xx…) or error when none came.",
                &["queue", "status_class"],
            ),
            event_handler_runs: made.counters(
                "event_handler_runs_total",
                "Runs of an event's handler, by what came of them.",
                &["handler", "outcome"],
            ),
            event_handler_duration: made.histograms(
                "event_handler_duration_seconds",
                "Seconds a run of an event's handler took, its layers included.",
                &["handler"],
                DURATIONS,
            ),
            event_duplicates_skipped: made.counters(
                "event_duplicates_skipped_total",
                "Deliveries that were skipped because their idempotency key was in the log.",
                &["handler"],
            ),
            event_circuit_state: made.gauges(
                "event_circuit_state",
                "The handler's circuit in this process: 0 closed, 1 half-open, 2 open.",
                &["handler"],
            ),
            trace_spans: made.counters(
                "pgboss_trace_spans_total",
                "Spans by what became of them: exported, lost where the collector did not take them, dropped for want of room.",
                &["outcome"],
            ),
            event_circuit_transitions: made.counters(
                "event_circuit_transitions_total",
                "Changes of the handler's circuit in this process, by what it became.",
                &["handler", "to"],
            ),
            event_outbox_pending: made.gauge("event_outbox_pending", "Rows of the outbox that are not relayed yet."),
            event_outbox_oldest_pending: made.float_gauge(
                "event_outbox_oldest_pending_seconds",
                "Age of the oldest row of the outbox that is not relayed yet; 0 where there is none.",
            ),
            event_outbox_held: made.gauge(
                "event_outbox_held",
                "Pending rows whose event nobody subscribes to, where those are held.",
            ),
            event_outbox_relayed: made.counters(
                "event_outbox_relayed_total",
                "Rows of the outbox, by event and by what came of them.",
                &["event", "outcome"],
            ),
            event_dead_letters: made.counters(
                "event_dead_letters_total",
                "Deliveries that failed for good and were moved to the dead letters of events.",
                &["handler"],
            ),
            event_query_duration: made.histograms(
                "event_query_duration_seconds",
                "Seconds from a query to its reply, by event and by what came of it.",
                &["event", "outcome"],
                DURATIONS,
            ),
            queue_jobs: made.gauges(
                "pgboss_queue_jobs",
                "Jobs in the queue by what they wait for, of all workers; the same at every worker.",
                &["queue", "state"],
            ),
            queue_oldest_ready: made.float_gauges(
                "pgboss_queue_oldest_ready_seconds",
                "Seconds since the oldest job of the queue that is due became due; 0 when none is.",
                &["queue"],
            ),
            dead_letter_jobs: made.gauges(
                "pgboss_dead_letter_jobs",
                "Jobs that lie in a queue which is the dead letter queue of another.",
                &["queue"],
            ),
            xmin_age: made.gauge(
                "pgboss_db_xmin_age_transactions",
                "How many transactions ago the oldest row version lies that vacuum has to keep.",
            ),
            oldest_transaction: made.float_gauge(
                "pgboss_db_oldest_transaction_seconds",
                "Age of the oldest transaction that holds back vacuum.",
            ),
            dead_tuples: made.gauges(
                "pgboss_db_dead_tuples",
                "Dead rows that vacuum has not removed yet, of the twenty tables of the schema with the most.",
                &["table"],
            ),
            live_tuples: made.gauges("pgboss_db_live_tuples", "Live rows of those tables.", &["table"]),
            lock_waits: made.gauge("pgboss_db_lock_waits", "Sessions of the database that wait for a lock."),
            gauges_age: made.float_gauge(
                "pgboss_db_gauges_age_seconds",
                "Seconds since the gauges of queues and database were read.",
            ),
            gauges_read: made.float_gauge(
                "pgboss_db_gauges_read_seconds",
                "Seconds it took to read the gauges of queues and database.",
            ),
            registry: registry.clone(),
            refreshes: Arc::default(),
            surveys: Arc::default(),
        };
        for class in ERROR_CLASSES {
            metrics.db_errors.with_label_values(&[class.as_str()]);
        }
        for op in SettleOp::ALL {
            metrics.settle_failures.with_label_values(&[op.as_str()]);
        }
        for state in PoolState::ALL {
            metrics.pool_connections.with_label_values(&[state.as_str()]);
        }
        let info = made.gauges(
            "pgboss_build_info",
            "Always 1; the label says which version runs.",
            &["version"],
        );
        info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        #[cfg(target_os = "linux")]
        made.register(prometheus::process_collector::ProcessCollector::for_self());
        metrics
    }

    /// Puts every counter and gauge of a queue there at 0, so that rates are right from the first event on.
    pub fn register_queue(&self, queue: &QueueName) {
        let queue = queue.as_str();
        for outcome in Outcome::ALL {
            self.jobs_processed.with_label_values(&[queue, outcome.as_str()]);
        }
        for source in Wakeup::ALL {
            self.wakeups.with_label_values(&[queue, source.as_str()]);
        }
        for reason in Rescue::ALL {
            self.rescued_jobs.with_label_values(&[queue, reason.as_str()]);
        }
        self.fence_rejections.with_label_values(&[queue]);
        self.heartbeats.with_label_values(&[queue]);
        self.jobs_in_flight.with_label_values(&[queue]);
        self.concurrency_limit.with_label_values(&[queue]);
        self.oldest_running.with_label_values(&[queue]);
        self.queue_paused.with_label_values(&[queue]);
    }

    /// Puts the counters of an event's handler there at 0, likewise.
    pub fn register_event_handler(&self, handler: &str) {
        for outcome in EventOutcome::ALL {
            self.event_handler_runs.with_label_values(&[handler, outcome.as_str()]);
        }
        self.event_duplicates_skipped.with_label_values(&[handler]);
    }

    /// Has something brought up to date right before every scrape: what is dear or needless to keep current otherwise.
    ///
    /// The function must not block. It is given the metrics rather than keeping a clone, which would be a circle.
    pub fn before_scrape(&self, refresh: impl Fn(&Metrics) + Send + Sync + 'static) {
        self.refreshes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::new(refresh));
    }

    /// Has a scrape ask for figures that are dear to read; see [`Metrics::fresh`].
    pub fn survey(&self, survey: Survey) {
        self.surveys.lock().unwrap_or_else(PoisonError::into_inner).push(survey);
    }

    /// Has those figures read that are older than a few seconds, and waits for them for two seconds at most. To be awaited
    /// before [`Metrics::render`], which shows what was read last.
    pub async fn fresh(&self) {
        let surveys = self.surveys.lock().unwrap_or_else(PoisonError::into_inner).clone();
        futures_util::future::join_all(surveys.iter().map(Survey::fresh)).await;
    }

    /// Everything in the Prometheus text format.
    ///
    /// # Errors
    /// When two collectors of the registry contradict each other, which only a stranger in it can cause.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let refreshes = self.refreshes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for refresh in refreshes {
            refresh(self);
        }
        let mut text = String::new();
        TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text)?;
        Ok(text)
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

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let made = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())).expect(NAMES);
        self.register(made.clone());
        made
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        let made = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels).expect(NAMES);
        self.register(made.clone());
        made
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The names of the public interface that concern jobs, claims, settling, heartbeats, database and schema.
    const PUBLIC: &[&str] = &[
        "pgboss_jobs_processed_total",
        "pgboss_job_duration_seconds",
        "pgboss_job_wait_seconds",
        "pgboss_job_attempts",
        "pgboss_jobs_in_flight",
        "pgboss_worker_concurrency_limit",
        "pgboss_job_oldest_running_seconds",
        "pgboss_queue_paused",
        "pgboss_claim_duration_seconds",
        "pgboss_claim_batch_size",
        "pgboss_wakeups_total",
        "pgboss_settle_duration_seconds",
        "pgboss_settle_batch_size",
        "pgboss_settle_failures_total",
        "pgboss_fence_rejections_total",
        "pgboss_heartbeats_total",
        "pgboss_rescued_jobs_total",
        "pgboss_schedule_fires_total",
        "pgboss_schedule_lateness_seconds",
        "pgboss_schema_version",
        "pgboss_schema_supported",
        "pgboss_listen_connected",
        "pgboss_db_pool_connections",
        "pgboss_db_errors_total",
        "pgboss_db_clock_skew_seconds",
        "pgboss_build_info",
        "http_push_requests_total",
        "event_handler_runs_total",
        "event_handler_duration_seconds",
        "event_duplicates_skipped_total",
        "event_circuit_state",
        "event_circuit_transitions_total",
        "pgboss_trace_spans_total",
        "event_outbox_pending",
        "event_outbox_oldest_pending_seconds",
        "event_outbox_held",
        "event_outbox_relayed_total",
        "event_dead_letters_total",
        "event_query_duration_seconds",
        "pgboss_queue_jobs",
        "pgboss_queue_oldest_ready_seconds",
        "pgboss_dead_letter_jobs",
        "pgboss_db_xmin_age_transactions",
        "pgboss_db_oldest_transaction_seconds",
        "pgboss_db_dead_tuples",
        "pgboss_db_live_tuples",
        "pgboss_db_lock_waits",
        "pgboss_db_gauges_age_seconds",
        "pgboss_db_gauges_read_seconds",
    ];

    /// Metrics of one queue, with one event in each histogram: those are there from their first event on.
    fn used() -> Metrics {
        let metrics = Metrics::new();
        metrics.register_queue(&"email".into());
        metrics
            .job_duration
            .with_label_values(&["email", "completed"])
            .observe(0.2);
        metrics.job_wait.with_label_values(&["email"]).observe(0.2);
        metrics.job_attempts.with_label_values(&["email"]).observe(1.0);
        metrics.claim_duration.with_label_values(&["email"]).observe(0.002);
        metrics.claim_batch_size.with_label_values(&["email"]).observe(20.0);
        metrics.settle_duration.with_label_values(&["complete"]).observe(0.002);
        metrics.settle_batch_size.with_label_values(&["complete"]).observe(20.0);
        metrics.http_push_requests.with_label_values(&["email", "2xx"]).inc();
        metrics.schedule_fires.with_label_values(&["email", "fired"]).inc();
        metrics.register_event_handler("inventory");
        metrics
            .event_handler_duration
            .with_label_values(&["inventory"])
            .observe(0.2);
        metrics.event_circuit_state.with_label_values(&["inventory"]);
        metrics
            .event_circuit_transitions
            .with_label_values(&["inventory", "open"]);
        metrics.trace_spans.with_label_values(&["exported"]);
        metrics.event_outbox_relayed.with_label_values(&["order", "relayed"]);
        metrics.event_dead_letters.with_label_values(&["inventory"]);
        let durations = &metrics.event_query_duration;
        durations.with_label_values(&["order", "replied"]).observe(0.01);
        metrics.queue_jobs.with_label_values(&["email", "ready"]).set(3);
        metrics.queue_oldest_ready.with_label_values(&["email"]).set(0.5);
        metrics.dead_letter_jobs.with_label_values(&["email-dead"]).set(1);
        metrics.dead_tuples.with_label_values(&["job_common"]).set(1);
        metrics.live_tuples.with_label_values(&["job_common"]).set(1);
        metrics
    }

    #[test]
    fn every_public_name_is_there_and_no_other() {
        let families = used().registry.gather();
        let there: BTreeSet<&str> = families
            .iter()
            .map(|family| family.name())
            .filter(|name| !name.starts_with("process_"))
            .collect();
        assert_eq!(there, PUBLIC.iter().copied().collect());
    }

    #[test]
    fn no_label_can_grow_without_bound() {
        let bounded = BTreeSet::from([
            "queue",
            "outcome",
            "source",
            "op",
            "reason",
            "class",
            "state",
            "version",
            "status_class",
            "result",
            "handler",
            "to",
            "event",
            "table",
        ]);
        for family in used().registry.gather() {
            for metric in family.get_metric() {
                for label in metric.get_label() {
                    assert!(bounded.contains(label.name()), "{} of {}", label.name(), family.name());
                }
            }
        }
    }

    #[test]
    fn a_registered_queue_starts_at_zero() {
        let metrics = Metrics::new();
        metrics.register_queue(&"email".into());
        let text = metrics.render().expect("rendered");
        for outcome in Outcome::ALL {
            let line = format!(
                "pgboss_jobs_processed_total{{outcome=\"{}\",queue=\"email\"}} 0\n",
                outcome.as_str()
            );
            assert!(text.contains(&line), "{line} is missing in\n{text}");
        }
        for line in [
            "pgboss_wakeups_total{queue=\"email\",source=\"notify\"} 0\n",
            "pgboss_rescued_jobs_total{queue=\"email\",reason=\"heartbeat\"} 0\n",
            "pgboss_jobs_in_flight{queue=\"email\"} 0\n",
            "pgboss_db_errors_total{class=\"transient\"} 0\n",
            "pgboss_settle_failures_total{op=\"complete\"} 0\n",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn values_render_with_help_and_type() {
        let metrics = used();
        metrics
            .jobs_processed
            .with_label_values(&["email", "retried"])
            .inc_by(3);
        metrics.clock_skew.set(-0.25);
        let text = metrics.render().expect("rendered");
        for line in [
            "# TYPE pgboss_jobs_processed_total counter\n",
            "pgboss_jobs_processed_total{outcome=\"retried\",queue=\"email\"} 3\n",
            "# TYPE pgboss_job_duration_seconds histogram\n",
            "pgboss_job_duration_seconds_bucket{outcome=\"completed\",queue=\"email\",le=\"0.25\"} 1\n",
            "pgboss_db_clock_skew_seconds -0.25\n",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn a_scrape_refreshes_first() {
        let metrics = Metrics::new();
        metrics.before_scrape(|metrics| {
            metrics.pool_connections.with_label_values(&["idle"]).set(7);
        });
        let text = metrics.render().expect("rendered");
        assert!(
            text.contains("pgboss_db_pool_connections{state=\"idle\"} 7\n"),
            "{text}"
        );
    }
}
