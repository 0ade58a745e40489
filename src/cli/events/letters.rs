//! `strawboss events dead-letters|replay`

use std::time::Duration;

use chrono::SecondsFormat;
use clap::Args;
use uuid::Uuid;

use super::super::jobs::print_columns;
use super::super::options::time;
use super::super::page::Align;
use super::super::{Done, Error, Page};
use super::{Options, Scene};
use crate::events::{Letter, LetterFilter, letters, purge, replay};

/// Which dead letters.
#[derive(Debug, Args)]
struct Which {
    /// Only those with these ids
    #[arg(value_name = "ID")]
    ids: Vec<Uuid>,
    /// Only of events of this name
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// Only of this handler
    #[arg(long, value_name = "ID")]
    handler: Option<String>,
    /// Only those that failed at least so long ago
    #[arg(long, value_name = "TIME", value_parser = time)]
    older_than: Option<Duration>,
    /// At most so many, the newest first
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// List the events that a handler failed for good, newest first; show one; purge some.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    strawboss events dead-letters --handler inventory-order-completed\n  \
    strawboss events dead-letters 4d9de3c4-8e0e-4c5e-9d4a-3f0e6f0b1a55\n  \
    strawboss events dead-letters --older-than 90d --purge --limit 10000\n\n\
    With one id, every column of the dead letter is shown; --json has them in any case.")]
pub(super) struct DeadLetters {
    #[command(flatten)]
    which: Which,
    /// Delete them for good
    #[arg(long)]
    purge: bool,
    /// Print a JSON array instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: Options,
}

/// Replay dead letters, each to the handler that failed and to no other.
///
/// A dead letter that never got as far as a handler goes back to the outbox. What is replayed leaves the dead letters; if it
/// fails again, it comes back.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    strawboss events replay --handler inventory-order-completed --dry-run\n  \
    strawboss events replay --handler inventory-order-completed --limit 10\n  \
    strawboss events replay 4d9de3c4-8e0e-4c5e-9d4a-3f0e6f0b1a55")]
pub(super) struct Replay {
    #[command(flatten)]
    which: Which,
    /// Show what would be replayed, and leave it
    #[arg(long)]
    dry_run: bool,
    /// Print a JSON array instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: Options,
}

impl Which {
    async fn find(&self, scene: &Scene) -> Result<Vec<Letter>, Error> {
        let filter = LetterFilter {
            ids: self.ids.clone(),
            event: self.event.clone(),
            handler: self.handler.clone(),
            older_than: self.older_than,
        };
        letters(&scene.client, &scene.place, &filter, self.limit)
            .await
            .map_err(|error| scene.refused(error))
    }

    /// Whether anything was said that narrows them down.
    fn is_narrow(&self) -> bool {
        !self.ids.is_empty() || self.event.is_some() || self.handler.is_some() || self.older_than.is_some()
    }
}

impl DeadLetters {
    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        if self.purge && !self.which.is_narrow() {
            return Err(Error::Usage(
                "say which to purge: ids, --event, --handler or --older-than".to_owned(),
            ));
        }
        let scene = self.options.scene().await?;
        let found = self.which.find(&scene).await?;
        if self.purge {
            let ids: Vec<Uuid> = found.iter().map(|letter| letter.id).collect();
            let gone = purge(&scene.client, &scene.place, &ids).await;
            let gone = gone.map_err(|error| scene.refused(error))?;
            page.line(&format!("purged {gone}"))?;
            return Ok(Done::Well);
        }
        match (found.as_slice(), self.which.ids.as_slice()) {
            ([letter], [_]) if !self.json => print_columns(page, &letter.row)?,
            _ => print(page, &found, self.json)?,
        }
        if found.len() == self.which.limit as usize {
            eprintln!("these are the newest {}; --limit shows more", self.which.limit);
        }
        Ok(Done::Well)
    }
}

impl Replay {
    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        if !self.which.is_narrow() {
            return Err(Error::Usage(
                "say which to replay: ids, --event, --handler or --older-than".to_owned(),
            ));
        }
        let mut scene = self.options.scene().await?;
        let found = self.which.find(&scene).await?;
        if self.dry_run {
            print(page, &found, self.json)?;
            eprintln!("would replay {}", found.len());
            return Ok(Done::Well);
        }
        scene.prepare().await?;
        let ids: Vec<Uuid> = found.iter().map(|letter| letter.id).collect();
        let done = replay(&scene.client, &scene.place, &ids).await;
        let done = done.map_err(|error| scene.refused(error))?;
        let (replayed, left): (Vec<Letter>, Vec<Letter>) = found
            .into_iter()
            .partition(|letter| done.iter().any(|(id, _)| *id == letter.id));
        print(page, &replayed, self.json)?;
        for letter in &left {
            eprintln!(
                "not replayed: {}, its queue {:?} is not there",
                letter.id,
                letter.queue.as_deref().unwrap_or_default()
            );
        }
        Ok(if left.is_empty() { Done::Well } else { Done::Findings })
    }
}

fn print(page: &mut Page, letters: &[Letter], json: bool) -> Result<(), Error> {
    if json {
        let rows: Vec<_> = letters.iter().map(|letter| &letter.row).collect();
        return Ok(page.json(&rows)?);
    }
    if letters.is_empty() {
        page.line("no such dead letters")?;
    }
    let heading = [
        ("ID", Align::Left),
        ("EVENT", Align::Left),
        ("HANDLER", Align::Left),
        ("RETRIES", Align::Right),
        ("FAILED", Align::Left),
        ("OUTBOX", Align::Left),
        ("REASON", Align::Left),
    ];
    let cells: Vec<_> = letters
        .iter()
        .map(|letter| {
            vec![
                letter.id.to_string(),
                letter.event.clone(),
                letter.handler.clone().unwrap_or_default(),
                letter.retry_count.to_string(),
                letter.failed_at.to_rfc3339_opts(SecondsFormat::Millis, true),
                letter.original_event_id.to_string(),
                letter.reason.clone().unwrap_or_default().chars().take(80).collect(),
            ]
        })
        .collect();
    Ok(page.table(&heading, &cells)?)
}
