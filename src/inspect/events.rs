//! The event system as `check` and `doctor` see it: tables, rows that stand still, subscriptions without a consumer.

use std::sync::Arc;

use crate::config::{Config, Finding, Severity};
use crate::dialect::Dialect;
use crate::events::{Consumer, Place, Subscription, Tables, outbox_counts, subscriptions};
use crate::home::Home;
use crate::observe::Metrics;
use crate::postgres::{Class, Error, Executor};

/// How old a pending row is that a relay would have taken long ago, in seconds.
const OLD: f64 = 300.0;

/// What is wrong with the configured handlers of events, without asking a database.
pub(super) fn handlers(config: &Config) -> Vec<Finding> {
    let mut handlers = config.events.handlers();
    match config.events.register(&mut handlers, &Metrics::new()) {
        Ok(()) => Vec::new(),
        Err(error) => vec![Finding {
            severity: Severity::Error,
            key: format!("events.handler[{}]", error.index),
            place: None,
            message: error.to_string(),
        }],
    }
}

/// What there is of the event system, and what the operator has to decide: (facts, findings).
pub(super) async fn look(
    executor: &impl Executor,
    config: &Config,
    dialect: &Dialect,
) -> Result<(Vec<String>, Vec<Finding>), Error> {
    let events = &config.events;
    let (mut facts, mut findings) = (Vec::new(), Vec::new());
    if !events.enabled {
        return Ok((facts, findings));
    }
    let mut say = |severity, key: &str, message: String| {
        findings.push(Finding {
            severity,
            key: key.to_owned(),
            place: None,
            message,
        });
    };
    let schema = &events.outbox_schema;
    let tables = Tables::find(executor, schema).await?;
    let missing = tables.missing();
    if !missing.is_empty() {
        let message = format!(
            "schema {schema:?} has no {}; `strawboss events install` creates what is missing",
            missing.join(", ")
        );
        say(Severity::Error, "events.outbox_schema", message);
        return Ok((facts, findings));
    }
    let home = Home::new(&config.database.own_schema);
    let place = Place::new(Arc::new(dialect.clone()), home, schema);
    let counts = match outbox_counts(executor, &place).await {
        Ok(counts) => counts,
        Err(error) if error.class() == Class::Permanent => {
            say(
                Severity::Error,
                "events.outbox_schema",
                format!("the outbox cannot be read: {error}"),
            );
            return Ok((facts, findings));
        }
        Err(error) => return Err(error),
    };
    for count in counts {
        facts.push(format!("outbox: {} {}", count.rows, count.status));
        let rows = count.rows;
        match count.status.as_str() {
            "processing" => say(
                Severity::Notice,
                "events.stuck",
                format!(
                    "{rows} rows are `processing`, which our relay never leaves behind: an older worker has them, or left them. They do \
                     not say whether a handler ran. events.stuck = \"requeue\" relays them once nobody has changed them for \
                     events.stuck_after, \"dead_letter\" sets them aside; `strawboss events outbox --status processing` shows them, \
                     and with --requeue, --complete or --dead-letter it is done at once"
                ),
            ),
            "pending" if count.oldest_seconds > OLD => say(
                Severity::Notice,
                "events",
                format!(
                    "{rows} rows are pending, the oldest for {:.0} s, and will be relayed. If the app handled them itself \
                     (EVENT_IMMEDIATE_PROCESSING in its web process leaves them pending), call them done first: `strawboss events \
                     outbox --status pending --older-than 5m --complete`",
                    count.oldest_seconds
                ),
            ),
            _ => {}
        }
    }
    for lonely in lonely(&subscriptions(executor, &place).await?) {
        if !is_configured(config, lonely.handler.as_deref().unwrap_or_default()) {
            say(Severity::Notice, "events.handler", without_consumer(lonely));
        }
    }
    if !tables.notifies() {
        facts.push(format!(
            "outbox: polled every {:?}; `strawboss events install --notify` has it wake the relay",
            events.polling_interval
        ));
    }
    Ok((facts, findings))
}

fn is_configured(config: &Config, handler_id: &str) -> bool {
    config.events.handlers.iter().any(|handler| {
        let default = || format!("{}-{}", handler.module, handler.event);
        handler.handler_id.clone().unwrap_or_else(default) == handler_id
    })
}

/// The handlers of ours that no worker runs.
pub(super) fn lonely(all: &[Subscription]) -> impl Iterator<Item = &Subscription> {
    all.iter()
        .filter(|one| one.consumer == Consumer::Missing && one.handler.is_some())
}

/// What is said of one.
pub(super) fn without_consumer(lonely: &Subscription) -> String {
    let handler = lonely.handler.as_deref().unwrap_or_default();
    format!(
        "the handler {handler:?} of {:?} is subscribed and no worker runs it: {} deliveries wait; configure it again, or end it with \
         `strawboss events unsubscribe --handler {handler}`",
        lonely.event, lonely.waiting
    )
}
