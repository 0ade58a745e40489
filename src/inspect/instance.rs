//! Which processes have registered themselves.

use serde_json::value::RawValue;
use tokio_postgres::types::Type;

use crate::dialect::{Dialect, Template};
use crate::job::RawJson;
use crate::postgres::{Error, Executor};
use crate::refusal::Refusal;

/// The statement behind [`instances`].
pub(super) const INSTANCES: Template = Template(include_str!("instances.sql"));

/// The processes that have registered themselves (schema 44 and later), oldest first and a thousand at most, as the JSON of
/// pg-boss's own `getInstances`. `live` is false of one that stopped, or missed three heartbeats.
///
/// # Errors
/// A schema without such a register, or the database's refusal.
pub async fn instances(executor: &impl Executor, dialect: &Dialect) -> Result<Vec<RawJson>, Refusal> {
    if !dialect.catalog().has_table("instance") {
        return Err(Refusal::Unsupported {
            what: "getInstances",
            release: "12.36",
            version: dialect.version(),
        });
    }
    let limit = i64::from(super::record::LIMIT);
    let rows = executor
        .query(&INSTANCES.render(dialect, "job"), &[(&limit, Type::INT8)])
        .await?;
    let mut instances = Vec::with_capacity(rows.len());
    for row in &rows {
        let text: String = row.try_get("instance").map_err(Error::from)?;
        instances.extend(RawValue::from_string(text));
    }
    Ok(instances)
}
