//! A TCP proxy before PostgreSQL that can be told to misbehave as networks do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// What the proxy does with bytes and connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Passes everything on.
    Pass,
    /// Passes everything on, each piece so much later.
    Delay(Duration),
    /// Takes connections and passes nothing, in neither direction, as a network that loses packets: nobody is told.
    /// What was held back is passed on when the mode changes.
    Stall,
    /// Passes on what clients say and loses what the server answers, for good.
    Mute,
    /// Refuses new connections, as a host without a server does; present ones go on.
    Refuse,
}

/// What connections look out for.
#[derive(Clone)]
struct Weather {
    modes: watch::Receiver<Mode>,
    cuts: watch::Receiver<u64>,
    strands: watch::Receiver<u64>,
    asked: Arc<AtomicU64>,
}

/// The proxy; it ends, with all its connections, when dropped.
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    cut: watch::Sender<u64>,
    strand: watch::Sender<u64>,
    asked: Arc<AtomicU64>,
    accepting: AbortHandle,
    connections: watch::Receiver<usize>,
}

impl Proxy {
    /// Listens on a port of its own and passes everything on to the server of `url`.
    pub async fn before(url: &str) -> Proxy {
        let target = target(url);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (mode, modes) = watch::channel(Mode::Pass);
        let (cut, cuts) = watch::channel(0);
        let (strand, strands) = watch::channel(0);
        let asked = Arc::new(AtomicU64::new(0));
        let weather = Weather {
            modes,
            cuts,
            strands,
            asked: Arc::clone(&asked),
        };
        let (count, connections) = watch::channel(0);
        let accepting = tokio::spawn(accept(listener, target, weather, Arc::new(count))).abort_handle();
        Proxy {
            address,
            mode,
            cut,
            strand,
            asked,
            accepting,
            connections,
        }
    }

    /// `url` with the proxy's address in place of the server's.
    pub fn url(&self, url: &str) -> String {
        url.replacen(&target(url), &self.address.to_string(), 1)
    }

    /// Changes what is done from now on.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Closes every present connection.
    pub fn cut(&self) {
        self.cut.send_modify(|count| *count += 1);
    }

    /// Passes nothing more on present connections and tells nobody, as a firewall that forgot them; new ones are served.
    pub fn strand(&self) {
        self.strand.send_modify(|count| *count += 1);
    }

    /// How many pieces clients have sent; a small statement is one.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Refuses new connections and breaks the present ones: the server is gone.
    pub async fn outage(&self) {
        self.set(Mode::Refuse);
        self.cut();
        let mut connections = self.connections.clone();
        connections.wait_for(|count| *count == 0).await.expect("the proxy runs");
    }

    /// How many connections pass through at the moment.
    pub fn connections(&self) -> usize {
        *self.connections.borrow()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// `host:port` of a URL.
fn target(url: &str) -> String {
    let after = url.split_once("://").expect("a URL").1;
    let authority = after.split(['/', '?']).next().unwrap_or_default();
    let address = authority.rsplit('@').next().unwrap_or_default();
    assert!(address.contains(':'), "the proxy wants a port in the URL");
    address.to_owned()
}

async fn accept(listener: TcpListener, target: String, weather: Weather, count: Arc<watch::Sender<usize>>) {
    let address = listener.local_addr().expect("it is bound");
    let mut listener = Some(listener);
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    let mut modes = weather.modes.clone();
    loop {
        if *modes.borrow_and_update() == Mode::Refuse {
            listener = None;
            if modes.changed().await.is_err() {
                return;
            }
            continue;
        }
        let open = match &listener {
            Some(open) => open,
            None => listener.insert(TcpListener::bind(address).await.expect("the port is still ours")),
        };
        tokio::select! {
            accepted = open.accept() => {
                let (client, _) = accepted.expect("connections can be taken");
                let connection = serve(client, target.clone(), weather.clone());
                let count = Arc::clone(&count);
                count.send_modify(|count| *count += 1);
                connections.spawn(async move {
                    connection.await;
                    count.send_modify(|count| *count -= 1);
                });
            }
            changed = modes.changed() => if changed.is_err() { return },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(client: TcpStream, target: String, mut weather: Weather) {
    weather.cuts.mark_unchanged();
    weather.strands.mark_unchanged();
    let Ok(server) = TcpStream::connect(&target).await else {
        return;
    };
    for stream in [&client, &server] {
        // Otherwise small packets wait for each other, and latencies measured through the proxy mean nothing.
        let _ = stream.set_nodelay(true);
    }
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    tokio::select! {
        () = pump(client_reads, server_writes, weather.clone(), false) => {}
        () = pump(server_reads, client_writes, weather.clone(), true) => {}
        _ = weather.cuts.changed() => {}
    }
}

/// Moves bytes one way until either end closes.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut weather: Weather, answers: bool) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        if !answers {
            weather.asked.fetch_add(1, Ordering::Relaxed);
        }
        let mode = weather.modes.wait_for(|mode| *mode != Mode::Stall).await;
        let mode = mode.map(|mode| *mode);
        if weather.strands.has_changed().unwrap_or(false) {
            std::future::pending::<()>().await;
        }
        match mode {
            Ok(Mode::Delay(delay)) => tokio::time::sleep(delay).await,
            Ok(Mode::Mute) if answers => continue,
            _ => {}
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
