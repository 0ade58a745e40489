//! Installing: Node's pg-boss takes what we make for its own.

use serde_json::{Value, json};
use strawboss::dialect::NEWEST;
use strawboss::schema::{self, Error, Installed};

use super::{build_all, catalog, database, humble, migrations};
use crate::support::node::{Boss, Release};
use crate::support::{Schema, needs_node, server};

const POLICIES: [&str; 6] = [
    "standard",
    "short",
    "singleton",
    "stately",
    "exclusive",
    "key_strict_fifo",
];

/// A schema that strawboss made.
async fn ours() -> Schema {
    let schema = Schema::vacant().await;
    let installed = schema::install(&database(&schema.url), &schema.name).await;
    assert_eq!(installed.expect("it installs"), Installed::Fresh(NEWEST));
    schema
}

/// Two schemas of version 46, Node's and ours, each with a pg-boss on it.
async fn both() -> [(Schema, Boss); 2] {
    let (theirs, ours) = (Schema::new(Release::NEWEST).await, ours().await);
    let their_boss = Boss::start(Release::NEWEST, &theirs.url, &theirs.name, json!({})).await;
    let our_boss = Boss::start(Release::NEWEST, &ours.url, &ours.name, json!({})).await;
    [(theirs, their_boss), (ours, our_boss)]
}

/// A queue of every policy in the shared table and in a table of its own, and one with every option.
async fn create_queues(boss: &Boss) {
    boss.call("createQueue", json!(["dead"])).await.expect("it is made");
    for policy in POLICIES {
        for partition in [false, true] {
            let name = format!("{policy}-{partition}");
            let options = json!({ "policy": policy, "partition": partition });
            boss.call("createQueue", json!([name, options]))
                .await
                .expect("it is made");
        }
    }
    let every = json!({
        "partition": true, "retryLimit": 7, "retryDelay": 3, "retryBackoff": true, "retryDelayMax": 60,
        "expireInSeconds": 120, "retentionSeconds": 3600, "deleteAfterSeconds": 1800, "warningQueueSize": 9,
        "deadLetter": "dead", "heartbeatSeconds": 20, "notify": true,
    });
    boss.call("createQueue", json!(["every/option.of_a-queue", every]))
        .await
        .expect("it is made");
    // A second time changes nothing and is no error.
    boss.call("createQueue", json!(["dead", { "retryLimit": 99 }]))
        .await
        .expect("it is there");
}

async fn queues(schema: &Schema) -> Vec<Value> {
    let rows = schema.rows("select * from {schema}.queue order by name").await;
    rows.into_iter()
        .map(|mut row| {
            let columns = row.as_object_mut().expect("a row is an object");
            for stamp in ["created_on", "updated_on"] {
                assert!(columns.remove(stamp).is_some_and(|at| at.is_string()), "{stamp}");
            }
            row
        })
        .collect()
}

#[tokio::test]
async fn node_finds_no_drift_but_the_bodies() {
    needs_node!();
    let schema = ours().await;
    let boss = Boss::start(Release::NEWEST, &schema.url, &schema.name, json!({})).await;
    for with_queues in [false, true] {
        if with_queues {
            create_queues(&boss).await;
        }
        let mut report = boss.call("detectSchemaDrift", json!([])).await.expect("it looks");
        let mut bodies: Vec<String> = report["mismatchedFunctions"]
            .take()
            .as_array()
            .expect("a list")
            .iter()
            .map(|function| function["name"].as_str().expect("a name").to_owned())
            .collect();
        bodies.sort();
        assert_eq!(
            bodies,
            [
                "create_queue",
                "delete_queue",
                "job_now",
                "job_table_format",
                "job_table_run",
                "job_table_run_async"
            ]
        );
        // The bodies alone make it say that all is not well.
        assert_eq!(
            report,
            json!({
                "ok": false, "missingTables": [], "missing": [], "building": [], "invalid": [], "extraIndexes": [],
                "mismatched": [], "missingFunctions": [], "mismatchedFunctions": null, "columnDrift": [],
                "constraintDrift": [], "enumDrift": null,
            }),
            "with queues: {with_queues}"
        );
    }
    boss.stop().await;
}

#[tokio::test]
async fn the_catalog_is_that_of_a_schema_node_made() {
    needs_node!();
    let [(theirs, their_boss), (ours, our_boss)] = both().await;
    assert_eq!(catalog(&ours).await, catalog(&theirs).await);
    assert_eq!(
        ours.row("select * from {schema}.version").await,
        theirs.row("select * from {schema}.version").await
    );

    create_queues(&their_boss).await;
    create_queues(&our_boss).await;
    assert_eq!(queues(&ours).await, queues(&theirs).await);
    assert_eq!(catalog(&ours).await, catalog(&theirs).await);

    for boss in [&their_boss, &our_boss] {
        for name in ["every/option.of_a-queue", "standard-true", "short-false", "nowhere"] {
            boss.call("send", json!([name, {}])).await.ok();
            boss.call("deleteQueue", json!([name])).await.expect("it is deleted");
        }
        // One that is still wanted as a dead letter stays, on either side.
        boss.call("createQueue", json!(["wants", { "deadLetter": "dead" }]))
            .await
            .expect("it is made");
        boss.call("deleteQueue", json!(["dead"]))
            .await
            .expect_err("it is wanted");
    }
    assert_eq!(queues(&ours).await, queues(&theirs).await);
    assert_eq!(catalog(&ours).await, catalog(&theirs).await);
    assert_eq!(ours.value("select count(*) from {schema}.job").await, json!(0));
    their_boss.stop().await;
    our_boss.stop().await;
}

#[tokio::test]
async fn the_functions_do_what_nodes_do() {
    needs_node!();
    let [(theirs, their_boss), (ours, our_boss)] = both().await;
    let commands = [
        "ALTER TABLE {schema}.job ADD COLUMN extra int",
        "ALTER TABLE \"{schema}\".job DROP CONSTRAINT job_pkey, ADD jobs int, ADD x_job_i3 int",
        "CREATE INDEX CONCURRENTLY job_i42 ON {schema}.job (name) WHERE name LIKE 'a%%' AND state < 'active'",
        "DROP INDEX {schema}.job_i5; DROP INDEX IF EXISTS {schema}.job_i17",
        "UPDATE {schema}.job SET name = '.job' FROM {schema}.job_dependency d, {schema}.job_common c",
        "REINDEX INDEX {schema}.job_i3; SELECT 'job_ix', 'my_job_i1', '.jobs'",
    ];
    for command in commands {
        for table in ["job_common", "j0123abc", "Odd Name", "job"] {
            let mut formatted = Vec::new();
            for schema in [&theirs, &ours] {
                let answer = schema
                    .value(&format!(
                        "select {{schema}}.job_table_format($command${command}$command$, '{table}')"
                    ))
                    .await;
                formatted.push(answer.as_str().expect("a text").replace(&schema.name, "S"));
            }
            assert_eq!(formatted[1], formatted[0], "{command} for {table}");
        }
    }
    let calls = [
        "select {schema}.job_table_run('CREATE INDEX job_i40 ON {schema}.job (name)')",
        "select {schema}.job_table_run('CREATE INDEX job_i41 ON {schema}.job (name)', 'job_common')",
        "select {schema}.job_table_run('CREATE INDEX job_i42 ON {schema}.job (name)', NULL, 'short-true')",
        "select {schema}.job_table_run('CREATE INDEX job_i43 ON {schema}.job (name)', 'job_common', 'singleton-true')",
        "select {schema}.job_table_run('CREATE INDEX job_i44 ON {schema}.job (name)', 'job_common', 'nowhere')",
        "select {schema}.job_table_run('ALTER TABLE {schema}.job ADD CONSTRAINT more FOREIGN KEY (source_name)
             REFERENCES {schema}.queue (name)', 'job_common')",
        "select {schema}.job_table_run_async('one', 47, 'CREATE INDEX job_i45 ON {schema}.job (name)')",
        "select {schema}.job_table_run_async('two', 47, 'CREATE INDEX job_i46 ON {schema}.job (name)', 'job_common')",
        "select {schema}.job_table_run_async('three', 47, 'SELECT 1 FROM {schema}.job', NULL, 'short-true')",
        "select {schema}.job_table_run_async('four', 47, 'SELECT 1 FROM {schema}.job', 'job_common', 'short-true')",
        "select {schema}.job_table_run_async('five', 47, 'SELECT 1 FROM {schema}.job', 'job_common', 'nowhere')",
        "select {schema}.job_now() is not distinct from now()",
    ];
    let mut left_behind = Vec::new();
    for (schema, boss) in [(&theirs, &their_boss), (&ours, &our_boss)] {
        create_queues(boss).await;
        for call in calls {
            schema.execute(call).await;
        }
        let rows = schema
            .rows(
                "select name, version, status, queue, table_name, replace(command, '{schema}', 'S'), error, started_on,
                        completed_on
                 from {schema}.bam order by name, table_name",
            )
            .await;
        assert!(rows.len() > POLICIES.len(), "{rows:#?}");
        left_behind.push((rows, catalog(schema).await));
    }
    assert_eq!(left_behind[1], left_behind[0]);
    assert_eq!(ours.value("select {schema}.job_now() = now()").await, json!(true));
    their_boss.stop().await;
    our_boss.stop().await;
}

#[tokio::test]
async fn node_takes_its_migrations_back_and_runs_them_again() {
    needs_node!();
    let schema = ours().await;
    let boss = Boss::start(Release::NEWEST, &schema.url, &schema.name, json!({})).await;
    create_queues(&boss).await;
    boss.stop().await;
    let before = catalog(&schema).await;
    let steps = migrations(&schema.name);
    let last = steps.last().expect("there are migrations");
    assert_eq!((last.from, last.to), (i64::from(NEWEST) - 1, i64::from(NEWEST)));
    schema.execute(&last.down).await;
    schema.execute(&last.up).await;
    build_all(&schema).await;
    // Columns that went and came have moved to the end; everything else is back in its place.
    let without_columns = |facts: Vec<String>| -> Vec<String> {
        facts
            .into_iter()
            .filter(|fact| !fact.starts_with("column queue "))
            .collect()
    };
    assert_eq!(without_columns(catalog(&schema).await), without_columns(before));
}

#[tokio::test]
async fn of_many_that_install_at_once_one_does() {
    needs_node!();
    let schema = Schema::vacant().await;
    // A Node app that starts at the same moment installs or finds it installed, as the locks fall.
    let node = tokio::spawn({
        let (url, name) = (schema.url.clone(), schema.name.clone());
        async move { Boss::start(Release::NEWEST, &url, &name, json!({ "migrate": true })).await }
    });
    let installs: Vec<_> = (0..8)
        .map(|_| {
            let (database, name) = (database(&schema.url), schema.name.clone());
            tokio::spawn(async move { schema::install(&database, &name).await })
        })
        .collect();
    let mut fresh = 0;
    for install in installs {
        match install
            .await
            .expect("it does not panic")
            .expect("it installs or finds it")
        {
            Installed::Fresh(version) => {
                assert_eq!(version, NEWEST);
                fresh += 1;
            }
            Installed::Already(version) => assert_eq!(version, NEWEST),
        }
    }
    assert!(fresh <= 1, "{fresh} were first");
    let boss = node.await.expect("it does not panic");
    assert_eq!(
        boss.call("schemaVersion", json!([])).await.expect("it looks"),
        json!(NEWEST)
    );
    boss.stop().await;
}

#[tokio::test]
async fn another_version_is_left_as_it_is() {
    for release in Release::ALL.into_iter().filter(|release| *release != Release::NEWEST) {
        needs_node!();
        let schema = Schema::new(release).await;
        let before = catalog(&schema).await;
        let error = schema::install(&database(&schema.url), &schema.name)
            .await
            .expect_err("it is another version");
        assert!(
            matches!(error, Error::OtherVersion { found, .. } if found == release.schema_version()),
            "{error}"
        );
        let advice = if release.schema_version() == 24 {
            "name another schema with --schema"
        } else {
            "start Node's pg-boss 12.38 on it, which migrates"
        };
        assert!(error.to_string().contains(advice), "{error}");
        assert_eq!(catalog(&schema).await, before);
    }
}

#[tokio::test]
async fn an_install_that_fails_leaves_nothing() {
    let schema = Schema::vacant().await;
    schema
        .execute("create schema {schema}; create table {schema}.warning ()")
        .await;
    let before = catalog(&schema).await;
    let error = schema::install(&database(&schema.url), &schema.name)
        .await
        .expect_err("something is in the way");
    assert!(
        matches!(&error, Error::Taken { object, .. } if object.contains("\"warning\"")),
        "{error}"
    );
    assert_eq!(catalog(&schema).await, before);

    schema
        .execute("drop table {schema}.warning; create table {schema}.version (version int)")
        .await;
    let error = schema::install(&database(&schema.url), &schema.name)
        .await
        .expect_err("it is no install");
    assert!(matches!(error, Error::NoVersion { .. }), "{error}");
}

#[tokio::test]
async fn node_works_on_a_schema_of_any_name() {
    needs_node!();
    let database = database(&server().url);
    let client = crate::support::server::connect(&server().url).await;
    for odd in ["Büro – Jobs; (\"", "Mixed", "1st", "select", "[a-z]*+?|^{}&"] {
        // Node takes no double quote, and neither do we.
        let name = format!(
            "{}_{}",
            odd.replace('"', ""),
            &uuid::Uuid::new_v4().simple().to_string()[..8]
        );
        let installed = schema::install(&database, &name).await.expect("it installs");
        assert_eq!(installed, Installed::Fresh(NEWEST), "{name}");
        let again = schema::install(&database, &name).await.expect("it is there");
        assert_eq!(again, Installed::Already(NEWEST), "{name}");
        let boss = Boss::start(Release::NEWEST, &server().url, &format!("\"{name}\""), json!({})).await;
        create_queues(&boss).await;
        boss.call("send", json!(["short-true", { "n": 1 }]))
            .await
            .expect("it is sent");
        let jobs = boss.call("fetch", json!(["short-true"])).await.expect("it is fetched");
        assert_eq!(jobs[0]["data"], json!({ "n": 1 }), "{name}");
        let verified = schema::verify(&database, &name).await.expect("it looks");
        assert_eq!(verified.findings, [], "{name}");
        boss.stop().await;

        let other_case = name.replace("Mixed", "mIXED");
        if other_case != name {
            let error = schema::install(&database, &other_case)
                .await
                .expect_err("it looks like a slip");
            assert!(
                matches!(&error, Error::CaseVariant { other, .. } if *other == name),
                "{error}"
            );
        }
        client
            .batch_execute(&format!("drop schema \"{name}\" cascade"))
            .await
            .expect("it is dropped");
    }
    for bad in ["", "a.b", "a\"b", "pg_jobs"] {
        let error = schema::install(&database, bad).await.expect_err("no such name");
        assert!(matches!(error, Error::Name(_)), "{error}");
    }
}

#[tokio::test]
async fn create_on_the_schema_is_privilege_enough() {
    let schema = Schema::vacant().await;
    let (url, role) = humble(&schema).await;
    let database = database(&url);

    let error = schema::install(&database, &schema.name).await.expect_err("it may not");
    let text = error.to_string();
    assert!(
        text.contains(&format!("CREATE SCHEMA \"{}\" AUTHORIZATION \"{role}\"", schema.name)),
        "{text}"
    );
    schema.execute("create schema {schema}").await;
    let error = schema::install(&database, &schema.name).await.expect_err("it may not");
    let Error::Forbidden { grant, .. } = error else {
        panic!("{error}")
    };
    schema.execute(&grant).await;
    let installed = schema::install(&database, &schema.name).await.expect("now it may");
    assert_eq!(installed, Installed::Fresh(NEWEST));
    assert_eq!(json!(installed), json!({ "installed": "fresh", "version": NEWEST }));
    schema.execute(&format!("drop owned by {role}; drop role {role}")).await;
}
