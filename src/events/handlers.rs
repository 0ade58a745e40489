//! The handlers of events that a worker runs: each is a subscription, a queue, and a consumer of that queue.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::layer::EventService;
use super::options::HandlerOptions;
use super::typed::{Event, Kind, Received, service};
use super::{Backoff, Defaults, Delivery, KeyTemplate};
use crate::config::HandlerConfig;
use crate::handler::{Context, Handler, HandlerError, with_headers};
use crate::job::Job;
use crate::observe::Metrics;
use crate::queue::QueueName;

/// How long a queue's name may be, so that it fits wherever pg-boss puts it.
const QUEUE_NAME: usize = 200;
/// How much longer than the handler's own timeout a request may take, so that it is the layer that cuts it off.
const MARGIN: Duration = Duration::from_secs(5);
/// How long a correlation id may be in a header, encoded; Node's servers take 16 KiB of headers in all.
const CORRELATION: usize = 1024;
/// Header values are visible ASCII.
const NOT_IN_A_HEADER: &AsciiSet = &CONTROLS.add(b' ').add(b'%');
/// Characters of the columns `event_name` and `handler_name`.
const COLUMN: usize = 255;

/// Handles one kind of event.
///
/// ```
/// use strawboss::events::{EventHandler, Received};
/// use strawboss::{Context, HandlerError};
///
/// #[derive(serde::Deserialize)]
/// #[serde(rename_all = "camelCase")]
/// struct OrderCompleted {
///     order_id: String,
/// }
///
/// struct Inventory;
///
/// impl EventHandler for Inventory {
///     const NAME: &'static str = "payment:order.completed";
///     type Payload = OrderCompleted;
///     type Output = ();
///
///     async fn handle(&self, event: Received<OrderCompleted>, _: Context) -> Result<(), HandlerError> {
///         println!("{} is completed", event.payload.order_id);
///         Ok(())
///     }
/// }
/// ```
pub trait EventHandler: Send + Sync + 'static {
    /// The name of the event.
    const NAME: &'static str;
    /// Its payload. One that is no such thing is dead-lettered at once. A `Box<RawValue>` takes any payload as the text it is,
    /// numbers beyond an `f64` and any depth included.
    type Payload: DeserializeOwned + Send + 'static;
    /// What is kept as the job's output, and answered to whoever asked with a query; `()` for nothing.
    type Output: Serialize + 'static;

    /// Handles one event. Any error is a reason to try again; say
    /// [`HandlerError::never_retry`] where it is not.
    fn handle(
        &self,
        event: Received<Self::Payload>,
        context: Context,
    ) -> impl Future<Output = Result<Self::Output, HandlerError>> + Send;
}

/// The handlers a worker is to run, in the order of their registration.
#[derive(Debug, Clone, Default)]
pub struct Handlers {
    defaults: Defaults,
    outbox_schema: Option<String>,
    registered: Vec<Registered>,
}

/// A handler that is registered.
#[derive(Clone)]
pub struct Registered {
    /// The event's name.
    pub event: String,
    /// The handler's stable name.
    pub handler_id: String,
    /// The queue its deliveries come by.
    pub queue: QueueName,
    /// What was said of it.
    pub options: HandlerOptions,
    pub(super) template: Option<KeyTemplate>,
    pub(super) service: EventService,
    /// Why nothing should be claimed, where the handler is of a kind that says so.
    pub(super) kind: Option<Arc<dyn Handler>>,
}

/// Why a handler cannot be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The event's name is empty or too long for its column.
    #[error("an event's name has 1 to 255 characters, which {0:?} has not")]
    EventName(String),
    /// No module was named.
    #[error("a handler of {0:?} names no module")]
    Module(String),
    /// The handler's name is empty or too long for its column.
    #[error("a handler's id has 1 to 255 characters, which {0:?} has not")]
    HandlerId(String),
    /// There is one of that name already.
    #[error("there is a handler {0:?} already; give one of them another handler_id")]
    Duplicate(String),
    /// Its idempotency key is no template.
    #[error("the idempotency_key of {handler_id:?} {problem}")]
    IdempotencyKey {
        /// The handler.
        handler_id: String,
        /// What is wrong with it.
        problem: String,
    },
    /// What is to run it cannot be made.
    #[error("the handler {handler_id:?}: {problem}")]
    Kind {
        /// The handler.
        handler_id: String,
        /// What is wrong with it.
        problem: String,
    },
    /// It is never to be tried.
    #[error("max_attempts of {0:?} must be at least 1")]
    MaxAttempts(String),
}

impl Handlers {
    /// No handlers yet, with these defaults for all of them.
    pub fn new(defaults: Defaults) -> Handlers {
        Handlers {
            defaults,
            ..Handlers::default()
        }
    }

    /// Finds the app's event tables in that schema, unquoted; `public` by default.
    pub fn in_schema(mut self, outbox_schema: impl Into<String>) -> Handlers {
        self.outbox_schema = Some(outbox_schema.into());
        self
    }

    /// The same, unless it was said already.
    pub(crate) fn or_in_schema(self, outbox_schema: &str) -> Handlers {
        match self.outbox_schema {
            Some(_) => self,
            None => self.in_schema(outbox_schema),
        }
    }

    /// Where the app's event tables are, unquoted.
    pub fn outbox_schema(&self) -> &str {
        self.outbox_schema.as_deref().unwrap_or("public")
    }

    /// What holds for handlers that do not say otherwise.
    pub fn defaults(&self) -> &Defaults {
        &self.defaults
    }

    /// Registers a handler.
    ///
    /// # Errors
    /// What its options lack or have wrong; nothing is registered then.
    pub fn register<H: EventHandler>(
        &mut self,
        options: HandlerOptions,
        handler: H,
    ) -> Result<&mut Self, RegisterError> {
        let handler = Arc::new(handler);
        let service = service(move |received, context| {
            let handler = Arc::clone(&handler);
            async move { handler.handle(received, context).await }
        });
        self.add(H::NAME, options, service, None)
    }

    /// Registers a function for the event `T` is the payload of.
    ///
    /// # Errors
    /// As [`Handlers::register`].
    pub fn on<T, O, F, Fut>(&mut self, options: HandlerOptions, function: F) -> Result<&mut Self, RegisterError>
    where
        T: Event + DeserializeOwned + Send + 'static,
        O: Serialize + 'static,
        F: Fn(Received<T>, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, HandlerError>> + Send + 'static,
    {
        self.add(T::NAME, options, service(function), None)
    }

    /// Registers a handler of any kind that the worker has, such as [`handler::from_config`](crate::handler::from_config)
    /// makes: it is given a job whose data is the app's event object, `{"metadata": …, "data": …}`.
    ///
    /// # Errors
    /// As [`Handlers::register`].
    pub fn register_kind(
        &mut self,
        event: &str,
        options: HandlerOptions,
        handler: Arc<dyn Handler>,
    ) -> Result<&mut Self, RegisterError> {
        let service = EventService::new(Kind {
            handler: Arc::clone(&handler),
        });
        self.add(event, options, service, Some(handler))
    }

    /// Registers a handler of a configured kind. One of HTTP is sent the app's event object, `{"metadata": …, "data": …}`, and
    /// the headers `event-id`, `event-name` and `correlation-id` beside the usual ones; the time it has is the handler's own.
    ///
    /// # Errors
    /// As [`Handlers::register`], and what makes the kind unusable.
    pub fn register_config(
        &mut self,
        event: &str,
        options: HandlerOptions,
        config: &HandlerConfig,
        metrics: &Metrics,
    ) -> Result<&mut Self, RegisterError> {
        let handler_id = options.id(event);
        let mut config = config.clone();
        let limit = options.timeout.unwrap_or(self.defaults.timeout);
        if let HandlerConfig::Http { timeout, .. } | HandlerConfig::Exec { timeout, .. } = &mut config {
            // The layer cuts it off first, and says so.
            *timeout = limit.saturating_add(MARGIN);
        }
        let handler =
            with_headers(&config, &queue_of(&handler_id), metrics, Some(Arc::new(headers))).map_err(|source| {
                RegisterError::Kind {
                    handler_id,
                    problem: source.to_string(),
                }
            })?;
        self.register_kind(event, options, handler)
    }

    /// Registers a [`tower`] service.
    ///
    /// # Errors
    /// As [`Handlers::register`].
    pub fn register_service(
        &mut self,
        event: &str,
        options: HandlerOptions,
        service: EventService,
    ) -> Result<&mut Self, RegisterError> {
        self.add(event, options, service, None)
    }

    /// Takes a handler out again; false if there is none of that name. In the database its subscription stays until
    /// `strawboss events unsubscribe` ends it: another process may run the handler.
    pub fn unregister(&mut self, handler_id: &str) -> bool {
        let before = self.registered.len();
        self.registered.retain(|registered| registered.handler_id != handler_id);
        self.registered.len() < before
    }

    /// The handlers in the order of their registration.
    pub fn list(&self) -> &[Registered] {
        &self.registered
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.registered.is_empty()
    }

    fn add(
        &mut self,
        event: &str,
        options: HandlerOptions,
        service: EventService,
        kind: Option<Arc<dyn Handler>>,
    ) -> Result<&mut Self, RegisterError> {
        let fits = |text: &str| (1..=COLUMN).contains(&text.chars().count()) && !text.contains('\0');
        if !fits(event) {
            return Err(RegisterError::EventName(event.to_owned()));
        }
        if options.module.is_empty() {
            return Err(RegisterError::Module(event.to_owned()));
        }
        let handler_id = options.id(event);
        if !fits(&handler_id) {
            return Err(RegisterError::HandlerId(handler_id));
        }
        if options.max_attempts == Some(0) {
            return Err(RegisterError::MaxAttempts(handler_id));
        }
        if self.registered.iter().any(|other| other.handler_id == handler_id) {
            return Err(RegisterError::Duplicate(handler_id));
        }
        let template = options.idempotency_key.as_deref().map(str::parse).transpose();
        let template = template.map_err(|problem| RegisterError::IdempotencyKey {
            handler_id: handler_id.clone(),
            problem,
        })?;
        self.registered.push(Registered {
            event: event.to_owned(),
            queue: queue_of(&handler_id),
            handler_id,
            options,
            template,
            service,
            kind,
        });
        Ok(self)
    }

    /// The names of the events that have a handler here.
    pub fn events(&self) -> BTreeSet<&str> {
        self.registered
            .iter()
            .map(|registered| registered.event.as_str())
            .collect()
    }
}

impl Registered {
    /// When a delivery that failed is tried again.
    pub fn backoff(&self, defaults: &Defaults) -> Backoff {
        self.options.backoff(defaults)
    }
}

impl std::fmt::Debug for Registered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registered")
            .field("event", &self.event)
            .field("handler_id", &self.handler_id)
            .field("queue", &self.queue)
            .field("options", &self.options)
            .finish()
    }
}

/// What a request says of its event in headers, percent-encoded where that is needed. A correlation id of more than 1024
/// characters is cut there; the whole is in the body.
fn headers(job: &Job) -> Vec<(&'static str, String)> {
    let Ok(event) = Delivery::parse(job.data_text()) else {
        return Vec::new();
    };
    let metadata = event.metadata;
    let mut correlation = String::new();
    for c in metadata.correlation_id.chars() {
        let encoded = utf8_percent_encode(c.encode_utf8(&mut [0; 4]), NOT_IN_A_HEADER).to_string();
        if correlation.len() + encoded.len() > CORRELATION {
            break;
        }
        correlation.push_str(&encoded);
    }
    vec![
        ("event-id", metadata.event_id.to_string()),
        (
            "event-name",
            utf8_percent_encode(&metadata.event_name, NOT_IN_A_HEADER).to_string(),
        ),
        ("correlation-id", correlation),
    ]
}

/// The queue of a handler: its id behind `event.`, with the characters that a queue's name may not have replaced. A name that had to be
/// changed ends in a piece of the id's hash, so that no two handlers share a queue.
pub fn queue_of(handler_id: &str) -> QueueName {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let mut name = "event.".to_owned();
    name.extend(
        handler_id
            .chars()
            .take(QUEUE_NAME)
            .map(|c| if plain(c) { c } else { '_' }),
    );
    if name["event.".len()..] != *handler_id {
        name.push('-');
        for byte in &Sha256::digest(handler_id.as_bytes())[..4] {
            let _ = write!(name, "{byte:02x}");
        }
    }
    QueueName::new(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl EventHandler for Nothing {
        const NAME: &'static str = "order:completed";
        type Payload = serde_json::Value;
        type Output = ();

        async fn handle(&self, _: Received<serde_json::Value>, _: Context) -> Result<(), HandlerError> {
            Ok(())
        }
    }

    #[test]
    fn a_handler_is_registered_listed_and_taken_out() {
        let mut handlers = Handlers::default();
        let named = HandlerOptions {
            handler_id: Some("second".into()),
            ..HandlerOptions::of("inventory")
        };
        handlers
            .register(HandlerOptions::of("inventory"), Nothing)
            .and_then(|handlers| handlers.register(named, Nothing))
            .expect("registered");
        let listed: Vec<_> = handlers.list().iter().map(|each| each.handler_id.as_str()).collect();
        assert_eq!(listed, ["inventory-order:completed", "second"]);
        assert_eq!(handlers.events(), BTreeSet::from(["order:completed"]));
        assert!(handlers.unregister("second"));
        assert!(!handlers.unregister("second"));
        assert_eq!(handlers.list().len(), 1);
    }

    #[test]
    fn what_cannot_be_registered_says_why_and_leaves_nothing() {
        let mut handlers = Handlers::default();
        let options = |change: &dyn Fn(&mut HandlerOptions)| {
            let mut options = HandlerOptions::of("inventory");
            change(&mut options);
            options
        };
        handlers.register(options(&|_| {}), Nothing).expect("registered");
        let mut refused = |options| handlers.register(options, Nothing).expect_err("refused");
        assert!(matches!(refused(options(&|_| {})), RegisterError::Duplicate(_)));
        assert!(matches!(refused(HandlerOptions::of("")), RegisterError::Module(_)));
        let long = options(&|options| options.handler_id = Some("é".repeat(256)));
        assert!(matches!(refused(long), RegisterError::HandlerId(_)));
        let never = options(&|options| {
            options.handler_id = Some("never".into());
            options.max_attempts = Some(0);
        });
        assert!(matches!(refused(never), RegisterError::MaxAttempts(_)));
        let constant = options(&|options| {
            options.handler_id = Some("constant".into());
            options.idempotency_key = Some("always".into());
        });
        let error = refused(constant);
        assert!(error.to_string().contains("all events would be the same"), "{error}");
        assert_eq!(handlers.list().len(), 1);
    }

    #[test]
    fn every_handler_has_a_queue_of_its_own_that_every_pg_boss_takes() {
        assert_eq!(
            queue_of("inventory-order.completed").as_str(),
            "event.inventory-order.completed"
        );
        let ids = ["a:b", "a_b", "a/b", "ü", &"x".repeat(255), &"x".repeat(254)];
        let queues: BTreeSet<_> = ids.iter().map(|id| queue_of(id)).collect();
        assert_eq!(queues.len(), ids.len());
        for queue in queues {
            assert!(
                QueueName::validated(queue.as_str()).is_ok() && !queue.as_str().contains('/'),
                "{queue}"
            );
        }
    }
}
