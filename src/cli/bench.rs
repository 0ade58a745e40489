//! `strawboss bench drain|send|latency|idle`

use clap::{Args, Subcommand};

use super::options::DatabaseOptions;

/// Load a queue and measure; each prints one JSON line on standard output.
#[derive(Debug, Args)]
pub struct Bench {
    #[command(subcommand)]
    #[allow(missing_docs, reason = "shown as commands of their own")]
    pub command: Command,
}

/// What to measure.
#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "said at each one's arguments")]
pub enum Command {
    Drain(Drain),
    Send(Send),
    Latency(Latency),
    Idle(Idle),
}

/// Fill a queue, then time how long it takes to run all of it.
///
/// Prints {jobs, seconds, jobs_per_s, cpu_s, rss_mb}.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  strawboss bench drain --jobs 50000 --batch-size 500 --concurrency 1000")]
pub struct Drain {
    /// How many jobs
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub jobs: u32,
    /// The most jobs taken by one claim; as `run` would have it where not said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub batch_size: Option<u32>,
    /// Jobs in flight; as `run` would have it where not said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub concurrency: Option<u32>,
    /// The queue to fill and drain; created if it is not there
    #[arg(long, default_value = "strawboss-bench")]
    pub queue: String,
    #[command(flatten)]
    #[allow(missing_docs, reason = "shown as a heading of its own")]
    pub database: DatabaseOptions,
}

/// Time how fast jobs are sent.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  strawboss bench send --jobs 100000 --bulk 1000 --concurrency 4")]
pub struct Send {
    /// How many jobs
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub jobs: u32,
    /// How many senders at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    pub concurrency: u32,
    /// Jobs per statement; 1 sends each by itself
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub bulk: u32,
    /// The queue to fill; created if it is not there
    #[arg(long, default_value = "strawboss-bench")]
    pub queue: String,
    #[command(flatten)]
    #[allow(missing_docs, reason = "shown as a heading of its own")]
    pub database: DatabaseOptions,
}

/// Time what passes between a send and the start of the job's run, on a worker that is idle.
///
/// Prints {count, p50_ms, p95_ms, p99_ms, max_ms}.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  strawboss bench latency --count 200 --gap-ms 20 --notify")]
pub struct Latency {
    /// How many jobs
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub count: u32,
    /// What passes between two sends, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 20)]
    pub gap_ms: u64,
    /// On a queue that notifies; else the poll interval is what is measured
    #[arg(long)]
    pub notify: bool,
    /// The queue to use; created if it is not there
    #[arg(long, default_value = "strawboss-bench-latency")]
    pub queue: String,
    #[command(flatten)]
    #[allow(missing_docs, reason = "shown as a heading of its own")]
    pub database: DatabaseOptions,
}

/// Measure what a worker costs that has nothing to do.
///
/// Prints {queues, xact_per_s, cpu_pct, rss_mb}.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  strawboss bench idle --queues 50 --seconds 30")]
pub struct Idle {
    /// How many queues are served
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub queues: u32,
    /// For how long
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: u64,
    #[command(flatten)]
    #[allow(missing_docs, reason = "shown as a heading of its own")]
    pub database: DatabaseOptions,
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
