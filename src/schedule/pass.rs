//! What a pass owes: which occurrences are due, which were missed, and what is done about them. A pure decision.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::cron::CronVersion;
use super::ledger::{Entry, Fate};
use super::recurrence::{Kind, Misread, Recurrence, WINDOW, slot};
use super::row::{HOST, seed};
use super::zone::Zones;

/// As many missed occurrences of one schedule are told apart; of a longer gap the rest is counted.
const TOLD: usize = 100;

/// What a pass knows of a schedule.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub name: String,
    pub key: String,
    pub kind: Kind,
    pub cron: String,
    pub timezone: Option<String>,
    pub once: bool,
    pub created_on: Timestamp,
}

/// An occurrence that is to become a job.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Filing {
    pub name: String,
    pub key: String,
    pub occurrence: Timestamp,
    /// What it will have come to when its job is sent in time.
    pub fate: Fate,
    /// Whether the job is told its occurrence.
    pub told: bool,
    pub kind: Kind,
}

/// A row that cannot be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Broken {
    pub name: String,
    pub key: String,
    pub cron: String,
    pub timezone: Option<String>,
    pub reason: String,
}

/// What a pass came to.
#[derive(Debug, Default)]
pub(super) struct Owed {
    pub filings: Vec<Filing>,
    /// What was missed and is passed over.
    pub skipped: Vec<Entry>,
    pub broken: Vec<Broken>,
    /// Rows that are of another kind than they say: name, key, text, kind.
    pub mislabelled: Vec<(String, String, String, Kind)>,
}

/// The texts that were understood before, by all they depend on: a pass only looks at clocks.
#[derive(Debug)]
pub(super) struct Reader {
    zones: Zones,
    read: HashMap<Text, Result<Arc<Recurrence>, String>>,
}

/// Everything that a text's meaning depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Text {
    cron: String,
    zone: Option<String>,
    /// Empty, unless the text has an `H`.
    seed: String,
    version: CronVersion,
}

impl Reader {
    pub fn new(zones: Zones) -> Reader {
        Reader {
            zones,
            read: HashMap::new(),
        }
    }

    fn read(&mut self, row: &Row, version: CronVersion) -> Result<Arc<Recurrence>, String> {
        let seed = if row.cron.contains('H') {
            seed(&row.name, &row.key)
        } else {
            String::new()
        };
        let text = Text {
            cron: row.cron.clone(),
            zone: row.timezone.clone(),
            seed,
            version,
        };
        if let Some(read) = self.read.get(&text) {
            return read.clone();
        }
        let zone = row.timezone.as_deref().unwrap_or(HOST);
        let read: Result<Recurrence, Misread> = Recurrence::parse(&row.cron, zone, &self.zones, version, &text.seed);
        let read = read.map(Arc::new).map_err(|error| error.to_string());
        self.read.insert(text, read.clone());
        read
    }

    /// Forgets the texts that no row has any more.
    fn keep(&mut self, rows: &[Row]) {
        if self.read.len() > 2 * rows.len() + 16 {
            let there: HashSet<_> = rows.iter().map(|row| row.cron.as_str()).collect();
            self.read.retain(|text, _| there.contains(text.cron.as_str()));
        }
    }
}

/// Decides. `now` is the database's time, `last` when the pass before was; `catch_ups` says for which schedules how many
/// missed runs are made up for.
pub(super) fn owed(
    rows: &[Row],
    now: Timestamp,
    last: Option<Timestamp>,
    catch_ups: &HashMap<(String, String), u32>,
    version: CronVersion,
    reader: &mut Reader,
) -> Owed {
    let mut owed = Owed::default();
    reader.keep(rows);
    for row in rows {
        let kind = Kind::of(&row.cron);
        let recurrence = match reader.read(row, version) {
            Ok(recurrence) => recurrence,
            Err(reason) => {
                owed.broken.push(Broken {
                    name: row.name.clone(),
                    key: row.key.clone(),
                    cron: row.cron.clone(),
                    timezone: row.timezone.clone(),
                    reason,
                });
                continue;
            }
        };
        if kind != row.kind {
            owed.mislabelled
                .push((row.name.clone(), row.key.clone(), row.cron.clone(), kind));
        }
        let runs = catch_ups
            .get(&(row.name.clone(), row.key.clone()))
            .copied()
            .unwrap_or(0);
        let mut slots = HashSet::new();
        let filing = |occurrence, fate| Filing {
            name: row.name.clone(),
            key: row.key.clone(),
            occurrence,
            fate,
            told: runs > 0,
            kind,
        };
        for occurrence in recurrence.due(now) {
            if slots.insert(slot(occurrence)) {
                owed.filings.push(filing(occurrence, Fate::Fired));
            }
        }
        let (Some(last), Ok(until)) = (last, now.checked_sub(WINDOW)) else {
            continue;
        };
        let caught_up = usize::try_from(runs).unwrap_or(0);
        let made_up = caught_up.max(usize::from(row.once));
        let gap = recurrence.missed(last.max(row.created_on), until);
        // An occurrence on the window's edge shares its slot, and so its job, with one that is due.
        for (index, occurrence) in gap.take(made_up.saturating_add(TOLD)).enumerate() {
            if !slots.insert(slot(occurrence)) {
                continue;
            }
            if index < made_up {
                let fate = if index < caught_up { Fate::CaughtUp } else { Fate::Late };
                owed.filings.push(filing(occurrence, fate));
            } else {
                owed.skipped.push(Entry {
                    name: row.name.clone(),
                    key: row.key.clone(),
                    occurrence,
                    fate: Fate::Skipped,
                    job: None,
                });
            }
        }
    }
    owed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cron: &str, once: bool) -> Row {
        Row {
            name: "q".to_owned(),
            key: String::new(),
            kind: Kind::Cron,
            cron: cron.to_owned(),
            timezone: Some("UTC".to_owned()),
            once,
            created_on: at("2025-01-01T00:00:00Z"),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    fn decide(row: &Row, now: &str, last: Option<&str>, runs: u32) -> (Vec<(String, Fate)>, Vec<String>) {
        let mut reader = Reader::new(Zones::bundled());
        let catch_ups = HashMap::from([(("q".to_owned(), String::new()), runs)]);
        let rows = std::slice::from_ref(row);
        let owed = owed(rows, at(now), last.map(at), &catch_ups, CronVersion::Five, &mut reader);
        assert_eq!(owed.broken, []);
        let filed = owed
            .filings
            .iter()
            .map(|filing| (filing.occurrence.to_string(), filing.fate));
        let skipped = owed.skipped.iter().map(|entry| entry.occurrence.to_string());
        (filed.collect(), skipped.collect())
    }

    #[test]
    fn the_window_is_a_minute_and_has_its_end_and_not_its_beginning() {
        let minutely = row("* * * * *", false);
        let due = |now| decide(&minutely, now, Some("2025-06-01T00:00:00Z"), 0).0;
        assert_eq!(
            due("2025-06-01T00:01:00Z"),
            [("2025-06-01T00:01:00Z".to_owned(), Fate::Fired)]
        );
        assert_eq!(
            due("2025-06-01T00:00:59.999Z"),
            [("2025-06-01T00:00:00Z".to_owned(), Fate::Fired)]
        );
    }

    #[test]
    fn a_gap_is_made_up_for_as_the_schedule_says() {
        let (now, last) = ("2025-06-01T05:00:30Z", Some("2025-06-01T00:30:00Z"));
        let of = |hours: &[u8]| {
            hours
                .iter()
                .map(|hour| format!("2025-06-01T0{hour}:00:00Z"))
                .collect::<Vec<_>>()
        };
        let fired = |hours: &[u8], fate| of(hours).into_iter().map(move |at| (at, fate)).collect::<Vec<_>>();
        let hourly = row("0 * * * *", false);
        assert_eq!(
            decide(&hourly, now, last, 0),
            (fired(&[5], Fate::Fired), of(&[4, 3, 2, 1]))
        );
        assert_eq!(decide(&hourly, now, None, 5), (fired(&[5], Fate::Fired), vec![]));
        let once = row("0 * * * *", true);
        let both = [fired(&[5], Fate::Fired), fired(&[4], Fate::Late)].concat();
        assert_eq!(decide(&once, now, last, 0), (both, of(&[3, 2, 1])));
        let three = [fired(&[5], Fate::Fired), fired(&[4, 3], Fate::CaughtUp)].concat();
        assert_eq!(decide(&once, now, last, 2), (three, of(&[2, 1])));
        // None is owed from before it was made.
        let young = Row {
            created_on: at("2025-06-01T03:30:00Z"),
            ..hourly
        };
        assert_eq!(decide(&young, now, last, 0), (fired(&[5], Fate::Fired), of(&[4])));
    }

    #[test]
    fn a_year_of_minutes_is_told_in_a_hundred() {
        let (filed, skipped) = decide(
            &row("* * * * *", false),
            "2025-12-31T00:00:30Z",
            Some("2025-01-01T00:00:00Z"),
            3,
        );
        assert_eq!((filed.len(), skipped.len()), (4, TOLD));
    }

    #[test]
    fn a_row_that_cannot_be_read_costs_the_others_nothing() {
        let rows = [
            row("61 * * * *", false),
            row("* * * * *", false),
            Row {
                timezone: Some("Nowhere".to_owned()),
                ..row("* * * * *", false)
            },
        ];
        let mut reader = Reader::new(Zones::bundled());
        for _ in 0..2 {
            let owed = owed(
                &rows,
                at("2025-06-01T00:00:30Z"),
                None,
                &HashMap::new(),
                CronVersion::Five,
                &mut reader,
            );
            assert_eq!((owed.filings.len(), owed.broken.len()), (1, 2));
        }
    }
}
