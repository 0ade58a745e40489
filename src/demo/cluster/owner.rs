//! Whom the server runs as. PostgreSQL refuses root, so root lends it to somebody with fewer rights.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{User, geteuid};

use super::Error;

/// The user the server runs as: ourselves, unless we are root.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    other: Option<User>,
}

impl Owner {
    pub(super) fn choose() -> Result<Owner, Error> {
        if !geteuid().is_root() {
            return Ok(Owner { other: None });
        }
        let known = ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .filter(|user| !user.uid.is_root());
        match known {
            Some(user) => Ok(Owner { other: Some(user) }),
            None => Err(Error::NoUser),
        }
    }

    /// Whether the server runs as somebody else than we do.
    pub(super) fn is_other(&self) -> bool {
        self.other.is_some()
    }

    pub(super) fn apply(&self, command: &mut Command) {
        if let Some(user) = &self.other {
            // Setting the uid as root drops the supplementary groups as well.
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
            command.env("HOME", &user.dir).env("USER", &user.name);
        }
    }

    pub(super) fn give(&self, path: &Path) -> Result<(), Error> {
        match &self.other {
            None => Ok(()),
            Some(user) => std::os::unix::fs::chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                .map_err(Error::io("giving to the server's user", path)),
        }
    }

    /// The system's temporary directory, or the next one that the server's user can walk into.
    pub(super) fn temporary_directory(&self) -> Result<PathBuf, Error> {
        let usual = std::env::temp_dir();
        match &self.other {
            None => Ok(usual),
            Some(user) => [usual, PathBuf::from("/var/tmp"), PathBuf::from("/tmp")]
                .into_iter()
                .find(|path| is_open_to_all(path))
                .ok_or_else(|| Error::NoTemporaryDirectory {
                    user: user.name.clone(),
                }),
        }
    }
}

fn is_open_to_all(path: &Path) -> bool {
    path.canonicalize().is_ok_and(|path| {
        path.ancestors()
            .all(|directory| fs::metadata(directory).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0))
    })
}
