//! One connection: which host, with or without TLS, and whether its session is the wanted one.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use rand::seq::SliceRandom;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, SimpleQueryMessage, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Error;
use super::explain::{explain, of_tls};
use super::host::{Host, Target};
use super::settings::{SessionAttrs, Settings};
use super::tls::Mode;

/// The half of a connection that has to be polled; in a box, for a TLS session weighs some kilobytes.
pub(super) type Wire = Box<Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>>;

/// Why one address was not the one.
pub(super) struct Failure {
    /// Where it happened, as [`Host`] writes it.
    pub(super) place: String,
    pub(super) why: Why,
}

pub(super) enum Why {
    Unresolved(io::Error),
    Timeout(Duration),
    Postgres(tokio_postgres::Error),
    /// The server is up, but its session is not what `target_session_attrs` wants.
    Unfit(&'static str),
}

impl Failure {
    /// Whether the server has answered about us, so that the next host would say the same.
    fn is_final(&self) -> bool {
        match &self.why {
            Why::Postgres(error) => error
                .code()
                .is_some_and(|state| state.code().starts_with("28") || state.code().starts_with("3D")),
            _ => false,
        }
    }
}

/// Opens a connection to the first host that lets us in.
///
/// Hosts are tried in their order, and every address of each, as libpq does; a server that refuses our credentials ends
/// the search.
pub(super) async fn connect(settings: &Settings) -> Result<(Client, Wire), Error> {
    let tls = settings.tls.connector()?;
    let passes: &[SessionAttrs] = match settings.session {
        SessionAttrs::PreferStandby => &[SessionAttrs::Standby, SessionAttrs::Any],
        ref one => std::slice::from_ref(one),
    };
    let mut failures = Vec::new();
    for wanted in passes {
        let mut hosts: Vec<_> = settings.hosts.iter().collect();
        if settings.balance {
            hosts.shuffle(&mut rand::rng());
        }
        for host in hosts {
            let place = host.to_string();
            let addresses = match addresses(host, settings).await {
                Ok(addresses) => addresses,
                Err(why) => {
                    failures.push(Failure { place, why });
                    continue;
                }
            };
            let several = addresses.len() > 1;
            for address in addresses {
                match within(
                    settings.connect_timeout,
                    attempt(settings, host, address, *wanted, &tls),
                )
                .await
                {
                    Ok(connected) => return Ok(connected),
                    Err(why) => {
                        let place = match address {
                            Some(address) if several => format!("{place} ({address})"),
                            _ => place.clone(),
                        };
                        failures.push(Failure { place, why });
                    }
                }
                if failures.last().is_some_and(Failure::is_final) {
                    return Err(explain(settings, failures));
                }
            }
        }
    }
    Err(explain(settings, failures))
}

/// The addresses to try; a socket has none and is one place all the same.
async fn addresses(host: &Host, settings: &Settings) -> Result<Vec<Option<IpAddr>>, Why> {
    let Target::Tcp(name) = &host.target else {
        return Ok(vec![None]);
    };
    if let Some(address) = host.address {
        return Ok(vec![Some(address)]);
    }
    let lookup = async {
        let found = tokio::net::lookup_host((name.as_str(), host.port)).await;
        found.map_err(Why::Unresolved)
    };
    let mut addresses: Vec<_> = within(settings.connect_timeout, lookup)
        .await?
        .map(|address| Some(address.ip()))
        .collect();
    if settings.balance {
        addresses.shuffle(&mut rand::rng());
    }
    if addresses.is_empty() {
        return Err(Why::Unresolved(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        )));
    }
    Ok(addresses)
}

async fn attempt(
    settings: &Settings,
    host: &Host,
    address: Option<IpAddr>,
    wanted: SessionAttrs,
    tls: &MakeRustlsConnect,
) -> Result<(Client, Wire), Why> {
    let modes: &[SslMode] = match (&host.target, settings.tls.mode) {
        (Target::Unix(_), _) | (_, Mode::Disable) => &[SslMode::Disable],
        (_, Mode::Allow) => &[SslMode::Disable, SslMode::Require],
        (_, Mode::Prefer) => &[SslMode::Prefer, SslMode::Disable],
        _ => &[SslMode::Require],
    };
    let mut config = config(settings, host, address);
    let mut first = None;
    for mode in modes {
        match config.ssl_mode(*mode).connect(tls.clone()).await {
            Ok((client, wire)) => {
                let mut wire = Box::new(wire);
                fit(&client, &mut wire, wanted).await?;
                return Ok((client, wire));
            }
            // Only a server that minds how we speak (pg_hba.conf's hostssl and hostnossl, or a failed handshake) may
            // think better of us the other way.
            Err(error) if of_tls(&error) || error.code().is_some_and(|state| state.code() == "28000") => {
                first.get_or_insert(error);
            }
            Err(error) => return Err(Why::Postgres(error)),
        }
    }
    match first {
        Some(error) => Err(Why::Postgres(error)),
        None => Err(Why::Unfit("there is no way to speak to it")),
    }
}

fn config(settings: &Settings, host: &Host, address: Option<IpAddr>) -> Config {
    let mut config = Config::new();
    match &host.target {
        Target::Tcp(name) => config.host(name),
        Target::Unix(directory) => config.host_path(directory),
    };
    if let Some(address) = address {
        config.hostaddr(address);
    }
    config
        .port(host.port)
        .user(&settings.user)
        .dbname(&settings.database)
        .application_name(&settings.application_name)
        .ssl_negotiation(settings.negotiation)
        .channel_binding(settings.channel_binding);
    if let Some(password) = &host.password {
        config.password(&password.0);
    }
    if let Some(options) = &settings.options {
        config.options(options);
    }
    match settings.keepalive {
        Some(keepalive) => config
            .keepalives(true)
            .keepalives_idle(keepalive.idle)
            .keepalives_interval(keepalive.interval)
            .keepalives_retries(keepalive.count),
        None => config.keepalives(false),
    };
    if let Some(timeout) = settings.tcp_user_timeout {
        config.tcp_user_timeout(timeout);
    }
    config
}

/// Asks the server whether its session is the wanted one.
async fn fit(client: &Client, wire: &mut Wire, wanted: SessionAttrs) -> Result<(), Why> {
    if matches!(wanted, SessionAttrs::Any) {
        return Ok(());
    }
    let question = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')";
    let answer = tokio::select! {
        answer = client.simple_query(question) => answer.map_err(Why::Postgres)?,
        ended = wire => match ended {
            Err(error) => return Err(Why::Postgres(error)),
            Ok(()) => return Err(Why::Unfit("it closed the connection")),
        },
    };
    let said = |column: usize, value: &str| {
        answer.iter().any(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(column) == Some(value),
            _ => false,
        })
    };
    let (standby, read_only) = (said(0, "t"), said(1, "on"));
    match wanted {
        SessionAttrs::ReadWrite if read_only => Err(Why::Unfit("it does not allow writes")),
        SessionAttrs::ReadOnly if !read_only => Err(Why::Unfit("it is not read-only")),
        SessionAttrs::Primary if standby => Err(Why::Unfit("it is a standby")),
        SessionAttrs::Standby if !standby => Err(Why::Unfit("it is not a standby")),
        _ => Ok(()),
    }
}

async fn within<T>(limit: Option<Duration>, work: impl Future<Output = Result<T, Why>>) -> Result<T, Why> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, work)
            .await
            .unwrap_or(Err(Why::Timeout(limit))),
        None => work.await,
    }
}
