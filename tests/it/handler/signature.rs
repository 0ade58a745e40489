//! Signatures, verified by the library that our users' endpoints verify them with.

use std::io::Write;
use std::process::Stdio;

use serde_json::json;
use strawboss::config::HandlerConfig;

use super::{LONG, context, http, job, made};
use crate::support::needs_node;
use crate::support::node::node;
use crate::support::sink::{Received, Sink};

const PREFIXED: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const BASE64: &str = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const TEXT: &str = "neither base64 nor anything else";
/// Anything but ASCII has to be signed as the bytes that are sent.
const DATA: &str = r#"{"to": "Zoë ☃ 𝄞", "n": 12345678901234567890123, "slash": "\/"}"#;

/// What the library says of a request: nothing if it is genuine.
fn verify(received: &Received, secret: &str, format: Option<&str>) -> Result<(), String> {
    let headers: serde_json::Map<_, _> = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .into_iter()
        .map(|name| (name.to_owned(), received.header(name).into()))
        .collect();
    let body = std::str::from_utf8(&received.body).expect("text");
    let input = json!({ "secret": secret, "format": format, "headers": headers, "body": body });
    let mut child = node("verify-webhook.mjs")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Node runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.to_string().as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

/// A request signed with those secrets.
async fn signed(with: &[&str]) -> Received {
    let sink = Sink::start().await;
    let mut config = http(&sink.url("/hook"));
    if let HandlerConfig::Http { secrets, .. } = &mut config {
        *secrets = with.iter().map(|&secret| secret.to_owned()).collect();
    }
    let ran = made(&config).run(std::sync::Arc::new(job(DATA)), context(LONG)).await;
    ran.expect("the sink is content");
    sink.only()
}

#[tokio::test]
async fn a_receiver_that_knows_any_of_the_secrets_is_content() {
    needs_node!();
    let received = signed(&[PREFIXED, BASE64, TEXT]).await;
    assert_eq!(verify(&received, PREFIXED, None), Ok(()));
    assert_eq!(verify(&received, BASE64, None), Ok(()));
    assert_eq!(verify(&received, TEXT, Some("raw")), Ok(()));
    let stranger = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    assert_eq!(
        verify(&received, stranger, None).expect_err("another secret"),
        "No matching signature found"
    );
}

#[tokio::test]
async fn a_body_that_was_changed_is_not_genuine() {
    needs_node!();
    let mut received = signed(&[PREFIXED]).await;
    received.body = [&received.body[..], b" "].concat().into();
    assert_eq!(
        verify(&received, PREFIXED, None).expect_err("another body"),
        "No matching signature found"
    );
}
