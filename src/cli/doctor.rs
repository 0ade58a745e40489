//! `strawboss doctor`

use std::io;

use clap::Args;

use super::options::{DatabaseOptions, Opened, refused};
use super::page::harmless;
use super::{Done, Error, Page};
use crate::inspect::doctor::OPEN_TRANSACTION;
use crate::inspect::{Diagnosis, Examination, Urgency};

/// Say what is wrong on a live system, and what mends it.
///
/// The schema and its missing or half-built parts, clocks that differ, queues that nobody works, jobs that nobody takes
/// back, retries that outlive their retention, dead letters, schedules that nobody fires, notifications that do not
/// arrive, dead rows and what keeps vacuum from them, events that nobody relays. It changes nothing; one pass over the job
/// tables is part of it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    strawboss doctor\n  \
    strawboss doctor --json | jq '.[] | select(.severity == \"error\") | .message'\n\n\
    Exit codes: 0 nothing is wrong, 1 there are findings (remarks of severity info are none).")]
pub struct Doctor {
    /// Print a JSON array of findings instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseOptions,
}

impl Doctor {
    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let Opened {
            database,
            config,
            place,
        } = self.database.open(2)?;
        let examination = Examination {
            database: &database,
            schema: &config.database.schema,
            outbox_schema: "public",
            open_transaction: OPEN_TRANSACTION,
        };
        let found = examination.examine().await.map_err(|source| refused(&place, source))?;
        if self.json {
            page.json(&found)?;
        } else {
            print(page, &found)?;
        }
        Ok(
            match found.iter().any(|diagnosis| diagnosis.severity != Urgency::Info) {
                true => Done::Findings,
                false => Done::Well,
            },
        )
    }
}

fn print(page: &mut Page, found: &[Diagnosis]) -> io::Result<()> {
    let (mut errors, mut warnings) = (0, 0);
    for diagnosis in found {
        let (word, style) = match diagnosis.severity {
            Urgency::Error => ("error", "1;31"),
            Urgency::Warning => ("warning", "33"),
            Urgency::Info => ("info", "36"),
        };
        errors += usize::from(diagnosis.severity == Urgency::Error);
        warnings += usize::from(diagnosis.severity == Urgency::Warning);
        let word = page.paint(word, style);
        let said = format!("{}: {} [{}]", diagnosis.subject, diagnosis.message, diagnosis.code);
        page.line(&format!("{word} {}", harmless(&said)))?;
        page.line(&format!("      → {}", harmless(&diagnosis.mend)))?;
    }
    match (errors, warnings) {
        (0, 0) => page.line("nothing is wrong"),
        (errors, warnings) => page.line(&format!("errors: {errors}, warnings: {warnings}")),
    }
}
