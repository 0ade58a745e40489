//! The history of the queues' counts: its days made ahead, its snapshots, and what is too old of it dropped.

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::lock;
use crate::dialect::{Dialect, Template, quoted};
use crate::postgres::{Client, Error, Executor};

const DAYS: Template = Template(include_str!("days.sql"));
const OLD_DAYS: Template = Template(include_str!("old_days.sql"));
const OLD_COUNTS: Template = Template(include_str!("old_counts.sql"));
const SNAPSHOT: Template = Template(include_str!("history.sql"));
/// As many rows as one step deletes.
const FULL: usize = 10_000;

/// Makes the partitions of today and tomorrow.
pub(super) async fn make_days(client: &Client, dialect: &Dialect) -> Result<(), Error> {
    let schema = dialect.schema();
    let sql = DAYS.render(dialect, "job");
    for day in client.query(&sql, &[(&schema, Type::TEXT)]).await? {
        let (name, begins, ends): (&str, &str, &str) =
            (day.try_get("name")?, day.try_get("begins")?, day.try_get("ends")?);
        let made = client
            .batch(&format!(
                "CREATE TABLE IF NOT EXISTS {} PARTITION OF {} FOR VALUES FROM ('{begins}') TO ('{ends}')",
                dialect.qualified(name),
                dialect.qualified("queue_stats"),
            ))
            .await;
        match made {
            Err(error) if another_made_it(&error) => {}
            done => done?,
        }
    }
    Ok(())
}

/// Whether another instance made that partition in the meantime.
fn another_made_it(error: &Error) -> bool {
    matches!(
        error.code(),
        Some(&SqlState::DUPLICATE_TABLE | &SqlState::UNIQUE_VIOLATION | &SqlState::INVALID_OBJECT_DEFINITION)
    )
}

/// Adds the counts of those queues as their rows have them.
pub(super) async fn snapshot(client: &mut Client, dialect: &Dialect, queues: &[&str]) -> Result<(), Error> {
    let work = lock::waited(client, dialect, &["queue-stats-insert"]).await?;
    let sql = SNAPSHOT.render(dialect, "job");
    work.query(&sql, &[(&queues, Type::TEXT_ARRAY)]).await?;
    work.commit().await
}

/// Drops the days that are that many days past, or deletes their rows where the table has no partitions.
pub(super) async fn forget(client: &mut Client, dialect: &Dialect, days: u32) -> Result<(), Error> {
    let (schema, days) = (dialect.schema(), i32::try_from(days).unwrap_or(i32::MAX));
    let sql = OLD_DAYS.render(dialect, "job");
    for day in client
        .query(&sql, &[(&schema, Type::TEXT), (&days, Type::INT4)])
        .await?
    {
        let name: &str = day.try_get("name")?;
        // It locks the whole history for a moment; whoever reads it for long is not to hold up everybody else.
        let work = client.transaction().await?;
        work.batch("SET LOCAL lock_timeout = '5s'").await?;
        work.batch(&format!("DROP TABLE IF EXISTS {}.{}", quoted(schema), quoted(name)))
            .await?;
        work.commit().await?;
        tracing::info!(partition = name, "dropped a day of the history of counts");
    }
    let sql = OLD_COUNTS.render(dialect, "job");
    while client.query(&sql, &[(&days, Type::INT4)]).await?.len() >= FULL {}
    Ok(())
}
