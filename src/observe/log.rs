//! Logs: readable lines for people, or one flat JSON object per line for machines, on standard error.
//!
//! `RUST_LOG` says what is shown (`info` where it says nothing): `RUST_LOG=debug`, `RUST_LOG=strawboss::claim=debug,info`.
//! One line per job outcome is written at debug, one per failed attempt at warn, by whoever has written its verdict
//! (`crate::settle`). A message reads by itself, and what it speaks of stands beside it in fields named alike everywhere;
//! `docs/logs.md` lists all of them.
//!
//! Payloads and secrets are never written, at no level: crates that would are capped at info and cannot be turned up.

mod json;

use std::env::VarError;
use std::io::{self, IsTerminal};

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterFn, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::LogFormat;

/// What is shown where `RUST_LOG` says nothing. The driver passes the server's notices on at info, which are ours.
const DEFAULT_FILTER: &str = "info,tokio_postgres=warn";

/// Crates that write what they carry below info: statements with their parameters, which are payloads.
const BLABBERS: [&str; 2] = ["tokio_postgres", "postgres"];

/// Why logs cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The filter makes no sense.
    #[error("RUST_LOG is not understood: {0}; try RUST_LOG=debug or RUST_LOG=strawboss=debug,info")]
    Filter(String),
    /// The filter is not text.
    #[error("RUST_LOG is no UTF-8; try RUST_LOG=debug or RUST_LOG=strawboss=debug,info")]
    Garbled,
    /// Someone else in this process set logs up before.
    #[error("logs are set up already")]
    Taken,
}

/// Sets logs up for the whole process: the only thing that is, and so a matter for the program and not for the library.
///
/// `filter` is the value of `RUST_LOG`, if it is set. Colours appear on a terminal only, and not with `NO_COLOR`. Where lines
/// are JSON, a panic is one, too.
pub fn init(format: LogFormat, filter: Option<&str>) -> Result<(), LogError> {
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    subscriber(format, filter, io::stderr, colours)?
        .try_init()
        .map_err(|_| LogError::Taken)?;
    if format == LogFormat::Json {
        std::panic::set_hook(Box::new(|panic| {
            tracing::error!(%panic, "a part of the program panicked");
        }));
    }
    Ok(())
}

/// The filter in the environment, if there is one.
///
/// # Errors
/// Where it is not text.
pub fn filter() -> Result<Option<String>, LogError> {
    match std::env::var("RUST_LOG") {
        Ok(filter) => Ok(Some(filter)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(LogError::Garbled),
    }
}

fn subscriber<W>(
    format: LogFormat,
    filter: Option<&str>,
    writer: W,
    colours: bool,
) -> Result<Box<dyn Subscriber + Send + Sync>, LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = filter.map(str::trim).filter(|filter| !filter.is_empty());
    let filter = EnvFilter::builder()
        .parse(filter.unwrap_or(DEFAULT_FILTER))
        .map_err(|error| LogError::Filter(error.to_string()))?;
    let shown = tracing_subscriber::registry().with(filter).with(discreet());
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    Ok(match format {
        LogFormat::Text => Box::new(shown.with(layer.with_ansi(colours))),
        LogFormat::Json => Box::new(
            shown.with(
                layer
                    .with_ansi(false)
                    .fmt_fields(JsonFields::new())
                    .event_format(json::Flat),
            ),
        ),
    })
}

/// Lets nothing through that might hold a payload, whatever the filter says.
fn discreet() -> FilterFn<fn(&Metadata<'_>) -> bool> {
    filter_fn(|metadata| {
        *metadata.level() <= Level::INFO
            || !BLABBERS
                .iter()
                .any(|name| metadata.target().split("::").next() == Some(name))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use serde_json::Value;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(format: LogFormat, filter: Option<&str>, speak: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(format, filter, move || writer.clone(), false).expect("a filter");
        tracing::subscriber::with_default(subscriber, speak);
        let bytes = lines.0.lock().expect("not poisoned").clone();
        String::from_utf8(bytes).expect("UTF-8")
    }

    fn objects(text: &str) -> Vec<serde_json::Map<String, Value>> {
        let object = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        text.lines().map(object).collect()
    }

    #[test]
    fn json_is_one_flat_object_per_line() {
        let text = written(LogFormat::Json, None, || {
            tracing::warn!(
                queue = "email",
                retry_count = 2,
                ms = 1.5,
                error = %"\"no\"\nline",
                none = None::<u64>,
                "job failed"
            );
            tracing::info!("second");
        });
        let lines = objects(&text);
        assert_eq!(lines.len(), 2);
        let mut first = lines[0].clone();
        let at = first.remove("timestamp").expect("it is there");
        assert!(
            at.as_str()
                .is_some_and(|at| chrono::DateTime::parse_from_rfc3339(at).is_ok())
        );
        let expected = serde_json::json!({
            "level": "warn",
            "target": module_path!(),
            "message": "job failed",
            "queue": "email",
            "retry_count": 2,
            "ms": 1.5,
            "error": "\"no\"\nline",
        });
        assert_eq!(Value::Object(first), expected, "{text}");
        assert!(text.starts_with("{\"timestamp\":\""), "{text}");
        assert_eq!(lines[1]["level"], "info");
    }

    #[test]
    fn json_has_the_fields_of_the_spans_around() {
        let text = written(LogFormat::Json, None, || {
            let _outer = tracing::info_span!("event", handler = "mailer", id = 1).entered();
            let _inner = tracing::info_span!("inner", id = 2, more = ?"x").entered();
            tracing::info!(more = true, "handled");
        });
        let line = &objects(&text)[0];
        let fields = [&line["handler"], &line["id"], &line["more"]];
        let expected = [Value::from("mailer"), Value::from(2), Value::from(true)];
        assert_eq!(fields, expected.each_ref());
    }

    #[test]
    fn text_has_message_and_fields_and_no_colours() {
        let text = written(LogFormat::Text, None, || tracing::info!(queue = "email", "claimed"));
        assert!(text.contains("claimed") && text.contains("queue=\"email\""), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn info_is_the_default() {
        let speak = || {
            tracing::debug!("quiet");
            tracing::info!("loud");
        };
        for filter in [None, Some(""), Some(" ")] {
            let text = written(LogFormat::Text, filter, speak);
            assert!(text.contains("loud") && !text.contains("quiet"), "{text}");
        }
        assert!(written(LogFormat::Text, Some("debug"), speak).contains("quiet"));
    }

    #[test]
    fn parameters_of_statements_are_never_shown() {
        for filter in ["trace", "tokio_postgres=trace", "tokio_postgres::query=debug,warn"] {
            let text = written(LogFormat::Text, Some(filter), || {
                tracing::debug!(target: "tokio_postgres::query", "executing statement s1 with parameters: [\"secret\"]");
                tracing::warn!(target: "tokio_postgres::connection", "shown");
            });
            assert!(!text.contains("secret"), "{text}");
            assert!(text.contains("shown"), "{text}");
        }
    }

    #[test]
    fn a_filter_that_makes_no_sense_is_refused() {
        let error = subscriber(LogFormat::Text, Some("strawboss=loud"), io::sink, false).err();
        assert!(matches!(error, Some(LogError::Filter(_))));
    }
}
