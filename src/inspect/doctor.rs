//! What is wrong on a live system, how that shows, and what mends it. Nothing of it changes anything.

mod database;
mod horizon;
mod jobs;
mod schedules;

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::dialect::{Dialect, OLDEST};
use crate::postgres::{Class, Database, Error, Executor};
use crate::queue::Queue;
use crate::schema::{self, Problem};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// Jobs are not run, or will be lost.
    Error,
    /// It will become a problem.
    Warning,
    /// Worth knowing; no reason to act.
    Info,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diagnosis {
    /// How bad it is.
    pub severity: Urgency,
    /// What sort of thing, such as `backlog_without_consumer`; a word for scripts, that stays the same.
    pub code: &'static str,
    /// The queue, table, session or schedule it concerns.
    pub subject: String,
    /// What is wrong, in a sentence.
    pub message: String,
    /// The figures it was seen by.
    pub evidence: Value,
    /// The command that mends it, or that shows what has to be decided first.
    pub mend: String,
}

/// Whom to ask, and what for.
#[derive(Clone)]
pub struct Examination<'a> {
    /// Where.
    pub database: &'a Database,
    /// The pg-boss schema, unquoted.
    pub schema: &'a str,
    /// The schema of the event tables, unquoted.
    pub outbox_schema: &'a str,
    /// How long a transaction may be open before it counts as holding back vacuum.
    pub open_transaction: Duration,
}

/// An hour.
pub const OPEN_TRANSACTION: Duration = Duration::from_secs(3600);

impl Examination<'_> {
    /// Looks at everything; the worst first.
    ///
    /// One pass over the job tables is part of it, as pg-boss's own statistics make every minute.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn examine(&self) -> Result<Vec<Diagnosis>, Error> {
        let client = self.database.client().await?;
        let mut found = database::clocks(&client).await?;
        let dialect = match Dialect::read(&client, self.schema).await {
            Ok(dialect) => dialect,
            Err(error) if error.class() == Class::Schema => {
                found.push(missing(self.schema));
                return Ok(found);
            }
            Err(error) => return Err(error),
        };
        found.extend(self.whole(&dialect).await?);
        if dialect.version() >= OLDEST {
            let queues = Queue::read_all(&client, &dialect).await?;
            found.extend(horizon::lint(&queues, &dialect));
            found.extend(jobs::look(&client, &dialect, &queues).await?);
            found.extend(schedules::look(&client, &dialect).await?);
            if queues.iter().any(|queue| queue.notify) {
                found.extend(database::listening(self.database, &client, self.schema).await?);
            }
        }
        found.extend(database::bloat(&client, self.schema).await?);
        found.extend(database::horizon(&client, self.open_transaction).await?);
        found.extend(database::outbox(&client, self.outbox_schema).await?);
        found.sort_by_key(|diagnosis| diagnosis.severity);
        Ok(found)
    }

    /// Whether the schema is one that is spoken, and whole.
    async fn whole(&self, dialect: &Dialect) -> Result<Vec<Diagnosis>, Error> {
        let version = dialect.version();
        if version < OLDEST {
            return Ok(vec![Diagnosis {
                severity: Urgency::Error,
                code: "schema_unsupported",
                subject: format!("schema {}", self.schema),
                message: format!("version {version} is not spoken; the oldest one is {OLDEST}, of pg-boss 10.1.5"),
                evidence: json!({ "version": version, "oldest": OLDEST }),
                mend: "npm install pg-boss@latest (in the Node app, which then migrates the schema)".to_owned(),
            }]);
        }
        let verification = match schema::verify(self.database, self.schema).await {
            Ok(verification) => verification,
            Err(error) => {
                return Ok(vec![Diagnosis {
                    severity: Urgency::Warning,
                    code: "schema_unverified",
                    subject: format!("schema {}", self.schema),
                    message: format!("whether it is whole could not be seen: {error}"),
                    evidence: json!({ "version": version }),
                    mend: format!("strawboss schema verify --schema {}", self.schema),
                }]);
            }
        };
        let findings = verification.findings.into_iter().map(|finding| Diagnosis {
            severity: match finding.severity {
                schema::Severity::Error => Urgency::Error,
                schema::Severity::Warning => Urgency::Warning,
                schema::Severity::Info => Urgency::Info,
            },
            code: "schema_incomplete",
            subject: finding.object,
            message: problem(&finding.problem),
            evidence: json!({ "version": version, "kind": finding.kind }),
            mend: finding.advice,
        });
        Ok(findings.collect())
    }
}

fn problem(problem: &Problem) -> String {
    match problem {
        Problem::Missing { expected } => format!("it is missing: {expected}"),
        Problem::Different { expected, found } => format!("it is {found}, and should be {expected}"),
        Problem::Extra { found } => format!("pg-boss knows nothing of it: {found}"),
        Problem::Invalid => "its build was cut short, and it is not used".to_owned(),
        Problem::Building => "a migration has left it to be built, and it is not there yet".to_owned(),
    }
}

fn missing(schema: &str) -> Diagnosis {
    Diagnosis {
        severity: Urgency::Error,
        code: "schema_missing",
        subject: format!("schema {schema}"),
        message: "there is no pg-boss in it".to_owned(),
        evidence: json!({}),
        mend: format!("strawboss schema install --schema {schema} (or start the Node app once)"),
    }
}

/// A length of time for people: two units at most.
fn lasting(seconds: f64) -> String {
    if !seconds.is_finite() || seconds > 1e12 {
        return "for ever".to_owned();
    }
    let whole = Duration::from_secs_f64(seconds.max(0.0)).as_secs();
    let units = [("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)];
    let mut rest = whole;
    let mut said = Vec::new();
    for (name, length) in units {
        if rest >= length && said.len() < 2 {
            said.push(format!("{} {name}", rest / length));
            rest %= length;
        }
    }
    if said.is_empty() {
        "0 s".to_owned()
    } else {
        said.join(" ")
    }
}

/// Rows of a statement that is the same for every schema.
async fn rows(
    executor: &impl Executor,
    sql: &str,
    params: &[crate::postgres::Param<'_>],
) -> Result<Vec<tokio_postgres::Row>, Error> {
    executor.query(sql, params).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_with_two_units_at_most() {
        for (seconds, said) in [
            (0.2, "0 s"),
            (59.0, "59 s"),
            (61.0, "1 min 1 s"),
            (90_061.0, "1 d 1 h"),
            (f64::INFINITY, "for ever"),
        ] {
            assert_eq!(lasting(seconds), said);
        }
    }
}
