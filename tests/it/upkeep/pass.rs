//! One table of expired, silent, finished, waiting and blocked jobs, handed to both supervisors: rows and caches are equal.

use serde_json::{Value, json};

use super::{keeping, their_keeping, we_supervise};
use crate::differential::{Pair, alike, job, on_releases, running};
use crate::support::Release;

on_releases!(every: jobs_and_caches);
// Where ready and failed jobs are counted and there is no history yet, and where they are not.
on_releases!(between: V12_20_0 v12_20_0, V12_21_0 v12_21_0);
on_releases!(throughput: V12_38_0 v12_38_0);

/// A job in that state, with the times that go with it.
fn row(n: u32, state: &str, columns: Value) -> Value {
    let mut row = job(n, json!({"state": state}));
    let row_of = row.as_object_mut().expect("a row is an object");
    row_of.extend(columns.as_object().expect("columns are an object").clone());
    row
}

impl Pair {
    /// Jobs of every kind.
    async fn every_kind(&self, queue: &str) {
        // In which order tables are walked is nobody's promise: a dead letter from another table may be counted or not.
        let dead = (queue == "q").then_some("dead");
        let now = json!(chrono::Utc::now().to_rfc3339());
        let later = "2090-01-01T00:00:00Z";
        let done = json!({"completed_on": now, "started_on": now});
        let long_done = json!({"completed_on": "2026-01-02T00:00:00Z", "started_on": "2026-01-01T00:00:00Z"});
        let with = |base: &Value, more: Value| {
            let mut all = base.clone();
            all.as_object_mut()
                .expect("made above")
                .extend(more.as_object().expect("made here").clone());
            all
        };
        let rows = [
            row(1, "created", json!({})),
            row(2, "created", json!({"start_after": later})),
            row(3, "created", json!({"blocked": true, "pending_dependencies": 1})),
            row(4, "retry", json!({"retry_count": 1})),
            row(5, "created", json!({"keep_until": "2026-01-02T00:00:00Z"})),
            row(6, "retry", json!({"keep_until": "2026-01-02T00:00:00Z"})),
            row(7, "completed", done.clone()),
            row(8, "completed", long_done.clone()),
            row(9, "completed", with(&long_done, json!({"deletion_seconds": 0}))),
            row(10, "completed", with(&done, json!({"start_after": later}))),
            row(11, "failed", done.clone()),
            row(12, "failed", long_done.clone()),
            row(13, "cancelled", long_done.clone()),
            row(14, "cancelled", done.clone()),
            running(15, json!({"started_on": now, "heartbeat_on": now})),
            running(16, json!({"retry_limit": 2})),
            running(17, json!({"retry_limit": 0, "dead_letter": dead})),
            running(
                18,
                json!({"started_on": now, "heartbeat_seconds": 10, "retry_limit": 0}),
            ),
            running(19, json!({"started_on": now, "keep_until": "2026-01-02T00:00:00Z"})),
        ];
        self.jobs(queue, rows).await;
    }

    /// Compares the rows of a table that is not of jobs, those columns left out and those numbers within two of each other.
    async fn assert_table(&self, what: &str, sql: &str, near: &[&str]) {
        let (theirs, ours) = tokio::join!(self.theirs.rows(sql), self.ours.rows(sql));
        assert_eq!(
            theirs.len(),
            ours.len(),
            "pg-boss {}, {what}: {theirs:#?} {ours:#?}",
            self.release
        );
        for (their, our) in theirs.iter().zip(&ours) {
            for (column, theirs) in their.as_object().expect("a row") {
                let ours = &our[column];
                let close = near.contains(&column.as_str())
                    && theirs
                        .as_f64()
                        .zip(ours.as_f64())
                        .is_some_and(|(one, other)| (one - other).abs() <= 2.0);
                assert!(
                    close || alike(theirs, ours),
                    "pg-boss {}, {what}, {}, {column}: theirs {theirs}, ours {ours}",
                    self.release,
                    their["name"]
                );
            }
        }
    }

    /// Compares the caches, the history and the warnings.
    async fn assert_kept(&self, what: &str) {
        let near = ["delta_seconds", "ready_oldest_seconds"];
        if self.release == Release::V10_4_2 {
            self.assert_table(
                what,
                "select 'version' as name, maintained_on from {schema}.version",
                &[],
            )
            .await;
            return;
        }
        let order = "array(select k from unnest(q.singletons_active) k order by k)";
        let queues = format!(
            "select to_jsonb(q) || jsonb_build_object('singletons_active', {order}) as row from {{schema}}.queue q order by q.name"
        );
        let queues = format!("select r.* from ({queues}) w, jsonb_populate_record(null::{{schema}}.queue, w.row) r");
        self.assert_table(&format!("{what}, the queues"), &queues, &near).await;
        if self.version() >= 35 {
            let history =
                "select to_jsonb(s) - 'id' as row, s.name from {schema}.queue_stats s order by s.name, s.captured_on";
            let history = format!(
                "select r.*, '' as id from ({history}) w, jsonb_populate_record(null::{{schema}}.queue_stats, w.row || '{{\"id\": null}}') r"
            );
            let history = history.replace("r.*, '' as id", "to_jsonb(r) as row, r.name");
            let (theirs, ours) = tokio::join!(self.theirs.rows(&history), self.ours.rows(&history));
            assert_eq!(
                theirs.len(),
                ours.len(),
                "pg-boss {}, {what}, the history: {theirs:#?} {ours:#?}",
                self.release
            );
            for (their, our) in theirs.iter().zip(&ours) {
                for (column, theirs) in their["row"].as_object().expect("a row") {
                    let ours = &our["row"][column];
                    let close = near.contains(&column.as_str())
                        && theirs
                            .as_f64()
                            .zip(ours.as_f64())
                            .is_some_and(|(one, other)| (one - other).abs() <= 2.0);
                    assert!(
                        close || alike(theirs, ours),
                        "pg-boss {}, {what}, the history of {}, {column}: theirs {theirs}, ours {ours}",
                        self.release,
                        their["name"]
                    );
                }
            }
        }
        if self.version() >= 29 {
            let warnings = "select type as name, data ->> 'name' as queue, data ->> 'queuedCount' as queued, \
                            data ->> 'warningQueueSize' as threshold, created_on from {schema}.warning order by 2, 3";
            self.assert_table(&format!("{what}, the warnings"), warnings, &[]).await;
        }
    }
}

async fn jobs_and_caches(release: Release) {
    let pair = Pair::with(release, their_keeping()).await;
    pair.queue("dead", json!({})).await;
    pair.queue("q", json!({"heartbeatSeconds": 10, "warningQueueSize": 3}))
        .await;
    pair.queue("apart", json!({"heartbeatSeconds": 10, "partition": true}))
        .await;
    pair.queue("empty", json!({})).await;
    pair.queue("one", json!({"policy": "singleton"})).await;
    for queue in ["q", "apart"] {
        pair.every_kind(queue).await;
    }
    let now = json!(chrono::Utc::now().to_rfc3339());
    for (n, key) in [(1, "a"), (2, "b")] {
        let row = running(n, json!({"started_on": now, "heartbeat_on": now, "singleton_key": key}));
        pair.jobs("one", [row]).await;
    }
    if pair.version() >= 31 {
        pair.execute(
            "insert into {schema}.job_dependency (child_name, child_id, parent_name, parent_id) select 'q', c::uuid, p.name, p.id::uuid from
             (values ('00000000-0000-4000-8000-000000000003')) c(c),
             (values ('q', '00000000-0000-4000-8000-000000000001'), ('apart', '00000000-0000-4000-8000-000000000099')) p(name, id);
             insert into {schema}.job_dependency (child_name, child_id, parent_name, parent_id) values
             ('apart', '00000000-0000-4000-8000-000000000098', 'q', '00000000-0000-4000-8000-000000000001')",
        )
        .await;
    }

    pair.they_supervise().await;
    let done = we_supervise(&pair.straw, &keeping()).await;
    pair.assert_equal("after a pass", &[]).await;
    pair.assert_kept("after a pass").await;
    if pair.version() >= 31 {
        let left = "select child_id::text as name, parent_id::text from {schema}.job_dependency order by 1, 2";
        pair.assert_table("the dependencies", left, &[]).await;
        assert_eq!(done.orphans, 2, "those of a parent and of a child that never were");
    }
    // Rows 5, 6, 8, 12 and 13; before 12.6 a finished job with `deletion_seconds` of 0 goes, too, and whatever ended long
    // ago goes to the archive of schema 24.
    let old = if pair.version() < 27 { 6 } else { 5 };
    assert_eq!(done.deleted, 2 * old, "pg-boss {release}");
    assert!(!done.rescued.is_empty());

    // Nothing is due again but what an hour makes due.
    let nothing = we_supervise(&pair.straw, &keeping()).await;
    assert_eq!(nothing, Default::default(), "pg-boss {release}: all claims are young");
    tokio::join!(pair.theirs.an_hour_later(), pair.ours.an_hour_later());
    pair.they_supervise().await;
    we_supervise(&pair.straw, &keeping()).await;
    pair.assert_equal("after another pass", &[]).await;
    pair.assert_kept("after another pass").await;
}

async fn between(release: Release) {
    jobs_and_caches(release).await;
}

/// What came, went and took how long since the pass before, and jobs that come to light late.
async fn throughput(release: Release) {
    let pair = Pair::with(release, their_keeping()).await;
    pair.queue("q", json!({})).await;
    pair.queue("apart", json!({"partition": true})).await;
    pair.they_supervise().await;
    we_supervise(&pair.straw, &keeping()).await;
    // Five minutes later, as far as they can tell.
    let back = "interval '5 minutes'";
    pair.execute(&format!(
        "update {{schema}}.queue set delta_on = delta_on - {back}, monitor_claim_on = monitor_claim_on - {back};
         update {{schema}}.queue_stats set delta_on = delta_on - {back}, captured_on = captured_on - interval '1 minute'"
    ))
    .await;
    for queue in ["q", "apart"] {
        pair.execute(&format!(
            "insert into {{schema}}.job (name, state, policy, created_on, start_after, started_on, completed_on, retry_limit)
             select '{queue}', (case when n % 5 = 0 then 'failed' when n % 7 = 0 then 'cancelled' else 'completed' end)::{{schema}}.job_state,
               'standard', now() - interval '4 minutes', now() - interval '4 minutes',
               now() - interval '4 minutes' + n * n * interval '7 milliseconds',
               now() - interval '4 minutes' + n * n * interval '7 milliseconds' + (100 - n) * interval '11.3 milliseconds', 2
             from generate_series(1, 100) n;
             insert into {{schema}}.job (name, state, policy, created_on, start_after)
             select '{queue}', 'created', 'standard', now() - n * interval '10 seconds', now() - n * interval '10 seconds'
             from generate_series(0, 20) n"
        ))
        .await;
    }
    pair.they_supervise().await;
    we_supervise(&pair.straw, &keeping()).await;
    pair.assert_kept("after five minutes").await;
    let counted = pair
        .ours
        .row("select created_delta, completed_delta, failed_delta, delta_seconds between 295 and 330 as span from {schema}.queue where name = 'q'")
        .await;
    assert!(counted["created_delta"].as_i64().expect("a number") >= 118, "{counted}");
    assert_eq!(
        (&counted["completed_delta"], &counted["failed_delta"], &counted["span"]),
        (&json!(68), &json!(20), &json!(true)),
        "{counted}"
    );

    // A transaction that took long: its jobs carry the time of the window before, which is written already.
    let late = "insert into {schema}.job (name, state, policy, created_on, start_after, started_on, completed_on)
         select 'q', 'completed', 'standard', now() - interval '3 minutes', now() - interval '3 minutes',
           now() - interval '2 minutes', now() - interval '1 minutes' from generate_series(1, 9) n";
    pair.execute(late).await;
    tokio::join!(pair.theirs.an_hour_later(), pair.ours.an_hour_later());
    pair.they_supervise().await;
    we_supervise(&pair.straw, &keeping()).await;
    pair.assert_kept("after jobs came to light").await;
    let raised = "select max(completed_delta) from {schema}.queue_stats where name = 'q'";
    assert_eq!(pair.ours.value(raised).await, json!(77));

    // Finished jobs are counted as they pass, and those that came late when the queue is walked over.
    pair.execute("update {schema}.queue set maintain_on = maintain_on - interval '1 day'")
        .await;
    pair.they_supervise().await;
    we_supervise(&pair.straw, &keeping()).await;
    pair.assert_kept("after a day").await;
    let kept = "select total_count = (select count(*) from {schema}.job j where j.name = q.name) from {schema}.queue q where name = 'q'";
    assert_eq!(pair.ours.value(kept).await, json!(true));
}
