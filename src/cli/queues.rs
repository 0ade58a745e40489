//! `strawboss queues list|show|create`

use clap::{Args, Subcommand};

use super::options::{DatabaseOptions, seconds};
use super::page::Align;
use super::{Done, Error, Page};
use crate::config::EnsureConfig;
use crate::inspect::{Counts, QueueRow, queues};
use crate::queue::Policy;

/// List the queues, or show one.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Queues {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(List),
    Show(Show),
}

/// List the queues with how many jobs are in which state.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    strawboss queues list\n  \
    strawboss queues list --live --json | jq '.[] | select(.counts.ready > 1000) | .name'")]
struct List {
    /// Leave completed and cancelled jobs uncounted, which on a large schema is much quicker
    #[arg(long)]
    live: bool,
    /// Print a JSON array instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseOptions,
}

/// Show one queue: its counts and every column of its row.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  strawboss queues show email")]
struct Show {
    /// Its name
    queue: String,
    /// Print a JSON object instead of lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseOptions,
}

/// Create a queue; one that is there already is left as it is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    strawboss queues create email-dead\n  \
    strawboss queues create email --retry-limit 5 --retry-backoff --dead-letter email-dead --notify\n\n\
    Times are seconds, or have a unit: 90, 90s, 15m, 1d.")]
pub struct Create {
    /// Its name: letters, digits, `_`, `.`, `-` and `/`
    pub queue: String,
    /// How many jobs may exist or run at once: standard, short, singleton, stately, exclusive, key_strict_fifo
    #[arg(long, value_parser = str::parse::<Policy>)]
    pub policy: Option<Policy>,
    /// Keep the jobs in a table of their own
    #[arg(long)]
    pub partition: bool,
    /// The queue for jobs that failed for good
    #[arg(long, value_name = "QUEUE")]
    pub dead_letter: Option<String>,
    /// Backlog above which a supervisor warns
    #[arg(long, value_name = "JOBS", value_parser = clap::value_parser!(i32).range(0..))]
    pub warning_queue_size: Option<i32>,
    /// Retries after the first attempt
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub retry_limit: Option<i32>,
    /// What passes before a retry
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub retry_delay: Option<i32>,
    /// Let the delay grow from retry to retry
    #[arg(long)]
    pub retry_backoff: bool,
    /// The most the delay grows to
    #[arg(long, value_name = "TIME", value_parser = seconds, requires = "retry_backoff")]
    pub retry_delay_max: Option<i32>,
    /// What one attempt may take
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub expire: Option<i32>,
    /// How long a job may wait before it is deleted unrun
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub retention: Option<i32>,
    /// How long a finished job is kept; 0 keeps it for ever
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub delete_after: Option<i32>,
    /// The heartbeat of its jobs, at least 10 s
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub heartbeat: Option<i32>,
    /// Let inserts wake listening workers
    #[arg(long)]
    pub notify: bool,
    #[command(flatten)]
    #[allow(missing_docs, reason = "shown as a heading of its own")]
    pub database: DatabaseOptions,
}

impl Create {
    /// The options as the configuration's `ensure` has them.
    pub fn options(&self) -> EnsureConfig {
        EnsureConfig {
            policy: self.policy,
            partition: self.partition.then_some(true),
            dead_letter: self.dead_letter.clone(),
            warning_queue_size: self.warning_queue_size,
            retry_limit: self.retry_limit,
            retry_delay: self.retry_delay,
            retry_backoff: self.retry_backoff.then_some(true),
            retry_delay_max: self.retry_delay_max,
            expire_in_seconds: self.expire,
            retention_seconds: self.retention,
            delete_after_seconds: self.delete_after,
            heartbeat_seconds: self.heartbeat,
            notify: self.notify.then_some(true),
        }
    }
}

impl Queues {
    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        match self.command {
            None => self.list.run(page).await,
            Some(Command::List(list)) => list.run(page).await,
            Some(Command::Show(show)) => show.run(page).await,
        }
    }
}

impl List {
    async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let connection = self.database.connect().await?;
        let rows = queues(&connection.client, &connection.dialect, None, !self.live)
            .await
            .map_err(|error| connection.refused(error))?;
        if self.json {
            page.json(&rows)?;
            return Ok(Done::Well);
        }
        if rows.is_empty() {
            page.line("no queues")?;
        }
        let mut heading = vec![("QUEUE", Align::Left), ("POLICY", Align::Left)];
        heading.extend(COUNTED.map(|name| (name, Align::Right)));
        heading.push(("DEAD LETTER", Align::Left));
        let cells: Vec<_> = rows
            .into_iter()
            .map(|row| {
                let mut cells = vec![row.name, row.policy.unwrap_or_default()];
                cells.extend(counted(&row.counts));
                cells.push(row.dead_letter.unwrap_or_default());
                cells
            })
            .collect();
        page.table(&heading, &cells)?;
        Ok(Done::Well)
    }
}

impl Show {
    async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let connection = self.database.connect().await?;
        let only = [self.queue];
        let rows = queues(&connection.client, &connection.dialect, Some(&only), true)
            .await
            .map_err(|error| connection.refused(error))?;
        let Some(row) = rows.first() else {
            return Err(Error::Refused {
                what: format!("there is no queue {:?}", only[0]),
                next: "`strawboss queues list` shows those that are there".to_owned(),
            });
        };
        if self.json {
            page.json(row)?;
        } else {
            print(page, row)?;
        }
        Ok(Done::Well)
    }
}

fn print(page: &mut Page, row: &QueueRow) -> Result<(), Error> {
    let heading = COUNTED.map(|name| (name, Align::Right));
    page.table(&heading, &[counted(&row.counts).to_vec()])?;
    page.line("")?;
    super::jobs::print_columns(page, &row.row)
}

/// The counts in the order they are shown.
const COUNTED: [&str; 7] = [
    "READY",
    "DEFERRED",
    "BLOCKED",
    "ACTIVE",
    "FAILED",
    "COMPLETED",
    "CANCELLED",
];

/// The counts as texts; `-` for what was not counted.
fn counted(counts: &Counts) -> [String; 7] {
    let shown = |count: Option<i64>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
    [
        shown(Some(counts.ready)),
        shown(Some(counts.deferred)),
        shown(Some(counts.blocked)),
        shown(Some(counts.active)),
        shown(Some(counts.failed)),
        shown(counts.completed),
        shown(counts.cancelled),
    ]
}
