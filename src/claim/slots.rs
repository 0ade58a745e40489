//! Places for jobs in flight: so many in the process, so many of each queue.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of one queue, within those of the process.
#[derive(Debug, Clone)]
pub struct Slots {
    process: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    limit: usize,
}

/// A place taken by one job; free again when dropped.
#[derive(Debug)]
pub struct Slot {
    _process: OwnedSemaphorePermit,
    _queue: OwnedSemaphorePermit,
}

impl Slots {
    /// `limit` places of a queue, each of which also needs one of `process`.
    pub fn new(process: Arc<Semaphore>, limit: usize) -> Slots {
        Slots {
            process,
            queue: Arc::new(Semaphore::new(limit)),
            limit,
        }
    }

    /// How many jobs of the queue may be in flight here.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// How many are.
    pub fn taken(&self) -> usize {
        self.limit - self.queue.available_permits()
    }

    /// Waits for one free place, then takes as many as are free, up to `most`.
    pub async fn take(&self, most: usize) -> Vec<Slot> {
        let queue = Arc::clone(&self.queue)
            .acquire_owned()
            .await
            .expect("the places are never closed");
        let process = Arc::clone(&self.process)
            .acquire_owned()
            .await
            .expect("the places are never closed");
        let mut slots = vec![Slot {
            _process: process,
            _queue: queue,
        }];
        while slots.len() < most {
            let (Ok(queue), Ok(process)) = (
                Arc::clone(&self.queue).try_acquire_owned(),
                Arc::clone(&self.process).try_acquire_owned(),
            ) else {
                break;
            };
            slots.push(Slot {
                _process: process,
                _queue: queue,
            });
        }
        slots
    }
}
