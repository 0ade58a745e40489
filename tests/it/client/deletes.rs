//! Jobs and queues go.

use serde_json::json;

use super::Both;
use crate::differential::{job, on_releases};
use crate::support::Release;

const COUNTS: &str = "select q.name, q.policy, j.jobs from {schema}.queue q \
                      left join lateral (select count(*) as jobs from {schema}.job j where j.name = q.name) j on true order by 1";

async fn by_what_they_have_come_to(release: Release) {
    let both = Both::new(release).await;
    let v10 = both.version() == 24;
    let mut names = vec!["a", "b", "c"];
    for name in ["a", "b", "c"] {
        both.queue(name, json!({})).await;
    }
    if !v10 {
        both.queue("own", json!({"partition": true})).await;
        names.push("own");
    }
    for (queue, name) in names.iter().enumerate() {
        let first = u32::try_from(queue).expect("few") * 10;
        let states = ["created", "retry", "active", "completed", "cancelled", "failed"];
        let rows = states.into_iter().zip(first..);
        both.jobs(
            name,
            rows.map(|(state, n)| job(n, json!({"state": state, "completed_on": "2026-01-02T00:00:00Z"}))),
        )
        .await;
    }
    let queues = "select to_jsonb(q) - 'created_on' - 'updated_on' - 'retained_on' - 'monitor_on' as row \
                  from {schema}.queue q order by name";
    if both.version() == 46 {
        // As a maintenance pass would have left them.
        both.execute(
            "update {schema}.queue set retained_count = 2, total_count = 6, queued_count = 2, retained_on = now(), monitor_on = now()",
        )
        .await;
    }
    let client = &both.client;
    both.boss(if v10 { "purgeQueue" } else { "deleteQueuedJobs" }, json!(["a"]))
        .await;
    assert_eq!(client.delete_queued_jobs("a").await.expect("deleted"), 2);
    both.assert_equal("queued jobs are deleted", &[]).await;
    both.same_rows("queued jobs are counted out", queues).await;
    if v10 {
        both.theirs
            .execute("delete from {schema}.job where name = 'b' and state > 'active'")
            .await;
        both.theirs.execute("delete from {schema}.job where name = 'c'").await;
    } else {
        both.boss("deleteStoredJobs", json!(["b"])).await;
        both.boss("deleteAllJobs", json!(["c"])).await;
        both.boss("deleteAllJobs", json!(["own"])).await;
        assert_eq!(client.delete_all_jobs(Some("own".into())).await.expect("deleted"), None);
    }
    assert_eq!(client.delete_stored_jobs("b").await.expect("deleted"), 3);
    assert_eq!(
        client.delete_all_jobs(Some("c".into())).await.expect("deleted"),
        Some(6)
    );
    both.assert_equal("stored jobs, and all, are deleted", &[]).await;
    both.same_rows("they are counted out", queues).await;
    if both.version() >= 35 {
        both.boss("deleteAllJobs", json!([])).await;
        assert_eq!(client.delete_all_jobs(None).await.expect("deleted"), None);
        both.assert_equal("everything is deleted", &[]).await;
        both.same_rows("nothing is counted", queues).await;
    }
    if both.version() == 46 {
        // Within a caller's transaction the queue's row is left alone, and so nobody waits for it.
        both.our_jobs(
            "a",
            [job(
                90,
                json!({"state": "completed", "completed_on": "2026-01-02T00:00:00Z"}),
            )],
        )
        .await;
        both.ours
            .execute("update {schema}.queue set retained_count = 7, retained_on = now()")
            .await;
        let mut connection = both.straw.database.client().await.expect("a connection");
        let transaction = connection.transaction().await.expect("it begins");
        let within = client.within(&transaction);
        assert_eq!(within.delete_stored_jobs("a").await.expect("deleted"), 1);
        transaction.commit().await.expect("it commits");
        let kept = both
            .ours
            .value("select retained_count from {schema}.queue where name = 'a'")
            .await;
        assert_eq!(kept, json!(7));
    }
}

async fn queues_that_go(release: Release) {
    let both = Both::new(release).await;
    let v10 = both.version() == 24;
    both.queue("dead", json!({})).await;
    both.queue("q", json!({"deadLetter": "dead"})).await;
    both.queue("own", json!({"partition": true})).await;
    for (n, queue) in (1..).zip(["dead", "q", "own"]) {
        both.jobs(
            queue,
            [job(n, json!({"dead_letter": (queue == "q").then_some("dead")}))],
        )
        .await;
    }
    let client = &both.client;
    // pg-boss 11.1 to 12.24 swallow the refusal of the foreign key, or have none of their own.
    let ours = client.delete_queue("dead").await;
    let refusal = ours.expect_err("it is in use").to_string();
    assert_eq!(
        refusal,
        "Queue dead was not deleted: queue q uses it as its dead letter queue"
    );
    if both.version() == 46 {
        let theirs = both.pair.boss.call("deleteQueue", json!(["dead"])).await;
        assert_eq!(theirs.expect_err("it is in use").message, refusal);
    }
    for queue in ["own", "q", "dead", "never there"] {
        if v10 {
            // That release does not delete a queue that has jobs; ours deletes them first.
            both.theirs
                .execute(&format!("delete from {{schema}}.job where name = '{queue}'"))
                .await;
        }
        if v10 || queue != "never there" {
            both.boss("deleteQueue", json!([queue])).await;
        }
        client.delete_queue(queue).await.expect("it is deleted");
        both.same_rows(queue, COUNTS).await;
    }
    both.assert_equal("jobs of queues that went", &[]).await;
    let tables = "select count(*) as tables from pg_class c join pg_namespace n on n.oid = c.relnamespace \
                  where n.nspname = '{schema}' and c.relkind = 'r'";
    both.same_rows("their tables went", tables).await;
}

on_releases!(every: by_what_they_have_come_to, queues_that_go);
