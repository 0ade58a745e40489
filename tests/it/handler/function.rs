//! Rust functions as handlers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use strawboss::handler::{self, Context, HandlerError, Then};
use strawboss::job::{Job, RawJson};

use super::{LONG, context, job, raw, run, text};

#[derive(Deserialize)]
struct Order {
    number: u32,
}

#[derive(Serialize)]
struct Receipt {
    order: u32,
    queue: String,
    last: bool,
}

async fn ship(job: Job<Order>, _context: Context) -> Result<Receipt, HandlerError> {
    Ok(Receipt {
        order: job.data.number,
        queue: job.queue.to_string(),
        last: job.attempt.retry_count == job.retry_limit,
    })
}

async fn ignore(_job: Job<serde::de::IgnoredAny>, _context: Context) -> Result<(), HandlerError> {
    Ok(())
}

async fn find(job: Job<Option<Order>>, _context: Context) -> Result<Option<u32>, HandlerError> {
    Ok(job.data.map(|order| order.number))
}

async fn echo(job: Arc<Job>, _context: Context) -> Result<Option<RawJson>, HandlerError> {
    Ok(Some(raw(job.data_text())))
}

#[tokio::test]
async fn a_typed_function_gets_its_payload_and_gives_its_output() {
    let handler = handler::typed(ship);
    let output = handler.run(Arc::new(job(r#"{"number": 7}"#)), context(LONG)).await;
    assert_eq!(
        text(output.expect("done")).as_deref(),
        Some(r#"{"order":7,"queue":"mail/out","last":false}"#)
    );
}

#[tokio::test]
async fn a_payload_of_another_type_is_dead_lettered_and_not_quoted_in_the_message() {
    let handler = handler::typed(ship);
    let result = handler
        .run(Arc::new(job(r#"{"number": "s3cret"}"#)), context(LONG))
        .await;
    let error = result.expect_err("it does not fit");
    assert_eq!(error.then, Then::DeadLetter);
    assert_eq!(error.name, "PayloadError");
    assert_eq!(
        error.message,
        "the job's data does not fit its handler, at line 1 column 19"
    );
    assert!(error.detail["reason"].as_str().expect("text").contains("expected u32"));
}

#[tokio::test]
async fn nothing_given_back_is_no_output() {
    assert_eq!(text(run(&handler::typed(ignore)).await.expect("done")), None);
    let mut without_data = job("{}");
    without_data.data = None;
    let output = handler::typed(find).run(Arc::new(without_data), context(LONG)).await;
    assert_eq!(text(output.expect("done")), None);
}

#[tokio::test]
async fn a_raw_function_sees_and_leaves_json_untouched() {
    let data = r#"{"z": 1.00, "a": 123456789012345678901234567890}"#;
    let output = handler::raw(echo).run(Arc::new(job(data)), context(LONG)).await;
    assert_eq!(text(output.expect("done")).as_deref(), Some(data));
}

#[tokio::test]
async fn closures_are_handlers_and_errors_of_any_kind_are_retried() {
    let handler = handler::typed(
        async |_job: Job<serde_json::Value>, _context| -> Result<u16, HandlerError> { Ok("70000".parse::<u16>()?) },
    );
    let error = run(&handler).await.expect_err("it is no u16");
    assert_eq!(error.then, Then::Retry);
    assert_eq!(error.message, "number too large to fit in target type");
}
