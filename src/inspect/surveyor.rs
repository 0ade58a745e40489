//! A servant that reads what only the database knows, when somebody asks for the metrics and not before.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use prometheus::core::{MetricVec, MetricVecBuilder};
use tokio_util::sync::CancellationToken;

use super::figures::{Figures, figures};
use crate::dialect::Watch;
use crate::observe::{Metrics, Surveyed};
use crate::postgres::{Database, Error};

/// How long a reading may take before its connection is given up.
const LIMIT: Duration = Duration::from_secs(5);
/// A reading may take at most this share of the time between two.
const DUTY: u32 = 20;
/// After so long without a reading nothing is said any more of what was read last.
const STALE: Duration = Duration::from_secs(60);

/// Reads the figures and sets the gauges.
///
/// Every worker says the same of the database: gauges of several are to be joined by `max`, not summed.
pub struct Surveyor {
    /// Where they are read.
    pub database: Database,
    /// How the schema is spoken to.
    pub watch: Watch,
    /// Where they are shown.
    pub metrics: Metrics,
    /// Who asks.
    pub surveyed: Surveyed,
}

impl Surveyor {
    /// Reads whenever asked, until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut shown = Shown::default();
        let mut last = Instant::now();
        let mut rested = Instant::now();
        let mut said = false;
        while stop.run_until_cancelled(self.surveyed.asked()).await.is_some() {
            let began = Instant::now();
            if began < rested {
                self.metrics.gauges_age.set(last.elapsed().as_secs_f64());
                self.surveyed.answer(false);
                continue;
            }
            let read = self.read().await;
            let took = began.elapsed();
            rested = Instant::now() + took * DUTY;
            match read {
                Ok(Some(figures)) => {
                    said = false;
                    last = Instant::now();
                    shown.show(&self.metrics, &figures);
                    self.metrics.gauges_read.set(took.as_secs_f64());
                }
                // The schema watch says why.
                Ok(None) => {}
                Err(error) => {
                    if !std::mem::replace(&mut said, true) {
                        tracing::warn!(%error, "the gauges of queues and database cannot be read; they are kept for a minute");
                    }
                }
            }
            if last.elapsed() > STALE {
                shown.show(&self.metrics, &Figures::default());
            }
            self.metrics.gauges_age.set(last.elapsed().as_secs_f64());
            self.surveyed.answer(last >= began);
        }
    }

    async fn read(&self) -> Result<Option<Figures>, Error> {
        let Some(dialect) = self.watch.dialect() else {
            return Ok(None);
        };
        let work = async { figures(&mut self.database.client().await?, &dialect).await };
        self.database.within(LIMIT, work).await.map(Some)
    }
}

/// The series that are there, so that those of a queue that is gone go, too.
#[derive(Default)]
struct Shown {
    jobs: BTreeSet<[String; 2]>,
    queues: BTreeSet<[String; 1]>,
    burying: BTreeSet<[String; 1]>,
    tables: BTreeSet<[String; 1]>,
}

impl Shown {
    fn show(&mut self, metrics: &Metrics, read: &Figures) {
        let (mut jobs, mut queues) = (BTreeSet::new(), BTreeSet::new());
        let (mut burying, mut tables) = (BTreeSet::new(), BTreeSet::new());
        for queue in &read.queues {
            let name = queue.name.as_str();
            for (state, count) in [
                ("deferred", queue.deferred),
                ("ready", queue.ready),
                ("blocked", queue.blocked),
                ("active", queue.active),
                ("failed", queue.failed),
            ] {
                if let Some(count) = count {
                    metrics.queue_jobs.with_label_values(&[name, state]).set(count);
                    jobs.insert([name.to_owned(), state.to_owned()]);
                }
            }
            metrics.queue_oldest_ready.with_label_values(&[name]).set(queue.oldest);
            queues.insert([name.to_owned()]);
            if queue.buries {
                let waiting = [queue.ready, queue.deferred, queue.blocked].into_iter().flatten().sum();
                metrics.dead_letter_jobs.with_label_values(&[name]).set(waiting);
                burying.insert([name.to_owned()]);
            }
        }
        for (table, live, dead) in &read.tables {
            metrics.live_tuples.with_label_values(&[table.as_str()]).set(*live);
            metrics.dead_tuples.with_label_values(&[table.as_str()]).set(*dead);
            tables.insert([table.clone()]);
        }
        metrics.xmin_age.set(read.xmin_age);
        metrics.oldest_transaction.set(read.oldest_transaction);
        metrics.lock_waits.set(read.lock_waits);
        forget(&metrics.queue_jobs, &mut self.jobs, jobs);
        forget(&metrics.queue_oldest_ready, &mut self.queues, queues);
        forget(&metrics.dead_letter_jobs, &mut self.burying, burying);
        forget(&metrics.live_tuples, &mut self.tables.clone(), tables.clone());
        forget(&metrics.dead_tuples, &mut self.tables, tables);
    }
}

/// Removes the series that were there and are not any more. Never all of them first: a scrape may come in between.
fn forget<B: MetricVecBuilder, const N: usize>(
    gauges: &MetricVec<B>,
    before: &mut BTreeSet<[String; N]>,
    now: BTreeSet<[String; N]>,
) {
    for gone in before.difference(&now) {
        let labels: Vec<&str> = gone.iter().map(String::as_str).collect();
        // It is there: nobody else removes any.
        let _ = gauges.remove_label_values(&labels);
    }
    *before = now;
}
