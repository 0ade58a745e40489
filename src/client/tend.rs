//! What a supervisor does, done once and now. Each takes connections of its own, for it is more than one transaction.

use super::{Client, Error};
use crate::queue::QueueName;
use crate::upkeep::{self, Released, Supervised};

impl Client {
    /// Supervises the queue, or all of them, once: whatever is due is claimed and done. See [`upkeep::supervise()`].
    pub async fn supervise(&self, queue: Option<QueueName>) -> Result<Supervised, Error> {
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(upkeep::supervise(&self.road, &dialect, &self.upkeep, queue.as_ref()).await)
    }

    /// Lets the children of finished parents go now. See [`upkeep::resolve_flow()`].
    pub async fn resolve_flow(&self) -> Result<Released, Error> {
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue.noted(upkeep::resolve_flow(&self.road, &dialect).await)
    }
}
