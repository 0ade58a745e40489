//! libpq's password file, `~/.pgpass`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::host::Secret;

/// The lines of the password file; none where there is no file, or where others than its owner may read it.
pub(super) fn read(named: Option<&str>, environment: &dyn Fn(&str) -> Option<String>) -> String {
    let path = match named {
        Some(path) => PathBuf::from(path),
        None => match environment("HOME") {
            Some(home) => PathBuf::from(home).join(".pgpass"),
            None => return String::new(),
        },
    };
    let Ok(meta) = fs::metadata(&path) else {
        return String::new();
    };
    if !meta.is_file() {
        return String::new();
    }
    if meta.permissions().mode() & 0o077 != 0 {
        tracing::warn!(
            path = %path.display(),
            "the password file is readable by others and is therefore not used; chmod 600 it"
        );
        return String::new();
    }
    fs::read_to_string(&path).unwrap_or_default()
}

/// The password of the first line that fits.
pub(super) fn find(lines: &str, host: &str, port: u16, database: &str, user: &str) -> Option<Secret> {
    let wanted = [host, &port.to_string(), database, user];
    lines
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(fields)
        .find(|fields| {
            fields.len() >= 5
                && fields
                    .iter()
                    .zip(wanted)
                    .all(|(field, wanted)| field == "*" || field == wanted)
        })
        .map(|fields| Secret(fields[4..].join(":")))
}

/// Splits at colons; a backslash takes the next sign as it is.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut signs = line.chars();
    while let Some(sign) = signs.next() {
        let last = fields.last_mut().expect("there is always a field to write to");
        match sign {
            '\\' => last.extend(signs.next()),
            ':' => fields.push(String::new()),
            _ => last.push(sign),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let lines = "# comment\nother:*:*:*:no\n*:5432:app:bob:a\\:b\\\\c\n*:*:*:*:last\n";
        let password = |host, port, database, user| find(lines, host, port, database, user).map(|secret| secret.0);
        assert_eq!(password("db", 5432, "app", "bob").as_deref(), Some("a:b\\c"));
        assert_eq!(password("db", 5433, "app", "bob").as_deref(), Some("last"));
        assert_eq!(password("other", 5432, "app", "bob").as_deref(), Some("no"));
        assert_eq!(find("a:b:c", "a", 1, "c", "d").map(|secret| secret.0), None);
    }
}
