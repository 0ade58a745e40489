//! Whether PostgreSQL gets to clean up after finished jobs: two observations that tell garbage from a reason for it.

use std::collections::HashMap;

use serde_json::json;
use tokio_postgres::types::Type;

use super::warning::Warning;
use crate::dialect::{Dialect, Template};
use crate::postgres::{Error, Executor};

const GARBAGE: Template = Template(include_str!("garbage.sql"));
const HORIZON: Template = Template(include_str!("horizon.sql"));

/// What the pass before has seen of the tables that have more garbage than PostgreSQL lets lie, and what was warned of.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    seen: HashMap<String, Seen>,
    pinned: bool,
    disabled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Seen {
    dead: i64,
    vacuumed: f64,
}

/// A job table as it is now.
#[derive(Debug, Clone, PartialEq)]
struct Table {
    name: String,
    live: i64,
    budget: f64,
    enabled: bool,
    age: Option<i32>,
    now: Seen,
}

/// What two observations of a table say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finding {
    /// Vacuum has run, and cleaned nothing up: somebody keeps it from doing so.
    Pinned,
    /// Autovacuum is turned off here, nobody else has vacuumed, and it grows.
    Unvacuumed,
}

impl Table {
    fn finding(&self, before: Seen) -> Option<Finding> {
        if self.enabled {
            let in_vain = self.now.vacuumed > before.vacuumed && self.now.dead >= before.dead;
            in_vain.then_some(Finding::Pinned)
        } else {
            let grows = self.now.vacuumed <= before.vacuumed && self.now.dead > before.dead;
            grows.then_some(Finding::Unvacuumed)
        }
    }
}

impl Evidence {
    /// Looks at all job tables, and says what has just become true. It takes two looks to know, and is said once for as
    /// long as it lasts.
    pub(super) async fn look(&mut self, executor: &impl Executor, dialect: &Dialect) -> Result<Vec<Warning>, Error> {
        let schema = dialect.schema();
        let rows = executor
            .query(&GARBAGE.render(dialect, "job"), &[(&schema, Type::TEXT)])
            .await?;
        let mut tables = Vec::new();
        for row in &rows {
            let (dead, vacuumed) = (row.try_get("dead")?, row.try_get("vacuumed")?);
            tables.push(Table {
                name: row.try_get("name")?,
                live: row.try_get("live")?,
                budget: row.try_get("budget")?,
                enabled: row.try_get("enabled")?,
                age: row.try_get("age")?,
                now: Seen { dead, vacuumed },
            });
        }
        let (pinned, unvacuumed) = self.weigh(&tables);
        let mut warnings = Vec::new();
        if let Some(worst) = unvacuumed {
            warnings.push(no_autovacuum(worst));
        }
        if let Some(worst) = pinned {
            match horizon(executor, dialect, worst).await? {
                Some(warning) => warnings.push(warning),
                // Nobody is there who could be the reason: it may still come to light.
                None => self.pinned = false,
            }
        }
        Ok(warnings)
    }

    /// Compares with the look before; the worst table of each kind, unless it was said already.
    fn weigh<'t>(&mut self, tables: &'t [Table]) -> (Option<&'t Table>, Option<&'t Table>) {
        let over: Vec<&Table> = tables
            .iter()
            .filter(|table| table.now.dead as f64 > table.budget)
            .collect();
        let found = |kind| {
            over.iter()
                .filter(|table| self.seen.get(&table.name).and_then(|before| table.finding(*before)) == Some(kind))
                .max_by_key(|table| table.now.dead)
                .copied()
        };
        let (mut pinned, mut unvacuumed) = (found(Finding::Pinned), found(Finding::Unvacuumed));
        self.seen = over.iter().map(|table| (table.name.clone(), table.now)).collect();
        self.pinned &= over.iter().any(|table| table.enabled);
        self.disabled &= over.iter().any(|table| !table.enabled);
        let told = (self.pinned, self.disabled);
        self.pinned |= pinned.is_some();
        self.disabled |= unvacuumed.is_some();
        if told.0 {
            pinned = None;
        }
        if told.1 {
            unvacuumed = None;
        }
        (pinned, unvacuumed)
    }
}

fn no_autovacuum(table: &Table) -> Warning {
    Warning {
        kind: "autovacuum_disabled",
        message: format!(
            "autovacuum is off for the table {:?}, which has {} dead rows and gets more; turn it on (ALTER TABLE … RESET \
             (autovacuum_enabled)) or vacuum it often enough",
            table.name, table.now.dead
        ),
        data: facts(table),
    }
}

/// Names whoever pins the horizon, if anybody does.
async fn horizon(executor: &impl Executor, dialect: &Dialect, table: &Table) -> Result<Option<Warning>, Error> {
    let sql = HORIZON.render(dialect, "job");
    let rows = executor.query(&sql, &[(&table.now.vacuumed, Type::FLOAT8)]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let source: &str = row.try_get("source")?;
    let (name, role, state): (Option<&str>, Option<&str>, Option<&str>) =
        (row.try_get("name")?, row.try_get("role")?, row.try_get("state")?);
    let (age, pid, seconds): (i32, Option<i32>, Option<i32>) =
        (row.try_get("age")?, row.try_get("pid")?, row.try_get("seconds")?);
    let kind = match source {
        "backends" => "an open transaction",
        "slots" | "slotsCatalog" => "a replication slot",
        "standbys" => "a standby with hot_standby_feedback",
        _ => "a prepared transaction",
    };
    let holder = format!(
        "{kind} ({})",
        name.filter(|name| !name.is_empty()).unwrap_or("without a name")
    );
    let mut data = facts(table);
    data["source"] = json!(source);
    data["holder"] = json!(holder);
    data["transactions"] = json!(age);
    data["holderPid"] = json!(pid);
    data["holderApplicationName"] = json!(name);
    data["holderUserName"] = json!(role);
    data["holderState"] = json!(state);
    data["holderTransactionSeconds"] = json!(seconds);
    Ok(Some(Warning {
        kind: "xmin_horizon",
        message: format!(
            "vacuum cannot clean up {:?}, which has {} dead rows: {holder} is {age} transactions old; end it",
            table.name, table.now.dead
        ),
        data,
    }))
}

fn facts(table: &Table) -> serde_json::Value {
    json!({
        "table": table.name,
        "liveTuples": table.live,
        "deadTuples": table.now.dead,
        "budget": table.budget.round(),
        "vacuumAgeSeconds": table.age,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(dead: i64, vacuumed: f64, enabled: bool) -> Table {
        Table {
            name: "job_common".to_owned(),
            live: 100,
            budget: 70.0,
            enabled,
            age: None,
            now: Seen { dead, vacuumed },
        }
    }

    /// Which of the looks say that it is pinned, and which that nobody vacuums.
    fn said(looks: &[Table]) -> (Vec<usize>, Vec<usize>) {
        let mut evidence = Evidence::default();
        let (mut pinned, mut unvacuumed) = (Vec::new(), Vec::new());
        for (n, look) in looks.iter().enumerate() {
            let weighed = evidence.weigh(std::slice::from_ref(look));
            pinned.extend(weighed.0.map(|_| n));
            unvacuumed.extend(weighed.1.map(|_| n));
        }
        (pinned, unvacuumed)
    }

    #[test]
    fn a_vacuum_in_vain_is_told_once_and_again_after_it_has_mended() {
        let looks = [
            table(80, 1.0, true),
            table(90, 1.0, true),
            table(90, 2.0, true),
            table(95, 3.0, true),
            table(10, 4.0, true),
            table(80, 4.0, true),
            table(80, 5.0, true),
        ];
        assert_eq!(said(&looks), (vec![2, 6], vec![]));
    }

    #[test]
    fn a_vacuum_that_cleans_up_is_none_in_vain() {
        assert_eq!(said(&[table(90, 1.0, true), table(80, 2.0, true)]), (vec![], vec![]));
    }

    #[test]
    fn garbage_that_nobody_collects_is_told_while_it_grows() {
        let grows = [table(80, 0.0, false), table(80, 0.0, false), table(81, 0.0, false)];
        assert_eq!(said(&grows), (vec![], vec![2]));
        let by_hand = [table(80, 0.0, false), table(81, 5.0, false)];
        assert_eq!(said(&by_hand), (vec![], vec![]));
    }
}
