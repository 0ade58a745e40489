//! Why there is no connection, and what to do about it.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io;

use rustls::CertificateError;

use super::connect::{Failure, Why};
use super::error::describe;
use super::{Class, Error, Settings};

/// One error for all places that were tried.
pub(super) fn explain(settings: &Settings, failures: Vec<Failure>) -> Error {
    let mut message = format!("cannot connect to the database {}", settings.describe());
    for (index, failure) in failures.iter().enumerate() {
        message.push_str(if index == 0 { ": " } else { "; " });
        // A single place is in the description already.
        if failures.len() > 1 {
            let _ = write!(message, "{}: ", failure.place);
        }
        message.push_str(&reason(&failure.why));
    }
    // A server that has answered knows better than a place where nobody was.
    let telling = failures.into_iter().max_by_key(|failure| match &failure.why {
        Why::Postgres(error) if error.as_db_error().is_some() => 3,
        Why::Unfit(_) => 2,
        Why::Postgres(error) if io_kind(error).is_none() => 1,
        _ => 0,
    });
    let Some(Failure { why, .. }) = telling else {
        let (class, cause) = (Class::Permanent, None);
        message.push_str(": no host is configured");
        return Error::Connect { message, class, cause };
    };
    let (class, advice) = verdict(settings, &why);
    if let Some(advice) = advice {
        let _ = write!(message, ". {advice}");
    }
    let cause = match why {
        Why::Postgres(error) => Some(error),
        _ => None,
    };
    Error::Connect { message, class, cause }
}

fn reason(why: &Why) -> String {
    match why {
        Why::Unresolved(error) => format!("the host name cannot be resolved ({error})"),
        Why::Timeout(limit) => format!("no answer within {} s", limit.as_secs_f32()),
        Why::Unfit(what) => (*what).to_owned(),
        Why::Postgres(error) => match io_kind(error) {
            Some(io::ErrorKind::ConnectionRefused) => "connection refused".to_owned(),
            Some(io::ErrorKind::NotFound) => "there is no such socket".to_owned(),
            _ => describe(error),
        },
    }
}

fn verdict(settings: &Settings, why: &Why) -> (Class, Option<String>) {
    let error = match why {
        Why::Unresolved(_) => return (Class::Connection, Some("Check the host in the database URL".to_owned())),
        Why::Timeout(_) => {
            let advice = "Check the host, the port and any firewall between; connect_timeout=SECONDS changes the limit";
            return (Class::Connection, Some(advice.to_owned()));
        }
        Why::Unfit(_) => {
            return (
                Class::Connection,
                Some("target_session_attrs in the URL asks for it".to_owned()),
            );
        }
        Why::Postgres(error) => error,
    };
    if let Some(state) = error.code() {
        return (Class::of(state), of_server(settings, state.code(), &describe(error)));
    }
    if let Some(error) = certificate(error) {
        return (Class::Permanent, Some(of_certificate(error).to_owned()));
    }
    match io_kind(error) {
        Some(io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {
            let advice = "Nothing listens there: start PostgreSQL, or correct host and port in the database URL";
            (Class::Connection, Some(advice.to_owned()))
        }
        Some(io::ErrorKind::PermissionDenied) => {
            (Class::Permanent, Some("This user may not use that socket".to_owned()))
        }
        Some(_) => (Class::Connection, None),
        None => {
            let text = describe(error);
            let advice = if text.contains("server does not support TLS") {
                "Switch `ssl` on in the server's postgresql.conf, or use sslmode=prefer"
            } else if text.contains("password missing") {
                "The server asks for a password: put it into the URL, into PGPASSWORD or into ~/.pgpass"
            } else if text.contains("channel binding") {
                "channel_binding=require needs TLS and a password of kind scram-sha-256"
            } else {
                return (Class::Connection, None);
            };
            (Class::Permanent, Some(advice.to_owned()))
        }
    }
}

fn of_server(settings: &Settings, state: &str, text: &str) -> Option<String> {
    Some(match state {
        "28P01" => "Check the password in the URL, in PGPASSWORD or in ~/.pgpass".to_owned(),
        "28000" if text.contains("no encryption") || text.contains("SSL off") => {
            "Either pg_hba.conf on the server must allow it without TLS, or add sslmode=require to the URL".to_owned()
        }
        "28000" if text.contains("certificate") => "Give the client's certificate: sslcert=PATH&sslkey=PATH".to_owned(),
        "28000" if text.contains("does not exist") => "Create the role, or correct the user in the URL".to_owned(),
        "28000" => "pg_hba.conf on the server must allow this user, database, address and way of logging in".to_owned(),
        "3D000" => format!(
            "Create it (createdb {}), or correct its name in the URL",
            settings.database
        ),
        "53300" => format!(
            "Lower pool_size (now {}) or raise max_connections on the server",
            settings.pool_size
        ),
        "08P01" if text.contains("startup parameter") => {
            "PgBouncer does not pass that on: remove it from the URL, or name it in PgBouncer's \
             ignore_startup_parameters"
                .to_owned()
        }
        _ => return None,
    })
}

fn of_certificate(error: &CertificateError) -> &'static str {
    use CertificateError as E;
    match error {
        E::UnknownIssuer | E::BadSignature | E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "The server's certificate does not lead to the trusted root: name its authority by sslrootcert=PATH"
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            "The server's certificate names another host: use that name in the URL, or sslmode=verify-ca"
        }
        E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. } => {
            "The server's certificate is not valid today: renew it, or set the clock"
        }
        E::Revoked => "The server's certificate is revoked",
        E::Other(why) if why.to_string().contains("CaUsedAsEndEntity") => {
            "The server's certificate is self-signed: name a copy of it by sslrootcert=PATH"
        }
        _ => "The server's certificate cannot be verified: issue it anew as X.509 version 3, or use sslmode=no-verify",
    }
}

/// Whether the two sides could not agree on TLS.
pub(super) fn of_tls(error: &tokio_postgres::Error) -> bool {
    rustls_error(error).is_some() || describe(error).contains("tls handshake eof")
}

fn certificate(error: &tokio_postgres::Error) -> Option<&CertificateError> {
    match rustls_error(error)? {
        rustls::Error::InvalidCertificate(error) => Some(error),
        _ => None,
    }
}

fn rustls_error(error: &tokio_postgres::Error) -> Option<&rustls::Error> {
    let source = error.source()?.downcast_ref::<io::Error>()?;
    source.get_ref()?.downcast_ref::<rustls::Error>()
}

fn io_kind(error: &tokio_postgres::Error) -> Option<io::ErrorKind> {
    match rustls_error(error) {
        Some(_) => None,
        None => Some(error.source()?.downcast_ref::<io::Error>()?.kind()),
    }
}
