//! Keeps this worker's row in the table `instance` (schema 44 and later), where pg-boss's `getInstances()` reads who runs.
//!
//! A row of ours is told from one of Node's by its version, `strawboss` and ours, by `rust` in place of Node's version, and
//! by the adapter in its config. Nothing waits for the row: where it cannot be written, that is said once.

mod read;
mod vitals;

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use read::{Instance, instances};
use vitals::Vitals;

use super::indexes;
use crate::config::Config;
use crate::dialect::{Dialect, Template, Watch};
use crate::observe::Pulse;
use crate::postgres::{Class, Database, Error, Executor};
use crate::queue::QueueName;

const BEAT: Template = Template(include_str!("registry/beat.sql"));
const STOP: Template = Template(include_str!("registry/stop.sql"));
const CRASHES: Template = Template(include_str!("registry/crashes.sql"));
const PRUNE: Template = Template(include_str!("registry/prune.sql"));
/// A life before this one may look alive at first; by this beat it is known.
const RECOUNT: u64 = 4;
/// How many beats lie between two prunings: an hour.
const PRUNING: u64 = 120;
/// How long a statement may take before its connection is given up; at the stop, less than the stop waits.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(2));

/// A queue that is served here.
#[derive(Debug, Clone)]
pub struct Post {
    /// Its id in the registry.
    pub id: Uuid,
    /// The queue.
    pub queue: QueueName,
    /// Places for its jobs in this process.
    pub concurrency: usize,
    /// Jobs taken by one claim at most.
    pub batch_size: usize,
    /// How long an idle queue waits before it is looked at again.
    pub poll_interval: Duration,
    /// Options that pg-boss's `work()` has, too, by its names.
    pub options: Value,
}

/// What happened last on a queue, by this process' own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct Activity {
    /// Jobs in flight.
    pub active: usize,
    /// When jobs were last claimed.
    pub fetched: Option<Instant>,
    /// When an attempt last ended.
    pub ended: Option<Instant>,
    /// When one last failed.
    pub failed: Option<Instant>,
}

/// The servant that registers the worker.
pub struct Registrar {
    /// Where.
    pub database: Database,
    /// To know the dialect.
    pub watch: Watch,
    /// What is told of the configuration.
    pub config: Config,
    /// The queues served here.
    pub posts: Vec<Post>,
    /// How often it is said that the worker is there, in whole seconds: 30 s in a worker, as in pg-boss.
    pub interval: Duration,
    /// What happened on them.
    pub activity: Box<dyn Fn(&QueueName) -> Activity + Send + Sync>,
}

/// What a registration has come to.
struct Registered {
    id: Uuid,
    host: String,
    began: Instant,
    vitals: Vitals,
    /// How often it was written.
    beats: u64,
    started_on: Option<DateTime<Utc>>,
    /// The database's time, and when it was that.
    clock: Option<(DateTime<Utc>, Instant)>,
}

impl Registrar {
    /// Registers the worker and says now and again that it is there, until told to stop; then that it has ended.
    pub async fn run(mut self, pulse: Pulse, stop: CancellationToken) {
        let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        let mut registered = Registered {
            id: Uuid::new_v4(),
            host: host.unwrap_or_else(|| "unknown".to_owned()),
            began: Instant::now(),
            vitals: Vitals::default(),
            beats: 0,
            started_on: None,
            clock: None,
        };
        let mut said = false;
        loop {
            pulse.beat();
            if let Some(dialect) = self.watch.dialect().filter(|dialect| has_registry(dialect)) {
                let beaten = tokio::select! {
                    beaten = self.database.within(PATIENCE.0, self.beat(&dialect, &mut registered)) => beaten,
                    () = stop.cancelled() => break,
                };
                match beaten {
                    Ok(()) => said = false,
                    Err(error) if error.class() == Class::Schema => self.watch.nudge(),
                    Err(error) if std::mem::replace(&mut said, true) => tracing::debug!(%error, "not registered"),
                    Err(error) => tracing::warn!(
                        %error,
                        "the worker does not show in the table `instance`, which it needs SELECT, INSERT, UPDATE and DELETE on; \
                         it works all the same, and tries again"
                    ),
                }
            }
            tokio::select! {
                () = tokio::time::sleep(self.interval) => {}
                () = self.watch.changed() => {}
                () = stop.cancelled() => break,
            }
        }
        let Some(dialect) = self.watch.latest().filter(|_| registered.beats > 0) else {
            return;
        };
        let stopped = async {
            let client = self.database.client().await?;
            let sql = STOP.render(&dialect, "job");
            client.query(&sql, &[(&registered.id, Type::UUID)]).await
        };
        if let Err(error) = self.database.within(PATIENCE.1, stopped).await {
            tracing::debug!(%error, "that the worker has stopped shows in the table `instance` by its silence only");
        }
    }

    async fn beat(&self, dialect: &Dialect, registered: &mut Registered) -> Result<(), Error> {
        let client = self.database.client().await?;
        let (config, upkeep) = (&self.config, &self.config.upkeep);
        let workers = self.workers(registered).to_string();
        let metrics = registered.vitals.take().to_string();
        let recorded = self.recorded().to_string();
        let status = self.database.status();
        let pool = [status.max, status.size, status.available, status.waiting].map(small);
        let (pid, seconds) = (small(std::process::id()), small(self.interval.as_secs().max(1)));
        let version = concat!("strawboss ", env!("CARGO_PKG_VERSION"));
        let rows = client
            .query(
                &BEAT.render(dialect, "job"),
                &[
                    (&registered.id, Type::UUID),
                    (&config.worker.name, Type::TEXT),
                    (&registered.host, Type::TEXT),
                    (&pid, Type::INT4),
                    (&version, Type::TEXT),
                    (&"rust", Type::TEXT),
                    (&seconds, Type::INT4),
                    (&config.worker.supervise, Type::BOOL),
                    (&config.worker.schedule, Type::BOOL),
                    (&upkeep.persist_queue_stats, Type::BOOL),
                    (&upkeep.persist_warnings, Type::BOOL),
                    (&pool.as_slice(), Type::INT4_ARRAY),
                    (&workers, Type::TEXT),
                    (&metrics, Type::TEXT),
                    (&recorded, Type::TEXT),
                    (&registered.started_on, Type::TIMESTAMPTZ),
                ],
            )
            .await?;
        if let Some(row) = rows.first() {
            registered.started_on = Some(row.try_get("started_on")?);
            registered.clock = Some((row.try_get("now")?, Instant::now()));
        }
        registered.beats += 1;
        let beats = registered.beats;
        if beats == 1 || beats == RECOUNT {
            let age = registered.began.elapsed().as_secs_f64();
            let sql = CRASHES.render(dialect, "job");
            client
                .query(&sql, &[(&registered.id, Type::UUID), (&age, Type::FLOAT8)])
                .await?;
        }
        // After the counting, which needs the earliest of those that go.
        if beats % PRUNING == 1 {
            let sql = PRUNE.render(dialect, "job");
            client.query(&sql, &[(&registered.id, Type::UUID)]).await?;
        }
        Ok(())
    }

    /// The queues in the shape of pg-boss's workers.
    fn workers(&self, registered: &Registered) -> Value {
        let on = |at: Option<Instant>| {
            let (now, then) = registered.clock?;
            let at = at?;
            // It may lie on either side of the moment at which the database told its time.
            let moved = match at.checked_duration_since(then) {
                Some(later) => now.checked_add_signed(TimeDelta::from_std(later).ok()?),
                None => now.checked_sub_signed(TimeDelta::from_std(then.duration_since(at)).ok()?),
            };
            Some(moved?.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
        };
        let workers = self.posts.iter().map(|post| {
            let activity = (self.activity)(&post.queue);
            json!({
                "id": post.id,
                "queue": post.queue.as_str(),
                "localConcurrency": post.concurrency,
                "batchSize": post.batch_size,
                "pollingIntervalSeconds": post.poll_interval.as_secs_f64(),
                "active": activity.active,
                "lastFetchedOn": on(activity.fetched),
                "lastJobEndedOn": on(activity.ended),
                "lastErrorOn": on(activity.failed),
                "options": post.options,
            })
        });
        workers.collect()
    }

    /// What is told of the configuration, by pg-boss's names where it has them; nothing that could be a secret.
    fn recorded(&self) -> Value {
        let config = &self.config;
        let (upkeep, cron) = (&config.upkeep, &config.cron);
        json!({
            "adapter": "strawboss",
            "backend": "postgres",
            "max": config.database.pool_size,
            "useListenNotify": config.worker.listen,
            "instanceHeartbeatSeconds": self.interval.as_secs().max(1),
            "supervise": config.worker.supervise,
            "schedule": config.worker.schedule,
            "migrate": false,
            "createSchema": false,
            "reindex": config.worker.maintain_schema,
            "superviseIntervalSeconds": upkeep.supervise_interval.as_secs_f64(),
            "maintenanceIntervalSeconds": upkeep.maintenance_interval.as_secs_f64(),
            "monitorIntervalSeconds": upkeep.monitor_interval.as_secs_f64(),
            "queueCacheIntervalSeconds": upkeep.queue_cache_interval.as_secs_f64(),
            "flowIntervalSeconds": upkeep.flow_interval.as_secs_f64(),
            "bamIntervalSeconds": indexes::BUILD.as_secs_f64(),
            "reindexIntervalSeconds": indexes::REBUILD.as_secs_f64(),
            "cronMonitorIntervalSeconds": cron.monitor_interval.as_secs_f64(),
            "cronWorkerIntervalSeconds": cron.worker_interval.as_secs_f64(),
            "clockMonitorIntervalSeconds": cron.clock_interval.as_secs_f64(),
            "persistWarnings": upkeep.persist_warnings,
            "warningRetentionDays": upkeep.warning_retention_days,
            "persistQueueStats": upkeep.persist_queue_stats,
            "queueStatRetentionDays": upkeep.queue_stat_retention_days,
            "concurrency": config.worker.concurrency,
            "shutdownGraceSeconds": config.worker.shutdown_grace.as_secs_f64(),
            "heartbeatSeconds": config.worker.heartbeat.as_secs_f64(),
        })
    }
}

/// Whether the schema keeps its instances.
fn has_registry(dialect: &Dialect) -> bool {
    dialect.catalog().has_table("instance")
}

fn small(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}
