//! The file as it is written: every key optional, nothing resolved. The JSON Schema is derived from these structs.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor, value::MapAccessDeserializer};

use super::api;
use super::events;
use super::schedule;
use super::secret::{Secret, Secrets};
use super::upkeep::Upkeep;
use super::{LogFormat, Period};
use crate::postgres::Pooler;
use crate::queue::Policy;

/// The configuration of strawboss. `${VAR}` and `${VAR:-default}` are filled in in every text.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "strawboss")]
pub(super) struct File {
    /// Where the database is.
    #[serde(default)]
    pub(super) database: Database,
    /// The worker as a whole.
    #[serde(default)]
    pub(super) worker: Worker,
    /// The window: metrics and health.
    #[serde(default)]
    pub(super) http: Http,
    /// pg-boss's API over HTTP.
    #[serde(default)]
    pub(super) api: api::Api,
    /// The pace of pg-boss's supervision; read where `worker.supervise` is on.
    #[serde(default)]
    pub(super) upkeep: Upkeep,
    /// The pace of schedules; read where `worker.schedule` is on.
    #[serde(default)]
    pub(super) cron: schedule::Cron,
    /// Logs and traces.
    #[serde(default)]
    pub(super) telemetry: Telemetry,
    /// The queues this worker serves, by name.
    #[serde(default)]
    pub(super) queues: BTreeMap<String, Queue>,
    /// The event outbox and the handlers of events.
    #[serde(default)]
    pub(super) events: events::Events,
    /// Schedules that are set at start.
    #[serde(default)]
    pub(super) schedules: Vec<schedule::Schedule>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Database {
    /// libpq URL or key=value text. `DATABASE_URL` and `--database-url` go before it; without any the `PG*` variables
    /// are read.
    pub(super) url: Option<Secret>,
    /// The pg-boss schema, as `pg_namespace` spells it.
    #[schemars(extend("default" = "pgboss"))]
    pub(super) schema: Option<String>,
    /// Our own schema, for what the worker remembers beside pg-boss's tables; created when something first needs it.
    #[schemars(extend("default" = "strawboss"))]
    pub(super) own_schema: Option<String>,
    /// Connections for claims and verdicts; one more renews leases, and one more listens.
    #[schemars(range(min = 1), extend("default" = 10))]
    pub(super) pool_size: Option<usize>,
    /// Whether a pooler stands between: `none`, `transaction` (PgBouncer in transaction mode: no LISTEN, no prepared
    /// statements), or `auto` to find out at start.
    #[schemars(with = "Option<String>", extend("enum" = ["auto", "none", "transaction"], "default" = "auto"))]
    pub(super) pooler: Option<Pooler>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Worker {
    /// What the worker calls itself; the host's name where not said.
    pub(super) name: Option<String>,
    /// Jobs in flight in this process, all queues together.
    #[schemars(range(min = 1), extend("default" = 64))]
    pub(super) concurrency: Option<usize>,
    /// What running jobs are given after SIGTERM before they are cut off and handed back.
    #[schemars(extend("default" = "30s"))]
    pub(super) shutdown_grace: Option<Period>,
    /// Supervise all queues as pg-boss does (expiry, deletion, statistics, flows), and take back the lost jobs of those
    /// served here within seconds.
    #[schemars(extend("default" = true))]
    pub(super) supervise: Option<bool>,
    /// Build the indexes that a migration of pg-boss has put off, and rebuild bloated ones. Left to Node where not asked for.
    #[schemars(extend("default" = false))]
    pub(super) maintain_schema: Option<bool>,
    /// Fire cron and rrule schedules, beside whoever else does.
    #[schemars(extend("default" = true))]
    pub(super) schedule: Option<bool>,
    /// Be woken by LISTEN/NOTIFY on queues that notify.
    #[schemars(extend("default" = true))]
    pub(super) listen: Option<bool>,
    /// The lease lent to jobs without a heartbeat of their own, in whole seconds; `0s` lends none.
    #[schemars(extend("default" = "10s"))]
    pub(super) heartbeat: Option<Period>,
    /// How long the outcome of every attempt is remembered in our own schema; `0s` remembers none.
    #[schemars(extend("default" = "0s"))]
    pub(super) history: Option<Period>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Http {
    /// Address and port of `/metrics`, `/healthz`, `/readyz` and `/status`; empty serves nothing.
    #[schemars(extend("default" = "127.0.0.1:9464"))]
    pub(super) listen: Option<String>,
    /// The bearer of which may use the `/api` routes; empty is nobody.
    pub(super) api_token: Option<Secret>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Telemetry {
    /// Base URL of an OTLP/HTTP collector; empty sends no traces. `OTEL_EXPORTER_OTLP_ENDPOINT` where not said.
    pub(super) otlp_endpoint: Option<String>,
    /// How log lines are written.
    #[schemars(extend("default" = "text"))]
    pub(super) log_format: Option<LogFormat>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Queue {
    /// Jobs of this queue in flight in this process; as `worker.concurrency` where not said.
    #[schemars(range(min = 1))]
    pub(super) concurrency: Option<usize>,
    /// The most jobs taken by one claim; the queue's concurrency where not said, at most 100 then.
    #[schemars(range(min = 1))]
    pub(super) batch_size: Option<usize>,
    /// How long an idle queue waits before it looks again, NOTIFY aside.
    #[schemars(extend("default" = "500ms"))]
    pub(super) poll_interval: Option<Period>,
    /// Jobs below this priority are left to others.
    pub(super) min_priority: Option<i32>,
    /// Jobs above this priority are left to others.
    pub(super) max_priority: Option<i32>,
    /// How many jobs of one group may be active at once, in all workers together: a number, or a number by tier.
    pub(super) group_concurrency: Option<GroupLimit>,
    /// What runs the jobs: one of `http`, `exec`, `noop`, `log`, and what belongs to it.
    pub(super) handler: Option<Handler>,
    /// Create the queue at start with these options if it is not there; an existing one is left as it is.
    pub(super) ensure: Option<Ensure>,
}

/// `5`, or `{ default = 5, tiers = { gold = 20 } }`.
#[derive(Debug, Default)]
pub(super) struct GroupLimit {
    pub(super) default: Option<u32>,
    pub(super) tiers: BTreeMap<String, u32>,
}

impl<'de> Deserialize<'de> for GroupLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct ByTier {
            default: Option<u32>,
            #[serde(default)]
            tiers: BTreeMap<String, u32>,
        }
        struct NumberOrTable;
        impl<'de> Visitor<'de> for NumberOrTable {
            type Value = GroupLimit;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number or { default = …, tiers = { … } }")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<GroupLimit, E> {
                let default = u32::try_from(number).map_err(|_| E::custom("must be at least 1"))?;
                Ok(GroupLimit {
                    default: Some(default),
                    tiers: BTreeMap::new(),
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<GroupLimit, A::Error> {
                let ByTier { default, tiers } = ByTier::deserialize(MapAccessDeserializer::new(map))?;
                Ok(GroupLimit { default, tiers })
            }
        }
        deserializer.deserialize_any(NumberOrTable)
    }
}

impl JsonSchema for GroupLimit {
    fn schema_name() -> Cow<'static, str> {
        "GroupLimit".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "object"],
            "minimum": 1,
            "properties": {
                "default": { "type": "integer", "minimum": 1, "description": "The limit of a group of no named tier." },
                "tiers": {
                    "type": "object",
                    "additionalProperties": { "type": "integer", "minimum": 1 },
                    "description": "The limits by tier."
                }
            },
            "required": ["default"],
            "additionalProperties": false
        })
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Handler {
    /// `POST` the job to this URL.
    pub(super) http: Option<String>,
    /// Start this program, once per job: the program and its arguments, no shell in between.
    #[schemars(length(min = 1))]
    pub(super) exec: Option<Vec<String>>,
    /// `true`: complete at once.
    pub(super) noop: Option<bool>,
    /// `true`: log the job's id and complete.
    pub(super) log: Option<bool>,
    /// What one run may take; `30s` for http and `15m` for exec where not said, never more than is left of the job's
    /// expiry.
    pub(super) timeout: Option<Period>,
    /// With http: the key of the signature, or several of which the first is the newest.
    pub(super) secret: Option<Secrets>,
    /// With http: sent along with every request.
    pub(super) headers: Option<BTreeMap<String, Secret>>,
    /// With http: what is read of an answer, in bytes; 1048576 where not said.
    #[schemars(range(min = 1))]
    pub(super) max_response_bytes: Option<usize>,
    /// With exec: where it runs.
    pub(super) working_dir: Option<String>,
    /// With exec: variables added to the worker's own.
    pub(super) env: Option<BTreeMap<String, Secret>>,
}

/// pg-boss's options of `createQueue`, in snake case.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ensure {
    /// How many jobs, of the queue or of a key in it, may exist or run at once.
    #[schemars(extend("enum" = Policy::ALL.map(Policy::as_str), "default" = "standard"))]
    pub(super) policy: Option<String>,
    /// Keep the jobs in a table of their own (schema 25 and later).
    pub(super) partition: Option<bool>,
    /// Where jobs go that failed for good. That queue is created too, by its own `ensure` where it has one.
    pub(super) dead_letter: Option<String>,
    /// Backlog above which a supervisor warns.
    #[schemars(range(min = 0))]
    pub(super) warning_queue_size: Option<i32>,
    /// Retries after the first attempt.
    #[schemars(range(min = 0))]
    pub(super) retry_limit: Option<i32>,
    /// Seconds before a retry.
    #[schemars(range(min = 0))]
    pub(super) retry_delay: Option<i32>,
    /// Let the delay grow from retry to retry.
    pub(super) retry_backoff: Option<bool>,
    /// With `retry_backoff`: the most the delay grows to, in seconds (schema 25 and later).
    #[schemars(range(min = 0))]
    pub(super) retry_delay_max: Option<i32>,
    /// Seconds one attempt may take.
    #[schemars(range(min = 1, max = 86400))]
    pub(super) expire_in_seconds: Option<i32>,
    /// Seconds a job may wait before it is deleted unrun.
    #[schemars(range(min = 1))]
    pub(super) retention_seconds: Option<i32>,
    /// Seconds a finished job is kept; 0 keeps it for ever (schema 25 and later).
    #[schemars(range(min = 0))]
    pub(super) delete_after_seconds: Option<i32>,
    /// The queue's own heartbeat in seconds (schema 30 and later).
    #[schemars(range(min = 10))]
    pub(super) heartbeat_seconds: Option<i32>,
    /// Inserts wake listening workers (schema 32 and later).
    pub(super) notify: Option<bool>,
}
