//! Creates what is missing of the app's event tables, exactly as its migration makes them.

use std::collections::BTreeSet;

use tokio_postgres::types::Type;

use crate::dialect::quoted;
use crate::home::{Home, Part};
use crate::postgres::{Client, Error, Executor};

const TABLES: &str = include_str!("install/tables.sql");
const THERE: &str = include_str!("install/there.sql");
const TRIGGER: &str = include_str!("install/trigger.sql");

/// What the trigger runs, in our own schema.
const PART: Part = Part {
    name: "event_notify",
    steps: &[include_str!("install/function.sql")],
};

/// The name of the trigger.
const NAME: &str = "strawboss_event_outbox_notify";

/// Which of the app's tables are there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables {
    /// The schema is.
    pub schema: bool,
    /// These tables, indexes and triggers are.
    pub there: BTreeSet<String>,
}

impl Tables {
    /// The tables.
    pub const NAMES: [&str; 4] = [
        "event_outbox",
        "event_dead_letter",
        "event_processing_log",
        "event_history",
    ];

    /// Looks.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn find(executor: &impl Executor, outbox_schema: &str) -> Result<Tables, Error> {
        let rows = executor.query(THERE, &[(&outbox_schema, Type::TEXT)]).await?;
        Ok(Tables {
            schema: !rows.is_empty(),
            there: rows.iter().filter_map(|row| row.get(0)).collect(),
        })
    }

    /// The tables that are not there.
    pub fn missing(&self) -> Vec<&'static str> {
        let names = Tables::NAMES.into_iter();
        names.filter(|name| !self.there.contains(*name)).collect()
    }

    /// Whether inserts notify.
    pub fn notifies(&self) -> bool {
        self.there.contains(NAME)
    }
}

/// Creates what is missing of the four tables and their indexes, and of the schema, and if asked for the trigger that wakes the
/// relays. Returns the names of what was created. Any number of processes may do so at once.
///
/// # Errors
/// Whatever the database says; nothing was done in the app's schema then.
pub async fn install(
    client: &mut Client,
    home: &Home,
    outbox_schema: &str,
    notify: bool,
) -> Result<Vec<String>, Error> {
    if notify {
        home.ensure(client, &PART).await?;
    }
    let transaction = client.transaction().await?;
    transaction.batch("SET LOCAL lock_timeout = '30s'").await?;
    let lock = "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('strawboss.events.' || $1, 0))";
    Executor::query(&transaction, lock, &[(&outbox_schema, Type::TEXT)]).await?;
    let before = Tables::find(&transaction, outbox_schema).await?;
    let fill = |sql: &str| home.render(sql).replace("{events}", &quoted(outbox_schema));
    if !before.schema {
        transaction.batch(&fill("CREATE SCHEMA {events}")).await?;
    }
    // Even where everything is there this takes locks that hold up writers for a moment.
    for statement in fill(TABLES).split(';') {
        let name = statement.split_whitespace().nth(5).unwrap_or_default();
        let name = name.rsplit('.').next().unwrap_or_default();
        if !before.there.contains(name) {
            transaction.batch(statement).await?;
        }
    }
    if notify && !before.notifies() {
        transaction.batch(&fill(TRIGGER)).await?;
    }
    let after = Tables::find(&transaction, outbox_schema).await?;
    transaction.commit().await?;
    Ok(after.there.difference(&before.there).cloned().collect())
}
