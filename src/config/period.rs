//! Durations as people write them: `"500ms"`, `"30s"`, `"1h30m"`, `"1d"`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A duration written as numbers with units: `ms`, `s`, `m`, `h`, `d`, largest first where there are several.
///
/// A bare number is refused, since nobody can see whether it means seconds or milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

/// The units, largest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// What every refusal ends with.
const FORM: &str = "write it with a unit: \"500ms\", \"30s\", \"5m\", \"2h\", \"1d\"";

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("{text:?} is no duration; {FORM}");
        let mut rest = text.trim();
        let mut millis: u64 = 0;
        let mut last = u64::MAX;
        if rest.is_empty() {
            return Err(refuse());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(refuse)?;
            let letters = rest[digits..]
                .find(|c: char| c.is_ascii_digit())
                .map_or(rest.len(), |at| digits + at);
            let number: u64 = rest[..digits].parse().map_err(|_| refuse())?;
            let (_, unit) = UNITS
                .into_iter()
                .find(|(name, _)| *name == &rest[digits..letters])
                .ok_or_else(refuse)?;
            if unit >= last {
                return Err(refuse());
            }
            last = unit;
            millis = number
                .checked_mul(unit)
                .and_then(|part| millis.checked_add(part))
                .ok_or_else(refuse)?;
            rest = &rest[letters..];
        }
        Ok(Self(Duration::from_millis(millis)))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (name, unit) in UNITS {
            if rest >= unit {
                write!(f, "{}{name}", rest / unit)?;
                rest %= unit;
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Period;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"30s\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Period, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Period, E> {
                Err(E::custom(format_args!(
                    "a bare number ({number}) is no duration; {FORM}"
                )))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Period, E> {
                Err(E::custom(format_args!(
                    "a bare number ({number}) is no duration; {FORM}"
                )))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?$|\$\{",
            "examples": ["500ms", "30s", "1d"]
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_add_up() {
        let millis = |text: &str| text.parse::<Period>().map(|period| period.0.as_millis());
        assert_eq!(millis("500ms"), Ok(500));
        assert_eq!(millis("0s"), Ok(0));
        assert_eq!(millis("1h30m"), Ok(5_400_000));
        assert_eq!(millis("1d"), Ok(86_400_000));
        assert_eq!(millis("1s500ms"), Ok(1_500));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "30",
            "s",
            "-5s",
            "1.5s",
            "30 s",
            "5m1h",
            "1s1s",
            "3w",
            "99999999999999999999s",
            "300000000000d",
        ] {
            assert!(text.parse::<Period>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(millis in 0u64..10_000_000_000_000) {
            let period = Period(Duration::from_millis(millis));
            prop_assert_eq!(period.to_string().parse::<Period>(), Ok(period));
        }
    }
}
