//! What is in a schema, object by object.

use std::collections::BTreeMap;

use serde::Serialize;
use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use crate::dialect::quoted;
use crate::postgres::{Error, Executor};

/// The kinds of objects that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An enum, by its labels in order.
    Enum,
    /// A table, by how it is partitioned.
    Table,
    /// A column, by type, nullability and default.
    Column,
    /// A constraint, by what it demands.
    Constraint,
    /// An index that serves no constraint, by keys and predicate.
    Index,
    /// A function, by parameters, result, language and volatility.
    Function,
    /// What a function does.
    Body,
}

impl Kind {
    fn from_catalog(kind: &str) -> Kind {
        match kind {
            "enum" => Kind::Enum,
            "table" => Kind::Table,
            "column" => Kind::Column,
            "constraint" => Kind::Constraint,
            "index" => Kind::Index,
            "function" => Kind::Function,
            _ => Kind::Body,
        }
    }
}

/// What tells one object of a schema from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub kind: Kind,
    /// The table it belongs to, or is; empty for functions and enums.
    pub relation: String,
    /// Its name; for a constraint what it demands, for a function the types of its arguments too.
    pub name: String,
}

/// What an object is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    pub definition: String,
    /// An index that is valid; anything else always is.
    pub sound: bool,
}

/// A queue with a job table of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnTable {
    pub queue: String,
    pub policy: String,
    pub table: String,
}

/// The objects of one schema, and the queues that have tables there.
#[derive(Debug, Clone, Default)]
pub(super) struct Inventory {
    pub objects: BTreeMap<Key, Shape>,
    pub own_tables: Vec<OwnTable>,
}

impl Inventory {
    /// Reads the schema `schema` (unquoted, or `pg_temp`).
    ///
    /// Leaves that schema alone in the transaction's `search_path`, so that the server's own texts do not name it.
    pub async fn read(transaction: &Transaction<'_>, schema: &str) -> Result<Inventory, Error> {
        let namespace: u32 = Executor::query(
            transaction,
            "SELECT CASE $1 WHEN 'pg_temp' THEN pg_my_temp_schema() ELSE quote_ident($1)::regnamespace::oid END, \
                    set_config('search_path', quote_ident($1), true)",
            &[(&schema, Type::TEXT)],
        )
        .await?
        .first()
        .map_or(0, |row| row.get(0));
        let rows = Executor::query(transaction, include_str!("inventory.sql"), &[(&namespace, Type::OID)]).await?;
        let objects = rows
            .iter()
            .map(|row| {
                let key = Key {
                    kind: Kind::from_catalog(row.get("kind")),
                    relation: row.get("relation"),
                    name: row.get("name"),
                };
                let shape = Shape {
                    definition: row.get("definition"),
                    sound: row.get("sound"),
                };
                (key, shape)
            })
            .collect();
        let mut inventory = Inventory {
            objects,
            own_tables: Vec::new(),
        };
        if inventory.has(Kind::Column, "queue", "partition") {
            let sql = include_str!("queues.sql").replace("{schema}", &quoted(schema));
            inventory.own_tables = Executor::query(transaction, &sql, &[])
                .await?
                .iter()
                .map(|row| OwnTable {
                    queue: row.get("name"),
                    policy: row.get("policy"),
                    table: row.get("table_name"),
                })
                .collect();
        }
        Ok(inventory)
    }

    /// Whether there is such an object.
    pub fn has(&self, kind: Kind, relation: &str, name: &str) -> bool {
        self.get(kind, relation, name).is_some()
    }

    /// What such an object is like.
    pub fn get(&self, kind: Kind, relation: &str, name: &str) -> Option<&Shape> {
        self.objects.get(&Key {
            kind,
            relation: relation.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Whether there is a function of that name, whatever its arguments.
    pub fn has_function(&self, name: &str) -> bool {
        self.objects.keys().any(|key| {
            key.kind == Kind::Function
                && key
                    .name
                    .strip_prefix(name)
                    .is_some_and(|arguments| arguments.starts_with('('))
        })
    }
}
