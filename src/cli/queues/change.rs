//! `strawboss queues update|delete|purge|pause|resume`

use std::time::Duration;

use clap::Args;

use crate::claim;
use crate::cli::options::{DatabaseOptions, time};
use crate::cli::{Done, Error, Page, agreed_by_name};
use crate::enqueue::QueueChanges;
use crate::inspect::{JobFilter, count_jobs};
use crate::job::State;
use crate::queue::QueueName;

/// Change a queue; what is not named stays as it is, and jobs that are there keep what they were sent with.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    strawboss queues update email --retry-limit 5 --dead-letter email-dead\n  \
    strawboss queues update email --no-dead-letter --notify=false\n\n\
    Times are seconds, or have a unit: 90, 90s, 15m, 1d. A queue's policy and whether it has a table of its own \
    cannot be changed.")]
pub(super) struct Update {
    /// Its name
    queue: String,
    /// The queue for jobs that failed for good
    #[arg(long, value_name = "QUEUE")]
    dead_letter: Option<String>,
    /// Keep no dead letters
    #[arg(long, conflicts_with = "dead_letter")]
    no_dead_letter: bool,
    /// Backlog above which a supervisor warns
    #[arg(long, value_name = "JOBS")]
    warning_queue_size: Option<u32>,
    /// Retries after the first attempt
    #[arg(long, value_name = "N")]
    retry_limit: Option<u32>,
    /// What passes before a retry
    #[arg(long, value_name = "TIME", value_parser = time)]
    retry_delay: Option<Duration>,
    /// Let the delay grow from retry to retry
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    retry_backoff: Option<bool>,
    /// The most the delay grows to; only beside --retry-backoff
    #[arg(long, value_name = "TIME", value_parser = time, requires = "retry_backoff")]
    retry_delay_max: Option<Duration>,
    /// Let the delay grow without end
    #[arg(long, conflicts_with = "retry_delay_max")]
    no_retry_delay_max: bool,
    /// What one attempt may take
    #[arg(long, visible_alias = "expire-in-seconds", value_name = "TIME", value_parser = time)]
    expire: Option<Duration>,
    /// How long a job may wait before it is deleted unrun
    #[arg(long, visible_alias = "retention-seconds", value_name = "TIME", value_parser = time)]
    retention: Option<Duration>,
    /// How long a finished job is kept; 0 keeps it for ever
    #[arg(long, visible_alias = "delete-after-seconds", value_name = "TIME", value_parser = time)]
    delete_after: Option<Duration>,
    /// The heartbeat of its jobs, at least 10 s
    #[arg(long, visible_alias = "heartbeat-seconds", value_name = "TIME", value_parser = time)]
    heartbeat: Option<Duration>,
    /// Give its jobs no heartbeat
    #[arg(long, conflicts_with = "heartbeat")]
    no_heartbeat: bool,
    /// Let inserts wake listening workers
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    notify: Option<bool>,
    #[command(flatten)]
    database: DatabaseOptions,
}

/// Delete a queue with all its jobs.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  strawboss queues delete email-old")]
pub(super) struct Delete {
    /// Its name
    queue: String,
    /// Do not ask; without a terminal nobody is asked
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    database: DatabaseOptions,
}

/// Delete jobs of a queue: those that nobody has claimed yet, or others.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    strawboss queues purge email                  what waits\n  \
    strawboss queues purge email --stored         what is completed, cancelled or failed\n  \
    strawboss queues purge email --all            everything, running jobs too")]
pub(super) struct Purge {
    /// Its name
    queue: String,
    /// Those that are completed, cancelled or failed, instead
    #[arg(long)]
    stored: bool,
    /// All of them, running jobs too
    #[arg(long, conflicts_with = "stored")]
    all: bool,
    /// Do not ask; without a terminal nobody is asked
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    database: DatabaseOptions,
}

/// Pause a queue: no strawboss worker claims its jobs any more. Node's workers go on.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  strawboss queues pause email --reason 'the mail provider is down'")]
pub(super) struct Pause {
    /// Its name
    queue: String,
    /// Why, for whoever looks
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    database: DatabaseOptions,
}

/// End the pause of a queue.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  strawboss queues resume email")]
pub(super) struct Resume {
    /// Its name
    queue: String,
    #[command(flatten)]
    database: DatabaseOptions,
}

impl Update {
    fn changes(&self) -> QueueChanges {
        let may_go = |value: Option<Duration>, none: bool| if none { Some(None) } else { value.map(Some) };
        QueueChanges {
            retry_limit: self.retry_limit,
            retry_delay: self.retry_delay,
            retry_backoff: self.retry_backoff,
            retry_delay_max: may_go(self.retry_delay_max, self.no_retry_delay_max),
            expire: self.expire,
            retention: self.retention,
            delete_after: self.delete_after,
            dead_letter: if self.no_dead_letter {
                Some(None)
            } else {
                self.dead_letter.as_deref().map(|name| Some(QueueName::from(name)))
            },
            heartbeat: may_go(self.heartbeat, self.no_heartbeat),
            notify: self.notify,
            warning_queue_size: self.warning_queue_size,
        }
    }

    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let changes = self.changes();
        if changes == QueueChanges::default() {
            return Err(Error::Usage("nothing is to change; name an option".to_owned()));
        }
        let connection = self.database.connect().await?;
        let updated = connection.boss().update_queue(self.queue.as_str(), &changes).await;
        updated.map_err(|error| connection.failed(error))?;
        page.line(&format!("changed {}", self.queue))?;
        Ok(Done::Well)
    }
}

impl Delete {
    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let connection = self.database.connect().await?;
        let boss = connection.boss();
        let found = boss.get_queue(self.queue.as_str()).await;
        if found.map_err(|error| connection.failed(error))?.is_none() {
            page.line(&format!("there is no queue {:?}", self.queue))?;
            return Ok(Done::Well);
        }
        let count = count_jobs(
            &connection.client,
            &connection.dialect,
            &self.queue,
            &JobFilter::default(),
        )
        .await
        .map_err(|error| connection.refused(error))?;
        agreed_by_name(self.yes, &format!("delete queue {} with its {count} jobs", self.queue))?;
        let deleted = boss.delete_queue(self.queue.as_str()).await;
        deleted.map_err(|error| connection.failed(error))?;
        page.line(&format!("deleted {}", self.queue))?;
        Ok(Done::Well)
    }
}

impl Purge {
    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let connection = self.database.connect().await?;
        connection.must_have(&self.queue).await?;
        let states = match (self.all, self.stored) {
            (true, _) => Vec::new(),
            (_, true) => vec![State::Completed, State::Cancelled, State::Failed],
            _ => vec![State::Created, State::Retry],
        };
        let filter = JobFilter {
            states,
            ..JobFilter::default()
        };
        let count = count_jobs(&connection.client, &connection.dialect, &self.queue, &filter)
            .await
            .map_err(|error| connection.refused(error))?;
        agreed_by_name(self.yes, &format!("delete {count} jobs of queue {}", self.queue))?;
        let boss = connection.boss();
        let queue = QueueName::from(self.queue.as_str());
        let deleted = match (self.all, self.stored) {
            (true, _) => boss
                .delete_all_jobs(Some(queue))
                .await
                .map(|deleted| deleted.unwrap_or(count)),
            (_, true) => boss.delete_stored_jobs(queue).await,
            _ => boss.delete_queued_jobs(queue).await,
        };
        let deleted = deleted.map_err(|error| connection.failed(error))?;
        page.line(&format!("deleted {deleted} jobs of {}", self.queue))?;
        Ok(Done::Well)
    }
}

impl Pause {
    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let mut connection = self.database.connect().await?;
        connection.must_have(&self.queue).await?;
        let (schema, queue) = (
            connection.dialect.schema().to_owned(),
            QueueName::from(self.queue.as_str()),
        );
        let reason = self.reason.as_deref();
        let paused = claim::pause(&mut connection.client, &connection.home, &schema, &queue, reason).await;
        let new = paused.map_err(|error| connection.refused(error))?;
        page.line(&if new {
            format!("paused {queue}: every strawboss worker stops claiming its jobs within a poll interval")
        } else {
            format!("{queue} is paused already")
        })?;
        eprintln!("Node's pg-boss does not know of it and goes on; what runs is finished");
        Ok(Done::Well)
    }
}

impl Resume {
    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let connection = self.database.connect().await?;
        let (schema, queue) = (connection.dialect.schema(), QueueName::from(self.queue.as_str()));
        let resumed = claim::unpause(&connection.client, &connection.home, schema, &queue).await;
        let resumed = resumed.map_err(|error| connection.refused(error))?;
        page.line(&if resumed {
            format!("resumed {queue}")
        } else {
            format!("{queue} was not paused")
        })?;
        Ok(Done::Well)
    }
}
