//! `strawboss bench drain|send|latency|idle|relay`

use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::options::{DatabaseOptions, Opened};
use super::{Done, Error, Page};
use crate::bench;
use crate::config::Config;

/// Load a queue and measure; each prints one JSON line on standard output.
#[derive(Debug, Args)]
pub struct Bench {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Drain(Drain),
    Send(Send),
    Latency(Latency),
    Idle(Idle),
    Relay(Relay),
}

/// Fill a queue, then time how long it takes to run all of it.
///
/// Prints {jobs, seconds, jobs_per_s, cpu_s, rss_mb}.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  strawboss bench drain --jobs 50000 --batch-size 500 --concurrency 1000")]
struct Drain {
    /// How many jobs
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = count)]
    jobs: usize,
    /// The most jobs taken by one claim; as `run` would have it where not said
    #[arg(long, value_name = "N", value_parser = count)]
    batch_size: Option<usize>,
    /// Jobs in flight; as `run` would have it where not said
    #[arg(long, value_name = "N", value_parser = count)]
    concurrency: Option<usize>,
    /// The queue to fill and drain; created if it is not there
    #[arg(long, default_value = "strawboss-bench")]
    queue: String,
    #[command(flatten)]
    database: DatabaseOptions,
}

/// Time how fast jobs are sent.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  strawboss bench send --jobs 100000 --bulk 1000 --concurrency 4")]
struct Send {
    /// How many jobs
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = count)]
    jobs: usize,
    /// How many senders at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = count)]
    concurrency: usize,
    /// Jobs per statement; 1 sends each by itself
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count)]
    bulk: usize,
    /// The queue to fill; created if it is not there
    #[arg(long, default_value = "strawboss-bench")]
    queue: String,
    #[command(flatten)]
    database: DatabaseOptions,
}

/// Fill an outbox of its own, then time how long one relay takes for all of it.
///
/// Prints {events, subscribers, seconds, events_per_s, cpu_s, rss_mb}.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  strawboss bench relay --events 100000 --subscribers 2\n\n\
    The outbox is in a schema of its own, which stays, as do the deliveries.")]
struct Relay {
    /// How many events
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = count)]
    events: usize,
    /// How many queues are subscribed
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = count)]
    subscribers: usize,
    /// Rows of one transaction; as `run` would have it where not said
    #[arg(long, value_name = "N", value_parser = count)]
    batch_size: Option<usize>,
    /// The schema of the outbox; created if it is not there
    #[arg(long, value_name = "NAME", default_value = "strawboss_bench")]
    outbox_schema: String,
    #[command(flatten)]
    database: DatabaseOptions,
}

/// Time what passes between a send and the start of the job's run, on a worker that is idle.
///
/// Prints {count, p50_ms, p95_ms, p99_ms, max_ms}.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  strawboss bench latency --count 200 --gap-ms 20 --notify")]
struct Latency {
    /// How many jobs
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = count)]
    count: usize,
    /// What passes between two sends, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 20)]
    gap_ms: u64,
    /// On a queue that notifies; else the poll interval is what is measured
    #[arg(long)]
    notify: bool,
    /// The queue to use; created if it is not there
    #[arg(long, default_value = "strawboss-bench-latency")]
    queue: String,
    #[command(flatten)]
    database: DatabaseOptions,
}

/// Measure what a worker costs that has nothing to do.
///
/// Prints {queues, xact_per_s, cpu_pct, rss_mb}.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  strawboss bench idle --queues 50 --seconds 30")]
struct Idle {
    /// How many queues are served
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = count)]
    queues: usize,
    /// For how long
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    #[command(flatten)]
    database: DatabaseOptions,
}

/// Reads a number of things to do, at least one.
fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1".to_owned()),
        Ok(count) => Ok(count),
        Err(error) => Err(format!("{error}")),
    }
}

impl Bench {
    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let database = match &self.command {
            Command::Drain(drain) => &drain.database,
            Command::Send(send) => &send.database,
            Command::Latency(latency) => &latency.database,
            Command::Idle(idle) => &idle.database,
            Command::Relay(relay) => &relay.database,
        };
        // Only where the database is: with the rest at its defaults, figures of two machines can be compared.
        let Opened { config, place, .. } = database.open(1)?;
        let figures = self.command.measure(&config).await.map_err(|error| match error {
            bench::Error::Database(source) => super::options::refused(&place, source),
            error => Error::Refused {
                what: error.to_string(),
                next: None,
            },
        })?;
        page.line(&figures)?;
        Ok(Done::Well)
    }
}

impl Command {
    /// The figures as one line of JSON.
    async fn measure(self, config: &Config) -> Result<String, bench::Error> {
        Ok(match self {
            Command::Drain(drain) => {
                let drain = bench::Drain {
                    jobs: drain.jobs,
                    batch_size: drain.batch_size,
                    concurrency: drain.concurrency,
                    queue: drain.queue,
                };
                json(&drain.run(config).await?)
            }
            Command::Send(send) => {
                let send = bench::Send {
                    jobs: send.jobs,
                    concurrency: send.concurrency,
                    bulk: send.bulk,
                    queue: send.queue,
                };
                json(&send.run(config).await?)
            }
            Command::Latency(latency) => {
                let latency = bench::Latency {
                    count: latency.count,
                    gap: Duration::from_millis(latency.gap_ms),
                    notify: latency.notify,
                    queue: latency.queue,
                };
                json(&latency.run(config).await?)
            }
            Command::Idle(idle) => {
                let idle = bench::Idle {
                    queues: idle.queues,
                    seconds: idle.seconds,
                };
                json(&idle.run(config).await?)
            }
            Command::Relay(relay) => {
                let relay = bench::Relay {
                    events: relay.events,
                    subscribers: relay.subscribers,
                    batch_size: relay.batch_size,
                    outbox_schema: relay.outbox_schema.clone(),
                };
                json(&relay.run(config).await?)
            }
        })
    }
}

fn json(figures: &impl Serialize) -> String {
    serde_json::to_string(figures).expect("figures are numbers with names")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Alone {
        #[command(flatten)]
        bench: Bench,
    }

    fn parsed(arguments: &str) -> Result<Command, clap::Error> {
        let parsed = Alone::try_parse_from(["bench"].into_iter().chain(arguments.split(' ')));
        parsed.map(|alone| alone.bench.command)
    }

    #[test]
    fn every_measurement_is_parsed() {
        let drain = parsed("drain --jobs 5 --batch-size 1 --concurrency 2 --schema s --queue q").expect("parsed");
        assert!(matches!(drain, Command::Drain(Drain { jobs: 5, .. })));
        let send = parsed("send --jobs 5 --concurrency 2 --bulk 100").expect("parsed");
        assert!(matches!(send, Command::Send(Send { bulk: 100, .. })));
        let latency = parsed("latency --count 3 --gap-ms 1 --notify").expect("parsed");
        assert!(matches!(latency, Command::Latency(Latency { notify: true, .. })));
        let idle = parsed("idle --queues 7 --seconds 1").expect("parsed");
        assert!(matches!(idle, Command::Idle(Idle { queues: 7, .. })));
        assert!(parsed("drain --jobs 0").is_err());
    }
}
