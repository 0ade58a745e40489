//! Whether a schema that is there is whole.

use serde::Serialize;
use tokio_postgres::Transaction;

use super::install::{Found, find, version};
use super::inventory::Inventory;
pub use super::inventory::Kind;
use super::{Error, check_name, manifest, needs};
use crate::dialect::{NEWEST, OLDEST, quoted};
use crate::postgres::{self, Database, Executor};

/// What was looked at, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// The schema's name, unquoted.
    pub schema: String,
    /// Its version.
    pub version: i32,
    /// What was checked, and what could not be, in sentences.
    pub checked: Vec<String>,
    /// What is not as it should be, the worst first.
    pub findings: Vec<Finding>,
}

impl Verification {
    /// Whether nothing was found that breaks a worker; warnings and remarks aside.
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Error)
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Statements fail, or a promise of pg-boss is not kept.
    Error,
    /// Works, but slower or other than it should.
    Warning,
    /// Worth knowing.
    Info,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What sort of thing it concerns.
    pub kind: Kind,
    /// The object, such as `index job_common_i4`.
    pub object: String,
    /// What is wrong with it.
    #[serde(flatten)]
    pub problem: Problem,
    /// What to do about it.
    pub advice: String,
}

/// What can be wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "problem", rename_all = "snake_case")]
pub enum Problem {
    /// It is not there.
    Missing {
        /// What it should be like.
        expected: String,
    },
    /// It is there, but not as it should be.
    Different {
        /// What it should be like.
        expected: String,
        /// What it is like.
        found: String,
    },
    /// It is there, and pg-boss knows nothing of it.
    Extra {
        /// What it is like.
        found: String,
    },
    /// An index that is there but not used, because its build was cut short.
    Invalid,
    /// An index that a migration has left to be built, and that is not there yet.
    Building,
}

/// An index build that is not done.
pub(super) struct Build {
    pub status: String,
    pub command: String,
    pub error: Option<String>,
}

impl Build {
    /// Whether this build makes the index `name`.
    pub fn makes(&self, name: &str) -> bool {
        self.command
            .split(|c: char| !(c.is_alphanumeric() || c == '_'))
            .any(|word| word == name)
    }
}

/// Compares schema `schema` (unquoted) with what its version should be.
///
/// The newest version is compared object by object with a fresh install, made in the session's temporary schema and
/// rolled back. Of other versions, and where the role may make no temporary tables, what statements rely on is checked.
///
/// # Errors
/// [`Error::NotInstalled`], a table `version` without a row, and what the database says.
pub async fn verify(database: &Database, schema: &str) -> Result<Verification, Error> {
    check_name(schema).map_err(Error::Name)?;
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    let version = match find(&transaction, schema).await? {
        Found::Install { role } => version(&transaction, schema, role).await?,
        Found::CaseVariant(other) => {
            return Err(Error::CaseVariant {
                schema: schema.to_owned(),
                other,
            });
        }
        Found::EmptySchema | Found::Nothing => {
            return Err(Error::NotInstalled {
                schema: schema.to_owned(),
            });
        }
    };
    // Before anything is made in the temporary schema, where it would hide what it was made after.
    let found = Inventory::read(&transaction, schema).await?;
    let builds = builds(&transaction, schema, &found).await?;

    let mut checked = Vec::new();
    let expected = match version {
        NEWEST => Some(expected(&transaction, &found).await?),
        _ => None,
    };
    let mut findings = if let Some(Ok(expected)) = &expected {
        checked.push(format!(
            "every table, column, constraint, index, function and enum, against a fresh install of version {NEWEST} \
             made for the occasion on this server and rolled back"
        ));
        manifest::compare(schema, expected, &found, &builds)
    } else {
        checked.push(format!(
            "the tables, columns and functions that statements for version {} rely on, and which of its indexes are \
             there and valid; not types, defaults and constraints",
            version.clamp(OLDEST, NEWEST)
        ));
        if let Some(Err(why)) = expected {
            checked.push(format!("no fresh install could be made to compare with: {why}"));
        }
        needs::check(schema, version, &found, &builds)
    };
    transaction.rollback().await?;
    findings
        .sort_by(|one, other| (one.severity, one.kind, &one.object).cmp(&(other.severity, other.kind, &other.object)));
    Ok(Verification {
        schema: schema.to_owned(),
        version,
        checked,
        findings,
    })
}

async fn builds(transaction: &Transaction<'_>, schema: &str, found: &Inventory) -> Result<Vec<Build>, postgres::Error> {
    if !found.has(Kind::Table, "bam", "") {
        return Ok(Vec::new());
    }
    let sql = include_str!("bam.sql").replace("{schema}", &quoted(schema));
    let rows = Executor::query(transaction, &sql, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| Build {
            status: row.get("status"),
            command: row.get("command"),
            error: row.get("error"),
        })
        .collect())
}

/// A fresh install to compare with, or why none can be made.
async fn expected(
    transaction: &Transaction<'_>,
    found: &Inventory,
) -> Result<Result<Inventory, String>, postgres::Error> {
    let rows = Executor::query(transaction, include_str!("scratch.sql"), &[]).await?;
    let row = rows.first().expect("a SELECT without FROM returns a row");
    let (may, read_only): (bool, bool) = (row.get("may"), row.get("read_only"));
    if read_only {
        return Ok(Err("this server is read-only; ask the primary".into()));
    }
    if !may {
        let (database, role): (&str, &str) = (row.get("database"), row.get("role"));
        return Ok(Err(format!(
            "role {role:?} may not make temporary tables; as an administrator run: GRANT TEMPORARY ON DATABASE {} TO {}",
            quoted(database),
            quoted(role)
        )));
    }
    match manifest::expected(transaction, &found.own_tables).await {
        Ok(expected) => Ok(Ok(expected)),
        // The server would not have it, for reasons of its own; everything else was read before.
        Err(error) if error.code().is_some() => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}
