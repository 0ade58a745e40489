//! A small shell that waits for our end, so that a server is not left behind even by `kill -9`.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::Error;

/// Holds the pipe whose end tells the watchdog that we are gone.
pub(super) struct Watchdog {
    shell: Child,
}

impl Watchdog {
    pub(super) fn over(directory: &Path) -> Result<Watchdog, Error> {
        let shell = Command::new("/bin/sh")
            .args(["-c", include_str!("watchdog.sh"), "strawboss-watchdog"])
            .arg(directory)
            // Its own process group, so that what ends our group does not end the one who cleans up after it.
            .process_group(0)
            .current_dir("/")
            // The pipe is closed in every other child of ours when it starts its program: only we hold it.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::io("starting a watchdog over", directory))?;
        Ok(Watchdog { shell })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // What it had to clean is gone already or goes now; a failure to wait leaves nothing for us to do.
        let _ = self.shell.wait();
    }
}
