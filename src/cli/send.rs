//! `strawboss send`

use std::time::Duration;

use clap::Args;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use uuid::Uuid;

use super::options::{Connection, DatabaseOptions, time};
use super::{Done, Error, Page};
use crate::client::{self, Client};
use crate::enqueue::{self, JobInsert, SendOptions, StartAfter};
use crate::job::{Group, RawJson};
use crate::observe::{Tracer, propagation};
use crate::postgres::Settings;
use crate::queue::QueueName;

/// The most lines that go into one statement.
const BULK: usize = 5_000;

/// Send one job and print its id; with `-`, one job per JSON line of standard input, in bulk.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    strawboss send email '{\"to\": \"a@example.com\"}'\n  \
    strawboss send report --start-after 10m --priority 5\n  \
    strawboss send email --singleton-key daily --singleton-seconds 1d\n  \
    jq -c '.[]' jobs.json | strawboss send email -\n\n\
    What is not said is as the queue has it. Times are seconds, or have a unit: 90, 90s, 15m, 1d.")]
pub struct Send {
    /// The queue's name
    queue: String,
    /// The payload as JSON; `-` reads one payload per line from standard input; none sends a job without data
    #[arg(value_name = "JSON|-")]
    data: Option<String>,
    /// The job's id instead of a random one; a job of that id that is there already is left as it is
    #[arg(long, value_name = "UUID")]
    id: Option<Uuid>,
    /// Higher runs first
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i32>,
    /// Not before: seconds from now, an interval ('10 minutes'), or a time (2030-01-01T08:00:00Z)
    #[arg(long, value_name = "WHEN", allow_negative_numbers = true)]
    start_after: Option<String>,
    /// Retries after the first attempt
    #[arg(long, value_name = "N")]
    retry_limit: Option<u32>,
    /// What passes before a retry
    #[arg(long, value_name = "TIME", value_parser = time)]
    retry_delay: Option<Duration>,
    /// Let the delay grow from retry to retry; `--retry-backoff=false` where the queue would
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    retry_backoff: Option<bool>,
    /// The most the delay grows to
    #[arg(long, value_name = "TIME", value_parser = time, requires = "retry_backoff")]
    retry_delay_max: Option<Duration>,
    /// What one attempt may take
    #[arg(long, visible_alias = "expire-in-seconds", value_name = "TIME", value_parser = time)]
    expire: Option<Duration>,
    /// How long the job may wait before it is deleted unrun
    #[arg(long, visible_alias = "retention-seconds", value_name = "TIME", value_parser = time)]
    retention: Option<Duration>,
    /// How long the job is kept once it is finished; 0 keeps it for ever
    #[arg(long, visible_alias = "delete-after-seconds", value_name = "TIME", value_parser = time)]
    delete_after: Option<Duration>,
    /// What the queue's policy and throttle slots tell jobs apart by
    #[arg(long, value_name = "KEY")]
    singleton_key: Option<String>,
    /// One job per slot of this length
    #[arg(long, value_name = "TIME", value_parser = time)]
    singleton_seconds: Option<Duration>,
    /// Where this slot is taken, take the next one
    #[arg(long, requires = "singleton_seconds")]
    singleton_next_slot: bool,
    /// The queue for the job once it has failed for good
    #[arg(long, value_name = "QUEUE")]
    dead_letter: Option<String>,
    /// The group the job counts against
    #[arg(long, visible_alias = "group-id", value_name = "ID")]
    group: Option<String>,
    /// The tier that selects the group's limit
    #[arg(long, value_name = "TIER", requires = "group")]
    group_tier: Option<String>,
    /// The job's heartbeat, at least 10 s
    #[arg(long, visible_alias = "heartbeat-seconds", value_name = "TIME", value_parser = time)]
    heartbeat: Option<Duration>,
    #[command(flatten)]
    database: DatabaseOptions,
}

impl Send {
    fn options(&self) -> SendOptions {
        SendOptions {
            id: self.id,
            priority: self.priority,
            start_after: self.start_after.clone().map(StartAfter::Text),
            singleton_key: self.singleton_key.clone(),
            singleton_seconds: self.singleton_seconds,
            singleton_next_slot: self.singleton_next_slot,
            retry_limit: self.retry_limit,
            retry_delay: self.retry_delay,
            retry_backoff: self.retry_backoff,
            retry_delay_max: self.retry_delay_max,
            expire: self.expire,
            retention: self.retention,
            delete_after: self.delete_after,
            dead_letter: self.dead_letter.clone(),
            group: self.group.clone().map(|id| Group {
                id,
                tier: self.group_tier.clone(),
            }),
            heartbeat: self.heartbeat,
            ..SendOptions::default()
        }
    }

    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let queue = QueueName::from(self.queue.as_str());
        let options = self.options();
        if self.data.as_deref() == Some("-") {
            if self.id.is_some() {
                return Err(Error::Usage("--id is for one job, and `-` reads many".to_owned()));
            }
            let (connection, tracer) = self.connect().await?;
            let boss = producer(&connection, &tracer);
            let input = BufReader::with_capacity(1 << 20, tokio::io::stdin());
            let done = bulk(&connection, &boss, &queue, &options, input, page).await;
            tracer.shutdown().await;
            return done;
        }
        let data = match self.data.as_deref().map(serde_json::from_str::<RawJson>).transpose() {
            Ok(data) => data,
            Err(error) => return Err(Error::Usage(format!("the payload is no JSON: {error}"))),
        };
        let (connection, tracer) = self.connect().await?;
        let sent = producer(&connection, &tracer).send(queue, &data, &options).await;
        tracer.shutdown().await;
        match sent.map_err(|error| connection.failed(error))? {
            Some(id) => page.line(&id.to_string())?,
            None => eprintln!("not sent: the queue's policy, a throttle slot or a job of that id has no room for it"),
        }
        Ok(Done::Well)
    }

    /// The database, and who makes the spans where the configuration has a collector for them.
    async fn connect(&self) -> Result<(Connection, Tracer), Error> {
        let config = self.database.read().config;
        let tracer = Tracer::new(config.telemetry.otlp_endpoint.as_deref()).map_err(|error| Error::Refused {
            what: format!("traces cannot be sent: {error}"),
            next: None,
        })?;
        let database = Settings::of(&config.database).map_or_else(|_| String::new(), |it| it.database_name());
        Ok((
            self.database.connect().await?,
            tracer.within(&database, &config.database.schema),
        ))
    }
}

/// Who sends, in the trace that the environment speaks of: a handler's program may well send further jobs.
fn producer(connection: &Connection, tracer: &Tracer) -> Client {
    connection
        .boss()
        .with_tracer(tracer.clone())
        .within_trace(propagation::environment())
}

/// Sends a job per line, as many at once as have come in: a file goes in bulk, a trickle job by job. The ids are printed
/// as they are sent.
async fn bulk(
    connection: &Connection,
    boss: &Client,
    queue: &QueueName,
    options: &SendOptions,
    mut input: BufReader<impl AsyncRead + Unpin>,
    page: &mut Page,
) -> Result<Done, Error> {
    let (mut line, mut read, mut sent) = (String::new(), 0_usize, 0_usize);
    let mut jobs = Vec::new();
    // Which line each job of the batch came from, for messages.
    let mut lines = Vec::new();
    loop {
        line.clear();
        let more = input.read_line(&mut line).await? > 0;
        read += usize::from(more);
        if !line.trim().is_empty() {
            let data: RawJson = serde_json::from_str(line.trim()).map_err(|error| Error::Refused {
                what: format!("line {read} is no JSON: {error}"),
                next: Some(format!(
                    "it and what follows was not sent; {sent} jobs of earlier lines were"
                )),
            })?;
            jobs.push(JobInsert {
                data: Some(data),
                options: options.clone(),
            });
            lines.push(read);
        }
        let waiting = more && jobs.len() < BULK && input.buffer().contains(&b'\n');
        if !waiting && !jobs.is_empty() {
            let inserted = boss.insert(queue.clone(), &jobs).await;
            let ids = inserted.map_err(|error| match error {
                client::Error::Enqueue(enqueue::Error::InBatch { index, reason }) => Error::Refused {
                    what: format!("line {}: {reason}", lines.get(index).copied().unwrap_or(read)),
                    next: Some(format!("{sent} jobs of earlier lines were sent")),
                },
                error => connection.failed(error),
            })?;
            sent += ids.len();
            for id in ids {
                page.line(&id.to_string())?;
            }
            page.finish()?;
            jobs.clear();
            lines.clear();
        }
        if !more {
            eprintln!("{sent} sent");
            return Ok(Done::Well);
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Alone {
        #[command(flatten)]
        send: Send,
    }

    fn parsed(arguments: &str) -> Result<Send, clap::Error> {
        Alone::try_parse_from(["send"].into_iter().chain(arguments.split(' '))).map(|alone| alone.send)
    }

    #[test]
    fn every_option_is_read() {
        let send = parsed(
            "email - --priority -5 --start-after -5 --retry-backoff --retry-delay-max 5m --expire 90 \
             --group a --group-tier gold",
        )
        .expect("parsed");
        assert_eq!((send.data.as_deref(), send.priority), (Some("-"), Some(-5)));
        assert_eq!(
            (send.start_after.as_deref(), send.expire),
            (Some("-5"), Some(Duration::from_secs(90)))
        );
        assert_eq!(
            (send.retry_backoff, send.retry_delay_max),
            (Some(true), Some(Duration::from_secs(300)))
        );
        let send = parsed(
            "q --expire-in-seconds 9 --retention-seconds 8 --delete-after-seconds 7 --heartbeat-seconds 60 --group-id a",
        )
        .expect("pg-boss's own names are understood");
        let seconds = [send.expire, send.retention, send.delete_after, send.heartbeat];
        assert_eq!(seconds, [9, 8, 7, 60].map(|seconds| Some(Duration::from_secs(seconds))));
        assert_eq!(send.group.as_deref(), Some("a"));
        let send = parsed("q --retry-backoff=false").expect("parsed");
        assert_eq!(send.retry_backoff, Some(false));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for arguments in [
            "q --group-tier gold",
            "q --retry-delay-max 5",
            "q --id 1",
            "q --retry-limit -1",
            "q --expire soon",
            "q --singleton-next-slot",
        ] {
            assert!(parsed(arguments).is_err(), "{arguments}");
        }
    }
}
