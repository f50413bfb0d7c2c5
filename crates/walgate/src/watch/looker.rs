//! The task that looks.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use walgate_connection::ConnectionConfig;
use walgate_core::{Backoff, BackoffOptions};
use walgate_replication::SourceState;
use walgate_slot::{History, Limits, OurSlot, Scene, WatchError, Watcher};

use super::free_space::FreeSpace;
use super::ours::our_slot;
use super::{Blind, Instance, Looks, Sight, View, kept};
use crate::config;

/// A connection and two looks take no longer than this, or there is nobody.
const WITHIN: Duration = Duration::from_secs(30);

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A restart of the server is nobody's business: so long it is not said that we see nothing.
const SAY_AFTER: Duration = Duration::from_secs(60);

/// How often the history is written to the state directory.
const KEEP_EVERY: Duration = Duration::from_secs(60);

/// A connection is made anew after this time: rights may have changed, and a server that shuts down
/// and waits for everybody to leave must not wait for us for ever.
const CONNECTION_AGE: Duration = Duration::from_secs(600);

/// What is looked at, and how.
#[derive(Debug)]
pub(crate) struct WatchOptions {
    connection: ConnectionConfig,
    interval: Duration,
    limits: Limits,
    free_space_command: Option<Vec<String>>,
    hide_queries: bool,
    /// Where a history may lie.
    state_dir: PathBuf,
}

impl WatchOptions {
    pub(crate) fn new(config: &config::Config, connection: ConnectionConfig) -> Self {
        let watch = &config.watch;
        Self {
            connection,
            interval: watch.interval.0,
            limits: Limits {
                budget_bytes: watch.budget.map(|budget| budget.0),
                free_disk_bytes: None,
                reserve_bytes: watch.free_space_reserve.0,
            },
            free_space_command: watch.free_space_command.clone(),
            hide_queries: watch.hide_queries,
            state_dir: config.state.dir.clone(),
        }
    }
}

/// A task that looks at the server until this is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    shared: Arc<Shared>,
    sights: watch::Receiver<Arc<Sight>>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    instance: Instance,
    history: Mutex<History>,
    found: Mutex<(Looks, Option<Arc<View>>)>,
}

impl Shared {
    fn sight(&self) -> Sight {
        let moment = self.instance.moment(&lock(&self.history));
        let (looks, view) = lock(&self.found).clone();
        Sight {
            moment,
            looks,
            view,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    /// Begins to look.
    pub(crate) fn start(instance: Instance, options: WatchOptions) -> Self {
        let history = kept::load(&options.state_dir);
        let looks = Looks {
            interval: options.interval,
            ..Looks::default()
        };
        let shared = Arc::new(Shared {
            instance,
            history: Mutex::new(history.unwrap_or_default()),
            found: Mutex::new((looks, None)),
        });
        let (publish, sights) = watch::channel(Arc::new(shared.sight()));
        let looker = Looker {
            shared: Arc::clone(&shared),
            watcher: None,
            connected: Instant::now(),
            free_space: options.free_space_command.clone().map(FreeSpace::new),
            backoff: Backoff::new(BackoffOptions {
                first: options.interval.min(LONGEST_PAUSE),
                longest: LONGEST_PAUSE,
                ..BackoffOptions::default()
            }),
            said: false,
            is_from_before: true,
            saved: Instant::now(),
            saving: None,
            options,
        };
        let interval = looker.options.interval;
        let (wake, woken) = watch::channel(());
        let showing = show(Arc::clone(&shared), interval, publish, woken);
        let tasks = vec![
            tokio::spawn(Box::pin(looker.run(wake))),
            tokio::spawn(showing),
        ];
        Self {
            shared,
            sights,
            tasks,
        }
    }

    /// For a process that has no server to look at: only what it knows of itself.
    pub(crate) fn of_itself(instance: Instance, interval: Duration) -> Self {
        let shared = Arc::new(Shared {
            instance,
            history: Mutex::default(),
            found: Mutex::default(),
        });
        let (publish, sights) = watch::channel(Arc::new(shared.sight()));
        // Nobody wakes it.
        let (_, woken) = watch::channel(());
        let showing = show(Arc::clone(&shared), interval, publish, woken);
        Self {
            shared,
            sights,
            tasks: vec![tokio::spawn(showing)],
        }
    }

    /// What is seen, whenever there is something new, and at the interval at least.
    pub(crate) fn sights(&self) -> watch::Receiver<Arc<Sight>> {
        self.sights.clone()
    }

    /// The process as it is now, beside the last look.
    pub(crate) fn view(&self) -> impl Fn() -> Sight + Send + Sync + Clone + 'static {
        let shared = Arc::clone(&self.shared);
        move || shared.sight()
    }

    /// Ends looking, and keeps what was seen for the next start.
    pub(crate) fn stop(self) {
        keep(&self.shared);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Publishes a sight when there was a look, and when there was none for an interval.
async fn show(
    shared: Arc<Shared>,
    interval: Duration,
    publish: watch::Sender<Arc<Sight>>,
    mut woken: watch::Receiver<()>,
) {
    loop {
        // Without a looker there is still what the process knows of itself.
        let looked = tokio::time::timeout(interval, woken.changed()).await;
        if looked.is_ok_and(|looked| looked.is_err()) {
            tokio::time::sleep(interval).await;
        }
        publish.send_replace(Arc::new(shared.sight()));
    }
}

struct Looker {
    shared: Arc<Shared>,
    options: WatchOptions,
    watcher: Option<Watcher>,
    connected: Instant,
    free_space: Option<FreeSpace>,
    backoff: Backoff,
    /// It was said that we see nothing.
    said: bool,
    /// The history is another process's as far as is known.
    is_from_before: bool,
    saved: Instant,
    /// The last time that it was kept, which a disk may hold up.
    saving: Option<JoinHandle<()>>,
}

impl Looker {
    async fn run(mut self, wake: watch::Sender<()>) {
        loop {
            let began = Instant::now();
            let looked = tokio::time::timeout(WITHIN, Box::pin(self.look())).await;
            let silent = || WatchError::Silent {
                doing: "look at the slots",
                seconds: WITHIN.as_secs(),
            };
            let pause = match looked.unwrap_or_else(|_| Err(silent())) {
                Ok((view, took)) => self.saw(view, took),
                Err(error) => self.failed(&error),
            };
            wake.send_replace(());
            self.keep_sometimes();
            let pause = pause.saturating_sub(began.elapsed());
            tokio::time::sleep(pause.max(Duration::from_millis(100))).await;
        }
    }

    /// Looks, over a new connection where there is none. After an error there is none.
    async fn look(&mut self) -> Result<(View, Duration), WatchError> {
        // A source whose connection is gone may have been told that the server shuts down.
        let down = matches!(
            self.shared.instance.source().state(),
            SourceState::Down { .. }
        );
        let old = self.connected.elapsed() >= CONNECTION_AGE;
        let watcher = match self.watcher.take().filter(|_| !down && !old) {
            Some(watcher) => watcher,
            None => {
                let watcher = Watcher::connect(&self.options.connection).await?;
                self.connected = Instant::now();
                watcher
            }
        };
        let asked = Instant::now();
        let seen = watcher.look().await?;
        let (now, time) = (Instant::now(), SystemTime::now());
        let server = watcher.server();
        let limits = Limits {
            free_disk_bytes: self.free_space.as_mut().and_then(|free| free.bytes(now)),
            ..self.options.limits
        };
        let mut history = lock(&self.shared.history);
        if std::mem::take(&mut self.is_from_before) && history.system_id() != server.system_id {
            *history = History::new();
        }
        history.record(now, &seen, server.system_id);
        let moment = self.shared.instance.moment(&history);
        let ours: [OurSlot; 1] = [our_slot(&moment, &seen)];
        let scene = Scene {
            seen: &seen,
            history: &history,
            now,
            ours: &ours,
            hide_queries: self.options.hide_queries,
        };
        let view = View::new(server, &scene, limits, time);
        drop(history);
        self.watcher = Some(watcher);
        Ok((view, now.duration_since(asked)))
    }

    fn saw(&mut self, view: View, took: Duration) -> Duration {
        let mut found = lock(&self.shared.found);
        let (looks, last) = &mut *found;
        looks.total += 1;
        looks.last = Some(view.time);
        looks.seconds = Some(took.as_secs_f64());
        let blind = looks.blind.take();
        *last = Some(Arc::new(view));
        drop(found);
        self.backoff.succeeded(Instant::now());
        if std::mem::take(&mut self.said) {
            let secs = blind.map_or(0, |blind| blind.since.elapsed().as_secs());
            tracing::info!(secs, "what the slots hold back is seen again");
        }
        self.options.interval
    }

    fn failed(&mut self, error: &WatchError) -> Duration {
        let now = Instant::now();
        let (why, hint) = (error.to_string(), error.hint());
        let mut found = lock(&self.shared.found);
        let (looks, _) = &mut *found;
        looks.total += 1;
        looks.failures += 1;
        let since = looks.blind.as_ref().map_or(now, |blind| blind.since);
        looks.blind = Some(Blind {
            since,
            why: why.clone(),
            hint: hint.clone(),
        });
        drop(found);
        self.watcher = None;
        if now.duration_since(since) >= SAY_AFTER && !std::mem::replace(&mut self.said, true) {
            let secs = now.duration_since(since).as_secs();
            tracing::warn!(hint, secs, "what the slots hold back can't be seen: {why}");
        } else {
            tracing::debug!("no look at the slots: {why}");
        }
        let pause = self.backoff.failed(now, fastrand::f64());
        pause.max(self.options.interval.min(LONGEST_PAUSE))
    }

    /// Nobody waits for the disk; until it is done nothing more is kept.
    fn keep_sometimes(&mut self) {
        let saving = self.saving.as_ref();
        if self.saved.elapsed() < KEEP_EVERY || saving.is_some_and(|saving| !saving.is_finished()) {
            return;
        }
        self.saved = Instant::now();
        let shared = Arc::clone(&self.shared);
        self.saving = Some(tokio::task::spawn_blocking(move || keep(&shared)));
    }
}

/// Writes the history into the state directory, when that is ours and there is one.
fn keep(shared: &Shared) {
    let Some(state_dir) = shared.instance.state_dir() else {
        return;
    };
    let bytes = {
        let history = lock(&shared.history);
        if history.span().is_zero() {
            return;
        }
        history.to_kept(Instant::now(), SystemTime::now())
    };
    if let Err(error) = kept::save(state_dir, &bytes) {
        let path = state_dir.display();
        tracing::debug!(%path, "the history of the log was not kept: {error}");
    }
}
