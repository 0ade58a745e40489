//! Figures that are dear to read are read when somebody asks for the metrics, and for all who ask at that time at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

/// How long a scrape waits for figures to be read; it has those of the last reading if that was not enough.
const PATIENCE: Duration = Duration::from_secs(2);
/// Figures that are younger than this are not read again.
const YOUNG: Duration = Duration::from_secs(5);

/// Asks for a reading; cheap to clone.
#[derive(Clone)]
pub struct Survey {
    ring: Arc<Notify>,
    read: watch::Receiver<Option<Instant>>,
}

/// The other end, for whoever reads.
pub struct Surveyed {
    ring: Arc<Notify>,
    read: watch::Sender<Option<Instant>>,
}

impl Survey {
    /// Both ends.
    pub fn new() -> (Survey, Surveyed) {
        let ring = Arc::new(Notify::new());
        let (sender, read) = watch::channel(None);
        let asked = Surveyed {
            ring: Arc::clone(&ring),
            read: sender,
        };
        (Survey { ring, read }, asked)
    }

    /// Comes back when the figures are at most five seconds old, or after two seconds, or when nobody reads any more.
    pub async fn fresh(&self) {
        let mut read = self.read.clone();
        if read.borrow_and_update().is_some_and(|at| at.elapsed() < YOUNG) {
            return;
        }
        self.ring.notify_one();
        let _ = tokio::time::timeout(PATIENCE, read.changed()).await;
    }
}

impl Surveyed {
    /// Waits until somebody asks.
    pub async fn asked(&self) {
        self.ring.notified().await;
    }

    /// Lets all who ask go on: the figures have been read, or could not be.
    pub fn answer(&self, read: bool) {
        self.read.send_modify(|at| {
            if read {
                *at = Some(Instant::now());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_who_ask_at_one_time_share_a_reading_and_the_next_does_without() {
        let (survey, surveyed) = Survey::new();
        let reader = tokio::spawn(async move {
            let mut readings = 0;
            while tokio::time::timeout(Duration::from_millis(300), surveyed.asked())
                .await
                .is_ok()
            {
                readings += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
                surveyed.answer(true);
            }
            readings
        });
        let asking = (0..20).map(|_| survey.fresh());
        futures_util::future::join_all(asking).await;
        survey.fresh().await;
        // The first ring is heard before the others have rung; theirs are one.
        assert!((1..=2).contains(&reader.await.expect("it ends")));
    }

    #[tokio::test]
    async fn a_scrape_does_not_wait_for_ever() {
        let (survey, _surveyed) = Survey::new();
        let waiting = tokio::time::timeout(PATIENCE * 10, survey.fresh());
        waiting.await.expect("it goes on without");
    }
}
