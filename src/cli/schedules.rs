//! `strawboss schedules list|set|remove|preview|history`

mod preview;

use std::str::FromStr;

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::options::DatabaseOptions;
use super::page::Align;
use super::{Done, Error, Page};
use crate::dialect::{Dialect, OLDEST};
use crate::home::Home;
use crate::job::RawJson;
use crate::postgres::{Class, Client};
use crate::queue::QueueName;
use crate::schedule::{self, Missed, Wanted, Zones};

/// List the schedules, set or remove one, or see when an expression fires.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Schedules {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(List),
    Set(Box<Set>),
    Remove(Remove),
    Preview(preview::Preview),
    History(History),
}

/// List the schedules with their next occurrence.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    strawboss schedules list\n  \
    strawboss schedules list report --json")]
struct List {
    /// Only those of this queue
    queue: Option<String>,
    /// Print a JSON array instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseOptions,
}

/// Make a schedule, or change the one of that queue and key.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    strawboss schedules set report '0 9 * * 1-5' --tz Europe/Berlin\n  \
    strawboss schedules set report '0 9 * * 1' --key weekly --data '{\"kind\": \"weekly\"}' --options '{\"priority\": 5}'\n  \
    strawboss schedules set billing '0 * * * *' --catch-up 24\n\n\
    The expression is a cron expression, as this pg-boss reads it, or a rule (FREQ=…; pg-boss 12.31 and later).")]
struct Set {
    /// The queue it sends to
    queue: String,
    /// A cron expression or a recurrence rule
    #[arg(value_name = "EXPR", allow_hyphen_values = true)]
    expression: String,
    /// The zone it is meant in; UTC where not said
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// Tells several schedules of a queue apart (pg-boss 11 and later)
    #[arg(long, value_name = "KEY", default_value = "")]
    key: String,
    /// The payload of its jobs
    #[arg(long, value_name = "JSON", value_parser = json)]
    data: Option<RawJson>,
    /// The options of its jobs, a JSON object as pg-boss's `send` takes it: {"priority": 5, "retryLimit": 3}
    #[arg(long, value_name = "JSON", value_parser = object)]
    options: Option<Object>,
    /// When no pass was made while it was due: `skip`, or `once` for the last one missed (pg-boss 12.31 and later)
    #[arg(long, value_name = "POLICY", value_parser = missed)]
    missed: Option<Missed>,
    /// Catch up as many missed runs, the latest; the occurrence is then in the job's data. Only strawboss's passes do;
    /// 0 ends it. Kept in our own schema
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    catch_up: Option<u32>,
    #[command(flatten)]
    database: DatabaseOptions,
}

/// Remove the schedule of that queue and key.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  strawboss schedules remove report --key weekly")]
struct Remove {
    /// The queue it sends to
    queue: String,
    /// Its key
    #[arg(long, value_name = "KEY", default_value = "")]
    key: String,
    #[command(flatten)]
    database: DatabaseOptions,
}

/// Show what became of occurrences, the newest first: fired, late, caught_up, skipped, refused, failed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    strawboss schedules history\n  \
    strawboss schedules history report --limit 100 --json\n\n\
    It has what strawboss's own passes found and its workers forwarded; Node's leave no trace there.")]
struct History {
    /// Only those of this queue
    queue: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Print a JSON array instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseOptions,
}

#[derive(Debug, Clone)]
struct Object(Map<String, Value>);

fn json(text: &str) -> Result<RawJson, String> {
    serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))
}

fn object(text: &str) -> Result<Object, String> {
    match Value::from_str(text) {
        Ok(Value::Object(object)) => Ok(Object(object)),
        Ok(_) => Err("it is no JSON object".to_owned()),
        Err(error) => Err(format!("it is no JSON: {error}")),
    }
}

fn missed(text: &str) -> Result<Missed, String> {
    match text {
        "skip" => Ok(Missed::Skip),
        "once" => Ok(Missed::Once),
        _ => Err("it is `skip` or `once`".to_owned()),
    }
}

impl Schedules {
    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        match self.command {
            None => self.list.run(page).await,
            Some(Command::List(list)) => list.run(page).await,
            Some(Command::Set(set)) => set.run(page).await,
            Some(Command::Remove(remove)) => remove.run(page).await,
            Some(Command::Preview(preview)) => preview.run(page),
            Some(Command::History(history)) => history.run(page).await,
        }
    }
}

/// A database with pg-boss in it, and what is ours beside.
struct Desk {
    client: Client,
    dialect: Dialect,
    home: Home,
    place: String,
}

impl Desk {
    async fn open(options: &DatabaseOptions) -> Result<Desk, Error> {
        let opened = options.open(1)?;
        let (place, config) = (opened.place, opened.config.database);
        let client = opened.database.client().await.map_err(|source| Error::Database {
            place: place.clone(),
            source,
        })?;
        let dialect = match Dialect::read(&client, &config.schema).await {
            Ok(dialect) if dialect.version() >= OLDEST => dialect,
            Ok(dialect) => {
                return Err(Error::Refused {
                    what: format!(
                        "the pg-boss schema has version {}, which is not spoken",
                        dialect.version()
                    ),
                    next: None,
                });
            }
            Err(error) if error.class() == Class::Schema => {
                return Err(Error::NoPgBoss {
                    schema: config.schema,
                    place,
                });
            }
            Err(source) => return Err(Error::Database { place, source }),
        };
        Ok(Desk {
            client,
            dialect,
            home: Home::new(config.own_schema),
            place,
        })
    }

    fn refused(&self, source: crate::postgres::Error) -> Error {
        Error::Database {
            place: self.place.clone(),
            source,
        }
    }
}

impl List {
    async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let desk = Desk::open(&self.database).await?;
        let rows = schedule::list(&desk.client, &desk.dialect, self.queue.as_deref()).await;
        let rows = rows.map_err(|error| desk.refused(error))?;
        let schema = desk.dialect.schema();
        let caught = schedule::catch_ups(&desk.home, &desk.client, schema).await;
        let caught = caught.map_err(|error| desk.refused(error))?;
        let zones = zones(None)?;
        let shown = rows.into_iter().map(|row| {
            let next = row
                .recurrence(&desk.dialect, &zones)
                .map(|recurrence| recurrence.next(jiff::Timestamp::now()));
            let catch_up = caught.get(&(row.name.clone(), row.key.clone())).copied();
            (row, next, catch_up)
        });
        if self.json {
            let rows: Result<Vec<_>, _> = shown
                .map(|(row, next, catch_up)| {
                    let mut row = serde_json::to_value(&row)?;
                    match next {
                        Ok(next) => row["next"] = next.map(|next| next.to_string()).into(),
                        Err(error) => row["invalid"] = error.to_string().into(),
                    }
                    row["catchUp"] = catch_up.into();
                    Ok::<_, serde_json::Error>(row)
                })
                .collect();
            page.json(&rows.map_err(std::io::Error::from)?)?;
            return Ok(Done::Well);
        }
        let heading = ["QUEUE", "KEY", "EXPRESSION", "ZONE", "NEXT", "MISSED", "LAST JOB"];
        let cells: Vec<_> = shown
            .map(|(row, next, catch_up)| {
                let next = match next {
                    Ok(Some(next)) => next.to_string(),
                    Ok(None) => "never".to_owned(),
                    Err(error) => format!("invalid: {error}"),
                };
                let missed = match (catch_up, row.missed()) {
                    (Some(runs), _) => format!("catch up {runs}"),
                    (None, missed) => missed.as_str().to_owned(),
                };
                let last = row.last_job_id.map(|id| id.to_string()).unwrap_or_default();
                let zone = row.timezone.unwrap_or_else(|| "local".to_owned());
                vec![row.name, row.key, row.cron, zone, next, missed, last]
            })
            .collect();
        if cells.is_empty() {
            page.line("no schedules")?;
        }
        page.table(&heading.map(|name| (name, Align::Left)), &cells)?;
        Ok(Done::Well)
    }
}

impl Set {
    async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let zones = zones(None)?;
        let mut desk = Desk::open(&self.database).await?;
        let queue = QueueName::from(self.queue.as_str());
        let wanted = Wanted {
            key: self.key,
            cron: self.expression,
            timezone: self.tz,
            data: self.data,
            missed: self.missed,
            options: self.options.map(|Object(options)| options).unwrap_or_default(),
        };
        match schedule::set(&desk.client, &desk.dialect, &zones, &queue, &wanted).await {
            Ok(()) => {}
            Err(schedule::Error::Database(error)) => return Err(desk.refused(error)),
            Err(error @ schedule::Error::UnknownQueue(_)) => {
                return Err(Error::Refused {
                    what: error.to_string(),
                    next: Some(format!("`strawboss queues create {queue}` creates it")),
                });
            }
            Err(error @ schedule::Error::Unsupported { .. }) => {
                return Err(Error::Refused {
                    what: error.to_string(),
                    next: None,
                });
            }
            Err(error) => return Err(Error::Usage(error.to_string())),
        }
        if let Some(runs) = self.catch_up {
            let schema = desk.dialect.schema().to_owned();
            let name = queue.as_str();
            schedule::set_catch_up(&desk.home, &mut desk.client, &schema, name, &wanted.key, runs)
                .await
                .map_err(|error| desk.refused(error))?;
        }
        let zone = wanted.timezone.as_deref().unwrap_or("UTC");
        page.line(&format!("{queue} is sent to by {:?} in {zone}", wanted.cron))?;
        Ok(Done::Well)
    }
}

impl Remove {
    async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let mut desk = Desk::open(&self.database).await?;
        let queue = QueueName::from(self.queue.as_str());
        let removed = schedule::remove(&desk.client, &desk.dialect, &queue, &self.key).await;
        if !removed.map_err(|error| desk.refused(error))? {
            let of_key = if self.key.is_empty() {
                String::new()
            } else {
                format!(" of key {:?}", self.key)
            };
            return Err(Error::Refused {
                what: format!("queue {queue} has no schedule{of_key}"),
                next: Some("`strawboss schedules list` shows those that are there".to_owned()),
            });
        }
        let schema = desk.dialect.schema().to_owned();
        schedule::set_catch_up(&desk.home, &mut desk.client, &schema, queue.as_str(), &self.key, 0)
            .await
            .map_err(|error| desk.refused(error))?;
        page.line(&format!("removed the schedule of {queue}"))?;
        Ok(Done::Well)
    }
}

impl History {
    async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let desk = Desk::open(&self.database).await?;
        let schema = desk.dialect.schema();
        let occurrences = schedule::history(&desk.home, &desk.client, schema, self.queue.as_deref(), self.limit).await;
        let occurrences = occurrences.map_err(|error| desk.refused(error))?;
        if self.json {
            page.json(&occurrences)?;
            return Ok(Done::Well);
        }
        let heading = ["QUEUE", "KEY", "OCCURRENCE", "RESULT", "JOB"].map(|name| (name, Align::Left));
        let second = |moment: &chrono::DateTime<chrono::Utc>| moment.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let cells: Vec<_> = occurrences
            .into_iter()
            .map(|line| {
                let job = line.job_id.map(|id| id.to_string()).unwrap_or_default();
                vec![line.name, line.key, second(&line.occurrence), line.result, job]
            })
            .collect();
        if cells.is_empty() {
            page.line("nothing is remembered")?;
        }
        page.table(&heading, &cells)?;
        Ok(Done::Well)
    }
}

/// The time zones of that directory, or the usual ones.
fn zones(directory: Option<&std::path::Path>) -> Result<Zones, Error> {
    Zones::open(directory).map_err(|error| Error::Refused {
        what: error.to_string(),
        next: Some("name another directory, or none for the usual ones".to_owned()),
    })
}
