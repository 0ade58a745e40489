//! A pooler in transaction mode, as strict as PgBouncer was before it learned about prepared statements: a client has a
//! server connection from its first message to the next idle `ReadyForQuery`, and no longer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::{AbortHandle, JoinSet};
use tokio_postgres::Config;
use tokio_postgres::config::Host;

const SSL_REQUEST: u32 = 80_877_103;
const PROTOCOL: u32 = 196_608;

/// The pooler; it ends, with all its connections, when dropped.
pub struct Pooler {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

struct Shared {
    target: Config,
    /// How many server connections may be lent at once.
    permits: Semaphore,
    /// The free ones; the one used last is lent first.
    free: Mutex<Vec<TcpStream>>,
    named: AtomicUsize,
}

/// One message: its kind and what follows the length.
struct Message {
    kind: u8,
    body: Vec<u8>,
}

impl Pooler {
    /// Listens on a port of its own and shares so many connections to the server of `url` among all who come, whatever
    /// their password.
    pub async fn before(url: &str, servers: usize) -> Pooler {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            target: url.parse().expect("a libpq URL"),
            permits: Semaphore::new(servers),
            free: Mutex::default(),
            named: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            // Dropped with this task, and every client with it.
            let mut clients = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.expect("connections can be taken");
                let shared = Arc::clone(&serving);
                // An error is a client or a server that left, which is nobody's failure here.
                clients.spawn(async move { drop(serve(client, &shared).await) });
            }
        })
        .abort_handle();
        Pooler {
            address,
            shared,
            accepting,
        }
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        let target = &self.shared.target;
        let (user, database) = (
            target.get_user().unwrap_or_default(),
            target.get_dbname().unwrap_or_default(),
        );
        format!("postgres://{user}@{}/{database}", self.address)
    }

    /// How many times a client relied on a statement with a name; each was refused.
    pub fn named_statements(&self) -> usize {
        self.shared.named.load(Ordering::SeqCst)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut client: TcpStream, shared: &Shared) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    loop {
        let length = client.read_u32().await?;
        let code = client.read_u32().await?;
        let mut rest = vec![0; length as usize - 8];
        client.read_exact(&mut rest).await?;
        match code {
            SSL_REQUEST => client.write_all(b"N").await?,
            PROTOCOL => break,
            _ => return Ok(()),
        }
    }
    send(&mut client, b'R', &0_u32.to_be_bytes()).await?;
    for parameter in [&b"server_version\x0015.0\0"[..], b"client_encoding\0UTF8\0"] {
        send(&mut client, b'S', parameter).await?;
    }
    send(&mut client, b'K', &[0; 8]).await?;
    send(&mut client, b'Z', b"I").await?;

    while let Some(batch) = batch(&mut client).await? {
        let _permit = shared.permits.acquire().await.expect("it is never closed");
        let lent = shared.free.lock().await.pop();
        let mut server = match lent {
            Some(server) => server,
            None => connect(&shared.target).await?,
        };
        // An error drops the server connection, and with it whatever the client had begun there.
        if !lend(&mut client, &mut server, batch, shared).await? {
            return Ok(());
        }
        shared.free.lock().await.push(server);
    }
    Ok(())
}

/// Passes batches on until the server is idle again; false when the client left before.
async fn lend(
    client: &mut TcpStream,
    server: &mut TcpStream,
    mut batch: Vec<Message>,
    shared: &Shared,
) -> std::io::Result<bool> {
    let mut state = b'I';
    loop {
        if batch.iter().any(has_name) {
            shared.named.fetch_add(1, Ordering::SeqCst);
            let refusal = b"SERROR\0VERROR\0C26000\0Mprepared statement does not exist\0\0";
            send(client, b'E', refusal).await?;
            // A failed transaction stays one on both sides.
            if state == b'T' {
                send(server, b'Q', b"SELECT 1/0\0").await?;
                while receive(server).await?.kind != b'Z' {}
                state = b'E';
            }
            send(client, b'Z', &[state]).await?;
        } else {
            for message in &batch {
                send(server, message.kind, &message.body).await?;
            }
            loop {
                let message = receive(server).await?;
                send(client, message.kind, &message.body).await?;
                if message.kind == b'Z' {
                    state = message.body[0];
                    break;
                }
            }
        }
        if state == b'I' {
            return Ok(true);
        }
        match self::batch(client).await? {
            Some(next) => batch = next,
            None => return Ok(false),
        }
    }
}

/// The client's messages up to the one that waits for an answer; none when it leaves.
async fn batch(client: &mut TcpStream) -> std::io::Result<Option<Vec<Message>>> {
    let mut batch = Vec::new();
    loop {
        let message = receive(client).await?;
        let kind = message.kind;
        batch.push(message);
        match kind {
            b'X' => return Ok(None),
            b'Q' | b'S' => return Ok(Some(batch)),
            _ => {}
        }
    }
}

/// Whether a statement is made, used or described by a name; closing one is harmless.
fn has_name(message: &Message) -> bool {
    let statement = match message.kind {
        b'P' => &message.body[..],
        // The portal's name comes first.
        b'B' => {
            let portal = message.body.iter().position(|byte| *byte == 0).expect("it ends in NUL");
            &message.body[portal + 1..]
        }
        b'D' if message.body[0] == b'S' => &message.body[1..],
        _ => return false,
    };
    statement[0] != 0
}

async fn send(stream: &mut TcpStream, kind: u8, body: &[u8]) -> std::io::Result<()> {
    let mut bytes = vec![kind];
    bytes.extend((body.len() as u32 + 4).to_be_bytes());
    bytes.extend(body);
    stream.write_all(&bytes).await
}

async fn receive(stream: &mut TcpStream) -> std::io::Result<Message> {
    let kind = stream.read_u8().await?;
    let length = stream.read_u32().await?;
    let mut body = vec![0; length as usize - 4];
    stream.read_exact(&mut body).await?;
    Ok(Message { kind, body })
}

/// Logs in, by SCRAM if asked to.
async fn connect(target: &Config) -> std::io::Result<TcpStream> {
    let Some(Host::Tcp(host)) = target.get_hosts().first() else {
        panic!("the pooler wants a host in the URL");
    };
    let port = target.get_ports().first().copied().unwrap_or(5432);
    let mut server = TcpStream::connect((host.as_str(), port)).await?;
    server.set_nodelay(true)?;
    let mut startup = PROTOCOL.to_be_bytes().to_vec();
    for (key, value) in [("user", target.get_user()), ("database", target.get_dbname())] {
        let value = value.expect("the URL names user and database");
        startup.extend([key.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    startup.push(0);
    server.write_u32(startup.len() as u32 + 4).await?;
    server.write_all(&startup).await?;

    let password = target.get_password().unwrap_or_default();
    let mut scram = ScramSha256::new(password, ChannelBinding::unsupported());
    loop {
        let message = receive(&mut server).await?;
        match message.kind {
            b'R' => match message.body[3] {
                10 => {
                    let first = scram.message();
                    let mut body = b"SCRAM-SHA-256\0".to_vec();
                    body.extend((first.len() as u32).to_be_bytes());
                    body.extend(first);
                    send(&mut server, b'p', &body).await?;
                }
                11 => {
                    scram.update(&message.body[4..])?;
                    send(&mut server, b'p', scram.message()).await?;
                }
                12 => scram.finish(&message.body[4..])?,
                0 => {}
                other => panic!("the server wants authentication {other}"),
            },
            b'E' => panic!("the server refuses: {}", String::from_utf8_lossy(&message.body)),
            b'Z' => return Ok(server),
            _ => {}
        }
    }
}
