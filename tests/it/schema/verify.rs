//! Whether a schema is whole: every kind of damage is found, and a whole one is left in peace.

use serde_json::{Value, json};
use strawboss::dialect::NEWEST;
use strawboss::postgres::{Database, Settings};
use strawboss::schema::{self, Error, Severity, Verification};

use super::{build_all, catalog, database, humble, migrations};
use crate::support::node::{Boss, Release};
use crate::support::{Schema, needs_node};

async fn verify(schema: &Schema) -> Verification {
    schema::verify(&database(&schema.url), &schema.name)
        .await
        .expect("it looks")
}

/// Severity, object and problem of a finding.
type Damage<'a> = (&'a str, &'a str, &'a str);

/// Severity, object and problem of every finding.
fn brief(verification: &Verification) -> Vec<(String, String, String)> {
    let findings = json!(verification.findings);
    let text = |finding: &Value, field: &str| finding[field].as_str().expect("a text").to_owned();
    findings
        .as_array()
        .expect("a list")
        .iter()
        .map(|finding| {
            (
                text(finding, "severity"),
                text(finding, "object"),
                text(finding, "problem"),
            )
        })
        .collect()
}

#[tokio::test]
async fn each_damage_is_found_and_nothing_else() {
    let schema = Schema::vacant().await;
    schema::install(&database(&schema.url), &schema.name)
        .await
        .expect("it installs");
    schema
        .execute(r#"select {schema}.create_queue('it''s', '{"policy": "stately", "partition": true}')"#)
        .await;
    let own = schema
        .value("select table_name from {schema}.queue where name = 'it''s'")
        .await;
    let own = own.as_str().expect("a name");
    let before = catalog(&schema).await;
    let found = verify(&schema).await;
    assert_eq!(found.findings, []);
    assert_eq!(found.version, NEWEST);
    assert!(found.checked[0].contains("fresh install"), "{:?}", found.checked);
    assert_eq!(catalog(&schema).await, before, "looking changes nothing");

    let own_index = format!("index {own}_i3 on {own}");
    let drop_own_index = format!("drop index {{schema}}.{own}_i3");
    let detach_own = format!("alter table {{schema}}.job detach partition {{schema}}.{own}");
    let own_table = format!("table {own}");
    let damages: &[(&str, &[Damage<'_>])] = &[
        (
            "drop index {schema}.job_common_i15",
            &[("warning", "index job_common_i15 on job_common", "missing")],
        ),
        (
            "drop index {schema}.job_common_i4",
            &[("error", "index job_common_i4 on job_common", "missing")],
        ),
        (&drop_own_index, &[("error", &own_index, "missing")]),
        (&detach_own, &[("error", &own_table, "different")]),
        (
            "drop index {schema}.job_common_i15; insert into {schema}.bam (name, version, table_name, command)
             values ('x', 46, 'job_common', 'create index concurrently job_common_i15 on {schema}.job_common (name)')",
            &[("info", "index job_common_i15 on job_common", "building")],
        ),
        (
            "drop index {schema}.job_common_i4; insert into {schema}.bam (name, version, table_name, command, status)
             values ('x', 46, 'job_common', 'create index concurrently job_common_i4 on {schema}.job_common (name)',
                     'failed')",
            &[("error", "index job_common_i4 on job_common", "building")],
        ),
        (
            "drop index {schema}.job_common_i15; create index job_common_i15 on {schema}.job_common (created_on, name)",
            &[("warning", "index job_common_i15 on job_common", "different")],
        ),
        (
            "update pg_index set indisvalid = false where indexrelid = '{schema}.job_common_i4'::regclass",
            &[("error", "index job_common_i4 on job_common", "invalid")],
        ),
        (
            "create index mine on {schema}.job_common (output)",
            &[("info", "index mine on job_common", "extra")],
        ),
        (
            "alter table {schema}.queue add note text",
            &[("warning", "column queue.note", "extra")],
        ),
        (
            "alter table {schema}.warning add note text not null",
            &[("error", "column warning.note", "extra")],
        ),
        (
            "alter table {schema}.schedule drop timezone",
            &[("error", "column schedule.timezone", "missing")],
        ),
        (
            "alter table {schema}.queue alter notify set default true",
            &[("error", "column queue.notify", "different")],
        ),
        (
            "alter table {schema}.warning add check (message <> '')",
            &[(
                "warning",
                "constraint on warning: CHECK ((message <> ''::text))",
                "extra",
            )],
        ),
        (
            "alter table {schema}.schedule drop constraint schedule_name_fkey",
            &[(
                "warning",
                "constraint on schedule: FOREIGN KEY (name) REFERENCES queue(name) ON DELETE CASCADE",
                "missing",
            )],
        ),
        (
            "alter table {schema}.bam drop constraint bam_pkey",
            &[("error", "constraint on bam: PRIMARY KEY (id)", "missing")],
        ),
        (
            "drop table {schema}.instance",
            &[("error", "table instance", "missing")],
        ),
        (
            "create table {schema}.mine (id int primary key)",
            &[("info", "table mine", "extra")],
        ),
        (
            "alter table {schema}.subscription enable row level security",
            &[("error", "table subscription", "different")],
        ),
        (
            "drop function {schema}.delete_queue",
            &[("error", "function delete_queue(queue_name text)", "missing")],
        ),
        (
            "create function {schema}.delete_queue(queue_name text, really boolean) returns void language sql as ''",
            &[(
                "warning",
                "function delete_queue(queue_name text, really boolean)",
                "extra",
            )],
        ),
        (
            "create or replace function {schema}.job_now() returns timestamptz language sql volatile
             as 'select clock_timestamp()'",
            &[
                ("error", "function job_now()", "different"),
                ("warning", "body of job_now()", "different"),
            ],
        ),
        (
            "alter type {schema}.job_state add value 'paused'",
            &[("error", "enum job_state", "different")],
        ),
    ];
    for (damage, expected) in damages {
        // Each on a fresh copy, since some of them cannot be undone.
        let copy = Schema::vacant().await;
        schema::install(&database(&copy.url), &copy.name)
            .await
            .expect("it installs");
        copy.execute(r#"select {schema}.create_queue('it''s', '{"policy": "stately", "partition": true}')"#)
            .await;
        copy.execute(damage).await;
        let found = verify(&copy).await;
        let expected: Vec<_> = expected
            .iter()
            .map(|(severity, object, problem)| (severity.to_string(), object.to_string(), problem.to_string()))
            .collect();
        assert_eq!(brief(&found), expected, "after: {damage}");
        let is_error = expected.iter().any(|(severity, ..)| severity == "error");
        assert_eq!(found.is_sound(), !is_error, "after: {damage}");
        assert!(found.findings.iter().all(|finding| !finding.advice.is_empty()));
    }
}

#[tokio::test]
async fn what_every_release_installs_is_whole() {
    needs_node!();
    for release in Release::ALL {
        let schema = Schema::new(release).await;
        let boss = Boss::start(release, &schema.url, &schema.name, json!({})).await;
        for policy in ["short", "singleton", "stately"] {
            let options = json!({ "policy": policy, "partition": true });
            boss.call("createQueue", json!([policy, options]))
                .await
                .expect("it is made");
        }
        boss.stop().await;
        let found = verify(&schema).await;
        assert_eq!(found.findings, [], "pg-boss {release}");
        assert_eq!(found.version, release.schema_version());

        schema.execute("alter table {schema}.job drop dead_letter").await;
        let found = verify(&schema).await;
        assert!(!found.is_sound(), "pg-boss {release}");
        assert!(
            found
                .findings
                .iter()
                .any(|finding| finding.object == "column job.dead_letter"),
            "pg-boss {release}: {:?}",
            found.findings
        );
    }
}

#[tokio::test]
async fn a_schema_is_whole_at_every_step_of_its_migrations() {
    needs_node!();
    let schema = Schema::new(Release::V11_1_2).await;
    let boss = Boss::start(Release::V11_1_2, &schema.url, &schema.name, json!({})).await;
    for policy in ["standard", "short", "exclusive"] {
        let options = json!({ "policy": policy, "partition": true });
        boss.call("createQueue", json!([policy, options]))
            .await
            .expect("it is made");
    }
    boss.stop().await;
    let steps = migrations(&schema.name);
    for step in steps.iter().filter(|step| step.from >= 26) {
        schema.execute(&step.up).await;
        let found = verify(&schema).await;
        assert_eq!(i64::from(found.version), step.to);
        // Indexes that are still to be built are said to be, and nothing else is amiss.
        let others: Vec<_> = found
            .findings
            .iter()
            .filter(|finding| finding.severity != Severity::Info)
            .collect();
        assert!(others.is_empty(), "schema {}: {others:#?}", step.to);
    }
    build_all(&schema).await;
    assert_eq!(verify(&schema).await.findings, []);
}

#[tokio::test]
async fn a_migration_cut_short_is_noticed() {
    needs_node!();
    let schema = Schema::new(Release::V12_27_0).await;
    schema
        .execute("alter table {schema}.job drop heartbeat_on, add trace_context jsonb; drop table {schema}.warning")
        .await;
    assert_eq!(
        brief(&verify(&schema).await),
        [
            ("error", "table warning", "missing"),
            ("error", "column job.heartbeat_on", "missing"),
            ("warning", "column job.trace_context", "extra"),
        ]
        .map(|(severity, object, problem)| (severity.to_owned(), object.to_owned(), problem.to_owned()))
    );
    schema.execute("update {schema}.version set version = 20").await;
    let found = verify(&schema).await;
    assert!(!found.is_sound());
    assert_eq!(found.findings.len(), 1);
}

#[tokio::test]
async fn without_room_to_compare_the_needs_are_checked() {
    let schema = Schema::vacant().await;
    schema::install(&database(&schema.url), &schema.name)
        .await
        .expect("it installs");
    let read_only = format!(
        "{}{}options=-c%20default_transaction_read_only%3Don",
        schema.url,
        if schema.url.contains('?') { '&' } else { '?' }
    );
    let found = schema::verify(&database(&read_only), &schema.name)
        .await
        .expect("it looks");
    assert_eq!(found.findings, []);
    assert!(
        found
            .checked
            .iter()
            .any(|text| text.contains("this server is read-only")),
        "{:?}",
        found.checked
    );
    schema
        .execute("drop table {schema}.bam; drop index {schema}.job_common_i11")
        .await;
    let found = schema::verify(&database(&read_only), &schema.name)
        .await
        .expect("it looks");
    let objects: Vec<_> = found.findings.iter().map(|finding| finding.object.as_str()).collect();
    assert_eq!(objects, ["table bam", "index job_common_i11 on job_common"]);

    // A session whose temporary schema is not free, which it would be only if others share it.
    let settings = Settings::parse(&schema.url).expect("it is a URL").with_pool_size(1);
    let pool = Database::new(&settings).expect("a pool opens nothing");
    let client = pool.client().await.expect("a connection");
    client
        .batch("create temporary table queue ()")
        .await
        .expect("it is made");
    drop(client);
    let found = schema::verify(&pool, &schema.name).await.expect("it looks");
    assert!(
        found
            .checked
            .iter()
            .any(|text| text.contains("\"queue\" already exists")),
        "{:?}",
        found.checked
    );
    assert_eq!(found.findings.len(), 2);
    // And the connection is fit for more.
    assert!(schema::verify(&pool, &schema.name).await.is_ok());

    let nowhere = Schema::vacant().await;
    let error = schema::verify(&database(&nowhere.url), &nowhere.name)
        .await
        .expect_err("nothing is there");
    assert!(matches!(error, Error::NotInstalled { .. }), "{error}");
}

#[tokio::test]
async fn whoever_may_not_look_learns_what_to_grant() {
    let schema = Schema::vacant().await;
    schema::install(&database(&schema.url), &schema.name)
        .await
        .expect("it installs");
    let (url, role) = humble(&schema).await;
    let pool = database(&url);
    let client = pool.client().await.expect("a connection");
    let of_status = schema::status(&client, &schema.name).await.expect_err("it may not");
    let of_verify = schema::verify(&pool, &schema.name).await.expect_err("it may not");
    for error in [of_status, of_verify] {
        let Error::Forbidden { grant, .. } = error else {
            panic!("{error}")
        };
        schema.execute(&grant).await;
    }
    let status = schema::status(&client, &schema.name).await.expect("now it may");
    assert_eq!(status.install.map(|install| install.version), Some(NEWEST));
    let found = schema::verify(&pool, &schema.name).await.expect("now it may");
    assert_eq!(found.findings, []);
    assert_eq!(found.checked.len(), 1, "{:?}", found.checked);
    schema.execute(&format!("drop owned by {role}; drop role {role}")).await;
}
