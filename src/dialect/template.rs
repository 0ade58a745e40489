//! Statements with holes, filled once per dialect and table.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Capability, Dialect};

/// The statements a dialect has rendered so far, by template, table and flags.
#[derive(Debug, Clone, Default)]
pub(super) struct Rendered(Arc<Mutex<HashMap<Key, Arc<str>>>>);

type Key = (&'static str, String, Vec<&'static str>);

/// The text of a `.sql` file.
///
/// Holes: `{schema}` (quoted), `{table}` (the queue's physical job table, quoted and qualified), `{job}` (the
/// parent table), `{now}` (the database's clock). A line that ends in `--? name` stands only where the dialect
/// has that [`Capability`]; with `--? !name` only where it has not; several names must all hold. A name that begins
/// with `+` is a flag of the statement, set by whoever renders it.
#[derive(Debug, Clone, Copy)]
pub struct Template(pub &'static str);

impl Template {
    /// Fills the holes for one dialect and one job table (its unquoted name); done once, then remembered.
    ///
    /// # Panics
    /// On a guard that names no capability; a test renders every template on every dialect.
    pub fn render(&self, dialect: &Dialect, table: &str) -> Arc<str> {
        self.render_with(dialect, table, &[])
    }

    /// As [`Template::render`], with flags set.
    ///
    /// # Panics
    /// As [`Template::render`].
    pub fn render_with(&self, dialect: &Dialect, table: &str, flags: &[&'static str]) -> Arc<str> {
        let mut rendered = dialect.rendered.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (self.0, table.to_owned(), flags.to_vec());
        Arc::clone(
            rendered
                .entry(key)
                .or_insert_with(|| self.fill(dialect, table, flags).into()),
        )
    }

    fn fill(&self, dialect: &Dialect, table: &str, flags: &[&str]) -> String {
        let mut sql = String::with_capacity(self.0.len());
        for line in self.0.lines() {
            let (text, stands) = match line.split_once("--?") {
                Some((text, guards)) => (
                    text,
                    guards.split_whitespace().all(|guard| holds(dialect, flags, guard)),
                ),
                None => (line.split("--").next().unwrap_or_default(), true),
            };
            if stands && !text.trim().is_empty() {
                sql.push_str(text.trim_end());
                sql.push('\n');
            }
        }
        sql.replace("{schema}", &super::quoted(dialect.schema()))
            .replace("{table}", &dialect.qualified(table))
            .replace("{job}", &dialect.qualified("job"))
            .replace("{now}", &dialect.now())
    }
}

fn holds(dialect: &Dialect, flags: &[&str], guard: &str) -> bool {
    let (name, wanted) = match guard.strip_prefix('!') {
        Some(name) => (name, false),
        None => (guard, true),
    };
    if let Some(flag) = name.strip_prefix('+') {
        return flags.contains(&flag) == wanted;
    }
    let capability = Capability::ALL
        .into_iter()
        .find(|capability| capability.as_str() == name)
        .unwrap_or_else(|| panic!("a template is guarded by `{name}`, which is no capability"));
    dialect.has(capability) == wanted
}
