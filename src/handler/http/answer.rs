//! What an endpoint's answer means for the job. Nothing here waits.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};

use crate::handler::Then;

/// A job's `keep_until` does not move while it retries, so an absurd wait would lose it.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// What an answer comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The job is done, and the body may be its output.
    Done,
    /// The attempt failed.
    Failed(Then),
    /// The attempt failed for good, and nothing more should be sent there.
    Gone,
}

impl Answer {
    /// Judges a final answer by its status and headers.
    pub(super) fn of(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Answer {
        if status == StatusCode::GONE {
            return Answer::Gone;
        }
        if forbids_retry(headers) {
            return Answer::Failed(Then::DeadLetter);
        }
        match status.as_u16() {
            200..=299 => Answer::Done,
            429 | 503 => Answer::Failed(match retry_after(headers, now) {
                Some(wait) => Then::RetryNoSooner(wait),
                None => Then::Retry,
            }),
            408 | 425 => Answer::Failed(Then::Retry),
            400..=499 => Answer::Failed(Then::DeadLetter),
            _ => Answer::Failed(Then::Retry),
        }
    }
}

/// `pgboss-no-retry: true`
fn forbids_retry(headers: &HeaderMap) -> bool {
    headers
        .get_all("pgboss-no-retry")
        .iter()
        .any(|value| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"true"))
}

/// `Retry-After`, in seconds or as a date; at most a day.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a u64 holds are a long time, too.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let date = httpdate::parse_http_date(text).ok()?;
        date.duration_since(now).unwrap_or_default()
    };
    Some(wait.min(LONGEST_WAIT))
}

/// The value of the label `status_class`.
pub(super) fn status_class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        ..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        500.. => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn judged(status: u16, headers: &[(&'static str, &'static str)]) -> Answer {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                (
                    header::HeaderName::from_static(name),
                    header::HeaderValue::from_static(value),
                )
            })
            .collect();
        // Sun, 06 Nov 1994 08:49:37 GMT
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        Answer::of(StatusCode::from_u16(status).expect("a status"), &headers, now)
    }

    #[test]
    fn every_status_has_its_meaning() {
        for status in 100..1000 {
            let expected = match status {
                200..300 => Answer::Done,
                408 | 425 | 429 => Answer::Failed(Then::Retry),
                410 => Answer::Gone,
                400..500 => Answer::Failed(Then::DeadLetter),
                _ => Answer::Failed(Then::Retry),
            };
            assert_eq!(judged(status, &[]), expected, "{status}");
        }
    }

    #[test]
    fn no_retry_dead_letters_whatever_the_status() {
        for status in [200, 204, 302, 400, 408, 429, 500, 503] {
            for value in ["true", "True", " true "] {
                let answer = judged(status, &[("pgboss-no-retry", value), ("retry-after", "5")]);
                assert_eq!(answer, Answer::Failed(Then::DeadLetter), "{status} {value:?}");
            }
        }
        assert_eq!(judged(200, &[("pgboss-no-retry", "false")]), Answer::Done);
        assert_eq!(judged(500, &[("pgboss-no-retry", "1")]), Answer::Failed(Then::Retry));
        assert_eq!(judged(410, &[("pgboss-no-retry", "true")]), Answer::Gone);
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let floor = |value| judged(503, &[("retry-after", value)]);
        let wait = |seconds| Answer::Failed(Then::RetryNoSooner(Duration::from_secs(seconds)));
        assert_eq!(floor("120"), wait(120));
        assert_eq!(floor("0"), wait(0));
        assert_eq!(floor("Sun, 06 Nov 1994 08:51:07 GMT"), wait(90));
        assert_eq!(floor("Sunday, 06-Nov-94 08:51:07 GMT"), wait(90));
        assert_eq!(floor("Sun, 06 Nov 1994 08:00:00 GMT"), wait(0));
        assert_eq!(floor("99999999999999999999999"), wait(86_400));
        assert_eq!(floor("Fri, 31 Dec 9999 23:59:59 GMT"), wait(86_400));
        for nonsense in ["", "soon", "-5", "1.5", "+3"] {
            assert_eq!(floor(nonsense), Answer::Failed(Then::Retry), "{nonsense:?}");
        }
        assert_eq!(judged(429, &[("retry-after", "7")]), wait(7));
    }

    #[test]
    fn retry_after_counts_on_429_and_503_only() {
        for status in [302, 408, 425, 500, 502, 504] {
            let answer = judged(status, &[("retry-after", "120")]);
            assert_eq!(answer, Answer::Failed(Then::Retry), "{status}");
        }
    }

    #[test]
    fn classes_are_named_by_their_first_digit() {
        for (status, class) in [
            (200, "2xx"),
            (299, "2xx"),
            (304, "3xx"),
            (410, "4xx"),
            (500, "5xx"),
            (999, "5xx"),
        ] {
            assert_eq!(
                status_class(StatusCode::from_u16(status).expect("a status")),
                class,
                "{status}"
            );
        }
    }
}
