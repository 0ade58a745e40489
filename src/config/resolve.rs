//! From what is written to what holds: defaults, ranges, and the origin of every value.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::api::{Api, ApiConfig};
use super::file::File;
use super::finding::{Finding, Severity};
use super::origin::{Origin, Place, Setting};
use super::secret::{Secrets, shown_url};
use super::tree::Spot;
use super::{
    Config, CronConfig, DatabaseConfig, EventsConfig, HttpConfig, LogFormat, Period, Pooler, ScheduleConfig,
    TelemetryConfig, WorkerConfig, default,
};
use crate::postgres::Settings;
use crate::schedule::Zones;
use crate::schema::check_name;

/// What goes before the file.
pub(super) struct Overrides {
    pub(super) database_url: Option<(String, Origin)>,
    pub(super) schema: Option<(String, Origin)>,
}

/// Collects settings and findings while the sections are resolved.
pub(super) struct Resolver<'a> {
    file: &'a Path,
    spots: &'a BTreeMap<String, Spot>,
    environment: &'a dyn Fn(&str) -> Option<String>,
    settings: Vec<Setting>,
    findings: Vec<Finding>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(
        file: &'a Path,
        spots: &'a BTreeMap<String, Spot>,
        environment: &'a dyn Fn(&str) -> Option<String>,
        findings: Vec<Finding>,
    ) -> Self {
        Self {
            file,
            spots,
            environment,
            settings: Vec::new(),
            findings,
        }
    }

    pub(super) fn finish(self) -> (Vec<Setting>, Vec<Finding>) {
        (self.settings, self.findings)
    }

    /// Whether the file has the key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.spots.contains_key(key)
    }

    /// Whether the file has the section, or anything in it.
    pub(super) fn mentions(&self, section: &str) -> bool {
        let within = |key: &String| {
            let rest = key.strip_prefix(section);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.spots.keys().any(within)
    }

    /// A variable of the environment; an empty one counts as not set.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name).filter(|text| !text.is_empty())
    }

    /// A path as it is meant in the file: from where the file is.
    pub(super) fn beside(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    /// Refuses a key. The first word about a key is the true one; what follows from it, or from one of the
    /// elements of a list, is left unsaid.
    pub(super) fn error(&mut self, key: &str, message: impl Into<String>) {
        self.find(Severity::Error, key, message.into());
    }

    /// Says something about a key that is no reason to refuse it.
    pub(super) fn notice(&mut self, key: &str, message: impl Into<String>) {
        self.find(Severity::Notice, key, message.into());
    }

    fn find(&mut self, severity: Severity, key: &str, message: String) {
        let about = |finding: &Finding| {
            let rest = finding.key.strip_prefix(key);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
        };
        if self.findings.iter().any(about) {
            return;
        }
        let mut at = key;
        let place = loop {
            if let Some(spot) = self.spots.get(at) {
                break Some(Place {
                    file: self.file.to_owned(),
                    line: spot.line,
                });
            }
            match at.rfind(['.', '[']) {
                Some(end) => at = &at[..end],
                None => break None,
            }
        };
        self.findings.push(Finding {
            severity,
            key: key.to_owned(),
            place,
            message,
        });
    }

    /// Notes a value in force.
    pub(super) fn note(&mut self, key: &str, value: impl Display, origin: Origin) {
        self.settings.push(Setting {
            key: key.to_owned(),
            value: value.to_string(),
            origin,
        });
    }

    /// Forgets the defaults that were noted of a section.
    pub(super) fn forget_defaults(&mut self, section: &str) {
        self.settings
            .retain(|setting| setting.origin != Origin::Default || !setting.key.starts_with(section));
    }

    /// Where a key's value in the file comes from.
    pub(super) fn written(&self, key: &str) -> Origin {
        match self.spots.get(key) {
            Some(spot) => Origin::File(
                Place {
                    file: self.file.to_owned(),
                    line: spot.line,
                },
                spot.variables.clone(),
            ),
            None => Origin::Default,
        }
    }

    /// Takes what is written or the default, and notes which.
    pub(super) fn pick<T: Display>(&mut self, key: &str, written: Option<T>, default: impl FnOnce() -> T) -> T {
        let (value, origin) = match written {
            Some(value) => (value, self.written(key)),
            None => (default(), Origin::Default),
        };
        self.note(key, &value, origin);
        value
    }

    /// As [`Resolver::pick`], for counts that must not be zero.
    pub(super) fn count(&mut self, key: &str, written: Option<usize>, default: usize) -> usize {
        if written == Some(0) {
            self.error(key, "must be at least 1");
        }
        self.pick(key, written, || default)
    }

    /// As [`Resolver::pick`], for durations.
    pub(super) fn period(&mut self, key: &str, written: Option<Period>, default: Duration) -> Duration {
        self.pick(key, written, || Period(default)).0
    }

    /// Refuses a duration that is too short.
    pub(super) fn at_least(&mut self, key: &str, period: Period, least: Duration) {
        if period.0 < least {
            self.error(key, format!("must be at least {}", Period(least)));
        }
    }

    /// Refuses what is no HTTP URL.
    pub(super) fn url(&mut self, key: &str, url: &str) {
        match reqwest::Url::parse(url) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => {}
            Ok(url) => self.error(key, format!("must be an http or https URL, not {}:", url.scheme())),
            Err(error) => self.error(key, format!("is no URL: {error}")),
        }
    }

    /// Refuses a secret that signs nothing.
    pub(super) fn secrets(&mut self, key: &str, secrets: &Secrets) {
        if secrets.0.is_empty() || secrets.0.iter().any(|secret| secret.reveal().is_empty()) {
            self.error(key, "must not be empty");
        }
    }
}

impl File {
    /// Resolves the section `[database]`, and `[events]` if asked for; the others keep their defaults, unsaid.
    pub(super) fn resolve_part(mut self, resolver: &mut Resolver<'_>, overrides: Overrides, events: bool) -> Config {
        let database = self.database(resolver, overrides);
        let events = if events {
            std::mem::take(&mut self.events).resolve(resolver)
        } else {
            EventsConfig::default()
        };
        Config {
            database,
            events,
            ..Config::default()
        }
    }

    /// Resolves every section. `bare` says that there was nothing to read, and that whoever asks runs the API then.
    pub(super) fn resolve(mut self, resolver: &mut Resolver<'_>, overrides: Overrides, bare: bool) -> Config {
        let database = self.database(resolver, overrides);
        let proxy = self.queues.is_empty() && self.api.is_proxy(resolver, bare);
        let worker = self.worker(resolver, proxy);
        let token = self.http.api_token.take();
        let api = self.api.resolve(resolver, token, bare);
        let http = self.http(resolver, &api);
        let upkeep = std::mem::take(&mut self.upkeep).resolve(resolver);
        let telemetry = self.telemetry(resolver);
        let queues = std::mem::take(&mut self.queues)
            .into_iter()
            .map(|(name, queue)| {
                let queue = queue.resolve(resolver, &name, worker.concurrency);
                (name, queue)
            })
            .collect();
        let (cron, schedules) = self.schedules(resolver);
        let events = std::mem::take(&mut self.events).resolve(resolver);
        Config {
            database,
            worker,
            http,
            api,
            upkeep,
            telemetry,
            queues,
            cron,
            schedules,
            events,
        }
    }

    fn schedules(&mut self, resolver: &mut Resolver<'_>) -> (CronConfig, Vec<ScheduleConfig>) {
        let cron = std::mem::take(&mut self.cron).resolve(resolver);
        let zones = match Zones::open(cron.zoneinfo.as_deref()) {
            Ok(zones) => Some(zones),
            Err(error) => {
                resolver.error("cron.zoneinfo", error.to_string());
                None
            }
        };
        let declared = std::mem::take(&mut self.schedules).into_iter().enumerate();
        let schedules = declared
            .map(|(n, schedule)| schedule.resolve(resolver, &format!("schedules[{n}]"), zones.as_ref()))
            .collect::<Vec<_>>();
        if !schedules.is_empty() && self.worker.schedule == Some(false) {
            resolver.error(
                "schedules",
                "[[schedules]] are set where worker.schedule is on; leave them out, or turn it on",
            );
        }
        (cron, schedules)
    }

    fn database(&mut self, resolver: &mut Resolver<'_>, overrides: Overrides) -> DatabaseConfig {
        let key = "database.url";
        let written = self.database.url.take().filter(|url| !url.reveal().is_empty());
        let (url, origin) = match (overrides.database_url, written) {
            (Some((url, origin)), _) => (url, origin),
            (None, Some(url)) => (url.reveal().to_owned(), resolver.written(key)),
            (None, None) => {
                let variables = ["PGHOST", "PGHOSTADDR", "PGDATABASE", "PGUSER", "PGPORT", "PGSERVICE"];
                let set = variables
                    .into_iter()
                    .find(|name| (resolver.environment)(name).is_some());
                if set.is_none() {
                    resolver.error(
                        key,
                        "no database is named; set url in [database], DATABASE_URL, --database-url, or PGHOST and its companions",
                    );
                }
                (
                    String::new(),
                    set.map_or(Origin::Default, |name| Origin::Environment(name.to_owned())),
                )
            }
        };
        if !url.is_empty() {
            match Settings::parse(&url) {
                Ok(settings) if !settings.ignored().is_empty() => {
                    let ignored = settings.ignored().join(", ");
                    resolver.notice(key, format!("of no use here and passed over: {ignored}"));
                }
                Ok(_) => {}
                Err(error) => resolver.error(key, error.to_string()),
            }
        }
        let shown = if url.is_empty() {
            "(the PG* variables)".to_owned()
        } else {
            shown_url(&url)
        };
        resolver.note(key, shown, origin);

        let key = "database.schema";
        let schema = match overrides.schema {
            Some((schema, origin)) => {
                resolver.note(key, &schema, origin);
                schema
            }
            None => {
                let variable = "PGBOSS_SCHEMA";
                let written = self.database.schema.take();
                match resolver.variable(variable).filter(|_| written.is_none()) {
                    Some(schema) => {
                        resolver.note(key, &schema, Origin::Environment(variable.to_owned()));
                        schema
                    }
                    None => resolver.pick(key, written, || default::SCHEMA.to_owned()),
                }
            }
        };
        if schema.is_empty() || schema.len() > 50 || schema.contains(['"', '\0']) {
            resolver.error(
                key,
                "must have 1 to 50 bytes and no quotes; write it as it is called, unquoted",
            );
        }
        let key = "database.own_schema";
        let own_schema = resolver.pick(key, self.database.own_schema.take(), || default::OWN_SCHEMA.to_owned());
        if let Err(problem) = check_name(&own_schema) {
            resolver.error(key, problem);
        } else if own_schema == schema {
            resolver.error(key, "must be another schema than pg-boss's own, `database.schema`");
        }
        let name = |pooler| match pooler {
            Pooler::Auto => "auto",
            Pooler::None => "none",
            Pooler::Transaction => "transaction",
        };
        DatabaseConfig {
            url,
            schema,
            own_schema,
            pool_size: resolver.count("database.pool_size", self.database.pool_size, default::POOL_SIZE),
            pooler: {
                let pooler = self.database.pooler;
                resolver.pick("database.pooler", pooler.map(name), || name(Pooler::default()));
                pooler.unwrap_or_default()
            },
        }
    }

    /// pg-boss's proxy supervises nothing, so what stands in for one does not unless it is told to.
    fn worker(&mut self, resolver: &mut Resolver<'_>, proxy: bool) -> WorkerConfig {
        let worker = &mut self.worker;
        let name = resolver.pick("worker.name", worker.name.take(), default::worker_name);
        if name.trim().is_empty() {
            resolver.error("worker.name", "must not be empty");
        }
        let resolved = WorkerConfig {
            name,
            concurrency: resolver.count("worker.concurrency", worker.concurrency, default::CONCURRENCY),
            shutdown_grace: resolver.period("worker.shutdown_grace", worker.shutdown_grace, default::SHUTDOWN_GRACE),
            supervise: resolver.pick("worker.supervise", worker.supervise, || !proxy),
            maintain_schema: resolver.pick("worker.maintain_schema", worker.maintain_schema, || false),
            schedule: resolver.pick("worker.schedule", worker.schedule, || !proxy),
            listen: resolver.pick("worker.listen", worker.listen, || true),
            heartbeat: resolver.period("worker.heartbeat", worker.heartbeat, default::HEARTBEAT),
            history: resolver.period("worker.history", worker.history, Duration::ZERO),
        };
        let heartbeat = resolved.heartbeat;
        if heartbeat.subsec_nanos() != 0 || heartbeat.as_secs() > i32::MAX as u64 {
            resolver.error(
                "worker.heartbeat",
                "must be whole seconds, such as \"10s\"; \"0s\" lends none",
            );
        }
        resolved
    }

    fn http(&mut self, resolver: &mut Resolver<'_>, api: &ApiConfig) -> HttpConfig {
        let key = "http.listen";
        let written = self.http.listen.take();
        let heard = (api.enabled && written.is_none())
            .then(|| Api::address(resolver))
            .flatten();
        let listen = match heard {
            Some((address, origin)) => {
                resolver.note(key, address, origin);
                address.to_string()
            }
            None => resolver.pick(key, written, || default::LISTEN.to_string()),
        };
        if listen.is_empty() {
            if api.enabled {
                resolver.error(
                    key,
                    "is empty, so the API has nowhere to be served; name an address, or set api.enabled to false",
                );
            }
            return HttpConfig { listen: None };
        }
        let address = listen.parse::<SocketAddr>();
        if address.is_err() {
            resolver.error(
                key,
                format!("{listen:?} is no address with a port, such as \"127.0.0.1:9464\" or \"[::]:9464\"; \"\" serves nothing"),
            );
        }
        if let Some(refusal) = address.as_ref().ok().and_then(|address| api.refusal(*address)) {
            resolver.error("api", refusal);
        }
        HttpConfig { listen: address.ok() }
    }

    fn telemetry(&mut self, resolver: &mut Resolver<'_>) -> TelemetryConfig {
        let key = "telemetry.otlp_endpoint";
        let (endpoint, origin) = match self.telemetry.otlp_endpoint.take() {
            Some(endpoint) => (endpoint, resolver.written(key)),
            None => {
                let name = "OTEL_EXPORTER_OTLP_ENDPOINT";
                match (resolver.environment)(name) {
                    Some(endpoint) => (endpoint, Origin::Environment(name.to_owned())),
                    None => (String::new(), Origin::Default),
                }
            }
        };
        if !endpoint.is_empty() {
            resolver.url(key, &endpoint);
        }
        resolver.note(key, shown_url(&endpoint), origin);
        let format = self.telemetry.log_format;
        let variable = "PGBOSS_PROXY_LOG_FORMAT";
        if format.is_none() && resolver.variable(variable).as_deref() == Some("json") {
            resolver.note("telemetry.log_format", "json", Origin::Environment(variable.to_owned()));
            return TelemetryConfig {
                otlp_endpoint: Some(endpoint).filter(|endpoint| !endpoint.is_empty()),
                log_format: LogFormat::Json,
            };
        }
        let name = |format| match format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        resolver.pick("telemetry.log_format", format.map(name), || name(LogFormat::default()));
        TelemetryConfig {
            otlp_endpoint: Some(endpoint).filter(|endpoint| !endpoint.is_empty()),
            log_format: format.unwrap_or_default(),
        }
    }
}
