//! A real terminal: a program in a tmux of its own, typed to and read like a person would.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use super::wait::PATIENCE;

/// A terminal with a program in it; dropped, both end.
pub struct Terminal {
    socket: PathBuf,
    _directory: tempfile::TempDir,
}

impl Terminal {
    /// Runs a command line of the shell in a terminal of this size. When it ends, its exit code is shown and a shell waits.
    pub fn run(command: &str, columns: u16, rows: u16) -> Terminal {
        let directory = tempfile::tempdir().expect("a directory");
        let terminal = Terminal {
            socket: directory.path().join("tmux"),
            _directory: directory,
        };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let then = format!("{command}; echo \"ended with $?\"; exec sh");
        let began = terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &columns,
            "-y",
            &rows,
            "sh",
            "-c",
            &then,
        ]);
        assert!(began.status.success(), "{}", String::from_utf8_lossy(&began.stderr));
        terminal
    }

    /// Presses keys, as tmux names them: `Down`, `Escape`, `C-c`, or a character.
    pub fn press(&self, keys: &[&str]) {
        let mut arguments = vec!["send-keys"];
        arguments.extend(keys);
        assert!(self.tmux(&arguments).status.success());
    }

    /// Gives the terminal another size.
    pub fn resize(&self, columns: u16, rows: u16) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let resized = self.tmux(&["resize-window", "-x", &columns, "-y", &rows]);
        assert!(resized.status.success(), "{}", String::from_utf8_lossy(&resized.stderr));
    }

    /// What is on the screen.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p"]).stdout).into_owned()
    }

    /// The process of the program, which the shell has started.
    pub fn program(&self) -> String {
        let shell = self.tmux(&["list-panes", "-F", "#{pane_pid}"]).stdout;
        let shell = String::from_utf8_lossy(&shell).trim().to_owned();
        let children = Command::new("pgrep").args(["-P", &shell]).output().expect("pgrep runs");
        String::from_utf8_lossy(&children.stdout).trim().to_owned()
    }

    /// Waits until the screen is as it should be, and returns it.
    pub async fn until(&self, what: &str, mut is_it: impl FnMut(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let screen = self.screen();
            if is_it(&screen) {
                return screen;
            }
            assert!(began.elapsed() < PATIENCE, "the screen does not show {what}:\n{screen}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a text is on the screen, and returns all of it.
    pub async fn until_shown(&self, text: &str) -> String {
        self.until(text, |screen| screen.contains(text)).await
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        Command::new("tmux")
            .arg("-S")
            .arg(&self.socket)
            .args(arguments)
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .env_remove("NO_COLOR")
            .env_remove("TMUX")
            .output()
            .expect("tmux runs; install it (Debian: apt-get install tmux)")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}
