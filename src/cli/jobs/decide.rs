//! `strawboss jobs retry|cancel|resume|delete`

use clap::Args;
use uuid::Uuid;

use super::{json, state_parser};
use crate::cli::options::DatabaseOptions;
use crate::cli::{Done, Error, Page, agreed};
use crate::inspect::{JobFilter, count_jobs, job_ids};
use crate::job::{RawJson, State};

/// How many jobs are decided about at a time.
const BATCH: u32 = 5_000;

/// Which jobs, and whether it is settled that all of them are meant.
#[derive(Debug, Args)]
pub(super) struct Decide {
    /// The queue's name
    queue: String,
    /// The jobs' ids; without any, all jobs that match
    ids: Vec<Uuid>,
    /// Only jobs in this state; may be repeated
    #[arg(long = "state", value_name = "STATE", value_parser = state_parser(), conflicts_with = "ids")]
    states: Vec<State>,
    /// Only jobs with this singleton key
    #[arg(long, value_name = "KEY", conflicts_with = "ids")]
    singleton_key: Option<String>,
    /// Only jobs whose data contains this JSON
    #[arg(long, value_name = "JSON", value_parser = json, conflicts_with = "ids")]
    data: Option<RawJson>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    database: DatabaseOptions,
}

/// What is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Retry,
    Cancel,
    Resume,
    Delete,
}

impl Deed {
    /// The states in which a job can have it done to it.
    fn applies_to(self) -> &'static [State] {
        match self {
            Deed::Retry => &[State::Failed],
            Deed::Cancel => &[State::Created, State::Retry, State::Active],
            Deed::Resume => &[State::Cancelled],
            Deed::Delete => &State::ALL,
        }
    }

    /// As it is asked, and as it is told.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Deed::Retry => ("retry", "retried"),
            Deed::Cancel => ("cancel", "cancelled"),
            Deed::Resume => ("resume", "resumed"),
            Deed::Delete => ("delete", "deleted"),
        }
    }
}

impl Decide {
    pub(super) async fn run(self, deed: Deed, page: &mut Page) -> Result<Done, Error> {
        let (ask, told) = deed.words();
        let connection = self.database.connect().await?;
        let boss = connection.boss();
        let queue = self.queue.as_str();
        let decide = async |ids: Vec<Uuid>| match deed {
            Deed::Retry => boss.retry(queue, ids).await,
            Deed::Cancel => boss.cancel(queue, ids).await,
            Deed::Resume => boss.resume(queue, ids).await,
            Deed::Delete => boss.delete_job(queue, ids).await,
        };
        if !self.ids.is_empty() {
            let requested = self.ids.len();
            let affected = decide(self.ids).await.map_err(|error| connection.failed(error))?;
            page.line(&format!("{told} {} of {requested} jobs", affected.affected))?;
            if affected.affected < requested {
                eprintln!("the others are not there, or in a state in which they cannot be {told}");
                return Ok(Done::Findings);
            }
            return Ok(Done::Well);
        }
        let states: Vec<State> = if self.states.is_empty() {
            deed.applies_to().to_vec()
        } else {
            let asked = self.states.iter().copied();
            asked.filter(|state| deed.applies_to().contains(state)).collect()
        };
        if states.is_empty() {
            return Err(Error::Usage(format!("no job in such a state can be {told}")));
        }
        let filter = JobFilter {
            states,
            ids: Vec::new(),
            singleton_key: self.singleton_key,
            data: self.data,
        };
        let refused = |error| connection.refused(error);
        let count = count_jobs(&connection.client, &connection.dialect, queue, &filter)
            .await
            .map_err(refused)?;
        if count == 0 {
            page.line("no such jobs")?;
            return Ok(Done::Well);
        }
        agreed(self.yes, &format!("{ask} {count} jobs of queue {queue}"))?;
        let mut done = 0;
        // Those that come meanwhile are not meant.
        while done < count {
            let limit = u32::try_from(count - done).map_or(BATCH, |left| left.min(BATCH));
            let ids = job_ids(&connection.client, &connection.dialect, queue, &filter, limit)
                .await
                .map_err(refused)?;
            if ids.is_empty() {
                break;
            }
            let affected = decide(ids).await.map_err(|error| connection.failed(error))?;
            if affected.affected == 0 {
                break;
            }
            done += affected.affected as u64;
        }
        page.line(&format!("{told} {done} jobs"))?;
        Ok(Done::Well)
    }
}
