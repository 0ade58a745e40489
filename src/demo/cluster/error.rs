//! What can go wrong on the way to a private server.

use std::io;
use std::path::{Path, PathBuf};

/// Why there is no private server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither the machine nor npm has PostgreSQL to offer.
    #[error("no PostgreSQL was found on this machine.{}\n{}", list(.tried), install_hint())]
    NotFound {
        /// What was looked at and why it would not do.
        tried: Vec<String>,
    },
    /// A directory or version that was asked for by name does not serve.
    #[error("{choice}: {reason}")]
    Choice {
        /// The variable and its value.
        choice: String,
        /// What is wrong with it.
        reason: String,
    },
    /// npm could not deliver PostgreSQL.
    #[error("npm could not fetch {package}: {message}")]
    Npm {
        /// The package that was asked for.
        package: String,
        /// What npm said.
        message: String,
    },
    /// PostgreSQL refuses to run as root, and there is no other user to run it as.
    #[error("PostgreSQL does not run as root, and this machine has neither a user `postgres` nor `nobody`")]
    NoUser,
    /// No temporary directory can be entered by the user the server runs as.
    #[error("no temporary directory is open to the user {user}; set TMPDIR to one that is")]
    NoTemporaryDirectory {
        /// The user the server would run as.
        user: String,
    },
    /// `initdb` failed.
    #[error("initdb failed: {message}")]
    Initdb {
        /// What it wrote to standard error.
        message: String,
    },
    /// The server ended, or was not ready after a minute.
    #[error("the private PostgreSQL did not start: {message}")]
    Start {
        /// The last lines of its log.
        message: String,
    },
    /// Not one of a hundred ports was free.
    #[error("no free port on 127.0.0.1")]
    Port {
        /// Why the last one was refused.
        source: io::Error,
    },
    /// The operating system refused something.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was being done, to be read before the path.
        doing: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl Error {
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io {
            doing,
            path: path.to_owned(),
            source,
        }
    }
}

fn list(tried: &[String]) -> String {
    tried.iter().map(|line| format!("\n  {line}")).collect()
}

fn install_hint() -> &'static str {
    if cfg!(target_os = "macos") {
        "Install it with `brew install postgresql@17`, or set DATABASE_URL to a server, or STRAWBOSS_PG_BIN to the \
         directory of initdb and postgres. With Node's npm installed it is fetched from there."
    } else {
        "Install it (Debian, Ubuntu: `apt install postgresql`; Fedora, RHEL: `dnf install postgresql-server`; Alpine: \
         `apk add postgresql`; Arch: `pacman -S postgresql`), or set DATABASE_URL to a server, or STRAWBOSS_PG_BIN to \
         the directory of initdb and postgres. With Node's npm installed it is fetched from there."
    }
}
