//! Which pg-boss schema is there, what it can do, and what we therefore send.
//!
//! Decisions rest on what the catalog shows (columns, functions, tables), and only where a release's
//! behaviour leaves no trace there (backoff arithmetic, for one) on the version number.

mod capability;
mod catalog;
mod privileges;
mod template;
mod versions;
mod watch;

pub use capability::Capability;
pub use catalog::Catalog;
pub use privileges::lacking;
use template::Rendered;
pub use template::Template;
pub use versions::{Support, releases};
pub use watch::{Needed, Spoken, Watch, Watcher};

/// The oldest schema spoken (pg-boss 10.1.5).
pub const OLDEST: i32 = 24;
/// The newest schema known to this build (pg-boss 12.38).
pub const NEWEST: i32 = 46;

/// A pg-boss schema as found in a database: what it has and how its statements are written.
#[derive(Debug, Clone)]
pub struct Dialect {
    schema: String,
    version: i32,
    catalog: Catalog,
    rendered: Rendered,
}

/// Two are equal when they speak alike, whatever each has rendered so far.
impl PartialEq for Dialect {
    fn eq(&self, other: &Self) -> bool {
        (&self.schema, self.version, &self.catalog) == (&other.schema, other.version, &other.catalog)
    }
}

impl Dialect {
    /// Describes schema `schema` (as configured, unquoted) from its version row and catalog.
    pub fn new(schema: impl Into<String>, version: i32, catalog: Catalog) -> Self {
        Self {
            schema: schema.into(),
            version,
            catalog,
            rendered: Rendered::default(),
        }
    }

    /// The schema's name, unquoted.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The row of the table `version`.
    pub fn version(&self) -> i32 {
        self.version
    }

    /// What the catalog showed.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Whether this schema can do, or does, that.
    pub fn has(&self, capability: Capability) -> bool {
        capability.holds(self.version, &self.catalog)
    }

    /// The expression for the database's clock: `job_now()` where the schema has it.
    pub fn now(&self) -> String {
        if self.has(Capability::JobNow) {
            format!("{}.job_now()", quoted(&self.schema))
        } else {
            "now()".to_owned()
        }
    }

    /// `"schema"."name"`.
    pub fn qualified(&self, name: &str) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(name))
    }
}

/// Quotes an identifier.
pub fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}
