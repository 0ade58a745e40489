//! What a supervisor warns of, in the log and, where asked, in pg-boss's own table.

use serde_json::Value;
use tokio_postgres::types::Type;

use crate::dialect::{Dialect, Template};
use crate::postgres::{Error, Executor};

const KEEP: Template = Template(include_str!("warning.sql"));
const OLD: Template = Template(include_str!("old_warnings.sql"));

/// Something that somebody should look at.
#[derive(Debug, Clone, PartialEq)]
pub struct Warning {
    /// pg-boss's name for it: `queue_backlog`, `slow_query`, `monitor_backoff`, `xmin_horizon`, `autovacuum_disabled`,
    /// `index_bloat`.
    pub kind: &'static str,
    /// What it is and what to do about it.
    pub message: String,
    /// The facts, by pg-boss's names.
    pub data: Value,
}

impl Warning {
    /// Logs it, and writes it into the table `warning` if `keep` and the schema has one.
    pub(super) async fn say(&self, executor: &impl Executor, dialect: &Dialect, keep: bool) -> Result<(), Error> {
        tracing::warn!(kind = self.kind, "{}", self.message);
        if keep && dialect.catalog().has_table("warning") {
            let data = self.data.to_string();
            let sql = KEEP.render(dialect, "job");
            let (kind, message) = (self.kind, self.message.as_str());
            executor
                .query(
                    &sql,
                    &[(&kind, Type::TEXT), (&message, Type::TEXT), (&data, Type::TEXT)],
                )
                .await?;
        }
        Ok(())
    }
}

/// Deletes warnings older than that many days.
pub(super) async fn forget(executor: &impl Executor, dialect: &Dialect, days: u32) -> Result<(), Error> {
    if dialect.catalog().has_table("warning") {
        let days = i32::try_from(days).unwrap_or(i32::MAX);
        executor
            .query(&OLD.render(dialect, "job"), &[(&days, Type::INT4)])
            .await?;
    }
    Ok(())
}
