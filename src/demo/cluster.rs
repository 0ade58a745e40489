//! A private, throw-away PostgreSQL: made in a temporary directory, gone with the process that made it.
//!
//! Nothing here is asynchronous: starting a cluster takes a second or two of another program's time, so an asynchronous
//! caller runs it where blocking is allowed.

mod binaries;
mod error;
mod npm;
mod owner;
mod watchdog;

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

pub use binaries::Binaries;
pub use error::Error;
use owner::Owner;
use watchdog::Watchdog;

/// The database superuser that `initdb` makes, and the database it makes for it.
const SUPERUSER: &str = "postgres";

/// Receives one line per step, for a person who waits.
pub type Progress = Arc<dyn Fn(&str) + Send + Sync>;

/// How the private server is set up.
#[derive(Clone)]
pub struct Options {
    /// Whether a commit reaches the disk before it is answered; true by default. False is faster and still outlives a
    /// crash of the server, though not one of the machine.
    pub durable: bool,
    /// How many connections the server takes; 100 by default.
    pub max_connections: u32,
    /// Further server parameters, as `postgresql.conf` names them.
    pub parameters: Vec<(String, String)>,
    /// Told what is being done; silent by default.
    pub progress: Progress,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            durable: true,
            max_connections: 100,
            parameters: Vec::new(),
            progress: Arc::new(|_| {}),
        }
    }
}

/// A running private server. Dropping it stops the server at once and removes all it has written; so does the end of
/// this process, however it comes.
pub struct Cluster {
    binaries: Binaries,
    owner: Owner,
    options: Options,
    port: u16,
    password: String,
    server: Option<Child>,
    // Last, so that the server is down before the directory goes, and the watchdog is told when all is done.
    directory: TempDir,
    _watchdog: Watchdog,
}

impl Cluster {
    /// Finds PostgreSQL on this machine, or fetches it through npm, and starts a private server with it.
    pub fn start(options: Options) -> Result<Cluster, Error> {
        let owner = Owner::choose()?;
        let binaries = Binaries::find(&owner, &options.progress)?;
        Cluster::start_with(binaries, owner, options)
    }

    fn start_with(binaries: Binaries, owner: Owner, options: Options) -> Result<Cluster, Error> {
        let parent = owner.temporary_directory()?;
        let directory = tempfile::Builder::new()
            .prefix("strawboss-pg-")
            .tempdir_in(&parent)
            .map_err(Error::io("making a directory for the private server in", &parent))?;
        let watchdog = Watchdog::over(directory.path())?;
        owner.give(directory.path())?;

        (options.progress)(&format!(
            "Making a private PostgreSQL {} with {}",
            binaries.version(),
            binaries.directory().display()
        ));
        let password = uuid::Uuid::new_v4().simple().to_string();
        let mut cluster = Cluster {
            binaries,
            owner,
            options,
            port: 0,
            password,
            server: None,
            directory,
            _watchdog: watchdog,
        };
        cluster.initialise()?;
        cluster.start_on_free_port()?;
        (cluster.options.progress)(&format!(
            "PostgreSQL {} listens at 127.0.0.1:{}",
            cluster.binaries.version(),
            cluster.port
        ));
        Ok(cluster)
    }

    /// Where clients connect; carries the password, so it is not for logs.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The same for another database of it.
    pub fn url_of(&self, database: &str) -> String {
        format!(
            "postgres://{SUPERUSER}:{}@127.0.0.1:{}/{database}",
            self.password, self.port
        )
    }

    /// The TCP port on 127.0.0.1, the same for the life of the cluster.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The programs the server was made with.
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// The directory that holds everything of this cluster, its Unix socket included where the path is short enough.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The process id of the server, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// Stops the server as an administrator would: sessions are ended, data is flushed.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.end(Signal::SIGINT)
    }

    /// Stops the server as a crash would: nothing is flushed, the next start recovers from the log.
    pub fn crash(&mut self) -> Result<(), Error> {
        self.end(Signal::SIGQUIT)
    }

    /// Starts the server again on its port, stopping it first if it still runs.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.stop()?;
        // The port stays the same, and somebody may hold it for a moment.
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match self.launch() {
                Err(Error::Start { .. }) if Instant::now() < deadline => thread::sleep(Duration::from_millis(100)),
                other => return other,
            }
        }
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("server.log")
    }

    fn initialise(&self) -> Result<(), Error> {
        let password_file = self.directory.path().join("password");
        let doing = "writing the password of the private server to";
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&password_file)
            .and_then(|mut file| file.write_all(self.password.as_bytes()))
            .map_err(Error::io(doing, &password_file))?;
        self.owner.give(&password_file)?;

        let output = self
            .binaries
            .command("initdb", &self.owner)
            .current_dir(self.directory.path())
            .arg("--pgdata")
            .arg(self.data())
            .arg("--pwfile")
            .arg(&password_file)
            .args(["--username", SUPERUSER, "--auth", "scram-sha-256"])
            .args(["--encoding", "UTF8", "--locale", "C", "--no-sync"])
            .output()
            .map_err(Error::io("running initdb of", self.binaries.directory()))?;
        if !output.status.success() {
            return Err(Error::Initdb {
                message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        }
        fs::remove_file(&password_file).map_err(Error::io("removing", &password_file))?;

        let settings = self.data().join("postgresql.conf");
        fs::OpenOptions::new()
            .append(true)
            .open(&settings)
            .and_then(|mut file| file.write_all(self.settings().as_bytes()))
            .map_err(Error::io("writing", &settings))
    }

    fn settings(&self) -> String {
        let mut parameters = vec![
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("max_connections", self.options.max_connections.to_string()),
            ("timezone", "UTC".to_owned()),
            ("log_timezone", "UTC".to_owned()),
            ("unix_socket_directories", self.socket_directory()),
        ];
        if !self.options.durable {
            for name in ["fsync", "full_page_writes"] {
                parameters.push((name, "off".to_owned()));
            }
        }
        for (name, value) in &self.options.parameters {
            parameters.push((name, value.clone()));
        }
        parameters
            .iter()
            .map(|(name, value)| format!("{name} = '{}'\n", value.replace('\\', "\\\\").replace('\'', "''")))
            .collect()
    }

    /// The path of a Unix socket may have about a hundred bytes; in a deeper directory there is none.
    fn socket_directory(&self) -> String {
        match self.directory.path().to_str() {
            Some(path) if path.len() < 80 => path.to_owned(),
            _ => String::new(),
        }
    }

    /// Between choosing a port and the server's binding of it, somebody else may take it; then another one is tried.
    fn start_on_free_port(&mut self) -> Result<(), Error> {
        let mut attempts = 0;
        loop {
            self.port = free_port()?;
            attempts += 1;
            match self.launch() {
                Err(Error::Start { .. }) if attempts < 5 => {}
                other => return other,
            }
        }
    }

    fn launch(&mut self) -> Result<(), Error> {
        let log_path = self.log();
        let log = fs::File::create(&log_path).map_err(Error::io("writing", &log_path))?;
        let mut server = self
            .binaries
            .command("postgres", &self.owner)
            .current_dir(self.directory.path())
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string()])
            // Its own process group: Ctrl-C in a terminal is for us, and we stop the server when we are done with it.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(Error::io("starting postgres of", self.binaries.directory()))?;

        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.is_ready(server.id()) {
            let ended = server
                .try_wait()
                .map_err(Error::io("waiting for the server in", self.directory.path()))?;
            if ended.is_some() || Instant::now() > deadline {
                // A server that has ended already cannot be ended again, and that is what we want of it.
                let _ = server.kill();
                let _ = server.wait();
                let log = fs::read_to_string(&log_path).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(10).collect();
                return Err(Error::Start {
                    message: tail.into_iter().rev().collect::<Vec<_>>().join("\n"),
                });
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.server = Some(server);
        Ok(())
    }

    /// The server writes its state into the eighth line of its lock file, as `pg_ctl --wait` reads it.
    fn is_ready(&self, pid: u32) -> bool {
        let Ok(lock) = fs::read_to_string(self.data().join("postmaster.pid")) else {
            return false;
        };
        let mut lines = lock.lines();
        lines.next() == Some(pid.to_string().as_str()) && lines.nth(6).is_some_and(|state| state.trim() == "ready")
    }

    fn end(&mut self, signal: Signal) -> Result<(), Error> {
        let Some(mut server) = self.server.take() else {
            return Ok(());
        };
        // The process is our child and not yet waited for, so its id is still its own.
        let _ = kill(Pid::from_raw(server.id().cast_signed()), signal);
        server
            .wait()
            .map(drop)
            .map_err(Error::io("stopping the server in", self.directory.path()))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.crash() {
            tracing::warn!(%error, "the private PostgreSQL could not be stopped");
        }
    }
}

/// A port nobody listens on, below the ranges that systems give to outgoing connections, so that it is still free when
/// the server restarts.
fn free_port() -> Result<u16, Error> {
    let mut last = None;
    for _ in 0..100 {
        let port = rand::random_range(20_000..32_000);
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = Some(error),
        }
    }
    Err(Error::Port {
        source: last.expect("a hundred attempts were made"),
    })
}

/// Lets everyone read and walk what is below `path`; the server's user is not the one who wrote it.
fn open_to_all(path: &Path) -> std::io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_symlink() {
        return Ok(());
    }
    let mode = metadata.permissions().mode();
    let executable = if metadata.is_dir() || mode & 0o100 != 0 {
        0o755
    } else {
        0o644
    };
    fs::set_permissions(path, fs::Permissions::from_mode(mode | executable))?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            open_to_all(&entry?.path())?;
        }
    }
    Ok(())
}
