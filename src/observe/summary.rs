//! What `/status` has of the metrics.

use std::collections::BTreeMap;

use prometheus::core::Collector;
use prometheus::proto::Metric;

use super::Metrics;

impl Metrics {
    /// The attempts of this process since its start, by queue and outcome; those that came to nothing are left out.
    pub fn processed(&self) -> BTreeMap<String, BTreeMap<String, u64>> {
        let mut processed: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for metric in self
            .jobs_processed
            .collect()
            .iter()
            .flat_map(|family| family.get_metric())
        {
            // A counter of whole numbers, which the protocol has no other room for.
            let count = metric.get_counter().get_value() as u64;
            if count > 0 {
                let outcomes = processed.entry(label(metric, "queue")).or_default();
                outcomes.insert(label(metric, "outcome"), count);
            }
        }
        processed
    }

    /// The circuits of the handlers of events in this process, by handler: 0 closed, 1 half-open, 2 open.
    pub fn circuits(&self) -> BTreeMap<String, u8> {
        let families = self.event_circuit_state.collect();
        let metrics = families.iter().flat_map(|family| family.get_metric());
        metrics
            .map(|metric| (label(metric, "handler"), metric.get_gauge().get_value() as u8))
            .collect()
    }
}

fn label(metric: &Metric, name: &str) -> String {
    let mut labels = metric.get_label().iter();
    let found = labels.find(|label| label.name() == name);
    found.map(|label| label.value().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_told_by_its_labels() {
        let metrics = Metrics::new();
        assert!(metrics.processed().is_empty() && metrics.circuits().is_empty());
        for (outcome, count) in [("completed", 3), ("retried", 1), ("failed", 0)] {
            metrics
                .jobs_processed
                .with_label_values(&["email", outcome])
                .inc_by(count);
        }
        metrics.event_circuit_state.with_label_values(&["mailer"]).set(2);
        let email = BTreeMap::from([("completed".to_owned(), 3), ("retried".to_owned(), 1)]);
        assert_eq!(metrics.processed(), BTreeMap::from([("email".to_owned(), email)]));
        assert_eq!(metrics.circuits(), BTreeMap::from([("mailer".to_owned(), 2)]));
    }
}
