//! The places where the server may listen.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use super::Error;
use super::keyword::Keywords;
use super::settings::invalid;

/// One place where a server may listen.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) target: Target,
    /// The address to go to instead of resolving the name (`hostaddr`).
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
    pub(super) password: Option<Secret>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Tcp(String),
    /// The directory of the server's socket.
    Unix(PathBuf),
}

/// A password, which no `Debug` shows.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(pub(super) String);

const PORT: u16 = 5432;
/// Where servers put their sockets, asked in this order when no host is given; then `localhost`.
const SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];

impl Host {
    /// The name under which the password file knows it.
    pub(super) fn name(&self) -> String {
        match &self.target {
            Target::Tcp(name) => name.clone(),
            Target::Unix(directory) if SOCKET_DIRECTORIES.iter().any(|known| directory.as_os_str() == *known) => {
                "localhost".to_owned()
            }
            Target::Unix(directory) => directory.display().to_string(),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::Tcp(name) if name.contains(':') => write!(f, "[{name}]:{}", self.port),
            Target::Tcp(name) => write!(f, "{name}:{}", self.port),
            Target::Unix(directory) => write!(f, "{}", directory.join(format!(".s.PGSQL.{}", self.port)).display()),
        }
    }
}

/// Matches up `host`, `hostaddr` and `port`, each of which may be a list.
pub(super) fn read(keywords: &Keywords) -> Result<Vec<Host>, Error> {
    let list = |key| -> Vec<&str> {
        keywords
            .get(key)
            .map(|value| value.split(',').collect())
            .unwrap_or_default()
    };
    let names = list("host");
    let addresses = list("hostaddr");
    let ports = list("port");
    let count = if addresses.is_empty() {
        names.len()
    } else {
        addresses.len()
    };
    if !names.is_empty() && names.len() != count {
        return Err(Error::Settings(format!(
            "`host` names {} hosts and `hostaddr` {count}; they must be as many",
            names.len()
        )));
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(Error::Settings(format!(
            "`port` names {} ports for {count} hosts; give one for all, or one each",
            ports.len()
        )));
    }
    let port = |index: usize| -> Result<u16, Error> {
        match ports.get(index).or(ports.first()) {
            None | Some(&"") => Ok(PORT),
            Some(port) => match port.parse() {
                // Not quoted: behind an unencoded `/` or `?` in a password it would be the start of the password.
                Ok(0) | Err(_) => Err(Error::Settings(
                    "a port of the database is no number from 1 to 65535; a `/`, `?` or `#` in a password has to be \
                     percent-encoded in a URL (%2F, %3F, %23)"
                        .to_owned(),
                )),
                Ok(port) => Ok(port),
            },
        }
    };
    let host = |target, address, port| Host {
        target,
        address,
        port,
        password: None,
    };
    let anywhere = |port| {
        let sockets = SOCKET_DIRECTORIES
            .iter()
            .map(|directory| Target::Unix(PathBuf::from(directory)));
        let local = Target::Tcp("localhost".to_owned());
        sockets.chain([local]).map(move |target| host(target, None, port))
    };
    if count == 0 {
        return Ok(anywhere(port(0)?).collect());
    }
    let mut hosts = Vec::new();
    for index in 0..count {
        let port = port(index)?;
        let address = match addresses.get(index).filter(|address| !address.is_empty()) {
            Some(address) => Some(
                address
                    .parse::<IpAddr>()
                    .map_err(|_| invalid("hostaddr", address, "a numeric IP address"))?,
            ),
            None => None,
        };
        match (names.get(index).copied().unwrap_or_default().trim(), address) {
            ("", Some(address)) => hosts.push(host(Target::Tcp(address.to_string()), Some(address), port)),
            ("", None) => hosts.extend(anywhere(port)),
            (directory, None) if directory.starts_with('/') => {
                hosts.push(host(Target::Unix(PathBuf::from(directory)), None, port));
            }
            (name, address) => hosts.push(host(Target::Tcp(name.to_owned()), address, port)),
        }
    }
    Ok(hosts)
}

#[cfg(test)]
mod tests {
    use super::{Error, Keywords, read};

    fn hosts(pairs: &[(&str, &str)]) -> Result<String, Error> {
        let pairs = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let hosts = read(&Keywords::sort(pairs, &|_| None)?)?;
        let hosts: Vec<_> = hosts
            .iter()
            .map(|host| match host.address {
                Some(address) => format!("{host} at {address}"),
                None => host.to_string(),
            })
            .collect();
        Ok(hosts.join(" "))
    }

    #[test]
    fn hosts_ports_and_addresses_are_matched_up() {
        for (pairs, expected) in [
            (&[("host", "a,b"), ("port", "7")][..], "a:7 b:7"),
            (&[("host", "a,/s,c"), ("port", "7,,9")], "a:7 /s/.s.PGSQL.5432 c:9"),
            (&[("host", "::1")], "[::1]:5432"),
            (&[("host", "a"), ("hostaddr", "10.0.0.1")], "a:5432 at 10.0.0.1"),
            (&[("hostaddr", "10.0.0.1")], "10.0.0.1:5432 at 10.0.0.1"),
            (
                &[("port", "7")],
                "/var/run/postgresql/.s.PGSQL.7 /tmp/.s.PGSQL.7 localhost:7",
            ),
        ] {
            assert_eq!(hosts(pairs).unwrap(), expected);
        }
    }

    #[test]
    fn what_does_not_match_up_is_refused() {
        for (pairs, message) in [
            (&[("host", "a,b"), ("port", "1,2,3")][..], "3 ports for 2 hosts"),
            (&[("host", "a,b"), ("hostaddr", "10.0.0.1")], "as many"),
            (&[("host", "a"), ("port", "0")], "65535"),
            (&[("host", "u"), ("port", "hunter2")], "percent-encoded"),
            (&[("host", "a"), ("hostaddr", "b")], "numeric"),
        ] {
            let said = hosts(pairs).unwrap_err().to_string();
            assert!(said.contains(message) && !said.contains("hunter2"), "{said}");
        }
    }
}
