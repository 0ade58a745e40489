//! One look: what the database knows of the queues and their workers, and what the worker at `http.listen` says of itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;

use super::here::{Here, Rate};
use super::instance::Instance;
use crate::claim;
use crate::cli::options::Opened;
use crate::dialect::{Capability, Dialect, OLDEST};
use crate::home::Home;
use crate::inspect::{
    ALONG_THE_INDEXES, Failure, QueueFigures, QueueRecord, failures, figures, finished, instances, queue_records,
};
use crate::postgres::{Class, Client, Database, Error};
use crate::queue::QueueName;
use crate::refusal::Refusal;

/// How far back the rates look that the database knows.
const WINDOW: Duration = Duration::from_secs(10);
/// How many failures are read.
const FAILURES: u16 = 50;
/// How long a statement about failures may take where no index leads to them.
const PATIENCE: &str = "SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = '1s'";
/// How long nobody asks again: after an answer, and after none.
const REST: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));
/// How long a look may take in all.
const LIMIT: Duration = Duration::from_secs(8);
/// How long a schema is taken for what it was.
const FRESH: Duration = Duration::from_secs(10);

/// What was seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Look {
    /// The schema's version; `None` where nothing could be read.
    pub version: Option<i32>,
    /// Why nothing could be read.
    pub trouble: Option<String>,
    /// The queues, by name.
    pub queues: Vec<Queue>,
    /// Whose the rates are.
    pub rates: Rates,
    /// The processes that have registered themselves, or why they are not known.
    pub workers: Workers,
    /// What the worker at `http.listen` says.
    pub here: Here,
    /// The last failures, latest first; `None` where reading them took too long.
    pub failures: Option<Vec<Failure>>,
    /// The queue that is looked at closely.
    pub closely: Option<QueueRecord>,
}

/// The processes that have registered themselves.
#[derive(Debug, Clone)]
pub(super) enum Workers {
    /// All of them, in the order in which they began.
    Known(Vec<Instance>),
    /// Why they are not known.
    Unknown(&'static str),
}

impl Default for Workers {
    fn default() -> Workers {
        Workers::Known(Vec::new())
    }
}

/// Whose the rates are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Rates {
    /// Nobody knows them.
    #[default]
    Unknown,
    /// Every worker's, Node's too, of the last ten seconds.
    All,
    /// Every worker's, as a supervisor has counted them last.
    Counted,
    /// Those of the worker at `http.listen`, since the look before.
    Here,
}

/// A queue.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    /// Its jobs.
    pub figures: QueueFigures,
    /// Why strawboss's workers claim none of them, if they do not; empty where nobody has said.
    pub paused: Option<String>,
    /// Jobs that wait in its dead letter queue; `None` where it has none.
    pub dead: Option<i64>,
    /// Jobs that complete and jobs that fail, a second; where the rates are of one worker, attempts.
    pub rate: Option<Rate>,
}

/// Looks again and again; remembers what rates and patience need.
pub(super) struct Looker {
    opened: Opened,
    home: Home,
    listen: Option<SocketAddr>,
    /// How the schema was found, and when.
    dialect: Option<(Instant, Arc<Dialect>)>,
    /// What the worker said before.
    before: Option<Here>,
    /// What was read of failures, of which queues, and when that may be asked again.
    failed: Option<(Instant, Option<String>, Option<Vec<Failure>>)>,
}

impl Looker {
    /// Looks at this database, and at the worker that listens there.
    pub fn new(opened: Opened, listen: Option<SocketAddr>) -> Looker {
        Looker {
            home: Home::new(opened.config.database.own_schema.clone()),
            opened,
            listen,
            dialect: None,
            before: None,
            failed: None,
        }
    }

    /// Where the database is, fit to be shown.
    pub fn place(&self) -> String {
        format!("{} of {}", self.opened.config.database.schema, self.opened.place)
    }

    /// Looks once, at one of the queues more closely if it is named. What cannot be had is missing, and said.
    pub async fn look(&mut self, closely: Option<&str>) -> Look {
        let here = Here::ask(self.listen).await;
        let rates = self
            .before
            .as_ref()
            .map(|before| here.since(before))
            .unwrap_or_default();
        self.before = Some(here.clone());
        let mut look = match self.read(closely).await {
            Ok(look) => look,
            Err(trouble) => Look {
                trouble: Some(trouble),
                ..Look::default()
            },
        };
        if look.rates == Rates::Unknown && !rates.is_empty() {
            look.rates = Rates::Here;
            for queue in &mut look.queues {
                queue.rate = rates.get(&queue.figures.name).copied();
            }
        }
        look.here = here;
        look
    }

    async fn read(&mut self, closely: Option<&str>) -> Result<Look, String> {
        let database = self.opened.database.clone();
        let schema = self.opened.config.database.schema.clone();
        let known = self.dialect.as_ref().map(|(_, dialect)| dialect.version());
        let read = database.within(LIMIT, self.read_all(&database, &schema, closely)).await;
        let read = read.map_err(|error| {
            self.dialect = None;
            match error.class() {
                Class::Schema if known.is_none() => format!("there is no pg-boss in schema {schema:?}"),
                _ => error.to_string(),
            }
        })?;
        match read {
            Ok(look) => Ok(look),
            Err(version) => Err(format!(
                "schema {schema:?} has version {version}, and the oldest that is spoken is {OLDEST}"
            )),
        }
    }

    /// The look, or the version of a schema that is too old.
    async fn read_all(
        &mut self,
        database: &Database,
        schema: &str,
        closely: Option<&str>,
    ) -> Result<Result<Look, i32>, Error> {
        let mut client = database.client().await?;
        let dialect = match &self.dialect {
            Some((at, dialect)) if at.elapsed() < FRESH => Arc::clone(dialect),
            _ => Arc::new(Dialect::read(&client, schema).await?),
        };
        if dialect.version() < OLDEST {
            return Ok(Err(dialect.version()));
        }
        if !matches!(&self.dialect, Some((_, known)) if Arc::ptr_eq(known, &dialect)) {
            self.dialect = Some((Instant::now(), Arc::clone(&dialect)));
        }
        let (queues, rates) = self.queues(&mut client, &dialect).await?;
        let names = match closely {
            Some(queue) => vec![queue.to_owned()],
            None => queues.iter().map(|queue| queue.figures.name.clone()).collect(),
        };
        Ok(Ok(Look {
            version: Some(dialect.version()),
            queues,
            rates,
            workers: registered(&client, &dialect).await?,
            failures: self.failures(&mut client, &dialect, &names, closely).await?,
            closely: match closely {
                Some(queue) => record(&client, &dialect, queue).await?,
                None => None,
            },
            ..Look::default()
        }))
    }

    async fn queues(&self, client: &mut Client, dialect: &Dialect) -> Result<(Vec<Queue>, Rates), Error> {
        let read = figures(client, dialect).await?.queues;
        let names: Vec<String> = read.iter().map(|queue| queue.name.clone()).collect();
        let transaction = client.transaction().await?;
        transaction.batch(ALONG_THE_INDEXES).await?;
        let ended = finished(&transaction, dialect, &names, WINDOW).await?;
        transaction.commit().await?;
        let paused = claim::paused(client, &self.home, dialect.schema()).await?;
        let mut paused: BTreeMap<_, _> = paused
            .into_iter()
            .map(|it| (it.queue, it.reason.unwrap_or_default()))
            .collect();
        let waiting: BTreeMap<_, _> = read
            .iter()
            .map(|it| {
                (
                    it.name.clone(),
                    [it.ready, it.deferred, it.blocked].into_iter().flatten().sum(),
                )
            })
            .collect();
        let rates = match &ended {
            Some(_) => Rates::All,
            None if read.iter().any(|queue| queue.rates.is_some()) => Rates::Counted,
            None => Rates::Unknown,
        };
        let mut ended: BTreeMap<_, _> = ended
            .into_iter()
            .flatten()
            .map(|it| (it.queue, (it.completed, it.failed)))
            .collect();
        let queues = read.into_iter().map(|figures| Queue {
            paused: paused.remove(&figures.name),
            dead: figures
                .dead_letter
                .as_ref()
                .and_then(|queue| waiting.get(queue).copied()),
            rate: ended
                .remove(&figures.name)
                .or(figures.rates)
                .map(|(completed, failed)| Rate { completed, failed }),
            figures,
        });
        Ok((queues.collect(), rates))
    }

    async fn failures(
        &mut self,
        client: &mut Client,
        dialect: &Dialect,
        queues: &[String],
        closely: Option<&str>,
    ) -> Result<Option<Vec<Failure>>, Error> {
        let bounded = dialect.has(Capability::LiveIndex);
        if let Some((due, of, known)) = &self.failed
            && !bounded
            && of.as_deref() == closely
            && Instant::now() < *due
        {
            return Ok(known.clone());
        }
        let transaction = client.transaction().await?;
        transaction
            .batch(if bounded { ALONG_THE_INDEXES } else { PATIENCE })
            .await?;
        let read = match failures(&transaction, dialect, queues, FAILURES).await {
            Ok(read) => Some(read),
            // It took longer than it may.
            Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => None,
            Err(error) => return Err(error),
        };
        transaction.rollback().await?;
        let rest = if read.is_some() { REST.0 } else { REST.1 };
        self.failed = Some((Instant::now() + rest, closely.map(str::to_owned), read.clone()));
        Ok(read)
    }
}

async fn registered(client: &Client, dialect: &Dialect) -> Result<Workers, Error> {
    match instances(client, dialect).await {
        Ok(rows) => Ok(Workers::Known(
            rows.iter().filter_map(|row| Instance::of(row.get())).collect(),
        )),
        Err(Refusal::Unsupported { .. }) => Ok(Workers::Unknown("who else works here is not known before schema 44")),
        Err(Refusal::Database(error)) if error.code() != Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Err(error),
        Err(_) => Ok(Workers::Unknown(
            "who else works here is in the table instance, which this role may not read",
        )),
    }
}

/// A queue with its settings, if it is there.
async fn record(client: &Client, dialect: &Dialect, queue: &str) -> Result<Option<QueueRecord>, Error> {
    match queue_records(client, dialect, Some(&[QueueName::from(queue)])).await {
        Ok(mut records) => Ok(records.pop()),
        Err(Refusal::Database(error)) => Err(error),
        Err(_) => Ok(None),
    }
}
