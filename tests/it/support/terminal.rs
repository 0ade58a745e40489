//! A real terminal: a program in a tmux of its own, typed to and read like a person would.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::wait::PATIENCE;

/// A terminal with a program in it; dropped, both end.
pub struct Terminal {
    socket: PathBuf,
    /// Has the process of the program in it.
    process: PathBuf,
    _directory: tempfile::TempDir,
}

impl Terminal {
    /// Runs a command, of which nothing needs quotes, in a terminal of this size. When it ends, its exit code is shown and a
    /// shell waits.
    pub fn run(command: &str, columns: u16, rows: u16) -> Terminal {
        let directory = tempfile::tempdir().expect("a directory");
        let terminal = Terminal {
            socket: directory.path().join("tmux"),
            process: directory.path().join("process"),
            _directory: directory,
        };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let noted = format!("echo $$ > {}; exec {command}", terminal.process.display());
        let then = format!("sh -c '{noted}'; echo \"ended with $?\"; exec sh");
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

    /// Whether the program has taken the terminal's other screen, as those do that draw all of it.
    pub fn is_taken(&self) -> bool {
        let taken = self.tmux(&["display-message", "-p", "#{alternate_on}"]).stdout;
        String::from_utf8_lossy(&taken).trim() == "1"
    }

    /// Sends the program a signal.
    pub fn signal(&self, signal: Signal) {
        let process = std::fs::read_to_string(&self.process).expect("the program was started");
        let process = process.trim().parse().expect("a number");
        kill(Pid::from_raw(process), signal).expect("it runs");
    }

    /// Holds the terminal to being in order: what is typed is shown, and obeyed.
    pub async fn until_in_order(&self) {
        self.press(&["echo back-$((40+2))", "Enter"]);
        let screen = self.until_shown("back-42").await;
        assert!(!self.is_taken() && screen.contains("echo back-"), "{screen}");
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
            .args(["-u", "-S"])
            .arg(&self.socket)
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .output()
            .expect("tmux runs; install it (Debian: apt-get install tmux)")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}
