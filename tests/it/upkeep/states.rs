//! The event `monitor-states` of pg-boss 10, which is Node's to emit.

use serde_json::{Value, json};
use strawboss::upkeep::states;

use super::we_supervise;
use crate::differential::Straw;
use crate::support::crew::{Crew, Seen, config};
use crate::support::{Boss, Release, Schema, needs_node};

const MONITORED: &str = "select monitored_on from {schema}.version";

/// A worker of ours supervises and counts, and whoever listens in Node is told of every interval all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_node_tells_its_listeners_is_what_we_count_and_its_claim_is_left_alone() {
    needs_node!();
    let schema = Schema::new(Release::V10_4_2).await;
    for queue in ["q", "other", "empty"] {
        schema.queue(queue, json!({})).await;
    }
    schema
        .execute(
            "insert into {schema}.job (name, state, completed_on)
             select 'q', state, case when state > 'active' then now() end
             from unnest(enum_range(null::{schema}.job_state)) state, generate_series(1, 2);
             update {schema}.job set started_on = now() where state = 'active';
             insert into {schema}.job (name) values ('other')",
        )
        .await;
    let mut config = config(&schema, &["empty"]);
    config.upkeep.supervise_interval = std::time::Duration::from_secs(1);
    config.upkeep.monitor_interval = std::time::Duration::from_secs(1);
    let crew = Crew::start(config, [("empty", Seen::default().handler())]);
    schema
        .until("(select maintained_on is not null from {schema}.version)")
        .await;
    assert_eq!(schema.value(MONITORED).await, Value::Null, "nobody listens yet");

    let options = json!({ "monitorStateIntervalSeconds": 1, "start": false });
    let boss = Boss::start(Release::V10_4_2, &schema.url, &schema.name, options).await;
    let listen = "boss.on('monitor-states', detail => say({ event: 'monitor-states', detail })); await boss.start()";
    boss.eval(listen, json!([])).await.expect("it starts");
    for _ in 0..2 {
        let told = boss.event("monitor-states").await["detail"].take();
        let straw = Straw::on(&schema).await;
        let client = straw.database.client().await.expect("a connection");
        let counted = states(&client, &straw.dialect).await.expect("they are counted");
        assert_eq!(serde_json::to_value(&counted).expect("JSON"), told);
        assert_eq!((counted.all.all, counted.queues["q"].active), (13, 2));
    }
    boss.stop().await;
    let then = schema.value(MONITORED).await;
    assert!(then.is_string(), "{then}");
    schema
        .execute("update {schema}.version set maintained_on = maintained_on - interval '1 day'")
        .await;
    we_supervise(&Straw::on(&schema).await, &strawboss::config::UpkeepConfig::default()).await;
    assert_eq!(schema.value(MONITORED).await, then);
    crew.stop().await;
}
