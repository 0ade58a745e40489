//! Prometheus's text format, as far as a worker of ours writes it.

/// The text of `/metrics`.
pub(super) struct Samples<'a>(pub &'a str);

/// One line of it.
pub(super) struct Sample<'a> {
    labels: &'a str,
    /// The value.
    pub value: f64,
}

impl<'a> Samples<'a> {
    /// The samples of one metric, of which there is none where nothing was counted yet.
    pub fn of(&self, metric: &'a str) -> impl Iterator<Item = Sample<'a>> {
        self.0.lines().filter_map(move |line| {
            let rest = line.strip_prefix(metric)?;
            let (labels, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.rsplit_once('}')?,
                None => ("", rest),
            };
            let value = value.strip_prefix(' ')?.split(' ').next()?.parse().ok()?;
            Some(Sample { labels, value })
        })
    }
}

impl Sample<'_> {
    /// A label's value; empty where it has no such label.
    pub fn label(&self, name: &str) -> String {
        let mut rest = self.labels;
        while let Some((key, after)) = rest.split_once("=\"") {
            let mut value = String::new();
            let mut characters = after.char_indices();
            let end = loop {
                match characters.next() {
                    Some((at, '"')) => break at + 1,
                    Some((_, '\\')) => match characters.next() {
                        Some((_, 'n')) => value.push('\n'),
                        Some((_, other)) => value.push(other),
                        None => return value,
                    },
                    Some((_, other)) => value.push(other),
                    None => return value,
                }
            };
            if key.trim_start_matches([',', ' ']) == name {
                return value;
            }
            rest = &after[end..];
        }
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP jobs_total Jobs.\njobs_total{outcome=\"completed\",queue=\"a\\\"b}\\\\\"} 12\n\
        jobs_total_more 5\njobs_total{outcome=\"failed\",queue=\"c\"} 1.5\nlimit 64\n";

    #[test]
    fn samples_have_labels_and_values() {
        let read: Vec<_> = Samples(TEXT)
            .of("jobs_total")
            .map(|sample| (sample.label("queue"), sample.label("outcome"), sample.value))
            .collect();
        let expected = [("a\"b}\\", "completed", 12.0), ("c", "failed", 1.5)];
        assert_eq!(read, expected.map(|(queue, outcome, value)| (queue.into(), outcome.into(), value)));
    }

    #[test]
    fn a_metric_may_have_no_labels_and_a_text_may_lack_a_metric() {
        let of = |name| Samples(TEXT).of(name).map(|sample| sample.value).collect::<Vec<_>>();
        assert_eq!(of("limit"), [64.0]);
        assert!(of("nothing").is_empty());
        assert_eq!(Samples(TEXT).of("limit").next().expect("one").label("queue"), "");
    }
}
