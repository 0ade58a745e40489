//! A line as one flat JSON object, as Loki and its like take it.

use std::fmt;

use chrono::{SecondsFormat, Utc};
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes `timestamp`, `level` in lower case, `target` and `message`, then the fields of the event and those of the spans
/// around it, the inner before the outer. The spans' fields have to be written as JSON.
pub(super) struct Flat;

impl<S, N> FormatEvent<S, N> for Flat
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let written = extensions.get::<FormattedFields<N>>();
            if let Some(Ok(outer)) = written.map(|written| serde_json::from_str::<Map<String, Value>>(written)) {
                fields.others.extend(outer);
            }
        }
        event.record(&mut fields);
        let target = fields.target.as_deref().unwrap_or(event.metadata().target());
        let line = line(*event.metadata().level(), target, &fields).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

fn line(level: Level, target: &str, fields: &Fields) -> Result<String, serde_json::Error> {
    let level = match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    };
    let mut bytes = Vec::with_capacity(256);
    let mut serializer = serde_json::Serializer::new(&mut bytes);
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry("timestamp", &Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true))?;
    map.serialize_entry("level", level)?;
    map.serialize_entry("target", target)?;
    map.serialize_entry("message", &fields.message)?;
    for (name, value) in &fields.others {
        map.serialize_entry(name, value)?;
    }
    map.end()?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The fields of an event, and of the spans around it.
#[derive(Default)]
struct Fields {
    message: String,
    /// Of a line that came by the crate `log`.
    target: Option<String>,
    others: Map<String, Value>,
}

impl Fields {
    fn note(&mut self, field: &Field, value: impl Into<Value>) {
        let value = value.into();
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            ("log.target", Value::String(text)) => self.target = Some(text),
            // Where the line of the crate `log` stands in somebody's source.
            (name, _) if name.starts_with("log.") => {}
            (name, value) => drop(self.others.insert(name.to_owned(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.note(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.note(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.note(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.note(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.note(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.note(field, value);
    }
}
