//! Where a value came from.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

/// A line of the configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file as it was named.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// A line of the file, and the variables that were filled in there.
    File(Place, Vec<String>),
    /// A variable that is looked at without being named in the file.
    Environment(String),
    /// An option of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(place, variables) if variables.is_empty() => write!(f, "{place}"),
            Origin::File(place, variables) => write!(f, "{place} with ${}", variables.join(", $")),
            Origin::Environment(name) => write!(f, "environment ${name}"),
            Origin::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A value in force, fit to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key as a dotted path: `queues.email.concurrency`.
    pub key: String,
    /// The value, secrets as `***`.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// The dotted path of a key, quoted where TOML would want it quoted: `queues."a b"`.
pub(crate) fn dotted(above: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    let key = if bare {
        Cow::Borrowed(key)
    } else {
        Cow::Owned(format!("{key:?}"))
    };
    if above.is_empty() {
        key.into_owned()
    } else {
        format!("{above}.{key}")
    }
}
