//! The facts of a schema: its tables, columns and functions.

use std::collections::BTreeSet;

use tokio_postgres::types::Type;

use super::{Dialect, quoted};
use crate::postgres::{Error, Executor};

/// Tables, columns, functions and indexes of a schema, as far as anything is decided by them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalog {
    columns: BTreeSet<(String, String)>,
    functions: BTreeSet<String>,
    indexes: BTreeSet<String>,
}

impl Catalog {
    /// Whether the table is there.
    pub fn has_table(&self, table: &str) -> bool {
        self.columns.iter().any(|(name, _)| name == table)
    }

    /// Whether the table has the column.
    pub fn has_column(&self, table: &str, column: &str) -> bool {
        self.columns.contains(&(table.to_owned(), column.to_owned()))
    }

    /// The table's columns, sorted by name.
    pub fn columns<'a>(&'a self, table: &'a str) -> impl Iterator<Item = &'a str> {
        self.columns
            .iter()
            .filter(move |(name, _)| name == table)
            .map(|(_, column)| column.as_str())
    }

    /// Whether the function is there, whatever its arguments.
    pub fn has_function(&self, name: &str) -> bool {
        self.functions.contains(name)
    }

    /// Whether a valid index of that name is there.
    pub fn has_index(&self, name: &str) -> bool {
        self.indexes.contains(name)
    }

    /// Adds one fact as `catalog.sql` returns it.
    pub(crate) fn add(&mut self, kind: &str, relation: &str, name: &str) {
        match kind {
            "column" => {
                self.columns.insert((relation.to_owned(), name.to_owned()));
            }
            "function" => {
                self.functions.insert(name.to_owned());
            }
            _ => {
                self.indexes.insert(name.to_owned());
            }
        }
    }
}

impl Dialect {
    /// Reads the schema's version and catalog.
    ///
    /// # Errors
    /// [`crate::postgres::Class::Schema`] where no pg-boss is installed in the schema, and
    /// [`crate::postgres::Class::Permanent`] where its table `version` is another application's.
    pub async fn read(executor: &impl Executor, schema: &str) -> Result<Dialect, Error> {
        let sql = format!("SELECT version FROM {}.version", quoted(schema));
        let rows = executor.query(&sql, &[]).await?;
        let version = match rows.first().map(|row| row.try_get(0)) {
            None => 0,
            Some(Ok(version)) => version,
            Some(Err(_)) => {
                return Err(Error::Settings(foreign(schema)));
            }
        };
        let mut catalog = Catalog::default();
        for row in executor
            .query(include_str!("catalog.sql"), &[(&schema, Type::TEXT)])
            .await?
        {
            catalog.add(row.get(0), row.get(1), row.get(2));
        }
        Ok(Dialect::new(schema, version, catalog))
    }
}

/// Said of a schema whose table `version` has something other than pg-boss's version in it.
pub(super) fn foreign(schema: &str) -> String {
    format!("schema {schema:?} has a table `version`, but not pg-boss's; name the schema that pg-boss is in")
}
