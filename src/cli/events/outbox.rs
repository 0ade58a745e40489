//! `strawboss events install|outbox|prune`

use std::time::Duration;

use chrono::SecondsFormat;
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::json;
use uuid::Uuid;

use super::super::options::time;
use super::super::page::Align;
use super::super::{Done, Error, Page};
use super::{Options, Scene, refused};
use crate::events::{Choice, Growing, OutboxFilter, OutboxRow, install, outbox, outbox_counts, prune, settle_rows};
use crate::home::Home;

/// Create what is missing of the app's four event tables and their indexes, as its migration makes them.
///
/// Nothing that is there is touched. With --notify, an insert into the outbox wakes the relays at once: a trigger on the
/// outbox, whose function lives in our own schema.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  strawboss events install\n  strawboss events install --notify --outbox-schema app"
)]
pub(super) struct Install {
    /// Make the trigger that notifies, too
    #[arg(long)]
    notify: bool,
    /// Print a JSON array of what was created
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: Options,
}

/// How many rows of the outbox are in which status; with a status, an event or ids, those rows, newest first.
///
/// --requeue, --complete and --dead-letter say what becomes of rows that stand still: those that an older worker left in
/// `processing`, those that the app handled itself and left `pending`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    strawboss events outbox\n  \
    strawboss events outbox --status failed --limit 20\n  \
    strawboss events outbox --status processing --older-than 30m --requeue --dry-run\n  \
    strawboss events outbox --status pending --older-than 1h --complete --limit 100000")]
pub(super) struct Outbox {
    /// Only rows with these ids
    #[arg(value_name = "ID")]
    ids: Vec<Uuid>,
    /// Only rows in this status
    #[arg(long, value_name = "STATUS",
          value_parser = PossibleValuesParser::new(["pending", "processing", "completed", "failed"]))]
    status: Option<String>,
    /// Only of events of this name
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// Only those that were emitted at least so long ago
    #[arg(long, value_name = "TIME", value_parser = time)]
    older_than: Option<Duration>,
    /// At most so many, the newest first
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Have them relayed: their handlers run, unless the log knows their keys
    #[arg(long, requires = "status", group = "choice")]
    requeue: bool,
    /// Call them done: somebody has handled them
    #[arg(long, requires = "status", group = "choice")]
    complete: bool,
    /// Make dead letters of them, to be looked at and replayed one by one
    #[arg(long, requires = "status", group = "choice")]
    dead_letter: bool,
    /// Show what would be done, and leave it
    #[arg(long, requires = "choice")]
    dry_run: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: Options,
}

/// Delete old rows of the event tables: completed ones of the outbox, dead letters, the log of keys, the history.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    strawboss events prune --older-than 30d --outbox --history\n  \
    strawboss events prune --older-than 90d --outbox --history --log --dead-letters --dry-run\n\n\
    An event whose key is no longer in the log runs again if it comes again.")]
pub(super) struct Prune {
    /// How old they are at least
    #[arg(long, value_name = "TIME", value_parser = time)]
    older_than: Duration,
    /// Completed rows of event_outbox
    #[arg(long)]
    outbox: bool,
    /// event_dead_letter
    #[arg(long)]
    dead_letters: bool,
    /// event_processing_log
    #[arg(long)]
    log: bool,
    /// event_history
    #[arg(long)]
    history: bool,
    /// Count them, and leave them
    #[arg(long)]
    dry_run: bool,
    /// Print a JSON object instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: Options,
}

impl Install {
    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let opened = self.options.open()?;
        let schema = &opened.config.events.outbox_schema;
        let home = Home::new(&opened.config.database.own_schema);
        let refused = |source| refused(&opened.place, schema, source);
        let mut client = opened.database.client().await.map_err(refused)?;
        let created = install(&mut client, &home, schema, self.notify)
            .await
            .map_err(refused)?;
        if self.json {
            page.json(&created)?;
        } else if created.is_empty() {
            page.line(&format!("everything is there already in schema {schema:?}"))?;
        } else {
            for name in created {
                page.line(&format!("created {name}"))?;
            }
        }
        Ok(Done::Well)
    }
}

impl Outbox {
    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let mut scene = self.options.scene().await?;
        if self.ids.is_empty() && self.status.is_none() && self.event.is_none() && self.older_than.is_none() {
            return counts(page, &scene, self.json).await;
        }
        let filter = OutboxFilter {
            ids: self.ids.clone(),
            status: self.status.clone(),
            event: self.event.clone(),
            older_than: self.older_than,
        };
        let rows = outbox(&scene.client, &scene.place, &filter, self.limit)
            .await
            .map_err(|error| scene.refused(error))?;
        let choice = match (self.requeue, self.complete, self.dead_letter) {
            (true, ..) => Some(Choice::Requeue),
            (_, true, _) => Some(Choice::Complete),
            (.., true) => Some(Choice::DeadLetter),
            _ => None,
        };
        if let (Some(choice), Some(status), false) = (choice, &self.status, self.dry_run) {
            scene.prepare().await?;
            let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
            let done = settle_rows(&scene.client, &scene.place, &ids, status, choice).await;
            let done = done.map_err(|error| scene.refused(error))?;
            if self.json {
                page.json(&json!({ "rows": done }))?;
            } else {
                page.line(&format!("{done} rows"))?;
            }
            return Ok(Done::Well);
        }
        print(page, &rows, self.json)?;
        if rows.len() == self.limit as usize {
            eprintln!("these are the newest {}; --limit shows more", self.limit);
        }
        Ok(Done::Well)
    }
}

async fn counts(page: &mut Page, scene: &Scene, json: bool) -> Result<Done, Error> {
    let counts = outbox_counts(&scene.client, &scene.place)
        .await
        .map_err(|error| scene.refused(error))?;
    if json {
        page.json(&counts)?;
        return Ok(Done::Well);
    }
    if counts.is_empty() {
        page.line("the outbox is empty")?;
    }
    let heading = [
        ("STATUS", Align::Left),
        ("ROWS", Align::Right),
        ("OLDEST, SECONDS", Align::Right),
    ];
    let cells: Vec<_> = counts
        .iter()
        .map(|count| {
            vec![
                count.status.clone(),
                count.rows.to_string(),
                format!("{:.0}", count.oldest_seconds),
            ]
        })
        .collect();
    page.table(&heading, &cells)?;
    Ok(Done::Well)
}

fn print(page: &mut Page, rows: &[OutboxRow], json: bool) -> Result<(), Error> {
    if json {
        let rows: Vec<_> = rows.iter().map(|row| &row.row).collect();
        return Ok(page.json(&rows)?);
    }
    if rows.is_empty() {
        page.line("no such rows")?;
    }
    let heading = [
        ("ID", Align::Left),
        ("EVENT", Align::Left),
        ("STATUS", Align::Left),
        ("RETRIES", Align::Right),
        ("CREATED", Align::Left),
        ("PROCESSED", Align::Left),
        ("ERROR", Align::Left),
    ];
    let time = |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let cells: Vec<_> = rows
        .iter()
        .map(|row| {
            vec![
                row.id.to_string(),
                row.event.clone(),
                row.status.clone(),
                format!("{}/{}", row.retry_count, row.max_retries),
                time(row.created_at),
                row.processed_at.map(time).unwrap_or_default(),
                row.error.clone().unwrap_or_default().chars().take(80).collect(),
            ]
        })
        .collect();
    Ok(page.table(&heading, &cells)?)
}

impl Prune {
    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let wanted = [self.outbox, self.dead_letters, self.log, self.history];
        if !wanted.contains(&true) {
            return Err(Error::Usage(
                "say what to prune: --outbox, --dead-letters, --log, --history".to_owned(),
            ));
        }
        let scene = self.options.scene().await?;
        let mut counts = serde_json::Map::new();
        for (table, _) in Growing::ALL.into_iter().zip(wanted).filter(|(_, wanted)| *wanted) {
            let count = prune(&scene.client, &scene.place, table, self.older_than, self.dry_run).await;
            let count = count.map_err(|error| scene.refused(error))?;
            counts.insert(table.as_str().to_owned(), count.into());
        }
        if self.json {
            page.json(&counts)?;
        } else {
            let word = if self.dry_run { "WOULD GO" } else { "GONE" };
            let cells: Vec<_> = counts
                .iter()
                .map(|(table, count)| vec![table.clone(), count.to_string()])
                .collect();
            page.table(&[("TABLE", Align::Left), (word, Align::Right)], &cells)?;
        }
        Ok(Done::Well)
    }
}
