//! What may be in a payload, and how it is kept.

use serde_json::json;
use serde_json::value::RawValue;
use strawboss::enqueue::{Error, QueueOptions, SendOptions, send};

use super::pair::{Pair, name};
use crate::support::{Release, needs_node};

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).expect("it is JSON")
}

/// `jsonb` keeps the last of equal keys and orders them; nothing else may be lost on the way.
#[tokio::test(flavor = "multi_thread")]
async fn any_json_that_jsonb_can_hold_is_kept_as_it_is() {
    needs_node!();
    for release in [Release::V10_4_2, Release::NEWEST] {
        let pair = Pair::new(release).await;
        pair.queue("q", json!({}), QueueOptions::default()).await;
        let digits = format!("{{\"n\":{}.{}}}", "9".repeat(309), "1".repeat(40));
        let nested = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        for text in [
            "{}",
            "[]",
            "17",
            "false",
            "\"\"",
            "{\"a\":null}",
            "{\"z\":1,\"a\":2,\"z\":3}",
            "{\"exact\":12345678901234567890.10}",
            "\"\\\\u0000 \\ud83d\\ude00 naïve 😀\"",
            &digits,
            &nested,
        ] {
            let sent = send(
                &pair.client,
                &pair.dialect,
                &name("q"),
                Some(&raw(text)),
                &SendOptions::default(),
            )
            .await;
            let id = sent
                .unwrap_or_else(|error| panic!("{text}: {error}"))
                .expect("it went in");
            let kept = pair
                .client
                .query_one(
                    &pair.ours.sql("select data = $2::text::jsonb and data::text = ($2::text::jsonb)::text from {schema}.job where id = $1"),
                    &[&id, &text],
                )
                .await
                .expect("it is there");
            assert!(kept.get::<_, bool>(0), "pg-boss {release}: {text}");
        }
        for nothing in [None, Some(raw("null"))] {
            let sent = send(
                &pair.client,
                &pair.dialect,
                &name("q"),
                nothing.as_deref(),
                &SendOptions::default(),
            )
            .await;
            assert!(sent.expect("it is sent").is_some());
        }
        assert_eq!(
            pair.ours
                .value("select count(*) from {schema}.job where data is null")
                .await,
            json!(2)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_that_jsonb_cannot_hold_is_refused_by_name() {
    needs_node!();
    let mut pair = Pair::new(Release::NEWEST).await;
    pair.queue("q", json!({}), QueueOptions::default()).await;
    let transaction = pair.client.transaction().await.expect("it begins");
    let nul = send(
        &transaction,
        &pair.dialect,
        &name("q"),
        Some(&raw(r#"["a\u0000"]"#)),
        &SendOptions::default(),
    )
    .await;
    let message = nul.expect_err("it is refused").to_string();
    assert_eq!(
        message,
        r"the payload cannot be stored: it contains \u0000, which PostgreSQL cannot store in jsonb"
    );
    // The database never saw it, so the transaction goes on.
    let sent = send(&transaction, &pair.dialect, &name("q"), None, &SendOptions::default()).await;
    assert!(sent.expect("the transaction is usable").is_some());
    transaction.rollback().await.expect("it rolls back");

    let lone = send(
        &pair.client,
        &pair.dialect,
        &name("q"),
        Some(&raw(r#"{"secret":"\ud800"}"#)),
        &SendOptions::default(),
    )
    .await;
    match lone.expect_err("it is refused") {
        Error::Payload(reason) => assert!(!reason.contains("secret"), "payloads stay out of messages: {reason}"),
        other => panic!("{other:?}"),
    }
}
