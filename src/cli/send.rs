//! `strawboss send`

use clap::Args;
use uuid::Uuid;

use super::options::{DatabaseOptions, seconds};

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
    pub queue: String,
    /// The payload as JSON; `-` reads one payload per line from standard input; none sends a job without data
    #[arg(value_name = "JSON|-")]
    pub data: Option<String>,
    /// The job's id instead of a random one; a job of that id that is there already is left as it is
    #[arg(long, value_name = "UUID")]
    pub id: Option<Uuid>,
    /// Higher runs first
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub priority: Option<i32>,
    /// Not before: seconds from now, an interval ('10 minutes'), or a time (2030-01-01T08:00:00Z)
    #[arg(long, value_name = "WHEN", allow_negative_numbers = true)]
    pub start_after: Option<String>,
    /// Retries after the first attempt
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub retry_limit: Option<i32>,
    /// What passes before a retry
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub retry_delay: Option<i32>,
    /// Let the delay grow from retry to retry; `--retry-backoff=false` where the queue would
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub retry_backoff: Option<bool>,
    /// The most the delay grows to
    #[arg(long, value_name = "TIME", value_parser = seconds, requires = "retry_backoff")]
    pub retry_delay_max: Option<i32>,
    /// What one attempt may take
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub expire: Option<i32>,
    /// How long the job may wait before it is deleted unrun
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub retention: Option<i32>,
    /// How long the job is kept once it is finished; 0 keeps it for ever
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub delete_after: Option<i32>,
    /// What the queue's policy and throttle slots tell jobs apart by
    #[arg(long, value_name = "KEY")]
    pub singleton_key: Option<String>,
    /// One job per slot of this length
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub singleton_seconds: Option<i32>,
    /// Where this slot is taken, take the next one
    #[arg(long, requires = "singleton_seconds")]
    pub singleton_next_slot: bool,
    /// The queue for the job once it has failed for good
    #[arg(long, value_name = "QUEUE")]
    pub dead_letter: Option<String>,
    /// The group the job counts against
    #[arg(long, value_name = "ID")]
    pub group: Option<String>,
    /// The tier that selects the group's limit
    #[arg(long, value_name = "TIER", requires = "group")]
    pub group_tier: Option<String>,
    /// The job's heartbeat, at least 10 s
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub heartbeat: Option<i32>,
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
        assert_eq!((send.start_after.as_deref(), send.expire), (Some("-5"), Some(90)));
        assert_eq!((send.retry_backoff, send.retry_delay_max), (Some(true), Some(300)));
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
