//! `strawboss schema status|install|verify`

use clap::{Args, Subcommand};
use serde::Serialize;

use super::options::{DatabaseOptions, Opened, refused};
use super::page::Align;
use super::{Done, Error, Page};
use crate::dialect::Support;
use crate::schema::{self, Installed, Problem, Severity, Status, Verification};

/// Say which pg-boss schema is there, create one, or compare it with what it should be.
#[derive(Debug, Args)]
pub struct Schema {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say which version is there and whether it is spoken
    #[command(after_help = "Example:\n  strawboss schema status --json\n\n\
        Exit codes: 0 there is one that is spoken, 1 there is not.")]
    Status(Arguments),
    /// Create the newest schema where there is none, so that Node's pg-boss of that version starts on it
    #[command(after_help = "Example:\n  strawboss schema install --schema pgboss\n\n\
        A schema that is there already is never altered; migrating is left to Node's pg-boss.")]
    Install(Arguments),
    /// Compare the schema with what its version should have
    #[command(after_help = "Example:\n  strawboss schema verify --json\n\n\
        Exit codes: 0 it is sound, remarks aside, 1 there are errors.")]
    Verify(Arguments),
}

#[derive(Debug, Args)]
struct Arguments {
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseOptions,
}

impl Schema {
    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let (Command::Status(arguments) | Command::Install(arguments) | Command::Verify(arguments)) = &self.command;
        let Opened {
            database,
            config,
            place,
        } = arguments.database.open(2)?;
        let name = &config.database.schema;
        let not_done = |error| match error {
            schema::Error::Postgres(source) => refused(&place, source),
            error => Error::Refused {
                what: error.to_string(),
                next: None,
            },
        };
        let json = arguments.json;
        match &self.command {
            Command::Status(_) => {
                let client = database.client().await.map_err(|source| refused(&place, source))?;
                let status = schema::status(&client, name).await.map_err(not_done)?;
                show(page, json, &status, status_lines)?;
                Ok(match status.install {
                    Some(install) if install.support != Support::TooOld => Done::Well,
                    _ => Done::Findings,
                })
            }
            Command::Install(_) => {
                let installed = schema::install(&database, name).await.map_err(not_done)?;
                show(page, json, &installed, |page, installed| match installed {
                    Installed::Fresh(version) => page.line(&format!("created schema {name}, version {version}")),
                    Installed::Already(version) => {
                        page.line(&format!("schema {name} is there already, with version {version}"))
                    }
                })?;
                Ok(Done::Well)
            }
            Command::Verify(_) => {
                let verification = schema::verify(&database, name).await.map_err(not_done)?;
                show(page, json, &verification, verification_lines)?;
                Ok(if verification.is_sound() {
                    Done::Well
                } else {
                    Done::Findings
                })
            }
        }
    }
}

fn show<T: Serialize>(
    page: &mut Page,
    json: bool,
    value: &T,
    lines: impl FnOnce(&mut Page, &T) -> std::io::Result<()>,
) -> std::io::Result<()> {
    if json { page.json(value) } else { lines(page, value) }
}

fn status_lines(page: &mut Page, status: &Status) -> std::io::Result<()> {
    let Some(install) = &status.install else {
        page.line(&format!("there is no pg-boss in schema {}", status.schema))?;
        return match &status.case_variant {
            Some(other) => page.line(&format!("did you mean --schema {other}?")),
            None => page.line("`strawboss schema install` creates it, and so does the first start of the Node app"),
        };
    };
    let builds = install.builds;
    page.pairs(&[
        ("schema", status.schema.clone()),
        ("version", install.version.to_string()),
        (
            "pg-boss",
            install
                .releases
                .unwrap_or("of a release this build does not know")
                .to_owned(),
        ),
        ("support", word(&install.support)),
        ("queues", install.queues.to_string()),
        ("job tables", install.job_tables.to_string()),
        (
            "index builds",
            format!(
                "{} pending, {} in progress, {} failed",
                builds.pending, builds.in_progress, builds.failed
            ),
        ),
        (
            "invalid indexes",
            match install.invalid_indexes.as_slice() {
                [] => "none".to_owned(),
                names => names.join(", "),
            },
        ),
        ("can do", install.capabilities.join(", ")),
    ])
}

fn verification_lines(page: &mut Page, verification: &Verification) -> std::io::Result<()> {
    page.line(&format!(
        "schema {}, version {}",
        verification.schema, verification.version
    ))?;
    for checked in &verification.checked {
        page.line(&format!("checked: {checked}"))?;
    }
    let rows: Vec<_> = verification
        .findings
        .iter()
        .map(|finding| {
            let severity = match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Info => "info",
            };
            let problem = match &finding.problem {
                Problem::Missing { .. } => "missing",
                Problem::Different { .. } => "different",
                Problem::Extra { .. } => "extra",
                Problem::Invalid => "invalid",
                Problem::Building => "building",
            };
            vec![
                severity.to_owned(),
                finding.object.clone(),
                problem.to_owned(),
                finding.advice.clone(),
            ]
        })
        .collect();
    let heading = ["SEVERITY", "OBJECT", "PROBLEM", "ADVICE"].map(|name| (name, Align::Left));
    page.table(&heading, &rows)?;
    if verification.is_sound() {
        page.line("sound")?;
    }
    Ok(())
}

/// The word a value is serialized as.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}
