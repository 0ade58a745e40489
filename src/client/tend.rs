//! Schedules; and what a supervisor does, done once and now, on connections of its own, for it is more than one transaction.

use super::{Client, Error};
use crate::postgres::Executor;
use crate::queue::QueueName;
use crate::schedule::{self, Schedule, Wanted, Zones};
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

impl<E: Executor> Client<E> {
    /// Makes a schedule, or changes the one of that name and key. See [`schedule::set()`].
    pub async fn schedule(&self, queue: impl Into<QueueName>, wanted: &Wanted) -> Result<(), Error> {
        let queue = queue.into();
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(schedule::set(&self.road, &dialect, &Zones::bundled(), &queue, wanted).await)
    }

    /// Removes the schedule of that queue and key, which is empty unless it was given one; whether there was one.
    pub async fn unschedule(&self, queue: impl Into<QueueName>, key: &str) -> Result<bool, Error> {
        let queue = queue.into();
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(schedule::remove(&self.road, &dialect, &queue, key).await)
    }

    /// The schedules of the queue, or all of them, by queue and key.
    pub async fn get_schedules(&self, queue: Option<&str>) -> Result<Vec<Schedule>, Error> {
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue.noted(schedule::list(&self.road, &dialect, queue).await)
    }
}
