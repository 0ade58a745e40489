//! Asks a running worker how it is: a GET of one of its own addresses, over a bare socket.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// As much of an answer as is read: `/readyz` is a few lines.
const CAP: u64 = 1 << 20;

/// What the worker that listens on `listen` answers to `GET path`: the status and the body. An unspecified address, as
/// `0.0.0.0`, is asked on the loopback.
///
/// # Errors
/// When nobody listens there, when the answer takes longer than `patience`, and when it is no HTTP.
pub async fn ask(listen: SocketAddr, path: &str, patience: Duration) -> io::Result<(u16, String)> {
    let asked = async {
        let mut stream = TcpStream::connect(reachable(listen)).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: strawboss\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.take(CAP).read_to_string(&mut answer).await?;
        parse(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "what listens there speaks no HTTP"))
    };
    tokio::time::timeout(patience, asked).await?
}

fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listen.port())
}

fn parse(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.split(' ').next()?;
    Some((status.parse().ok()?, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_address_is_asked_on_the_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:9464", "127.0.0.1:9464"),
            ("[::]:9464", "[::1]:9464"),
            ("10.0.0.7:80", "10.0.0.7:80"),
        ] {
            assert_eq!(reachable(listen.parse().expect("one")).to_string(), asked);
        }
    }

    #[test]
    fn an_answer_is_its_status_and_its_body() {
        let answer = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(parse(answer), Some((503, "{}".to_owned())));
        assert_eq!(parse("SSH-2.0-OpenSSH_9.2\r\n\r\n"), None);
    }
}
