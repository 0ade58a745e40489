//! Times as JavaScript writes them: ISO 8601, UTC, milliseconds, the rest cut off.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serializer;

/// `2026-11-23T02:31:53.474Z`
pub fn text(at: &DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// For `serialize_with`.
pub fn millis<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(at))
}

/// For `serialize_with`; `None` is `null`.
pub fn maybe<S: Serializer>(at: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => millis(at, serializer),
        None => serializer.serialize_none(),
    }
}

/// For `serialize_with`: `None` is left out by `skip_serializing_if`, `Some(None)` is `null`.
#[expect(
    clippy::option_option,
    reason = "a key that a schema lacks is left out, one without a value is null"
)]
pub fn known<S: Serializer>(at: &Option<Option<DateTime<Utc>>>, serializer: S) -> Result<S::Ok, S::Error> {
    maybe(&at.flatten(), serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_are_cut_off() {
        let at: DateTime<Utc> = "2026-11-23T02:31:53.474999Z".parse().expect("a time");
        assert_eq!(text(&at), "2026-11-23T02:31:53.474Z");
        let at: DateTime<Utc> = "2026-11-23T02:31:53Z".parse().expect("a time");
        assert_eq!(text(&at), "2026-11-23T02:31:53.000Z");
    }
}
