//! `strawboss jobs list|show|explain|retry|cancel|resume|delete`

mod decide;
mod explain;

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use uuid::Uuid;

use decide::Deed;

use super::options::DatabaseOptions;
use super::page::Align;
use super::{Done, Error, Page};
use crate::inspect::{JobFilter, JobRow, jobs, one_job};
use crate::job::{RawJson, State};

/// List the jobs of a queue, show one, or retry, cancel, resume or delete some.
#[derive(Debug, Args)]
pub struct Jobs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(List),
    Show(Show),
    Explain(explain::Explain),
    /// Give failed jobs one more retry
    #[command(after_help = "Examples:\n  \
        strawboss jobs retry email 4d9de3c4-8e0e-4c5e-9d4a-3f0e6f0b1a55\n  \
        strawboss jobs retry email --data '{\"to\": \"a@example.com\"}' --yes")]
    Retry(decide::Decide),
    /// Cancel jobs that are not finished; whoever runs one learns of it at its next heartbeat
    #[command(after_help = "Examples:\n  \
        strawboss jobs cancel email 4d9de3c4-8e0e-4c5e-9d4a-3f0e6f0b1a55\n  \
        strawboss jobs cancel email --state created --singleton-key tenant-7 --yes")]
    Cancel(decide::Decide),
    /// Put cancelled jobs back into the queue
    #[command(after_help = "Example:\n  strawboss jobs resume email --yes")]
    Resume(decide::Decide),
    /// Delete jobs, whatever their state
    #[command(after_help = "Examples:\n  \
        strawboss jobs delete email 4d9de3c4-8e0e-4c5e-9d4a-3f0e6f0b1a55\n  \
        strawboss jobs delete email --state failed --yes")]
    Delete(decide::Decide),
}

/// List the jobs of a queue, newest first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    strawboss jobs list email --state failed\n  \
    strawboss jobs list email --state created --state retry --limit 10\n  \
    strawboss jobs list email --data '{\"to\": \"a@example.com\"}' --json\n\n\
    The table leaves payloads out; --json has every column of every job.")]
struct List {
    /// The queue's name
    queue: String,
    /// Only jobs in this state; may be repeated
    #[arg(long = "state", value_name = "STATE", value_parser = state_parser())]
    states: Vec<State>,
    /// Only the job with this id; may be repeated
    #[arg(long = "id", value_name = "UUID")]
    ids: Vec<Uuid>,
    /// Only jobs with this singleton key
    #[arg(long, value_name = "KEY")]
    singleton_key: Option<String>,
    /// Only jobs whose data contains this JSON
    #[arg(long, value_name = "JSON", value_parser = json)]
    data: Option<RawJson>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Print a JSON array instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseOptions,
}

/// Show one job: every column its row has.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  strawboss jobs show email 4d9de3c4-8e0e-4c5e-9d4a-3f0e6f0b1a55")]
struct Show {
    /// The queue's name
    queue: String,
    /// The job's id
    id: Uuid,
    /// Print a JSON object instead of lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseOptions,
}

fn state_parser() -> impl TypedValueParser<Value = State> {
    PossibleValuesParser::new(State::ALL.map(State::as_str)).try_map(|name| name.parse::<State>())
}

/// Reads a JSON text, which is passed on as it is.
pub(super) fn json(text: &str) -> Result<RawJson, String> {
    serde_json::from_str(text).map_err(|error| format!("this is no JSON: {error}"))
}

impl Jobs {
    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        match self.command {
            Command::List(list) => list.run(page).await,
            Command::Show(show) => show.run(page).await,
            Command::Explain(explain) => explain.run(page).await,
            Command::Retry(which) => which.run(Deed::Retry, page).await,
            Command::Cancel(which) => which.run(Deed::Cancel, page).await,
            Command::Resume(which) => which.run(Deed::Resume, page).await,
            Command::Delete(which) => which.run(Deed::Delete, page).await,
        }
    }
}

impl List {
    async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let connection = self.database.connect().await?;
        let filter = JobFilter {
            states: self.states,
            ids: self.ids,
            singleton_key: self.singleton_key,
            data: self.data,
        };
        let rows = jobs(
            &connection.client,
            &connection.dialect,
            &self.queue,
            &filter,
            self.limit,
        )
        .await
        .map_err(|error| connection.refused(error))?;
        if rows.is_empty() {
            connection.must_have(&self.queue).await?;
        }
        if self.json {
            let rows: Vec<_> = rows.iter().map(|row| &row.row).collect();
            page.json(&rows)?;
        } else {
            print(page, &rows)?;
        }
        if rows.len() == self.limit as usize {
            eprintln!("these are the newest {}; --limit shows more", self.limit);
        }
        Ok(Done::Well)
    }
}

impl Show {
    async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let connection = self.database.connect().await?;
        let row = one_job(&connection.client, &connection.dialect, &self.queue, self.id)
            .await
            .map_err(|error| connection.refused(error))?;
        let Some(row) = row else {
            return Err(Error::Refused {
                what: format!("there is no job {} in queue {:?}", self.id, self.queue),
                next: Some(format!(
                    "`strawboss jobs list {}` shows those that are there; finished jobs are deleted in time",
                    self.queue
                )),
            });
        };
        if self.json {
            page.json(&row.row)?;
        } else {
            print_columns(page, &row.row)?;
        }
        Ok(Done::Well)
    }
}

fn print(page: &mut Page, rows: &[JobRow]) -> std::io::Result<()> {
    if rows.is_empty() {
        page.line("no such jobs")?;
    }
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let heading = [
        ("ID", Align::Left),
        ("STATE", Align::Left),
        ("RETRIES", Align::Right),
        ("PRIORITY", Align::Right),
        ("CREATED", Align::Left),
        ("START AFTER", Align::Left),
        ("STARTED", Align::Left),
        ("COMPLETED", Align::Left),
        ("KEY", Align::Left),
    ];
    let cells: Vec<_> = rows
        .iter()
        .map(|row| {
            vec![
                row.id.to_string(),
                row.state.clone(),
                format!("{}/{}", row.retry_count, row.retry_limit),
                row.priority.to_string(),
                time(row.created_on),
                time(row.start_after),
                row.started_on.map(time).unwrap_or_default(),
                row.completed_on.map(time).unwrap_or_default(),
                row.singleton_key.clone().unwrap_or_default(),
            ]
        })
        .collect();
    page.table(&heading, &cells)
}

/// Prints a row one column a line, in the table's own order.
pub(super) fn print_columns(page: &mut Page, row: &RawValue) -> Result<(), Error> {
    let mut reader = serde_json::Deserializer::from_str(row.get());
    let columns = reader.deserialize_map(Columns).map_err(std::io::Error::from)?;
    let pairs: Vec<_> = columns
        .iter()
        .map(|(name, value)| {
            let text = serde_json::from_str::<String>(value.get());
            (name.as_str(), text.unwrap_or_else(|_| value.get().to_owned()))
        })
        .collect();
    Ok(page.pairs(&pairs)?)
}

/// A JSON object as pairs: its order is kept and its values are not parsed.
struct Columns;

impl<'de> Visitor<'de> for Columns {
    type Value = Vec<(String, RawJson)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(pairs)
    }
}
