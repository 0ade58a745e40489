//! What statements rely on, version by version, for schemas that are not the newest.

use std::ops::RangeInclusive;

use super::inventory::{Inventory, Key, Kind};
use super::manifest::{describe, invalid, unbuilt};
use super::verify::{Build, Finding, Problem, Severity};
use crate::dialect::{NEWEST, OLDEST, releases};

/// Without an end: still there in the newest version.
const STILL: i32 = i32::MAX;

/// Columns of one table, parted by spaces, that came, and went, with the same versions.
struct Columns(RangeInclusive<i32>, &'static str, &'static str);

const COLUMNS: &[Columns] = &[
    Columns(24..=STILL, "version", "version cron_on"),
    Columns(24..=24, "version", "maintained_on monitored_on"),
    Columns(27..=STILL, "version", "bam_on"),
    Columns(33..=STILL, "version", "flow_on"),
    Columns(39..=STILL, "version", "reindex_on"),
    Columns(40..=STILL, "version", "monitor_backoff_on"),
    Columns(
        24..=STILL,
        "queue",
        "name policy retry_limit retry_delay retry_backoff expire_seconds dead_letter created_on \
         updated_on",
    ),
    Columns(24..=24, "queue", "partition_name retention_minutes"),
    Columns(
        25..=STILL,
        "queue",
        "retry_delay_max retention_seconds deletion_seconds partition table_name deferred_count \
         queued_count warning_queued active_count total_count singletons_active monitor_on maintain_on",
    ),
    Columns(30..=STILL, "queue", "heartbeat_seconds"),
    Columns(32..=STILL, "queue", "notify failed_count ready_count"),
    Columns(35..=STILL, "queue", "ready_history"),
    Columns(40..=STILL, "queue", "monitor_claim_on"),
    Columns(
        43..=STILL,
        "queue",
        "created_delta completed_delta failed_delta delta_on delta_seconds",
    ),
    Columns(
        44..=STILL,
        "queue",
        "blocked_count wait_bins run_bins ready_oldest_seconds",
    ),
    Columns(46..=STILL, "queue", "retained_count retained_on"),
    Columns(
        24..=STILL,
        "schedule",
        "name cron timezone data options created_on updated_on",
    ),
    Columns(25..=STILL, "schedule", "key"),
    Columns(41..=STILL, "schedule", "kind last_job_id"),
    Columns(24..=STILL, "subscription", "event name created_on updated_on"),
    Columns(
        24..=STILL,
        "job",
        "id name priority data state retry_limit retry_count retry_delay retry_backoff start_after \
         started_on singleton_key singleton_on created_on completed_on keep_until output dead_letter \
         policy",
    ),
    Columns(24..=24, "job", "expire_in"),
    Columns(25..=STILL, "job", "expire_seconds deletion_seconds retry_delay_max"),
    Columns(27..=STILL, "job", "group_id group_tier"),
    Columns(30..=STILL, "job", "heartbeat_on heartbeat_seconds"),
    Columns(31..=STILL, "job", "blocked blocking pending_dependencies"),
    Columns(
        34..=STILL,
        "job",
        "source_name source_id source_created_on source_retry_count",
    ),
    Columns(43..=STILL, "job", "source_output source_root_id"),
    Columns(44..=STILL, "job", "trace_context"),
    Columns(45..=STILL, "job", "upsert_by_key"),
    Columns(24..=24, "archive", "id name state output archived_on"),
    Columns(25..=STILL, "job_common", "id name state"),
    Columns(
        27..=STILL,
        "bam",
        "id name version status queue table_name command error",
    ),
    Columns(29..=STILL, "warning", "id type message data created_on"),
    Columns(
        31..=STILL,
        "job_dependency",
        "child_name child_id parent_name parent_id",
    ),
    Columns(
        35..=STILL,
        "queue_stats",
        "id name deferred_count queued_count ready_count active_count failed_count total_count \
         captured_on",
    ),
    Columns(
        43..=STILL,
        "queue_stats",
        "created_delta completed_delta failed_delta delta_on delta_seconds",
    ),
    Columns(44..=STILL, "queue_stats", "wait_bins run_bins ready_oldest_seconds"),
    Columns(
        44..=STILL,
        "instance",
        "id name host pid heartbeat_on workers metrics config",
    ),
];

const FUNCTIONS: &[(RangeInclusive<i32>, &str)] = &[
    (24..=STILL, "create_queue"),
    (24..=STILL, "delete_queue"),
    (27..=STILL, "job_table_format"),
    (27..=STILL, "job_table_run"),
    (27..=STILL, "job_table_run_async"),
    (42..=STILL, "job_now"),
];

/// An index of a job table: its number, whether it is unique, and the policy whose queues alone have it in a table of
/// their own (from 26 on; before, every table had all).
struct Index(RangeInclusive<i32>, u8, bool, Option<&'static str>);

const INDEXES: &[Index] = &[
    Index(24..=STILL, 1, true, Some("short")),
    Index(24..=STILL, 2, true, Some("singleton")),
    Index(24..=STILL, 3, true, Some("stately")),
    Index(24..=STILL, 4, true, None),
    // Replaced by the eleventh, but only once that one is built.
    Index(24..=39, 5, false, None),
    Index(26..=STILL, 6, true, Some("exclusive")),
    Index(27..=STILL, 7, false, None),
    Index(28..=STILL, 8, true, Some("key_strict_fifo")),
    Index(33..=STILL, 9, false, None),
    Index(38..=STILL, 10, false, Some("key_strict_fifo")),
    Index(40..=STILL, 11, false, None),
    Index(43..=STILL, 12, false, None),
    Index(45..=STILL, 13, true, None),
    Index(46..=STILL, 14, false, None),
    Index(46..=STILL, 15, false, None),
    Index(46..=STILL, 16, false, None),
    Index(46..=STILL, 17, false, None),
];

/// Says what a schema lacks of what its version's statements rely on.
///
/// A version newer than the newest known is held to what the newest needs.
pub(super) fn check(schema: &str, version: i32, found: &Inventory, builds: &[Build]) -> Vec<Finding> {
    if version < OLDEST {
        return vec![too_old(version)];
    }
    let mut findings = Vec::new();
    columns(version, found, &mut findings);
    functions(version, found, &mut findings);
    indexes(schema, version, found, builds, &mut findings);
    findings
}

fn columns(version: i32, found: &Inventory, findings: &mut Vec<Finding>) {
    for Columns(versions, table, names) in COLUMNS {
        let wanted = versions.contains(&version);
        if !found.has(Kind::Table, table, "") {
            let key = key(Kind::Table, table, "");
            let told = findings.iter().any(|finding| finding.object == describe(&key));
            if wanted && !told {
                findings.push(missing(&key, *versions.start()));
            }
            continue;
        }
        for name in names.split_whitespace() {
            let there = found.has(Kind::Column, table, name);
            if wanted && !there {
                findings.push(missing(&key(Kind::Column, table, name), *versions.start()));
            } else if there && !wanted {
                findings.push(untimely(&key(Kind::Column, table, name), version, versions));
            }
        }
    }
}

fn functions(version: i32, found: &Inventory, findings: &mut Vec<Finding>) {
    for (versions, name) in FUNCTIONS {
        if versions.contains(&version) && !found.has_function(name) {
            findings.push(missing(&key(Kind::Function, "", name), *versions.start()));
        }
    }
}

fn indexes(schema: &str, version: i32, found: &Inventory, builds: &[Build], findings: &mut Vec<Finding>) {
    for (table, prefix, policy) in job_tables(version, found) {
        for Index(versions, number, unique, of_policy) in INDEXES {
            let has_it = match (policy, of_policy) {
                (Some(policy), Some(of_policy)) => policy == *of_policy,
                _ => true,
            };
            if !versions.contains(&version) || !has_it {
                continue;
            }
            let key = key(Kind::Index, table, &format!("{prefix}_i{number}"));
            match found.objects.get(&key) {
                Some(shape) if shape.sound => {}
                Some(_) => findings.push(invalid(schema, &key, *unique)),
                None => findings.push(match builds.iter().find(|build| build.makes(&key.name)) {
                    Some(build) => unbuilt(&key, *unique, build),
                    None => Finding {
                        severity: if *unique { Severity::Error } else { Severity::Warning },
                        ..missing(&key, *versions.start())
                    },
                }),
            }
        }
    }
}

/// The job tables whose indexes are known: table, what its indexes are named after, and the one policy it serves.
fn job_tables(version: i32, found: &Inventory) -> Vec<(&str, &str, Option<&str>)> {
    if version == 24 {
        // A table per queue, each with every index.
        return found
            .objects
            .iter()
            .filter(|(key, shape)| key.kind == Kind::Table && shape.definition.starts_with("partition of job"))
            .map(|(key, _)| (key.relation.as_str(), key.relation.as_str(), None))
            .collect();
    }
    let mut tables = Vec::new();
    if found.has(Kind::Table, "job_common", "") {
        tables.push(("job_common", if version < 27 { "job" } else { "job_common" }, None));
    }
    for own in &found.own_tables {
        if found.has(Kind::Table, &own.table, "") {
            let policy = (version >= 26).then_some(own.policy.as_str());
            tables.push((&own.table, &own.table, policy));
        }
    }
    tables
}

fn key(kind: Kind, relation: &str, name: &str) -> Key {
    Key {
        kind,
        relation: relation.to_owned(),
        name: name.to_owned(),
    }
}

fn missing(key: &Key, since: i32) -> Finding {
    Finding {
        severity: Severity::Error,
        kind: key.kind,
        object: describe(key),
        problem: Problem::Missing {
            expected: format!("there since schema {since}"),
        },
        advice: format!(
            "the version row promises it: a migration was cut short, or it was removed by hand; see what pg-boss {} \
             creates",
            releases(since).unwrap_or_default()
        ),
    }
}

fn untimely(key: &Key, version: i32, versions: &RangeInclusive<i32>) -> Finding {
    let (start, end) = (*versions.start(), *versions.end());
    Finding {
        severity: Severity::Warning,
        kind: key.kind,
        object: describe(key),
        problem: Problem::Extra {
            found: if version < start {
                format!("there only from schema {start} on")
            } else {
                format!("gone since schema {}", end + 1)
            },
        },
        advice: format!(
            "the version row says {version}: a migration may be half done or half undone; start the Node app and let \
             it migrate, then look again"
        ),
    }
}

fn too_old(version: i32) -> Finding {
    let key = key(Kind::Table, "version", "");
    Finding {
        severity: Severity::Error,
        kind: key.kind,
        object: describe(&key),
        problem: Problem::Different {
            expected: format!("{OLDEST} to {NEWEST}"),
            found: version.to_string(),
        },
        advice: format!(
            "strawboss does not speak it: start Node's pg-boss {} or later on it",
            releases(OLDEST).unwrap_or_default()
        ),
    }
}
