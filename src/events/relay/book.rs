//! What the relay counts and says.

use std::collections::{BTreeSet, HashSet};

use super::Relayed;
use crate::config::Unhandled;
use crate::observe::Metrics;
use crate::postgres::{Class, Error};

/// How many names of events the metrics know, and how many are warned of; the others go by the name of `other`.
const NAMES: usize = 500;

/// What was counted and what was said.
pub(super) struct Book {
    metrics: Metrics,
    unhandled: Unhandled,
    names: HashSet<String>,
    warned: BTreeSet<String>,
    trouble: Option<String>,
}

impl Book {
    pub(super) fn new(metrics: Metrics, unhandled: Unhandled) -> Book {
        Book {
            metrics,
            unhandled,
            names: HashSet::new(),
            warned: BTreeSet::new(),
            trouble: None,
        }
    }

    /// The name as the metrics know it: no more of them than there is room for.
    fn label(&mut self, event: &str) -> String {
        if self.names.len() < NAMES {
            self.names.insert(event.to_owned());
        }
        let known = self.names.contains(event);
        if known { event } else { "other" }.to_owned()
    }

    /// Counts a batch; how many rows it had.
    pub(super) fn relayed(&mut self, relayed: &[Relayed]) -> u64 {
        self.trouble = None;
        for Relayed { event, rows, queues } in relayed {
            let label = self.label(event);
            let outcome = if *queues == 0 { "unhandled" } else { "relayed" };
            self.metrics
                .event_outbox_relayed
                .with_label_values(&[label.as_str(), outcome])
                .inc_by(*rows);
            if *queues == 0
                && self.unhandled == Unhandled::Complete
                && self.warned.len() < NAMES
                && self.warned.insert(event.clone())
            {
                tracing::warn!(
                    event,
                    "nobody subscribes to this event; its rows are completed (events.unhandled)"
                );
            }
        }
        relayed.iter().map(|relayed| relayed.rows).sum()
    }

    pub(super) fn spoilt(&mut self, event: &str, failed: bool) {
        let label = self.label(event);
        let outcome = if failed { "failed" } else { "retried" };
        self.metrics
            .event_outbox_relayed
            .with_label_values(&[label.as_str(), outcome])
            .inc();
    }

    /// Says what keeps the outbox from being relayed, once.
    pub(super) fn trouble(&mut self, error: &Error, schema: &str) {
        let said = error.to_string();
        if self.trouble.as_ref() == Some(&said) {
            return;
        }
        if error.class() == Class::Schema {
            tracing::error!(
                error = said,
                schema,
                "the outbox cannot be relayed; `strawboss events install` creates the tables that are missing"
            );
        } else if error.is_transient() {
            tracing::debug!(error = said, "the outbox could not be relayed; trying again");
        } else {
            tracing::error!(error = said, schema, "the outbox cannot be relayed; trying again");
        }
        self.trouble = Some(said);
    }
}
