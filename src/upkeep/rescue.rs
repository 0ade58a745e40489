//! Takes back the jobs of workers that fell silent or overran, as pg-boss's supervisor does, without its claims: within
//! seconds, where a supervisor needs a minute or two.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use super::sweep::{FULL, sweep};
use crate::claim::Served;
use crate::dialect::{Template, Watch};
use crate::observe::{Metrics, Pulse};
use crate::postgres::{Class, Database, Error, Executor};
use crate::run::Leases;

pub(super) const LOST: Template = Template(include_str!("lost.sql"));
/// How often the served queues are looked at.
const INTERVAL: Duration = Duration::from_secs(3);
/// A look may take at most this share of the time between two: before schema 46 no index leads to active rows.
const DUTY: u32 = 50;
/// How long a statement may take before its connection is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest a look that took long is made up for.
const REST: Duration = Duration::from_secs(60);
/// After the database was away: whoever lost leases by that renews them first.
pub(super) const AFTER_OUTAGE: Duration = Duration::from_secs(5);
/// The shortest rest, while a full sweep is followed by another or something is waited for.
const SHORTEST: Duration = Duration::from_millis(100);

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
        let mut quiet_until = Instant::now();
        loop {
            pulse.beat();
            let now = Instant::now();
            let mut pause = INTERVAL.min(quiet_until.saturating_duration_since(now).max(SHORTEST));
            if now >= quiet_until && !self.leases.have_lapsed(now) {
                let looked = tokio::select! {
                    looked = self.look() => looked,
                    () = stop.cancelled() => return,
                };
                pause = match looked {
                    Ok((_, true)) => SHORTEST,
                    Ok((took, false)) => INTERVAL.max((took * DUTY).min(REST)),
                    Err(error) => {
                        // A server without room for another connection is away, too, for whoever needs one.
                        let away = matches!(error, Error::Connect { .. });
                        match error.class() {
                            class if away || class == Class::Connection => quiet_until = Instant::now() + AFTER_OUTAGE,
                            Class::Schema => self.watch.nudge(),
                            Class::Transient => {}
                            _ => tracing::warn!(%error, "lost jobs could not be looked for"),
                        }
                        INTERVAL
                    }
                };
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Looks at all served queues, and sweeps those tables where something is lost. How long the look took, and whether
    /// there is more than one sweep takes.
    async fn look(&self) -> Result<(Duration, bool), Error> {
        let tables = self.tables();
        let Some((served, _)) = tables.values().next() else {
            return Ok((Duration::ZERO, false));
        };
        let all: Vec<&str> = tables
            .values()
            .flat_map(|(_, names)| names.iter().map(String::as_str))
            .collect();
        let sql = LOST.render(&served.dialect, "job");
        let began = Instant::now();
        let rows = self
            .database
            .within(PATIENCE, async {
                let client = self.database.client().await?;
                client.query(&sql, &[(&all, Type::TEXT_ARRAY)]).await
            })
            .await?;
        let took = began.elapsed();
        let mut lost = BTreeSet::new();
        for row in &rows {
            lost.insert(row.try_get::<_, String>("name")?);
        }
        let mut more = false;
        for (table, (served, names)) in &tables {
            let names: Vec<&str> = names
                .iter()
                .map(String::as_str)
                .filter(|name| lost.contains(*name))
                .collect();
            if names.is_empty() {
                continue;
            }
            let swept = self.database.within(PATIENCE, async {
                let client = self.database.client().await?;
                sweep(&client, &served.dialect, table, &names).await
            });
            let swept = swept.await?;
            more |= swept.len() >= FULL;
            for job in swept {
                let labels = [job.queue.as_str(), &job.reason];
                self.metrics.rescued_jobs.with_label_values(&labels).inc();
            }
        }
        Ok((took, more))
    }

    /// The served queues by their table.
    fn tables(&self) -> BTreeMap<String, (Served, Vec<String>)> {
        let mut tables = BTreeMap::new();
        for served in &self.served {
            if let Some(served) = &*served.borrow() {
                let (_, queues) = tables
                    .entry(served.queue.table.clone())
                    .or_insert_with(|| (served.clone(), Vec::new()));
                queues.push(served.queue.name.to_string());
            }
        }
        tables
    }
}
