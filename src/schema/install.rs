//! Creating the schema.

use tokio_postgres::Transaction;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::{Error, check_name, spelling};
use crate::dialect::{NEWEST, quoted};
use crate::postgres::{self, Database, Executor};

/// What a fresh install consists of, in the order it is created.
const PARTS: [&str; 5] = [
    include_str!("../../schema/pgboss/clock.sql"),
    include_str!("../../schema/pgboss/queue.sql"),
    include_str!("../../schema/pgboss/job.sql"),
    include_str!("../../schema/pgboss/upkeep.sql"),
    include_str!("../../schema/pgboss/functions.sql"),
];

/// How an install went; either way the schema is there now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "installed", content = "version", rename_all = "snake_case")]
pub enum Installed {
    /// It was created, with this version.
    Fresh(i32),
    /// It was there already, with this version: the one that would have been created.
    Already(i32),
}

/// Creates the newest schema in `schema` (unquoted), or finds that it is there.
///
/// All or nothing, in one transaction, and under the advisory lock that Node's pg-boss takes to install and migrate:
/// whoever comes second waits and finds the work done.
///
/// # Errors
/// Refuses a schema of another version, names Node could not use, and one whose name differs from an existing
/// install only in case; says what to grant where the role may not create.
pub async fn install(database: &Database, schema: &str) -> Result<Installed, Error> {
    check_name(schema).map_err(Error::Name)?;
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    transaction
        .batch_execute("SET LOCAL lock_timeout = '30s'; SET LOCAL idle_in_transaction_session_timeout = '30s'")
        .await?;
    let rows = Executor::query(
        &transaction,
        include_str!("install_lock.sql"),
        &[(&spelling(schema), Type::TEXT)],
    )
    .await
    .map_err(|error| match error.code() {
        Some(&SqlState::LOCK_NOT_AVAILABLE) => Error::Busy {
            schema: schema.to_owned(),
        },
        _ => error.into(),
    })?;
    let row = rows.first().expect("a SELECT without FROM returns a row");
    let place = Place {
        schema,
        role: row.get("role"),
        database: row.get("database"),
    };

    match find(&transaction, schema).await? {
        Found::Install { role } => {
            let version = version(&transaction, schema, role).await?;
            if version == NEWEST {
                return Ok(Installed::Already(version));
            }
            return Err(Error::OtherVersion {
                schema: schema.to_owned(),
                found: version,
            });
        }
        Found::CaseVariant(other) => {
            return Err(Error::CaseVariant {
                schema: schema.to_owned(),
                other,
            });
        }
        // Even with IF NOT EXISTS the statement needs CREATE on the database, so it is left out where it can be.
        Found::EmptySchema => {}
        Found::Nothing => {
            let sql = format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema));
            if let Err(error) = transaction.batch_execute(&sql).await {
                return Err(place.explain(error, grant_on_database));
            }
        }
    }
    if let Err(error) = create(&transaction, &quoted(schema)).await {
        return Err(place.explain(error, grant_on_schema));
    }
    transaction.commit().await?;
    Ok(Installed::Fresh(NEWEST))
}

/// Creates every object and the version row in the namespace `qualifier` (quoted).
pub(super) async fn create(transaction: &Transaction<'_>, qualifier: &str) -> Result<(), tokio_postgres::Error> {
    for part in PARTS {
        transaction.batch_execute(&part.replace("{schema}", qualifier)).await?;
    }
    transaction
        .batch_execute(&format!("INSERT INTO {qualifier}.version (version) VALUES ({NEWEST})"))
        .await
}

/// What is in the place where an install is looked for.
pub(super) enum Found {
    /// A table `version`, and so an install; and the role that found it, for messages.
    Install { role: String },
    /// An install under the same name in another case.
    CaseVariant(String),
    /// The schema, without an install.
    EmptySchema,
    /// Not even the schema.
    Nothing,
}

/// Looks for an install, in the catalog alone.
pub(super) async fn find(executor: &impl Executor, schema: &str) -> Result<Found, postgres::Error> {
    let rows = executor
        .query(include_str!("find.sql"), &[(&schema, Type::TEXT)])
        .await?;
    let mut found = Found::Nothing;
    for row in &rows {
        let (name, has_version): (&str, bool) = (row.get(0), row.get(1));
        if name == schema {
            if has_version {
                return Ok(Found::Install { role: row.get("role") });
            }
            found = Found::EmptySchema;
        } else if has_version {
            return Ok(Found::CaseVariant(name.to_owned()));
        }
    }
    Ok(found)
}

/// Reads the version row of an install, as `role`.
pub(super) async fn version(executor: &impl Executor, schema: &str, role: String) -> Result<i32, Error> {
    let sql = format!("SELECT version FROM {}.version", quoted(schema));
    let rows = executor.query(&sql, &[]).await.map_err(|error| {
        if error.code() != Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
            return error.into();
        }
        let (name, grantee) = (quoted(schema), quoted(&role));
        Error::Forbidden {
            role,
            schema: schema.to_owned(),
            grant: format!(
                "GRANT USAGE ON SCHEMA {name} TO {grantee}; \
                 GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {name} TO {grantee}"
            ),
        }
    })?;
    rows.first()
        .and_then(|row| row.try_get(0).ok())
        .ok_or_else(|| Error::NoVersion {
            schema: schema.to_owned(),
        })
}

/// Who installs, and where; known before anything can go wrong, since nothing can be asked afterwards.
struct Place<'a> {
    schema: &'a str,
    role: String,
    database: String,
}

impl Place<'_> {
    /// Turns what the server said into what to do; `grant` is what allows it.
    fn explain(self, error: tokio_postgres::Error, grant: impl FnOnce(&Self) -> String) -> Error {
        match error.code() {
            Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Error::Forbidden {
                grant: grant(&self),
                role: self.role,
                schema: self.schema.to_owned(),
            },
            Some(&(SqlState::DUPLICATE_TABLE | SqlState::DUPLICATE_OBJECT | SqlState::DUPLICATE_FUNCTION)) => {
                Error::Taken {
                    schema: self.schema.to_owned(),
                    object: error
                        .as_db_error()
                        .map_or_else(String::new, |db| db.message().to_owned()),
                }
            }
            _ => error.into(),
        }
    }
}

fn grant_on_database(place: &Place<'_>) -> String {
    let (schema, role) = (quoted(place.schema), quoted(&place.role));
    format!(
        "CREATE SCHEMA {schema} AUTHORIZATION {role} (or GRANT CREATE ON DATABASE {} TO {role})",
        quoted(&place.database)
    )
}

fn grant_on_schema(place: &Place<'_>) -> String {
    format!(
        "GRANT USAGE, CREATE ON SCHEMA {} TO {}",
        quoted(place.schema),
        quoted(&place.role)
    )
}
