//! `strawboss jobs explain`

use clap::Args;
use uuid::Uuid;

use crate::cli::options::DatabaseOptions;
use crate::cli::page::Align;
use crate::cli::{Done, Error, Page};
use crate::inspect::{iso, life};
use crate::queue::QueueName;

/// Tell the life of one job in order: sent, each attempt, what it waits for, where it was dead-lettered and redriven.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  strawboss jobs explain email 4d9de3c4-8e0e-4c5e-9d4a-3f0e6f0b1a55\n\n\
    A row tells of the last attempt alone. Earlier ones are known of workers with `worker.history` set."
)]
pub(super) struct Explain {
    /// The queue's name
    queue: String,
    /// The job's id
    id: Uuid,
    /// Print a JSON array instead of lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseOptions,
}

impl Explain {
    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let connection = self.database.connect().await?;
        let queue = QueueName::from(self.queue.as_str());
        let told = life(
            &connection.client,
            &connection.dialect,
            &connection.home,
            &queue,
            self.id,
        )
        .await;
        let Some(events) = told.map_err(|error| connection.failed(error))? else {
            return Err(Error::Refused {
                what: format!("there is no job {} in queue {:?}", self.id, self.queue),
                next: Some(format!(
                    "`strawboss jobs list {}` shows those that are there; finished jobs are deleted in time",
                    self.queue
                )),
            });
        };
        if self.json {
            page.json(&events)?;
            return Ok(Done::Well);
        }
        let rows: Vec<_> = events
            .into_iter()
            .map(|event| {
                let at = event.at.as_ref().map_or_else(|| "now".to_owned(), iso::text);
                vec![at, event.what.replace('_', " "), event.detail]
            })
            .collect();
        page.table(&[("AT", Align::Left), ("WHAT", Align::Left), ("", Align::Left)], &rows)?;
        Ok(Done::Well)
    }
}
