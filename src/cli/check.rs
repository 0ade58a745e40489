//! `strawboss check`

use std::io;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::error::located;
use super::options::{DatabaseOptions, place};
use super::page::Align;
use super::{Done, Error, Page};
use crate::config::{Finding, Report, Severity};
use crate::inspect::{Readiness, check_database, check_handlers};
use crate::postgres::{self, Class, Database, Settings};
use crate::server;

/// How long a running worker is given to say how it is.
const PATIENCE: Duration = Duration::from_secs(4);

/// Say what is wrong with the configuration, and with the database where one answers.
///
/// Every value in force is shown with its origin: a flag, the environment, a line of the file, or the default. A
/// database that does not answer is no error, so that a file can be checked anywhere.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    strawboss check\n  \
    strawboss check --config deploy/worker.toml --json\n  \
    strawboss check --live                 the health check of a container that has no curl\n\n\
    Exit codes: 0 all in order, 1 there are errors.")]
pub struct Check {
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
    /// Ask the worker that runs with this configuration on this machine whether it is ready, and nothing else
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    database: DatabaseOptions,
}

impl Check {
    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let mut report = self.database.read();
        if self.live {
            return live(page, report, self.json).await;
        }
        let errors = || {
            let findings = report.findings.iter();
            findings.filter(|finding| finding.severity == Severity::Error)
        };
        let database_known = !errors().any(|error| error.key.is_empty() || error.key.starts_with("database"));
        if errors().next().is_none() {
            report.findings.extend(check_handlers(&report.config));
        }
        let mut facts = Vec::new();
        if database_known {
            match ask(&report).await {
                Ok(readiness) => {
                    facts = readiness.facts;
                    report.findings.extend(readiness.findings);
                }
                Err(error) => report.findings.push(unanswered(&report, &error)),
            }
        }
        if self.json {
            print_json(page, &report, &facts)?;
        } else {
            print(page, &report, &facts)?;
        }
        Ok(match count(&report, Severity::Error) {
            0 => Done::Well,
            _ => Done::Findings,
        })
    }
}

/// What `/readyz` of the running worker says. Neither the database nor a handler is asked, and of the configuration only
/// `http` has to be in order.
async fn live(page: &mut Page, report: Report, as_json: bool) -> Result<Done, Error> {
    let refused = |what: String, next: &str| Error::Refused {
        what,
        next: Some(next.to_owned()),
    };
    let concerns = |finding: &&Finding| finding.key.is_empty() || finding.key.starts_with("http");
    let errors = |finding: &&Finding| finding.severity == Severity::Error;
    if report.findings.iter().filter(concerns).any(|finding| errors(&finding)) {
        report.into_config()?;
        return Ok(Done::Findings);
    }
    let Some(listen) = report.config.http.listen else {
        return Err(refused(
            "http.listen is empty, so the worker cannot be asked".to_owned(),
            "set http.listen, if only to 127.0.0.1:9464",
        ));
    };
    let (status, body) = server::ask(listen, "/readyz", PATIENCE).await.map_err(|error| {
        let what = format!("no worker answers on {listen} (http.listen): {error}");
        refused(what, "start it with `strawboss run`, under the same configuration")
    })?;
    let said = serde_json::from_str::<Value>(&body).unwrap_or_default();
    if as_json {
        page.json(&json!({ "status": status, "readyz": said }))?;
    } else if status == 200 {
        page.line(&format!("ready: the worker on {listen}"))?;
    } else {
        page.line(&format!("not ready: the worker on {listen}"))?;
        if said["draining"] == true {
            page.line("  it was told to stop and finishes what it runs")?;
        }
        for condition in said["conditions"].as_array().into_iter().flatten() {
            if let (Some(name), Some(reason)) = (condition["name"].as_str(), condition["reason"].as_str()) {
                page.line(&format!("  {name}: {reason}"))?;
            }
        }
    }
    Ok(if status == 200 { Done::Well } else { Done::Findings })
}

async fn ask(report: &Report) -> Result<Readiness, postgres::Error> {
    let settings = Settings::of(&report.config.database)?;
    let client = Database::new(&settings.with_pool_size(1))?.client().await?;
    check_database(&client, &report.config).await
}

/// A server that is not there is worth a notice; one that says no is an error.
fn unanswered(report: &Report, error: &postgres::Error) -> Finding {
    let place = place(&report.config.database);
    let answered = error.code().is_some() || error.class() != Class::Connection;
    let said = located(&place, error);
    let (severity, message) = if answered {
        (Severity::Error, said)
    } else {
        let message = format!("it does not answer, so only the configuration was checked: {said}");
        (Severity::Notice, message)
    };
    Finding {
        severity,
        key: "database".to_owned(),
        place: None,
        message,
    }
}

fn count(report: &Report, severity: Severity) -> usize {
    let of_it = report.findings.iter().filter(|finding| finding.severity == severity);
    of_it.count()
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Notice => "notice",
    }
}

fn print(page: &mut Page, report: &Report, facts: &[String]) -> io::Result<()> {
    match &report.file {
        Some(file) => page.line(&format!("configuration: {}", file.display()))?,
        None => page.line("configuration: no file, the environment only")?,
    }
    let heading = [("KEY", Align::Left), ("VALUE", Align::Left), ("FROM", Align::Left)];
    let rows: Vec<_> = report
        .settings
        .iter()
        .map(|setting| vec![setting.key.clone(), setting.value.clone(), setting.origin.to_string()])
        .collect();
    page.table(&heading, &rows)?;
    page.line("")?;
    for fact in facts {
        let ok = page.paint("ok", "32");
        page.line(&format!("{ok} {fact}"))?;
    }
    for finding in &report.findings {
        let style = match finding.severity {
            Severity::Error => "1;31",
            Severity::Notice => "33",
        };
        let severity = page.paint(word(finding.severity), style);
        page.line(&format!("{severity} {finding}"))?;
    }
    match (count(report, Severity::Error), count(report, Severity::Notice)) {
        (0, 0) => page.line("all in order"),
        (0, notices) => page.line(&format!("in order; notices: {notices}")),
        (errors, _) => page.line(&format!("errors: {errors}")),
    }
}

fn print_json(page: &mut Page, report: &Report, facts: &[String]) -> io::Result<()> {
    let settings: Vec<_> = report
        .settings
        .iter()
        .map(|setting| json!({ "key": setting.key, "value": setting.value, "origin": setting.origin.to_string() }))
        .collect();
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|finding| {
            json!({
                "severity": word(finding.severity),
                "key": finding.key,
                "line": finding.place.as_ref().map(|place| place.line),
                "message": finding.message,
            })
        })
        .collect();
    page.json(&json!({
        "file": report.file,
        "settings": settings,
        "facts": facts,
        "findings": findings,
    }))
}
