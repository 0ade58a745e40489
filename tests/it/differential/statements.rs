//! Every statement of the worker, in every form it can take.

use serde_json::json;
use serde_json::value::to_raw_value;
use strawboss::claim::{PEEK, Terms};
use strawboss::queue::{Policy, Queue};
use strawboss::run::TOUCH;
use strawboss::settle::{COMPLETE, FAIL, RELEASE};

use super::Straw;
use crate::support::{Release, Schema, needs_node};

/// A statement with the types of its parameters.
pub struct Statement {
    pub what: &'static str,
    pub sql: String,
    pub types: &'static str,
}

const CLAIMS: &str = "text, int, int, int, int, int, jsonb, text[]";
const COMPLETES: &str = "text[], uuid[], int[], text[], bool[], text[]";
const FAILS: &str = "text[], uuid[], int[], text[], bool[], float8[], float8[], bool[], text[]";
const RELEASES: &str = "text[], uuid[], int[], bool[], timestamptz[], text[]";

/// The claim of a queue, as if it had that policy.
pub fn claim(straw: &Straw, queue: &Queue, policy: Policy, terms: &Terms) -> Statement {
    let queue = Queue {
        policy: Some(policy),
        ..queue.clone()
    };
    Statement {
        what: policy.as_str(),
        sql: terms.render(&straw.dialect, &queue).to_string(),
        types: CLAIMS,
    }
}

/// All but the claims.
pub fn others(straw: &Straw, queue: &Queue) -> Vec<Statement> {
    let (dialect, table) = (&straw.dialect, &queue.table);
    let statement = |what, sql: &str, types| Statement {
        what,
        sql: sql.to_owned(),
        types,
    };
    vec![
        statement("complete", &COMPLETE.render(dialect, table), COMPLETES),
        statement(
            "complete by ctid",
            &COMPLETE.render_with(dialect, table, &["by_ctid"]),
            COMPLETES,
        ),
        statement("fail", &FAIL.render_with(dialect, table, &["settle"]), FAILS),
        statement(
            "fail by ctid",
            &FAIL.render_with(dialect, table, &["by_ctid", "settle"]),
            FAILS,
        ),
        statement("release", &RELEASE.render(dialect, table), RELEASES),
        statement(
            "release by ctid",
            &RELEASE.render_with(dialect, table, &["by_ctid"]),
            RELEASES,
        ),
        statement(
            "release otherwise",
            &RELEASE.render_with(dialect, table, &["swap"]),
            RELEASES,
        ),
        statement(
            "release otherwise by ctid",
            &RELEASE.render_with(dialect, table, &["by_ctid", "swap"]),
            RELEASES,
        ),
        statement("touch", &TOUCH.render(dialect, table), "text[], uuid[], int[]"),
        statement(
            "sweep",
            &FAIL.render_with(dialect, table, &["sweep"]),
            "text[], text, text",
        ),
        statement(
            "peek",
            &PEEK.render(dialect, table).replace("{number}", "0"),
            "text[], int[]",
        ),
    ]
}

/// Every combination of terms, whatever the dialect makes of it.
fn every_terms() -> Vec<Terms> {
    let tiers = || to_raw_value(&json!({"gold": 3})).expect("JSON");
    (0..16)
        .map(|bits| Terms {
            lease: (bits & 1 != 0).then_some(60),
            min_priority: (bits & 1 != 0).then_some(1),
            max_priority: (bits & 2 != 0).then_some(1),
            group_limit: (bits & 4 != 0).then_some(1),
            group_tiers: (bits & 8 != 0).then(tiers),
            without_groups: (bits & 2 != 0).then(|| "a".to_owned()).into_iter().collect(),
            early: bits & 4 != 0,
            any_priority: bits & 8 != 0,
            any_age: bits & 1 != 0,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_can_be_prepared_in_every_dialect() {
    needs_node!();
    for release in [&[Release::V12_20_0, Release::V12_21_0], &Release::ALL[..]].concat() {
        let schema = Schema::new(release).await;
        let straw = Straw::on(&schema).await;
        let partition = json!({"policy": "standard", "partition": true});
        schema
            .execute(&format!("select {{schema}}.create_queue('apart', '{partition}')"))
            .await;
        schema
            .execute("select {schema}.create_queue('q', '{\"policy\": \"standard\"}')")
            .await;
        for queue in ["q", "apart"] {
            let queue = straw.queue(queue).await;
            let claims = every_terms()
                .into_iter()
                .flat_map(|terms| Policy::ALL.map(|policy| claim(&straw, &queue, policy, &terms)));
            for Statement { what, sql, types } in claims.chain(others(&straw, &queue)) {
                let prepare = format!("prepare probe ({types}) as {sql}; deallocate probe");
                let prepared = schema.client().batch_execute(&prepare).await;
                prepared.unwrap_or_else(|error| panic!("pg-boss {release}, {what}: {error:?}\n{sql}"));
            }
        }
    }
}
