//! What the current role may not do and would have to.

use tokio_postgres::types::Type;

use crate::dialect::quoted;
use crate::postgres::{Error, Executor};

/// The privileges on a schema that a worker needs and the current role lacks, each as a sentence that says what to grant.
///
/// # Errors
/// Whatever the database says.
pub async fn lacking(executor: &impl Executor, schema: &str) -> Result<Vec<String>, Error> {
    let rows = executor
        .query(include_str!("privileges.sql"), &[(&schema, Type::TEXT)])
        .await?;
    let said = rows.iter().map(|row| {
        let (object, privilege): (String, String) = (row.try_get("object")?, row.try_get("privilege")?);
        let on = match object.as_str() {
            "schema" => format!("SCHEMA {}", quoted(schema)),
            table => format!("{}.{}", quoted(schema), quoted(table)),
        };
        Ok(format!(
            "the role lacks a privilege: GRANT {privilege} ON {on} TO CURRENT_USER"
        ))
    });
    said.collect()
}
