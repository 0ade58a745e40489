//! Queues: created, changed, counted; and what goes into several of them.

use super::{Backend, Done, Failure, json, name, nothing};
use crate::client;
use crate::enqueue::{self, QueueChanges, QueueOptions};
use crate::inspect::{Aggregate, StatsOptions};
use crate::queue::QueueName;
use crate::server::api::options::{options_of, seconds, whole};
use crate::server::api::routes::Method;
use crate::server::api::shape::Table;

impl Backend {
    pub(super) async fn create_queue(&self, table: &Table<'_>) -> Done {
        let nothing_said = Table::default();
        let given = table.table("options").unwrap_or(&nothing_said);
        let policy = given.text("policy").map(str::parse).transpose().map_err(Failure)?;
        let options = QueueOptions {
            policy: policy.unwrap_or_default(),
            retry_limit: whole(given, "retryLimit")?,
            retry_delay: seconds(given, "retryDelay")?,
            retry_backoff: given.flag("retryBackoff"),
            retry_delay_max: seconds(given, "retryDelayMax")?,
            expire: seconds(given, "expireInSeconds")?,
            retention: seconds(given, "retentionSeconds")?,
            delete_after: seconds(given, "deleteAfterSeconds")?,
            dead_letter: given.text("deadLetter").map(QueueName::new),
            partition: given.flag("partition") == Some(true),
            heartbeat: seconds(given, "heartbeatSeconds")?,
            notify: given.flag("notify") == Some(true),
            warning_queue_size: whole(given, "warningQueueSize")?,
        };
        self.client.create_queue(name(table), &options).await?;
        nothing()
    }

    pub(super) async fn update_queue(&self, table: &Table<'_>) -> Done {
        let nothing_said = Table::default();
        let given = table.table("options").unwrap_or(&nothing_said);
        let changes = QueueChanges {
            retry_limit: whole(given, "retryLimit")?,
            retry_delay: seconds(given, "retryDelay")?,
            retry_backoff: given.flag("retryBackoff"),
            retry_delay_max: seconds(given, "retryDelayMax")?.map(Some),
            expire: seconds(given, "expireInSeconds")?,
            retention: seconds(given, "retentionSeconds")?,
            delete_after: seconds(given, "deleteAfterSeconds")?,
            dead_letter: given.text("deadLetter").map(QueueName::new).map(Some),
            heartbeat: seconds(given, "heartbeatSeconds")?.map(Some),
            notify: given.flag("notify"),
            warning_queue_size: whole(given, "warningQueueSize")?,
        };
        match self.client.update_queue(name(table), &changes).await {
            // pg-boss changes the rows of that name, of which there are none.
            Err(client::Error::Enqueue(enqueue::Error::UnknownQueue(_))) => {}
            done => done?,
        }
        nothing()
    }

    pub(super) async fn delete_queue(&self, table: &Table<'_>) -> Done {
        self.client.delete_queue(name(table)).await?;
        nothing()
    }

    pub(super) async fn get_queues(&self, table: &Table<'_>) -> Done {
        json(&self.client.get_queues(table.texts("names")).await?)
    }

    pub(super) async fn get_queue_stats(&self, table: &Table<'_>) -> Done {
        let options = StatsOptions {
            from: table.moment("from"),
            to: table.moment("to"),
            limit: whole(table, "limit")?,
            bucket_seconds: whole(table, "bucketSeconds")?,
            max_data_points: whole(table, "maxDataPoints")?,
            aggregate: match table.text("aggregate") {
                Some("min") => Aggregate::Min,
                Some("avg") => Aggregate::Avg,
                _ => Aggregate::Max,
            },
            force: table.flag("force") == Some(true),
        };
        json(&self.client.get_queue_stats(name(table), &options).await?)
    }

    pub(super) async fn publish(&self, table: &Table<'_>) -> Done {
        let event = table.text("event").unwrap_or_default();
        let options = options_of(table)?;
        self.client.publish(event, &table.data("data"), &options).await?;
        nothing()
    }

    pub(super) async fn subscription(&self, method: Method, table: &Table<'_>) -> Done {
        let event = table.text("event").unwrap_or_default();
        match method {
            Method::Subscribe => self.client.subscribe(event, name(table)).await?,
            _ => self.client.unsubscribe(event, name(table)).await?,
        }
        nothing()
    }
}
