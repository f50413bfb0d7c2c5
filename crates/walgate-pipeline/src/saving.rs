//! Checkpoints into their store, also when that fails for a while.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};
use walgate_core::{Checkpoint, Failure, StopReason};

use crate::CheckpointStore;

/// Between two attempts: a disk that has room again is used soon, and a full one is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The store, or nothing where the slot alone remembers.
pub(crate) struct Saving {
    store: Option<Box<dyn CheckpointStore>>,
    outage: Option<Outage>,
}

/// The store fails.
#[derive(Debug, Clone, Copy)]
struct Outage {
    since: Instant,
    again: Instant,
}

/// Why a checkpoint is not durable.
#[derive(Debug)]
pub(crate) enum Unsaved {
    /// It can be tried again.
    Failed(Failure),
    /// The store is gone.
    Broken(Failure),
}

impl From<Unsaved> for Failure {
    fn from(unsaved: Unsaved) -> Self {
        match unsaved {
            Unsaved::Failed(failure) | Unsaved::Broken(failure) => failure,
        }
    }
}

impl Saving {
    pub(crate) fn new(store: Option<Box<dyn CheckpointStore>>) -> Self {
        Self {
            store,
            outage: None,
        }
    }

    /// When the next attempt is due, while the store fails.
    pub(crate) fn again(&self) -> Option<Instant> {
        self.outage.map(|outage| outage.again)
    }

    /// Makes a checkpoint durable; without a store it counts as that.
    pub(crate) async fn save(&mut self, checkpoint: &Checkpoint) -> Result<(), Unsaved> {
        let Some(mut store) = self.store.take() else {
            return Ok(());
        };
        let checkpoint = checkpoint.clone();
        let saving = tokio::task::spawn_blocking(move || {
            let saved = store.save(&checkpoint);
            (store, saved)
        });
        match saving.await {
            Ok((store, saved)) => {
                self.store = Some(store);
                saved.map_err(Unsaved::Failed)
            }
            Err(panic) => {
                let message = format!("the checkpoint was not written: {panic}");
                Err(Unsaved::Broken(Failure::new(StopReason::State, message)))
            }
        }
    }

    /// As [`save`](Self::save), while the pipeline runs: a store that fails is said once and tried
    /// again later. Returns whether the checkpoint is durable.
    pub(crate) async fn keep(&mut self, checkpoint: &Checkpoint) -> Result<bool, Failure> {
        let saved = self.save(checkpoint).await;
        let now = Instant::now();
        match saved {
            Ok(()) => {
                if let Some(outage) = self.outage.take() {
                    let secs = now.duration_since(outage.since).as_secs();
                    info!(secs, "the checkpoint is written again");
                }
                Ok(true)
            }
            // Another instance has taken over: nothing is ever saved here again.
            Err(Unsaved::Failed(failure)) if failure.reason == StopReason::SlotBusy => Err(failure),
            Err(Unsaved::Failed(failure)) => {
                let since = self.outage.map_or(now, |outage| outage.since);
                if self.outage.is_none() {
                    let hint = failure.hint.as_deref();
                    warn!(
                        hint,
                        "nothing is confirmed until a checkpoint is written, trying again: {failure}"
                    );
                }
                self.outage = Some(Outage {
                    since,
                    again: now + RETRY_AFTER,
                });
                Ok(false)
            }
            Err(Unsaved::Broken(failure)) => Err(failure),
        }
    }
}
