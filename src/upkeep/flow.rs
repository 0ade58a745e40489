//! Lets the children of finished parents go, on schemas where a supervisor does that (33 and later).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use super::rescue::AFTER_OUTAGE;
use crate::dialect::{Capability, Dialect, Template, Watch};
use crate::observe::Pulse;
use crate::postgres::{Class, Database, Error, Executor};
use crate::queue::{Queue, QueueName};
use crate::run::Leases;

pub(super) const LOOK: Template = Template(include_str!("finished_parents.sql"));
const CLAIM: Template = Template(include_str!("flow_claim.sql"));
pub(super) const RELEASE: Template = Template(include_str!("release_children.sql"));
/// As many parents as one statement takes, and as many statements as one pass makes of a table.
const FULL: i64 = 1000;
const MOST: usize = 100;
/// How often it is looked while there are no dependencies and nothing has ended here, as often as pg-boss itself would.
const IDLE: Duration = Duration::from_secs(5);
/// A look may take at most this share of the time between two: the index for it may not have been built yet.
const DUTY: u32 = 50;
/// The longest a look that took long is made up for.
const REST: Duration = Duration::from_secs(60);
/// How long a statement may take before its connection is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a resolver with nothing to do says that it is alive.
const BEAT: Duration = Duration::from_secs(15);

/// What a pass has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Released {
    /// Finished parents that have told all their children.
    pub parents: i64,
    /// Children that no parent holds back any more.
    pub children: i64,
}

/// Lets the children of all finished parents go now, without pg-boss's claim, as its own `resolveFlow` does. Nothing is to
/// be done before schema 33: there whoever completes a parent does it.
///
/// # Errors
/// Whatever the database says.
pub async fn resolve_flow(database: &Database, dialect: &Dialect) -> Result<Released, Error> {
    let mut released = Released::default();
    if !dialect.has(Capability::FlowResolver) {
        return Ok(released);
    }
    let client = database.client().await?;
    let rows = client.query(&LOOK.render(dialect, "job"), &[]).await?;
    let names: Vec<String> = rows.first().map_or(Ok(Vec::new()), |row| row.try_get("queues"))?;
    let names: Vec<QueueName> = names.into_iter().map(QueueName::new).collect();
    let mut tables = BTreeMap::<String, Vec<String>>::new();
    for queue in Queue::read(&client, dialect, &names).await? {
        tables.entry(queue.table).or_default().push(queue.name.to_string());
    }
    for (table, queues) in tables {
        let sql = RELEASE.render(dialect, &table);
        for _ in 0..MOST {
            let rows = client.query(&sql, &[(&queues, Type::TEXT_ARRAY)]).await?;
            let Some(row) = rows.first() else { break };
            let parents: i64 = row.try_get("parents")?;
            released.parents += parents;
            released.children += row.try_get::<_, i64>("released")?;
            if parents < FULL {
                break;
            }
        }
    }
    Ok(released)
}

/// Does so as often as is configured, with pg-boss's claim.
pub struct FlowResolver {
    /// Where it is done.
    pub database: Database,
    /// To know the dialect, and to ask for another look at the schema.
    pub watch: Watch,
    /// Tells when jobs have ended here.
    pub leases: Leases,
    /// How often, at most.
    pub interval: Duration,
}

impl FlowResolver {
    /// Works until told to stop.
    pub async fn run(mut self, pulse: Pulse, stop: CancellationToken) {
        let mut pace = self.interval;
        let mut looked = Instant::now();
        let mut ended = self.leases.ended();
        loop {
            pulse.beat();
            let pause = pace.saturating_sub(looked.elapsed()).min(self.interval).min(BEAT);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
            let now_ended = self.leases.ended();
            if looked.elapsed() < pace && (now_ended == ended || looked.elapsed() < self.interval) {
                continue;
            }
            let dialect = tokio::select! {
                dialect = spoken(&mut self.watch, &pulse) => dialect,
                () = stop.cancelled() => return,
            };
            (looked, ended, pace) = (Instant::now(), now_ended, self.interval.max(IDLE));
            if !dialect.has(Capability::FlowResolver) {
                continue;
            }
            let pass = tokio::select! {
                pass = self.database.within(PATIENCE, self.pass(&dialect)) => pass,
                () = stop.cancelled() => return,
            };
            match pass {
                Ok(any) if any => pace = self.interval.max((looked.elapsed() * DUTY).min(REST)),
                Ok(_) => pace = pace.max((looked.elapsed() * DUTY).min(REST)),
                Err(error) => match error.class() {
                    Class::Connection => pace = pace.max(AFTER_OUTAGE),
                    Class::Schema => self.watch.nudge(),
                    Class::Transient => {}
                    _ => tracing::warn!(%error, "the children of finished parents could not be let go"),
                },
            }
        }
    }

    /// Looks, and where there is something claims it and does it. Whether there are any dependencies.
    async fn pass(&self, dialect: &Dialect) -> Result<bool, Error> {
        let client = self.database.client().await?;
        let rows = client.query(&LOOK.render(dialect, "job"), &[]).await?;
        let Some(row) = rows.first() else { return Ok(false) };
        if row.try_get::<_, Vec<String>>("queues")?.is_empty() {
            return Ok(row.try_get("any")?);
        }
        let sql = CLAIM.render(dialect, "job");
        let seconds = self.interval.as_secs_f64();
        if !client.query(&sql, &[(&seconds, Type::FLOAT8)]).await?.is_empty() {
            drop(client);
            let released = resolve_flow(&self.database, dialect).await?;
            tracing::debug!(
                parents = released.parents,
                children = released.children,
                "let children go"
            );
        }
        Ok(true)
    }
}

/// Waits until the schema is spoken, and is alive meanwhile.
pub(super) async fn spoken(watch: &mut Watch, pulse: &Pulse) -> std::sync::Arc<Dialect> {
    loop {
        pulse.beat();
        if let Ok(dialect) = tokio::time::timeout(BEAT, watch.spoken()).await {
            return dialect;
        }
    }
}
