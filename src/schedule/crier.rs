//! Makes the passes: claims the interval, finds what is due, files it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use super::cron::CronVersion;
use super::ledger::{self, Entry, Fate};
use super::pass::{self, Broken, Filing, Owed, Reader, Row};
use super::recurrence::Kind;
use super::row::{self, Missed, Wanted};
use super::zone::Zones;
use super::{INTERNAL, LINES};
use crate::config::{CronConfig, ScheduleConfig};
use crate::dialect::{Capability, Dialect, Template, Watch};
use crate::enqueue::{QueueOptions, create_queue};
use crate::home::Home;
use crate::observe::{Metrics, Pulse};
use crate::postgres::{Class, Client, Database, Error, Executor, Moment, Transaction, channel};
use crate::queue::QueueName;
use crate::schema::spelling;
use crate::upkeep::Warning;

pub(super) const CLAIM: Template = Template(include_str!("claim.sql"));
pub(super) const DUE: Template = Template(include_str!("due.sql"));
pub(super) const FILE: Template = Template(include_str!("file.sql"));
pub(super) const KINDS: Template = Template(include_str!("kinds.sql"));

/// How long a pass may take before its connection is given up.
const PATIENCE: Duration = Duration::from_secs(20);
/// How soon another is tried after one that failed: well within the minute that an occurrence stays due.
const RETRY: Duration = Duration::from_secs(2);
/// How soon what was refused is tried again.
const AGAIN: Duration = Duration::from_secs(15);
/// How often old lines of the ledger are deleted.
const FORGET: Duration = Duration::from_secs(3600);
/// Clocks that are further apart are worth a word.
const SKEW: f64 = 60.0;

/// Makes passes as long as the worker lives.
pub struct Crier {
    /// Where the schedules are.
    pub database: Database,
    /// How they are spoken to.
    pub watch: Watch,
    /// The zones they are meant in.
    pub zones: Zones,
    /// Where we remember things.
    pub home: Home,
    /// How often.
    pub config: CronConfig,
    /// The schedules of the configuration.
    pub declared: Vec<ScheduleConfig>,
    /// Whether warnings are kept in pg-boss's table.
    pub keep_warnings: bool,
    /// Where it is counted.
    pub metrics: Metrics,
    /// Rung when something was filed.
    pub bell: Arc<Notify>,
}

/// What one attempt at a pass came to.
#[derive(Debug)]
pub struct Pass {
    /// By which time it judged.
    pub now: Timestamp,
    /// Whether the interval was ours; if not, how long ago somebody else took it.
    pub claimed: Result<(), Duration>,
    /// How many occurrences were filed.
    pub filed: usize,
}

/// What a crier remembers from pass to pass.
pub struct Memory {
    reader: Reader,
    broken: HashSet<Broken>,
    /// The queues whose series are there.
    counted: HashSet<String>,
}

impl Memory {
    /// Nothing yet.
    pub fn new(zones: Zones) -> Memory {
        Memory {
            reader: Reader::new(zones),
            broken: HashSet::new(),
            counted: HashSet::new(),
        }
    }
}

impl Crier {
    /// Makes passes until told to stop.
    pub async fn run(self, pulse: Pulse, stop: CancellationToken) {
        let mut memory = Memory::new(self.zones.clone());
        let mut watch = self.watch.clone();
        let mut declared: Vec<_> = self.declared.iter().collect();
        let mut founded: Option<Arc<Dialect>> = None;
        let mut said = HashSet::new();
        let (mut compared, mut forgot) = (None, None);
        loop {
            pulse.beat();
            let dialect = tokio::select! {
                dialect = watch.spoken() => dialect,
                () = tokio::time::sleep(self.config.monitor_interval) => continue,
                () = stop.cancelled() => return,
            };
            let work = async {
                // Another dialect may be another schema of the same name.
                if !founded.as_ref().is_some_and(|founded| Arc::ptr_eq(founded, &dialect)) {
                    founded = self.found(&dialect, &mut said).await.then(|| Arc::clone(&dialect));
                }
                declared = self.declare(&dialect, std::mem::take(&mut declared), &mut said).await;
                self.compare(&dialect, &mut compared).await;
                if founded.is_none() {
                    // Whoever cannot file anything leaves the interval to those who can.
                    return AGAIN;
                }
                let passed = self.database.within(PATIENCE, self.pass(&dialect, &mut memory)).await;
                let pause = self.judge(passed.as_ref(), &mut said);
                let made = passed.is_ok_and(|pass| pass.claimed.is_ok());
                if made && forgot.is_none_or(|at: Instant| at.elapsed() > FORGET) {
                    self.forget(&dialect).await;
                    forgot = Some(Instant::now());
                }
                pause
            };
            let pause = tokio::select! {
                pause = work => pause,
                () = stop.cancelled() => return,
            };
            let pause = if declared.is_empty() { pause } else { pause.min(AGAIN) };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Has pg-boss's own queue be there.
    async fn found(&self, dialect: &Dialect, said: &mut HashSet<String>) -> bool {
        let made = async {
            let client = self.database.client().await?;
            create_queue(&client, dialect, &QueueName::new(INTERNAL), &QueueOptions::default()).await
        };
        match tokio::time::timeout(PATIENCE, made).await {
            Ok(Ok(_)) => true,
            // Somebody holds a lock, a migration perhaps.
            Err(_) => false,
            Ok(Err(error)) => {
                let text = format!("the queue {INTERNAL}, from which schedules are fired, cannot be created: {error}");
                if !error.is_transient() && said.insert(text.clone()) {
                    tracing::error!("{text}; trying again");
                }
                false
            }
        }
    }

    /// Sets the schedules of the configuration; returns those that could not be, which are tried again.
    async fn declare<'a>(
        &self,
        dialect: &Dialect,
        declared: Vec<&'a ScheduleConfig>,
        said: &mut HashSet<String>,
    ) -> Vec<&'a ScheduleConfig> {
        let mut left = Vec::new();
        for schedule in declared {
            let error = match tokio::time::timeout(PATIENCE, self.set(dialect, schedule)).await {
                Ok(Ok(())) => {
                    let (queue, key, cron) = (&schedule.queue, &schedule.key, &schedule.cron);
                    tracing::info!(queue, key, cron, "the schedule is set");
                    continue;
                }
                Ok(Err(error)) => error,
                Err(_) => Error::Timeout(PATIENCE).into(),
            };
            let transient = matches!(&error, row::Error::Database(error) if error.is_transient());
            let text = format!(
                "the schedule {:?} of queue {} cannot be set: {error}",
                schedule.cron, schedule.queue
            );
            if !transient && said.insert(text.clone()) {
                tracing::error!(queue = schedule.queue, key = schedule.key, "{text}; trying again");
            }
            left.push(schedule);
        }
        left
    }

    async fn set(&self, dialect: &Dialect, schedule: &ScheduleConfig) -> Result<(), row::Error> {
        let mut client = self.database.client().await?;
        let wanted = Wanted {
            key: schedule.key.clone(),
            cron: schedule.cron.clone(),
            timezone: schedule.timezone.clone(),
            data: schedule.data.clone(),
            missed: schedule.missed_once.then_some(Missed::Once),
            options: schedule.options.clone(),
        };
        let queue = QueueName::new(schedule.queue.as_str());
        row::set(&client, dialect, &self.zones, &queue, &wanted).await?;
        let (schema, runs) = (dialect.schema(), schedule.catch_up);
        let set = ledger::set_catch_up(&self.home, &mut client, schema, &schedule.queue, &schedule.key, runs).await;
        // Where our own schema cannot be read there is nothing to take back.
        if runs > 0 {
            set?;
        }
        Ok(())
    }

    /// Says so if the clocks are far apart, now and then. Nothing depends on it: every decision is made by the database's.
    async fn compare(&self, dialect: &Dialect, compared: &mut Option<Instant>) {
        if compared.is_some_and(|at| at.elapsed() < self.config.clock_interval) {
            return;
        }
        *compared = Some(Instant::now());
        let skew = self.metrics.clock_skew.get();
        if skew.abs() >= SKEW {
            let warning = Warning {
                kind: "clock_skew",
                message: "this machine's clock and the database's are far apart; schedules follow the database's"
                    .to_owned(),
                data: serde_json::json!({
                    "seconds": skew.abs(), "direction": if skew > 0.0 { "slower" } else { "faster" },
                }),
            };
            match self.database.client().await {
                Ok(client) => self.warn(&client, dialect, &warning).await,
                // It will be compared again.
                Err(_) => *compared = None,
            }
        }
    }

    /// How long until the next attempt; logs a failure once.
    fn judge(&self, passed: Result<&Pass, &Error>, said: &mut HashSet<String>) -> Duration {
        let interval = self.config.monitor_interval;
        match passed.map(|pass| pass.claimed) {
            Ok(Ok(())) => interval,
            // When the other's interval is over, and a beat later.
            Ok(Err(elapsed)) => interval.saturating_sub(elapsed) + Duration::from_secs(1).min(interval / 4),
            Err(error) => match error.class() {
                Class::Connection | Class::Transient => RETRY,
                Class::Schema => {
                    self.watch.nudge();
                    RETRY
                }
                _ => {
                    let text = error.to_string();
                    if said.insert(text.clone()) {
                        tracing::error!(error = text, "schedules cannot be looked at; trying again");
                    }
                    AGAIN
                }
            },
        }
    }

    async fn warn(&self, client: &Client, dialect: &Dialect, warning: &Warning) {
        if let Err(error) = warning.say(client, dialect, self.keep_warnings).await {
            tracing::warn!(%error, "a warning could not be kept");
        }
    }

    async fn forget(&self, dialect: &Dialect) {
        let forgotten = async {
            let client = self.database.client().await?;
            ledger::forget(&self.home, &client, dialect.schema(), self.config.ledger_retention).await
        };
        if let Err(error) = forgotten.await {
            tracing::warn!(%error, "old occurrences could not be forgotten");
        }
    }

    /// One attempt: claims the interval and, where it is ours, files what is due, in one transaction. Whoever fails on the
    /// way gives the interval back, and with it what was due.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn pass(&self, dialect: &Dialect, memory: &mut Memory) -> Result<Pass, Error> {
        let mut client = self.database.client().await?;
        // Our own schema may be another role's: what cannot be read there must not cost the pass.
        let catch_ups = ledger::catch_ups(&self.home, &client, dialect.schema())
            .await
            .unwrap_or_default();
        let transaction = client.transaction().await?;
        let interval = self.config.monitor_interval.as_secs_f64();
        let rows = Executor::query(
            &transaction,
            &CLAIM.render(dialect, "job"),
            &[(&interval, Type::FLOAT8)],
        )
        .await?;
        let Some(claim) = rows.first() else {
            return Err(Error::Settings("the table version is empty".to_owned()));
        };
        let now = instant(claim.try_get("now")?);
        if !claim.try_get::<_, bool>("claimed")? {
            let elapsed: Option<f64> = claim.try_get("elapsed")?;
            let elapsed = Duration::try_from_secs_f64(elapsed.unwrap_or(0.0)).unwrap_or_default();
            transaction.rollback().await?;
            return Ok(Pass {
                now,
                claimed: Err(elapsed),
                filed: 0,
            });
        }
        let last = claim.try_get::<_, Option<Moment>>("cron_on")?.map(instant);
        let rows = due(&transaction, dialect).await?;
        for row in &rows {
            if !memory.counted.contains(&row.name) {
                // At 0, so that rates are right from the first occurrence on.
                for fate in Fate::ALL {
                    self.metrics
                        .schedule_fires
                        .with_label_values(&[&row.name, fate.as_str()]);
                }
                memory.counted.insert(row.name.clone());
            }
        }
        let owed = pass::owed(
            &rows,
            now,
            last,
            &catch_ups,
            CronVersion::of(dialect),
            &mut memory.reader,
        );
        let filed = file(&transaction, dialect, &owed.filings).await?;
        label(&transaction, dialect, &owed).await?;
        transaction.commit().await?;
        if filed > 0 {
            self.bell.notify_one();
        }
        self.report(&mut client, dialect, &owed, memory).await;
        Ok(Pass {
            now,
            claimed: Ok(()),
            filed,
        })
    }

    /// What is done once it is certain, and costs no occurrence if it fails.
    async fn report(&self, client: &mut Client, dialect: &Dialect, owed: &Owed, memory: &mut Memory) {
        for broken in &owed.broken {
            if memory.broken.contains(broken) {
                continue;
            }
            let message = format!(
                "schedule for queue {:?} (key {:?}) could not be evaluated and was skipped: {}",
                broken.name, broken.key, broken.reason
            );
            let warning = Warning {
                kind: "invalid_schedule",
                message,
                data: serde_json::json!({
                    "queue": broken.name, "key": broken.key, "cron": broken.cron, "timezone": broken.timezone,
                }),
            };
            self.warn(client, dialect, &warning).await;
        }
        memory.broken = owed.broken.iter().cloned().collect();
        let mut skipped = BTreeMap::<(&str, &str), u64>::new();
        for entry in &owed.skipped {
            *skipped.entry((&entry.name, &entry.key)).or_default() += 1;
        }
        for ((queue, key), count) in skipped {
            let counted = self
                .metrics
                .schedule_fires
                .with_label_values(&[queue, Fate::Skipped.as_str()]);
            counted.inc_by(count);
            tracing::warn!(
                queue,
                key,
                count,
                "nobody looked while occurrences were due; they are skipped"
            );
        }
        write(&self.home, client, dialect, &owed.skipped).await;
    }
}

/// Writes lines of the ledger; that it cannot be is no reason to stop.
pub(super) async fn write(home: &Home, client: &mut Client, dialect: &Dialect, entries: &[Entry]) {
    for entries in entries.chunks(LINES) {
        if let Err(error) = ledger::note(home, client, dialect.schema(), entries).await {
            tracing::debug!(%error, "what became of occurrences could not be noted");
            return;
        }
    }
}

async fn due(transaction: &Transaction<'_>, dialect: &Dialect) -> Result<Vec<Row>, Error> {
    let rows = Executor::query(transaction, &DUE.render(dialect, "job"), &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(Row {
                name: row.try_get("name")?,
                key: row.try_get("key")?,
                kind: match row.try_get::<_, &str>("kind")? {
                    "rrule" => Kind::Rrule,
                    _ => Kind::Cron,
                },
                cron: row.try_get("cron")?,
                timezone: row.try_get("timezone")?,
                once: row.try_get("once")?,
                created_on: instant(row.try_get("created_on")?),
            })
        })
        .collect()
}

/// Files what is due; returns how much of it nobody had filed before.
async fn file(transaction: &Transaction<'_>, dialect: &Dialect, filings: &[Filing]) -> Result<usize, Error> {
    let mut filed = 0;
    for filings in filings.chunks(LINES) {
        let names: Vec<_> = filings.iter().map(|filing| filing.name.as_str()).collect();
        let keys: Vec<_> = filings.iter().map(|filing| filing.key.as_str()).collect();
        let at: Vec<_> = filings
            .iter()
            .map(|filing| filing.occurrence.as_second() as f64)
            .collect();
        let told: Vec<_> = filings
            .iter()
            .map(|filing| filing.told.then(|| filing.occurrence.to_string()))
            .collect();
        let notes: Vec<_> = filings
            .iter()
            .map(|filing| {
                let (occurrence, result) = (filing.occurrence.to_string(), filing.fate.as_str());
                serde_json::json!({ "occurrence": occurrence, "result": result, "key": filing.key }).to_string()
            })
            .collect();
        let by_now: Vec<_> = filings
            .iter()
            .map(|filing| {
                let due = filing.fate == Fate::Fired && filing.kind == Kind::Cron;
                due && !dialect.has(Capability::ScheduleSlot)
            })
            .collect();
        let channel = channel(&spelling(dialect.schema()));
        let params = [
            (&names as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT_ARRAY),
            (&keys, Type::TEXT_ARRAY),
            (&at, Type::FLOAT8_ARRAY),
            (&told, Type::TEXT_ARRAY),
            (&notes, Type::TEXT_ARRAY),
            (&channel, Type::TEXT),
            (&by_now, Type::BOOL_ARRAY),
        ];
        filed += Executor::query(transaction, &FILE.render(dialect, "job"), &params)
            .await?
            .len();
    }
    Ok(filed)
}

/// Corrects the kind of rows that an older instance wrote, or a hand.
async fn label(transaction: &Transaction<'_>, dialect: &Dialect, owed: &Owed) -> Result<(), Error> {
    if owed.mislabelled.is_empty() || !dialect.has(Capability::ScheduleKind) {
        return Ok(());
    }
    let of = |pick: fn(&(String, String, String, Kind)) -> &str| owed.mislabelled.iter().map(pick).collect::<Vec<_>>();
    let (names, keys) = (of(|row| &row.0), of(|row| &row.1));
    let (crons, kinds) = (of(|row| &row.2), of(|row| row.3.as_str()));
    let params = [
        (&names as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT_ARRAY),
        (&keys, Type::TEXT_ARRAY),
        (&crons, Type::TEXT_ARRAY),
        (&kinds, Type::TEXT_ARRAY),
    ];
    Executor::query(transaction, &KINDS.render(dialect, "job"), &params).await?;
    Ok(())
}

/// A moment of the database as jiff has it.
pub(super) fn instant(moment: Moment) -> Timestamp {
    Timestamp::from_microsecond(moment.0.timestamp_micros()).unwrap_or(if moment.0.timestamp() > 0 {
        Timestamp::MAX
    } else {
        Timestamp::MIN
    })
}
