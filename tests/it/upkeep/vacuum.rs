//! What keeps vacuum from its work, seen for real: on a server of its own, whose settings and transactions are the test's.

use std::time::Duration;

use serde_json::json;

use super::{keeping, their_keeping, we_supervise};
use crate::differential::Straw;
use crate::support::crew::{Crew, Seen, config};
use crate::support::server::{connect, private_cluster};
use crate::support::{Boss, Release, Schema, needs_node, wait_for};

/// Counting that takes longer than a tenth of autovacuum's naptime rests, whoever counted and whoever would be next.
#[tokio::test(flavor = "multi_thread")]
async fn counting_that_took_long_has_everybody_rest() {
    needs_node!();
    let cluster = private_cluster();
    let admin = connect(&cluster.url()).await;
    admin
        .batch_execute("alter system set autovacuum_naptime = '1s'")
        .await
        .expect("it is our server");
    admin
        .batch_execute("select pg_reload_conf()")
        .await
        .expect("it is our server");
    let mut kept = Vec::new();
    for by_node in [true, false] {
        let schema = Schema::on(&cluster.url(), Release::NEWEST).await;
        schema.queue("q", json!({})).await;
        schema
            .execute(
                "create function {schema}.rest() returns trigger language plpgsql as 'begin perform pg_sleep(0.5); return new; end';
                 create trigger rest before update of monitor_on on {schema}.queue for each row execute function {schema}.rest()",
            )
            .await;
        schema
            .until("current_setting('autovacuum_naptime') in ('1s', '1')")
            .await;
        let boss = Boss::start(Release::NEWEST, &schema.url, &schema.name, their_keeping()).await;
        let straw = Straw::on(&schema).await;
        let counted = "select monitor_on from {schema}.queue";
        let later = "update {schema}.queue set monitor_claim_on = monitor_claim_on - interval '1h'";
        let theirs = async || boss.call("supervise", json!([])).await.expect("pg-boss supervises");
        let ours = async || we_supervise(&straw, &keeping()).await;
        if by_node {
            theirs().await;
        } else {
            assert_eq!(ours().await.counted.len(), 1);
        }
        let first = schema.value(counted).await;
        assert!(first.is_string(), "it is counted once");
        schema.execute(later).await;
        if by_node {
            assert_eq!(ours().await.counted.len(), 0, "it rests");
        } else {
            theirs().await;
        }
        assert_eq!(schema.value(counted).await, first, "it rests");
        schema
            .execute("update {schema}.version set monitor_backoff_on = now()")
            .await;
        schema.execute(later).await;
        assert_eq!(ours().await.counted.len(), 1, "the rest is over");
        kept.push(
            schema
                .row(
                    "select type, (select array_agg(k order by k) from jsonb_object_keys(data) k) as keys,
                       (data ->> 'naptimeSeconds')::float8 as naptime, (data ->> 'backoffSeconds')::float8 as backoff
                     from {schema}.warning where type = 'monitor_backoff' order by created_on limit 1",
                )
                .await,
        );
        boss.stop().await;
    }
    assert_eq!(kept[0], kept[1], "what is told of it");
}

/// A transaction that nobody ends pins the horizon: vacuum runs in vain, and the warning names whoever it is.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_a_snapshot_is_named() {
    let cluster = private_cluster();
    let schema = Schema::on(&cluster.url(), Release::NEWEST).await;
    schema.queue("q", json!({})).await;
    schema.jobs("q", 2000).await;
    let holder = schema.connect().await;
    holder
        .batch_execute("set application_name = 'report of the year'; begin isolation level repeatable read; select 1")
        .await
        .expect("a snapshot");
    schema
        .execute("delete from {schema}.job where (data ->> 'n')::int > 100")
        .await;
    let mut config = config(&schema, &["served"]);
    config.upkeep.supervise_interval = Duration::from_secs(1);
    config.upkeep.persist_warnings = true;
    let crew = Crew::start(config, [("served", Seen::default().handler())]);
    let warned = "select coalesce((select data from {schema}.warning where type = 'xmin_horizon'), 'null') as data";
    let vacuum = schema.sql("vacuum {schema}.job_common");
    wait_for("the warning", async || {
        schema.client().batch_execute(&vacuum).await.expect("it is vacuumed");
        tokio::time::sleep(Duration::from_millis(200)).await;
        !schema.value(warned).await.is_null()
    })
    .await;
    let data = schema.value(warned).await;
    let pid = holder
        .query_one("select pg_backend_pid()", &[])
        .await
        .expect("its number");
    assert_eq!(data["holderPid"], json!(pid.get::<_, i32>(0)), "{data}");
    assert_eq!(data["holderApplicationName"], "report of the year");
    assert_eq!(
        [&data["source"], &data["table"]],
        [&json!("backends"), &json!("job_common")]
    );
    assert!(data["deadTuples"].as_i64().expect("a number") >= 1900, "{data}");
    // Once it is ended, vacuum gets on.
    holder.batch_execute("rollback").await.expect("it ends");
    let dead = schema.sql(
        "select n_dead_tup::int8 from pg_stat_user_tables where schemaname = '{schema}' and relname = 'job_common'",
    );
    wait_for("vacuum to clean up", async || {
        schema.client().batch_execute(&vacuum).await.expect("it is vacuumed");
        let row = schema.client().query_one(&dead, &[]).await.expect("it is counted");
        row.get::<_, i64>(0) < 100
    })
    .await;
    crew.stop().await;
}
