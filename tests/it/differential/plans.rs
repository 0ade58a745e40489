//! The plan of every statement on a table of 200,000 jobs, with statistics and without.

use std::collections::BTreeSet;

use serde_json::Value;
use strawboss::claim::Terms;
use strawboss::desk;
use strawboss::dialect::Dialect;
use strawboss::inspect;
use strawboss::postgres::{Database, Settings};
use strawboss::queue::Policy;
use tokio_postgres::Client;

use super::statements::{Statement, claim, others};
use super::{Straw, id, on_releases};
use crate::support::{Release, Schema};

on_releases!(indexes: V10_4_2 schema_24, V11_1_2 schema_26, V12_27_0 schema_37, V12_38_0 schema_46);

/// Mostly finished jobs, as in a queue that has been worked on for a week, some due, some for later, a few under way.
const JOBS: &str = "
    insert into {schema}.job (id, name, priority, state, policy, start_after, created_on, started_on, keep_until, singleton_key)
    select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
      case when n % 4 = 0 then 'other' else 'q' end,
      n % 3,
      (case when n <= 200 then 'active' when n % 100 = 1 then 'retry' when n % 20 in (2, 3) then 'created' when n % 100 = 5
        then 'failed' else 'completed' end)::{schema}.job_state,
      'standard',
      now() + case when n % 20 = 3 then interval '1 day' else interval '-1 day' end,
      now() - n * interval '1 second',
      case when n <= 200 then now() end,
      now() + interval '14 days',
      'k' || n
    from generate_series(1, 200000) n";

/// The values for a statement: fifty attempts, or a claim of fifty.
fn values(statement: &Statement, table: &str, schema: &str) -> String {
    let fifty = |value: &str, kind: &str| format!("array_fill({value}::{kind}, array[50])");
    let value = |(place, kind): (usize, &str)| match (statement.what, kind) {
        ("sweep", "text[]") => "'{q}'".to_owned(),
        ("peek", "text[]") => "'{q}'".to_owned(),
        ("peek", _) => "'{0}'".to_owned(),
        ("sweep", "text") => format!("'{}'", if place == 1 { schema } else { table }),
        (_, "text[]") if place == 0 => fifty("'q'", "text"),
        (_, "uuid[]") => format!(
            "array[{}]::uuid[]",
            (1..=50).map(|n| format!("'{}'", id(n))).collect::<Vec<_>>().join(", ")
        ),
        (_, "int[]") => fifty("0", "int"),
        (_, "bool[]") => fifty("false", "bool"),
        (_, "text[]") => fifty("null", "text"),
        (_, "timestamptz[]") => fifty("now()", "timestamptz"),
        (_, "float8[]") => fifty("null", "float8"),
        (_, "text") => "'q'".to_owned(),
        (_, "int") if place == 1 => "50".to_owned(),
        (_, "int") if place == 5 => "3".to_owned(),
        _ => "null".to_owned(),
    };
    statement
        .types
        .split(", ")
        .enumerate()
        .map(value)
        .collect::<Vec<_>>()
        .join(", ")
}

/// The indexes that a statement may use (`pkey`, `i5`…), `ctid` for none. None: any way will do.
fn intended(what: &str, version: i32) -> Option<&'static [&'static str]> {
    let queued = if version < 40 { "i5" } else { "i11" };
    match what {
        "peek" if version >= 46 => Some(&["i14"]),
        "peek" => Some(&["i5"]),
        "sweep" if version >= 46 => Some(&["i14", "pkey"]),
        // No index leads to active rows before schema 46; whoever sweeps takes care not to do so too often.
        "sweep" => None,
        "standard" if queued == "i5" => Some(&["i5", "ctid"]),
        "standard" => Some(&["i11", "ctid"]),
        "singleton" if queued == "i5" => Some(&["i5", "i2", "ctid"]),
        "singleton" => Some(&["i11", "i2", "ctid"]),
        "groups" if queued == "i5" => Some(&["i5", "i7", "ctid"]),
        "groups" => Some(&["i11", "i7", "ctid"]),
        "key_strict_fifo" if queued == "i5" => Some(&["i5", "i8", "pkey", "ctid"]),
        "key_strict_fifo" => Some(&["i10", "i8", "i11", "pkey", "ctid"]),
        what if what.ends_with("by ctid") => Some(&["ctid"]),
        // The index over live states leads to them, too.
        what if version >= 46 && (what.ends_with(" jobs") || what.ends_with("by hand")) => Some(&["pkey", "i14"]),
        _ => Some(&["pkey"]),
    }
}

/// The indexes of a plan by the ends of their names, and what is worse: a job table read from end to end, all of a queue
/// read by the primary key, all that is due read to be sorted where an index has the order.
fn ways(plan: &Value, found: &mut BTreeSet<String>) {
    let job_table = |name: &str| name.starts_with('j') && name != "job_dependency";
    let said = |what: &str| plan[what].as_str().unwrap_or_default();
    let (kind, index) = (said("Node Type"), said("Index Name"));
    if kind == "Seq Scan" && job_table(said("Relation Name")) {
        found.insert("the whole table".to_owned());
    } else if kind == "Tid Scan" {
        found.insert("ctid".to_owned());
    } else if job_table(index) {
        let way = match index.rsplit('_').next().expect("there is one") {
            "pkey" if !said("Index Cond").contains("(id = ") => "the whole queue",
            "i11" if kind == "Bitmap Index Scan" => "all that is due",
            way => way,
        };
        found.insert(way.to_owned());
    }
    for inner in plan["Plans"].as_array().into_iter().flatten() {
        ways(inner, found);
    }
}

/// Asserts that a prepared statement goes the intended way.
async fn assert_intended(
    client: &Client,
    name: &str,
    statement: &Statement,
    values: &str,
    release: Release,
    when: &str,
) {
    let explain = format!("explain (format json) execute {name} ({values})");
    let row = client
        .query_one(&explain, &[])
        .await
        .unwrap_or_else(|error| panic!("{explain}: {error:?}"));
    let plan: Value = row.get(0);
    let mut found = BTreeSet::new();
    ways(&plan[0]["Plan"], &mut found);
    if let Some(intended) = intended(statement.what, release.schema_version()) {
        assert!(
            !found.is_empty() && found.iter().all(|way| intended.contains(&way.as_str())),
            "pg-boss {release}, {}, {when}: goes by {found:?} instead of {intended:?}: {plan:#}",
            statement.what
        );
    }
}

/// A schema with two queues whose tables are analyzed by nobody but the test.
async fn unwatched(release: Release) -> (Schema, Straw) {
    let schema = Schema::new(release).await;
    let straw = Straw::on(&schema).await;
    for queue in ["q", "other"] {
        schema
            .execute(&format!(
                "select {{schema}}.create_queue('{queue}', '{{\"policy\": \"standard\"}}')"
            ))
            .await;
    }
    let tables = "select relname as name from pg_class where relnamespace = '{schema}'::regnamespace and relkind = 'r' and relname like 'j%'";
    for table in schema.rows(tables).await {
        let table = table["name"].as_str().expect("a name");
        schema
            .execute(&format!(
                "alter table {{schema}}.{table} set (autovacuum_enabled = false)"
            ))
            .await;
    }
    (schema, straw)
}

async fn indexes(release: Release) {
    let (schema, straw) = unwatched(release).await;
    let queue = straw.queue("q").await;
    let mut statements = others(&straw, &queue);
    statements.push(claim(&straw, &queue, Policy::Standard, &Terms::default()));
    statements.push(claim(&straw, &queue, Policy::Singleton, &Terms::default()));
    if release >= Release::V12_24_0 {
        statements.push(claim(&straw, &queue, Policy::KeyStrictFifo, &Terms::default()));
        let limited = Terms {
            group_limit: Some(3),
            ..Terms::default()
        };
        statements.push(Statement {
            what: "groups",
            ..claim(&straw, &queue, Policy::Standard, &limited)
        });
    }
    let values: Vec<String> = statements
        .iter()
        .map(|statement| values(statement, &queue.table, &schema.name))
        .collect();

    // A connection of ours that has prepared them, and run them often, when there were no jobs yet.
    let settings = Settings::parse(&schema.url).expect("the test's URL");
    let database = Database::new(&settings).expect("a pool");
    database.detect().await.expect("the server answers");
    let early = database.client().await.expect("a connection");
    let early = early.driver();
    let mode = early.query_one("show plan_cache_mode", &[]).await.expect("a setting");
    assert_eq!(mode.get::<_, &str>(0), "force_custom_plan");
    for (n, (statement, values)) in statements.iter().zip(&values).enumerate() {
        let Statement { sql, types, what } = statement;
        let prepared = early
            .batch_execute(&format!("prepare early_{n} ({types}) as {sql}"))
            .await;
        prepared.unwrap_or_else(|error| panic!("{what}: {error:?}\n{sql}"));
        for _ in 0..7 {
            early
                .batch_execute(&format!("execute early_{n} ({values})"))
                .await
                .expect("it runs on nothing");
        }
    }
    schema.execute(JOBS).await;
    for (n, (statement, values)) in statements.iter().zip(&values).enumerate() {
        assert_intended(
            early,
            &format!("early_{n}"),
            statement,
            values,
            release,
            "prepared before the jobs came",
        )
        .await;
    }

    let client = schema.connect().await;
    for when in ["without statistics", "with statistics"] {
        if when == "with statistics" {
            schema.execute("analyze {schema}.job").await;
        }
        for mode in ["force_custom_plan", "force_generic_plan"] {
            client
                .batch_execute(&format!("set plan_cache_mode = {mode}"))
                .await
                .expect("it is a mode");
            for (statement, values) in statements.iter().zip(&values) {
                let Statement { sql, types, what } = statement;
                let prepared = client.batch_execute(&format!("prepare one ({types}) as {sql}")).await;
                prepared.unwrap_or_else(|error| panic!("{what}: {error:?}\n{sql}"));
                assert_intended(&client, "one", statement, values, release, &format!("{when}, {mode}")).await;
                client.batch_execute("deallocate one").await.expect("it was prepared");
            }
        }
    }
}

on_releases!(statistics_of_another_day: V10_4_2 schema_24, V12_38_0 schema_46);

/// When autovacuum saw the queue it had one job: by such statistics any index that begins with the name is as good as the
/// primary key, and one job or none is active.
async fn statistics_of_another_day(release: Release) {
    let (schema, straw) = unwatched(release).await;
    let lone = "insert into {schema}.job (name, state, policy) values ('q', 'completed', 'standard')";
    schema.execute(lone).await;
    schema.execute("analyze {schema}.job").await;
    schema.execute(JOBS).await;
    let queue = straw.queue("q").await;
    let mut statements = others(&straw, &queue);
    statements.retain(|statement| statement.what.ends_with("by ctid"));
    assert_eq!(statements.len(), 4);
    statements.push(claim(&straw, &queue, Policy::Standard, &Terms::default()));
    let client = schema.connect().await;
    for statement in &statements {
        let Statement { sql, types, .. } = statement;
        let values = values(statement, &queue.table, &schema.name);
        let prepared = client.batch_execute(&format!("prepare one ({types}) as {sql}")).await;
        prepared.expect("it can be prepared");
        assert_intended(&client, "one", statement, &values, release, "with old statistics").await;
        client.batch_execute("deallocate one").await.expect("it was prepared");
    }
}

on_releases!(decisions_by_id: V10_4_2 schema_24, V11_1_2 schema_26, V12_27_0 schema_37, V12_38_0 schema_46);

/// What a person, or a program over the API, does with jobs it names: by the primary key.
async fn decisions_by_id(release: Release) {
    let (schema, straw) = unwatched(release).await;
    let client = schema.connect().await;
    let dialect: &Dialect = &straw.dialect;
    let ids = (1..=50).map(|n| format!("'{}'", id(n))).collect::<Vec<_>>().join(", ");
    let decided = "text, uuid[], int[], text";
    let decided_values = format!("'q', array[{ids}]::uuid[], null, null");
    let newer = desk::STATEMENTS_OF_NEWER
        .iter()
        .filter(|(what, _, _, needed)| *what == "touch jobs" && dialect.has(*needed))
        .map(|(what, template, flags, _)| (*what, template.render_with(dialect, "job", flags), decided));
    let named = ["jobs by hand", "jobs", "cancel jobs"];
    let decisions = desk::STATEMENTS
        .iter()
        .filter(|(what, _, flags)| named.iter().any(|end| what.ends_with(end)) && (flags.len() < 3) && !is_bulk(what))
        .map(|(what, template, flags)| (*what, template.render_with(dialect, "job", flags), decided));
    let find = inspect::STATEMENTS
        .iter()
        .find(|(what, _)| *what == "find jobs")
        .expect("it is there");
    let find = (
        "find jobs",
        find.1.render_with(dialect, "job", &["id"]),
        "text, uuid[], text, text, uuid, bigint",
    );
    let statements: Vec<_> = decisions.chain(newer).chain([find]).collect();
    assert!(statements.len() >= 9, "{}", statements.len());
    schema.execute(JOBS).await;
    for when in ["without statistics", "with statistics"] {
        if when == "with statistics" {
            schema.execute("analyze {schema}.job").await;
        }
        for mode in ["force_custom_plan", "force_generic_plan"] {
            let set = format!("set plan_cache_mode = {mode}");
            client.batch_execute(&set).await.expect("it is a mode");
            for (what, sql, types) in &statements {
                let values = match *types {
                    types if types == decided => decided_values.clone(),
                    _ => format!("'q', array[{ids}]::uuid[], null, null, null, 100"),
                };
                let statement = Statement {
                    what,
                    sql: sql.to_string(),
                    types,
                };
                let prepared = client.batch_execute(&format!("prepare one ({types}) as {sql}")).await;
                prepared.unwrap_or_else(|error| panic!("{what}: {error:?}\n{sql}"));
                let when = format!("{when}, {mode}");
                assert_intended(&client, "one", &statement, &values, release, &when).await;
                client.batch_execute("deallocate one").await.expect("it was prepared");
            }
        }
    }
}

/// Whether it goes through a queue, and not by ids.
fn is_bulk(what: &str) -> bool {
    ["delete queued jobs", "delete stored jobs"].contains(&what)
}
