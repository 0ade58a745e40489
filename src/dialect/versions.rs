//! Which pg-boss releases install which schema.

use super::{NEWEST, OLDEST};

/// How well this build knows a schema version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Support {
    /// Older than the oldest schema spoken; Node's pg-boss has to migrate or replace it.
    TooOld,
    /// Known and spoken.
    Native,
    /// Newer than this build: spoken only if every statement still prepares.
    Newer,
}

impl Support {
    /// Says how well schema `version` is known.
    pub fn of(version: i32) -> Support {
        if version < OLDEST {
            Support::TooOld
        } else if version > NEWEST {
            Support::Newer
        } else {
            Support::Native
        }
    }
}

/// The npm releases of pg-boss whose own schema is `version`, for messages; `None` where none is known.
pub fn releases(version: i32) -> Option<&'static str> {
    Some(match version {
        20 => "9.0.3",
        21 => "10.0.0 to 10.0.5",
        22 => "10.0.6 to 10.1.0",
        23 => "10.1.1 to 10.1.4",
        24 => "10.1.5 to 10.4.x",
        25 => "11.0.x",
        26 => "11.1.x and 12.0 to 12.5",
        27 => "12.6 to 12.9",
        28 => "12.10",
        29 => "12.11",
        30 => "12.12 to 12.18",
        31 => "12.19 and 12.20",
        32 => "12.21",
        33 => "12.22",
        34 => "12.23",
        35 => "12.24.0",
        36 => "12.24.1 to 12.25",
        37 => "12.26 and 12.27",
        38 => "12.28",
        39 => "12.29",
        40 => "12.30",
        41 => "12.31 and 12.32",
        42 => "12.33 and 12.34",
        43 => "12.35",
        44 => "12.36",
        45 => "12.37",
        46 => "12.38",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_spoken_has_a_release() {
        for version in OLDEST..=NEWEST {
            assert!(releases(version).is_some(), "schema {version}");
            assert_eq!(Support::of(version), Support::Native);
        }
        assert_eq!(releases(NEWEST + 1), None);
        assert_eq!(Support::of(NEWEST + 1), Support::Newer);
        assert_eq!(Support::of(OLDEST - 1), Support::TooOld);
    }
}
