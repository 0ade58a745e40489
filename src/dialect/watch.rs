//! Watches the schema while the worker runs: a Node deploy may migrate it at any time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use super::catalog::foreign;
use super::{Dialect, NEWEST, OLDEST, Template, lacking, quoted};
use crate::observe::{Condition, Metrics, Pulse};
use crate::postgres::{Class, Client, Database, Error, Executor};

/// How often the schema is looked at when nothing asks for it.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long a look may take before its connection is given up.
const PATIENCE: Duration = Duration::from_secs(20);
/// How soon a schema that cannot be spoken, or a database that cannot be reached, is looked at again.
const RETRY: Duration = Duration::from_secs(1);

/// What is known of the schema.
#[derive(Debug, Clone)]
pub enum Spoken {
    /// Nothing yet: the database has not answered.
    Unknown(String),
    /// The database answers and has no pg-boss in that schema.
    Missing(String),
    /// There is one that this build does not speak, and why.
    Unsupported {
        /// Its version; 0 where it has none.
        version: i32,
        /// What is missing.
        reason: String,
    },
    /// There is one, and this is how it is spoken to.
    Yes(Arc<Dialect>),
}

impl Spoken {
    /// The dialect, if there is one.
    pub fn dialect(&self) -> Option<&Arc<Dialect>> {
        match self {
            Spoken::Yes(dialect) => Some(dialect),
            _ => None,
        }
    }

    /// Why nothing can be done, for people; `None` when all is well.
    pub fn trouble(&self) -> Option<&str> {
        match self {
            Spoken::Unknown(reason) | Spoken::Missing(reason) | Spoken::Unsupported { reason, .. } => Some(reason),
            Spoken::Yes(_) => None,
        }
    }
}

/// A statement that has to be preparable for the schema to count as spoken.
#[derive(Debug, Clone, Copy)]
pub struct Needed {
    /// What it is for, for the message.
    pub purpose: &'static str,
    /// Its text.
    pub template: Template,
    /// The flags it is rendered with.
    pub flags: &'static [&'static str],
}

/// Reads and re-reads the schema; everyone else holds a [`Watch`].
pub struct Watcher {
    database: Database,
    schema: String,
    needed: Vec<Needed>,
    metrics: Metrics,
    answers: Option<Condition>,
    sender: watch::Sender<Spoken>,
    latest: watch::Sender<Option<Arc<Dialect>>>,
    nudge: Arc<Notify>,
    doubts: Arc<AtomicBool>,
}

/// The current dialect, and a way to ask for another look.
#[derive(Clone)]
pub struct Watch {
    receiver: watch::Receiver<Spoken>,
    latest: watch::Receiver<Option<Arc<Dialect>>>,
    nudge: Arc<Notify>,
    doubts: Arc<AtomicBool>,
}

impl Watch {
    /// What is known now.
    pub fn now(&self) -> Spoken {
        self.receiver.borrow().clone()
    }

    /// The dialect now, if the schema is spoken.
    pub fn dialect(&self) -> Option<Arc<Dialect>> {
        self.receiver.borrow().dialect().cloned()
    }

    /// The dialect now, or else the one spoken last: for what is under way, which is finished while nothing is claimed.
    pub fn latest(&self) -> Option<Arc<Dialect>> {
        self.latest.borrow().clone()
    }

    /// What is known, as soon as the database has answered for the first time, or after so long.
    pub async fn known(&self, patience: Duration) -> Spoken {
        let mut receiver = self.receiver.clone();
        let answered = receiver.wait_for(|spoken| !matches!(spoken, Spoken::Unknown(_)));
        let _ = tokio::time::timeout(patience, answered).await;
        self.now()
    }

    /// Asks for a look at once: a statement met something undefined.
    pub fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// Asks for a look at the role's privileges: a statement was refused for good.
    pub fn doubt(&self) {
        if !self.doubts.swap(true, Ordering::Relaxed) {
            self.nudge();
        }
    }

    /// Waits until something else is known; never returns once the watcher has ended.
    pub async fn changed(&mut self) {
        if self.receiver.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the schema is spoken.
    pub async fn spoken(&mut self) -> Arc<Dialect> {
        loop {
            if let Some(dialect) = self.receiver.borrow_and_update().dialect() {
                return Arc::clone(dialect);
            }
            self.changed().await;
        }
    }
}

impl Watcher {
    /// A watcher of `schema` that wants every statement of `needed` to be preparable.
    pub fn new(database: Database, schema: &str, needed: Vec<Needed>, metrics: Metrics) -> (Watcher, Watch) {
        let (sender, receiver) = watch::channel(Spoken::Unknown("the database has not answered yet".into()));
        let (newest, latest) = watch::channel(None);
        let nudge = Arc::new(Notify::new());
        let doubts = Arc::new(AtomicBool::new(false));
        let watch = Watch {
            receiver,
            latest,
            nudge: Arc::clone(&nudge),
            doubts: Arc::clone(&doubts),
        };
        (
            Watcher {
                database,
                schema: schema.to_owned(),
                needed,
                metrics,
                answers: None,
                sender,
                latest: newest,
                nudge,
                doubts,
            },
            watch,
        )
    }

    /// Has `condition` say whether the database answers.
    pub fn reporting(mut self, condition: Condition) -> Watcher {
        self.answers = Some(condition);
        self
    }

    /// Watches until it is told to stop.
    pub async fn run(self, pulse: Pulse, stop: CancellationToken) {
        let mut fingerprint = String::new();
        let mut trouble = None::<String>;
        while !stop.is_cancelled() {
            pulse.beat();
            let looked = tokio::select! {
                looked = self.database.within(PATIENCE, self.look(&mut fingerprint)) => looked,
                () = stop.cancelled() => return,
            };
            let pause = match looked {
                Ok(Some(lacking)) => {
                    if trouble.as_ref() != Some(&lacking) {
                        tracing::error!(reason = lacking, "the worker cannot do its work until that is granted");
                    }
                    self.report(Err(lacking.clone()));
                    trouble = Some(lacking);
                    RETRY
                }
                Ok(None) => {
                    if trouble.take().is_some() {
                        tracing::info!("the database answers again, as it should");
                    }
                    self.report(Ok(()));
                    if self.sender.borrow().dialect().is_some() {
                        INTERVAL
                    } else {
                        RETRY
                    }
                }
                Err(error) => {
                    let said = error.to_string();
                    // An outage may last, and one line is enough for as long as there is no news of it.
                    if trouble.as_ref() == Some(&said) {
                        tracing::debug!(%error, "the schema could not be looked at");
                    } else {
                        tracing::warn!(%error, "the schema cannot be looked at; trying again until the database answers");
                    }
                    self.report(Err(said.clone()));
                    if matches!(*self.sender.borrow(), Spoken::Unknown(_)) {
                        self.sender.send_replace(Spoken::Unknown(said.clone()));
                    }
                    trouble = Some(said);
                    RETRY
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.nudge.notified() => {}
                () = stop.cancelled() => {}
            }
        }
    }

    fn report(&self, answers: Result<(), String>) {
        if let Some(condition) = &self.answers {
            condition.set(answers);
        }
    }

    /// Looks once; does the full reading only where the fingerprint differs. Returns a privilege that is wanting.
    async fn look(&self, fingerprint: &mut String) -> Result<Option<String>, Error> {
        let client = self.database.client().await?;
        self.read(&client, fingerprint).await?;
        // Whoever revokes one leaves no trace in the fingerprint.
        let doubted = self.doubts.swap(false, Ordering::Relaxed);
        if !doubted || self.sender.borrow().dialect().is_none() {
            return Ok(None);
        }
        let lacking = lacking(&client, &self.schema).await?.into_iter().next();
        self.doubts.store(lacking.is_some(), Ordering::Relaxed);
        Ok(lacking)
    }

    async fn read(&self, client: &Client, fingerprint: &mut String) -> Result<(), Error> {
        let before = chrono::Utc::now();
        let sql = format!(
            "SELECT v.version, f.print, clock_timestamp() FROM \
             (SELECT hashtextextended(string_agg(concat_ws('.', kind, relation, name), ',' ORDER BY kind, relation, name), 0) AS print FROM ({}) c) f \
             LEFT JOIN {}.version v ON true",
            include_str!("catalog.sql"),
            quoted(&self.schema)
        );
        let row = match client.query(&sql, &[(&self.schema, Type::TEXT)]).await {
            Ok(mut rows) => rows.swap_remove(0),
            Err(error) if error.class() == Class::Schema => {
                fingerprint.clear();
                self.publish(Spoken::Missing(format!(
                    "no pg-boss is installed in schema \"{0}\"; start the Node app once, or run `strawboss schema install --schema {0}`",
                    self.schema
                )));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let there: chrono::DateTime<chrono::Utc> = row.try_get(2)?;
        let middle = before + (chrono::Utc::now() - before) / 2;
        self.metrics
            .clock_skew
            .set((there - middle).num_microseconds().unwrap_or(0) as f64 / 1e6);

        let Ok(version) = row.try_get::<_, Option<i32>>(0) else {
            fingerprint.clear();
            self.publish(Spoken::Unsupported {
                version: 0,
                reason: foreign(&self.schema),
            });
            return Ok(());
        };
        let print = format!("{version:?} {:?}", row.try_get::<_, Option<i64>>(1)?);
        if print == *fingerprint {
            return Ok(());
        }
        let dialect = Dialect::read(client, &self.schema).await?;
        let spoken = self.judge(client, dialect).await?;
        // A schema that is not spoken is judged anew each time: what it lacks may come without a trace in the catalog.
        *fingerprint = if spoken.dialect().is_some() {
            print
        } else {
            String::new()
        };
        self.publish(spoken);
        Ok(())
    }

    async fn judge(&self, client: &Client, dialect: Dialect) -> Result<Spoken, Error> {
        let version = dialect.version();
        if version < OLDEST {
            let reason = format!(
                "schema \"{}\" has version {version}; the oldest one spoken is {OLDEST} (pg-boss 10.1.5): upgrade the Node app's pg-boss",
                self.schema
            );
            return Ok(Spoken::Unsupported { version, reason });
        }
        let table = if dialect.catalog().has_table("job_common") {
            "job_common"
        } else {
            "job"
        };
        for needed in &self.needed {
            let sql = needed.template.render_with(&dialect, table, needed.flags);
            let probe = format!("PREPARE strawboss_probe AS {sql}; DEALLOCATE strawboss_probe");
            match client.batch(&probe).await {
                Ok(()) => {}
                Err(error) if error.class() == Class::Connection || error.class() == Class::Transient => {
                    return Err(error);
                }
                Err(error) => {
                    let reason = format!(
                        "schema \"{}\" (version {version}) cannot be spoken: to {} this worker needs what it lacks: {error}",
                        self.schema, needed.purpose
                    );
                    return Ok(Spoken::Unsupported { version, reason });
                }
            }
        }
        Ok(Spoken::Yes(Arc::new(dialect)))
    }

    fn publish(&self, spoken: Spoken) {
        let version = match &spoken {
            Spoken::Yes(dialect) => dialect.version(),
            Spoken::Unsupported { version, .. } => *version,
            _ => 0,
        };
        self.metrics.schema_version.set(version.into());
        self.metrics.schema_supported.set(i64::from(spoken.dialect().is_some()));
        if let Some(dialect) = spoken.dialect() {
            self.latest.send_replace(Some(Arc::clone(dialect)));
        }
        self.sender.send_if_modified(|known| {
            let same = match (&*known, &spoken) {
                (Spoken::Yes(old), Spoken::Yes(new)) => old == new,
                (old, new) => old.dialect().is_none() && new.dialect().is_none() && old.trouble() == new.trouble(),
            };
            if same {
                return false;
            }
            match &spoken {
                Spoken::Yes(_) if version > NEWEST => tracing::warn!(
                    schema_version = version,
                    newest = NEWEST,
                    "the schema is newer than this build knows; every statement holds, so it is spoken as the newest known"
                ),
                Spoken::Yes(_) => tracing::info!(schema_version = version, schema = %self.schema, "speaking pg-boss's schema"),
                other => tracing::error!(reason = other.trouble(), "nothing is claimed until the schema can be spoken"),
            }
            *known = spoken;
            true
        });
    }
}
