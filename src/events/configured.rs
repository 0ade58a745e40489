//! From the configuration to what runs: defaults and handlers.

use std::sync::Arc;

use super::{Backoff, CircuitPolicy, Defaults, HandlerOptions, Handlers, PayloadSchema, RegisterError};
use crate::config::{EventHandlerConfig, EventsConfig};
use crate::observe::Metrics;

/// Why a configured handler cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("event {event:?}, module {module:?}: {problem}")]
pub struct ConfiguredError {
    /// Which one, counted from 0 in the order of the file.
    pub index: usize,
    /// Its event.
    pub event: String,
    /// Its module.
    pub module: String,
    /// What is wrong with it.
    pub problem: String,
}

impl EventsConfig {
    /// What holds for handlers that do not say otherwise.
    pub fn defaults(&self) -> Defaults {
        Defaults {
            backoff: Backoff {
                first: self.backoff,
                exponential: self.exponential,
                jitter: self.jitter,
            },
            timeout: self.timeout,
            circuit: CircuitPolicy {
                threshold: self.circuit_threshold,
                window: self.circuit_window,
                recovery: self.circuit_recovery,
            },
        }
    }

    /// An empty set of handlers with the configured defaults, for code that registers its own.
    pub fn handlers(&self) -> Handlers {
        Handlers::new(self.defaults()).in_schema(&self.outbox_schema)
    }

    /// Registers the configured handlers behind those that are there. Schema files are read.
    ///
    /// # Errors
    /// The first that cannot be made, and why.
    pub fn register(&self, handlers: &mut Handlers, metrics: &Metrics) -> Result<(), ConfiguredError> {
        for (index, configured) in self.handlers.iter().enumerate() {
            let refused = |problem: String| ConfiguredError {
                index,
                event: configured.event.clone(),
                module: configured.module.clone(),
                problem,
            };
            let options = options(configured, self.defaults().circuit).map_err(refused)?;
            let registered = handlers.register_config(&configured.event, options, &configured.handler, metrics);
            registered.map_err(|error: RegisterError| refused(error.to_string()))?;
        }
        Ok(())
    }
}

fn options(configured: &EventHandlerConfig, circuit: CircuitPolicy) -> Result<HandlerOptions, String> {
    let schema = configured.schema.as_ref().map(|path| {
        let text = std::fs::read_to_string(path).map_err(|error| format!("schema {}: {error}", path.display()))?;
        let schema = PayloadSchema::parse(&text).map_err(|why| format!("schema {} {why}", path.display()))?;
        Ok::<_, String>(Arc::new(schema))
    });
    Ok(HandlerOptions {
        handler_id: configured.handler_id.clone(),
        idempotency_key: configured.idempotency_key.clone(),
        max_attempts: configured.max_attempts,
        backoff: Some(configured.backoff),
        exponential: Some(configured.exponential),
        jitter: Some(configured.jitter),
        timeout: Some(configured.timeout),
        sequential: configured.sequential,
        schema: schema.transpose()?,
        circuit: Some(circuit),
        ..HandlerOptions::of(configured.module.as_str())
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Request, read};
    use crate::events::RelayTerms;

    /// The configuration that these variables make.
    fn events(variables: &[(&str, &str)]) -> EventsConfig {
        let environment = |name: &str| {
            let all = variables.iter().chain(&[("DATABASE_URL", "postgres://db/app")]);
            all.clone()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        };
        let report = read(&Request {
            environment: &environment,
            ..Request::process()
        });
        report.into_config().expect("it is in order").events
    }

    #[test]
    fn the_variables_reach_the_handlers_and_the_relay() {
        let events = events(&[
            ("EVENT_DEFAULT_BACKOFF_MS", "20"),
            ("EVENT_EXPONENTIAL_BACKOFF", "false"),
            ("EVENT_BACKOFF_JITTER", "false"),
            ("EVENT_DEFAULT_TIMEOUT", "1500"),
            ("EVENT_CIRCUIT_BREAKER_THRESHOLD", "2"),
            ("EVENT_CIRCUIT_BREAKER_TIME_WINDOW", "1000"),
            ("EVENT_CIRCUIT_BREAKER_RECOVERY_TIMEOUT", "500"),
        ]);
        let backoff = Backoff {
            first: Duration::from_millis(20),
            exponential: false,
            jitter: false,
        };
        let wanted = Defaults {
            backoff,
            timeout: Duration::from_millis(1500),
            circuit: CircuitPolicy {
                threshold: 2,
                window: Duration::from_secs(1),
                recovery: Duration::from_millis(500),
            },
        };
        assert_eq!(*events.handlers().defaults(), wanted);
        assert_eq!(RelayTerms::from(&events).backoff, backoff);
    }
}
