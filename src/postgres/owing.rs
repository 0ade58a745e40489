//! A connection that owes an answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use deadpool::managed::Object;
use tokio::runtime::Handle;
use tokio_postgres::CancelToken;

use super::pool::{Sessions, Shared};

/// How long the request to cancel a statement may take.
const CANCEL: Duration = Duration::from_secs(5);

/// Stands for an answer that is waited for. Dropped without it, because whoever asked has gone, it leaves the connection
/// unfit: the next one would have to wait for that answer first. The statement is cancelled, for it may hold locks that
/// whoever tries again runs into; and connections that have been idle all the while may be as dead as this one.
pub(super) struct Owing<'a> {
    unfit: &'a AtomicBool,
    asked: Asked<'a>,
    shared: &'a Shared,
    since: Instant,
}

/// Where the answer is to come from.
#[derive(Clone, Copy)]
pub(super) enum Asked<'a> {
    /// A statement of its own, on this session.
    Alone(&'a Object<Sessions>),
    /// One of a transaction, which has the session for itself.
    Within(&'a CancelToken),
}

impl<'a> Owing<'a> {
    pub(super) fn new(unfit: &'a AtomicBool, asked: Asked<'a>, shared: &'a Shared) -> Owing<'a> {
        Owing {
            unfit,
            asked,
            shared,
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
        let cancel = match self.asked {
            Asked::Alone(session) => {
                if let Some(pool) = Object::pool(session) {
                    let since = self.since;
                    drop(pool.retain(|_, metrics| metrics.last_used() < since.elapsed()));
                }
                session.client.cancel_token()
            }
            Asked::Within(cancel) => cancel.clone(),
        };
        if let (Ok(runtime), Ok(tls)) = (Handle::try_current(), self.shared.connector()) {
            runtime.spawn(async move {
                if let Ok(Err(error)) = tokio::time::timeout(CANCEL, cancel.cancel_query(tls)).await {
                    tracing::debug!(%error, "a statement could not be cancelled");
                }
            });
        }
    }
}
