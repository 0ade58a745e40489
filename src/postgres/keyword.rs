//! The keys a connection string may hold, the environment variables behind them, and what becomes of each.

use std::collections::BTreeMap;

use super::Error;

/// What is done with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Read by [`Settings`](super::Settings).
    Read,
    /// Another program's spelling of a key that is read.
    Alias(&'static str),
    /// A server setting: it goes into the session's `options`.
    Server,
    /// Means nothing to this program, and ignoring it weakens nothing.
    Ignored,
    /// Not supported, and ignoring it would break a promise; the text says what to do instead.
    Refused(&'static str),
}

struct Keyword {
    name: &'static str,
    variable: &'static str,
    used: Use,
}

const fn key(name: &'static str, variable: &'static str, used: Use) -> Keyword {
    Keyword { name, variable, used }
}

use Use::{Alias, Ignored, Read, Refused, Server};

const KEYWORDS: &[Keyword] = &[
    // libpq
    key("host", "PGHOST", Read),
    key("hostaddr", "PGHOSTADDR", Read),
    key("port", "PGPORT", Read),
    key("dbname", "PGDATABASE", Read),
    key("user", "PGUSER", Read),
    key("password", "PGPASSWORD", Read),
    key("passfile", "PGPASSFILE", Read),
    key("application_name", "PGAPPNAME", Read),
    key("fallback_application_name", "", Read),
    key("options", "PGOPTIONS", Read),
    key("connect_timeout", "PGCONNECT_TIMEOUT", Read),
    key("client_encoding", "", Read),
    key("target_session_attrs", "PGTARGETSESSIONATTRS", Read),
    key("load_balance_hosts", "PGLOADBALANCEHOSTS", Read),
    key("keepalives", "", Read),
    key("keepalives_idle", "", Read),
    key("keepalives_interval", "", Read),
    key("keepalives_count", "", Read),
    key("tcp_user_timeout", "", Read),
    key("channel_binding", "PGCHANNELBINDING", Read),
    key("sslmode", "PGSSLMODE", Read),
    key("sslnegotiation", "PGSSLNEGOTIATION", Read),
    key("sslrootcert", "PGSSLROOTCERT", Read),
    key("sslcert", "PGSSLCERT", Read),
    key("sslkey", "PGSSLKEY", Read),
    key("sslcertmode", "PGSSLCERTMODE", Read),
    key("sslcrl", "PGSSLCRL", Read),
    key("sslsni", "PGSSLSNI", Read),
    key("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION", Read),
    key("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", Read),
    key("gssencmode", "PGGSSENCMODE", Read),
    key("replication", "", Read),
    key("sslcompression", "PGSSLCOMPRESSION", Ignored),
    key("sslkeylogfile", "", Ignored),
    key("krbsrvname", "PGKRBSRVNAME", Ignored),
    key("gsslib", "PGGSSLIB", Ignored),
    key("gssdelegation", "PGGSSDELEGATION", Ignored),
    key("min_protocol_version", "PGMINPROTOCOLVERSION", Ignored),
    key("max_protocol_version", "PGMAXPROTOCOLVERSION", Ignored),
    key(
        "service",
        "PGSERVICE",
        Refused("write the service's settings into the URL"),
    ),
    key("servicefile", "", Refused("write the service's settings into the URL")),
    key(
        "sslpassword",
        "",
        Refused("decrypt the key first: openssl pkey -in KEY -out PLAIN_KEY"),
    ),
    key(
        "sslcrldir",
        "PGSSLCRLDIR",
        Refused("put the revocation lists into one file and name it in `sslcrl`"),
    ),
    key(
        "require_auth",
        "PGREQUIREAUTH",
        Refused("use sslmode=verify-full, or channel_binding=require"),
    ),
    key(
        "requirepeer",
        "PGREQUIREPEER",
        Refused("guard the socket's directory by its permissions"),
    ),
    key("scram_client_key", "", Refused("give the password")),
    key("scram_server_key", "", Refused("give the password")),
    key("oauth_issuer", "", Refused("use a password or a client certificate")),
    key("oauth_client_id", "", Refused("use a password or a client certificate")),
    key(
        "oauth_client_secret",
        "",
        Refused("use a password or a client certificate"),
    ),
    key("oauth_scope", "", Refused("use a password or a client certificate")),
    // Node's pg, and what commonly stands beside it in a shared DATABASE_URL
    key("uselibpqcompat", "", Read),
    key("ssl", "", Read),
    key("pgbouncer", "", Read),
    key("database", "", Alias("dbname")),
    key("keepAlive", "", Alias("keepalives")),
    key("keepalives_retries", "", Alias("keepalives_count")),
    key("query_timeout", "", Read),
    key("binary", "", Ignored),
    key("max", "", Ignored),
    key("min", "", Ignored),
    key("idleTimeoutMillis", "", Ignored),
    key("connectionTimeoutMillis", "", Ignored),
    key("keepAliveInitialDelayMillis", "", Ignored),
    key("allowExitOnIdle", "", Ignored),
    key("maxUses", "", Ignored),
    key("maxLifetimeSeconds", "", Ignored),
    key("schema", "", Ignored),
    key("connection_limit", "", Ignored),
    key("pool_timeout", "", Ignored),
    key("socket_timeout", "", Ignored),
    key("statement_cache_size", "", Ignored),
    // server settings
    key("statement_timeout", "", Server),
    key("lock_timeout", "", Server),
    key("idle_in_transaction_session_timeout", "", Server),
    key("idle_session_timeout", "", Server),
    key("transaction_timeout", "", Server),
    key("search_path", "", Server),
    key("role", "", Server),
    key("timezone", "PGTZ", Server),
    key("datestyle", "PGDATESTYLE", Server),
    key("work_mem", "", Server),
    key("jit", "", Server),
    key("plan_cache_mode", "", Server),
    key("synchronous_commit", "", Server),
    key("default_transaction_isolation", "", Server),
    key("default_transaction_read_only", "", Server),
    key("default_transaction_deferrable", "", Server),
    key("log_min_duration_statement", "", Server),
    key("log_statement", "", Server),
    key("tcp_keepalives_idle", "", Server),
    key("tcp_keepalives_interval", "", Server),
    key("tcp_keepalives_count", "", Server),
    key("client_connection_check_interval", "", Server),
];

/// What a connection string and the environment say together.
#[derive(Default)]
pub(super) struct Keywords {
    read: BTreeMap<&'static str, String>,
    /// Server settings in the order they were named.
    pub(super) server: Vec<(String, String)>,
    /// Keys that were accepted and mean nothing here.
    pub(super) ignored: Vec<String>,
}

impl Keywords {
    /// Sorts what was read, over the defaults of the environment.
    pub(super) fn sort(
        pairs: Vec<(String, String)>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Keywords, Error> {
        let mut sorted = Keywords::default();
        for keyword in KEYWORDS.iter().filter(|keyword| !keyword.variable.is_empty()) {
            let Some(value) = environment(keyword.variable).filter(|value| !value.is_empty()) else {
                continue;
            };
            sorted.take(keyword, value, keyword.variable)?;
        }
        // A variable that means nothing here is nobody's surprise; a key in the URL may be.
        sorted.ignored.clear();
        for (name, value) in pairs {
            match KEYWORDS.iter().find(|keyword| keyword.name == name) {
                Some(keyword) => sorted.take(keyword, value, &name)?,
                None => match server_setting(&name) {
                    Some(setting) => sorted.set_server(setting, value),
                    None => return Err(unknown(&name)),
                },
            }
        }
        Ok(sorted)
    }

    fn take(&mut self, keyword: &Keyword, value: String, said: &str) -> Result<(), Error> {
        match keyword.used {
            Read => {
                self.read.insert(keyword.name, value);
            }
            Alias(name) => {
                self.read.insert(name, value);
            }
            Server => self.set_server(keyword.name.to_owned(), value),
            Ignored => self.ignored.push(keyword.name.to_owned()),
            Refused(instead) => {
                return Err(Error::Settings(format!(
                    "`{said}` is not supported for the database; {instead}"
                )));
            }
        }
        Ok(())
    }

    fn set_server(&mut self, name: String, value: String) {
        self.server.retain(|(existing, _)| *existing != name);
        self.server.push((name, value));
    }

    /// The value of a key; an empty one counts as not given, as in libpq.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        debug_assert!(
            KEYWORDS
                .iter()
                .any(|keyword| keyword.name == name && keyword.used == Read)
        );
        self.read
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

/// The name under which a key that libpq does not know goes to the server.
fn server_setting(name: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    let custom = lower.split('.').count() == 2
        && lower
            .split('.')
            .all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
    let listed = KEYWORDS
        .iter()
        .any(|keyword| keyword.name == lower && keyword.used == Server);
    (custom || listed).then_some(lower)
}

fn unknown(name: &str) -> Error {
    let nearest = KEYWORDS
        .iter()
        .filter(|keyword| !matches!(keyword.used, Refused(_)))
        .map(|keyword| (strsim::damerau_levenshtein(keyword.name, name), keyword.name))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= 3.max(name.len() / 3));
    let advice = match nearest {
        Some((_, nearest)) => format!("did you mean `{nearest}`?"),
        None => "server settings go into `options`, as in options=-c%20name%3Dvalue".to_owned(),
    };
    Error::Settings(format!("the database URL has an unknown key `{name}`; {advice}"))
}

#[cfg(test)]
mod tests {
    use super::{KEYWORDS, Keywords, Use};

    fn sort(pairs: &[(&str, &str)], environment: &[(&str, &str)]) -> Result<Keywords, super::Error> {
        let pairs = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        Keywords::sort(pairs, &|name| {
            environment
                .iter()
                .find(|(variable, _)| *variable == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_string_wins_over_the_environment() {
        let keywords = sort(&[("host", "b")], &[("PGHOST", "a"), ("PGUSER", "u"), ("PGPORT", "")]).unwrap();
        assert_eq!(keywords.get("host"), Some("b"));
        assert_eq!(keywords.get("user"), Some("u"));
        assert_eq!(keywords.get("port"), None);
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest() {
        let message = |key| sort(&[(key, "x")], &[]).err().map(|error| error.to_string()).unwrap();
        assert!(message("sslmod").contains("did you mean `sslmode`?"));
        assert!(message("aplication_name").contains("did you mean `application_name`?"));
        assert!(message("frobnicate_everything").contains("options"));
    }

    #[test]
    fn what_would_be_a_broken_promise_is_refused() {
        assert!(sort(&[("require_auth", "scram-sha-256")], &[]).is_err());
        let message = sort(&[], &[("PGSERVICE", "x")]).err().unwrap().to_string();
        assert!(message.contains("PGSERVICE"), "{message}");
    }

    #[test]
    fn server_settings_are_collected() {
        let keywords = sort(
            &[
                ("statement_timeout", "1"),
                ("TimeZone", "UTC"),
                ("app.tenant", "7"),
                ("statement_timeout", "2"),
            ],
            &[("PGTZ", "CET")],
        )
        .unwrap();
        let expected = [("timezone", "UTC"), ("app.tenant", "7"), ("statement_timeout", "2")];
        assert_eq!(
            keywords.server,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn aliases_lead_to_keys_that_are_read_and_no_name_stands_twice() {
        for (index, keyword) in KEYWORDS.iter().enumerate() {
            if let Use::Alias(name) = keyword.used {
                assert!(
                    KEYWORDS
                        .iter()
                        .any(|other| other.name == name && other.used == Use::Read)
                );
            }
            assert!(
                KEYWORDS[index + 1..].iter().all(|other| other.name != keyword.name),
                "{}",
                keyword.name
            );
        }
    }
}
