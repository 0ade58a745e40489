//! `strawboss queues list|show|create|update|delete|purge|pause|resume`

mod change;

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::value::RawValue;

use super::options::{Connection, DatabaseOptions, no_queue, time};
use super::page::Align;
use super::{Done, Error, Page};
use crate::claim;
use crate::enqueue::{Creation, QueueOptions, create_queue};
use crate::inspect::{Counts, QueueRow, iso, queues};
use crate::queue::{Policy, QueueName};

/// List the queues, show, create, change, delete, purge or pause one.
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
    Create(Box<Create>),
    Update(Box<change::Update>),
    Delete(change::Delete),
    Purge(change::Purge),
    Pause(change::Pause),
    Resume(change::Resume),
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
struct Create {
    /// Its name: letters, digits, `_`, `.`, `-` and `/`
    queue: String,
    /// How many jobs may exist or run at once: standard, short, singleton, stately, exclusive, key_strict_fifo
    #[arg(long, value_parser = str::parse::<Policy>)]
    policy: Option<Policy>,
    /// Keep the jobs in a table of their own
    #[arg(long)]
    partition: bool,
    /// The queue for jobs that failed for good
    #[arg(long, value_name = "QUEUE")]
    dead_letter: Option<String>,
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
    #[arg(long)]
    retry_backoff: bool,
    /// The most the delay grows to
    #[arg(long, value_name = "TIME", value_parser = time, requires = "retry_backoff")]
    retry_delay_max: Option<Duration>,
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
    /// Let inserts wake listening workers
    #[arg(long)]
    notify: bool,
    #[command(flatten)]
    database: DatabaseOptions,
}

impl Create {
    fn options(&self) -> QueueOptions {
        QueueOptions {
            policy: self.policy.unwrap_or_default(),
            retry_limit: self.retry_limit,
            retry_delay: self.retry_delay,
            retry_backoff: self.retry_backoff.then_some(true),
            retry_delay_max: self.retry_delay_max,
            expire: self.expire,
            retention: self.retention,
            delete_after: self.delete_after,
            dead_letter: self.dead_letter.as_deref().map(QueueName::from),
            partition: self.partition,
            heartbeat: self.heartbeat,
            notify: self.notify,
            warning_queue_size: self.warning_queue_size,
        }
    }

    async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let connection = self.database.connect().await?;
        let name = QueueName::from(self.queue.as_str());
        let creation = create_queue(&connection.client, &connection.dialect, &name, &self.options())
            .await
            .map_err(|error| connection.not_taken(error))?;
        match creation {
            Creation::Created => page.line(&format!("created {name}"))?,
            Creation::Existed => page.line(&format!("{name} is there already and was left as it is"))?,
        }
        Ok(Done::Well)
    }
}

impl Queues {
    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        match self.command {
            None => self.list.run(page).await,
            Some(Command::List(list)) => list.run(page).await,
            Some(Command::Show(show)) => show.run(page).await,
            Some(Command::Create(create)) => create.run(page).await,
            Some(Command::Update(update)) => update.run(page).await,
            Some(Command::Delete(delete)) => delete.run(page).await,
            Some(Command::Purge(purge)) => purge.run(page).await,
            Some(Command::Pause(pause)) => pause.run(page).await,
            Some(Command::Resume(resume)) => resume.run(page).await,
        }
    }
}

impl List {
    async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let connection = self.database.connect().await?;
        let rows = queues(&connection.client, &connection.dialect, None, !self.live)
            .await
            .map_err(|error| connection.refused(error))?;
        let paused = pauses(&connection).await?;
        if self.json {
            let rows: Vec<_> = rows.iter().map(|row| shown(row, &paused)).collect();
            page.json(&rows)?;
            return Ok(Done::Well);
        }
        if rows.is_empty() {
            page.line("no queues")?;
        }
        let mut heading = vec![("QUEUE", Align::Left), ("POLICY", Align::Left)];
        heading.extend(COUNTED.map(|name| (name, Align::Right)));
        heading.push(("DEAD LETTER", Align::Left));
        if !paused.is_empty() {
            heading.push(("PAUSED", Align::Left));
        }
        let cells: Vec<_> = rows
            .into_iter()
            .map(|row| {
                let mut cells = vec![row.name, row.policy.unwrap_or_default()];
                cells.extend(counted(&row.counts));
                cells.push(row.dead_letter.unwrap_or_default());
                cells.push(paused.get(&cells[0]).cloned().unwrap_or_default());
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
            return Err(no_queue(&only[0]));
        };
        if self.json {
            page.json(&shown(row, &pauses(&connection).await?))?;
        } else {
            if let Some(since) = pauses(&connection).await?.get(&row.name) {
                page.line(&format!("paused {since}\n"))?;
            }
            print(page, row)?;
        }
        Ok(Done::Well)
    }
}

/// Since when which queues are paused for strawboss's workers, and why.
async fn pauses(connection: &Connection) -> Result<BTreeMap<String, String>, Error> {
    let paused = claim::paused(&connection.client, &connection.home, connection.dialect.schema()).await;
    let paused = paused.map_err(|error| connection.refused(error))?;
    let said = |it: claim::Paused| {
        let reason = it.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        (it.queue, format!("since {}{reason}", iso::text(&it.since)))
    };
    Ok(paused.into_iter().map(said).collect())
}

/// A row with its pause. Spelled out: the raw JSON of the row cannot be flattened.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    policy: Option<&'a str>,
    dead_letter: Option<&'a str>,
    table: Option<&'a str>,
    notify: bool,
    counts: Counts,
    paused: Option<&'a str>,
    row: &'a RawValue,
}

fn shown<'a>(row: &'a QueueRow, paused: &'a BTreeMap<String, String>) -> Shown<'a> {
    Shown {
        name: &row.name,
        policy: row.policy.as_deref(),
        dead_letter: row.dead_letter.as_deref(),
        table: row.table.as_deref(),
        notify: row.notify,
        counts: row.counts,
        paused: paused.get(&row.name).map(String::as_str),
        row: &row.row,
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
