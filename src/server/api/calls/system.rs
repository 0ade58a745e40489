//! Schedules, supervision, and what is known of the installation.

use serde_json::{Map, Value};

use super::{Backend, Done, nothing};
use crate::queue::{Policy, QueueName};
use crate::server::api::shape::Table;

/// The names of what pg-boss has names for, each equal to its key.
pub(super) fn meta() -> String {
    let states = ["created", "retry", "active", "completed", "cancelled", "failed"];
    let events = ["error", "warning", "wip", "stopped", "bam", "flow"];
    let same = |names: &[&str]| -> Map<String, Value> {
        names.iter().map(|&name| (name.to_owned(), Value::from(name))).collect()
    };
    serde_json::json!({
        "states": same(&states),
        "policies": same(&Policy::ALL.map(Policy::as_str)),
        "events": same(&events),
    })
    .to_string()
}

impl Backend {
    pub(super) async fn supervise(&self, table: &Table<'_>) -> Done {
        let queue = table.text("name").map(QueueName::new);
        self.client.supervise(queue).await?;
        nothing()
    }

    pub(super) async fn resolve_flow(&self) -> Done {
        self.client.resolve_flow().await?;
        nothing()
    }
}
