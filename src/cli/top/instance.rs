//! A process that has registered itself.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

/// A process that works on the schema, of Node or of strawboss, by its own words.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Instance {
    /// What it calls itself.
    pub name: Option<String>,
    /// The machine.
    pub host: String,
    /// The process.
    pub pid: i64,
    /// `strawboss` and its version, or pg-boss's.
    pub version: String,
    /// It has said so lately.
    pub live: bool,
    /// When it stopped, if it said so.
    pub stopped_on: Option<String>,
    /// When it last said that it is there.
    pub heartbeat_on: Option<DateTime<Utc>>,
    /// What it serves, an array of objects.
    pub workers: Value,
}

impl Instance {
    /// Reads the JSON of one; `None` where it is of another shape.
    pub fn of(text: &str) -> Option<Instance> {
        serde_json::from_str(text).ok()
    }

    /// What it is: its kind, and the version of that.
    pub fn kind(&self) -> (&'static str, &str) {
        match self.version.strip_prefix("strawboss") {
            Some(ours) => ("strawboss", ours.trim()),
            None => ("node", &self.version),
        }
    }

    /// The queues it serves, by name.
    pub fn queues(&self) -> Vec<&str> {
        let served = self.workers.as_array().into_iter().flatten();
        let mut queues: Vec<_> = served.filter_map(|worker| worker["queue"].as_str()).collect();
        queues.sort_unstable();
        queues.dedup();
        queues
    }

    /// For how many seconds it has said nothing.
    pub fn silent_for(&self, now: DateTime<Utc>) -> f64 {
        self.heartbeat_on
            .map_or(f64::INFINITY, |at| (now - at).as_seconds_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_node_and_one_of_ours_are_told_apart() {
        let text = r#"{"id":"x","name":"app","host":"web-1","pid":12,"version":"12.38.0","live":true,"stoppedOn":null,
            "heartbeatOn":"2026-01-02T03:04:05.678Z",
            "workers":[{"queue":"report","batchSize":1},{"queue":"email"},{"queue":"email"}]}"#;
        let node = Instance::of(text).expect("it is one");
        assert_eq!(node.kind(), ("node", "12.38.0"));
        assert_eq!(node.queues(), ["email", "report"]);
        let later = "2026-01-02T03:04:15.678Z".parse().expect("a time");
        assert!((node.silent_for(later) - 10.0).abs() < 0.001);
        let ours =
            Instance::of(r#"{"version":"strawboss 0.1.0","workers":null}"#).expect("what is not said is left out");
        assert_eq!((ours.kind(), ours.queues().len()), (("strawboss", "0.1.0"), 0));
        assert!(Instance::of("7").is_none());
    }
}
