//! What is there.

use uuid::Uuid;

use super::{Client, Error, names};
use crate::inspect::{self, BamStatus, FindJobs, JobRecord, JobRef, Page, QueueRecord, QueueStats, StatsOptions};
use crate::job::RawJson;
use crate::postgres::Executor;
use crate::queue::QueueName;

impl<E: Executor> Client<E> {
    /// The jobs that match, oldest first. See [`inspect::find_jobs()`].
    pub async fn find_jobs(&self, queue: impl Into<QueueName>, wanted: &FindJobs) -> Result<Vec<JobRecord>, Error> {
        let queue = queue.into();
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(inspect::find_jobs(&self.road, &dialect, &queue, wanted).await)
    }

    /// One job, if it is there.
    pub async fn get_job_by_id(&self, queue: impl Into<QueueName>, id: Uuid) -> Result<Option<JobRecord>, Error> {
        let queue = queue.into();
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(inspect::job_by_id(&self.road, &dialect, &queue, id).await)
    }

    /// One job, if it is there or, on schema 24, in the archive.
    pub async fn get_job_by_id_or_archived(
        &self,
        queue: impl Into<QueueName>,
        id: Uuid,
    ) -> Result<Option<JobRecord>, Error> {
        let queue = queue.into();
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(inspect::job_by_id_or_archived(&self.road, &dialect, &queue, id).await)
    }

    /// One queue, if it is there.
    pub async fn get_queue(&self, queue: impl Into<QueueName>) -> Result<Option<QueueRecord>, Error> {
        Ok(self.get_queues(Some([queue])).await?.pop())
    }

    /// The queues named that are there, or all of them, by name. See [`inspect::queue_records()`].
    pub async fn get_queues<Q: Into<QueueName>>(
        &self,
        queues: Option<impl IntoIterator<Item = Q>>,
    ) -> Result<Vec<QueueRecord>, Error> {
        let queues = queues.map(names);
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(inspect::queue_records(&self.road, &dialect, queues.as_deref()).await)
    }

    /// A queue's statistics, newest first. See [`inspect::queue_stats()`].
    pub async fn get_queue_stats(
        &self,
        queue: impl Into<QueueName>,
        options: &StatsOptions,
    ) -> Result<Vec<QueueStats>, Error> {
        let queue = queue.into();
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(inspect::queue_stats(&self.road, &dialect, &queue, self.history, options).await)
    }

    /// The keys that a failed job blocks, in a queue of the policy `key_strict_fifo`: the first thousand, or so many after
    /// that one.
    pub async fn get_blocked_keys(
        &self,
        queue: impl Into<QueueName>,
        limit: Option<u32>,
        after: Option<&str>,
    ) -> Result<Vec<String>, Error> {
        let queue = queue.into();
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(inspect::blocked_keys(&self.road, &dialect, &queue, limit, after).await)
    }

    /// The jobs that the job waits for.
    pub async fn get_dependencies(
        &self,
        queue: impl Into<QueueName>,
        id: Uuid,
        page: &Page,
    ) -> Result<Vec<JobRef>, Error> {
        let queue = queue.into();
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(inspect::dependencies(&self.road, &dialect, &queue, id, page).await)
    }

    /// The jobs that wait for the job.
    pub async fn get_dependents(
        &self,
        queue: impl Into<QueueName>,
        id: Uuid,
        page: &Page,
    ) -> Result<Vec<JobRef>, Error> {
        let queue = queue.into();
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(inspect::dependents(&self.road, &dialect, &queue, id, page).await)
    }

    /// Whether a pg-boss is in the schema.
    pub async fn is_installed(&self) -> Result<bool, Error> {
        Ok(inspect::is_installed(&self.road, self.tongue.schema()).await?)
    }

    /// The version of the schema; `None` where no pg-boss is.
    pub async fn schema_version(&self) -> Result<Option<i32>, Error> {
        Ok(inspect::schema_version(&self.road, self.tongue.schema()).await?)
    }

    /// pg-boss's asynchronous migrations by state.
    pub async fn get_bam_status(&self) -> Result<Vec<BamStatus>, Error> {
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue.noted(inspect::bam_status(&self.road, &dialect).await)
    }

    /// The processes that have registered themselves, as the JSON pg-boss gives of them. See [`inspect::instances()`].
    pub async fn get_instances(&self) -> Result<Vec<RawJson>, Error> {
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue.noted(inspect::instances(&self.road, &dialect).await)
    }
}
