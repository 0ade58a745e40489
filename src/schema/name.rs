//! Names that a schema may have if Node's pg-boss is to find it too.

use std::borrow::Cow;

/// Longer names are refused by Node; PostgreSQL itself would cut at 63 bytes, silently.
const LONGEST: usize = 50;

/// Checks a schema's name (unquoted, as the catalog has it) by the rule Node's pg-boss has for quoted names.
///
/// # Errors
/// Says what is wrong with the name and what a name may be.
pub fn check_name(schema: &str) -> Result<(), String> {
    if schema.is_empty() {
        return Err("a schema's name must not be empty".into());
    }
    if schema.len() > LONGEST {
        return Err(format!(
            "a schema's name has at most {LONGEST} bytes for pg-boss; {schema:?} has {}",
            schema.len()
        ));
    }
    if let Some(odd) = schema
        .chars()
        .find(|c| matches!(c, '"' | '\'' | '%' | '$' | '.' | '\\') || c.is_ascii_control())
    {
        return Err(format!(
            "pg-boss takes no schema name with {odd:?} in it ({schema:?}); letters, digits and `_` always do"
        ));
    }
    if schema.starts_with("pg_") {
        return Err(format!(
            "PostgreSQL keeps names that start with `pg_` for itself ({schema:?})"
        ));
    }
    Ok(())
}

/// The spelling from which pg-boss derives advisory locks and the notification channel.
///
/// A name that needs no quotes stands for itself, any other is spelt with them, as it has to be in Node's
/// configuration. A Node app that spells `MyApp` without quotes, and so means `myapp`, hashes its own spelling:
/// what it derives cannot be known from the catalog.
pub fn spelling(schema: &str) -> Cow<'_, str> {
    let plain = schema
        .bytes()
        .enumerate()
        .all(|(at, byte)| matches!(byte, b'a'..=b'z' | b'_') || (at > 0 && byte.is_ascii_digit()));
    if plain && !schema.is_empty() {
        Cow::Borrowed(schema)
    } else {
        Cow::Owned(format!("\"{schema}\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_node_takes_in_quotes() {
        for name in ["pgboss", "My Jobs", "über-schema", "x; drop", "1st", &"a".repeat(50)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in [
            "",
            "a.b",
            "a\"b",
            "a'b",
            "a%b",
            "a$b",
            "a\\b",
            "a\nb",
            "pg_temp",
            &"ü".repeat(26),
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn spells_a_name_as_node_is_configured_with_it() {
        assert_eq!(spelling("pgboss"), "pgboss");
        assert_eq!(spelling("jobs_2"), "jobs_2");
        assert_eq!(spelling("2jobs"), "\"2jobs\"");
        assert_eq!(spelling("MyJobs"), "\"MyJobs\"");
        assert_eq!(spelling("my jobs"), "\"my jobs\"");
    }
}
