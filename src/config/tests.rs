//! What is accepted, what is refused, and in which words.

use std::io::Write;
use std::path::Path;

use super::*;

/// Reads a text under an environment of pairs.
fn report(text: &str, environment: &[(&str, &str)]) -> Report {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(text.as_bytes()).expect("written");
    reported(file.path(), environment)
}

fn reported(file: &Path, environment: &[(&str, &str)]) -> Report {
    let environment = |name: &str| {
        let value = environment.iter().find(|(known, _)| *known == name);
        value.map(|(_, value)| (*value).to_owned())
    };
    read(&Request {
        file: Some(file),
        environment: &environment,
        ..Request::process()
    })
}

/// Every finding as a line, the file's name left out.
fn findings(text: &str) -> String {
    let lines: Vec<_> = report(text, &[("DATABASE_URL", "postgres://db/app"), ("NAN", "s3cret")])
        .findings
        .into_iter()
        .map(|finding| {
            let line = finding.place.as_ref().map_or(0, |place| place.line);
            format!("{line}: {}: {}", finding.key, finding.message)
        })
        .collect();
    lines.join("\n")
}

#[test]
fn the_example_is_accepted_and_says_the_defaults() {
    let read = report(EXAMPLE, &[]);
    assert_eq!(read.findings, []);
    assert_eq!(read.config.database.pool_size, DatabaseConfig::default().pool_size);
    assert_eq!(read.config.http, HttpConfig::default());
    assert_eq!(read.config.upkeep, UpkeepConfig::default());
    assert_eq!(read.config.telemetry, TelemetryConfig::default());
    let told = WorkerConfig {
        name: "strawboss".to_owned(),
        ..WorkerConfig::default()
    };
    assert_eq!(read.config.worker, told);
    let email = &read.config.queues["email"];
    assert_eq!(email.concurrency, 20);
    assert_eq!(
        email.group_concurrency.as_ref().map(|limit| limit.tiers["gold"]),
        Some(20)
    );
    let ensure = email.ensure.as_ref().expect("ensured");
    assert_eq!(
        (ensure.retry_limit, ensure.notify, ensure.policy),
        (Some(5), Some(true), Some(Policy::Standard))
    );
    assert_eq!(read.config.queues["email-dead"].ensure, Some(EnsureConfig::default()));
}

#[test]
fn the_example_names_every_key_of_the_schema() {
    // Commented-out lines count: they are there to be read.
    let text: Vec<_> = EXAMPLE
        .lines()
        .map(|line| line.strip_prefix("# ").unwrap_or(line))
        .collect();
    let mut missing = Vec::new();
    keys(&json_schema(), "", &mut |path, key| {
        let shown = text.iter().any(|line| {
            let words: Vec<_> = line
                .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
                .collect();
            words.contains(&key)
        });
        if !shown {
            missing.push(path.to_owned());
        }
    });
    assert_eq!(missing, Vec::<String>::new());
}

/// Calls `each` with the path and the name of every key that the schema knows.
fn keys(schema: &serde_json::Value, above: &str, each: &mut dyn FnMut(&str, &str)) {
    for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{above}/{key}");
        each(&path, key);
        keys(inner, &path, each);
        keys(&inner["additionalProperties"], &path, each);
        keys(&inner["items"], &path, each);
    }
}

#[test]
fn the_schema_is_for_toml_and_says_what_holds() {
    let schema = json_schema();
    let text = schema.to_string();
    assert!(!text.contains("null"), "TOML has no null");
    assert!(!text.contains("$ref"), "one piece, for editors that resolve nothing");
    let read = report(
        "[queues.a]\nhandler = { http = 'http://a' }",
        &[("DATABASE_URL", "postgres://db/app")],
    );
    let mut compared = 0;
    for setting in read.settings {
        let mut known = &schema;
        for part in setting.key.split('.') {
            known = known["properties"].get(part).unwrap_or(&known["additionalProperties"]);
        }
        if let Some(default) = known.get("default") {
            let default = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
            assert_eq!(default, setting.value, "{}", setting.key);
            compared += 1;
        }
    }
    assert!(compared >= 10, "{compared}");
}

#[test]
fn the_example_satisfies_the_schema() {
    let example: toml::Table = toml::from_str(EXAMPLE).expect("TOML");
    let example = serde_json::to_value(example).expect("JSON");
    let mut complaints = Vec::new();
    validate(&example, &json_schema(), "", &mut complaints);
    assert_eq!(complaints, Vec::<String>::new());
    let wrong = serde_json::json!({ "queues": { "a": { "concurrency": 0, "handler": 1 } }, "x": 1, "schedules": [{}] });
    validate(&wrong, &json_schema(), "", &mut complaints);
    assert_eq!(
        complaints,
        [
            "/queues/a/concurrency: below 1",
            "/queues/a/handler: wrong type",
            "/schedules/0: needs queue",
            "/x: unknown",
        ]
    );
}

/// As much of JSON Schema as ours uses.
fn validate(value: &serde_json::Value, schema: &serde_json::Value, at: &str, complaints: &mut Vec<String>) {
    use serde_json::Value;
    let kind = match value {
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::Null => "null",
    };
    let typed = match &schema["type"] {
        Value::String(name) => name == kind,
        Value::Array(names) => names.iter().any(|name| name == kind),
        _ => true,
    };
    if !typed {
        complaints.push(format!("{at}: wrong type"));
    }
    if schema["enum"].as_array().is_some_and(|values| !values.contains(value)) {
        complaints.push(format!("{at}: none of the values"));
    }
    if let (Some(value), Some(least)) = (value.as_f64(), schema["minimum"].as_f64())
        && value < least
    {
        complaints.push(format!("{at}: below {least}"));
    }
    for (n, value) in value.as_array().into_iter().flatten().enumerate() {
        validate(value, &schema["items"], &format!("{at}/{n}"), complaints);
    }
    let Some(object) = value.as_object() else { return };
    for key in schema["required"].as_array().into_iter().flatten() {
        if !object.contains_key(key.as_str().unwrap_or_default()) {
            complaints.push(format!("{at}: needs {}", key.as_str().unwrap_or_default()));
        }
    }
    for (key, value) in object {
        let at = format!("{at}/{key}");
        match schema["properties"].get(key).unwrap_or(&schema["additionalProperties"]) {
            Value::Bool(false) => complaints.push(format!("{at}: unknown")),
            known => validate(value, known, &at, complaints),
        }
    }
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_known_name() {
    insta::assert_snapshot!(findings(r#"
[databse]
url = "postgres://db/app"
[worker]
concurency = 3
shutdown_timeout = "3s"
[queues.email]
handler = { http = "http://a", timout = "3s" }
ensure = { retryLimit = 3, wibble = true }
[[events.handler]]
event = "e"
module = "m"
http = "http://a"
idempotencyKey = "x"
"#), @r#"
    2: databse: unknown key; did you mean `database`?
    5: worker.concurency: unknown key; did you mean `concurrency`?
    6: worker.shutdown_timeout: unknown key; did you mean `shutdown_grace`?
    8: queues.email.handler.timout: unknown key; did you mean `timeout`?
    9: queues.email.ensure.retryLimit: unknown key; did you mean `retry_limit`?
    9: queues.email.ensure.wibble: unknown key; known here: dead_letter, delete_after_seconds, expire_in_seconds, heartbeat_seconds, notify, partition, policy, retention_seconds, retry_backoff, retry_delay, retry_delay_max, retry_limit, warning_queue_size
    14: events.handler[0].idempotencyKey: unknown key; did you mean `idempotency_key`?
    "#);
}

#[test]
fn wrong_types_are_all_found_at_once() {
    insta::assert_snapshot!(findings(r#"
[database]
schema = 5
pool_size = "many"
pooler = "pgbouncer"
[worker]
concurrency = -1
shutdown_grace = 30
heartbeat = "10 seconds"
listen = "yes"
supervise = "${NAN}"
[http]
listen = 9464
api_token = 12345
[queues.a]
batch_size = "${NAN}"
group_concurrency = "five"
min_priority = 1.5
handler = { exec = "ls", secret = [1] }
ensure = true
[queues.b]
concurrency = 0
group_concurrency = { tiers = { gold = 1 } }
[[schedules]]
cron = "* * * * *"
"#), @r#"
    3: database.schema: expected a text, found 5
    4: database.pool_size: expected a whole number, 0 or more, found a text
    5: database.pooler: expected one of `auto`, `none`, `transaction`
    7: worker.concurrency: expected a whole number, 0 or more, found -1
    8: worker.shutdown_grace: a bare number (30) is no duration; write it with a unit: "500ms", "30s", "5m", "2h", "1d"
    9: worker.heartbeat: "10 seconds" is no duration; write it with a unit: "500ms", "30s", "5m", "2h", "1d"
    10: worker.listen: expected true or false, found a text
    11: worker.supervise: once filled in, this is not true or false
    13: http.listen: expected a text, found 9464
    14: http.api_token: expected a text; put quotes around it
    16: queues.a.batch_size: once filled in, this is not a whole number
    17: queues.a.group_concurrency: expected a whole number or { default = …, tiers = { … } }, found a text
    18: queues.a.min_priority: expected a whole number, found 1.5
    19: queues.a.handler.exec: expected a list, found a text
    19: queues.a.handler.secret: expected a text; put quotes around it
    20: queues.a.ensure: expected a table, found true
    22: queues.b.concurrency: must be at least 1
    23: queues.b.group_concurrency: needs default = …, the limit of a group of no named tier
    24: schedules: needs `queue`
    "#);
}

#[test]
fn wrong_values_are_refused() {
    insta::assert_snapshot!(findings(r#"
[database]
schema = ""
pool_size = 0
[worker]
name = " "
heartbeat = "1500ms"
[http]
listen = "localhost"
[telemetry]
otlp_endpoint = "collector:4318"
[queues.none]
handler = {}
[queues.both]
handler = { noop = true, http = "http://a" }
[queues.off]
handler = { noop = false }
[queues.http]
handler = { http = "ftp://a", timeout = "0s", secret = "", headers = { "a b" = "c" }, working_dir = "/", max_response_bytes = 0 }
[queues.exec]
handler = { exec = [], secret = "x", headers = {} }
[queues.bounds]
min_priority = 5
max_priority = 1
poll_interval = "1ms"
group_concurrency = 0
[queues."a b"]
ensure = { policy = "single", dead_letter = "a b", retry_delay_max = 5, expire_in_seconds = 90000, heartbeat_seconds = 5 }
[queues.self]
ensure = { dead_letter = "self" }
[queues.__pgboss__send-it]
handler = { noop = true }
"#), @r#"
    3: database.schema: must have 1 to 50 bytes and no quotes; write it as it is called, unquoted
    4: database.pool_size: must be at least 1
    6: worker.name: must not be empty
    7: worker.heartbeat: must be whole seconds, such as "10s"; "0s" lends none
    9: http.listen: "localhost" is no address with a port, such as "127.0.0.1:9464" or "[::]:9464"; "" serves nothing
    11: telemetry.otlp_endpoint: must be an http or https URL, not collector:
    13: queues.none.handler: needs one of http = "https://…", exec = ["program", …], noop = true, log = true
    15: queues.both.handler: has http and noop; keep one of them
    17: queues.off.handler.noop: must be true; leave the handler out where there is none
    19: queues.http.handler.working_dir: means nothing to a handler of kind http; it belongs to exec
    19: queues.http.handler.timeout: must be at least 1ms
    19: queues.http.handler.http: must be an http or https URL, not ftp:
    19: queues.http.handler.secret: must not be empty
    19: queues.http.handler.headers."a b": is no HTTP header
    19: queues.http.handler.max_response_bytes: must be at least 1
    21: queues.exec.handler.secret: means nothing to a handler of kind exec; it belongs to http
    21: queues.exec.handler.headers: means nothing to a handler of kind exec; it belongs to http
    21: queues.exec.handler.exec: needs a program: exec = ["program", "argument", …]
    23: queues.bounds.min_priority: must not be above max_priority (1)
    25: queues.bounds.poll_interval: must be at least 10ms
    26: queues.bounds.group_concurrency: every limit must be at least 1
    28: queues."a b".ensure: cannot create it: a queue's name is made of letters, digits, `_`, `.`, `-` and `/`; ' ' in "a b" is none of them
    28: queues."a b".ensure.policy: no such policy: single (one of standard, short, singleton, stately, exclusive, key_strict_fifo)
    28: queues."a b".ensure.dead_letter: a queue's name is made of letters, digits, `_`, `.`, `-` and `/`; ' ' in "a b" is none of them
    28: queues."a b".ensure.expire_in_seconds: must be at most 86400
    28: queues."a b".ensure.heartbeat_seconds: must be at least 10
    28: queues."a b".ensure.retry_delay_max: is only for retry_backoff = true
    30: queues.self.ensure.dead_letter: must be another queue than its own
    31: queues.__pgboss__send-it: is one of pg-boss's own queues, which only pg-boss may serve
    "#);
}

#[test]
fn events_that_mean_nothing_are_refused() {
    insta::assert_snapshot!(findings(r#"
[events]
enabled = true
unhandled = "drop"
[[events.handler]]
event = ""
module = "m"
retry = { max_attempts = 0 }
"#), @r#"
    4: events.unhandled: must be "complete" or "hold", not "drop"
    5: events.handler[0]: needs one of http = "https://…", exec = ["program", …], noop = true, log = true
    6: events.handler[0].event: must have 1 to 255 characters
    8: events.handler[0].retry.max_attempts: must be at least 1
    "#);
}

#[test]
fn schedules_are_read_and_those_that_mean_nothing_refused() {
    insta::assert_snapshot!(findings(r#"
[cron]
monitor_interval = "1m"
worker_interval = "500ms"
clock_interval = "1h"
ledger_retention = "1s"
zoneinfo = "/nowhere"
[[schedules]]
queue = ""
"#), @r#"
    3: cron.monitor_interval: must be at most 45s
    4: cron.worker_interval: must be at least 1s
    5: cron.clock_interval: must be at most 10m
    6: cron.ledger_retention: must be at least 1m
    7: cron.zoneinfo: /nowhere has no time zones: /nowhere: No such file or directory (os error 2)
    8: schedules[0]: needs cron = "…" or rrule = "…"
    9: schedules[0].queue: must not be empty
    "#);
    insta::assert_snapshot!(findings(r#"
[[schedules]]
queue = "report"
cron = "0 9 * * 1-5"
timezone = "Europe/Berlin"
data = { kind = "daily" }
options = { priority = 5 }
missed = "once"
catch_up = 3
[[schedules]]
queue = "report"
cron = "61 * * * *"
[[schedules]]
queue = "report"
cron = "* * * * *"
timezone = "Europe/Berlim"
missed = "twice"
catch_up = 20000
[[schedules]]
queue = "report"
rrule = "FREQ=SOMETIMES"
cron = "* * * * *"
"#), @r#"
    10: schedules[1]: "61 * * * *" is no cron expression: minute "61" is not between 0 and 59
    13: schedules[2]: there is no time zone "Europe/Berlim"; names are as in Europe/Berlin, or UTC
    17: schedules[2].missed: must be "skip" or "once"
    18: schedules[2].catch_up: must be at most 10000
    19: schedules[3]: has both cron and rrule; keep one
    "#);
    let off = "[worker]\nschedule = false\n[[schedules]]\nqueue = 'q'\ncron = '* * * * *'";
    assert!(findings(off).contains("worker.schedule is on"), "{}", findings(off));
    let read = report(
        "[[schedules]]\nqueue = 'q'\ncron = '@daily'\ndata = { n = 1 }",
        &[("DATABASE_URL", "postgres://db/app")],
    );
    let schedule = read.config.schedules.first().expect("it is declared");
    assert_eq!(schedule.data.as_ref().map(|data| data.get()), Some(r#"{"n":1}"#));
    assert!(read.config.worker.schedule);
}

#[test]
fn the_pace_of_supervision_is_taken_and_bounded() {
    let text = "[worker]\nmaintain_schema = true\n[upkeep]\nmaintenance_interval = '2h'\npersist_warnings = true\nwarning_retention_days = 3";
    let read = report(&format!("{text}\n"), &[("DATABASE_URL", "postgres://db/app")]).config;
    assert!(read.worker.maintain_schema && read.upkeep.persist_warnings);
    assert_eq!(read.upkeep.maintenance_interval, Duration::from_secs(7200));
    assert_eq!(
        (
            read.upkeep.warning_retention_days,
            read.upkeep.queue_stat_retention_days
        ),
        (3, 7)
    );
    assert_eq!(read.upkeep.flow_interval, Duration::from_secs(1));
    insta::assert_snapshot!(findings(r#"
[upkeep]
flow_interval = "0s"
monitor_interval = "25h"
queue_stat_retention_days = 0
warning_retention_days = 366
"#), @r#"
    3: upkeep.flow_interval: must be at least 1s
    4: upkeep.monitor_interval: must be at most 1d
    5: upkeep.queue_stat_retention_days: must be at least 1
    6: upkeep.warning_retention_days: must be at most 365
    "#);
}

#[test]
fn placeholders_are_filled_in_or_named() {
    let text = r#"
[database]
url = "postgres://${HOST}/app"
pool_size = "${POOL:-7}"
[worker]
listen = "${LISTEN}"
name = "$${HOST}"
[queues.a]
handler = { exec = ["echo", "${HOST}"], timeout = "${TIMEOUT:-5s}" }
"#;
    let read = report(text, &[("HOST", "db"), ("LISTEN", "false")]);
    assert_eq!(read.findings, []);
    assert_eq!(read.config.database.url, "postgres://db/app");
    assert_eq!(read.config.database.pool_size, 7);
    assert!(!read.config.worker.listen);
    assert_eq!(read.config.worker.name, "${HOST}");
    let HandlerConfig::Exec { command, timeout, .. } = read.config.queues["a"].handler.clone().expect("a handler")
    else {
        panic!("another kind")
    };
    assert_eq!((command[1].as_str(), timeout), ("db", Duration::from_secs(5)));

    let read = report(text, &[]);
    let said: Vec<_> = read
        .findings
        .iter()
        .map(|finding| (finding.key.as_str(), finding.message.as_str()))
        .collect();
    let unset = |name: &str| {
        format!("the environment variable {name} is not set; set it, or give a default: ${{{name}:-default}}")
    };
    assert_eq!(
        said,
        [
            ("database.url", unset("HOST").as_str()),
            ("worker.listen", unset("LISTEN").as_str()),
            ("queues.a.handler.exec[1]", unset("HOST").as_str()),
        ]
    );
}

#[test]
fn every_value_has_its_origin() {
    let text = "[database]\nschema = 'jobs'\n[worker]\nname = '${NAME:-x}'\nconcurrency = '${N:-5}'\n[queues.'a b']\nhandler = { log = true }";
    let read = report(
        text,
        &[
            ("DATABASE_URL", "postgres://app:pw@db/app"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel"),
            ("N", "7"),
        ],
    );
    let file = read.file.expect("a file").display().to_string();
    let settings: Vec<_> = read
        .settings
        .iter()
        .filter(|setting| {
            !setting.key.starts_with("worker.") && !setting.key.starts_with("upkeep.")
                || setting.origin != Origin::Default
        })
        .map(|setting| format!("{} = {} ({})", setting.key, setting.value, setting.origin).replace(&file, "FILE"))
        .collect();
    insta::assert_snapshot!(settings.join("\n"), @r#"
    database.url = postgres://app:***@db/app (environment $DATABASE_URL)
    database.schema = jobs (FILE:2)
    database.own_schema = strawboss (default)
    database.pool_size = 10 (default)
    database.pooler = auto (default)
    worker.name = x (FILE:4)
    worker.concurrency = 7 (FILE:5 with $N)
    api.enabled = false (default)
    http.listen = 127.0.0.1:9464 (default)
    telemetry.otlp_endpoint = http://otel (environment $OTEL_EXPORTER_OTLP_ENDPOINT)
    telemetry.log_format = text (default)
    queues."a b".concurrency = 7 (default)
    queues."a b".batch_size = 7 (default)
    queues."a b".poll_interval = 500ms (default)
    queues."a b".handler.log = true (FILE:7)
    cron.zoneinfo = (the newest there is) (default)
    cron.monitor_interval = 30s (default)
    cron.worker_interval = 5s (default)
    cron.clock_interval = 10m (default)
    cron.ledger_retention = 30d (default)
    "#);
}

#[test]
fn a_flag_goes_before_the_environment_and_the_environment_before_the_file() {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(b"[database]\nurl = '${UNSET}'\nschema = 'from_file'\n")
        .expect("written");
    let environment = |name: &str| (name == "DATABASE_URL").then(|| "postgres://environment/app".to_owned());
    let mut request = Request {
        file: Some(file.path()),
        environment: &environment,
        ..Request::process()
    };
    let report = read(&request);
    assert_eq!(report.findings, []);
    assert_eq!(report.config.database.url, "postgres://environment/app");
    assert_eq!(report.config.database.schema, "from_file");
    request.database_url = Some("postgres://flag/app");
    request.schema = Some("from_flag");
    let report = read(&request);
    assert_eq!(report.config.database.url, "postgres://flag/app");
    assert_eq!(report.config.database.schema, "from_flag");
    assert_eq!(report.settings[0].origin, Origin::Flag("--database-url"));
}

#[test]
fn the_database_alone_is_read_without_the_rest() {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(b"[database]\nurl = 'postgres://db/app'\n[queues.a]\nhandler = { http = '${UNSET}' }\nx = 1\n")
        .expect("written");
    let report = read(&Request {
        file: Some(file.path()),
        environment: &|_| None,
        database_only: true,
        ..Request::process()
    });
    assert_eq!(report.findings, []);
    assert_eq!(report.config.database.url, "postgres://db/app");
}

/// What is said of a variable, and of the key behind it.
fn event_setting(text: &str, variable: &str, value: &str, key: &str) -> (String, String) {
    let environment = [("DATABASE_URL", "postgres://db/app"), (variable, value)];
    let read = report(text, &environment);
    assert_eq!(read.findings, [], "{variable}={value}");
    let setting = read.settings.iter().find(|setting| setting.key == key).expect(key);
    (setting.value.clone(), setting.origin.to_string())
}

const EVENT_VARIABLES: [(&str, &str, &str, &str, &str); 13] = [
    ("EVENT_SYSTEM_ENABLED", "false", "events.enabled", "false", "true"),
    (
        "EVENT_OUTBOX_POLLING_INTERVAL",
        "250",
        "events.polling_interval",
        "250ms",
        "'1s'",
    ),
    ("EVENT_DEFAULT_MAX_RETRIES", "7", "events.max_retries", "7", "2"),
    ("EVENT_DEFAULT_BACKOFF_MS", "20", "events.backoff", "20ms", "'1s'"),
    (
        "EVENT_EXPONENTIAL_BACKOFF",
        "false",
        "events.exponential",
        "false",
        "true",
    ),
    ("EVENT_BACKOFF_JITTER", "FALSE", "events.jitter", "false", "true"),
    ("EVENT_DEFAULT_TIMEOUT", "1500", "events.timeout", "1s500ms", "'1s'"),
    ("EVENT_MAX_PAYLOAD_SIZE", "10", "events.max_payload_size", "10", "20"),
    ("EVENT_HISTORY_ENABLED", "false", "events.history", "false", "true"),
    (
        "EVENT_IMMEDIATE_PROCESSING",
        "true",
        "events.immediate",
        "true",
        "false",
    ),
    (
        "EVENT_CIRCUIT_BREAKER_THRESHOLD",
        "2",
        "events.circuit.threshold",
        "2",
        "3",
    ),
    (
        "EVENT_CIRCUIT_BREAKER_TIME_WINDOW",
        "1000",
        "events.circuit.window",
        "1s",
        "'2s'",
    ),
    (
        "EVENT_CIRCUIT_BREAKER_RECOVERY_TIMEOUT",
        "500",
        "events.circuit.recovery",
        "500ms",
        "'2s'",
    ),
];

#[test]
fn every_variable_of_events_goes_before_its_default_and_behind_the_file() {
    for (variable, value, key, shown, written) in EVENT_VARIABLES {
        let (told, origin) = event_setting("[events]", variable, value, key);
        assert_eq!((told.as_str(), origin), (shown, format!("environment ${variable}")));
        let short = key.trim_start_matches("events.");
        let text = match short.split_once('.') {
            Some((table, key)) => format!("[events.{table}]\n{key} = {written}"),
            None => format!("[events]\n{short} = {written}"),
        };
        let (told, origin) = event_setting(&text, variable, value, key);
        assert_eq!(told, written.trim_matches('\''), "{variable}");
        assert!(origin.ends_with(":2"), "{variable}: {origin}");
    }
}

#[test]
fn a_variable_of_events_that_does_not_parse_is_refused_by_its_name() {
    for (variable, ..) in EVENT_VARIABLES {
        for text in ["", "[events]\npolling_interval = '1s'\ncircuit = { window = '1s' }"] {
            let read = report(text, &[("DATABASE_URL", "postgres://db/app"), (variable, "5 seconds")]);
            assert_eq!(read.findings.len(), 1, "{variable}");
            assert!(read.findings[0].to_string().contains(variable), "{}", read.findings[0]);
            assert!(read.into_config().is_err());
        }
    }
    for (variable, value) in [
        ("EVENT_OUTBOX_POLLING_INTERVAL", "0"),
        ("EVENT_DEFAULT_TIMEOUT", "-1"),
        ("EVENT_MAX_PAYLOAD_SIZE", "0"),
        ("EVENT_DEFAULT_MAX_RETRIES", "2.5"),
        ("EVENT_SYSTEM_ENABLED", "yes"),
    ] {
        let read = report("[events]", &[("DATABASE_URL", "postgres://db/app"), (variable, value)]);
        assert_eq!(read.findings.len(), 1, "{variable}={value}");
    }
}

#[test]
fn events_are_on_where_the_file_speaks_of_them() {
    let enabled = |text: &str, variables: &[(&str, &str)]| {
        let mut environment = vec![("DATABASE_URL", "postgres://db/app")];
        environment.extend(variables);
        let config = report(text, &environment).config.events;
        (config.enabled, config.switched_off)
    };
    assert_eq!(enabled("", &[]), (false, false));
    assert_eq!(enabled("[events]", &[]), (true, false));
    assert_eq!(enabled("", &[("EVENT_SYSTEM_ENABLED", "true")]), (true, false));
    assert_eq!(enabled("[events]", &[("EVENT_SYSTEM_ENABLED", "false")]), (false, true));
    assert_eq!(enabled("[events]\nenabled = false", &[]), (false, true));
    let both = enabled("[events]\nenabled = true", &[("EVENT_SYSTEM_ENABLED", "false")]);
    assert_eq!(both, (true, false));
}

#[test]
fn without_any_url_the_pg_variables_name_the_database() {
    let read = report("", &[("PGHOST", "/run/postgresql")]);
    assert_eq!((read.findings, read.config.database.url), (vec![], String::new()));
    let read = report("", &[]);
    assert_eq!(read.findings.len(), 1);
    assert!(read.findings[0].message.contains("DATABASE_URL"));
}

#[test]
fn a_file_that_cannot_be_read_is_the_only_finding() {
    assert_eq!(
        findings("[database]\nurl = "),
        "2: : this is no TOML: string values must be quoted, expected literal string"
    );
    let read = reported(Path::new("/nowhere/strawboss.toml"), &[]);
    let said = read.into_config().expect_err("refused").to_string();
    assert!(said.starts_with("cannot read /nowhere/strawboss.toml: "), "{said}");
}

#[test]
fn secrets_are_in_no_words_about_the_configuration() {
    let text = r#"
[database]
url = "postgres://app:hunter2@db/app"
[http]
api_token = "hunter2"
[api]
enabled = false
[telemetry]
otlp_endpoint = "http://u:hunter2@otel/"
[queues.a]
handler = { http = "http://u:hunter2@a/?k=hunter2", secret = ["hunter2", "${S}"], headers = { authorization = "hunter2" } }
[queues.b]
concurrency = "${S}"
batch_size = "hunter2"
handler = { exec = ["x", "hunter2"], env = { A = "hunter2" } }
"#;
    let read = report(text, &[("S", "hunter2")]);
    assert!(read.findings.len() >= 3, "{:?}", read.findings);
    assert!(!format!("{read:?}").contains("hunter2"), "{read:#?}");
}

/// The settings of the API and its address, each as a line.
fn api_settings(text: &str, environment: &[(&str, &str)]) -> String {
    let environment: Vec<_> = environment
        .iter()
        .copied()
        .chain([("DATABASE_URL", "postgres://db/app")])
        .collect();
    let read = report(text, &environment);
    let lines: Vec<_> = read
        .settings
        .iter()
        .filter(|setting| setting.key.starts_with("api.") || setting.key.starts_with("http."))
        .filter(|setting| setting.origin != Origin::Default)
        .map(|setting| {
            let origin = setting.origin.to_string();
            let origin = if origin.contains(':') && !origin.contains('$') {
                "file"
            } else {
                &origin
            };
            format!("{} = {} ({origin})", setting.key, setting.value)
        })
        .chain(
            read.findings
                .iter()
                .map(|finding| format!("{:?} {}: {}", finding.severity, finding.key, finding.message)),
        )
        .collect();
    lines.join("\n")
}

#[test]
fn a_token_has_the_api_served_to_its_bearers() {
    let enabled = |text: &str| {
        report(text, &[("DATABASE_URL", "postgres://db/app")])
            .config
            .api
            .enabled
    };
    assert!(enabled("[http]\napi_token = 'secret'"));
    assert!(!enabled("[http]\napi_token = 'secret'\n[api]\nenabled = false"));
    assert!(!enabled("[http]\napi_token = ''"));
    assert!(!enabled("[queues.q]\nhandler = { noop = true }"));
}

#[test]
fn the_api_is_configured_by_the_variables_of_the_proxy() {
    let environment = [
        ("HOST", "0.0.0.0"),
        ("PORT", "3001"),
        ("PGBOSS_PROXY_PREFIX", "boss/"),
        ("PGBOSS_PROXY_REQUEST_LOGGER", "True"),
        ("PGBOSS_PROXY_EXPOSE_ERRORS", "yes"),
        ("PGBOSS_PROXY_BODY_LIMIT", "64k"),
        ("PGBOSS_PROXY_ROUTES_ALLOW", "send, fetch,,strange"),
        ("PGBOSS_PROXY_ROUTES_DENY", "getqueue"),
        ("PGBOSS_PROXY_PAGE_DOCS", "false"),
        ("PGBOSS_PROXY_AUTH_USERNAME", "ada"),
        ("PGBOSS_PROXY_AUTH_PASSWORD", "hunter2"),
        ("PGBOSS_PROXY_CORS_ORIGIN", "https://a.example, https://b.example"),
        ("PGBOSS_PROXY_CORS_MAX_AGE", "60s"),
    ];
    insta::assert_snapshot!(api_settings("", &environment), @r#"
    api.enabled = true (environment $PGBOSS_PROXY_PREFIX)
    api.prefix = boss/ (environment $PGBOSS_PROXY_PREFIX)
    api.expose_errors = false (environment $PGBOSS_PROXY_EXPOSE_ERRORS)
    api.body_limit = 64 (environment $PGBOSS_PROXY_BODY_LIMIT)
    api.basic_auth = ada:*** (environment $PGBOSS_PROXY_AUTH_USERNAME)
    api.allow = send,fetch,strange (environment $PGBOSS_PROXY_ROUTES_ALLOW)
    api.deny = getqueue (environment $PGBOSS_PROXY_ROUTES_DENY)
    api.log_requests = true (environment $PGBOSS_PROXY_REQUEST_LOGGER)
    api.cors.origin = https://a.example,https://b.example (environment $PGBOSS_PROXY_CORS_ORIGIN)
    api.cors.max_age = 60 (environment $PGBOSS_PROXY_CORS_MAX_AGE)
    api.pages.docs = false (environment $PGBOSS_PROXY_PAGE_DOCS)
    http.listen = 0.0.0.0:3001 (environment $HOST:$PORT)
    Notice api.allow: there is no route "strange"; did you mean send?
    Notice api.deny: there is no route "getqueue"; did you mean getQueue?
    "#);
    let read = report("", &environment);
    assert_eq!(read.config.api.prefix, "/boss");
    assert_eq!(read.config.api.body_limit, 64);
    assert!(!format!("{:?}", read).contains("hunter2"));

    // What the file says goes before them, and what it says of an API that is off is all that is looked at.
    insta::assert_snapshot!(api_settings("[http]\nlisten = '127.0.0.1:1'\n[api]\nprefix = '/'\nallow = ['meta']\ncors.origin = ['*']", &environment[2..6]), @r#"
    api.enabled = true (environment $PGBOSS_PROXY_PREFIX)
    api.prefix = / (file)
    api.expose_errors = false (environment $PGBOSS_PROXY_EXPOSE_ERRORS)
    api.body_limit = 64 (environment $PGBOSS_PROXY_BODY_LIMIT)
    api.allow = meta (file)
    api.log_requests = true (environment $PGBOSS_PROXY_REQUEST_LOGGER)
    api.cors.origin = * (file)
    http.listen = 127.0.0.1:1 (file)
    "#);
    insta::assert_snapshot!(api_settings("[api]\nenabled = false\n", &environment), @r#"
    api.enabled = false (file)
    "#);
}

#[test]
fn an_api_without_credentials_is_not_for_others() {
    let enabled = "[api]\nenabled = true\n[http]\n";
    insta::assert_snapshot!(api_settings(&format!("{enabled}listen = '0.0.0.0:9464'"), &[]), @r#"
    api.enabled = true (file)
    http.listen = 0.0.0.0:9464 (file)
    Error api: the API would be served without credentials on 0.0.0.0:9464, which others reach; set http.api_token or api.basic_auth, listen on 127.0.0.1, or say api.anonymous = true if something in front asks for credentials
    "#);
    insta::assert_snapshot!(api_settings("[api]\nanonymous = true\n", &[("PORT", "80"), ("HOST", "::"), ("PGBOSS_PROXY_PREFIX", "/api")]), @r#"
    api.enabled = true (environment $PGBOSS_PROXY_PREFIX)
    api.prefix = /api (environment $PGBOSS_PROXY_PREFIX)
    api.anonymous = true (file)
    http.listen = [::]:80 (environment $HOST:$PORT)
    "#);
    for safe in [
        "listen = '0.0.0.0:9464'\napi_token = 't'",
        "listen = '[::1]:9464'",
        "listen = '[::ffff:127.0.0.1]:9464'",
        "listen = '127.8.0.1:9464'",
    ] {
        let read = report(&format!("{enabled}{safe}"), &[("DATABASE_URL", "postgres://db/app")]);
        assert_eq!(read.findings, [], "{safe}");
    }
}

#[test]
fn what_the_api_cannot_be_told_is_refused() {
    insta::assert_snapshot!(api_settings(r#"
[http]
listen = ""
api_token = "two words"
[api]
enabled = true
prefix = "api"
body_limit = 0
basic_auth = { username = "a:b", password = "x" }
allow = ["sendd"]
cors = { origin = ["ä"] }
"#, &[]), @r#"
    api.enabled = true (file)
    api.prefix = api (file)
    api.body_limit = 0 (file)
    http.api_token = *** (file)
    api.basic_auth = a:b:*** (file)
    api.allow = sendd (file)
    api.cors.origin = ä (file)
    http.listen =  (file)
    Error http.listen: is empty, so the API has nowhere to be served; name an address, or set api.enabled to false
    Error http.api_token: must be made of printable ASCII without spaces: it travels in a header
    Error api.prefix: must begin with "/"
    Error api.body_limit: must be at least 1
    Error api.basic_auth: needs a username, which has no colon, and a password
    Error api.allow: there is no route "sendd"; did you mean send?
    Error api.cors: its texts travel in headers: printable ASCII, and none empty
    "#);
    insta::assert_snapshot!(api_settings("", &[("PGBOSS_PROXY_AUTH_PASSWORD", "x"), ("PORT", "strange")]), @r#"
    api.enabled = true (environment $PGBOSS_PROXY_AUTH_PASSWORD)
    Error api.basic_auth: PGBOSS_PROXY_AUTH_USERNAME is not set; user and password go together
    Error http.listen: HOST must be an IP address or localhost, and PORT a port's number; or set http.listen, which goes before them
    "#);
    insta::assert_snapshot!(api_settings("[http]\napi_token = 'x'\n[api]\nenabled = false", &[]), @r#"
    api.enabled = false (file)
    http.api_token = *** (file)
    Notice http.api_token: nobody is asked for it: the API is not served, for api.enabled is false
    "#);
}

#[test]
fn without_a_file_a_program_that_runs_nothing_else_is_the_proxy() {
    let environment = |name: &str| (name == "DATABASE_URL").then(|| "postgres://db/app".to_owned());
    let bare = |api_without_file| {
        let request = Request {
            environment: &environment,
            api_without_file,
            ..Request::process()
        };
        let config = read(&request).into_config().expect("a configuration");
        [config.api.enabled, config.worker.supervise]
    };
    assert_eq!([bare(false), bare(true)], [[false, true], [true, false]]);
    let read = report("", &[("DATABASE_URL", "postgres://db/app"), ("PGBOSS_SCHEMA", "jobs")]);
    assert_eq!(
        (read.config.database.schema.as_str(), read.config.api.enabled),
        ("jobs", false)
    );
}
