//! Whether the worker is alive, whether it is ready, and what it is doing, as its own loops report it.
//!
//! *Alive* is about progress: every loop that registered has beaten within its own time. A worker whose claim loop hangs
//! is not alive, however well it answers; whoever asks should start it anew. *Ready* is about the world: the database is
//! there, the schema is spoken. A worker that is not ready waits and recovers by itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Map, Value, json};

/// What all loops report to and the HTTP endpoints read from; cheap to clone.
#[derive(Clone)]
pub struct Health {
    inner: Arc<Inner>,
}

type Provider = Arc<dyn Fn() -> Value + Send + Sync>;

struct Inner {
    started: Instant,
    draining: AtomicBool,
    loops: Mutex<BTreeMap<String, Arc<Beat>>>,
    conditions: Mutex<BTreeMap<String, Result<(), String>>>,
    providers: Mutex<BTreeMap<String, Provider>>,
}

struct Beat {
    max_silence: Duration,
    /// When it last beat, in milliseconds since the worker's start.
    last: AtomicU64,
    /// The loop is gone although nobody asked it to go.
    ended: AtomicBool,
}

/// One loop's sign of life.
///
/// Dropping it without [`Pulse::retire`] while the worker is not draining means that the loop died, by a panic or by
/// leaving: the worker is then not alive, at once.
pub struct Pulse {
    name: String,
    beat: Arc<Beat>,
    inner: Arc<Inner>,
}

/// One of the things that have to hold for the worker to be ready.
#[derive(Clone)]
pub struct Condition {
    name: Arc<str>,
    inner: Arc<Inner>,
}

/// The answer of `/healthz`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Liveness {
    /// Every loop beat within its time.
    pub live: bool,
    /// The loops, by name.
    pub loops: Vec<LoopReport>,
}

/// How one loop does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoopReport {
    /// The name it registered under.
    pub name: String,
    /// It beat within its time and has not died.
    pub live: bool,
    /// It died, by a panic or by leaving before its time.
    pub ended: bool,
    /// Seconds since it last beat.
    pub silent_seconds: f64,
    /// Seconds it may be silent.
    pub max_silence_seconds: f64,
}

/// The answer of `/readyz`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Readiness {
    /// Every condition holds and the worker is not on its way out.
    pub ready: bool,
    /// The worker was told to stop and finishes what it runs.
    pub draining: bool,
    /// The conditions, by name.
    pub conditions: Vec<ConditionReport>,
}

/// Whether one condition holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConditionReport {
    /// The name it was made under.
    pub name: String,
    /// It holds.
    pub ready: bool,
    /// Why not, if it does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Health {
    /// Starts with no loops and no conditions: alive and ready. Make the conditions before serving the endpoints.
    pub fn new() -> Health {
        Health {
            inner: Arc::new(Inner {
                started: Instant::now(),
                draining: AtomicBool::new(false),
                loops: Mutex::default(),
                conditions: Mutex::default(),
                providers: Mutex::default(),
            }),
        }
    }

    /// Watches a loop that promises to beat at least every `max_silence`. It counts as having beaten just now.
    ///
    /// A second loop of the same name takes the first one's place.
    pub fn register(&self, name: impl Into<String>, max_silence: Duration) -> Pulse {
        let name = name.into();
        let beat = Arc::new(Beat {
            max_silence,
            last: AtomicU64::new(self.inner.millis(Instant::now())),
            ended: AtomicBool::new(false),
        });
        lock(&self.inner.loops).insert(name.clone(), Arc::clone(&beat));
        Pulse {
            name,
            beat,
            inner: Arc::clone(&self.inner),
        }
    }

    /// Makes a condition that does not hold until it is said to; the same name gives the same condition.
    pub fn condition(&self, name: impl Into<Arc<str>>) -> Condition {
        let name = name.into();
        lock(&self.inner.conditions)
            .entry(name.to_string())
            .or_insert_with(|| Err("not known yet".into()));
        Condition {
            name,
            inner: Arc::clone(&self.inner),
        }
    }

    /// Adds a part to `/status`. The function is called on every request and must neither block nor tell secrets.
    ///
    /// The names `process`, `health` and `readiness` are taken.
    pub fn provide(&self, name: impl Into<String>, part: impl Fn() -> Value + Send + Sync + 'static) {
        lock(&self.inner.providers).insert(name.into(), Arc::new(part));
    }

    /// Says that the worker was told to stop: no longer ready, and loops that end now end rightly.
    pub fn drain(&self) {
        self.inner.draining.store(true, Ordering::Relaxed);
    }

    /// Whether every loop made progress lately.
    pub fn liveness(&self) -> Liveness {
        self.liveness_at(Instant::now())
    }

    fn liveness_at(&self, now: Instant) -> Liveness {
        let now = self.inner.millis(now);
        let loops: Vec<_> = lock(&self.inner.loops)
            .iter()
            .map(|(name, beat)| {
                let silence = Duration::from_millis(now.saturating_sub(beat.last.load(Ordering::Relaxed)));
                let ended = beat.ended.load(Ordering::Relaxed);
                LoopReport {
                    name: name.clone(),
                    live: !ended && silence <= beat.max_silence,
                    ended,
                    silent_seconds: silence.as_secs_f64(),
                    max_silence_seconds: beat.max_silence.as_secs_f64(),
                }
            })
            .collect();
        Liveness {
            live: loops.iter().all(|each| each.live),
            loops,
        }
    }

    /// Whether every condition holds.
    pub fn readiness(&self) -> Readiness {
        let conditions: Vec<_> = lock(&self.inner.conditions)
            .iter()
            .map(|(name, state)| ConditionReport {
                name: name.clone(),
                ready: state.is_ok(),
                reason: state.clone().err(),
            })
            .collect();
        let draining = self.inner.draining.load(Ordering::Relaxed);
        Readiness {
            ready: !draining && conditions.iter().all(|each| each.ready),
            draining,
            conditions,
        }
    }

    /// The document of `/status`: the process, its health, its readiness, and every provided part.
    pub fn status(&self) -> Value {
        // The providers are called outside the lock: one of them may well ask for something that provides.
        let providers: Vec<_> = lock(&self.inner.providers)
            .iter()
            .map(|(name, part)| (name.clone(), Arc::clone(part)))
            .collect();
        let mut status: Map<String, Value> = providers.into_iter().map(|(name, part)| (name, part())).collect();
        let own = [
            (
                "process",
                json!({
                    "version": env!("CARGO_PKG_VERSION"),
                    "pid": std::process::id(),
                    "uptime_seconds": self.inner.started.elapsed().as_secs_f64(),
                }),
            ),
            ("health", json!(self.liveness())),
            ("readiness", json!(self.readiness())),
        ];
        status.extend(own.map(|(name, part)| (name.to_owned(), part)));
        Value::Object(status)
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Inner {
    fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }
}

impl Pulse {
    /// Says that the loop got round once more.
    pub fn beat(&self) {
        self.beat
            .last
            .store(self.inner.millis(Instant::now()), Ordering::Relaxed);
    }

    /// Ends the watch: the loop is over and should be.
    pub fn retire(self) {
        self.forget();
    }

    fn forget(&self) {
        let mut loops = lock(&self.inner.loops);
        if loops.get(&self.name).is_some_and(|beat| Arc::ptr_eq(beat, &self.beat)) {
            loops.remove(&self.name);
        }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        if self.inner.draining.load(Ordering::Relaxed) {
            self.forget();
        } else {
            // After `retire` nobody looks at it any more.
            self.beat.ended.store(true, Ordering::Relaxed);
        }
    }
}

impl Condition {
    /// Says whether the condition holds, and why not.
    pub fn set(&self, state: Result<(), String>) {
        lock(&self.inner.conditions).insert(self.name.to_string(), state);
    }
}

/// What is behind these locks is whole after every statement, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_silent_loop_is_not_alive_and_is_named() {
        let health = Health::new();
        let _claim = health.register("claim", SECOND);
        let _settle = health.register("settle", 10 * SECOND);
        assert!(health.liveness().live);

        let later = health.liveness_at(Instant::now() + 5 * SECOND);
        assert!(!later.live);
        let stuck: Vec<_> = later
            .loops
            .iter()
            .filter(|each| !each.live)
            .map(|each| &each.name)
            .collect();
        assert_eq!(stuck, ["claim"]);
        assert!(later.loops[0].silent_seconds >= 4.9);
    }

    #[test]
    fn a_beat_revives() {
        let health = Health::new();
        let pulse = health.register("claim", SECOND);
        pulse.beat.last.store(0, Ordering::Relaxed);
        let late = health.inner.started + 2 * SECOND;
        assert!(!health.liveness_at(late).live);
        pulse.beat.last.store(1500, Ordering::Relaxed);
        assert!(health.liveness_at(late).live);
    }

    #[test]
    fn a_loop_that_panics_is_not_alive() {
        let health = Health::new();
        let pulse = health.register("claim", SECOND);
        std::thread::spawn(move || {
            let _pulse = pulse;
            panic!("on purpose");
        })
        .join()
        .expect_err("it panicked");
        let liveness = health.liveness();
        assert!(!liveness.live);
        assert!(liveness.loops[0].ended);
    }

    #[test]
    fn a_loop_may_retire() {
        let health = Health::new();
        health.register("claim", SECOND).retire();
        assert_eq!(health.liveness().loops, []);
        assert!(health.liveness().live);
    }

    #[test]
    fn a_loop_that_ends_in_a_drain_is_no_death() {
        let health = Health::new();
        let pulse = health.register("claim", SECOND);
        health.drain();
        drop(pulse);
        assert!(health.liveness().live);
        assert!(!health.readiness().ready);
    }

    #[test]
    fn a_loop_that_was_replaced_does_not_take_the_new_one_along() {
        let health = Health::new();
        let first = health.register("claim", SECOND);
        let _second = health.register("claim", SECOND);
        first.retire();
        assert_eq!(health.liveness().loops.len(), 1);
        assert!(health.liveness().live);
    }

    #[test]
    fn readiness_needs_every_condition() {
        let health = Health::new();
        let database = health.condition("database");
        let schema = health.condition("schema");
        assert!(!health.readiness().ready);
        database.set(Ok(()));
        schema.set(Err("schema 99 lacks the column job.priority".into()));
        let readiness = health.readiness();
        assert!(!readiness.ready);
        assert_eq!(
            readiness.conditions[1].reason.as_deref(),
            Some("schema 99 lacks the column job.priority")
        );
        health.condition("schema").set(Ok(()));
        assert!(health.readiness().ready);
    }

    #[test]
    fn status_has_the_provided_parts_and_its_own() {
        let health = Health::new();
        health.provide("queues", || json!(["email"]));
        health.provide("process", || json!("taken"));
        let status = health.status();
        assert_eq!(status["queues"], json!(["email"]));
        assert_eq!(status["process"]["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(status["health"]["live"], true);
        assert_eq!(status["readiness"]["ready"], true);
    }
}
