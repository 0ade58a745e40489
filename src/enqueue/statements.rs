//! The statements of this room, rendered once per dialect.

use std::sync::Arc;

use sha2::{Digest, Sha224};

use crate::dialect::{Dialect, Template};

/// What this room sends to one schema: made once per [`Dialect`], used for every call.
#[derive(Debug, Clone)]
pub struct Statements {
    pub(super) dialect: Arc<Dialect>,
    pub(super) channel: String,
    pub(super) insert: String,
    pub(super) create_queue: String,
    pub(super) queues: String,
}

impl Statements {
    /// Renders the statements for that dialect.
    pub fn new(dialect: impl Into<Arc<Dialect>>) -> Statements {
        let dialect = dialect.into();
        let render = |template: &'static str| Template(template).render(&dialect, "job");
        Statements {
            channel: channel(dialect.schema()),
            insert: render(include_str!("insert.sql")),
            create_queue: render(include_str!("create_queue.sql")),
            queues: render(include_str!("queues.sql")),
            dialect,
        }
    }

    /// The dialect they were rendered for.
    pub fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    /// Every statement with a name for it, to be prepared as a probe of the schema.
    pub fn all(&self) -> [(&'static str, &str); 3] {
        [
            ("insert", &self.insert),
            ("create_queue", &self.create_queue),
            ("queues", &self.queues),
        ]
    }
}

/// The channel on which a schema's inserts are announced; a schema's name may be longer than a channel's.
fn channel(schema: &str) -> String {
    let digest = Sha224::digest(schema.as_bytes());
    let hex: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("pgboss_{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channel_is_the_one_pg_boss_listens_on() {
        assert_eq!(channel("pgboss"), "pgboss_454650302e472074f72063fd");
    }
}
