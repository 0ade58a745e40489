//! What a worker leaves in the tables, beside what the real pg-boss of each release leaves there.

use serde_json::{Value, json};

use super::{Program, queue};
use crate::differential::{differences, id, on_releases};
use crate::support::sink::{Sink, reply};
use crate::support::{Boss, Release, Schema};

on_releases!(every: left_behind);

/// Ours may be lent by the claim, which theirs are not.
const HEARTBEAT: [&str; 2] = ["heartbeat_on", "heartbeat_seconds"];

async fn left_behind(release: Release) {
    let (theirs, ours) = tokio::join!(Schema::new(release), Schema::new(release));
    let (node, sender) = tokio::join!(
        Boss::start(release, &theirs.url, &theirs.name, json!({})),
        Boss::start(release, &ours.url, &ours.name, json!({}))
    );
    for boss in [&node, &sender] {
        let expiry = json!({ "expireInSeconds": 77 });
        queue(boss, "dead", json!({})).await;
        queue(boss, "well", expiry).await;
        queue(boss, "again", json!({ "retryLimit": 3, "retryDelay": 3600 })).await;
        queue(
            boss,
            "hopeless",
            json!({ "retryLimit": 2, "retryDelay": 0, "deadLetter": "dead" }),
        )
        .await;
        for (n, name) in [(1, "well"), (2, "again"), (3, "hopeless")] {
            let data = json!({ "n": n, "text": "schön \u{1F41D}", "none": null, "deep": [1.5, { "a": [] }] });
            let options = json!({ "id": id(n), "priority": n, "singletonKey": "k" });
            let sent = boss
                .call("send", json!([name, data, options]))
                .await
                .expect("it is sent");
            assert_eq!(sent, json!(id(n)));
        }
    }

    let (well, again, hopeless) = tokio::join!(Sink::start(), Sink::start(), Sink::start());
    let output = json!({ "done": true, "list": [1, null] });
    well.then(reply(200, output.to_string()));
    again.then(reply(500, "no luck"));
    again.then(reply(500, "no luck"));
    // Whatever is no object is wrapped.
    again.then(reply(200, "[1,2]"));
    for _ in 0..3 {
        hopeless.then(reply(500, "no luck"));
    }

    let polling = json!({ "pollingIntervalSeconds": 0.5 });
    node.work("well", polling.clone(), json!({ "complete": output })).await;
    let refused = error(&again.url("/again"));
    let twice = json!({ "failTimes": 2, "throw": refused, "complete": [1, 2] });
    node.work("again", polling.clone(), twice).await;
    let always = json!({ "throw": error(&hopeless.url("/hopeless")) });
    node.work("hopeless", polling, always).await;
    let queues = [("well", &well), ("again", &again), ("hopeless", &hopeless)].map(|(name, sink)| {
        let url = sink.url(&format!("/{name}"));
        format!("[queues.{name}]\npoll_interval = '50ms'\nhandler = {{ http = '{url}' }}\n")
    });
    let strawboss = Program::run(&ours, &queues.concat());

    let both = async |condition: &str| {
        tokio::join!(theirs.until(condition), ours.until(condition));
    };
    let equal = async |what: &str| {
        let differences = differences(&theirs, &ours, &HEARTBEAT).await;
        assert!(
            differences.is_empty(),
            "pg-boss {release}, after {what}:\n{}",
            differences.join("\n")
        );
    };
    // Nobody waits for the hour.
    let due = "update {schema}.job set start_after = now() where name = 'again' and state = 'retry'";
    let again_is = |state: &str, retry_count: u32| {
        format!(
            "exists (select from {{schema}}.job where name = 'again' and state = '{state}' and retry_count = {retry_count})"
        )
    };
    both("exists (select from {schema}.job where name = 'well' and state = 'completed')").await;
    both("exists (select from {schema}.job where name = 'dead')").await;
    both(&again_is("retry", 0)).await;
    equal("one job completed, one failed once, and one died").await;

    tokio::join!(theirs.execute(due), ours.execute(due));
    both(&again_is("retry", 1)).await;
    equal("the second failure").await;

    tokio::join!(theirs.execute(due), ours.execute(due));
    both(&again_is("completed", 2)).await;
    equal("success after two retries").await;

    assert_eq!([&well, &again, &hopeless].map(|sink| sink.received().len()), [1, 3, 3]);
    let attempts: Vec<_> = again
        .received()
        .iter()
        .map(|request| {
            let headers = ["webhook-id", "pgboss-retry-count", "pgboss-retry-limit"];
            headers.map(|name| request.header(name).to_owned())
        })
        .collect();
    let second = id(2);
    assert_eq!(
        attempts,
        ["0", "1", "2"].map(|count| [second.as_str(), count, "3"].map(str::to_owned))
    );
    strawboss.stop().await;
    tokio::join!(node.stop(), sender.stop());
}

/// What a handler of theirs throws to fail as our request does: JavaScript's stack aside, which we have none of.
fn error(url: &str) -> Value {
    json!({
        "name": "HttpError",
        "message": format!("{url} answered 500 Internal Server Error"),
        "stack": { "$undefined": true },
        "status": 500,
        "body": "no luck",
    })
}
