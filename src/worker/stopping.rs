//! The way out of a worker: claims end, runs finish or are handed back, verdicts are written, and all of it is told.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::runs::Counters;
use crate::job::Outcome;
use crate::lifecycle::{Lifecycle, Report};
use crate::observe::{Health, Tracer};
use crate::server::api::Api;

/// After the grace, how long verdicts and hand-backs may take to be written.
const FLUSH: Duration = Duration::from_secs(10);
/// What requests to the API are given, however short the grace for jobs is.
const LEAST: Duration = Duration::from_secs(2);
/// After that, how long tasks may take to end.
const END: Duration = Duration::from_secs(5);

/// A worker on its way out.
pub(super) struct Stopping {
    pub(super) grace: Duration,
    pub(super) health: Health,
    pub(super) tracer: Tracer,
    pub(super) life: Lifecycle,
    pub(super) claiming: TaskTracker,
    pub(super) runs: Counters,
    /// Answers until the jobs are done, for they may be calling it.
    pub(super) api: Option<Api>,
    pub(super) over: CancellationToken,
}

impl Stopping {
    /// No new claims; running jobs finish within the grace, the others are handed back; verdicts are written.
    pub(super) async fn drain(self) -> Report {
        let runs = &self.runs;
        tracing::info!(
            running = runs.in_flight(),
            grace = ?self.grace,
            "stopping: nothing more is claimed, what runs may finish"
        );
        self.health.drain();
        let before = runs.outcomes();
        self.life.soft.cancel();
        self.claiming.close();
        // A claim that is under way may still bring jobs home, to be handed back.
        let quiet = || async {
            self.claiming.wait().await;
            runs.idle().await;
        };
        if tokio::time::timeout(self.grace, quiet()).await.is_err() {
            tracing::warn!(
                left = runs.in_flight(),
                "the grace is over; what still runs is cut off and handed back"
            );
        }
        self.life.hard.cancel();
        let _ = tokio::time::timeout(FLUSH, quiet()).await;
        if let Some(api) = &self.api
            && tokio::time::timeout(self.grace.max(LEAST), api.close()).await.is_err()
        {
            tracing::warn!("the grace is over; requests to the API are left without an answer");
        }
        self.over.cancel();
        let hanging = self.life.ended(END).await;
        self.tracer.shutdown().await;
        let outcomes = runs.outcomes();
        let since = |outcome: &str| {
            let count = |counts: &BTreeMap<&str, u64>| counts.get(outcome).copied().unwrap_or_default();
            usize::try_from(count(&outcomes) - count(&before)).unwrap_or(usize::MAX)
        };
        let released = since(Outcome::Released.as_str());
        Report {
            drained: outcomes.keys().map(|outcome| since(outcome)).sum::<usize>() - released,
            released,
            unwritten: runs.unwritten(),
            hanging,
            died: self.life.died(),
            outcomes,
        }
    }
}
