//! Numbers, times and names as they stand in a cell.

use ratatui::style::Style;
use ratatui::text::Span;

/// A count; `-` where it is not known.
pub(super) fn counted(count: Option<i64>) -> String {
    count.map_or_else(|| "-".to_owned(), |count| count.to_string())
}

/// A rate; `-` where it is not known.
pub(super) fn rated(rate: Option<f64>) -> String {
    match rate {
        None => "-".to_owned(),
        Some(rate) if rate <= 0.0 => "0".to_owned(),
        Some(rate) if rate < 0.05 => "<0.1".to_owned(),
        Some(rate) if rate < 100.0 => format!("{rate:.1}"),
        Some(rate) => format!("{rate:.0}"),
    }
}

/// A time by its greatest unit: `0s`, `12s`, `3m`, `5h`, `2d`.
pub(super) fn aged(seconds: f64) -> String {
    match seconds as u64 {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds @ 7200..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// A setting in seconds; `-` where there is none.
pub(super) fn lasting(seconds: Option<i32>) -> String {
    seconds.map_or_else(|| "-".to_owned(), |seconds| aged(f64::from(seconds)))
}

/// How many columns of a terminal it takes.
pub(super) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// As much of it as there is room for, with an ellipsis where that is not all.
pub(super) fn cut(text: String, room: usize) -> String {
    if width(&text) <= room {
        return text;
    }
    let mut shown = String::new();
    let mut taken = 1;
    for grapheme in Span::raw(text.as_str()).styled_graphemes(Style::new()) {
        taken += width(grapheme.symbol);
        if taken > room {
            break;
        }
        shown.push_str(grapheme.symbol);
    }
    shown.push('…');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_two_digits_or_so() {
        for (seconds, text) in [
            (-3.0, "0s"),
            (0.4, "0s"),
            (119.0, "119s"),
            (120.0, "2m"),
            (7200.0, "2h"),
            (200_000.0, "2d"),
        ] {
            assert_eq!(aged(seconds), text);
        }
    }

    #[test]
    fn a_small_rate_is_not_none() {
        let rates = [None, Some(0.0), Some(0.01), Some(12.34), Some(1234.5)];
        assert_eq!(rates.map(rated), ["-", "0", "<0.1", "12.3", "1234"]);
    }

    #[test]
    fn a_wide_name_is_cut_by_the_columns_it_takes() {
        assert_eq!(cut("email".to_owned(), 5), "email");
        assert_eq!(cut("emails".to_owned(), 5), "emai…");
        assert_eq!(cut("メール送信".to_owned(), 10), "メール送信");
        assert_eq!(cut("メール送信".to_owned(), 9), "メール送…");
        assert_eq!(width(&cut("メール送信".to_owned(), 8)), 7);
    }
}
