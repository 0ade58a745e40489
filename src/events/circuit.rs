//! A circuit breaker: whether a handler that keeps failing is to be left alone. A decision alone; the time comes in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// When a circuit opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CircuitPolicy {
    /// This many failures within the window open it; 5 by default, 0 never opens it.
    pub threshold: u32,
    /// How far back failures count; 60 s by default.
    pub window: Duration,
    /// How long an open circuit waits before it lets one run probe; 30 s by default.
    pub recovery: Duration,
}

impl Default for CircuitPolicy {
    fn default() -> CircuitPolicy {
        CircuitPolicy {
            threshold: 5,
            window: Duration::from_secs(60),
            recovery: Duration::from_secs(30),
        }
    }
}

/// What a circuit is, as the metric `event_circuit_state` numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitState {
    /// Runs are let through.
    Closed = 0,
    /// One run probes; the others wait for what comes of it.
    HalfOpen = 1,
    /// No run is let through.
    Open = 2,
}

impl CircuitState {
    /// Every state.
    pub const ALL: [CircuitState; 3] = [CircuitState::Closed, CircuitState::HalfOpen, CircuitState::Open];

    /// The value of the label `to` of `event_circuit_transitions_total`.
    pub fn as_str(self) -> &'static str {
        match self {
            CircuitState::Closed => "closed",
            CircuitState::HalfOpen => "half_open",
            CircuitState::Open => "open",
        }
    }
}

/// The circuit of one handler.
#[derive(Debug)]
pub struct Breaker {
    policy: CircuitPolicy,
    /// The latest failures while closed, never more than the threshold.
    failures: VecDeque<Instant>,
    now: Now,
    /// Counts changes of state, so that a run that was let in before one says nothing about what came after it.
    era: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Now {
    Closed,
    Open { until: Instant },
    HalfOpen { probing: bool },
}

/// Leave to run, to be given back with what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    era: u64,
}

/// What a run that was let in says about its handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It works.
    Success,
    /// It does not.
    Failure,
    /// Nothing: the run was cut off for another reason.
    Nothing,
}

impl Breaker {
    /// A closed circuit.
    pub fn new(policy: CircuitPolicy) -> Breaker {
        Breaker {
            policy,
            failures: VecDeque::new(),
            now: Now::Closed,
            era: 0,
        }
    }

    /// What it is at this moment: an open circuit whose recovery time is over is half-open.
    pub fn state(&mut self, now: Instant) -> CircuitState {
        if let Now::Open { until } = self.now
            && until <= now
        {
            self.turn(Now::HalfOpen { probing: false });
        }
        match self.now {
            Now::Closed => CircuitState::Closed,
            Now::HalfOpen { .. } => CircuitState::HalfOpen,
            Now::Open { .. } => CircuitState::Open,
        }
    }

    /// How long nothing is let in, if so; zero while a probe is under way, which may end at any time.
    pub fn refusal(&mut self, now: Instant) -> Option<Duration> {
        self.state(now);
        match self.now {
            Now::Closed | Now::HalfOpen { probing: false } => None,
            Now::HalfOpen { probing: true } => Some(Duration::ZERO),
            Now::Open { until } => Some(until.saturating_duration_since(now)),
        }
    }

    /// Lets a run in, as the probe if the circuit is half-open.
    ///
    /// # Errors
    /// As [`Breaker::refusal`]: the run must not begin.
    pub fn admit(&mut self, now: Instant) -> Result<Admission, Duration> {
        if let Some(wait) = self.refusal(now) {
            return Err(wait);
        }
        if let Now::HalfOpen { probing } = &mut self.now {
            *probing = true;
        }
        Ok(Admission { era: self.era })
    }

    /// Takes note of what a run that was let in came to.
    pub fn hear(&mut self, admission: Admission, said: Said, now: Instant) {
        if admission.era != self.era {
            return;
        }
        match (self.now, said) {
            (Now::Closed, Said::Failure) => {
                let window = self.policy.window;
                self.failures
                    .retain(|failure| now.saturating_duration_since(*failure) < window);
                self.failures.push_back(now);
                if self.policy.threshold > 0 && self.failures.len() >= self.policy.threshold as usize {
                    self.open(now);
                }
                if self.policy.threshold == 0 {
                    self.failures.clear();
                }
            }
            (Now::HalfOpen { .. }, Said::Success) => {
                self.failures.clear();
                self.turn(Now::Closed);
            }
            (Now::HalfOpen { .. }, Said::Failure) => self.open(now),
            (Now::HalfOpen { .. }, Said::Nothing) => self.now = Now::HalfOpen { probing: false },
            (Now::Closed | Now::Open { .. }, _) => {}
        }
    }

    fn open(&mut self, now: Instant) {
        self.failures.clear();
        let until = now.checked_add(self.policy.recovery).unwrap_or(now);
        self.turn(Now::Open { until });
    }

    fn turn(&mut self, to: Now) {
        self.now = to;
        self.era += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A circuit that three failures within ten seconds open for five, and the time.
    fn breaker() -> (Breaker, Instant) {
        let policy = CircuitPolicy {
            threshold: 3,
            window: Duration::from_secs(10),
            recovery: Duration::from_secs(5),
        };
        (Breaker::new(policy), Instant::now())
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn run(breaker: &mut Breaker, said: Said, now: Instant) {
        let admission = breaker.admit(now).expect("it is let in");
        breaker.hear(admission, said, now);
    }

    /// One that is open since the moment returned.
    fn opened() -> (Breaker, Instant) {
        let (mut breaker, now) = breaker();
        (0..3).for_each(|_| run(&mut breaker, Said::Failure, now));
        assert_eq!(breaker.state(now), CircuitState::Open);
        (breaker, now)
    }

    #[test]
    fn failures_open_it_when_enough_of_them_are_within_the_window() {
        let (mut breaker, now) = breaker();
        run(&mut breaker, Said::Failure, now);
        run(&mut breaker, Said::Failure, now + seconds(4));
        run(&mut breaker, Said::Success, now + seconds(5));
        // The first has left the window.
        run(&mut breaker, Said::Failure, now + seconds(10));
        assert_eq!(breaker.state(now + seconds(10)), CircuitState::Closed);
        run(&mut breaker, Said::Failure, now + seconds(13));
        assert_eq!(breaker.state(now + seconds(13)), CircuitState::Open);
        assert_eq!(breaker.admit(now + seconds(14)), Err(seconds(4)));
    }

    #[test]
    fn after_the_recovery_time_one_run_probes_and_a_second_waits() {
        let (mut breaker, now) = opened();
        assert_eq!(breaker.refusal(now + seconds(4)), Some(seconds(1)));
        let later = now + seconds(5);
        assert_eq!(breaker.refusal(later), None);
        let probe = breaker.admit(later).expect("a probe");
        assert_eq!(breaker.state(later), CircuitState::HalfOpen);
        assert_eq!(breaker.admit(later), Err(Duration::ZERO));
        breaker.hear(probe, Said::Success, later);
        assert_eq!(breaker.state(later), CircuitState::Closed);
        // It is as good as new.
        run(&mut breaker, Said::Failure, later);
        run(&mut breaker, Said::Failure, later);
        assert_eq!(breaker.state(later), CircuitState::Closed);
    }

    #[test]
    fn a_probe_that_fails_opens_it_again_for_the_whole_recovery_time() {
        let (mut breaker, now) = opened();
        let later = now + seconds(7);
        run(&mut breaker, Said::Failure, later);
        assert_eq!(breaker.refusal(later), Some(seconds(5)));
        assert_eq!(breaker.refusal(later + seconds(5)), None);
    }

    #[test]
    fn a_probe_that_says_nothing_makes_room_for_another() {
        let (mut breaker, now) = opened();
        let later = now + seconds(5);
        run(&mut breaker, Said::Nothing, later);
        assert_eq!(breaker.state(later), CircuitState::HalfOpen);
        assert!(breaker.admit(later).is_ok());
    }

    #[test]
    fn runs_that_were_let_in_before_it_opened_do_not_speak_for_the_probe() {
        let (mut breaker, now) = breaker();
        let early: Vec<_> = (0..5).map(|_| breaker.admit(now).expect("closed")).collect();
        early[..3]
            .iter()
            .for_each(|admission| breaker.hear(*admission, Said::Failure, now));
        let later = now + seconds(5);
        let probe = breaker.admit(later).expect("a probe");
        breaker.hear(early[3], Said::Success, later);
        assert_eq!(breaker.state(later), CircuitState::HalfOpen);
        breaker.hear(early[4], Said::Failure, later);
        assert_eq!(breaker.state(later), CircuitState::HalfOpen);
        breaker.hear(probe, Said::Success, later);
        assert_eq!(breaker.state(later), CircuitState::Closed);
    }

    #[test]
    fn a_threshold_of_zero_never_opens_it() {
        let mut breaker = Breaker::new(CircuitPolicy {
            threshold: 0,
            ..CircuitPolicy::default()
        });
        let now = Instant::now();
        (0..1000).for_each(|_| run(&mut breaker, Said::Failure, now));
        assert_eq!(breaker.state(now), CircuitState::Closed);
    }
}
