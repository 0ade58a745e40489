//! Whether `run` would find everything it needs: handlers, database, schema, queues, privileges.

use std::collections::BTreeMap;

use serde_json::Value;

use super::queue::{QueueRow, queues};
use crate::config::{Config, EnsureConfig, Finding, Severity};
use crate::dialect::{Capability, Dialect, NEWEST, OLDEST, lacking};
use crate::handler;
use crate::observe::Metrics;
use crate::postgres::{Error, Executor};
use crate::queue::{Policy, QueueName};

/// The oldest PostgreSQL that is worked with: pg-boss's own bound.
const OLDEST_SERVER: i32 = 130_000;

/// What a database said when it was asked.
#[derive(Debug, Default)]
pub struct Readiness {
    /// What was found, in a sentence each, for people.
    pub facts: Vec<String>,
    /// What is wrong, or worth knowing.
    pub findings: Vec<Finding>,
}

impl Readiness {
    fn say(&mut self, severity: Severity, key: impl Into<String>, message: impl Into<String>) {
        self.findings.push(Finding {
            severity,
            key: key.into(),
            place: None,
            message: message.into(),
        });
    }

    fn error(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.say(Severity::Error, key, message);
    }

    fn notice(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.say(Severity::Notice, key, message);
    }
}

/// Checks what needs no database: that something would be run, and that every handler can be made.
pub fn check_handlers(config: &Config) -> Vec<Finding> {
    let mut found = Readiness::default();
    if config.queues.is_empty() {
        found.notice(
            "queues",
            "no queue is configured, so nothing would be run; add a section [queues.NAME]",
        );
    }
    let metrics = Metrics::new();
    for (name, queue) in &config.queues {
        let key = key(name);
        match &queue.handler {
            Some(handler) => {
                if let Err(error) = handler::from_config(handler, &QueueName::new(name.as_str()), &metrics) {
                    found.error(format!("{key}.handler"), error.to_string());
                }
            }
            None if queue.ensure.is_none() => found.error(
                key,
                "has neither a handler nor ensure, so there is nothing to do; add handler = { … }",
            ),
            None => {}
        }
    }
    found.findings
}

/// Asks the database: the server, the schema, the role's privileges, the queues.
///
/// # Errors
/// Where the database does not answer a question at all.
pub async fn check_database(executor: &impl Executor, config: &Config) -> Result<Readiness, Error> {
    let mut found = Readiness::default();
    let server = executor.query(include_str!("server.sql"), &[]).await?;
    for row in server {
        let (version, database, role): (String, String, String) =
            (row.get("version"), row.get("database"), row.get("role"));
        found
            .facts
            .push(format!("PostgreSQL {version}, database {database:?}, as {role:?}"));
        if row.get::<_, i32>("version_number") < OLDEST_SERVER {
            found.error(
                "database",
                format!("PostgreSQL {version} is too old; 13 is the oldest that will do"),
            );
        }
        if row.get("standby") {
            found.error(
                "database",
                "this server is a standby and takes no writes; name its primary",
            );
        }
    }
    let schema = &config.database.schema;
    let dialect = match Dialect::read(executor, schema).await {
        Ok(dialect) => dialect,
        Err(error) if error.class() == crate::postgres::Class::Schema => {
            found.error(
                "database.schema",
                format!(
                    "there is no pg-boss in schema {schema:?}; create it with `strawboss schema install`, let the Node app start once, or name another schema"
                ),
            );
            return Ok(found);
        }
        Err(error) => return Err(error),
    };
    let version = dialect.version();
    found
        .facts
        .push(format!("pg-boss schema {schema:?}, version {version}"));
    if version < OLDEST {
        found.error(
            "database.schema",
            format!("its version {version} is too old; {OLDEST} (pg-boss 10.1.5) is the oldest that is spoken"),
        );
        return Ok(found);
    }
    if version > NEWEST {
        found.notice(
            "database.schema",
            format!("its version {version} is newer than this build knows ({NEWEST}); it is spoken if every statement still fits"),
        );
    }
    if !config.worker.heartbeat.is_zero() && !dialect.has(Capability::Heartbeat) {
        found.notice(
            "worker.heartbeat",
            format!(
                "schema version {version} has no heartbeats (pg-boss {} has), so the jobs of a worker that was killed come back when they expire",
                Capability::Heartbeat.release()
            ),
        );
    }
    for privilege in lacking(executor, schema).await? {
        found.error("database", privilege);
    }
    let there: BTreeMap<String, QueueRow> = if found.findings.iter().any(|finding| finding.severity == Severity::Error)
    {
        // Without the privileges the queues cannot be read either.
        return Ok(found);
    } else {
        let names: Vec<String> = config.queues.keys().cloned().collect();
        let rows = queues(executor, &dialect, Some(&names), false).await?;
        rows.into_iter().map(|row| (row.name.clone(), row)).collect()
    };
    for (name, queue) in &config.queues {
        let key = key(name);
        match (there.get(name), &queue.ensure) {
            (None, None) => found.error(
                key.clone(),
                format!(
                    "there is no such queue; create it with `strawboss queues create {name}`, or add ensure = {{}}"
                ),
            ),
            (None, Some(ensure)) => unspoken(&mut found, &format!("{key}.ensure"), ensure, &dialect),
            (Some(row), Some(ensure)) => differing(&mut found, &format!("{key}.ensure"), ensure, row),
            (Some(_), None) => {}
        }
        if let Some(row) = there.get(name) {
            let counts = row.counts;
            found.facts.push(format!(
                "queue {name:?}: {} ready, {} deferred, {} active, {} failed",
                counts.ready, counts.deferred, counts.active, counts.failed
            ));
        }
        if queue.group_concurrency.is_some() && !dialect.has(Capability::Groups) {
            found.error(
                format!("{key}.group_concurrency"),
                lacks(version, "groups", Capability::Groups),
            );
        }
    }
    Ok(found)
}

/// The key of a queue's section, as the configuration's own findings spell it.
fn key(queue: &str) -> String {
    crate::config::dotted("queues", queue)
}

fn lacks(version: i32, what: &str, capability: Capability) -> String {
    format!(
        "schema version {version} has no {what}; pg-boss {} has",
        capability.release()
    )
}

/// Options of a queue to be created that this schema has no room for.
fn unspoken(found: &mut Readiness, key: &str, ensure: &EnsureConfig, dialect: &Dialect) {
    let policy = match ensure.policy {
        Some(Policy::Exclusive) => Some(Capability::Exclusive),
        Some(Policy::KeyStrictFifo) => Some(Capability::StrictFifo),
        _ => None,
    };
    // What schema 25 brought with it is known by the delay's cap.
    let v11 = Capability::RetryDelayMax;
    for (asked, name, what, capability) in [
        (policy.is_some(), "policy", "such policy", policy.unwrap_or(v11)),
        (ensure.partition == Some(true), "partition", "choice of tables", v11),
        (
            ensure.warning_queue_size.is_some(),
            "warning_queue_size",
            "warnings of its own",
            v11,
        ),
        (
            ensure.retry_delay_max.is_some(),
            "retry_delay_max",
            "cap on the delay",
            v11,
        ),
        (
            ensure.delete_after_seconds.is_some(),
            "delete_after_seconds",
            "deletion by queue",
            v11,
        ),
        (
            ensure.heartbeat_seconds.is_some(),
            "heartbeat_seconds",
            "heartbeats",
            Capability::Heartbeat,
        ),
        (
            ensure.notify == Some(true),
            "notify",
            "notifications",
            Capability::Notify,
        ),
    ] {
        if asked && !dialect.has(capability) {
            found.error(format!("{key}.{name}"), lacks(dialect.version(), what, capability));
        }
    }
}

/// Options that an existing queue has otherwise: it is left as it is, which its owner may not expect.
fn differing(found: &mut Readiness, key: &str, ensure: &EnsureConfig, row: &QueueRow) {
    let there: Value = serde_json::from_str(row.row.get()).unwrap_or_default();
    let number = |value: Option<i32>| value.map(Value::from);
    let minutes = |value: Option<i32>| value.map(|seconds| Value::from(seconds / 60));
    for (name, columns, wanted) in [
        (
            "policy",
            "policy",
            ensure.policy.map(|policy| Value::from(policy.as_str())),
        ),
        ("partition", "partition", ensure.partition.map(Value::from)),
        (
            "dead_letter",
            "dead_letter",
            ensure.dead_letter.clone().map(Value::from),
        ),
        (
            "warning_queue_size",
            "warning_queued",
            number(ensure.warning_queue_size),
        ),
        ("retry_limit", "retry_limit", number(ensure.retry_limit)),
        ("retry_delay", "retry_delay", number(ensure.retry_delay)),
        ("retry_backoff", "retry_backoff", ensure.retry_backoff.map(Value::from)),
        ("retry_delay_max", "retry_delay_max", number(ensure.retry_delay_max)),
        ("expire_in_seconds", "expire_seconds", number(ensure.expire_in_seconds)),
        (
            "retention_seconds",
            "retention_seconds",
            number(ensure.retention_seconds),
        ),
        (
            "retention_seconds",
            "retention_minutes",
            minutes(ensure.retention_seconds),
        ),
        (
            "delete_after_seconds",
            "deletion_seconds",
            number(ensure.delete_after_seconds),
        ),
        (
            "heartbeat_seconds",
            "heartbeat_seconds",
            number(ensure.heartbeat_seconds),
        ),
        ("notify", "notify", ensure.notify.map(Value::from)),
    ] {
        if let (Some(wanted), Some(is)) = (wanted, there.get(columns))
            && *is != wanted
        {
            found.notice(
                format!("{key}.{name}"),
                format!("the queue is there already, with {is} instead of {wanted}, and is left as it is"),
            );
        }
    }
}
