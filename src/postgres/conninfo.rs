//! The spelling of a connection string: URL, `key=value`, and Node's socket forms, read into keys and values.

use percent_encoding::percent_decode_str;

use super::Error;

/// The settings named in `text`, in its order; a later one replaces an earlier of the same key.
///
/// No message of an error quotes a value: it could be the password.
pub(super) fn read(text: &str) -> Result<Vec<(String, String)>, Error> {
    let text = text.trim();
    if let Some((scheme, rest)) = text.split_once("://") {
        // `host=a options='-c x=b://c'` has `://` too, but no scheme has a blank or an equals sign in it.
        if !scheme.contains(|c: char| c.is_whitespace() || c == '=') {
            return match scheme {
                "postgres" | "postgresql" => read_url(rest),
                "socket" => read_socket(rest),
                _ => Err(Error::Settings(format!(
                    "the database URL begins with `{scheme}://`; it must begin with `postgres://` or `postgresql://`"
                ))),
            };
        }
    }
    if let Some(rest) = text.strip_prefix("socket:") {
        return read_socket(rest);
    }
    if text.starts_with('/') {
        return Ok(read_bare_socket(text));
    }
    read_pairs(text)
}

/// `[user[:password]@][host[:port],…][/dbname][?key=value&…]`
fn read_url(rest: &str) -> Result<Vec<(String, String)>, Error> {
    let mut found = Vec::new();
    let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = location.split_once('/').unwrap_or((location, ""));
    // The last `@` parts the credentials from the hosts, so that a password may hold one unencoded.
    let (credentials, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = match credentials.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (credentials, None),
    };
    if !user.is_empty() {
        found.push(("user".to_owned(), decoded("user", user)?));
    }
    if let Some(password) = password {
        found.push(("password".to_owned(), decoded("password", password)?));
    }
    read_hosts(hosts, &mut found)?;
    if !database.is_empty() {
        found.push(("dbname".to_owned(), decoded("dbname", database)?));
    }
    read_query(query, &mut found)?;
    Ok(found)
}

fn read_hosts(hosts: &str, found: &mut Vec<(String, String)>) -> Result<(), Error> {
    if hosts.is_empty() {
        return Ok(());
    }
    let mut names = Vec::new();
    let mut ports = Vec::new();
    for one in hosts.split(',') {
        let (name, port) = match one.strip_prefix('[') {
            Some(bracketed) => {
                let (address, after) = bracketed
                    .split_once(']')
                    .ok_or_else(|| Error::Settings("the database URL has a `[` without its `]`".to_owned()))?;
                match after.strip_prefix(':') {
                    Some(port) => (address, port),
                    None if after.is_empty() => (address, ""),
                    None => {
                        return Err(Error::Settings(
                            "the database URL has more than `:port` after `]`".to_owned(),
                        ));
                    }
                }
            }
            None => one.split_once(':').unwrap_or((one, "")),
        };
        names.push(decoded("host", name)?);
        ports.push(decoded("port", port)?);
    }
    if names.iter().any(|name| !name.is_empty()) {
        found.push(("host".to_owned(), names.join(",")));
    }
    if ports.iter().any(|port| !port.is_empty()) {
        found.push(("port".to_owned(), ports.join(",")));
    }
    Ok(())
}

fn read_query(query: &str, found: &mut Vec<(String, String)>) -> Result<(), Error> {
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        // Not quoted: behind an unencoded `?` in a password it would be the rest of the password.
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            Error::Settings("the database URL has something other than `key=value` after its `?`".to_owned())
        })?;
        let key = decoded("key", key)?;
        let value = decoded(&key, value)?;
        found.push((key, value));
    }
    Ok(())
}

/// Node's `socket:/directory?db=name&encoding=utf8`, also with `//user:password@` before the directory.
fn read_socket(rest: &str) -> Result<Vec<(String, String)>, Error> {
    let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut found = Vec::new();
    let directory = match location.trim_start_matches("//").rsplit_once('@') {
        Some((credentials, directory)) => {
            let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
            found.push(("user".to_owned(), decoded("user", user)?));
            if !password.is_empty() {
                found.push(("password".to_owned(), decoded("password", password)?));
            }
            directory
        }
        None => location,
    };
    let directory = format!("/{}", directory.trim_start_matches('/'));
    found.push(("host".to_owned(), decoded("host", &directory)?));
    read_query(query, &mut found)?;
    for (key, _) in &mut found {
        match key.as_str() {
            "db" => "dbname".clone_into(key),
            "encoding" => "client_encoding".clone_into(key),
            _ => {}
        }
    }
    Ok(found)
}

/// Node's `/directory name`.
fn read_bare_socket(text: &str) -> Vec<(String, String)> {
    let (directory, database) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let mut found = vec![("host".to_owned(), directory.to_owned())];
    if !database.trim().is_empty() {
        found.push(("dbname".to_owned(), database.trim().to_owned()));
    }
    found
}

/// `key = value` pairs parted by blanks; a value in `'…'` may hold blanks, a backslash takes the next sign as it is.
fn read_pairs(text: &str) -> Result<Vec<(String, String)>, Error> {
    let mut found = Vec::new();
    let mut signs = text.chars().peekable();
    loop {
        while signs.next_if(|c| c.is_whitespace()).is_some() {}
        let mut key = String::new();
        while let Some(sign) = signs.next_if(|c| !c.is_whitespace() && *c != '=') {
            key.push(sign);
        }
        while signs.next_if(|c| c.is_whitespace()).is_some() {}
        if key.is_empty() && signs.peek().is_none() {
            return Ok(found);
        }
        if signs.next_if_eq(&'=').is_none() || key.is_empty() {
            return Err(Error::Settings(
                "the database setting is neither a URL (`postgres://user:password@host:5432/database`) nor \
                 `key=value` pairs (`host=… dbname=…`)"
                    .to_owned(),
            ));
        }
        while signs.next_if(|c| c.is_whitespace()).is_some() {}
        let quoted = signs.next_if_eq(&'\'').is_some();
        let mut value = String::new();
        loop {
            match signs.next_if(|c| quoted || !c.is_whitespace()) {
                Some('\'') if quoted => break,
                Some('\\') => value.extend(signs.next()),
                Some(sign) => value.push(sign),
                None if quoted => {
                    return Err(Error::Settings(format!("the value of `{key}` lacks its closing quote")));
                }
                None => break,
            }
        }
        found.push((key, value));
    }
}

fn decoded(key: &str, text: &str) -> Result<String, Error> {
    let decoded = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| Error::Settings(format!("`{key}` in the database URL is not UTF-8 once percent-decoded")))?;
    if decoded.contains('\0') {
        return Err(Error::Settings(format!(
            "`{key}` in the database URL holds a NUL (%00)"
        )));
    }
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::read;

    fn pairs(text: &str) -> Vec<(String, String)> {
        read(text).unwrap()
    }

    fn expect(text: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        assert_eq!(pairs(text), expected, "{text}");
    }

    #[test]
    fn a_url_is_taken_apart_and_decoded() {
        expect(
            "postgres://us%65r:p%40ss%2Fword@db.example:6543/my%20app?sslmode=require&application_name=a%26b",
            &[
                ("user", "user"),
                ("password", "p@ss/word"),
                ("host", "db.example"),
                ("port", "6543"),
                ("dbname", "my app"),
                ("sslmode", "require"),
                ("application_name", "a&b"),
            ],
        );
        expect("postgresql://", &[]);
        expect("postgresql:///app", &[("dbname", "app")]);
        expect("postgres://bob@/app", &[("user", "bob"), ("dbname", "app")]);
        expect("postgres://h?dbname=x", &[("host", "h"), ("dbname", "x")]);
    }

    #[test]
    fn a_password_may_hold_what_should_have_been_encoded() {
        expect(
            "postgres://u:a@b:c#100%@h/d",
            &[
                ("user", "u"),
                ("password", "a@b:c#100%"),
                ("host", "h"),
                ("dbname", "d"),
            ],
        );
    }

    #[test]
    fn several_hosts_keep_their_ports() {
        expect(
            "postgres://a:1,b,[::1]:3/d",
            &[("host", "a,b,::1"), ("port", "1,,3"), ("dbname", "d")],
        );
    }

    #[test]
    fn sockets_in_every_spelling() {
        expect(
            "postgres://u@%2Fvar%2Frun%2Fpg:5433/d",
            &[
                ("user", "u"),
                ("host", "/var/run/pg"),
                ("port", "5433"),
                ("dbname", "d"),
            ],
        );
        expect("postgres:///d?host=/tmp/s", &[("dbname", "d"), ("host", "/tmp/s")]);
        expect(
            "socket:/tmp/s?db=d&encoding=utf8",
            &[("host", "/tmp/s"), ("dbname", "d"), ("client_encoding", "utf8")],
        );
        expect(
            "socket://u:p@/tmp/s/?db=d",
            &[("user", "u"), ("password", "p"), ("host", "/tmp/s/"), ("dbname", "d")],
        );
        expect("/tmp/s d", &[("host", "/tmp/s"), ("dbname", "d")]);
    }

    #[test]
    fn pairs_quote_and_escape_as_in_libpq() {
        expect(
            r"host = h password='a \'b\' \\ c' options='-c a=b://c' user=x\ y dbname=''",
            &[
                ("host", "h"),
                ("password", r"a 'b' \ c"),
                ("options", "-c a=b://c"),
                ("user", "x y"),
                ("dbname", ""),
            ],
        );
        expect("", &[]);
    }

    #[test]
    fn what_cannot_be_read_is_said_without_repeating_it() {
        for text in [
            "hunter2",
            "host=h hunter2",
            "password='hunter2",
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2%FF@h",
            "postgres://u:hunter2@[::1",
            "postgres://u:a?hunter2@h/d",
            "=hunter2",
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
