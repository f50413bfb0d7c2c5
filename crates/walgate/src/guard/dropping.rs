//! Dropping our slot by policy: the last resort, step by step.
//!
//! 1. The guard has found that it may be dropped, and asks the pipeline to stop. Killed here: the next
//!    start goes on where the slot stands.
//! 2. The stream has ended, and the last checkpoint is written. The slot is looked at again.
//! 3. The gap is written into the checkpoint. Killed here: the slot is still there, and the next start
//!    goes on with it; the gap that was written was then not lost.
//! 4. The slot is dropped, if it is still exactly what was looked at. Killed here: the next start finds
//!    it missing, and does as `[source] on_gap` says.
//! 5. The log on the server's disk is measured until a checkpoint has come.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use walgate_connection::ConnectionConfig;
use walgate_core::{Checkpoint, Failure, Gap, GapReason, Lsn, StopReason};
use walgate_pipeline::{CheckpointFile, CheckpointStore as _};
use walgate_slot::guard::{OurIdentity, Settled, may_drop};
use walgate_slot::manage::{Dropped, Manager};
use walgate_slot::words::bytes;
use walgate_slot::{Observation, WatchError, Watcher};

use crate::config::Config;
use crate::signals::{Request, Signals};
use crate::wiring::blocking;

/// How long our own walsender may take to leave.
const LEAVES_WITHIN: Duration = Duration::from_secs(30);

/// How often that is looked at, and later the size of the log.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long the next checkpoint is waited for: twice the default of `checkpoint_timeout`.
const CHECKPOINT_WITHIN: Duration = Duration::from_secs(600);

/// Whether our slot is to be dropped, and why. Cheap to clone: all clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dropping(Arc<OnceLock<String>>);

impl Dropping {
    pub(super) fn ask(&self, cause: String) {
        self.0.get_or_init(|| cause);
    }

    /// Why it is to be dropped; none when it is not.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// What must be true of the slot.
pub(super) fn identity(checkpoint: &Checkpoint, database: &str) -> OurIdentity {
    OurIdentity {
        slot: checkpoint.source.slot.clone(),
        database: database.to_owned(),
        created_by_us: checkpoint.source.created_by_us,
        confirmed: checkpoint.confirmed,
        system_id: checkpoint.source.system_id,
    }
}

/// Drops our slot when nothing streams any more. Returns how the process ends: always with a failure.
pub(crate) async fn drop_our_slot(
    config: &Config,
    connection: &ConnectionConfig,
    cause: &str,
    signals: &mut Signals,
) -> Failure {
    let slot = config.source.slot.as_str();
    match dropped(config, connection, signals).await {
        Ok(lost) => {
            let (from, to) = (lost.from, lost.to);
            let message = format!(
                "slot {slot} was dropped by the policy ({cause}): changes between {from} and {to} are lost"
            );
            Failure::new(StopReason::Gap, message).hint(
                "the next start does as [source] on_gap says: \"continue\" begins a new slot and tells \
                 every sink of the gap",
            )
        }
        Err(failure) => {
            let message =
                format!("slot {slot} was to be dropped ({cause}), and was not: {failure}");
            let not = Failure::new(failure.reason, message);
            match failure.hint {
                Some(hint) => not.hint(hint),
                None => not.hint("start again: nothing was lost"),
            }
        }
    }
}

async fn dropped(
    config: &Config,
    connection: &ConnectionConfig,
    signals: &mut Signals,
) -> Result<Gap, Failure> {
    let (directory, slot) = (config.state.dir.clone(), config.source.slot.to_string());
    let opened = blocking(move || CheckpointFile::open(directory, &slot)).await?;
    let (mut store, checkpoint) = opened;
    let refused = |why: String| Failure::new(StopReason::State, why);
    let mut checkpoint =
        checkpoint.ok_or_else(|| refused("there is no checkpoint that says whose it is".into()))?;
    let watcher = Watcher::connect(connection).await.map_err(server)?;
    let seen = unused(&watcher, &checkpoint.source.slot).await?;
    let ours = identity(&checkpoint, connection.dbname());
    let system_id = watcher.server().system_id;
    let frees = may_drop(&seen, system_id, &ours, None).map_err(|why| refused(why.to_string()))?;
    let gap = Gap {
        from: checkpoint.confirmed,
        to: seen.wal_lsn.unwrap_or(checkpoint.confirmed),
        reason: GapReason::SlotLost,
    };
    tracing::warn!(from = %gap.from, to = %gap.to, "the gap is written into the checkpoint, before the slot is dropped");
    checkpoint.gaps.push(gap.clone());
    let store = blocking(move || store.save(&checkpoint).map(|()| store)).await?;
    let manager = Manager::connect(connection).await.map_err(server)?;
    let before = manager.wal_on_disk().await;
    let row = seen
        .slot(&ours.slot)
        .ok_or_else(|| refused("it is gone".into()))?;
    tracing::warn!(
        slot = ours.slot,
        "the slot is dropped now; that frees {} of log with the next checkpoint",
        bytes(frees)
    );
    match manager.drop_slot(row).await.map_err(server)? {
        Dropped::Yes => tracing::error!(slot = ours.slot, "the slot is dropped"),
        Dropped::Changed => {
            return Err(refused("it is no longer what was looked at".to_owned()));
        }
    }
    match before {
        Ok(before) => verify(&manager, before, signals).await,
        Err(error) => tracing::warn!(
            hint = "GRANT pg_monitor to the role of Walgate",
            "whether the log falls can't be seen: {error}"
        ),
    }
    drop(store);
    Ok(gap)
}

fn server(error: WatchError) -> Failure {
    Failure::new(StopReason::Config, error.to_string())
}

/// Looks until nobody uses the slot: our walsender leaves when it notices that we have.
async fn unused(watcher: &Watcher, slot: &str) -> Result<Observation, Failure> {
    let until = Instant::now() + LEAVES_WITHIN;
    loop {
        let seen = watcher.look().await.map_err(server)?;
        let used = seen.slot(slot).is_some_and(|slot| slot.active);
        // A slot that is still in use is refused by what decides.
        if !used || Instant::now() >= until {
            return Ok(seen);
        }
        tokio::time::sleep(LOOK_EVERY / 10).await;
    }
}

/// Tells whether there is less log once a checkpoint has come.
async fn verify(manager: &Manager, before: (u64, Lsn), signals: &mut Signals) {
    tracing::info!("waiting for the next checkpoint of the server, to see that its log falls");
    let until = Instant::now() + CHECKPOINT_WITHIN;
    while Instant::now() < until {
        match manager
            .wal_on_disk()
            .await
            .map(|now| Settled::of(before, now))
        {
            Ok(Settled::Fell { from, to }) => {
                let (from, to) = (bytes(from), bytes(to));
                tracing::info!("the server's log fell from {from} to {to} with the checkpoint");
                return;
            }
            Ok(Settled::Stayed { bytes: now }) => {
                tracing::error!(
                    hint =
                        "look at wal_keep_size, archive_command and the other slots: walgate slots",
                    "the server's log did not fall with the checkpoint: it has {}",
                    bytes(now)
                );
                return;
            }
            Ok(Settled::Waiting) => {}
            Err(error) => {
                tracing::warn!("whether the log falls can't be seen: {error}");
                return;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            request = signals.next() => if request != Request::Reload {
                return;
            },
        }
    }
    tracing::warn!("no checkpoint has come, so that whether the log falls is not known");
}
