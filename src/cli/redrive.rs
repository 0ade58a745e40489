//! `strawboss redrive`

use chrono::{DateTime, Utc};
use clap::Args;
use uuid::Uuid;

use super::options::DatabaseOptions;
use super::page::Align;
use super::{Done, Error, Page};
use crate::desk::Redrive as Wanted;
use crate::job::RawJson;
use crate::queue::QueueName;

/// Move dead letters back to the queues they came from, as new jobs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    strawboss redrive email-dead --dry-run            what would go where\n  \
    strawboss redrive email-dead --limit 100          the oldest hundred\n  \
    strawboss redrive email-dead --to email-slow --data '{\"tenant\": 7}'\n\n\
    Only dead letters that nobody has claimed are moved. Needs pg-boss 12.23 or later.")]
pub struct Redrive {
    /// The dead letter queue
    queue: String,
    /// Where they go, instead of where each came from
    #[arg(long, value_name = "QUEUE")]
    to: Option<String>,
    /// At most so many, the oldest first
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Only those that came from this queue
    #[arg(long, value_name = "QUEUE")]
    source: Option<String>,
    /// Only those whose data contains this JSON object
    #[arg(long, value_name = "JSON", value_parser = super::jobs::json)]
    data: Option<RawJson>,
    /// Only those that arrived before this
    #[arg(long, value_name = "RFC3339")]
    before: Option<DateTime<Utc>>,
    /// Only the dead letter with this id; may be repeated
    #[arg(long = "id", value_name = "UUID")]
    ids: Vec<Uuid>,
    /// Say what would be moved where, and move nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseOptions,
}

impl Redrive {
    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let connection = self.database.connect().await?;
        let boss = connection.boss();
        let wanted = Wanted {
            destination: self.to.as_deref().map(QueueName::from),
            source_name: self.source.as_deref().map(QueueName::from),
            data: self.data,
            created_before: self.before,
            ids: (!self.ids.is_empty()).then_some(self.ids),
            limit: Some(self.limit),
        };
        if !self.dry_run {
            let moved = boss.redrive(self.queue.as_str(), &wanted).await;
            let moved = moved.map_err(|error| connection.failed(error))?;
            if self.json {
                page.json(&serde_json::json!({ "moved": moved }))?;
            } else {
                page.line(&format!("moved {moved} jobs"))?;
            }
            return Ok(Done::Well);
        }
        let preview = boss.preview_redrive(self.queue.as_str(), &wanted).await;
        let preview = preview.map_err(|error| connection.failed(error))?;
        if self.json {
            page.json(&preview)?;
            return Ok(Done::Well);
        }
        let rows: Vec<_> = preview
            .destinations
            .iter()
            .map(|to| vec![to.name.clone(), to.count.to_string()])
            .collect();
        page.table(&[("TO", Align::Left), ("JOBS", Align::Right)], &rows)?;
        if preview.unroutable > 0 {
            page.line(&format!(
                "{} would stay: nobody knows where they came from, or that queue is gone",
                preview.unroutable
            ))?;
        } else if rows.is_empty() {
            page.line("nothing would be moved")?;
        }
        Ok(Done::Well)
    }
}
