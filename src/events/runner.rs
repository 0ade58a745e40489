//! A handler of events as the worker runs it: the delivery is read, its turn waited for, the layers walked through, and a
//! failure given the time of its next attempt.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tower::{Layer, ServiceExt};

use super::handlers::Registered;
use super::keys::Keys;
use super::layer::{
    Answer, Call, Circuit, CircuitLayer, EventService, IdempotencyLayer, Position, TimeoutLayer, TraceLayer,
    ValidationLayer,
};
use super::turns::Turns;
use super::{Backoff, Defaults, Delivery};
use crate::handler::{Context, Handler, HandlerError, Run, Then};
use crate::job::Job;
use crate::observe::Metrics;
use crate::run::panicked;

/// Runs the deliveries of one handler.
pub struct Runner {
    shared: Arc<Shared>,
    circuit: Circuit,
    kind: Option<Arc<dyn Handler>>,
}

struct Shared {
    service: EventService,
    backoff: Backoff,
    handler: Arc<str>,
    /// Where its turn is asked for, if it waits for one.
    turns: Option<Turns>,
}

/// What every handler's layers have in common.
#[derive(Clone)]
pub struct Common {
    /// Where idempotency keys are entered.
    pub keys: Keys,
    /// Where sequential handlers ask for their turn.
    pub turns: Turns,
    /// The app's `event_processing_log`, qualified and quoted.
    pub log: Arc<str>,
    /// Where runs are counted.
    pub metrics: Metrics,
}

impl Runner {
    /// The handler with the built-in layers and its own around it.
    pub fn new(registered: &Registered, defaults: &Defaults, common: &Common) -> Runner {
        let Registered {
            handler_id, options, ..
        } = registered;
        let handler: Arc<str> = handler_id.as_str().into();
        let circuit = Circuit::new(
            handler_id.as_str(),
            options.circuit.unwrap_or(defaults.circuit),
            &common.metrics,
        );
        let mut service = options.around(Position::Innermost, registered.service.clone());
        let timeout = TimeoutLayer::new(options.timeout.unwrap_or(defaults.timeout));
        service = EventService::new(timeout.layer(service));
        service = options.around(Position::BeforeTimeout, service);
        service = EventService::new(CircuitLayer::new(circuit.clone()).layer(service));
        service = options.around(Position::BeforeCircuit, service);
        let idempotency = IdempotencyLayer::new(
            Arc::clone(&handler),
            registered.template.clone(),
            Arc::clone(&common.log),
            common.keys.clone(),
            &common.metrics,
        );
        service = EventService::new(idempotency.layer(service));
        service = options.around(Position::BeforeIdempotency, service);
        if let Some(schema) = &options.schema {
            service = EventService::new(ValidationLayer::new(Arc::clone(schema)).layer(service));
        }
        service = options.around(Position::BeforeValidation, service);
        service = EventService::new(TraceLayer::new(Arc::clone(&handler), &common.metrics).layer(service));
        service = options.around(Position::Outermost, service);
        Runner {
            shared: Arc::new(Shared {
                service,
                backoff: options.backoff(defaults),
                turns: options.sequential.then(|| common.turns.clone()),
                handler,
            }),
            circuit,
            kind: registered.kind.clone(),
        }
    }
}

impl Handler for Runner {
    fn run(&self, job: Arc<Job>, context: Context) -> Run {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let retry_count = u32::try_from(job.attempt.retry_count).unwrap_or(0);
            // Here, for the time of the next attempt is ours to say.
            let run = AssertUnwindSafe(shared.attempt(job, &context)).catch_unwind().await;
            match run.unwrap_or_else(|panic| Err(panicked(&*panic))) {
                Ok(answer) => {
                    if let Some(logged) = answer.logged {
                        context.along.leave(logged);
                    }
                    Ok(answer.output)
                }
                Err(error) => Err(shared.timed(error, retry_count)),
            }
        })
    }

    fn paused(&self) -> Option<String> {
        let gone = self.kind.as_ref().and_then(|kind| kind.paused());
        gone.or_else(|| self.circuit.paused())
    }
}

impl Shared {
    async fn attempt(&self, job: Arc<Job>, context: &Context) -> Result<Answer, HandlerError> {
        let event = Delivery::parse(job.data_text()).map_err(|why| {
            HandlerError::never_retry(format!("the job is no delivery of an event: {why}")).named("DeliveryError")
        })?;
        if let (Some(turns), Some(outbox_id)) = (&self.turns, event.outbox_id) {
            turns.wait(&self.handler, outbox_id).await?;
        }
        let call = Call {
            job: Arc::new(job.with_data(Some(Arc::from(event.event_object())))),
            event: Arc::new(event),
            context: context.clone(),
        };
        self.service.clone().oneshot(call).await
    }

    /// Says when a failed attempt is followed by the next.
    fn timed(&self, error: HandlerError, retry_count: u32) -> HandlerError {
        let delay = || self.backoff.delay(retry_count, &mut rand::rng());
        let then = match error.then {
            Then::Retry => Then::RetryAfter(delay()),
            Then::RetryNoSooner(floor) => Then::RetryAfter(delay().max(floor)),
            settled => settled,
        };
        HandlerError { then, ..error }
    }
}
