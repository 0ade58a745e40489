//! A program and everything it started: a process group, which ends as a whole.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use futures_util::future::{FusedFuture, FutureExt};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// How long the group may take to end after SIGTERM, before SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
/// How often an ending group is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// A running group. Dropping it ends it, too: at once by SIGTERM, and for those that stay by SIGKILL after the grace.
pub(super) struct Group {
    members: Option<Members>,
}

impl Group {
    /// Starts the command as the leader of a group of its own.
    pub(super) fn spawn(command: &mut Command) -> io::Result<Group> {
        let leader = command.process_group(0).spawn()?;
        let id = leader
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .ok_or_else(|| io::Error::other("the process has no id"))?;
        Ok(Group {
            members: Some(Members {
                leader,
                id: Pid::from_raw(id),
                over: false,
            }),
        })
    }

    /// The pipes to and from the leader, as far as they are there and not taken yet.
    pub(super) fn pipes(&mut self) -> (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>) {
        match &mut self.members {
            Some(Members { leader, .. }) => (leader.stdin.take(), leader.stdout.take(), leader.stderr.take()),
            None => (None, None, None),
        }
    }

    /// Waits for the leader to exit; others may still run.
    pub(super) async fn exited(&mut self) -> io::Result<ExitStatus> {
        match &mut self.members {
            Some(members) => members.leader.wait().await,
            None => Err(io::Error::other("the group has ended")),
        }
    }

    /// Ends whoever is left, and waits until it has. `closed` is ready when nobody holds the pipes any more.
    pub(super) async fn end(&mut self, closed: impl Future<Output = ()>) {
        if let Some(members) = &mut self.members {
            members.end(closed).await;
            self.members = None;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(mut members) = self.members.take() else {
            return;
        };
        members.signal(Signal::SIGTERM);
        // Without a runtime there is nobody to wait: then dropping the members kills them.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { members.end(std::future::pending()).await });
        }
    }
}

struct Members {
    leader: Child,
    /// The group's id, which is its leader's. The system gives it to no other as long as the leader is not waited for
    /// or any member lives, nor soon after, so a signal does not hit strangers.
    id: Pid,
    over: bool,
}

impl Members {
    /// SIGTERM, and SIGKILL for those who are left: after the grace, or as soon as the leader has gone and nobody holds
    /// the pipes. Such are zombies that nobody waits for, or have cut themselves off.
    async fn end(&mut self, closed: impl Future<Output = ()>) {
        self.signal(Signal::SIGTERM);
        let mut closed = pin!(closed.fuse());
        let kill_at = Instant::now() + GRACE;
        while !(self.leader_has_gone() && (closed.is_terminated() || self.is_empty())) && Instant::now() < kill_at {
            tokio::select! {
                biased;
                () = &mut closed, if !closed.is_terminated() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        self.signal(Signal::SIGKILL);
        // An error says that somebody else has waited for it; it is gone all the same.
        let _ = self.leader.wait().await;
        self.over = true;
    }

    fn leader_has_gone(&mut self) -> bool {
        !matches!(self.leader.try_wait(), Ok(None))
    }

    fn is_empty(&self) -> bool {
        killpg(self.id, None).is_err()
    }

    /// An error says that nobody is left, which is what is wanted.
    fn signal(&self, signal: Signal) {
        let _ = killpg(self.id, signal);
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        if !self.over {
            self.signal(Signal::SIGKILL);
        }
    }
}
