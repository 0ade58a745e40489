//! The instants at which an expression fires in a zone.
//!
//! What decides, measured against Node's pg-boss in every window around a change of clocks: an instant is one if the local time there
//! and then matches. So a repeated hour fires in both of its passes, and a skipped one not at all.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::Expression;

/// Days that are gone through in search of the next one that is meant: a 29th of February on a Sunday may be 40 years away.
const HORIZON: usize = 366 * 41;

/// The instants at which `expression` fires in `zone`, later than `after`, in order; those of about the next 41 years at most.
pub fn fires(expression: &Expression, zone: &TimeZone, after: Timestamp) -> impl Iterator<Item = Timestamp> {
    // A day earlier, for clocks may be set back over midnight.
    let mut day = zone.to_datetime(after).date().yesterday().ok();
    let mut found = BTreeSet::new();
    let mut empty = 0;
    std::iter::from_fn(move || {
        loop {
            // No local time of a day can come after noon of the day after the next.
            let sure = day.map(|day| day.saturating_sub(jiff::Span::new().days(1)).at(12, 0, 0, 0));
            if let Some(first) = found.first().copied()
                && sure.is_none_or(|sure| zone.to_datetime(first) < sure)
            {
                found.pop_first();
                return Some(first);
            }
            let today = day?;
            day = (empty < HORIZON).then(|| today.tomorrow().ok()).flatten();
            empty += 1;
            if expression.has_day(today) {
                let times = expression
                    .times()
                    .flat_map(|time| instants(today.to_datetime(time), zone));
                found.extend(times.filter(|instant| *instant > after));
            }
            if !found.is_empty() {
                empty = 0;
            }
        }
    })
}

/// The instants in (`from`, `to`], to the second, at which the local time matches, the latest first.
pub fn within<'a>(
    expression: &'a Expression,
    zone: &'a TimeZone,
    from: Timestamp,
    to: Timestamp,
) -> impl Iterator<Item = Timestamp> + 'a {
    // Of an instant before 1970 the fraction is counted backwards.
    let whole = |instant: Timestamp| instant.as_second() - i64::from(instant.subsec_nanosecond() < 0);
    (whole(from) + 1..=whole(to))
        .rev()
        .filter_map(|second| Timestamp::from_second(second).ok())
        .filter(|instant| expression.matches(zone.to_datetime(*instant)))
}

/// When it is that local time: never, once or twice.
fn instants(local: DateTime, zone: &TimeZone) -> impl Iterator<Item = Timestamp> {
    let offsets = match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => [Some(offset), None],
        AmbiguousOffset::Gap { .. } => [None, None],
        AmbiguousOffset::Fold { before, after } => [Some(before), Some(after)],
    };
    offsets
        .into_iter()
        .flatten()
        .filter_map(move |offset| offset.to_timestamp(local).ok())
}

/// What a change of the clocks does to a day's fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Local times at which it would be due do not exist on that day.
    Dropped,
    /// Local times at which it is due come twice on that day.
    Doubled,
}

/// What the clocks do to the fires of that day, and at which local time first.
pub fn changed(expression: &Expression, zone: &TimeZone, date: Date) -> Option<(Change, DateTime)> {
    if !expression.has_day(date) {
        return None;
    }
    expression.times().find_map(|time| {
        let local = date.to_datetime(time);
        match zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { .. } => None,
            AmbiguousOffset::Gap { .. } => Some((Change::Dropped, local)),
            AmbiguousOffset::Fold { .. } => Some((Change::Doubled, local)),
        }
    })
}
