//! From a file, the environment and the command line to a [`Config`].

use std::path::{Path, PathBuf};

use super::finding::{Finding, Refused, Severity};
use super::origin::{Origin, Place, Setting};
use super::resolve::{Overrides, Resolver};
use super::{Config, schema, tree};

/// The file that is looked for where none is named.
const USUAL: &str = "strawboss.toml";

/// What to read the configuration from.
pub struct Request<'a> {
    /// The file; `None` takes `strawboss.toml` of the current directory if it is there.
    pub file: Option<&'a Path>,
    /// `--database-url`; goes before everything.
    pub database_url: Option<&'a str>,
    /// `--schema`; goes before everything.
    pub schema: Option<&'a str>,
    /// The environment; [`Request::process`] takes the process's own.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// Read the section `[database]` only, so that a command that needs nothing else is not stopped by the rest.
    pub database_only: bool,
    /// With `database_only`: the section `[events]` as well, its handlers aside.
    pub events: bool,
    /// Where no file is read, the API is on, as pg-boss's own proxy is: for who runs nothing else then.
    pub api_without_file: bool,
}

impl Request<'_> {
    /// Reads everything from the usual places.
    pub fn process() -> Self {
        Self {
            file: None,
            database_url: None,
            schema: None,
            environment: &|name| std::env::var(name).ok(),
            database_only: false,
            events: false,
            api_without_file: false,
        }
    }
}

/// What came of reading.
#[derive(Debug)]
pub struct Report {
    /// The configuration, with defaults where something was wrong.
    pub config: Config,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// Every value in force and its origin, in the order of the sections.
    pub settings: Vec<Setting>,
    /// Everything that is wrong, in the order of the file.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The findings that are worth a word and keep nothing from working.
    pub fn notices(&self) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(|finding| finding.severity == Severity::Notice)
    }

    /// The configuration, if nothing is wrong with it.
    ///
    /// # Errors
    /// All findings that are errors.
    pub fn into_config(self) -> Result<Config, Refused> {
        let findings: Vec<_> = self
            .findings
            .into_iter()
            .filter(|finding| finding.severity == Severity::Error)
            .collect();
        if findings.is_empty() {
            Ok(self.config)
        } else {
            Err(Refused { findings })
        }
    }
}

/// Reads, fills in, validates. Nothing is looked up but the file and the variables; no connection is made.
pub fn read(request: &Request<'_>) -> Report {
    let environment = |name: &str| (request.environment)(name).filter(|value| !value.is_empty());
    let overrides = Overrides {
        database_url: match request.database_url {
            Some(url) => Some((url.to_owned(), Origin::Flag("--database-url"))),
            None => environment("DATABASE_URL").map(|url| (url, Origin::Environment("DATABASE_URL".to_owned()))),
        },
        schema: request
            .schema
            .map(|schema| (schema.to_owned(), Origin::Flag("--schema"))),
    };
    let file = match request.file {
        Some(file) => Some(file.to_owned()),
        None => Some(PathBuf::from(USUAL)).filter(|usual| usual.is_file()),
    };
    let mut findings = Vec::new();
    let text = match file.as_deref().map(std::fs::read_to_string) {
        None => String::new(),
        Some(Ok(text)) => text,
        Some(Err(error)) => {
            findings.push(Finding {
                severity: Severity::Error,
                key: String::new(),
                place: None,
                message: format!(
                    "cannot read {}: {error}",
                    file.as_deref().unwrap_or(Path::new(USUAL)).display()
                ),
            });
            String::new()
        }
    };

    // What a flag or the environment says better is not looked at: its variables need not be set.
    let wanted = |key: &str| match key {
        "database.url" => overrides.database_url.is_none(),
        "database.schema" => overrides.schema.is_none(),
        key if key.starts_with("events.handler") => !request.database_only,
        key if key == "events" || key.starts_with("events.") => !request.database_only || request.events,
        key => !request.database_only || key == "database" || key.starts_with("database."),
    };
    let reading = tree::read(&text, &schema::json_schema(), request.environment, &wanted);
    let named = file.clone().unwrap_or_default();
    for complaint in reading.complaints {
        findings.push(Finding {
            severity: Severity::Error,
            key: complaint.key,
            place: Some(Place {
                file: named.clone(),
                line: complaint.line,
            }),
            message: complaint.message,
        });
    }
    // A file that could not be read at all says nothing about what it leaves out.
    let blind = findings.iter().any(|finding| finding.key.is_empty());
    let bare = request.api_without_file && file.is_none();
    let mut resolver = Resolver::new(&named, &reading.spots, request.environment, findings);
    let config = if request.database_only {
        reading.file.resolve_part(&mut resolver, overrides, request.events)
    } else {
        reading.file.resolve(&mut resolver, overrides, bare)
    };
    let (settings, mut findings) = resolver.finish();
    if blind {
        findings.retain(|finding| finding.key.is_empty());
    }
    findings.sort_by_key(|finding| finding.place.as_ref().map_or(0, |place| place.line));
    Report {
        config,
        file,
        settings,
        findings,
    }
}
