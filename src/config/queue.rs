//! `[queues.NAME]`: from what is written to what holds.

use std::collections::BTreeMap;
use std::time::Duration;

use super::file::{Ensure, GroupLimit, Handler, Queue};
use super::origin::dotted;
use super::resolve::Resolver;
use super::secret::{Secret, shown_url};
use super::{EnsureConfig, GroupConcurrency, HandlerConfig, QueueConfig, default};
use crate::queue::{Policy, QueueName};

impl Queue {
    pub(super) fn resolve(self, resolver: &mut Resolver<'_>, name: &str, worker_concurrency: usize) -> QueueConfig {
        let section = dotted("queues", name);
        let key = |key: &str| format!("{section}.{key}");
        if name.is_empty() {
            resolver.error(&section, "a queue's name must not be empty");
        }
        if name.starts_with("__pgboss__") {
            resolver.error(&section, "is one of pg-boss's own queues, which only pg-boss may serve");
        }
        let concurrency = resolver.count(&key("concurrency"), self.concurrency, worker_concurrency);
        let batch_size = resolver.count(&key("batch_size"), self.batch_size, default::batch_size(concurrency));
        let poll_interval = resolver.period(&key("poll_interval"), self.poll_interval, default::POLL_INTERVAL);
        if let Some(period) = self.poll_interval {
            resolver.at_least(&key("poll_interval"), period, Duration::from_millis(10));
        }
        for (name, bound) in [("min_priority", self.min_priority), ("max_priority", self.max_priority)] {
            if let Some(bound) = bound {
                resolver.pick(&key(name), Some(bound), || bound);
            }
        }
        if let (Some(least), Some(most)) = (self.min_priority, self.max_priority)
            && least > most
        {
            resolver.error(&key("min_priority"), format!("must not be above max_priority ({most})"));
        }
        QueueConfig {
            concurrency,
            batch_size,
            poll_interval,
            min_priority: self.min_priority,
            max_priority: self.max_priority,
            group_concurrency: self
                .group_concurrency
                .map(|limit| limit.resolve(resolver, &key("group_concurrency"))),
            handler: self
                .handler
                .and_then(|handler| handler.resolve(resolver, &key("handler"))),
            ensure: self.ensure.map(|ensure| ensure.resolve(resolver, name, &key("ensure"))),
        }
    }
}

impl GroupLimit {
    fn resolve(self, resolver: &mut Resolver<'_>, key: &str) -> GroupConcurrency {
        let Some(default) = self.default else {
            resolver.error(key, "needs default = …, the limit of a group of no named tier");
            return GroupConcurrency::default();
        };
        if default == 0 || self.tiers.values().any(|limit| *limit == 0) {
            resolver.error(key, "every limit must be at least 1");
        }
        let origin = resolver.written(key);
        resolver.note(key, default, origin);
        for (tier, limit) in &self.tiers {
            let key = dotted(&format!("{key}.tiers"), tier);
            let origin = resolver.written(&key);
            resolver.note(&key, limit, origin);
        }
        GroupConcurrency {
            default,
            tiers: self.tiers,
        }
    }
}

fn revealed(texts: Option<BTreeMap<String, Secret>>) -> BTreeMap<String, String> {
    texts
        .unwrap_or_default()
        .into_iter()
        .map(|(name, text)| (name, text.reveal().to_owned()))
        .collect()
}

impl Handler {
    pub(super) fn resolve(self, resolver: &mut Resolver<'_>, key: &str) -> Option<HandlerConfig> {
        let kinds = ["http", "exec", "noop", "log"];
        let named: Vec<_> = kinds
            .into_iter()
            .filter(|kind| resolver.has(&format!("{key}.{kind}")))
            .collect();
        let kind = match named.as_slice() {
            [kind] => *kind,
            [] => {
                resolver.error(
                    key,
                    "needs one of http = \"https://…\", exec = [\"program\", …], noop = true, log = true",
                );
                return None;
            }
            several => {
                resolver.error(key, format!("has {}; keep one of them", several.join(" and ")));
                return None;
            }
        };
        for (name, of) in [
            ("timeout", &["http", "exec"][..]),
            ("secret", &["http"]),
            ("headers", &["http"]),
            ("max_response_bytes", &["http"]),
            ("working_dir", &["exec"]),
            ("env", &["exec"]),
        ] {
            let key = format!("{key}.{name}");
            if resolver.has(&key) && !of.contains(&kind) {
                resolver.error(
                    &key,
                    format!(
                        "means nothing to a handler of kind {kind}; it belongs to {}",
                        of.join(" and ")
                    ),
                );
            }
        }
        if let Some(period) = self.timeout {
            resolver.at_least(&format!("{key}.timeout"), period, Duration::from_millis(1));
        }
        match kind {
            "http" => Some(self.http(resolver, key)),
            "exec" => Some(self.exec(resolver, key)),
            kind => {
                let key = format!("{key}.{kind}");
                if self.noop == Some(false) || self.log == Some(false) {
                    resolver.error(&key, "must be true; leave the handler out where there is none");
                }
                let origin = resolver.written(&key);
                resolver.note(&key, true, origin);
                Some(if kind == "noop" {
                    HandlerConfig::Noop
                } else {
                    HandlerConfig::Log
                })
            }
        }
    }

    fn http(self, resolver: &mut Resolver<'_>, key: &str) -> HandlerConfig {
        let at = format!("{key}.http");
        let url = self.http.unwrap_or_default();
        resolver.url(&at, &url);
        let origin = resolver.written(&at);
        resolver.note(&at, shown_url(&url), origin);

        let at = format!("{key}.secret");
        if let Some(secrets) = &self.secret {
            resolver.secrets(&at, secrets);
            let shown = vec!["***"; secrets.0.len()].join(", ");
            let origin = resolver.written(&at);
            resolver.note(&at, shown, origin);
        }
        let at = format!("{key}.headers");
        for (name, value) in self.headers.iter().flatten() {
            let fine = http::HeaderName::try_from(name.as_str()).is_ok()
                && http::HeaderValue::try_from(value.reveal()).is_ok();
            if !fine {
                resolver.error(&dotted(&at, name), "is no HTTP header");
            }
        }
        HandlerConfig::Http {
            url,
            timeout: resolver.period(&format!("{key}.timeout"), self.timeout, default::HTTP_TIMEOUT),
            secrets: self
                .secret
                .unwrap_or_default()
                .0
                .iter()
                .map(|secret| secret.reveal().to_owned())
                .collect(),
            headers: revealed(self.headers),
            max_response_bytes: resolver.count(
                &format!("{key}.max_response_bytes"),
                self.max_response_bytes,
                default::MAX_RESPONSE_BYTES,
            ),
        }
    }

    fn exec(self, resolver: &mut Resolver<'_>, key: &str) -> HandlerConfig {
        let at = format!("{key}.exec");
        let command = self.exec.unwrap_or_default();
        if command.first().is_none_or(String::is_empty) {
            resolver.error(&at, "needs a program: exec = [\"program\", \"argument\", …]");
        }
        // The arguments may hold secrets; the program does not.
        let origin = resolver.written(&at);
        resolver.note(&at, command.first().map_or("", String::as_str), origin);
        if let Some(directory) = &self.working_dir {
            resolver.pick(&format!("{key}.working_dir"), Some(directory), || directory);
        }
        HandlerConfig::Exec {
            command,
            timeout: resolver.period(&format!("{key}.timeout"), self.timeout, default::EXEC_TIMEOUT),
            working_dir: self.working_dir.map(Into::into),
            env: revealed(self.env),
        }
    }
}

impl Ensure {
    fn resolve(self, resolver: &mut Resolver<'_>, queue: &str, key: &str) -> EnsureConfig {
        let at = |name: &str| format!("{key}.{name}");
        if let Err(reason) = QueueName::validated(queue) {
            resolver.error(key, format!("cannot create it: {reason}"));
        }
        let policy = self.policy.and_then(|name| match name.parse::<Policy>() {
            Ok(policy) => Some(policy),
            Err(reason) => {
                resolver.error(&at("policy"), reason);
                None
            }
        });
        if let Some(dead_letter) = &self.dead_letter {
            match QueueName::validated(dead_letter) {
                Err(reason) => resolver.error(&at("dead_letter"), reason),
                Ok(name) if name.as_str() == queue => {
                    resolver.error(&at("dead_letter"), "must be another queue than its own");
                }
                Ok(_) => {}
            }
        }
        for (name, written, least, most) in [
            ("warning_queue_size", self.warning_queue_size, 0, i32::MAX),
            ("retry_limit", self.retry_limit, 0, i32::MAX),
            ("retry_delay", self.retry_delay, 0, i32::MAX),
            ("retry_delay_max", self.retry_delay_max, 0, i32::MAX),
            ("expire_in_seconds", self.expire_in_seconds, 1, 86_400),
            ("retention_seconds", self.retention_seconds, 1, i32::MAX),
            ("delete_after_seconds", self.delete_after_seconds, 0, i32::MAX),
            ("heartbeat_seconds", self.heartbeat_seconds, 10, i32::MAX),
        ] {
            match written {
                Some(value) if value < least => resolver.error(&at(name), format!("must be at least {least}")),
                Some(value) if value > most => resolver.error(&at(name), format!("must be at most {most}")),
                _ => {}
            }
        }
        if self.retry_delay_max.is_some() && self.retry_backoff != Some(true) {
            resolver.error(&at("retry_delay_max"), "is only for retry_backoff = true");
        }
        let origin = resolver.written(key);
        resolver.note(key, policy.unwrap_or_default().as_str(), origin);
        EnsureConfig {
            policy,
            partition: self.partition,
            dead_letter: self.dead_letter,
            warning_queue_size: self.warning_queue_size,
            retry_limit: self.retry_limit,
            retry_delay: self.retry_delay,
            retry_backoff: self.retry_backoff,
            retry_delay_max: self.retry_delay_max,
            expire_in_seconds: self.expire_in_seconds,
            retention_seconds: self.retention_seconds,
            delete_after_seconds: self.delete_after_seconds,
            heartbeat_seconds: self.heartbeat_seconds,
            notify: self.notify,
        }
    }
}
