//! The pool, its statements and transactions.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use strawboss::postgres::{Class, Executor, PoolStatus, Pooler, Settings};
use tokio_postgres::types::Type;

use super::{Database, backend, database, row, undetected, with};
use crate::support::proxy::{Mode, Proxy};
use crate::support::server::{connect, server};
use crate::support::wait::PATIENCE;
use crate::support::wait_for;

/// A table of one's own, gone with the connection that made it.
fn unique(prefix: &str) -> String {
    format!("{prefix}_{}", uuid::Uuid::new_v4().simple())
}

fn small(size: usize) -> Database {
    let settings = Settings::parse(&server().url).expect("the URL is understood");
    Database::new(&settings.with_pool_size(size)).expect("the settings can be used")
}

#[tokio::test]
async fn connections_are_kept_counted_and_replaced() {
    let database = small(2);
    let status = |max, size, available, waiting| PoolStatus {
        max,
        size,
        available,
        waiting,
    };
    assert_eq!(database.status(), status(2, 0, 0, 0));
    let client = database.client().await.expect("there is room");
    assert_eq!(database.status(), status(2, 1, 0, 0));
    let first = backend(&client).await;
    drop(client);
    assert_eq!(database.status(), status(2, 1, 1, 0));
    let client = database.client().await.expect("it is kept");
    assert_eq!(backend(&client).await, first);

    let administrator = connect(&server().url).await;
    administrator
        .execute("select pg_terminate_backend($1)", &[&first])
        .await
        .expect("it is allowed");
    let error = client.query("select 1", &[]).await.expect_err("the connection is gone");
    assert_eq!(error.class(), Class::Connection, "{error}");
    drop(client);
    let client = database.client().await.expect("another one is opened");
    assert_ne!(backend(&client).await, first);
    assert_eq!(database.status(), status(2, 1, 0, 0));
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_left() {
    let database = small(1);
    let client = database.client().await.expect("there is room");
    let before = backend(&client).await;
    client
        .batch("set default_transaction_read_only = on")
        .await
        .expect("it is allowed");
    let error = client
        .batch(&format!("create table {} ()", unique("refused")))
        .await
        .expect_err("it is read-only");
    assert_eq!(error.class(), Class::Transient, "{error}");
    drop(client);
    let client = database.client().await.expect("another one is opened");
    assert_ne!(backend(&client).await, before);
}

#[tokio::test]
async fn statements_are_prepared_once_and_only_where_the_session_is_ours() {
    let database = small(1);
    let prepared = "select count(*) from pg_prepared_statements where statement like '%answer%$1%'";
    let ask = async |database: &Database| {
        let client = database.client().await.expect("there is room");
        for _ in 0..3 {
            let rows = client
                .query("select $1 as answer", &[(&7_i32, Type::INT4)])
                .await
                .expect("it runs");
            assert_eq!(rows[0].get::<_, i32>("answer"), 7);
        }
        row(&client, prepared).await.get::<_, i64>(0)
    };
    assert_eq!(database.pooler(), Pooler::Auto);
    assert_eq!(ask(&database).await, 0, "before anybody looked nothing is relied on");
    assert_eq!(database.detect().await.expect("the server answers"), Pooler::None);
    assert!(!database.is_pooled());
    assert_eq!(ask(&database).await, 1);
    assert_eq!(
        ask(&database.beside(1).expect("a second pool")).await,
        1,
        "what is known is known to both"
    );
}

#[tokio::test]
async fn a_migration_under_a_prepared_statement_goes_unnoticed() {
    let database = database(&server().url).await;
    let mut client = database.client().await.expect("there is room");
    let table = unique("migrated");
    client
        .batch(&format!("create table {table} (a int); insert into {table} values (1)"))
        .await
        .expect("created");
    let sql = format!("select * from {table}");
    assert_eq!(row(&client, &sql).await.len(), 1);
    client
        .batch(&format!("alter table {table} add b int"))
        .await
        .expect("altered");
    assert_eq!(row(&client, &sql).await.len(), 2);

    // In a transaction the error is not to be hidden; the transaction after it is well again.
    assert_eq!(row(&client, &sql).await.len(), 2);
    client
        .batch(&format!("alter table {table} add c int"))
        .await
        .expect("altered");
    let transaction = client.transaction().await.expect("begun");
    let error = transaction.query(&sql, &[]).await.expect_err("the plan is stale");
    assert_eq!(error.class(), Class::Schema, "{error}");
    transaction.rollback().await.expect("undone");
    let transaction = client.transaction().await.expect("begun");
    assert_eq!(row(&transaction, &sql).await.len(), 3);
    transaction.commit().await.expect("done");
    client.batch(&format!("drop table {table}")).await.expect("dropped");
    assert_eq!(database.pooler(), Pooler::None, "a migration is no sign of a pooler");
}

#[tokio::test]
async fn a_lost_statement_is_run_all_the_same_and_taken_as_a_sign() {
    let database = database(&server().url).await;
    let client = database.client().await.expect("there is room");
    let ask = async || {
        client
            .query("select $1::int4", &[(&1_i32, Type::INT4)])
            .await
            .map(|rows| rows.len())
    };
    assert_eq!(ask().await.expect("it runs"), 1);
    client.batch("deallocate all").await.expect("it is allowed");
    assert_eq!(ask().await.expect("it runs unprepared"), 1);
    assert_eq!(database.pooler(), Pooler::Transaction);
}

#[tokio::test]
async fn transactions_end_as_they_are_told() {
    let database = database(&server().url).await;
    let table = unique("written");
    let mut client = database.client().await.expect("there is room");
    client
        .batch(&format!("create table {table} (n int)"))
        .await
        .expect("created");
    let insert = format!("insert into {table} values ($1)");
    for (n, end) in [(1, "commit"), (2, "rollback"), (3, "drop")] {
        let transaction = client.transaction().await.expect("begun");
        transaction.query(&insert, &[(&n, Type::INT4)]).await.expect("written");
        transaction.batch("select 1; select 2").await.expect("it runs");
        match end {
            "commit" => transaction.commit().await.expect("done"),
            "rollback" => transaction.rollback().await.expect("undone"),
            _ => drop(transaction),
        }
    }
    let kept: Vec<i32> = row(&client, &format!("select array_agg(n) from {table}")).await.get(0);
    assert_eq!(kept, [1]);
    client.batch(&format!("drop table {table}")).await.expect("dropped");
}

#[tokio::test]
async fn every_error_is_told_to_the_watcher_in_its_class() {
    let database = database(&server().url).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let watching = Arc::clone(&seen);
    database.watch_errors(move |class| watching.lock().expect("nobody panics").push(class));
    let client = database.client().await.expect("there is room");
    let wrong = "7".to_owned();
    for (sql, params, class) in [
        ("select absent", &[][..], Class::Schema),
        ("select 1/0", &[], Class::Data),
        ("select from from", &[], Class::Permanent),
        (
            "select $1",
            &[(&wrong as &(dyn tokio_postgres::types::ToSql + Sync), Type::INT4)],
            Class::Data,
        ),
    ] {
        let error = client.query(sql, params).await.expect_err("it is wrong");
        assert_eq!(error.class(), class, "{error}");
    }
    let seen = seen.lock().expect("nobody panics").clone();
    assert_eq!(seen, [Class::Schema, Class::Data, Class::Permanent, Class::Data]);
}

#[tokio::test]
async fn a_closed_pool_lets_go_of_the_server() {
    let settings = Settings::parse(&server().url).expect("understood");
    let name = unique("leaving");
    let database = Database::new(&settings.with_application_name(&name)).expect("usable");
    drop(database.client().await.expect("there is room"));
    database.close();
    assert!(database.client().await.is_err());
    let administrator = connect(&server().url).await;
    wait_for("its sessions to end", async || {
        let sql = "select count(*) from pg_stat_activity where application_name = left($1, 63)";
        let left: i64 = administrator.query_one(sql, &[&name]).await.expect("it runs").get(0);
        left == 0
    })
    .await;
}

#[tokio::test]
async fn waiting_callers_are_served_in_turn() {
    let database = undetected(&server().url);
    let held = database.beside(1).expect("a second pool");
    let client = held.client().await.expect("there is room");
    let waiting = tokio::spawn({
        let held = held.clone();
        async move { held.client().await.map(drop) }
    });
    wait_for("somebody to wait", async || held.status().waiting == 1).await;
    drop(client);
    waiting
        .await
        .expect("it does not panic")
        .expect("it gets the connection");
}

#[tokio::test]
async fn an_answer_is_waited_for_no_longer_than_the_settings_say() {
    let proxy = Proxy::before(&server().url).await;
    let settings = Settings::parse(&with(&proxy.url(&server().url), "query_timeout=200")).expect("understood");
    let database = Database::new(&settings.with_pool_size(1)).expect("usable");
    let client = database.client().await.expect("there is room");
    let before = backend(&client).await;
    proxy.set(Mode::Stall);
    let error = client.query("select 1", &[]).await.expect_err("nothing comes back");
    assert_eq!(error.class(), Class::Connection, "{error}");
    proxy.set(Mode::Pass);
    drop(client);
    let client = database.client().await.expect("another one is opened");
    assert_ne!(backend(&client).await, before);
}

#[tokio::test]
async fn a_statement_nobody_waits_for_holds_up_nobody() {
    let database = small(1);
    let client = database.client().await.expect("there is room");
    let slow = client.query("select pg_sleep(60)", &[]);
    assert!(tokio::time::timeout(Duration::from_millis(50), slow).await.is_err());
    drop(client);
    let client = database.client().await.expect("another one is opened");
    let answer = tokio::time::timeout(PATIENCE, client.query("select 1", &[])).await;
    answer.expect("it comes at once").expect("it runs");
}
