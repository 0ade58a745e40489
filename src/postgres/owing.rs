//! A connection that owes an answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use deadpool::managed::Object;
use tokio::runtime::Handle;

use super::pool::{Sessions, Shared};

/// How long the request to cancel a statement may take.
const CANCEL: Duration = Duration::from_secs(5);

/// Stands for an answer that is waited for. Dropped without it, because whoever asked has gone, it leaves the connection
/// unfit: the next one would have to wait for that answer first. The statement is cancelled, for it may hold locks that
/// whoever tries again runs into; and connections that have been idle all the while may be as dead as this one.
pub(super) struct Owing<'a> {
    unfit: &'a AtomicBool,
    pooled: Option<(&'a Object<Sessions>, &'a Shared)>,
    since: Instant,
}

impl<'a> Owing<'a> {
    pub(super) fn new(unfit: &'a AtomicBool, pooled: Option<(&'a Object<Sessions>, &'a Shared)>) -> Owing<'a> {
        Owing {
            unfit,
            pooled,
            since: Instant::now(),
        }
    }

    pub(super) fn answered(self) {
        std::mem::forget(self);
    }
}

impl Drop for Owing<'_> {
    fn drop(&mut self) {
        self.unfit.store(true, Ordering::Relaxed);
        let Some((session, shared)) = self.pooled else { return };
        if let Some(pool) = Object::pool(session) {
            let since = self.since;
            drop(pool.retain(|_, metrics| metrics.last_used() < since.elapsed()));
        }
        if let (Ok(runtime), Ok(tls)) = (Handle::try_current(), shared.connector()) {
            let cancel = session.client.cancel_token();
            runtime.spawn(async move {
                if let Ok(Err(error)) = tokio::time::timeout(CANCEL, cancel.cancel_query(tls)).await {
                    tracing::debug!(%error, "a statement could not be cancelled");
                }
            });
        }
    }
}
