//! `strawboss events emit|query`

use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::super::options::time;
use super::super::{Done, Error, Page};
use super::{Options, Scene};
use crate::events::{EmitError, EmitOptions, QueryError};
use crate::job::RawJson;

/// Emit an event into the outbox and print its id; with `-`, one event per JSON line of standard input.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    strawboss events emit payment:order.completed '{\"orderId\": \"o-1\"}'\n  \
    strawboss events emit payment:order.completed '{\"orderId\": \"o-1\"}' --immediate\n  \
    jq -c '.[]' orders.json | strawboss events emit payment:order.completed -")]
pub(super) struct Emit {
    /// The event's name
    event: String,
    /// The payload as JSON; `-` reads one payload per line from standard input
    #[arg(value_name = "JSON|-", default_value = "null")]
    data: String,
    /// The module that emits it
    #[arg(long, value_name = "NAME", default_value = "strawboss")]
    source_module: String,
    /// What ties it to others [default: a new UUID]
    #[arg(long, value_name = "TEXT")]
    correlation_id: Option<String>,
    /// Deliver it at once, in the transaction that emits; `--immediate=false` where the configuration would
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    immediate: Option<bool>,
    /// Deliver it at once and leave no row in the outbox
    #[arg(long)]
    bypass_outbox: bool,
    /// Print a JSON object per event instead of its id
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: Options,
}

/// Ask the one handler of an event and print its reply.
///
/// Exit code 1 where the handler failed, or nobody answered in time: the question is taken back then.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  strawboss events query price:quote '{\"sku\": \"a-1\"}' --timeout 2s")]
pub(super) struct Query {
    /// The event's name
    event: String,
    /// The question as JSON
    #[arg(value_name = "JSON", default_value = "null")]
    data: String,
    /// How long the reply is waited for
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    timeout: Duration,
    /// The module that asks
    #[arg(long, value_name = "NAME", default_value = "strawboss")]
    source_module: String,
    #[command(flatten)]
    options: Options,
}

fn json_of(text: &str) -> Result<RawJson, Error> {
    serde_json::from_str(text).map_err(|error| Error::Usage(format!("the payload is no JSON: {error}")))
}

fn not_emitted(scene: &Scene, error: EmitError) -> Error {
    match error {
        EmitError::Database(source) => scene.refused(source),
        error => Error::Refused {
            what: error.to_string(),
            next: None,
        },
    }
}

impl Emit {
    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let single = (self.data != "-").then(|| json_of(&self.data)).transpose()?;
        let mut scene = self.options.scene().await?;
        let emitter = scene.emitter();
        if self.bypass_outbox || self.immediate.unwrap_or(scene.config.immediate) {
            scene.prepare().await?;
        }
        match single {
            Some(payload) => self.emit(page, &scene, &emitter, &payload).await?,
            None => {
                let mut lines = BufReader::with_capacity(1 << 20, tokio::io::stdin()).lines();
                while let Some(line) = lines.next_line().await? {
                    if !line.trim().is_empty() {
                        self.emit(page, &scene, &emitter, &json_of(&line)?).await?;
                    }
                }
            }
        }
        Ok(Done::Well)
    }

    async fn emit(
        &self,
        page: &mut Page,
        scene: &Scene,
        emitter: &crate::events::Emitter,
        payload: &RawJson,
    ) -> Result<(), Error> {
        let options = EmitOptions {
            correlation_id: self.correlation_id.clone(),
            bypass_outbox: self.bypass_outbox,
            immediate: self.immediate,
        };
        let emitted = emitter
            .emit(&scene.client, &self.event, payload, &self.source_module, &options)
            .await
            .map_err(|error| not_emitted(scene, error))?;
        if self.json {
            let outbox_id = (!self.bypass_outbox).then_some(emitted.outbox_id);
            page.json(&json!({ "eventId": emitted.event_id, "outboxId": outbox_id, "queues": emitted.queues }))?;
        } else {
            page.line(&emitted.event_id.to_string())?;
        }
        Ok(())
    }
}

impl Query {
    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let payload = json_of(&self.data)?;
        let scene = self.options.scene().await?;
        let emitter = scene.emitter();
        let asked = emitter
            .query(
                &scene.database,
                &self.event,
                &payload,
                &self.source_module,
                self.timeout,
            )
            .await;
        let reply = asked.map_err(|error| match error {
            QueryError::NotAsked(error) => not_emitted(&scene, error),
            error => Error::Refused {
                what: error.to_string(),
                next: Some("`strawboss events subscriptions` shows who subscribes, and who is running".to_owned()),
            },
        })?;
        let failed = reply.error.is_some();
        page.json(&Shown {
            data: reply.data,
            error: reply.error,
        })?;
        Ok(if failed { Done::Findings } else { Done::Well })
    }
}

/// A reply as it is printed: its data is the text it is.
#[derive(serde::Serialize)]
struct Shown {
    data: Option<RawJson>,
    error: Option<String>,
}
