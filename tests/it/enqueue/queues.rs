//! Queues are created as pg-boss creates them, and read back.

use serde_json::json;
use strawboss::dialect::Dialect;
use strawboss::enqueue::{Creation, Error, QueueOptions, STATEMENTS, create_queue};
use strawboss::queue::{Policy, Queue};

use super::pair::{Pair, name};
use super::rows::tuned;
use crate::support::{Release, Schema, needs_node};

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_has_the_same_row_table_and_indexes_as_one_of_node() {
    needs_node!();
    for release in Release::ALL {
        let pair = Pair::new(release).await;
        let version = pair.version();
        pair.queue("dead", json!({}), QueueOptions::default()).await;
        let (theirs, ours) = tuned(version);
        pair.queue("tuned", theirs, ours).await;
        let policies = Policy::ALL.into_iter().filter(|policy| match policy {
            Policy::Exclusive => version >= 26,
            Policy::KeyStrictFifo => version >= 28,
            _ => true,
        });
        for policy in policies {
            let partition = version > 24;
            let mut theirs = json!({ "policy": policy.as_str() });
            if partition {
                theirs["partition"] = json!(true);
            }
            let ours = QueueOptions {
                policy,
                partition,
                ..QueueOptions::default()
            };
            pair.queue(policy.as_str(), theirs, ours).await;
        }
        for facts in [
            "select to_jsonb(q) - 'created_on' - 'updated_on' as row from {schema}.queue q order by name",
            "select tablename, indexname, replace(indexdef, schemaname, 'S') as def \
             from pg_indexes where schemaname = '{schema}' order by 1, 2",
            "select r.relname, c.conname, replace(pg_get_constraintdef(c.oid), '{schema}', 'S') as def \
             from pg_constraint c join pg_class r on r.oid = c.conrelid \
             where r.relnamespace = '{schema}'::regnamespace order by 1, 2",
        ] {
            assert_eq!(
                pair.theirs.rows(facts).await,
                pair.ours.rows(facts).await,
                "pg-boss {release}: {facts}; Node's on the left"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_are_read_back_with_what_they_were_given() {
    needs_node!();
    for release in Release::ALL {
        let schema = Schema::new(release).await;
        let client = schema.connect().await;
        let dialect = Dialect::read(&client, &schema.name).await.expect("it is there");
        let version = release.schema_version();
        create_queue(&client, &dialect, &name("dead"), &QueueOptions::default())
            .await
            .expect("it is created");
        let (_, options) = tuned(version);
        create_queue(&client, &dialect, &name("tuned"), &options)
            .await
            .expect("it is created");

        let all = Queue::read_all(&client, &dialect).await.expect("they are read");
        let names: Vec<_> = all.iter().map(|queue| queue.name.as_str()).collect();
        assert_eq!(names, ["dead", "tuned"]);
        let one = Queue::read(&client, &dialect, &[name("tuned"), name("missing")])
            .await
            .expect("it is read");
        assert_eq!(one.as_slice(), &all[1..], "pg-boss {release}");

        let tuned = &all[1];
        assert_eq!(tuned.policy, Some(Policy::Standard));
        assert_eq!(tuned.dead_letter, Some(name("dead")));
        assert_eq!(tuned.notify, version >= 32);
        assert_eq!(tuned.heartbeat_seconds, (version >= 30).then_some(20));
        assert_eq!(tuned.settings.retry_limit, Some(4));
        assert_eq!(tuned.settings.retention_seconds, Some(600));
        assert_eq!(tuned.settings.deletion_seconds, (version > 24).then_some(1000));
        assert!(tuned.settings.partition);
        assert_ne!(tuned.table, all[0].table, "each has a table of its own");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn creating_a_queue_again_changes_nothing() {
    needs_node!();
    for release in Release::ALL {
        let schema = Schema::new(release).await;
        let client = schema.connect().await;
        let dialect = Dialect::read(&client, &schema.name).await.expect("it is there");
        let options = |retry_limit| QueueOptions {
            retry_limit: Some(retry_limit),
            ..QueueOptions::default()
        };
        let first = create_queue(&client, &dialect, &name("q"), &options(7)).await;
        assert_eq!(first.expect("it is created"), Creation::Created);
        let second = create_queue(&client, &dialect, &name("q"), &options(8)).await;
        assert_eq!(second.expect("it is there"), Creation::Existed, "pg-boss {release}");
        assert_eq!(schema.value("select retry_limit from {schema}.queue").await, json!(7));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_create_one_queue_with_a_table_at_once() {
    needs_node!();
    for release in [Release::V11_1_2, Release::V12_38_0] {
        let schema = Schema::new(release).await;
        let mut creating = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let client = schema.connect().await;
            let dialect = Dialect::read(&client, &schema.name).await.expect("it is there");
            creating.spawn(async move {
                let options = QueueOptions {
                    partition: true,
                    ..QueueOptions::default()
                };
                create_queue(&client, &dialect, &name("q"), &options).await
            });
        }
        for created in creating.join_all().await {
            created.unwrap_or_else(|error| panic!("pg-boss {release}: {error}"));
        }
        assert_eq!(
            schema
                .value("select count(*) from {schema}.queue where partition and to_regclass('{schema}.' || table_name) is not null")
                .await,
            json!(1)
        );
    }
}

/// The lock that `create_queue` waits for is the one Node takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_created_under_the_lock_of_pg_boss() {
    needs_node!();
    for release in [Release::V11_1_2, Release::V12_38_0] {
        let schema = Schema::new(release).await;
        let holder = schema.connect().await;
        let key = schema.sql(
            "('x' || encode(sha224((current_database() || '.pgboss.{schema}create-queue')::bytea), 'hex'))::bit(64)::bigint",
        );
        holder
            .batch_execute(&format!("begin; select pg_advisory_xact_lock({key})"))
            .await
            .expect("the lock is free");
        let client = schema.connect().await;
        let dialect = Dialect::read(&client, &schema.name).await.expect("it is there");
        let creating =
            tokio::spawn(async move { create_queue(&client, &dialect, &name("q"), &QueueOptions::default()).await });
        schema
            .until(&format!(
                "exists (select from pg_locks where locktype = 'advisory' and not granted \
                 and classid::bigint = ({key} >> 32) & 4294967295 and objid::bigint = {key} & 4294967295)"
            ))
            .await;
        assert_eq!(schema.value("select count(*) from {schema}.queue").await, json!(0));
        holder.batch_execute("commit").await.expect("it commits");
        let created = creating.await.expect("it does not panic").expect("it is created");
        assert_eq!(created, Creation::Created, "pg-boss {release}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_queue_has_to_exist_and_to_be_another() {
    needs_node!();
    for release in Release::ALL {
        let schema = Schema::new(release).await;
        let client = schema.connect().await;
        let dialect = Dialect::read(&client, &schema.name).await.expect("it is there");
        let options = |dead_letter| QueueOptions {
            dead_letter: Some(name(dead_letter)),
            ..QueueOptions::default()
        };
        let missing = create_queue(&client, &dialect, &name("q"), &options("dead")).await;
        assert!(
            matches!(&missing, Err(Error::UnknownDeadLetter(queue)) if queue.as_str() == "dead"),
            "pg-boss {release}: {missing:?}"
        );
        let itself = create_queue(&client, &dialect, &name("q"), &options("q")).await;
        assert!(
            matches!(itself, Err(Error::Invalid(_))),
            "pg-boss {release}: {itself:?}"
        );
        assert_eq!(schema.value("select count(*) from {schema}.queue").await, json!(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_made_in_a_transaction_that_rolls_back_is_gone() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    let mut client = schema.connect().await;
    let dialect = Dialect::read(&client, &schema.name).await.expect("it is there");
    let transaction = client.transaction().await.expect("it begins");
    let options = QueueOptions {
        partition: true,
        ..QueueOptions::default()
    };
    create_queue(&transaction, &dialect, &name("q"), &options)
        .await
        .expect("it is created");
    transaction.rollback().await.expect("it rolls back");
    assert_eq!(schema.value("select count(*) from {schema}.queue").await, json!(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_can_be_prepared_on_every_schema() {
    needs_node!();
    for release in Release::ALL {
        let schema = Schema::new(release).await;
        let client = schema.connect().await;
        let dialect = Dialect::read(&client, &schema.name).await.expect("it is there");
        for (purpose, template) in STATEMENTS {
            client
                .prepare(&template.render(&dialect, "job"))
                .await
                .unwrap_or_else(|error| panic!("pg-boss {release}, {purpose}: {error:?}"));
        }
    }
}
