//! The newest schema, object by object: what it should be, and in what a schema differs from that.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use super::install::create;
use super::inventory::{Inventory, Key, Kind, OwnTable, Shape};
use super::spelling;
use super::verify::{Build, Finding, Problem, Severity};
use crate::dialect::quoted;
use crate::postgres::{Error, Executor};
use crate::queue::Policy;

/// The session's own temporary schema, which needs no privilege on the database but `TEMPORARY`.
const SCRATCH: &str = "pg_temp";

/// Makes a fresh install in the temporary schema and lists what a schema with these queues should have.
pub(super) async fn expected(transaction: &Transaction<'_>, own_tables: &[OwnTable]) -> Result<Inventory, Error> {
    create(transaction, &quoted(SCRATCH)).await?;
    let sql = format!("SELECT {}.create_queue($1, $2)", quoted(SCRATCH));
    for policy in Policy::ALL {
        let options = serde_json::json!({ "policy": policy.as_str(), "partition": true });
        Executor::query(
            transaction,
            &sql,
            &[(&policy.as_str(), Type::TEXT), (&options, Type::JSONB)],
        )
        .await?;
    }
    let mut expected = Inventory::read(transaction, SCRATCH).await?;
    let samples = std::mem::take(&mut expected.own_tables);
    let sample_tables: BTreeSet<&str> = samples.iter().map(|sample| sample.table.as_str()).collect();
    let (of_samples, mut objects): (BTreeMap<_, _>, BTreeMap<_, _>) = expected
        .objects
        .into_iter()
        .partition(|(key, _)| sample_tables.contains(key.relation.as_str()));
    for own in own_tables {
        // A policy this build does not know promises nothing that an index would have to keep.
        let sample = samples
            .iter()
            .find(|sample| sample.policy == own.policy)
            .or_else(|| samples.iter().find(|sample| sample.policy == Policy::Standard.as_str()));
        let Some(sample) = sample else { continue };
        let (from, to) = (literal(&sample.queue), literal(&own.queue));
        for (key, shape) in of_samples.iter().filter(|(key, _)| key.relation == sample.table) {
            // Names of queues stand in the partition's bound and in the check that repeats it.
            let names_queue = |text: &str| text.contains("FOR VALUES IN") || text.starts_with("CHECK ((name = ");
            let renamed = |text: &str| {
                if names_queue(text) {
                    text.replace(&from, &to)
                } else {
                    text.to_owned()
                }
            };
            let key = Key {
                kind: key.kind,
                relation: own.table.clone(),
                name: renamed(&key.name).replace(&sample.table, &own.table),
            };
            let shape = Shape {
                definition: renamed(&shape.definition),
                sound: true,
            };
            objects.insert(key, shape);
        }
    }
    Ok(Inventory {
        objects,
        own_tables: own_tables.to_vec(),
    })
}

/// Says in what `found` differs from `expected`.
pub(super) fn compare(schema: &str, expected: &Inventory, found: &Inventory, builds: &[Build]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (key, shape) in &expected.objects {
        let whole = key.kind == Kind::Table;
        // What belongs to a table that is not there goes without saying.
        if !whole && !key.relation.is_empty() && !found.has(Kind::Table, &key.relation, "") {
            continue;
        }
        let Some(actual) = found.objects.get(key) else {
            if key.kind != Kind::Body {
                findings.push(missing(key, shape, builds));
            }
            continue;
        };
        if !actual.sound {
            findings.push(invalid(schema, key, is_unique(shape)));
        } else if key.kind == Kind::Body {
            findings.extend(other_body(schema, key, shape, actual));
        } else if actual.definition != shape.definition {
            findings.push(different(key, shape, actual));
        }
    }
    for (key, shape) in &found.objects {
        let of_known_table = key.relation.is_empty() || expected.has(Kind::Table, &key.relation, "");
        if !expected.objects.contains_key(key) && key.kind != Kind::Body && (of_known_table || key.kind == Kind::Table)
        {
            findings.push(extra(key, shape, expected));
        }
    }
    findings
}

fn missing(key: &Key, shape: &Shape, builds: &[Build]) -> Finding {
    let build = (key.kind == Kind::Index)
        .then(|| builds.iter().find(|build| build.makes(&key.name)))
        .flatten();
    if let Some(build) = build {
        return unbuilt(key, is_unique(shape), build);
    }
    let severity = match key.kind {
        Kind::Index if !is_unique(shape) => Severity::Warning,
        Kind::Constraint if !key.name.starts_with("PRIMARY KEY") => Severity::Warning,
        _ => Severity::Error,
    };
    Finding {
        severity,
        kind: key.kind,
        object: describe(key),
        problem: Problem::Missing {
            expected: shape.definition.clone(),
        },
        advice: match key.kind {
            Kind::Index => "create it again, CONCURRENTLY while jobs are running".into(),
            Kind::Constraint => {
                "add it again with ALTER TABLE; what violates it meanwhile has to be mended first".into()
            }
            _ => "restore it from a backup of the schema, or find out which migration or hand removed it".into(),
        },
    }
}

fn different(key: &Key, shape: &Shape, actual: &Shape) -> Finding {
    let severity = match key.kind {
        Kind::Index if !is_unique(shape) && !is_unique(actual) => Severity::Warning,
        _ => Severity::Error,
    };
    Finding {
        severity,
        kind: key.kind,
        object: describe(key),
        problem: Problem::Different {
            expected: shape.definition.clone(),
            found: actual.definition.clone(),
        },
        advice: match key.kind {
            Kind::Index => "create it anew with the expected definition, then drop this one".into(),
            Kind::Table => "statements address it as expected: undo the change, such as row level security".into(),
            _ => "undo the change, or run only applications that want it so".into(),
        },
    }
}

/// A function that does neither what ours does nor, word for word, what Node's does.
fn other_body(schema: &str, key: &Key, shape: &Shape, actual: &Shape) -> Option<Finding> {
    let name = key.name.split('(').next().unwrap_or_default();
    let ours = body_without_schema(&shape.definition, SCRATCH);
    let theirs = body_without_schema(&actual.definition, schema);
    let print = fingerprint(&theirs);
    if ours == theirs || NODE_BODIES.contains(&(name, print.as_str())) {
        return None;
    }
    Some(Finding {
        severity: Severity::Warning,
        kind: Kind::Body,
        object: describe(key),
        problem: Problem::Different {
            expected: "strawboss's own, or pg-boss's word for word".into(),
            found: format!("another one, {print}"),
        },
        advice: if name == "job_now" {
            "a test clock that a stopped test run left behind is removed by `npx pg-boss doctor --fix`".into()
        } else {
            "undo the change unless you know what it is for: Node and strawboss call it as they know it".into()
        },
    })
}

fn extra(key: &Key, shape: &Shape, expected: &Inventory) -> Finding {
    let (severity, advice) = match key.kind {
        Kind::Column if shape.definition.contains("NOT NULL") && !shape.definition.contains("DEFAULT") => (
            Severity::Error,
            "no job can be inserted without it: give it a default, or drop it",
        ),
        Kind::Column => (
            Severity::Warning,
            "pg-boss reports it as drift; a later migration may want its name",
        ),
        Kind::Constraint => (
            Severity::Warning,
            "it may refuse what pg-boss writes: drop it unless you know better",
        ),
        Kind::Function if expected.has_function(key.name.split('(').next().unwrap_or_default()) => {
            (Severity::Warning, "calls by this name may become ambiguous: drop it")
        }
        Kind::Index => (Severity::Info, "harmless, but every write pays for it"),
        _ => (
            Severity::Info,
            "harmless; the application's own objects are better kept in its own schema",
        ),
    };
    Finding {
        severity,
        kind: key.kind,
        object: describe(key),
        problem: Problem::Extra {
            found: shape.definition.clone(),
        },
        advice: advice.into(),
    }
}

/// An index that is there but not valid.
pub(super) fn invalid(schema: &str, key: &Key, unique: bool) -> Finding {
    Finding {
        severity: if unique { Severity::Error } else { Severity::Warning },
        kind: key.kind,
        object: describe(key),
        problem: Problem::Invalid,
        advice: format!(
            "its build was cut short: REINDEX INDEX CONCURRENTLY {}.{}",
            quoted(schema),
            quoted(&key.name)
        ),
    }
}

/// An index that is not there because its build is not done.
pub(super) fn unbuilt(key: &Key, unique: bool, build: &Build) -> Finding {
    let failed = build.status == "failed";
    Finding {
        severity: match (failed, unique) {
            (false, _) => Severity::Info,
            (true, true) => Severity::Error,
            (true, false) => Severity::Warning,
        },
        kind: key.kind,
        object: describe(key),
        problem: Problem::Building,
        advice: match (&build.error, failed) {
            (Some(error), true) => format!("its build failed ({error}): mend that, then run: {}", build.command),
            _ => "a Node instance that migrates builds it by and by; keep one running".into(),
        },
    }
}

/// What a person calls the object.
pub(super) fn describe(key: &Key) -> String {
    match key.kind {
        Kind::Enum => format!("enum {}", key.name),
        Kind::Table => format!("table {}", key.relation),
        Kind::Column => format!("column {}.{}", key.relation, key.name),
        Kind::Constraint => format!("constraint on {}: {}", key.relation, key.name),
        Kind::Index => format!("index {} on {}", key.name, key.relation),
        Kind::Function => format!("function {}", key.name),
        Kind::Body => format!("body of {}", key.name),
    }
}

fn is_unique(shape: &Shape) -> bool {
    shape.definition.starts_with("UNIQUE ")
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The objects that functions name with their schema.
const NAMED_IN_BODIES: [&str; 6] = ["queue", "job", "bam", "job_now", "job_table_format", "%I"];

/// A body with its schema taken out and its spaces collapsed, so that bodies of two schemas compare.
fn body_without_schema(body: &str, schema: &str) -> String {
    let mut text = body.split_whitespace().collect::<Vec<_>>().join(" ");
    for spelt in [quoted(schema), spelling(schema).into_owned()] {
        for object in NAMED_IN_BODIES {
            text = text.replace(&format!("{spelt}.{object}"), object);
        }
    }
    text
}

fn fingerprint(body: &str) -> String {
    Sha256::digest(body.as_bytes())[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Fingerprints of the bodies that pg-boss 12.38 installs.
const NODE_BODIES: [(&str, &str); 6] = [
    ("create_queue", "08a4a43b2d1c4fc3"),
    ("delete_queue", "cad7e673b5a66bab"),
    ("job_now", "2ae0321c9c373b22"),
    ("job_table_format", "4dbad0fe31fd77f4"),
    ("job_table_run", "915de6d47747c4c8"),
    ("job_table_run_async", "a58fa670628cea27"),
];
