//! A line of bars: how a count grew, in the width of a few words.

use std::time::Duration;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A count as it was seen from time to time.
#[derive(Debug, Default)]
pub(super) struct Growth(Vec<(Duration, u64)>);

impl Growth {
    /// Notes that it had come to `count`, so long after the beginning.
    pub(super) fn note(&mut self, after: Duration, count: u64) {
        self.0.push((after, count));
    }

    /// How much it grew in each of so many equal parts of the time, as bars, and the most that would be in a second. An empty
    /// part is a space. `None` where there is nothing to be seen.
    pub(super) fn bars(&self, parts: usize) -> Option<(String, f64)> {
        let (took, total) = self.0.last().copied()?;
        let part = took.div_f64(parts.max(1) as f64);
        if total == 0 || part.is_zero() {
            return None;
        }
        let mut grown = vec![0; parts];
        let mut before = 0;
        for (after, count) in &self.0 {
            // What was seen at the end of a part has happened within it.
            let place = (after.as_secs_f64() / part.as_secs_f64()).ceil() as usize;
            grown[place.saturating_sub(1).min(parts - 1)] += count.saturating_sub(before);
            before = *count;
        }
        let most = grown.iter().copied().max()?.max(1);
        let bar = |count: &u64| match *count {
            0 => ' ',
            count => BARS[((count * 8).div_ceil(most) - 1).min(7) as usize],
        };
        Some((grown.iter().map(bar).collect(), most as f64 / part.as_secs_f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_show_when_it_grew() {
        let mut growth = Growth::default();
        for (second, count) in [(0, 0), (1, 80), (2, 90), (3, 90), (4, 130)] {
            growth.note(Duration::from_secs(second), count);
        }
        assert_eq!(growth.bars(4), Some(("█▁ ▄".to_owned(), 80.0)));
    }

    #[test]
    fn of_nothing_there_are_no_bars() {
        assert_eq!(Growth::default().bars(4), None);
        let mut growth = Growth::default();
        growth.note(Duration::from_secs(1), 0);
        assert_eq!(growth.bars(4), None);
    }
}
