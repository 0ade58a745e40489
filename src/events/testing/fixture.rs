//! Builds events.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use crate::events::{Delivery, Event};
use crate::job::RawJson;

/// Builds an event as the app would write it; whatever is not said is made up, and different for each fixture.
///
/// ```
/// use strawboss::events::testing::EventFixture;
///
/// let event = EventFixture::of("order.completed")
///     .payload(&serde_json::json!({ "orderId": "o-1" }))
///     .correlation_id("checkout-7")
///     .build();
/// assert_eq!(event.metadata.event_name, "order.completed");
/// assert_eq!(event.data.get(), r#"{"orderId":"o-1"}"#);
/// ```
#[derive(Debug, Clone)]
pub struct EventFixture {
    event_id: Uuid,
    name: String,
    timestamp: DateTime<Utc>,
    source_module: String,
    correlation_id: String,
    data: RawJson,
}

impl EventFixture {
    /// An event of that name with the payload `{}`.
    pub fn of(name: impl Into<String>) -> EventFixture {
        EventFixture {
            event_id: Uuid::new_v4(),
            name: name.into(),
            timestamp: Utc::now(),
            source_module: "test".to_owned(),
            correlation_id: Uuid::new_v4().to_string(),
            data: RawJson::from(to_raw_value(&json!({})).expect("an empty object has JSON text")),
        }
    }

    /// An event with that payload, under the name of its type.
    ///
    /// # Panics
    /// If the payload has no JSON text.
    pub fn typed<T: Event + Serialize>(payload: &T) -> EventFixture {
        EventFixture::of(T::NAME).payload(payload)
    }

    /// With that payload.
    ///
    /// # Panics
    /// If it has no JSON text.
    pub fn payload(mut self, payload: &impl Serialize) -> EventFixture {
        self.data = to_raw_value(payload).expect("a payload has JSON text");
        self
    }

    /// With that payload, as it stands: numbers of any length, any depth.
    ///
    /// # Panics
    /// If it is no JSON.
    pub fn payload_text(mut self, text: impl Into<String>) -> EventFixture {
        self.data = RawValue::from_string(text.into()).expect("a payload is JSON");
        self
    }

    /// With that id.
    pub fn event_id(mut self, event_id: Uuid) -> EventFixture {
        self.event_id = event_id;
        self
    }

    /// Tied to others by that text.
    pub fn correlation_id(mut self, correlation_id: impl Into<String>) -> EventFixture {
        self.correlation_id = correlation_id.into();
        self
    }

    /// Emitted by that module.
    pub fn source_module(mut self, source_module: impl Into<String>) -> EventFixture {
        self.source_module = source_module.into();
        self
    }

    /// Emitted then.
    pub fn timestamp(mut self, timestamp: DateTime<Utc>) -> EventFixture {
        self.timestamp = timestamp;
        self
    }

    /// The event.
    pub fn build(&self) -> Delivery {
        let metadata = json!({
            "eventId": self.event_id,
            "eventName": self.name,
            "timestamp": self.timestamp.to_rfc3339_opts(SecondsFormat::Millis, true),
            "sourceModule": self.source_module,
            "correlationId": self.correlation_id,
            "version": "v1",
        });
        let text = format!("{{\"metadata\":{metadata},\"data\":{}}}", self.data.get());
        Delivery::parse(&text).expect("it has all that an event has")
    }
}
