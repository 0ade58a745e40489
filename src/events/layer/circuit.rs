//! A handler that keeps failing is left alone for a while.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tower::{Layer, ServiceExt};

use super::{Answer, Call, Inner, service};
use crate::events::{Admission, Breaker, CircuitPolicy, CircuitState, Said};
use crate::handler::{Context, HandlerError, Then};
use crate::observe::Metrics;

/// How long a run that met a probe under way stays away.
const WHILE_PROBING: Duration = Duration::from_millis(500);

/// The circuit of one handler in this process; cheap to clone.
#[derive(Clone)]
pub struct Circuit {
    shared: Arc<Shared>,
}

struct Shared {
    handler: String,
    breaker: Mutex<Breaker>,
    /// The state that was told last.
    told: Mutex<CircuitState>,
    metrics: Metrics,
}

impl Circuit {
    /// A closed circuit, which shows its state and its changes as the metrics of that handler.
    pub fn new(handler: impl Into<String>, policy: CircuitPolicy, metrics: &Metrics) -> Circuit {
        let handler = handler.into();
        metrics
            .event_circuit_state
            .with_label_values(&[&handler])
            .set(CircuitState::Closed as i64);
        for state in CircuitState::ALL {
            metrics
                .event_circuit_transitions
                .with_label_values(&[&*handler, state.as_str()]);
        }
        Circuit {
            shared: Arc::new(Shared {
                handler,
                breaker: Mutex::new(Breaker::new(policy)),
                told: Mutex::new(CircuitState::Closed),
                metrics: metrics.clone(),
            }),
        }
    }

    /// What it is now.
    pub fn state(&self) -> CircuitState {
        let state = self.breaker().state(Instant::now());
        self.tell(state);
        state
    }

    /// Why nothing should be claimed for the handler now, if so.
    pub fn paused(&self) -> Option<String> {
        let refusal = self.breaker().refusal(Instant::now());
        self.state();
        refusal.map(|wait| self.why(wait))
    }

    fn why(&self, wait: Duration) -> String {
        let handler = &self.shared.handler;
        if wait.is_zero() {
            format!("the circuit of {handler} is half-open, and its probe is under way")
        } else {
            format!("the circuit of {handler} is open for another {wait:.1?}")
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.shared.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self) -> Result<Admission, Duration> {
        let admitted = self.breaker().admit(Instant::now());
        self.state();
        admitted
    }

    fn hear(&self, admission: Admission, said: Said) {
        self.breaker().hear(admission, said, Instant::now());
        self.state();
    }

    /// Shows the state, and a change of it once.
    fn tell(&self, state: CircuitState) {
        let Shared {
            handler, told, metrics, ..
        } = &*self.shared;
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told == state {
            return;
        }
        *told = state;
        metrics
            .event_circuit_state
            .with_label_values(&[handler])
            .set(state as i64);
        metrics
            .event_circuit_transitions
            .with_label_values(&[handler, state.as_str()])
            .inc();
        match state {
            CircuitState::Open => tracing::warn!(handler, "the circuit is open: nothing is claimed for the handler"),
            CircuitState::HalfOpen => tracing::info!(handler, "the circuit is half-open: one event probes the handler"),
            CircuitState::Closed => tracing::info!(handler, "the circuit is closed: the handler works again"),
        }
    }
}

impl fmt::Debug for Circuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Circuit").field(&self.shared.handler).finish()
    }
}

/// Lets runs through while the [`Circuit`] does. One that it does not let through is postponed: back to the queue without
/// using up an attempt. Every failure of what is inside counts, timeouts and panics too; a run that is cut off from outside
/// says nothing about the handler, unless it was its deadline.
#[derive(Debug, Clone)]
pub struct CircuitLayer {
    circuit: Circuit,
}

impl CircuitLayer {
    /// Asks that circuit.
    pub fn new(circuit: Circuit) -> CircuitLayer {
        CircuitLayer { circuit }
    }

    async fn around<S: Inner>(self, inner: S, call: Call) -> Result<Answer, HandlerError> {
        let admission = self.circuit.admit().map_err(|wait| {
            let away = if wait.is_zero() { WHILE_PROBING } else { wait };
            HandlerError::postpone(self.circuit.why(wait), away)
        })?;
        let mut ear = Ear {
            circuit: self.circuit,
            admission,
            context: call.context.clone(),
            heard: None,
        };
        let result = inner.oneshot(call).await;
        ear.heard = Some(match &result {
            Ok(_) => Said::Success,
            Err(error) if matches!(error.then, Then::Postpone(_)) => Said::Nothing,
            Err(_) => Said::Failure,
        });
        result
    }
}

/// Tells the circuit what a run came to, in whatever way it ended.
struct Ear {
    circuit: Circuit,
    admission: Admission,
    context: Context,
    heard: Option<Said>,
}

impl Drop for Ear {
    fn drop(&mut self) {
        let cut_off = || {
            if std::thread::panicking() || self.context.remaining().is_zero() {
                Said::Failure
            } else {
                Said::Nothing
            }
        };
        let said = self.heard.take().unwrap_or_else(cut_off);
        self.circuit.hear(self.admission, said);
    }
}

impl<S> Layer<S> for CircuitLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded {
            layer: self.clone(),
            inner,
        }
    }
}

/// A service with a [`CircuitLayer`] around it.
#[derive(Debug, Clone)]
pub struct Guarded<S> {
    layer: CircuitLayer,
    inner: S,
}

service!(Guarded);
