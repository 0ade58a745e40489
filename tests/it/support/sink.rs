//! An HTTP endpoint that answers what it is told and remembers what it was asked.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use futures_util::StreamExt;
use http::{HeaderMap, Method};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// The other end of the connection it came on.
    pub from: SocketAddr,
    pub method: Method,
    /// Path and query.
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Received {
    /// A header's value; panics if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no header {name} in {:?}", self.headers))
            .to_str()
            .expect("a header of visible ASCII")
    }
}

/// What is answered to one request.
pub enum Reply {
    /// This.
    Whole(Response),
    /// The head and the start of this body; the rest never comes.
    Stalled { status: u16, start: &'static str },
    /// The head and the start of this body; then the connection breaks off.
    Broken { status: u16, start: &'static str },
    /// This, once the token is cancelled.
    Later(CancellationToken, Response),
    /// Nothing, ever. The token is cancelled when the asking side has hung up.
    Never(CancellationToken),
}

/// Starts a whole reply; see [`http::response::Builder`].
pub fn status(status: u16) -> http::response::Builder {
    Response::builder().status(status)
}

/// A whole reply with that body and nothing else.
pub fn reply(code: u16, body: impl Into<Body>) -> Reply {
    Reply::Whole(status(code).body(body.into()).expect("a response"))
}

/// Listens on a port of its own until it is dropped.
pub struct Sink {
    pub address: SocketAddr,
    script: Arc<Script>,
    _serving: AbortOnDropHandle<()>,
}

struct Script {
    replies: Mutex<VecDeque<Reply>>,
    received: Mutex<Vec<Received>>,
    count: watch::Sender<usize>,
    pace: Mutex<Duration>,
}

impl Sink {
    pub async fn start() -> Sink {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        Sink::serve(address, listener)
    }

    /// Speaks TLS with whoever trusts it.
    pub async fn start_tls(config: ServerConfig) -> Sink {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Sink::serve(address, Tls { listener, acceptor })
    }

    fn serve<L>(address: SocketAddr, listener: L) -> Sink
    where
        L: Listener<Addr = SocketAddr>,
        Peer: for<'a> Connected<IncomingStream<'a, L>>,
    {
        let script = Arc::new(Script {
            replies: Mutex::default(),
            received: Mutex::default(),
            count: watch::Sender::new(0),
            pace: Mutex::default(),
        });
        let router = Router::new().fallback(serve).with_state(Arc::clone(&script));
        let serving = tokio::spawn(async move {
            let service = router.into_make_service_with_connect_info::<Peer>();
            axum::serve(listener, service).await.expect("it serves");
        });
        Sink {
            address,
            script,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    /// A URL of it, without TLS.
    pub fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }

    /// Appends to what is answered. When nothing is left, the answer is an empty 200.
    pub fn then(&self, reply: Reply) {
        self.script.replies.lock().expect("no panic").push_back(reply);
    }

    /// Has every answer take so long, as if there were something to do.
    pub fn takes(&self, pace: Duration) {
        *self.script.pace.lock().expect("no panic") = pace;
    }

    /// Everything received so far, in order.
    pub fn received(&self) -> Vec<Received> {
        self.script.received.lock().expect("no panic").clone()
    }

    /// The only request received; panics if it is not exactly one.
    pub fn only(&self) -> Received {
        let mut received = self.received();
        assert_eq!(received.len(), 1, "requests: {received:?}");
        received.remove(0)
    }

    /// Waits until that many requests have come.
    pub async fn until(&self, count: usize) {
        let mut seen = self.script.count.subscribe();
        let waited = tokio::time::timeout(super::wait::PATIENCE, seen.wait_for(|seen| *seen >= count)).await;
        waited
            .unwrap_or_else(|_| panic!("waited in vain for {count} requests"))
            .expect("the sink is there");
    }
}

/// The other end of a connection.
#[derive(Clone)]
struct Peer(SocketAddr);

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Peer(*stream.remote_addr())
    }
}

impl Connected<IncomingStream<'_, Tls>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Tls>) -> Self {
        Peer(*stream.remote_addr())
    }
}

struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, peer) = Listener::accept(&mut self.listener).await;
            // Whoever does not trust us hangs up here.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

async fn serve(
    State(script): State<Arc<Script>>,
    ConnectInfo(Peer(from)): ConnectInfo<Peer>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("the whole body");
    let received = Received {
        from,
        method: parts.method,
        target: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        headers: parts.headers,
        body,
    };
    let next = script.replies.lock().expect("no panic").pop_front();
    // The server drops this future when the connection closes, and the guard with it: from before it is told that the
    // request has come, for whoever waits for that may hang up at once.
    let _guard = match &next {
        Some(Reply::Never(hung_up)) => Some(hung_up.clone().drop_guard()),
        _ => None,
    };
    script.received.lock().expect("no panic").push(received);
    script.count.send_modify(|count| *count += 1);
    let pace = *script.pace.lock().expect("no panic");
    tokio::time::sleep(pace).await;
    let started = |code, start: &'static str, rest| {
        let start = futures_util::stream::iter([Ok(Bytes::from_static(start.as_bytes()))]);
        status(code)
            .body(Body::from_stream(start.chain(rest)))
            .expect("a response")
    };
    match next {
        None => Response::default(),
        Some(Reply::Whole(response)) => response,
        Some(Reply::Later(now, response)) => {
            now.cancelled().await;
            response
        }
        Some(Reply::Stalled { status, start }) => started(status, start, futures_util::stream::pending().boxed()),
        Some(Reply::Broken { status, start }) => {
            let broken = futures_util::stream::iter([Err(std::io::Error::other("broken off"))]);
            started(status, start, broken.boxed())
        }
        Some(Reply::Never(_)) => std::future::pending().await,
    }
}
