//! When a delivery that failed is tried again: arithmetic alone.

use std::time::Duration;

use rand::{Rng, RngExt};

/// No delivery waits longer than this for its next attempt, unless its handler asked for more (`Retry-After`).
pub const LONGEST: Duration = Duration::from_secs(60);

/// How much jitter adds or takes away, as a part of the delay.
const JITTER: f64 = 0.1;

/// How long a failed delivery waits for its next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The wait before the first retry; 1 s by default, zero tries again at once. More than 60 s is as much as that.
    pub first: Duration,
    /// Whether the wait doubles from retry to retry; true by default.
    pub exponential: bool,
    /// Whether the wait is spread by up to a tenth in both directions; true by default.
    pub jitter: bool,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff {
            first: Duration::from_secs(1),
            exponential: true,
            jitter: true,
        }
    }
}

impl Backoff {
    /// The wait after the attempt with that `retry_count` (0 for the first attempt) failed, in whole milliseconds.
    pub fn delay(&self, retry_count: u32, rng: &mut impl Rng) -> Duration {
        let factor = if self.exponential {
            2_u32.saturating_pow(retry_count)
        } else {
            1
        };
        let due = self.first.saturating_mul(factor).min(LONGEST);
        let spread = if self.jitter {
            rng.random_range(1.0 - JITTER..=1.0 + JITTER)
        } else {
            1.0
        };
        let milliseconds = (due.as_secs_f64() * 1e3 * spread).round();
        Duration::from_millis(milliseconds as u64).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(backoff: Backoff, retry_counts: std::ops::Range<u32>) -> Vec<u128> {
        retry_counts
            .map(|count| backoff.delay(count, &mut rand::rng()).as_millis())
            .collect()
    }

    #[test]
    fn it_doubles_from_the_first_retry_on_and_never_exceeds_a_minute() {
        let backoff = Backoff {
            first: Duration::from_millis(250),
            jitter: false,
            ..Backoff::default()
        };
        assert_eq!(milliseconds(backoff, 0..5), [250, 500, 1000, 2000, 4000]);
        assert_eq!(milliseconds(backoff, 7..10), [32_000, 60_000, 60_000]);
        assert_eq!(backoff.delay(u32::MAX, &mut rand::rng()), LONGEST);
    }

    #[test]
    fn it_is_constant_where_not_exponential() {
        let backoff = Backoff {
            first: Duration::from_millis(1500),
            exponential: false,
            jitter: false,
        };
        assert_eq!(milliseconds(backoff, 0..4), [1500; 4]);
    }

    #[test]
    fn jitter_is_a_tenth_in_both_directions_and_stays_below_the_cap() {
        let mut rng = rand::rng();
        let backoff = Backoff {
            exponential: false,
            ..Backoff::default()
        };
        let delays: Vec<_> = (0..2000).map(|_| backoff.delay(3, &mut rng).as_millis()).collect();
        assert!(delays.iter().all(|delay| (900..=1100).contains(delay)));
        assert!(delays.iter().any(|delay| *delay < 950) && delays.iter().any(|delay| *delay > 1050));
        assert!((0..200).all(|_| Backoff::default().delay(20, &mut rng) <= LONGEST));
    }

    #[test]
    fn nothing_to_wait_for_is_no_wait_and_too_much_is_the_cap() {
        let of = |first| Backoff {
            first,
            ..Backoff::default()
        };
        assert_eq!(of(Duration::ZERO).delay(5, &mut rand::rng()), Duration::ZERO);
        let most = of(Duration::MAX).delay(5, &mut rand::rng());
        assert!(most >= LONGEST.mul_f64(0.9) && most <= LONGEST);
    }
}
