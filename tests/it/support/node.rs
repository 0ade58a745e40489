//! Real pg-boss of several releases, each under Node, driven from here.

mod boss;
mod install;

use std::fmt;

pub use boss::{Boss, BossError};
pub use install::{construction_plans, directory, node, program};

/// The releases of pg-boss that the tests speak with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Release {
    V10_4_2,
    V11_1_2,
    /// Schema 31, where completing a parent has to unblock its children itself.
    V12_20_0,
    /// Schema 32, the last to do so.
    V12_21_0,
    V12_24_0,
    V12_27_0,
    V12_38_0,
}

impl Release {
    /// The releases every room is tested with; the others only where they differ.
    pub const ALL: [Release; 5] = [
        Release::V10_4_2,
        Release::V11_1_2,
        Release::V12_24_0,
        Release::V12_27_0,
        Release::V12_38_0,
    ];

    pub const NEWEST: Release = Release::V12_38_0;

    /// As npm calls it.
    pub fn npm(self) -> &'static str {
        match self {
            Release::V10_4_2 => "10.4.2",
            Release::V11_1_2 => "11.1.2",
            Release::V12_20_0 => "12.20.0",
            Release::V12_21_0 => "12.21.0",
            Release::V12_24_0 => "12.24.0",
            Release::V12_27_0 => "12.27.0",
            Release::V12_38_0 => "12.38.0",
        }
    }

    /// The number in its `version` table.
    pub fn schema_version(self) -> i32 {
        match self {
            Release::V10_4_2 => 24,
            Release::V11_1_2 => 26,
            Release::V12_20_0 => 31,
            Release::V12_21_0 => 32,
            Release::V12_24_0 => 35,
            Release::V12_27_0 => 37,
            Release::V12_38_0 => 46,
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.npm())
    }
}

/// Whether the tests against the real pg-boss were declined.
pub fn is_skipped() -> bool {
    std::env::var("STRAWBOSS_SKIP_INTEROP").is_ok_and(|value| value == "1")
}
