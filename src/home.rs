//! Our own schema, `strawboss` by default: what the worker remembers beside pg-boss's tables, never in them.
//!
//! A room that has something to remember describes its tables as a [`Part`] and calls [`Home::ensure`] before it first
//! needs them. pg-boss's schemas of a database share one home, so a table says by a column `schema` whose row it is.

use tokio_postgres::types::Type;

use crate::dialect::quoted;
use crate::postgres::{Client, Error, Executor};

const FIND: &str = include_str!("home/find.sql");
const TAKE: &str = include_str!("home/take.sql");
const STEP: &str = include_str!("home/step.sql");
const REACH: &str = include_str!("home/reach.sql");

/// The tables of one room and how they came about.
///
/// A release adds steps at the end and never changes one that was released. A step only creates or adds, so that an
/// older worker beside a newer one finds all it knows.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Its name; the steps that were taken are kept under it.
    pub name: &'static str,
    /// The text of `.sql` files with the hole `{home}`, each run once.
    pub steps: &'static [&'static str],
}

/// The schema in which the parts are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    name: String,
}

impl Home {
    /// The home of that name, unquoted; `database.own_schema` in the configuration.
    pub fn new(name: impl Into<String>) -> Home {
        Home { name: name.into() }
    }

    /// The schema's name, unquoted.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Fills the hole `{home}` of a `.sql` file and leaves its comments out.
    pub fn render(&self, sql: &str) -> String {
        let lines = sql.lines().filter(|line| !line.trim_start().starts_with("--"));
        lines
            .collect::<Vec<_>>()
            .join("\n")
            .replace("{home}", &quoted(&self.name))
    }

    /// Whether every step of the part has been taken: a read that changes nothing.
    ///
    /// # Errors
    /// Whatever the database says; a home that is not there is no error.
    pub async fn has(&self, executor: &impl Executor, part: &Part) -> Result<bool, Error> {
        let rows = executor.query(FIND, &[(&self.name, Type::TEXT)]).await?;
        if !rows.first().is_some_and(|row| row.get("steps")) {
            return Ok(false);
        }
        Ok(self.steps(executor, part).await? >= part.steps.len())
    }

    /// Takes the steps of the part that have not been taken, all or none, and creates the home before them. Any number of
    /// processes may do so at once; one does it and the others wait.
    ///
    /// # Errors
    /// Whatever the database says, the lack of a privilege above all (SQLSTATE 42501: the role needs CREATE on the
    /// database, or a schema of that name that it owns).
    pub async fn ensure(&self, client: &mut Client, part: &Part) -> Result<(), Error> {
        if self.has(client, part).await? {
            return Ok(());
        }
        let transaction = client.transaction().await?;
        transaction.batch("SET LOCAL lock_timeout = '30s'").await?;
        Executor::query(&transaction, TAKE, &[(&self.name, Type::TEXT)]).await?;
        let rows = Executor::query(&transaction, FIND, &[(&self.name, Type::TEXT)]).await?;
        let found = |column: &str| rows.first().is_some_and(|row| row.get(column));
        // Even with IF NOT EXISTS these need privileges that a role has no use for where they are there.
        if !found("home") {
            let sql = self.render("CREATE SCHEMA IF NOT EXISTS {home}");
            transaction.batch(&sql).await?;
        }
        if !found("steps") {
            transaction.batch(&self.render(STEP)).await?;
        }
        let taken = self.steps(&transaction, part).await?;
        for step in part.steps.iter().skip(taken) {
            transaction.batch(&self.render(step)).await?;
        }
        let reached = i32::try_from(part.steps.len()).unwrap_or(i32::MAX);
        Executor::query(
            &transaction,
            &self.render(REACH),
            &[(&part.name, Type::TEXT), (&reached, Type::INT4)],
        )
        .await?;
        transaction.commit().await
    }

    /// How many steps of the part have been taken.
    async fn steps(&self, executor: &impl Executor, part: &Part) -> Result<usize, Error> {
        let sql = self.render("SELECT taken FROM {home}.step WHERE part = $1");
        let rows = executor.query(&sql, &[(&part.name, Type::TEXT)]).await?;
        let taken: i32 = rows.first().map_or(0, |row| row.get(0));
        Ok(usize::try_from(taken).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hole_is_filled_with_a_quoted_name_and_comments_go() {
        let home = Home::new("my \"own\"");
        assert_eq!(
            home.render("-- of {home}\nSELECT 1\nFROM {home}.step"),
            "SELECT 1\nFROM \"my \"\"own\"\"\".step"
        );
    }
}
