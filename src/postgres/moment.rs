//! Times that chrono cannot say.

use std::error::Error;

use chrono::{DateTime, Utc};
use tokio_postgres::types::{FromSql, Type};

/// A `timestamptz` as chrono can say it: one that is infinite, or further away than chrono reaches, is chrono's own end
/// of time on that side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(pub DateTime<Utc>);

impl<'a> FromSql<'a> for Moment {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Moment, Box<dyn Error + Sync + Send>> {
        if let Ok(moment) = DateTime::from_sql(kind, raw) {
            return Ok(Moment(moment));
        }
        // Microseconds, whose sign says on which side it lies.
        let micros = i64::from_be_bytes(raw.try_into()?);
        Ok(Moment(if micros > 0 {
            DateTime::<Utc>::MAX_UTC
        } else {
            DateTime::<Utc>::MIN_UTC
        }))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::TIMESTAMPTZ
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(micros: i64) -> DateTime<Utc> {
        let moment = Moment::from_sql(&Type::TIMESTAMPTZ, &micros.to_be_bytes());
        moment.expect("every timestamp is read").0
    }

    #[test]
    fn what_chrono_cannot_say_is_the_end_of_time() {
        assert_eq!(read(0).to_rfc3339(), "2000-01-01T00:00:00+00:00");
        // The infinities, and the last microsecond of the year 294276.
        for far in [i64::MAX, 9_223_371_331_199_999_999] {
            assert_eq!(read(far), DateTime::<Utc>::MAX_UTC);
        }
        assert_eq!(read(i64::MIN), DateTime::<Utc>::MIN_UTC);
        assert!(Moment::from_sql(&Type::TIMESTAMPTZ, b"short").is_err());
    }
}
