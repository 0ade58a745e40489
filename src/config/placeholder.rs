//! `${VAR}` and `${VAR:-default}` in texts.

use std::borrow::Cow;
use std::fmt;

/// Why a text cannot be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No such variable, and no default.
    Unset(String),
    /// A `${` that is never closed.
    Unclosed,
    /// What stands between the braces is no variable's name.
    Name(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Unset(name) => write!(
                f,
                "the environment variable {name} is not set; set it, or give a default: ${{{name}:-default}}"
            ),
            Trouble::Unclosed => f.write_str("a `${` is never closed; write `$${` for a literal one"),
            Trouble::Name(text) => write!(
                f,
                "{text:?} is no variable's name; write `${{NAME}}` or `${{NAME:-default}}`, and `$${{` for a literal `${{`"
            ),
        }
    }
}

/// A text with its placeholders filled in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Filled<'t> {
    /// The text.
    pub(super) text: Cow<'t, str>,
    /// The variables that gave something to it, in order; not those that fell back to their default.
    pub(super) variables: Vec<String>,
    /// Whether there was any placeholder at all.
    pub(super) filled: bool,
}

/// Fills in every placeholder. As in a shell, `:-` also covers a variable that is set but empty.
pub(super) fn fill<'t>(text: &'t str, environment: &dyn Fn(&str) -> Option<String>) -> Result<Filled<'t>, Trouble> {
    let mut variables = Vec::new();
    if !text.contains("${") {
        return Ok(Filled {
            text: Cow::Borrowed(text),
            variables,
            filled: false,
        });
    }
    let mut filled = String::with_capacity(text.len());
    let mut any = false;
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            filled.push_str(before);
            filled.push_str("${");
            rest = after;
            continue;
        }
        filled.push_str(before);
        let end = after.find('}').ok_or(Trouble::Unclosed)?;
        let (name, default) = match after[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&after[..end], None),
        };
        if !is_name(name) {
            return Err(Trouble::Name(name.to_owned()));
        }
        any = true;
        match (environment(name), default) {
            (Some(value), Some(default)) if value.is_empty() => filled.push_str(default),
            (Some(value), _) => {
                filled.push_str(&value);
                variables.push(name.to_owned());
            }
            (None, Some(default)) => filled.push_str(default),
            (None, None) => return Err(Trouble::Unset(name.to_owned())),
        }
        rest = &after[end + 1..];
    }
    filled.push_str(rest);
    Ok(Filled {
        text: Cow::Owned(filled),
        variables,
        filled: any,
    })
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<String, Trouble> {
        let environment = |name: &str| match name {
            "HOST" => Some("db".to_owned()),
            "EMPTY" => Some(String::new()),
            "TRICKY" => Some("${HOST}".to_owned()),
            _ => None,
        };
        fill(text, &environment).map(|filled| filled.text.into_owned())
    }

    #[test]
    fn variables_and_defaults_are_filled_in() {
        assert_eq!(
            filled("postgres://${HOST}:${PORT:-5432}/app"),
            Ok("postgres://db:5432/app".into())
        );
        assert_eq!(filled("${EMPTY}"), Ok(String::new()));
        assert_eq!(filled("${EMPTY:-x}"), Ok("x".into()));
        assert_eq!(filled("${NONE:-}"), Ok(String::new()));
        assert_eq!(filled("${NONE:-a:-b}"), Ok("a:-b".into()));
    }

    #[test]
    fn what_is_no_placeholder_stays() {
        assert_eq!(filled("cost: 5$ $HOST {HOST}"), Ok("cost: 5$ $HOST {HOST}".into()));
        assert_eq!(filled("$${HOST} ${HOST}"), Ok("${HOST} db".into()));
    }

    #[test]
    fn a_value_is_not_filled_in_again() {
        assert_eq!(filled("${TRICKY}"), Ok("${HOST}".into()));
    }

    #[test]
    fn trouble_names_its_cause() {
        assert_eq!(filled("x${NONE}"), Err(Trouble::Unset("NONE".into())));
        assert_eq!(filled("${HOST"), Err(Trouble::Unclosed));
        assert_eq!(filled("${a b}"), Err(Trouble::Name("a b".into())));
        assert_eq!(filled("${}"), Err(Trouble::Name(String::new())));
    }
}
