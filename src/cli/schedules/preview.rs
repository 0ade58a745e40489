//! `strawboss schedules preview`

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde_json::json;

use super::super::page::Align;
use super::super::{Done, Error, Page};
use crate::schedule::{CronVersion, Recurrence, Upset, seed};

/// See when an expression fires: the instants at which a worker would send a job.
///
/// No database is asked. What fires is what is printed: a local time that the clocks skip is left out, one that comes
/// twice is there twice, as in the passes of pg-boss itself (whose own preview says otherwise).
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    strawboss schedules preview '0 9 * * 1-5' --tz Europe/Berlin\n  \
    strawboss schedules preview '30 2 * * *' --tz America/New_York --from 2025-03-08T00:00:00Z --count 3 --explain\n  \
    strawboss schedules preview 'FREQ=WEEKLY;BYDAY=MO' --json\n\n\
    Exit codes: 0 (also where nothing ever fires: the list is shorter then, or empty), 2 for an expression, a zone or a \
    time that is none.")]
pub struct Preview {
    /// A cron expression or a recurrence rule
    #[arg(value_name = "EXPR", allow_hyphen_values = true)]
    expression: String,
    /// The zone it is meant in
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    tz: String,
    /// Only what comes after this instant, which is itself left out; now where not said
    #[arg(long, value_name = "RFC3339", value_parser = instant)]
    from: Option<Timestamp>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// Print a JSON array of RFC 3339 texts in UTC; with --explain, of objects
    #[arg(long)]
    json: bool,
    /// Mark the days on which the clocks' change drops or doubles a run
    #[arg(long)]
    explain: bool,
    /// Whose cron is spoken: that of pg-boss 11.1 and later, or of 10 and 11.0
    #[arg(long, value_name = "VERSION", default_value = "5")]
    cron_parser: Parser,
    /// The queue of the schedule, which decides on every `H`, beside the key
    #[arg(long, value_name = "NAME", default_value = "")]
    queue: String,
    /// The key of the schedule
    #[arg(long, value_name = "KEY", default_value = "")]
    key: String,
    /// The directory of the time zones instead of the usual one
    #[arg(long, value_name = "DIRECTORY")]
    zoneinfo: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Parser {
    #[value(name = "5")]
    Five,
    #[value(name = "4")]
    Four,
}

fn instant(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|_| "it is no time of RFC 3339, such as 2030-01-01T08:00:00Z or 2030-01-01T09:00:00+01:00".to_owned())
}

impl Preview {
    pub(super) fn run(self, page: &mut Page) -> Result<Done, Error> {
        let zones = super::zones(self.zoneinfo.as_deref())?;
        let version = match self.cron_parser {
            Parser::Five => CronVersion::Five,
            Parser::Four => CronVersion::Four,
        };
        let seed = seed(&self.queue, &self.key);
        let recurrence = Recurrence::parse(&self.expression, &self.tz, &zones, version, &seed)
            .map_err(|error| Error::Usage(error.to_string()))?;
        let from = self.from.unwrap_or_else(Timestamp::now);
        let fires: Vec<_> = recurrence.upcoming(from).take(self.count as usize).collect();
        let complete = fires.len() == self.count as usize;
        let upsets = match (self.explain, fires.last()) {
            (true, Some(last)) => recurrence.upsets(from, *last),
            _ => Vec::new(),
        };
        if self.json {
            return self.json(page, &recurrence, &fires, &upsets);
        }
        let mut rows = Vec::new();
        let mut upsets = upsets.iter().peekable();
        for at in &fires {
            while let Some(upset) = upsets.next_if(|upset| upset.at <= *at) {
                rows.push(vec![String::new(), String::new(), upset.to_string()]);
            }
            let local = local(recurrence.zone(), *at);
            let note = if self.explain && is_again(recurrence.zone(), *at) {
                "the same local time again"
            } else {
                ""
            };
            rows.push(vec![at.to_string(), local, note.to_owned()]);
        }
        let heading = [("FIRES", Align::Left), ("LOCAL", Align::Left), ("", Align::Left)];
        page.table(&heading, &rows)?;
        if !complete {
            page.line(if fires.is_empty() {
                "it never fires"
            } else {
                "it fires no more after that"
            })?;
        }
        Ok(Done::Well)
    }

    fn json(
        &self,
        page: &mut Page,
        recurrence: &Recurrence,
        fires: &[Timestamp],
        upsets: &[Upset],
    ) -> Result<Done, Error> {
        if !self.explain {
            let texts: Vec<_> = fires.iter().map(ToString::to_string).collect();
            page.json(&texts)?;
            return Ok(Done::Well);
        }
        let mut marked: Vec<_> = fires
            .iter()
            .map(|at| {
                let note = is_again(recurrence.zone(), *at).then_some("doubled");
                (
                    *at,
                    json!({ "at": at.to_string(), "local": local(recurrence.zone(), *at), "note": note }),
                )
            })
            .collect();
        marked.extend(upsets.iter().filter(|upset| upset.skipped).map(|upset| {
            let times: Vec<_> = upset
                .times
                .iter()
                .map(|time| format!("{}T{time}", upset.date))
                .collect();
            (upset.at, json!({ "at": null, "local": times, "note": "dropped" }))
        }));
        marked.sort_by_key(|(at, _)| *at);
        page.json(&marked.into_iter().map(|(_, mark)| mark).collect::<Vec<_>>())?;
        Ok(Done::Well)
    }
}

/// The wall clock with its offset.
fn local(zone: &TimeZone, at: Timestamp) -> String {
    let offset = zone.to_offset(at);
    format!("{}{offset}", zone.to_datetime(at))
}

/// Whether it is the second time that the clocks show this.
fn is_again(zone: &TimeZone, at: Timestamp) -> bool {
    match zone.to_ambiguous_timestamp(zone.to_datetime(at)).offset() {
        AmbiguousOffset::Fold { after, .. } => zone.to_offset(at) == after,
        _ => false,
    }
}
