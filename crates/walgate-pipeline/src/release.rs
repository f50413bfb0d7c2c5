//! Required sinks that were let go: they lose what nobody keeps for them, and hold back nothing.
//!
//! A sink is released until the process ends: with the next start it is what the configuration says. It
//! is kept in the state directory that it was released, before anything is lost, because the next start
//! would otherwise stop for changes that were given up on purpose.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::warn;
use walgate_core::{Failure, Lsn, StopReason};
use walgate_journal::{Demand, Journal};

use crate::durable_file::replace;
use crate::status::{Moved, StatusHandle};

const RELEASES: &str = "releases.json";
const TEMPORARY: &str = "releases.json.new";

/// Names of sinks are short, and there are few.
const MAX_BYTES: u64 = 1 << 20;

/// The releases of a pipeline. Cheap to clone: all clones are the same.
#[derive(Debug, Clone)]
pub struct Releases(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    released: BTreeSet<String>,
    running: Option<Running>,
}

/// The pipeline that runs.
#[derive(Debug)]
struct Running {
    journal: Journal,
    moved: Moved,
    sinks: Vec<StatusHandle>,
}

impl Releases {
    /// Reads what an earlier run has left in a directory that is this process's.
    ///
    /// # Errors
    ///
    /// When it can't be read.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, Failure> {
        let directory = directory.as_ref().to_owned();
        let released = read(&directory.join(RELEASES))?;
        let state = State {
            released,
            running: None,
        };
        Ok(Self(Arc::new(Shared {
            directory,
            state: Mutex::new(state),
        })))
    }

    /// Releases a required sink of the pipeline that runs, and returns up to where it has everything.
    /// Blocks until that is durable.
    ///
    /// # Errors
    ///
    /// When nothing runs, there is no such sink, or it can't be kept. Then nothing is released.
    pub fn release(&self, sink: &str) -> Result<Lsn, Failure> {
        let mut state = self.lock();
        let missing = || {
            Failure::new(
                StopReason::Config,
                format!("there is no sink {sink} that runs"),
            )
        };
        let running = state.running.as_ref().ok_or_else(missing)?;
        let mut sinks = running.sinks.iter();
        let status = sinks.find(|status| status.get().name == sink);
        let status = status.ok_or_else(missing)?.clone();
        let mut released = state.released.clone();
        released.insert(sink.to_owned());
        self.keep(&released)?;
        state.released = released;
        if let Some(running) = &state.running {
            status.update(|status| status.demand = Demand::Optional);
            running.journal.release(sink);
            running.moved.tell();
        }
        Ok(status.get().confirmable)
    }

    /// Takes over what the journal has released by itself for want of room, so that there is one way to be
    /// released.
    pub(crate) async fn follow(&self) {
        let by_journal = self.released_by_journal();
        if by_journal.is_empty() {
            return;
        }
        let releases = self.clone();
        let release = move || {
            for sink in by_journal {
                if let Err(failure) = releases.release(&sink) {
                    warn!(sink, "that the sink was released is not kept: {failure}");
                }
            }
        };
        if tokio::task::spawn_blocking(release).await.is_err() {
            warn!("that a sink was released is not kept");
        }
    }

    /// Sinks that count as required and no longer are in the journal.
    fn released_by_journal(&self) -> Vec<String> {
        let state = self.lock();
        let Some(running) = &state.running else {
            return Vec::new();
        };
        let required = running.sinks.iter().map(StatusHandle::get);
        let mut required = required
            .filter(|status| status.demand == Demand::Required)
            .peekable();
        if required.peek().is_none() {
            return Vec::new();
        }
        let readers = running.journal.stats().readers;
        let released = |name: &str| {
            let mut readers = readers.iter();
            readers.any(|reader| reader.name == name && reader.demand == Demand::Optional)
        };
        let names = required.map(|status| status.name);
        names.filter(|name| released(name)).collect()
    }

    /// Whether a sink was released, in this run or an earlier one.
    pub(crate) fn has(&self, sink: &str) -> bool {
        self.lock().released.contains(sink)
    }

    /// What begins knows which sinks lack something: the others have had everything since they were
    /// released, and may not lose anything again. Blocks.
    pub(crate) fn begin(
        &self,
        journal: &Journal,
        moved: &Moved,
        sinks: Vec<StatusHandle>,
        lacking: &BTreeSet<String>,
    ) -> Result<(), Failure> {
        let mut state = self.lock();
        let before = state.released.len();
        let mut released = state.released.clone();
        released.retain(|sink| lacking.contains(sink));
        if released.len() != before {
            self.keep(&released)?;
            state.released = released;
        }
        state.running = Some(Running {
            journal: journal.clone(),
            moved: moved.clone(),
            sinks,
        });
        Ok(())
    }

    fn keep(&self, released: &BTreeSet<String>) -> Result<(), Failure> {
        let path = self.0.directory.join(RELEASES);
        let bytes = serde_json::to_vec(released).unwrap_or_default();
        replace(&path, &self.0.directory.join(TEMPORARY), &bytes).map_err(|error| {
            let message = format!("{} can't be written: {error}", path.display());
            Failure::new(StopReason::State, message)
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> Result<BTreeSet<String>, Failure> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes));
    let unusable = |what: String| {
        let message = format!("{} can't be read: {what}", path.display());
        Failure::new(StopReason::State, message).hint(format!(
            "no sink is released without it: rm {}",
            path.display()
        ))
    };
    match read {
        Ok(_) => serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(unusable(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use walgate_core::Position;

    use super::*;

    #[tokio::test]
    async fn what_the_journal_releases_is_released() {
        let folder = tempfile::tempdir().expect("a folder");
        let releases = Releases::open(folder.path()).expect("opened");
        let journal = Journal::in_memory(1 << 20, Position::ZERO);
        let _reader = journal.reader("kafka", Demand::Required, Position::ZERO);
        let status = StatusHandle::new("kafka", Demand::Required);
        let sinks = vec![status.clone()];
        let begun = releases.begin(&journal, &Moved::default(), sinks, &BTreeSet::new());
        begun.expect("begun");
        releases.follow().await;
        assert_eq!(status.get().demand, Demand::Required);
        journal.release("kafka");
        releases.follow().await;
        assert_eq!(status.get().demand, Demand::Optional);
        assert!(Releases::open(folder.path()).expect("opened").has("kafka"));
    }

    #[test]
    fn a_release_is_durable_before_it_counts_and_over_when_nothing_lacks() {
        let folder = tempfile::tempdir().expect("a folder");
        let releases = Releases::open(folder.path()).expect("opened");
        assert!(releases.release("kafka").is_err(), "nothing runs");
        let journal = Journal::in_memory(1 << 20, Position::ZERO);
        let status = StatusHandle::new("kafka", Demand::Required);
        let begin = |releases: &Releases, lacking: &[&str]| {
            let lacking = lacking.iter().map(|sink| (*sink).to_owned()).collect();
            let sinks = vec![status.clone()];
            releases.begin(&journal, &Moved::default(), sinks, &lacking)
        };
        begin(&releases, &[]).expect("begun");
        assert!(releases.release("file").is_err(), "no such sink");
        releases.release("kafka").expect("released");
        assert_eq!(status.get().demand, Demand::Optional);
        let next = Releases::open(folder.path()).expect("opened");
        assert!(next.has("kafka"));
        begin(&next, &["kafka"]).expect("begun");
        assert!(Releases::open(folder.path()).expect("opened").has("kafka"));
        begin(&next, &[]).expect("begun");
        assert!(!Releases::open(folder.path()).expect("opened").has("kafka"));
        std::fs::write(folder.path().join(RELEASES), "[").expect("written");
        assert!(Releases::open(folder.path()).is_err());
    }
}
