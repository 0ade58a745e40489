//! Jobs are decided about by hand.

use serde::Serialize;
use serde_json::value::to_raw_value;

use super::{Client, Error};
use crate::desk::{self, Affected, Redrive, RedrivePreview, Targets};
use crate::postgres::Executor;
use crate::queue::QueueName;

impl<E: Executor> Client<E> {
    /// Completes fetched jobs; `&()` is no output. See [`desk::complete()`].
    pub async fn complete<D>(
        &self,
        queue: impl Into<QueueName>,
        jobs: impl Into<Targets>,
        output: &D,
    ) -> Result<Affected, Error>
    where
        D: Serialize + ?Sized,
    {
        self.completed(queue.into(), jobs.into(), output, false).await
    }

    /// Completes jobs, those too that nobody has fetched, and those that wait for parents.
    pub async fn complete_queued<D>(
        &self,
        queue: impl Into<QueueName>,
        jobs: impl Into<Targets>,
        output: &D,
    ) -> Result<Affected, Error>
    where
        D: Serialize + ?Sized,
    {
        self.completed(queue.into(), jobs.into(), output, true).await
    }

    async fn completed<D>(&self, queue: QueueName, jobs: Targets, output: &D, queued: bool) -> Result<Affected, Error>
    where
        D: Serialize + ?Sized,
    {
        let output = to_raw_value(output)?;
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(desk::complete(&self.road, &dialect, &queue, jobs, Some(&output), queued).await)
    }

    /// Fails jobs that are not finished; `&()` is no output. See [`desk::fail()`].
    pub async fn fail<D>(
        &self,
        queue: impl Into<QueueName>,
        jobs: impl Into<Targets>,
        output: &D,
    ) -> Result<Affected, Error>
    where
        D: Serialize + ?Sized,
    {
        let (queue, jobs, output) = (queue.into(), jobs.into(), to_raw_value(output)?);
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(desk::fail(&self.road, &dialect, &queue, jobs, Some(&output)).await)
    }

    /// Renews the leases of fetched jobs. See [`desk::touch()`].
    pub async fn touch(&self, queue: impl Into<QueueName>, jobs: impl Into<Targets>) -> Result<Affected, Error> {
        let (queue, jobs) = (queue.into(), jobs.into());
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue.noted(desk::touch(&self.road, &dialect, &queue, jobs).await)
    }

    /// Cancels jobs that are not finished. See [`desk::cancel()`].
    pub async fn cancel(&self, queue: impl Into<QueueName>, jobs: impl Into<Targets>) -> Result<Affected, Error> {
        let (queue, jobs) = (queue.into(), jobs.into());
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(desk::cancel(&self.road, &dialect, &queue, jobs).await)
    }

    /// Puts cancelled jobs back into the queue. See [`desk::resume()`].
    pub async fn resume(&self, queue: impl Into<QueueName>, jobs: impl Into<Targets>) -> Result<Affected, Error> {
        let (queue, jobs) = (queue.into(), jobs.into());
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(desk::resume(&self.road, &dialect, &queue, jobs, self.counts).await)
    }

    /// Gives failed jobs one more retry. See [`desk::retry()`].
    pub async fn retry(&self, queue: impl Into<QueueName>, jobs: impl Into<Targets>) -> Result<Affected, Error> {
        let (queue, jobs) = (queue.into(), jobs.into());
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue.noted(desk::retry(&self.road, &dialect, &queue, jobs).await)
    }

    /// Makes jobs what they were when they were sent. See [`desk::restore()`].
    pub async fn restore(&self, queue: impl Into<QueueName>, jobs: impl Into<Targets>) -> Result<(), Error> {
        let (queue, jobs) = (queue.into(), jobs.into());
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(desk::restore(&self.road, &dialect, &queue, jobs).await)
    }

    /// Deletes jobs, whatever their state. See [`desk::delete_job()`].
    pub async fn delete_job(&self, queue: impl Into<QueueName>, jobs: impl Into<Targets>) -> Result<Affected, Error> {
        let (queue, jobs) = (queue.into(), jobs.into());
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(desk::delete_job(&self.road, &dialect, &queue, jobs, self.counts).await)
    }

    /// Deletes the jobs that nobody has fetched; how many. See [`desk::delete_queued_jobs()`].
    pub async fn delete_queued_jobs(&self, queue: impl Into<QueueName>) -> Result<u64, Error> {
        let queue = queue.into();
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(desk::delete_queued_jobs(&self.road, &dialect, &queue, self.counts).await)
    }

    /// Deletes the jobs that are finished; how many. See [`desk::delete_stored_jobs()`].
    pub async fn delete_stored_jobs(&self, queue: impl Into<QueueName>) -> Result<u64, Error> {
        let queue = queue.into();
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(desk::delete_stored_jobs(&self.road, &dialect, &queue, self.counts).await)
    }

    /// Deletes all jobs of the queue, or of all queues; how many, where they are counted. See [`desk::delete_all_jobs()`].
    pub async fn delete_all_jobs(&self, queue: Option<QueueName>) -> Result<Option<u64>, Error> {
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(desk::delete_all_jobs(&self.road, &dialect, queue.as_ref(), self.counts).await)
    }

    /// Moves dead letters back; how many. See [`desk::redrive()`].
    pub async fn redrive(&self, queue: impl Into<QueueName>, wanted: &Redrive) -> Result<u64, Error> {
        let queue = queue.into();
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(desk::redrive(&self.road, &dialect, &queue, wanted).await)
    }

    /// What a redrive would move where. See [`desk::preview_redrive()`].
    pub async fn preview_redrive(
        &self,
        queue: impl Into<QueueName>,
        wanted: &Redrive,
    ) -> Result<RedrivePreview, Error> {
        let queue = queue.into();
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(desk::preview_redrive(&self.road, &dialect, &queue, wanted).await)
    }
}
