//! What pg-boss does to its own tables, done by us where that is asked for.

use serde_json::json;
use strawboss::upkeep::{build, rebuild};

use crate::differential::{Straw, on_releases};
use crate::support::{Release, Schema};

on_releases!(put_off: V12_24_0 v12_24_0, V12_38_0 v12_38_0);
on_releases!(bloat: V12_38_0 v12_38_0);

/// Commands of a migration: one that works, one whose index was left half built, and one that cannot work with one that
/// has to wait for it.
async fn put_off(release: Release) {
    let schema = Schema::new(release).await;
    let straw = Straw::on(&schema).await;
    let index = |name: &str, column: &str| {
        format!("create index concurrently if not exists {name} on {{schema}}.job_common (name, {column})")
    };
    schema.execute(&index("half_built", "priority")).await;
    schema
        .execute("update pg_index set indisvalid = false where indexrelid = '{schema}.half_built'::regclass")
        .await;
    schema.queue("apart", json!({"partition": true})).await;
    let apart = schema
        .value("select table_name from {schema}.queue where name = 'apart'")
        .await;
    let apart = apart.as_str().expect("a name");
    schema.execute("delete from {schema}.bam").await;
    for (n, name, status, table, command) in [
        (1, "works", "pending", "job_common", index("straw_1", "retry_count")),
        (2, "mends", "failed", "job_common", index("half_built", "priority")),
        (1, "fails", "pending", apart, index("straw_3", "nothing")),
        (2, "waits", "pending", apart, index("straw_4", "retry_limit")),
    ] {
        let command = schema.sql(&command);
        // A migration of its own each, but for the last two.
        let version = if table == apart { 99 } else { 90 + n };
        schema
            .execute(&format!(
                "insert into {{schema}}.bam (name, version, status, table_name, command, created_on)
                 values ('{name}', {version}, '{status}', '{table}', '{command}', now() + {n} * interval '1 second')"
            ))
            .await;
    }
    let states = "select json_object_agg(name, status) from {schema}.bam";
    // Somebody is at one of them: nothing else is begun.
    schema
        .execute("update {schema}.bam set status = 'in_progress', started_on = now() where name = 'works'")
        .await;
    assert_eq!(build(&straw.database, &straw.dialect).await.expect("it looks"), 0);
    // Who has claimed looks after them, and for a minute nobody else does.
    schema
        .execute("update {schema}.bam set status = 'pending' where name = 'works'")
        .await;
    assert_eq!(build(&straw.database, &straw.dialect).await.expect("it looks"), 0);
    let before = json!({"works": "pending", "mends": "failed", "fails": "pending", "waits": "pending"});
    assert_eq!(schema.value(states).await, before);

    // One that died at it, more than five minutes ago, is made up for.
    schema
        .execute("update {schema}.version set bam_on = null;
                  update {schema}.bam set status = 'in_progress', started_on = now() - interval '6 minutes' where name = 'mends'")
        .await;
    assert_eq!(build(&straw.database, &straw.dialect).await.expect("it builds"), 2);
    let after = json!({"works": "completed", "mends": "in_progress", "fails": "failed", "waits": "pending"});
    assert_eq!(
        schema.value(states).await,
        after,
        "what has failed or died is for the next time"
    );
    schema
        .execute("update {schema}.version set bam_on = null; delete from {schema}.bam where name = 'fails'")
        .await;
    for what in ["what waited", "what died"] {
        schema.execute("update {schema}.version set bam_on = null").await;
        assert_eq!(
            build(&straw.database, &straw.dialect).await.expect("it builds"),
            1,
            "{what}"
        );
    }
    let done = json!({"works": "completed", "mends": "completed", "waits": "completed"});
    assert_eq!(schema.value(states).await, done);
    let valid = "select count(*) as count from pg_index where indisvalid and indexrelid in
                 ('{schema}.straw_1'::regclass, '{schema}.half_built'::regclass, '{schema}.straw_4'::regclass)";
    assert_eq!(schema.value(valid).await, json!(3));
}

async fn bloat(release: Release) {
    let schema = Schema::new(release).await;
    let straw = Straw::on(&schema).await;
    schema.queue("q", json!({})).await;
    schema
        .execute("alter table {schema}.job_common set (autovacuum_enabled = false);
                  insert into {schema}.job (name, policy, singleton_key) select 'q', 'standard', n::text from generate_series(1, 30000) n;
                  delete from {schema}.job where singleton_key::int > 3")
        .await;
    schema.execute("vacuum (analyze) {schema}.job_common").await;
    let pages = "select relpages as pages from pg_class where oid = '{schema}.job_common_i17'::regclass";
    let before = schema.value(pages).await.as_i64().expect("pages");
    assert!(before > 128, "{before} pages");
    assert_eq!(
        rebuild(&straw.database, &straw.dialect).await.expect("it rebuilds"),
        Some(vec![])
    );
    let after = schema.value(pages).await.as_i64().expect("pages");
    assert!(after < 10, "{after} pages of {before}");
    assert_eq!(
        rebuild(&straw.database, &straw.dialect).await.expect("it looks"),
        None,
        "once a day"
    );
}
