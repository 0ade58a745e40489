//! The servant that supervises all queues of the schema, beside Node or without any.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::flow::spoken;
use super::pass::Pass;
use super::rescue::AFTER_OUTAGE;
use super::vacuum::Evidence;
use crate::config::UpkeepConfig;
use crate::dialect::Watch;
use crate::observe::{Metrics, Pulse};
use crate::postgres::{Class, Database, Error};
use crate::run::Leases;

/// How often a supervisor with nothing to do says that it is alive.
const BEAT: Duration = Duration::from_secs(15);

/// Makes a pass over all queues every `supervise_interval`.
pub struct Supervisor {
    /// Where.
    pub database: Database,
    /// To know the dialect, and to ask for another look at the schema.
    pub watch: Watch,
    /// The jobs of this process.
    pub leases: Leases,
    /// How often what is done.
    pub config: UpkeepConfig,
    /// Where it is counted.
    pub metrics: Metrics,
}

impl Supervisor {
    /// Supervises until told to stop; the first pass is an interval from now, as pg-boss's is.
    pub async fn run(mut self, pulse: Pulse, stop: CancellationToken) {
        let mut next = Instant::now() + self.config.supervise_interval;
        let mut evidence = Evidence::default();
        let mut trouble = None::<String>;
        loop {
            pulse.beat();
            let pause = next.saturating_duration_since(Instant::now()).min(BEAT);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
            if Instant::now() < next {
                continue;
            }
            let dialect = tokio::select! {
                dialect = spoken(&mut self.watch, &pulse) => dialect,
                () = stop.cancelled() => return,
            };
            if self.leases.have_lapsed(Instant::now()) {
                // Until they are renewed, a pass might take jobs from this very process.
                next = Instant::now() + AFTER_OUTAGE;
                continue;
            }
            let mut pass = Pass::new(&self.database, &dialect, &self.config, &mut evidence);
            pass.stop = stop.clone();
            pass.pulse = Some(&pulse);
            let (done, error) = pass.run(None).await;
            for ((queue, reason), count) in &done.rescued {
                self.metrics
                    .rescued_jobs
                    .with_label_values(&[queue.as_str(), reason])
                    .inc_by(*count);
            }
            tracing::debug!(
                counted = done.counted.len(),
                deleted = done.deleted,
                orphans = done.orphans,
                "supervised the queues"
            );
            next = Instant::now() + self.config.supervise_interval;
            match error {
                None => trouble = None,
                // What was cut off at the stop is for whoever comes next.
                Some(_) if stop.is_cancelled() => {}
                Some(error) => {
                    match error.class() {
                        class if class == Class::Connection || matches!(error, Error::Connect { .. }) => {
                            next = Instant::now() + AFTER_OUTAGE;
                        }
                        Class::Schema => self.watch.nudge(),
                        _ => {}
                    }
                    let said = error.to_string();
                    if trouble.as_ref() != Some(&said) {
                        tracing::warn!(%error, "the queues could not be supervised in full; trying again");
                        trouble = Some(said);
                    }
                }
            }
        }
    }
}
