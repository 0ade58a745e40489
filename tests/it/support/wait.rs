//! Waiting for a fact instead of for a time.

use std::time::{Duration, Instant};

/// How long a fact may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks until the answer is yes; panics with `what` after [`PATIENCE`]. Returns how long it took.
pub async fn wait_for(what: &str, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}
