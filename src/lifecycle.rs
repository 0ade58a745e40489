//! Tasks by name, a soft stop and a hard one, and a report of what hangs.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Threads of the servants: one would do but for a large batch of outputs that has to be looked through.
const THREADS: usize = 2;

/// The tasks of one worker and the two signals that end them; cheap to clone.
///
/// Handlers run on the runtime of whoever runs the worker. Its own servants live in [`Quarters`] apart: a handler that
/// blocks its thread may stop all timers and sockets of a runtime, and verdicts must be written all the same.
#[derive(Clone)]
pub struct Lifecycle {
    /// No new claims; what runs may finish.
    pub soft: CancellationToken,
    /// Runs are cut off and their jobs handed back.
    pub hard: CancellationToken,
    handlers: Handle,
    servants: Handle,
    tracker: TaskTracker,
    running: Arc<Mutex<BTreeMap<&'static str, usize>>>,
    died: watch::Sender<Option<&'static str>>,
}

/// The runtime of a worker's servants; dropped, it ends without waiting for anything.
pub struct Quarters(Option<Runtime>);

impl Quarters {
    /// Makes the runtime.
    ///
    /// # Errors
    /// Where the system has no thread or no event queue left.
    pub fn new() -> io::Result<Quarters> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("strawboss")
            .enable_all()
            .build()?;
        Ok(Quarters(Some(runtime)))
    }

    /// Where the servants are spawned.
    ///
    /// # Panics
    /// Never: the runtime is there until the value is dropped.
    pub fn handle(&self) -> &Handle {
        self.0.as_ref().expect("it is taken when dropped only").handle()
    }
}

impl Drop for Quarters {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Counts a task under its name for as long as it lives.
struct Named {
    name: &'static str,
    running: Arc<Mutex<BTreeMap<&'static str, usize>>>,
    /// Told if the task panics.
    died: Option<watch::Sender<Option<&'static str>>>,
}

impl Drop for Named {
    fn drop(&mut self) {
        if let Some(died) = self.died.as_ref().filter(|_| std::thread::panicking()) {
            died.send_if_modified(|died| died.replace(self.name).is_none());
        }
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = running.get_mut(self.name) {
            *count -= 1;
            if *count == 0 {
                running.remove(self.name);
            }
        }
    }
}

impl Lifecycle {
    /// The life of a worker whose handlers run on this runtime, and whose servants live in those quarters.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn new(quarters: &Quarters) -> Lifecycle {
        Lifecycle {
            soft: CancellationToken::new(),
            hard: CancellationToken::new(),
            handlers: Handle::current(),
            servants: quarters.handle().clone(),
            tracker: TaskTracker::new(),
            running: Arc::default(),
            died: watch::Sender::new(None),
        }
    }

    /// The servant that died first, if one did.
    pub fn died(&self) -> Option<&'static str> {
        *self.died.borrow()
    }

    /// Waits until a servant has died by a panic, and tells its name. No work is of use without it: jobs would be run
    /// whose verdicts nobody writes, or whose leases nobody keeps.
    pub async fn broken(&self) -> &'static str {
        let mut died = self.died.subscribe();
        match died.wait_for(Option::is_some).await.map(|name| *name) {
            Ok(Some(name)) => name,
            // It cannot close: the sender is here.
            _ => std::future::pending().await,
        }
    }

    /// Spawns a servant under a name, so that a stop that hangs can say on what.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.spawn_on(&self.servants, self.named(name, true), task)
    }

    /// Spawns what runs a handler, likewise.
    pub fn spawn_handler<T: Send + 'static>(
        &self,
        name: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.spawn_on(&self.handlers, self.named(name, false), task)
    }

    fn spawn_on<T: Send + 'static>(
        &self,
        runtime: &Handle,
        named: Named,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let task = async move {
            let _named = named;
            task.await
        };
        self.tracker.spawn_on(task, runtime)
    }

    /// Runs a task on a thread and a runtime of its own, under a name.
    ///
    /// # Panics
    /// Where the system has no thread or no event queue left, which no worker could run without.
    pub fn spawn_apart(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let named = self.named(name, true);
        let token = self.tracker.token();
        std::thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                let (_token, _named) = (token, named);
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime of one thread can be made at start");
                runtime.block_on(task);
            })
            .expect("a thread can be made at start");
    }

    fn named(&self, name: &'static str, is_servant: bool) -> Named {
        *self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(name)
            .or_default() += 1;
        Named {
            name,
            running: Arc::clone(&self.running),
            died: is_servant.then(|| self.died.clone()),
        }
    }

    /// The names of the tasks that live, with how many of each.
    pub fn running(&self) -> BTreeMap<&'static str, usize> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until every task has ended, for so long at most; returns the names of those that have not.
    pub async fn ended(&self, patience: Duration) -> BTreeMap<&'static str, usize> {
        self.tracker.close();
        let _ = tokio::time::timeout(patience, self.tracker.wait()).await;
        self.running()
    }
}

/// What a worker did in its life, and what was left when it stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Attempts by what came of them.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Jobs that were running when the stop came and finished within the grace.
    pub drained: usize,
    /// Jobs handed back unfinished.
    pub released: usize,
    /// Verdicts that could not be written before the stop; their jobs run again.
    pub unwritten: usize,
    /// Tasks that did not end, with how many of each.
    pub hanging: BTreeMap<&'static str, usize>,
    /// The servant whose death made the worker stop, if that was the reason.
    pub died: Option<&'static str>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped")?;
        for (outcome, count) in &self.outcomes {
            write!(f, ", {count} {outcome}")?;
        }
        write!(
            f,
            "; on the stop {} finished and {} were handed back",
            self.drained, self.released
        )?;
        if self.unwritten > 0 {
            write!(
                f,
                ", {} verdicts could not be written (their jobs run again)",
                self.unwritten
            )?;
        }
        if !self.hanging.is_empty() {
            let names: Vec<_> = self
                .hanging
                .iter()
                .map(|(name, count)| format!("{name} ({count})"))
                .collect();
            write!(f, "; still hanging: {}", names.join(", "))?;
        }
        if let Some(name) = self.died {
            write!(f, "; the {name} died of a panic")?;
        }
        Ok(())
    }
}

impl Report {
    /// Whether nothing was left undone.
    pub fn is_clean(&self) -> bool {
        self.unwritten == 0 && self.hanging.is_empty() && self.died.is_none()
    }
}

/// Tells `stop` of the first SIGTERM or SIGINT; the second one ends the process at once, with exit code 130.
///
/// # Errors
/// Where the system lets no handler be set.
pub fn on_signals(stop: oneshot::Sender<()>) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let mut stop = Some(stop);
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            match stop.take() {
                Some(stop) => {
                    tracing::info!(signal = name, "told to stop; once more stops at once");
                    let _ = stop.send(());
                }
                None => {
                    tracing::warn!(
                        signal = name,
                        "stopping at once; what runs is taken back when its lease is over"
                    );
                    std::process::exit(130);
                }
            }
        }
    });
    Ok(())
}
