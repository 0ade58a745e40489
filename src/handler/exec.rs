//! Handlers that are programs: the job on standard input, the verdict in the exit status.

mod capture;
mod group;
mod input;
mod program;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{FusedFuture, FutureExt};
use nix::sys::signal::Signal;
use tokio::io::AsyncWriteExt;
use tokio::process::{ChildStdin, Command};
use tokio::time::{sleep, timeout};

use self::capture::{Head, Tail};
use self::group::Group;
use super::propagation::Trace;
use super::{Context, Handler, HandlerError, Run, SetupError, output};
use crate::job::{Job, RawJson};

/// `EX_DATAERR` of `sysexits.h`: the job itself is at fault, and no other attempt can help.
const DEAD_LETTER: i32 = 65;
/// How much of standard output may become the job's output, in bytes.
const OUTPUT_CAP: usize = 1024 * 1024;
/// How much of the end of standard error becomes the message, in bytes.
const MESSAGE_CAP: usize = 4096;
/// How long the pipes are read on when the program has exited or was ended.
const LINGER: Duration = Duration::from_secs(1);

/// Runs a program for each job.
pub(super) struct Exec {
    command: Arc<Configured>,
}

struct Configured {
    program: PathBuf,
    arguments: Vec<String>,
    timeout: Duration,
    working_dir: Option<PathBuf>,
    env: BTreeMap<String, String>,
}

impl Exec {
    pub(super) fn new(
        command: &[String],
        timeout: Duration,
        working_dir: Option<&Path>,
        env: &BTreeMap<String, String>,
    ) -> Result<Exec, SetupError> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(SetupError::NoProgram);
        };
        if let Some(dir) = working_dir.filter(|dir| !dir.is_dir()) {
            return Err(SetupError::WorkingDirectory(dir.to_owned()));
        }
        let path = env.get("PATH").map(Into::into).or_else(|| std::env::var_os("PATH"));
        Ok(Exec {
            command: Arc::new(Configured {
                program: program::find(program, working_dir, path.as_deref())?,
                arguments: arguments.to_vec(),
                timeout,
                working_dir: working_dir.map(Path::to_owned),
                env: env.clone(),
            }),
        })
    }
}

impl Handler for Exec {
    fn run(&self, job: Arc<Job>, context: Context) -> Run {
        let command = Arc::clone(&self.command);
        Box::pin(async move { command.attempt(&job, &context).await })
    }
}

/// How a run ended.
enum End {
    Exited(std::io::Result<ExitStatus>),
    TimedOut,
    Cancelled,
}

impl Configured {
    /// One run. Nothing of it outlives it: whatever is left of the process group is ended when the program has exited,
    /// when time is up, when the attempt is cancelled, and when the future is dropped.
    async fn attempt(&self, job: &Job, context: &Context) -> Result<Option<RawJson>, HandlerError> {
        let left = context.remaining();
        if left.is_zero() {
            return Err(HandlerError::retry("nothing was left of the job's expiry").named("TimeoutError"));
        }
        let limit = left.min(self.timeout);
        let trace = Trace::of(&context.trace);
        let mut group = Group::spawn(&mut self.command(job, &trace)).map_err(|error| {
            HandlerError::retry(format!("{} could not be started: {error}", self.program.display())).named("SpawnError")
        })?;
        let (stdin, stdout, stderr) = group.pipes();
        let mut head = Head::new(OUTPUT_CAP);
        let mut tail = Tail::new(MESSAGE_CAP);
        let end = {
            // All three at once, or a program that writes before it has read everything would wait for us for ever.
            let piped = async {
                tokio::join!(
                    feed(stdin, input::of(job, &trace)),
                    capture::read(stdout, &mut head),
                    capture::read(stderr, &mut tail),
                );
            };
            let mut piped = pin!(piped.fuse());
            let mut time_up = pin!(sleep(limit));
            let end = loop {
                tokio::select! {
                    biased;
                    status = group.exited() => break End::Exited(status),
                    () = context.cancelled.cancelled() => break End::Cancelled,
                    () = &mut time_up => break End::TimedOut,
                    () = &mut piped, if !piped.is_terminated() => {}
                }
            };
            if matches!(end, End::Exited(_)) {
                // What it wrote last may still be on its way. Whoever else holds the pipes is not waited for.
                let _ = timeout(LINGER, until_closed(&mut piped)).await;
                group.end(until_closed(&mut piped)).await;
            } else {
                group.end(until_closed(&mut piped)).await;
                let _ = timeout(LINGER, until_closed(&mut piped)).await;
            }
            end
        };
        let failed = |name: &str, message: String| {
            let error = HandlerError::retry(message).named(name);
            match tail.text() {
                text if text.is_empty() => error,
                text => error.with("stderr", text),
            }
        };
        match end {
            End::Exited(Ok(status)) => self.verdict(status, &head, &tail),
            End::Exited(Err(error)) => Err(failed(
                "Error",
                format!("{} could not be waited for: {error}", self.program.display()),
            )),
            End::TimedOut => {
                let whose = if left < self.timeout {
                    ", which was left of the job's expiry"
                } else {
                    ""
                };
                let message = format!("{} did not end within {limit:.1?}{whose}", self.program.display());
                Err(failed("TimeoutError", message))
            }
            End::Cancelled => Err(failed("AbortError", format!("{} was cut off", self.program.display()))),
        }
    }

    fn command(&self, job: &Job, trace: &Trace) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .envs(&self.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, value) in input::environment(job, trace) {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(dir) = &self.working_dir {
            command.current_dir(dir);
        }
        command
    }

    fn verdict(&self, status: ExitStatus, head: &Head, tail: &Tail) -> Result<Option<RawJson>, HandlerError> {
        if status.success() {
            return Ok(match head.whole() {
                Some(bytes) => output::from_bytes(bytes),
                None => Some(output::dropped(&format!(
                    "standard output was larger than {OUTPUT_CAP} bytes"
                ))),
            });
        }
        let said = tail.text();
        let program = self.program.display();
        let Some(code) = status.code() else {
            let signal = signal_name(status);
            let message = if said.is_empty() {
                format!("{program} was ended by {signal}")
            } else {
                format!("{program} was ended by {signal}: {said}")
            };
            return Err(HandlerError::retry(message).named("ExitError").with("signal", signal));
        };
        let message = if said.is_empty() {
            format!("{program} exited with status {code}")
        } else {
            said
        };
        let error = if code == DEAD_LETTER {
            HandlerError::never_retry(message)
        } else {
            HandlerError::retry(message)
        };
        Err(error.named("ExitError").with("exitCode", code))
    }
}

/// Writes the job and closes the pipe. A program need not read it, so an error here means nothing.
async fn feed(stdin: Option<ChildStdin>, input: Vec<u8>) {
    if let Some(mut stdin) = stdin {
        let _ = stdin.write_all(&input).await;
    }
}

/// Reads on until nobody holds the pipes any more; ready at once if that was so before.
async fn until_closed(pipes: &mut (impl FusedFuture<Output = ()> + Unpin)) {
    if !pipes.is_terminated() {
        pipes.await;
    }
}

/// The signal that ended a program, such as `SIGSEGV`.
fn signal_name(status: ExitStatus) -> String {
    let number = status.signal().unwrap_or_default();
    Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |signal| signal.as_str().to_owned())
}
