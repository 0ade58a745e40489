//! `strawboss events subscriptions|subscribe|unsubscribe`

use clap::Args;

use super::super::page::Align;
use super::super::{Done, Error, Page};
use super::Options;
use crate::enqueue;
use crate::events::{Consumer, queue_of, subscribe, subscriptions, unsubscribe};
use crate::queue::QueueName;

/// List who subscribes to which event, and whether somebody consumes it.
///
/// `missing` is a handler of ours that no worker has run for two minutes: it was taken out of the configuration, or its
/// worker does not run. Exit code 1 if there is one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  strawboss events subscriptions\n  \
    strawboss events subscriptions --json | jq -r '.[] | select(.consumer == \"missing\") | .handler'")]
pub(super) struct Subscriptions {
    /// Print a JSON array instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: Options,
}

/// Subscribe a queue to an event, as pg-boss's own `subscribe` does; the queue is created if it is not there.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  strawboss events subscribe payment:order.completed stock")]
pub(super) struct Subscribe {
    /// The event's name
    event: String,
    /// The queue
    queue: String,
    #[command(flatten)]
    options: Options,
}

/// End the subscription of a queue or a handler; deliveries that were made stay in the queue.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    strawboss events unsubscribe payment:order.completed stock\n  \
    strawboss events unsubscribe --handler inventory-order-completed")]
pub(super) struct Unsubscribe {
    /// The event's name; with --handler, all events where it is left out
    #[arg(required_unless_present = "handler")]
    event: Option<String>,
    /// The queue
    #[arg(required_unless_present = "handler", conflicts_with = "handler")]
    queue: Option<String>,
    /// The handler, by its id
    #[arg(long, value_name = "ID")]
    handler: Option<String>,
    #[command(flatten)]
    options: Options,
}

impl Subscriptions {
    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let scene = self.options.scene().await?;
        let found = subscriptions(&scene.client, &scene.place)
            .await
            .map_err(|error| scene.refused(error))?;
        if self.json {
            page.json(&found)?;
        } else {
            if found.is_empty() {
                page.line("nobody subscribes to any event")?;
            }
            let heading = [
                ("EVENT", Align::Left),
                ("QUEUE", Align::Left),
                ("HANDLER", Align::Left),
                ("CONSUMER", Align::Left),
                ("WAITING", Align::Right),
                ("OLDEST, SECONDS", Align::Right),
            ];
            let cells: Vec<_> = found
                .iter()
                .map(|one| {
                    vec![
                        one.event.clone(),
                        one.queue.clone(),
                        one.handler.clone().unwrap_or_default(),
                        one.consumer.as_str().to_owned(),
                        one.waiting.to_string(),
                        format!("{:.0}", one.oldest_seconds),
                    ]
                })
                .collect();
            page.table(&heading, &cells)?;
        }
        let missing = found.iter().filter(|one| one.consumer == Consumer::Missing);
        let mut done = Done::Well;
        for handler in missing.filter_map(|one| one.handler.as_ref()) {
            eprintln!(
                "no worker runs {handler}; configure it again, or end it: `strawboss events unsubscribe --handler {handler}`"
            );
            done = Done::Findings;
        }
        Ok(done)
    }
}

impl Subscribe {
    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let scene = self.options.scene().await?;
        let queue = QueueName::new(self.queue.as_str());
        let created = subscribe(&scene.client, &scene.place, &self.event, &queue).await;
        let created = created.map_err(|error| match error {
            enqueue::Error::Database(source) => scene.refused(source),
            error => Error::Refused {
                what: error.to_string(),
                next: None,
            },
        })?;
        let with = if created { ", a new queue" } else { "" };
        page.line(&format!("{} goes to {queue}{with}", self.event))?;
        Ok(Done::Well)
    }
}

impl Unsubscribe {
    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let mut scene = self.options.scene().await?;
        scene.prepare().await?;
        let queue = match (&self.handler, &self.queue) {
            (Some(handler), _) => queue_of(handler).to_string(),
            (None, queue) => queue.clone().unwrap_or_default(),
        };
        let ended = unsubscribe(&scene.client, &scene.place, self.event.as_deref(), &queue)
            .await
            .map_err(|error| scene.refused(error))?;
        if ended.is_empty() {
            return Err(Error::Refused {
                what: format!("queue {queue:?} is not subscribed"),
                next: Some("`strawboss events subscriptions` shows those that are".to_owned()),
            });
        }
        for event in ended {
            page.line(&format!("{event} goes to {queue} no more"))?;
        }
        Ok(Done::Well)
    }
}
