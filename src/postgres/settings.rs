//! Where the database is and how it is spoken to.

use std::fmt;
use std::time::Duration;

use tokio_postgres::config::{ChannelBinding, SslNegotiation};

use super::host::{Host, Secret};
use super::keyword::Keywords;
use super::tls::{Mode, TlsSettings};
use super::{Error, Pooler, conninfo, host, passfile};
use crate::config::DatabaseConfig;

/// Where the database is and how it is spoken to.
///
/// Read from what libpq and Node's `pg` accept, with libpq's meaning of each key; keys that are not given come from the
/// `PG*` variables of the environment, as in libpq. Beyond libpq:
///
/// - `sslmode=no-verify` (Node) encrypts and verifies nothing, whatever root certificate there is;
/// - `sslmode=verify-full` without a root certificate trusts the system's (libpq would refuse to connect);
/// - `uselibpqcompat=false`, written out, gives `prefer`, `require` and `verify-ca` Node's stricter meaning: `verify-full`;
/// - `statement_timeout` and other server settings may stand as keys of their own; they go into `options`;
/// - `query_timeout` (Node, milliseconds) is how long we wait for an answer before the connection is given up, whatever
///   the server may still do; unlimited unless set;
/// - `pgbouncer=true` means [`Pooler::Transaction`].
#[derive(Clone)]
pub struct Settings {
    pub(super) hosts: Vec<Host>,
    pub(super) user: String,
    pub(super) database: String,
    pub(super) application_name: String,
    pub(super) options: Option<String>,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) query_timeout: Option<Duration>,
    pub(super) keepalive: Option<Keepalive>,
    pub(super) tcp_user_timeout: Option<Duration>,
    pub(super) session: SessionAttrs,
    pub(super) balance: bool,
    pub(super) channel_binding: ChannelBinding,
    pub(super) negotiation: SslNegotiation,
    pub(super) tls: TlsSettings,
    pub(super) pool_size: usize,
    pub(super) pooler: Pooler,
    ignored: Vec<String>,
}

/// When the kernel asks a silent peer whether it is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Keepalive {
    pub(super) idle: Duration,
    pub(super) interval: Duration,
    pub(super) count: u32,
}

/// `target_session_attrs`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionAttrs {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

/// How many connections the pool may open unless told otherwise.
const POOL_SIZE: usize = 10;
/// How long one address may take to answer unless `connect_timeout` says otherwise; libpq would wait for ever.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A dead peer is noticed within a minute and not, as by the kernel's defaults, after two hours.
const KEEPALIVE: Keepalive = Keepalive {
    idle: Duration::from_secs(30),
    interval: Duration::from_secs(10),
    count: 3,
};
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(60);

impl Settings {
    /// Reads a libpq URL, `key=value` string or Node's socket forms, over the `PG*` variables of the environment.
    pub fn parse(url: &str) -> Result<Settings, Error> {
        Settings::parse_over(url, &|name| std::env::var(name).ok())
    }

    /// The settings of `[database]`.
    ///
    /// # Errors
    /// As [`Settings::parse`].
    pub fn of(config: &DatabaseConfig) -> Result<Settings, Error> {
        let settings = Settings::parse(&config.url)?.with_pool_size(config.pool_size);
        Ok(match config.pooler {
            // The URL may know better: `pgbouncer=true`.
            Pooler::Auto => settings,
            pooler => settings.with_pooler(pooler),
        })
    }

    fn parse_over(url: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<Settings, Error> {
        let keywords = Keywords::sort(conninfo::read(url)?, environment)?;
        refuse_unspeakable(&keywords)?;

        let user = match keywords.get("user") {
            Some(user) => user.to_owned(),
            None => own_user(environment)?,
        };
        let database = keywords.get("dbname").unwrap_or(&user).to_owned();
        let mut hosts = host::read(&keywords)?;
        let passfile = passfile::read(keywords.get("passfile"), environment);
        for host in &mut hosts {
            host.password = match keywords.get("password") {
                Some(password) => Some(Secret(password.to_owned())),
                None => passfile::find(&passfile, &host.name(), host.port, &database, &user),
            };
        }
        let tls = TlsSettings::from_keywords(&keywords, environment)?;
        let negotiation = match keywords.get("sslnegotiation") {
            None | Some("postgres") => SslNegotiation::Postgres,
            Some("direct") if tls.mode >= Mode::NoVerify => SslNegotiation::Direct,
            Some("direct") => {
                return Err(Error::Settings(
                    "sslnegotiation=direct needs sslmode=require or stronger".to_owned(),
                ));
            }
            Some(other) => return Err(invalid("sslnegotiation", other, "postgres or direct")),
        };

        Ok(Settings {
            hosts,
            user,
            database,
            application_name: keywords
                .get("application_name")
                .or(keywords.get("fallback_application_name"))
                .unwrap_or("strawboss")
                .to_owned(),
            options: options(&keywords),
            connect_timeout: match whole(&keywords, "connect_timeout")? {
                None => Some(CONNECT_TIMEOUT),
                Some(seconds) => u64::try_from(seconds).ok().filter(|s| *s > 0).map(Duration::from_secs),
            },
            query_timeout: millis(&keywords, "query_timeout")?.flatten(),
            keepalive: keepalive(&keywords)?,
            tcp_user_timeout: millis(&keywords, "tcp_user_timeout")?.unwrap_or(Some(TCP_USER_TIMEOUT)),
            session: session_attrs(&keywords)?,
            balance: match keywords.get("load_balance_hosts") {
                None | Some("disable") => false,
                Some("random") => true,
                Some(other) => return Err(invalid("load_balance_hosts", other, "disable or random")),
            },
            channel_binding: match keywords.get("channel_binding") {
                None | Some("prefer") => ChannelBinding::Prefer,
                Some("disable") => ChannelBinding::Disable,
                Some("require") => ChannelBinding::Require,
                Some(other) => return Err(invalid("channel_binding", other, "disable, prefer or require")),
            },
            negotiation,
            tls,
            pool_size: POOL_SIZE,
            pooler: match keywords.get("pgbouncer") {
                Some("true" | "1") => Pooler::Transaction,
                _ => Pooler::Auto,
            },
            ignored: keywords.ignored,
        })
    }

    /// How many connections the pool may open (10 unless set, at least 1).
    pub fn with_pool_size(mut self, size: usize) -> Settings {
        self.pool_size = size.max(1);
        self
    }

    /// Whether a connection pooler stands between here and the server ([`Pooler::Auto`] unless set).
    pub fn with_pooler(mut self, pooler: Pooler) -> Settings {
        self.pooler = pooler;
        self
    }

    /// Another database on the same server.
    pub fn with_database(mut self, database: impl Into<String>) -> Settings {
        self.database = database.into();
        self
    }

    /// The name shown in `pg_stat_activity` (`strawboss` unless the URL or `PGAPPNAME` says otherwise).
    pub fn with_application_name(mut self, name: impl Into<String>) -> Settings {
        self.application_name = name.into();
        self
    }

    /// The database's name.
    pub fn database_name(&self) -> String {
        self.database.clone()
    }

    /// The user's name.
    pub fn user_name(&self) -> &str {
        &self.user
    }

    /// `user@host:port,…/database`, for messages; no secret is in it.
    pub fn describe(&self) -> String {
        format!("{}@{}/{}", self.user, self.describe_hosts(), self.database)
    }

    pub(super) fn describe_hosts(&self) -> String {
        let hosts: Vec<_> = self.hosts.iter().map(Host::to_string).collect();
        hosts.join(",")
    }

    /// Keys of the URL that other programs read and this one has no use for.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("at", &self.describe())
            .field("tls", &self.tls.mode)
            .field("pool_size", &self.pool_size)
            .field("pooler", &self.pooler)
            .finish_non_exhaustive()
    }
}

/// Refuses what would change the protocol under us.
fn refuse_unspeakable(keywords: &Keywords) -> Result<(), Error> {
    if let Some(encoding) = keywords.get("client_encoding") {
        let plain = encoding.to_ascii_lowercase().replace(['-', '_'], "");
        if !matches!(plain.as_str(), "utf8" | "unicode" | "auto") {
            return Err(invalid("client_encoding", encoding, "UTF8"));
        }
    }
    if let Some(replication) = keywords.get("replication")
        && !matches!(replication, "false" | "off" | "no" | "0")
    {
        return Err(invalid("replication", replication, "off"));
    }
    if let Some(gss @ "require") = keywords.get("gssencmode") {
        return Err(invalid("gssencmode", gss, "disable or prefer"));
    }
    Ok(())
}

/// `options` with the server settings behind it, blanks and backslashes escaped as the server wants them.
fn options(keywords: &Keywords) -> Option<String> {
    let mut options: Vec<_> = keywords.get("options").map(str::to_owned).into_iter().collect();
    for (name, value) in &keywords.server {
        let mut escaped = String::with_capacity(value.len());
        for sign in value.chars() {
            if sign.is_ascii_whitespace() || sign == '\\' {
                escaped.push('\\');
            }
            escaped.push(sign);
        }
        options.push(format!("-c {name}={escaped}"));
    }
    (!options.is_empty()).then(|| options.join(" "))
}

fn keepalive(keywords: &Keywords) -> Result<Option<Keepalive>, Error> {
    if let Some("0" | "false") = keywords.get("keepalives") {
        return Ok(None);
    }
    let seconds = |key, ours| -> Result<Duration, Error> {
        let given = whole(keywords, key)?.and_then(|seconds| u64::try_from(seconds).ok());
        Ok(given.filter(|seconds| *seconds > 0).map_or(ours, Duration::from_secs))
    };
    let count = whole(keywords, "keepalives_count")?.and_then(|count| u32::try_from(count).ok());
    Ok(Some(Keepalive {
        idle: seconds("keepalives_idle", KEEPALIVE.idle)?,
        interval: seconds("keepalives_interval", KEEPALIVE.interval)?,
        count: count.filter(|count| *count > 0).unwrap_or(KEEPALIVE.count),
    }))
}

fn session_attrs(keywords: &Keywords) -> Result<SessionAttrs, Error> {
    Ok(match keywords.get("target_session_attrs") {
        None | Some("any") => SessionAttrs::Any,
        Some("read-write") => SessionAttrs::ReadWrite,
        Some("read-only") => SessionAttrs::ReadOnly,
        Some("primary") => SessionAttrs::Primary,
        Some("standby") => SessionAttrs::Standby,
        Some("prefer-standby") => SessionAttrs::PreferStandby,
        Some(other) => {
            let choices = "any, read-write, read-only, primary, standby or prefer-standby";
            return Err(invalid("target_session_attrs", other, choices));
        }
    })
}

fn whole(keywords: &Keywords, key: &str) -> Result<Option<i64>, Error> {
    keywords
        .get(key)
        .map(|value| value.trim().parse().map_err(|_| invalid(key, value, "a whole number")))
        .transpose()
}

/// Milliseconds, of which none or fewer are no limit; `None` where nothing is said.
fn millis(keywords: &Keywords, key: &str) -> Result<Option<Option<Duration>>, Error> {
    let given = whole(keywords, key)?;
    Ok(given.map(|millis| {
        let millis = u64::try_from(millis).ok().filter(|millis| *millis > 0);
        millis.map(Duration::from_millis)
    }))
}

fn own_user(environment: &dyn Fn(&str) -> Option<String>) -> Result<String, Error> {
    match nix::unistd::User::from_uid(nix::unistd::geteuid()) {
        Ok(Some(user)) => Ok(user.name),
        _ => environment("USER")
            .filter(|user| !user.is_empty())
            .ok_or_else(|| Error::Settings("the database URL names no user, and neither does PGUSER".to_owned())),
    }
}

pub(super) fn invalid(key: &str, value: &str, choices: &str) -> Error {
    Error::Settings(format!("`{key}={value}` is not understood; it may be {choices}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_postgres::config::{ChannelBinding, SslNegotiation};

    use super::{Error, Pooler, SessionAttrs, Settings};

    fn over(url: &str, environment: &[(&str, &str)]) -> Result<Settings, Error> {
        Settings::parse_over(url, &|name| {
            environment
                .iter()
                .find(|(variable, _)| *variable == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    fn settings(url: &str) -> Settings {
        over(url, &[]).unwrap()
    }

    fn refusal(url: &str) -> String {
        over(url, &[]).unwrap_err().to_string()
    }

    #[test]
    fn a_pooler_named_in_the_url_stays_unless_the_section_names_one() {
        let of = |pooler| {
            let config = super::DatabaseConfig {
                url: "postgres://u@h/d?pgbouncer=true".to_owned(),
                pooler,
                ..super::DatabaseConfig::default()
            };
            Settings::of(&config).expect("a good URL").pooler
        };
        assert_eq!(of(Pooler::Auto), Pooler::Transaction);
        assert_eq!(of(Pooler::None), Pooler::None);
    }

    #[test]
    fn the_place_is_described_without_the_secret() {
        let settings = settings("postgres://bob:hunter2@a:1,[::1]:2/app?sslmode=require");
        assert_eq!(settings.describe(), "bob@a:1,[::1]:2/app");
        assert_eq!(settings.database_name(), "app");
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn the_environment_fills_what_the_url_leaves_open() {
        let environment = [
            ("PGHOST", "db"),
            ("PGPORT", "6000"),
            ("PGUSER", "eve"),
            ("PGPASSWORD", "pw"),
            ("PGDATABASE", "app"),
            ("PGAPPNAME", "worker"),
            ("PGOPTIONS", "-c jit=off"),
            ("PGCONNECT_TIMEOUT", "3"),
        ];
        let settings = over("", &environment).unwrap();
        assert_eq!(settings.describe(), "eve@db:6000/app");
        assert_eq!(settings.application_name, "worker");
        assert_eq!(settings.options.as_deref(), Some("-c jit=off"));
        assert_eq!(settings.connect_timeout, Some(Duration::from_secs(3)));
        assert!(settings.hosts[0].password.is_some());

        let settings = over("postgres://bob@other/", &environment).unwrap();
        assert_eq!(settings.describe(), "bob@other:6000/app");
    }

    #[test]
    fn what_nobody_says_has_a_default() {
        let settings = over("", &[("PGUSER", "bob")]).unwrap();
        assert_eq!(
            settings.describe(),
            "bob@/var/run/postgresql/.s.PGSQL.5432,/tmp/.s.PGSQL.5432,localhost:5432/bob"
        );
        assert_eq!(settings.application_name, "strawboss");
        assert_eq!(settings.pooler, Pooler::Auto);
        assert_eq!(settings.pool_size, 10);
        assert!(settings.options.is_none());
    }

    #[test]
    fn server_settings_follow_the_options() {
        let settings = settings("postgres://u@h/d?options=-c%20jit%3Doff&statement_timeout=5000&search_path=a,%20b");
        assert_eq!(
            settings.options.as_deref(),
            Some(r"-c jit=off -c statement_timeout=5000 -c search_path=a,\ b")
        );
    }

    #[test]
    fn the_smaller_keys_are_understood() {
        let settings = settings(
            "postgres://u@h/d?connect_timeout=0&keepalives=0&tcp_user_timeout=1500&target_session_attrs=read-write\
             &channel_binding=require&sslmode=require&sslnegotiation=direct&load_balance_hosts=random&pgbouncer=true\
             &client_encoding=utf-8&schema=public&query_timeout=2500",
        );
        assert_eq!(settings.connect_timeout, None);
        assert_eq!(settings.keepalive, None);
        assert_eq!(settings.tcp_user_timeout, Some(Duration::from_millis(1500)));
        assert_eq!(settings.query_timeout, Some(Duration::from_millis(2500)));
        assert_eq!(settings.session, SessionAttrs::ReadWrite);
        assert_eq!(settings.channel_binding, ChannelBinding::Require);
        assert_eq!(settings.negotiation, SslNegotiation::Direct);
        assert!(settings.balance);
        assert_eq!(settings.pooler, Pooler::Transaction);
        assert_eq!(settings.ignored(), ["schema"]);
    }

    #[test]
    fn values_that_mean_nothing_are_refused_with_the_choices() {
        for (url, choices) in [
            ("host=h target_session_attrs=write", "read-write"),
            ("host=h channel_binding=on", "require"),
            ("host=h connect_timeout=soon", "whole number"),
            ("host=h client_encoding=latin1", "UTF8"),
            ("host=h replication=database", "off"),
            ("host=h sslnegotiation=direct", "sslmode=require"),
            ("host=h load_balance_hosts=yes", "random"),
        ] {
            let message = refusal(url);
            assert!(message.contains(choices), "{url}: {message}");
        }
    }
}
