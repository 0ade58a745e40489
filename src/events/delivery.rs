//! An event on its way to one handler: the data of a job, `{"metadata": …, "data": …, "outboxId": …}`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::layer::Call;
use crate::handler::Context;
use crate::job::{Attempt, Job, RawJson};

/// What the app's event object says about the event.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The event's own id; the id of its row in the outbox is another.
    pub event_id: Uuid,
    /// Its name.
    pub event_name: String,
    /// When it was emitted, `YYYY-MM-DDTHH:MM:SS.mmmZ`.
    #[serde(default)]
    pub timestamp: String,
    /// The module that emitted it.
    #[serde(default)]
    pub source_module: String,
    /// What ties it to others; any text of any length.
    #[serde(default)]
    pub correlation_id: String,
    /// The shape of the event object, `v1`.
    #[serde(default)]
    pub version: String,
}

/// An event as a handler gets it. Its two halves are the JSON text that the app wrote, unread.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// What is known of the event.
    pub metadata: Metadata,
    /// The same as the app wrote it, with whatever else it holds.
    pub metadata_text: RawJson,
    /// The payload.
    pub data: RawJson,
    /// The row of the outbox it came from, if it came from there.
    pub outbox_id: Option<Uuid>,
}

/// The id of the job that delivers a row of the outbox to a queue, as SQL over these two expressions (uuid and text): the same
/// whoever relays it, and however often.
pub(super) fn delivery_id(outbox_id: &str, queue: &str) -> String {
    format!("pg_catalog.md5({outbox_id}::text || {queue})::uuid")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow)]
    metadata: &'a RawValue,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(default)]
    outbox_id: Option<Uuid>,
}

impl Delivery {
    /// Reads the data of a job.
    ///
    /// # Errors
    /// Says why it is no event, without quoting it.
    pub fn parse(text: &str) -> Result<Delivery, String> {
        let place = |error: &serde_json::Error| format!("at line {} column {}", error.line(), error.column());
        let envelope: Envelope<'_> = serde_json::from_str(text)
            .map_err(|error| format!("it is no object with metadata and data, {}", place(&error)))?;
        let metadata = serde_json::from_str(envelope.metadata.get())
            .map_err(|error| format!("its metadata has no eventId or no eventName, {}", place(&error)))?;
        Ok(Delivery {
            metadata,
            metadata_text: envelope.metadata.to_owned(),
            data: envelope.data.to_owned(),
            outbox_id: envelope.outbox_id,
        })
    }

    /// The app's event object, and nothing of ours: what an endpoint is sent.
    pub fn event_object(&self) -> RawJson {
        let text = format!(
            "{{\"metadata\":{},\"data\":{}}}",
            self.metadata_text.get(),
            self.data.get()
        );
        RawValue::from_string(text).expect("an object of two texts that are JSON is JSON")
    }
}

impl Call {
    /// A call for trying layers and handlers out: the first attempt at an event of that name and payload, with a new id
    /// and a minute's time.
    ///
    /// # Panics
    /// On a payload that is no JSON.
    pub fn example(event_name: &str, payload: &str) -> Call {
        let now = Utc::now();
        let metadata = serde_json::json!({
            "eventId": Uuid::new_v4(),
            "eventName": event_name,
            "timestamp": now.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            "sourceModule": "example",
            "correlationId": Uuid::new_v4(),
            "version": "v1",
        });
        let text = format!("{{\"metadata\":{metadata},\"data\":{payload}}}");
        let event = Delivery::parse(&text).expect("the payload is JSON");
        let job = Job {
            attempt: Attempt {
                id: Uuid::new_v4(),
                retry_count: 0,
            },
            queue: "example".into(),
            data: Some(Arc::from(event.event_object())),
            retry_limit: 3,
            priority: 0,
            created_on: now,
            start_after: now,
            started_on: now,
            expire: Duration::from_secs(60),
            heartbeat: None,
            group: None,
            singleton_key: None,
            trace_context: None,
            ctid: None,
        };
        let context = Context {
            cancelled: CancellationToken::new(),
            deadline: Instant::now() + Duration::from_secs(60),
            trace: opentelemetry::Context::new(),
            along: Default::default(),
        };
        Call {
            event: Arc::new(event),
            job: Arc::new(job),
            context,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str =
        r#"{"eventId":"0190d6a0-0000-7000-8000-000000000001", "eventName":"a.b","correlationId":"ü𝒳"}"#;

    #[test]
    fn both_halves_are_kept_as_they_are() {
        let deep = format!("{}{}{}", "[".repeat(200), "9".repeat(309), "]".repeat(200));
        for data in [&*deep, "\"123\"", "5e-324", "null", "{\"b\": 1, \"a\":2}"] {
            let text = format!("{{\"data\": {data}, \"metadata\": {METADATA}, \"outboxId\":null, \"else\":1}}");
            let delivery = Delivery::parse(&text).expect("an event");
            assert_eq!(delivery.data.get(), data);
            assert_eq!(delivery.metadata.correlation_id, "ü𝒳");
            let object = delivery.event_object();
            assert_eq!(object.get(), format!("{{\"metadata\":{METADATA},\"data\":{data}}}"));
        }
    }

    #[test]
    fn what_is_no_event_is_refused_without_being_quoted() {
        for text in [
            "null",
            "[]",
            r#"{"data":"s3cret"}"#,
            r#"{"data":"s3cret","metadata":{"eventName":"s3cret"}}"#,
            r#"{"data":"s3cret","metadata":{"eventName":"a","eventId":"s3cret"}}"#,
        ] {
            let why = Delivery::parse(text).expect_err("refused");
            assert!(!why.contains("s3cret"), "{why}");
        }
    }
}
