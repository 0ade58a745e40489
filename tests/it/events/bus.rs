//! Section 7: the test bus.

use std::time::Duration;

use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use strawboss::events::testing::{Error, EventFixture, TestBus};
use strawboss::events::{EmitOptions, HandlerOptions, Received};
use strawboss::handler::HandlerError;

use super::stage::{Diary, Order};
use crate::support::server;

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread")]
async fn two_buses_side_by_side_wait_mock_fail_and_forget_each_for_itself() {
    let (bus, other) = tokio::join!(TestBus::on(&server().url), TestBus::on(&server().url));
    let (bus, other) = (bus.expect("a bus"), other.expect("a bus"));
    let mock = bus.mock_handler("a.happened").await.expect("registered");
    let stranger = other.mock_handler("a.happened").await.expect("registered");
    assert!(!mock.was_called() && mock.calls().is_empty());

    // By the library, with a payload that no value holds; and by a fixture.
    let digits = "9".repeat(309);
    let client = bus.database().client().await.expect("a connection");
    let payload = serde_json::value::RawValue::from_string(format!("{{\"n\": {digits}}}")).expect("JSON");
    bus.emitter()
        .emit(&client, "a.happened", &payload, "test", &EmitOptions::default())
        .await
        .expect("emitted");
    let first = bus.wait_for_event("a.happened", LONG).await.expect("it was emitted");
    assert_eq!(first.data.get(), payload.get());
    let calls = mock.wait_for_calls(1, LONG).await.expect("it is called");
    assert_eq!(calls[0].text().get(), payload.get());
    assert_eq!(calls[0].metadata().event_id, first.metadata.event_id);
    // Each event is waited for once.
    let none = bus
        .wait_for_event("a.happened", SHORT)
        .await
        .expect_err("there is no other");
    assert!(matches!(none, Error::NotEmitted { .. }), "{none}");

    mock.fail_next(2);
    let fixture = EventFixture::of("a.happened")
        .payload(&json!({ "n": 2 }))
        .correlation_id("c-2");
    bus.emit(&fixture).await.expect("emitted");
    let calls = mock.wait_for_calls(4, LONG).await.expect("it is called");
    let failed: Vec<bool> = calls[1..].iter().map(|call| call.failed).collect();
    assert_eq!(failed, [true, true, false]);
    assert!(calls[1..].iter().all(|call| call.metadata().correlation_id == "c-2"));
    assert_eq!(calls[3].payload::<Value>().expect("JSON"), json!({ "n": 2 }));
    assert_eq!(calls[3].attempt.retry_count, 2);

    bus.clear().await.expect("cleared");
    assert!(!mock.was_called());
    let none = bus
        .wait_for_event("a.happened", SHORT)
        .await
        .expect_err("all is forgotten");
    assert!(none.to_string().contains("a.happened"), "{none}");
    let quiet = mock.wait_for_calls(1, SHORT).await.expect_err("nothing calls it");
    assert!(matches!(quiet, Error::NotCalled { got: 0, .. }), "{quiet}");
    // It is registered still, and the same when asked for again.
    bus.emit(&fixture).await.expect("emitted");
    let again = bus.mock_handler("a.happened").await.expect("it is there");
    again.wait_for_calls(1, LONG).await.expect("it is called");
    assert!(mock.was_called() && !stranger.was_called());
    drop(client);
    bus.stop().await.expect("stopped");
    other.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn real_handlers_run_beside_mocks() {
    let bus = TestBus::on(&server().url).await.expect("a bus");
    let diary = Diary::default();
    let seen = diary.clone();
    let mut handlers = bus.handlers();
    handlers
        .on(HandlerOptions::of("inventory"), move |event: Received<Order>, _| {
            seen.note(event.payload.order_id);
            std::future::ready(Ok::<_, HandlerError>(()))
        })
        .expect("registered");
    bus.register(handlers).await.expect("registered");
    let mock = bus.mock_handler("payment:order.completed").await.expect("registered");
    let payload = to_raw_value(&json!({ "orderId": "o-1" })).expect("JSON");
    let event = EventFixture::of("payment:order.completed").payload_text(payload.get());
    bus.emit(&event).await.expect("emitted");
    mock.wait_for_calls(1, LONG).await.expect("it is called");
    diary.until(1).await;
    assert_eq!(diary.lines(), ["o-1"]);
    bus.stop().await.expect("stopped");
}
