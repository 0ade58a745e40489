//! pg-boss's advisory locks, in transactions that give up where pg-boss's own would.

use tokio_postgres::types::Type;

use crate::dialect::{Dialect, Template};
use crate::postgres::{Client, Error, Executor, Transaction};
use crate::schema::spelling;

const LOCK: Template = Template(include_str!("lock.sql"));
/// As pg-boss has it.
const LIMITS: &str = "SET LOCAL lock_timeout = '30s'; SET LOCAL idle_in_transaction_session_timeout = '30s'";

/// Begins a transaction that holds the locks of those names, and waits for them.
pub(super) async fn waited<'a>(
    client: &'a mut Client,
    dialect: &Dialect,
    names: &[&str],
) -> Result<Transaction<'a>, Error> {
    let work = client.transaction().await?;
    work.batch(LIMITS).await?;
    for name in names {
        let schema = spelling(dialect.schema());
        let sql = LOCK.render(dialect, "job");
        work.query(&sql, &[(&schema, Type::TEXT), (name, Type::TEXT)]).await?;
    }
    Ok(work)
}

/// Begins a transaction that holds that lock, unless somebody else does.
pub(super) async fn tried<'a>(
    client: &'a mut Client,
    dialect: &Dialect,
    name: &str,
) -> Result<Option<Transaction<'a>>, Error> {
    let work = client.transaction().await?;
    work.batch(LIMITS).await?;
    let schema = spelling(dialect.schema());
    let sql = LOCK.render_with(dialect, "job", &["try"]);
    let rows = work.query(&sql, &[(&schema, Type::TEXT), (&name, Type::TEXT)]).await?;
    let ours = rows.first().is_some_and(|row| row.get("ours"));
    Ok(ours.then_some(work))
}
