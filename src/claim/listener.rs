//! Hears NOTIFY for the queues that send it, and wakes their consumers; before, finds out whether a pooler is in the way.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{Demand, Served};
use crate::observe::{Metrics, Wakeup};
use crate::postgres::{Database, ListenEvent, Pooler, channel, listen};
use crate::schema::spelling;

/// How long until a database that did not say whether a pooler stands before it is asked again.
const RETRY: Duration = Duration::from_secs(2);
/// Notifications that may wait to be heard; beyond, one look at everything stands for all of them.
const HEARD: usize = 1024;

/// The servant that listens.
pub struct Listener {
    /// Where to listen; by a connection beside the pool.
    pub database: Database,
    /// The schema, as configured.
    pub schema: String,
    /// Whether to listen at all; without, it only finds out about a pooler.
    pub wanted: bool,
    /// The served queues, and how their consumers are woken.
    pub queues: Vec<(watch::Receiver<Option<Served>>, Demand)>,
    /// Where it is counted.
    pub metrics: Metrics,
}

impl Listener {
    /// Listens until told to stop, from when on the first served queue sends notifications.
    pub async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = self.work(&stop) => {}
            () = stop.cancelled() => {}
        }
        self.metrics.listen_connected.set(0);
    }

    async fn work(&mut self, stop: &CancellationToken) {
        while let Err(error) = self.database.detect().await {
            tracing::debug!(%error, "not known yet whether a pooler stands before the database");
            tokio::time::sleep(RETRY).await;
        }
        if !self.wanted {
            return;
        }
        self.needed().await;
        if self.database.pooler() == Pooler::Transaction {
            tracing::warn!("a pooler in transaction mode stands before the database: LISTEN is off, queues are polled");
            return;
        }
        let (sender, mut events) = mpsc::channel(HEARD);
        let channel = channel(&spelling(&self.schema));
        let listening = listen(self.database.settings().clone(), channel, sender, stop.clone());
        tokio::pin!(listening);
        let demands: HashMap<String, Demand> = self
            .queues
            .iter()
            .map(|(_, demand)| (demand.queue().to_string(), demand.clone()))
            .collect();
        loop {
            tokio::select! {
                () = &mut listening => return,
                event = events.recv() => match event {
                    Some(ListenEvent::Notified(queue)) => {
                        if let Some(demand) = demands.get(&queue) {
                            demand.wake(Wakeup::Notify);
                        }
                    }
                    Some(ListenEvent::Connected) => {
                        self.metrics.listen_connected.set(1);
                        tracing::info!("listening for NOTIFY");
                        for demand in demands.values() {
                            demand.wake(Wakeup::Reconnect);
                        }
                    }
                    Some(ListenEvent::Disconnected(reason)) => {
                        self.metrics.listen_connected.set(0);
                        tracing::warn!(reason, "the LISTEN connection is lost; queues are polled until it is back");
                    }
                    None => return,
                },
            }
        }
    }

    /// Waits until a served queue sends notifications.
    async fn needed(&mut self) {
        let waits: Vec<_> = self
            .queues
            .iter_mut()
            .map(|(served, _)| {
                Box::pin(async move {
                    let notifies = |served: &Option<Served>| served.as_ref().is_some_and(|served| served.queue.notify);
                    if served.wait_for(notifies).await.is_err() {
                        std::future::pending::<()>().await;
                    }
                })
            })
            .collect();
        if waits.is_empty() {
            std::future::pending::<()>().await;
        }
        futures_util::future::select_all(waits).await;
    }
}
