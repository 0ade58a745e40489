//! Every kind of handler, run as the worker runs them.

mod exec;
mod function;
mod http;
mod https;
mod output;
mod signature;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::Value;
use serde_json::value::RawValue;
use strawboss::config::HandlerConfig;
use strawboss::handler::{Context, Handler, HandlerError, SetupError, from_config};
use strawboss::job::{Attempt, Group, Job, RawJson};
use strawboss::observe::Metrics;
use tokio_util::sync::CancellationToken;

/// Longer than any handler here takes.
const LONG: Duration = Duration::from_secs(60);

/// A job with that payload on its second attempt, of the queue `mail/out`.
fn job(data: &str) -> Job {
    let instant = |text| {
        DateTime::parse_from_rfc3339(text)
            .expect("an instant")
            .with_timezone(&Utc)
    };
    Job {
        attempt: Attempt {
            id: "7b0c4a34-6b1c-4f51-9b8e-0a3d5f3c2e11".parse().expect("an id"),
            retry_count: 1,
        },
        queue: "mail/out".into(),
        data: Some(raw(data).into()),
        retry_limit: 4,
        priority: 3,
        created_on: instant("2026-01-02T03:04:05.678901Z"),
        start_after: instant("2026-01-02T03:04:06Z"),
        started_on: instant("2026-01-02T03:05:00Z"),
        expire: Duration::from_secs(900),
        heartbeat: None,
        group: Some(Group {
            id: "tenant-1".into(),
            tier: None,
        }),
        singleton_key: Some("only".into()),
        trace_context: None,
        ctid: None,
    }
}

fn raw(text: &str) -> RawJson {
    RawValue::from_string(text.to_owned()).expect("JSON")
}

/// A context with that much time left, and no trace.
fn context(left: Duration) -> Context {
    Context {
        cancelled: CancellationToken::new(),
        deadline: Instant::now() + left,
        trace: opentelemetry::Context::new(),
    }
}

/// Runs a job as ordinary as can be.
async fn run(handler: &Arc<dyn Handler>) -> Result<Option<RawJson>, HandlerError> {
    handler.run(Arc::new(job("{}")), context(LONG)).await
}

/// The output as text, for comparison.
fn text(output: Option<RawJson>) -> Option<String> {
    output.map(|output| output.get().to_owned())
}

/// The output as a value.
fn value(output: Option<RawJson>) -> Value {
    serde_json::from_str(output.expect("an output").get()).expect("JSON")
}

fn made(config: &HandlerConfig) -> Arc<dyn Handler> {
    from_config(config, &"mail/out".into(), &Metrics::new()).expect("a good configuration")
}

fn refused(config: &HandlerConfig) -> SetupError {
    match from_config(config, &"mail/out".into(), &Metrics::new()) {
        Ok(_) => panic!("{config:?} was accepted"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn noop_and_log_complete_without_an_output() {
    for config in [HandlerConfig::Noop, HandlerConfig::Log] {
        let handler = made(&config);
        assert_eq!(text(run(&handler).await.expect("done")), None);
        assert_eq!(handler.paused(), None);
    }
}

/// What an HTTP handler is configured with here, unless a test says otherwise.
fn http(url: &str) -> HandlerConfig {
    HandlerConfig::Http {
        url: url.to_owned(),
        timeout: LONG,
        secrets: Vec::new(),
        headers: BTreeMap::new(),
        max_response_bytes: 1024,
    }
}
