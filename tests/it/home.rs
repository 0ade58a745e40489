//! Our own schema: it comes about once, whoever asks for it, and is left alone by who has nothing to add.

use serde_json::json;
use strawboss::home::{Home, Part};
use strawboss::postgres::{Database, Settings};

use crate::support::{Schema, server};

const FIRST: &str = "-- Somebody's table.\nCREATE TABLE {home}.thing (id int)";
const SECOND: &str = "CREATE TABLE {home}.other (id int)";

fn part(steps: &'static [&'static str]) -> Part {
    Part { name: "things", steps }
}

fn database(url: &str) -> Database {
    Database::new(&Settings::parse(url).expect("a URL").with_pool_size(4)).expect("a pool")
}

async fn tables(schema: &Schema) -> serde_json::Value {
    schema
        .value("select coalesce(jsonb_agg(tablename order by tablename), '[]') as them from pg_tables where schemaname = '{schema}_own'")
        .await
}

#[tokio::test]
async fn many_ask_at_once_and_it_is_made_once_and_grows_by_the_steps_that_are_new() {
    let schema = Schema::vacant().await;
    let (home, database) = (Home::new(schema.own()), database(&schema.url));
    let asked = (0..4).map(|_| async {
        let mut client = database.client().await.expect("a connection");
        home.ensure(&mut client, &part(&[FIRST])).await
    });
    for answer in futures_util::future::join_all(asked).await {
        answer.expect("it is there");
    }
    assert_eq!(tables(&schema).await, json!(["step", "thing"]));

    let mut client = database.client().await.expect("a connection");
    assert!(home.has(&client, &part(&[FIRST])).await.expect("an answer"));
    assert!(!home.has(&client, &part(&[FIRST, SECOND])).await.expect("an answer"));
    home.ensure(&mut client, &part(&[FIRST, SECOND]))
        .await
        .expect("it grows");
    assert_eq!(tables(&schema).await, json!(["other", "step", "thing"]));
    // An older release beside it finds what it knows, and takes nothing back.
    home.ensure(&mut client, &part(&[FIRST])).await.expect("it is there");
    assert!(home.has(&client, &part(&[FIRST, SECOND])).await.expect("an answer"));
}

#[tokio::test]
async fn a_step_that_fails_leaves_nothing_behind() {
    let schema = Schema::vacant().await;
    let (home, database) = (Home::new(schema.own()), database(&schema.url));
    let mut client = database.client().await.expect("a connection");
    let failed = home.ensure(&mut client, &part(&[FIRST, "CREATE TABLE nonsense"])).await;
    failed.expect_err("that is no statement");
    assert_eq!(tables(&schema).await, json!([]));
    assert!(!home.has(&client, &part(&[])).await.expect("an answer"));
}

#[tokio::test]
async fn who_may_create_nothing_is_told_and_who_finds_it_there_needs_to_create_nothing() {
    let schema = Schema::vacant().await;
    let role = format!("{}_role", schema.name);
    let home = Home::new(schema.own());
    schema.execute(&format!("create role {role} login password 'x'")).await;
    let url = {
        let mut url = reqwest::Url::parse(&server().url).expect("a URL");
        url.set_username(&role).expect("a user");
        url.set_password(Some("x")).expect("a password");
        url.to_string()
    };
    let theirs = database(&url);
    let mut client = theirs.client().await.expect("a connection");
    let refused = home
        .ensure(&mut client, &part(&[FIRST]))
        .await
        .expect_err("no privilege");
    assert!(refused.to_string().contains("permission denied"), "{refused}");
    drop(client);

    let mut owner = database(&schema.url).client().await.expect("a connection");
    home.ensure(&mut owner, &part(&[FIRST])).await.expect("it is made");
    schema
        .execute(&format!(
            "grant usage on schema {{schema}}_own to {role}; grant select on all tables in schema {{schema}}_own to {role}"
        ))
        .await;
    let mut client = theirs.client().await.expect("a connection");
    home.ensure(&mut client, &part(&[FIRST]))
        .await
        .expect("nothing is left to do");
    drop(client);
    schema.execute(&format!("drop owned by {role}; drop role {role}")).await;
}
