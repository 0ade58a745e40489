//! Jobs enter, and the queues they enter.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::to_raw_value;
use uuid::Uuid;

use super::gather::may_gather;
use super::{Client, Error};
use crate::desk;
use crate::enqueue::{
    self, Creation, FlowJob, JobChanges, JobInsert, QueueChanges, QueueOptions, SendOptions, StartAfter, Updated,
    Upserted, Waiting,
};
use crate::postgres::Executor;
use crate::queue::QueueName;

impl<E: Executor> Client<E> {
    /// Sends a job; `None` where a policy, a throttle or a taken id keeps it out. See [`enqueue::send()`].
    pub async fn send<D>(
        &self,
        queue: impl Into<QueueName>,
        data: &D,
        options: &SendOptions,
    ) -> Result<Option<Uuid>, Error>
    where
        D: Serialize + ?Sized,
    {
        let (queue, data) = (queue.into(), to_raw_value(data)?);
        let producing = self.producing("send", Some(queue.as_str()), 1);
        let sent = async {
            let dialect = self.tongue.dialect(&self.road).await?;
            let options = producing.options(options, &dialect);
            match &self.gatherer {
                Some(gatherer) if may_gather(&options) => gatherer.send(queue, data, &options).await,
                _ => self
                    .tongue
                    .noted(enqueue::send(&self.road, &dialect, &queue, Some(&data), &options).await),
            }
        };
        let sent = sent.await;
        producing.ended(sent, |id| *id)
    }

    /// Sends a job that may run from then on.
    pub async fn send_after<D>(
        &self,
        queue: impl Into<QueueName>,
        data: &D,
        options: &SendOptions,
        after: StartAfter,
    ) -> Result<Option<Uuid>, Error>
    where
        D: Serialize + ?Sized,
    {
        let options = SendOptions {
            start_after: Some(after),
            ..options.clone()
        };
        self.send(queue, data, &options).await
    }

    /// Sends a job unless one of the key was sent in this slot of so many seconds already.
    pub async fn send_throttled<D>(
        &self,
        queue: impl Into<QueueName>,
        data: &D,
        options: &SendOptions,
        slot: Duration,
        key: Option<&str>,
    ) -> Result<Option<Uuid>, Error>
    where
        D: Serialize + ?Sized,
    {
        self.send(queue, data, &throttled(options, slot, key, false)).await
    }

    /// As [`send_throttled`](Client::send_throttled), but a job that finds the slot taken waits for the next one, if that is free.
    pub async fn send_debounced<D>(
        &self,
        queue: impl Into<QueueName>,
        data: &D,
        options: &SendOptions,
        slot: Duration,
        key: Option<&str>,
    ) -> Result<Option<Uuid>, Error>
    where
        D: Serialize + ?Sized,
    {
        self.send(queue, data, &throttled(options, slot, key, true)).await
    }

    /// Inserts many jobs; the ids of those that went in. See [`enqueue::insert()`].
    pub async fn insert(&self, queue: impl Into<QueueName>, jobs: &[JobInsert]) -> Result<Vec<Uuid>, Error> {
        let queue = queue.into();
        let producing = self.producing("insert", Some(queue.as_str()), jobs.len());
        let inserted = async {
            let dialect = self.tongue.dialect(&self.road).await?;
            let jobs = producing.jobs(jobs, &dialect);
            self.tongue
                .noted(enqueue::insert(&self.road, &dialect, &queue, &jobs).await)
        };
        let inserted = inserted.await;
        producing.ended(inserted, |_| None)
    }

    /// Changes jobs that wait. See [`enqueue::update()`].
    pub async fn update(
        &self,
        queue: impl Into<QueueName>,
        waiting: &Waiting,
        changes: &JobChanges,
    ) -> Result<Updated, Error> {
        let queue = queue.into();
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(enqueue::update(&self.road, &dialect, &queue, waiting, changes).await)
    }

    /// Changes a job that waits, or inserts it. See [`enqueue::upsert()`].
    pub async fn upsert(
        &self,
        queue: impl Into<QueueName>,
        waiting: &Waiting,
        changes: &JobChanges,
    ) -> Result<Upserted, Error> {
        let queue = queue.into();
        let producing = self.producing("upsert", Some(queue.as_str()), 1);
        let upserted = async {
            let dialect = self.tongue.dialect(&self.road).await?;
            let changes = producing.changes(changes, &dialect);
            self.tongue
                .noted(enqueue::upsert(&self.road, &dialect, &queue, waiting, &changes).await)
        };
        let upserted = upserted.await;
        producing.ended(upserted, |done: &Upserted| match done.jobs.as_slice() {
            [job] if done.inserted == 1 => Some(*job),
            _ => None,
        })
    }

    /// Sends jobs of which some wait for others, all or none; the id of each by its reference. See [`enqueue::flow()`].
    pub async fn flow(&self, jobs: &[FlowJob]) -> Result<BTreeMap<String, Uuid>, Error> {
        let destination = jobs.first().map(|job| job.queue.as_str());
        let destination = destination.filter(|name| jobs.iter().all(|job| job.queue.as_str() == *name));
        let producing = self.producing("flow", destination, jobs.len());
        let sent = async {
            let dialect = self.tongue.dialect(&self.road).await?;
            let jobs = producing.flow(jobs, &dialect);
            self.tongue.noted(enqueue::flow(&self.road, &dialect, &jobs).await)
        };
        let sent = sent.await;
        producing.ended(sent, |ids: &BTreeMap<String, Uuid>| {
            ids.values().next().copied().filter(|_| ids.len() == 1)
        })
    }

    /// Sends a job to every queue that subscribed to the event; how many went in. See [`enqueue::publish()`].
    pub async fn publish<D>(&self, event: &str, data: &D, options: &SendOptions) -> Result<usize, Error>
    where
        D: Serialize + ?Sized,
    {
        let data = to_raw_value(data)?;
        let producing = self.producing("publish", Some(event), 0);
        let published = async {
            let dialect = self.tongue.dialect(&self.road).await?;
            let options = producing.options(options, &dialect);
            self.tongue
                .noted(enqueue::publish(&self.road, &dialect, event, Some(&data), &options).await)
        };
        let published = published.await;
        producing.ended(published, |_| None)
    }

    /// Has whatever is published under the event sent to the queue.
    pub async fn subscribe(&self, event: &str, queue: impl Into<QueueName>) -> Result<(), Error> {
        let queue = queue.into();
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(enqueue::subscribe(&self.road, &dialect, event, &queue).await)
    }

    /// Ends a subscription, if there was one.
    pub async fn unsubscribe(&self, event: &str, queue: impl Into<QueueName>) -> Result<(), Error> {
        let queue = queue.into();
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(enqueue::unsubscribe(&self.road, &dialect, event, &queue).await)
    }

    /// Creates a queue, unless it is there. See [`enqueue::create_queue()`].
    pub async fn create_queue(&self, queue: impl Into<QueueName>, options: &QueueOptions) -> Result<Creation, Error> {
        let queue = queue.into();
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(enqueue::create_queue(&self.road, &dialect, &queue, options).await)
    }

    /// Changes a queue. See [`enqueue::update_queue()`].
    pub async fn update_queue(&self, queue: impl Into<QueueName>, changes: &QueueChanges) -> Result<(), Error> {
        let queue = queue.into();
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(enqueue::update_queue(&self.road, &dialect, &queue, changes).await)
    }

    /// Deletes a queue with its jobs. See [`desk::delete_queue()`].
    pub async fn delete_queue(&self, queue: impl Into<QueueName>) -> Result<(), Error> {
        let queue = queue.into();
        let dialect = self.tongue.dialect(&self.road).await?;
        self.tongue
            .noted(desk::delete_queue(&self.road, &dialect, &queue).await)
    }
}

fn throttled(options: &SendOptions, slot: Duration, key: Option<&str>, next: bool) -> SendOptions {
    SendOptions {
        singleton_seconds: Some(slot),
        singleton_next_slot: next,
        singleton_key: key.map(str::to_owned),
        ..options.clone()
    }
}
