//! What the workers of these tests have logged at `warn` and above.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Mutex;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// A line by its fields, as texts.
pub type Line = BTreeMap<String, String>;

static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());

/// Has lines shown as `RUST_LOG` says, and the grave ones that name a job kept; the first call does, for all tests.
pub fn keep() {
    let shown = tracing_subscriber::fmt::layer()
        .with_test_writer()
        .with_filter(EnvFilter::from_default_env());
    let kept = Keeper.with_filter(LevelFilter::WARN);
    let _ = tracing_subscriber::registry().with(shown).with(kept).try_init();
}

/// The grave lines that name this job, in the order in which they were written.
pub fn grave(job: &str) -> Vec<Line> {
    let lines = LINES.lock().expect("nobody panics with it");
    let of_it = lines.iter().filter(|line| line["job"] == job);
    of_it.cloned().collect()
}

struct Keeper;

impl<S: Subscriber> Layer<S> for Keeper {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Fields::default();
        event.record(&mut line);
        if line.0.contains_key("job") {
            line.0.insert("level".to_owned(), event.metadata().level().to_string());
            LINES.lock().expect("nobody panics with it").push(line.0);
        }
    }
}

#[derive(Default)]
struct Fields(Line);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}
