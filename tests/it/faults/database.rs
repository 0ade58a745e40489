//! The server goes and comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use strawboss::demo::cluster::Cluster;
use strawboss::job::Outcome;

use crate::support::crew::{Crew, Seen, config, handler};
use crate::support::server::{connect, private_cluster};
use crate::support::{Release, Schema, needs_node, wait_for};

/// Does something to the cluster that takes its time.
async fn on(mut cluster: Cluster, act: impl FnOnce(&mut Cluster) + Send + 'static) -> Cluster {
    tokio::task::spawn_blocking(move || {
        act(&mut cluster);
        cluster
    })
    .await
    .expect("the cluster does what it is told")
}

/// Asks over a connection of its own, for the schema's is gone with the server.
async fn ask(schema: &Schema, text: &str) -> Value {
    let client = connect(&schema.url).await;
    let sql = schema.sql(&format!("select to_jsonb(({text}))"));
    client.query_one(&sql, &[]).await.expect(&sql).get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_and_a_crash_of_the_server_lose_and_double_nothing() {
    needs_node!();
    const JOBS: usize = 600;
    let cluster = private_cluster();
    let schema = Schema::on(&cluster.url(), Release::NEWEST).await;
    schema.queue("q", json!({ "retryLimit": 10 })).await;
    schema.jobs("q", JOBS).await;
    let (seen, done) = (Seen::default(), Arc::new(AtomicUsize::new(0)));
    let count = |at: usize| {
        let done = Arc::clone(&done);
        async move { wait_for("jobs to be run", async || done.load(Ordering::SeqCst) >= at).await }
    };
    let run = {
        let (seen, done) = (seen.clone(), Arc::clone(&done));
        handler(move |job, _| {
            seen.note(job.attempt);
            let done = Arc::clone(&done);
            async move {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                done.fetch_add(1, Ordering::SeqCst);
                Ok(Value::Null)
            }
        })
    };
    let crew = Crew::start(config(&schema, &["q"]), [("q", run)]);

    count(100).await;
    let cluster = on(cluster, |cluster| cluster.restart().expect("it restarts")).await;
    count(300).await;
    let _cluster = on(cluster, |cluster| {
        cluster.crash().expect("it goes down");
        cluster.restart().expect("it recovers");
    })
    .await;
    crew.until_processed("q", Outcome::Completed, JOBS as u64).await;

    assert_eq!(seen.repeated(), Default::default(), "each ran once");
    assert_eq!(seen.jobs(), JOBS);
    assert_eq!(crew.processed("q", Outcome::Fenced), 0);
    let states = "select jsonb_agg(distinct state) from {schema}.job";
    assert_eq!(ask(&schema, states).await, json!(["completed"]));
    let report = crew.stop().await;
    assert_eq!((report.unwritten, report.hanging.len()), (0, 0), "{report}");
}
