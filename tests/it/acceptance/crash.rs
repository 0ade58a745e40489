//! A worker that is killed: everything it held comes back.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::program::{Program, configuration};
use super::{newest, queue, within};
use crate::support::needs_node;
use crate::support::sink::Sink;

const JOBS: usize = 5000;
/// From the restart until all is done: the lease of what was running, and the rest of the work.
const SOON: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_amid_5000_jobs_loses_none() {
    needs_node!();
    let (schema, boss) = newest().await;
    queue(&boss, "q", json!({})).await;
    let insert = "const jobs = Array.from({ length: args[0] }, (_, n) => ({ data: { n } }))\n\
                  return (await boss.insert('q', jobs, { returnId: true })).map(job => job.id ?? job)";
    let sent = boss.eval(insert, json!([JOBS])).await.expect("they are sent");
    let sent: HashSet<String> = serde_json::from_value(sent).expect("ids");
    assert_eq!(sent.len(), JOBS);
    boss.stop().await;

    let sink = Sink::start().await;
    sink.takes(Duration::from_millis(20));
    let served = format!("[queues.q]\nhandler = {{ http = '{}' }}\n", sink.url("/"));
    // By this name its sessions are known.
    let url = format!("{}?application_name={}", schema.url, schema.name);
    let settings = configuration(&url, &schema.name, &served);
    let killed = Program::start(&["run", "--config", "worker.toml"], &settings, &[]);
    sink.until(JOBS / 4).await;
    killed.signal(Signal::SIGKILL);
    assert_eq!(killed.ended().await.code, None);
    // What it had asked for last is still done.
    schema
        .until("not exists (select from pg_stat_activity where application_name like '{schema}%')")
        .await;
    let counts = schema
        .row("select count(*) filter (where state = 'active') as active, count(*) filter (where state = 'completed') as done from {schema}.job")
        .await;
    let (active, done) = (number(&counts["active"]), number(&counts["done"]));
    assert!(
        active > 0 && done > 0 && done < JOBS,
        "it was not killed amid them: {counts}"
    );

    let restarted = Instant::now();
    let worker = Program::run(&schema, &served);
    let all = async {
        let left = "select count(*) as left from {schema}.job where state <> 'completed'";
        while schema.value(left).await != json!(0) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within(SOON, "all to be completed", all).await;
    println!(
        "{active} were running and {done} done when it was killed; all are {:.1?} after the restart",
        restarted.elapsed()
    );

    let rows = schema
        .row("select count(*) as jobs, max(retry_count) as most, count(*) filter (where retry_count = 1) as again from {schema}.job")
        .await;
    assert_eq!((number(&rows["jobs"]), number(&rows["most"])), (JOBS, 1));
    assert_eq!(
        number(&rows["again"]),
        active,
        "those that were running ran again, and no others"
    );
    let mut ran = HashMap::<String, usize>::new();
    for request in sink.received() {
        *ran.entry(request.header("webhook-id").to_owned()).or_default() += 1;
    }
    assert_eq!(ran.keys().cloned().collect::<HashSet<_>>(), sent, "each ran");
    let twice = ran.values().filter(|times| **times > 1).count();
    assert!(
        twice <= active && ran.values().all(|times| *times <= 2),
        "{twice} ran more than once, {active} were running"
    );
    assert_eq!(
        worker
            .metric("pgboss_rescued_jobs_total{queue=\"q\",reason=\"heartbeat\"}")
            .await,
        Some(active as f64)
    );
    let report = worker.stop().await.log;
    assert!(
        report.contains(&format!("stopped, {} completed;", JOBS - done)),
        "{report}"
    );
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().expect("a number")).expect("small")
}
