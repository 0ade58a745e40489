//! Every statement of the client, in every dialect.

use strawboss::desk;
use strawboss::dialect::Dialect;
use strawboss::enqueue;
use strawboss::inspect;

use tokio_postgres::types::Type;

use crate::support::{Release, Schema, needs_node};

#[tokio::test(flavor = "multi_thread")]
async fn all_can_be_prepared_wherever_they_are_for() {
    needs_node!();
    for release in [&[Release::V12_20_0, Release::V12_21_0], &Release::ALL[..]].concat() {
        let schema = Schema::new(release).await;
        let client = schema.connect().await;
        let dialect = Dialect::read(&client, &schema.name).await.expect("it is there");
        let everywhere = desk::STATEMENTS
            .iter()
            .map(|(what, template, flags)| (*what, template, flags.to_vec()));
        let inspect = inspect::STATEMENTS
            .iter()
            .map(|(what, template)| (*what, template, Vec::new()));
        let newer = desk::STATEMENTS_OF_NEWER.iter().chain(&enqueue::STATEMENTS_OF_NEWER);
        let newer = newer.filter(|(_, _, _, needed)| dialect.has(*needed));
        let newer = newer.map(|(what, template, flags, _)| (*what, template, flags.to_vec()));
        let tabled = inspect::STATEMENTS_OF_NEWER
            .iter()
            .filter(|(_, _, _, table)| dialect.catalog().has_table(table))
            .map(|(what, template, flags, _)| (*what, template, flags.to_vec()));
        for (what, template, flags) in everywhere.chain(inspect).chain(newer).chain(tabled) {
            for counts in [false, true] {
                let mut flags = flags.clone();
                flags.extend(counts.then_some("counts"));
                let sql = template.render_with(&dialect, "job", &flags);
                client
                    .prepare_typed(&sql, types(what))
                    .await
                    .unwrap_or_else(|error| panic!("pg-boss {release}, {what}: {error:?}\n{sql}"));
            }
        }
    }
}

/// The types of parameters that a statement does not mention with these flags, and those before them.
fn types(what: &str) -> &'static [Type] {
    match what {
        "find jobs" => &[Type::TEXT, Type::UUID_ARRAY, Type::TEXT, Type::TEXT, Type::UUID],
        "edit a job" | "edit the jobs of a key" => &[Type::TEXT, Type::UUID, Type::TEXT],
        "send a flow" => &[Type::TEXT],
        _ if what.starts_with("delete ") => &[Type::TEXT, Type::UUID_ARRAY, Type::INT4_ARRAY, Type::UUID, Type::INT8],
        _ => &[],
    }
}
