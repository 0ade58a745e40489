//! Takes back the jobs of workers that fell silent or overran, as pg-boss's supervisor does, without its claims.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use crate::claim::Served;
use crate::dialect::Watch;
use crate::observe::{Metrics, Pulse};
use crate::postgres::{Class, Database, Error, Executor};
use crate::queue::QueueName;
use crate::run::Leases;
use crate::schema::spelling;
use crate::settle::FAIL;

/// How often the served queues are swept.
const INTERVAL: Duration = Duration::from_secs(3);
/// A sweep may take at most this share of the time between two: before schema 46 no index leads to active rows.
const DUTY: u32 = 50;
/// How long a sweep may take before its connection is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest a sweep that took long is made up for.
const REST: Duration = Duration::from_secs(60);
/// After the database was away: whoever lost leases by that renews them first.
const AFTER_OUTAGE: Duration = Duration::from_secs(5);
/// The shortest rest, while a full sweep is followed by another or something is waited for.
const SHORTEST: Duration = Duration::from_millis(100);
/// As many rows as one sweep takes.
const FULL: usize = 1000;

/// Sweeps the queues that are served here.
pub struct Rescuer {
    /// Where the sweeps are made.
    pub database: Database,
    /// To ask for another look at the schema.
    pub watch: Watch,
    /// The jobs of this process.
    pub leases: Leases,
    /// The served queues.
    pub served: Vec<watch::Receiver<Option<Served>>>,
    /// Where it is counted.
    pub metrics: Metrics,
}

impl Rescuer {
    /// Sweeps until told to stop.
    pub async fn run(self, pulse: Pulse, stop: CancellationToken) {
        let mut next = HashMap::<String, Instant>::new();
        let mut quiet_until = Instant::now();
        loop {
            pulse.beat();
            let tables = self.tables();
            next.retain(|table, _| tables.contains_key(table));
            for (table, (served, queues)) in tables {
                let now = Instant::now();
                let early = next.get(&table).is_some_and(|next| *next > now);
                if early || now < quiet_until || self.leases.have_lapsed(now) {
                    continue;
                }
                let swept = tokio::select! {
                    swept = self.database.within(PATIENCE, self.sweep(&served, &table, &queues)) => swept,
                    () = stop.cancelled() => return,
                };
                let pause = match swept {
                    Ok(FULL..) => Duration::ZERO,
                    Ok(_) => INTERVAL.max((now.elapsed() * DUTY).min(REST)),
                    Err(error) => {
                        // A server without room for another connection is away, too, for whoever needs one.
                        let away = matches!(error, Error::Connect { .. });
                        match error.class() {
                            class if away || class == Class::Connection => quiet_until = Instant::now() + AFTER_OUTAGE,
                            Class::Schema => self.watch.nudge(),
                            Class::Transient => {}
                            _ => tracing::warn!(%error, table, "lost jobs could not be looked for"),
                        }
                        INTERVAL
                    }
                };
                next.insert(table, Instant::now() + pause);
            }
            let wake = next
                .values()
                .min()
                .map_or(INTERVAL, |next| next.saturating_duration_since(Instant::now()));
            tokio::select! {
                () = tokio::time::sleep(wake.clamp(SHORTEST, INTERVAL)) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// The served queues by their table.
    fn tables(&self) -> BTreeMap<String, (Served, Vec<QueueName>)> {
        let mut tables = BTreeMap::new();
        for served in &self.served {
            if let Some(served) = &*served.borrow() {
                let (_, queues) = tables
                    .entry(served.queue.table.clone())
                    .or_insert_with(|| (served.clone(), Vec::new()));
                queues.push(served.queue.name.clone());
            }
        }
        tables
    }

    async fn sweep(&self, served: &Served, table: &str, queues: &[QueueName]) -> Result<usize, Error> {
        let client = self.database.client().await?;
        let sql = FAIL.render_with(&served.dialect, table, &["sweep"]);
        let names: Vec<&str> = queues.iter().map(QueueName::as_str).collect();
        let schema = spelling(served.dialect.schema());
        let rows = client
            .query(
                &sql,
                &[(&names, Type::TEXT_ARRAY), (&schema, Type::TEXT), (&table, Type::TEXT)],
            )
            .await?;
        for row in &rows {
            let (queue, reason): (&str, &str) = (row.try_get("name")?, row.try_get("reason")?);
            self.metrics.rescued_jobs.with_label_values(&[queue, reason]).inc();
            tracing::warn!(
                queue,
                job = %row.try_get::<_, uuid::Uuid>("id")?,
                reason,
                state = row.try_get::<_, &str>("state")?,
                "took a job back from a worker that no longer answers for it"
            );
        }
        Ok(rows.len())
    }
}
