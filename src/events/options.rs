//! What is said of a handler when it is registered, and what holds where nothing is said.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tower::{Layer, Service};

use super::layer::{Answer, Call, EventService, Position};
use super::{Backoff, CircuitPolicy, PayloadSchema};
use crate::handler::HandlerError;

/// What holds for handlers that do not say otherwise: the `EVENT_*` environment, the file, or the defaults given here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// `EVENT_DEFAULT_BACKOFF_MS`, `EVENT_EXPONENTIAL_BACKOFF`, `EVENT_BACKOFF_JITTER`: 1 s, doubling, with jitter.
    pub backoff: Backoff,
    /// `EVENT_DEFAULT_TIMEOUT`: 30 s.
    pub timeout: Duration,
    /// `EVENT_CIRCUIT_BREAKER_*`: 5 failures within 60 s open a circuit for 30 s.
    pub circuit: CircuitPolicy,
}

impl Default for Defaults {
    fn default() -> Defaults {
        Defaults {
            backoff: Backoff::default(),
            timeout: Duration::from_secs(30),
            circuit: CircuitPolicy::default(),
        }
    }
}

type Around = Arc<dyn Fn(EventService) -> EventService + Send + Sync>;

/// Layers of one's own; [`HandlerOptions::layer`] adds to them.
#[derive(Clone, Default)]
pub struct OwnLayers(Vec<(Position, Around)>);

impl fmt::Debug for OwnLayers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(position, _)| position))
            .finish()
    }
}

/// What is said of a handler. Every `None` leaves it to the [`Defaults`].
#[derive(Debug, Clone, Default)]
pub struct HandlerOptions {
    /// The module the handler belongs to; required.
    pub module: String,
    /// The handler's stable name, under which it is known to the log, the metrics and the dead letters; `module-event` by
    /// default. Of 255 characters at most, and unique.
    pub handler_id: Option<String>,
    /// What makes two events the same, with `{{…}}` for fields of the event, as a [`KeyTemplate`](super::KeyTemplate); the
    /// event's id by default.
    pub idempotency_key: Option<String>,
    /// How often a delivery is tried; what the outbox row says (`max_retries`) by default.
    pub max_attempts: Option<u32>,
    /// The wait before the first retry.
    pub backoff: Option<Duration>,
    /// Whether that wait doubles from retry to retry.
    pub exponential: Option<bool>,
    /// Whether it is spread by a tenth.
    pub jitter: Option<bool>,
    /// What one run may take before it is cut off.
    pub timeout: Option<Duration>,
    /// Wait until the sequential handlers of the event that were registered before this one are done with it; false by
    /// default.
    pub sequential: bool,
    /// What the payload must satisfy; anything by default.
    pub schema: Option<Arc<PayloadSchema>>,
    /// When the circuit opens, and for how long.
    pub circuit: Option<CircuitPolicy>,
    /// Layers of one's own, in the order in which they were added; none by default.
    pub layers: OwnLayers,
}

impl HandlerOptions {
    /// Options of a handler of that module, everything else left to the defaults.
    pub fn of(module: impl Into<String>) -> HandlerOptions {
        HandlerOptions {
            module: module.into(),
            ..HandlerOptions::default()
        }
    }

    /// The handler's name, for that event.
    pub(super) fn id(&self, event: &str) -> String {
        self.handler_id
            .clone()
            .unwrap_or_else(|| format!("{}-{event}", self.module))
    }

    /// Puts a [`tower`] layer of one's own in that position; of several in one position the first is the outermost.
    ///
    /// ```
    /// use strawboss::events::HandlerOptions;
    /// use strawboss::events::layer::{Call, Position};
    /// use tower::util::MapRequestLayer;
    ///
    /// let options = HandlerOptions::of("inventory").layer(
    ///     Position::Innermost,
    ///     MapRequestLayer::new(|call: Call| {
    ///         tracing::info!(event = %call.event.metadata.event_id, "about to be handled");
    ///         call
    ///     }),
    /// );
    /// # let _ = options;
    /// ```
    pub fn layer<L>(mut self, position: Position, layer: L) -> HandlerOptions
    where
        L: Layer<EventService> + Send + Sync + 'static,
        L::Service:
            Service<Call, Response = Answer, Error = HandlerError, Future: Send> + Clone + Send + Sync + 'static,
    {
        let around: Around = Arc::new(move |inner| EventService::new(layer.layer(inner)));
        self.layers.0.push((position, around));
        self
    }

    /// The service with the layers of that position around it.
    pub(super) fn around(&self, position: Position, service: EventService) -> EventService {
        let here = self.layers.0.iter().filter(|(place, _)| *place == position);
        here.rev().fold(service, |inner, (_, around)| around(inner))
    }

    /// The backoff that holds.
    pub(super) fn backoff(&self, defaults: &Defaults) -> Backoff {
        Backoff {
            first: self.backoff.unwrap_or(defaults.backoff.first),
            exponential: self.exponential.unwrap_or(defaults.backoff.exponential),
            jitter: self.jitter.unwrap_or(defaults.backoff.jitter),
        }
    }
}
