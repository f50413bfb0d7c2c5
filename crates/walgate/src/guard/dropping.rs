//! Dropping our slot by policy: the last resort, step by step.
//!
//! 1. The guard has found that it may be dropped, and asks the pipeline to stop. Killed here: the next
//!    start goes on where the slot stands.
//! 2. The stream has ended, and the last checkpoint is written. The slot is looked at again.
//! 3. The gap is written into the checkpoint. Killed here: the slot is still there, and the next start
//!    goes on with it; the gap that was written was then not lost. When the slot is not dropped after
//!    all, it is taken out again.
//! 4. The slot is dropped, if it is still exactly what was looked at. Killed here: the next start finds
//!    it missing, and does as `[source] on_gap` says.
//!    A server that can't be reached is asked again for a while. When it is not dropped, the process
//!    ends so that it is started again, and the step counts as not taken.
//! 5. People are told. Then the log on the server's disk is measured until a checkpoint has come.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use walgate_connection::ConnectionConfig;
use walgate_core::{Checkpoint, Failure, Gap, GapReason, Lsn, StopReason};
use walgate_pipeline::{CheckpointFile, CheckpointStore as _};
use walgate_slot::guard::{OurIdentity, Settled, may_drop};
use walgate_slot::manage::{Dropped, Manager};
use walgate_slot::words::bytes;
use walgate_slot::{Observation, WatchError, WatchErrorKind, Watcher};

use crate::config::Config;
use crate::signals::{Request, Signals};
use crate::wiring::blocking;

/// How long our own walsender may take to leave.
const LEAVES_WITHIN: Duration = Duration::from_secs(30);

/// How often that is looked at, and later the size of the log.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a server that can't be reached is asked again: nobody reads the slot meanwhile.
const TRIED_FOR: Duration = Duration::from_secs(60);

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

/// What became of a wish to drop our slot.
#[derive(Debug)]
pub(crate) enum End {
    /// It is dropped: what the process ends with. Whether that has helped is seen later, where it can be
    /// seen.
    Dropped(Failure, Option<Box<Freed>>),
    /// It is there, and nothing is lost: the process ends so that a supervisor starts it again.
    Not(Failure),
    /// A human wants the process to end, and nothing else.
    Asked,
}

/// Drops our slot when nothing streams any more.
pub(crate) async fn drop_our_slot(
    config: &Config,
    connection: &ConnectionConfig,
    cause: &str,
    signals: &mut Signals,
) -> End {
    let slot = config.source.slot.as_str();
    match dropped(config, connection, signals).await {
        Ok((lost, freed)) => {
            let (from, to) = (lost.from, lost.to);
            let message = format!(
                "slot {slot} was dropped by the policy ({cause}): everything behind {from} is lost until \
                 there is a new slot, so far up to {to}"
            );
            let failure = Failure::new(StopReason::Gap, message).hint(
                "the next start does as [source] on_gap says: \"continue\" begins a new slot and tells \
                 every sink of the whole gap",
            );
            End::Dropped(failure, freed.map(Box::new))
        }
        Err(Not::Asked) => {
            tracing::warn!(slot, "the slot is not dropped: walgate was asked to stop");
            End::Asked
        }
        Err(not) => {
            let failure = not.into_failure();
            let message =
                format!("slot {slot} was to be dropped ({cause}), and was not: {failure}");
            let not = Failure::new(failure.reason, message);
            End::Not(match failure.hint {
                Some(hint) => not.hint(hint),
                None => not.hint("start again: nothing was lost"),
            })
        }
    }
}

/// Log that the server can remove with its next checkpoint.
#[derive(Debug)]
pub(crate) struct Freed {
    manager: Manager,
    /// What there was of it, and where the last checkpoint began.
    before: (u64, Lsn),
}

/// Why it is not dropped.
#[derive(Debug)]
enum Not {
    /// Something speaks against it.
    Refused(String),
    /// The server can't be asked.
    Server(WatchError),
    /// The state directory can't be used.
    State(Failure),
    /// A human wants the process to end.
    Asked,
}

impl Not {
    /// Exit codes that supervisors start again after: nobody reads the slot until then, and the log of
    /// the server grows.
    fn into_failure(self) -> Failure {
        match self {
            Self::State(failure) => failure,
            Self::Refused(why) => Failure::new(StopReason::SlotBusy, why),
            Self::Asked => Failure::new(StopReason::SlotBusy, "walgate was asked to stop"),
            Self::Server(error) => {
                let reason = match error.kind() {
                    WatchErrorKind::Denied => StopReason::Permission,
                    _ => StopReason::SlotBusy,
                };
                Failure::new(reason, error.to_string())
            }
        }
    }

    /// Whether it may be dropped in a moment.
    fn is_transient(&self) -> bool {
        matches!(self, Self::Server(error) if error.is_transient())
    }
}

impl From<WatchError> for Not {
    fn from(error: WatchError) -> Self {
        Self::Server(error)
    }
}

impl From<Failure> for Not {
    fn from(failure: Failure) -> Self {
        Self::State(failure)
    }
}

async fn dropped(
    config: &Config,
    connection: &ConnectionConfig,
    signals: &mut Signals,
) -> Result<(Gap, Option<Freed>), Not> {
    let (directory, slot) = (config.state.dir.clone(), config.source.slot.to_string());
    let opened = blocking(move || CheckpointFile::open(directory, &slot)).await?;
    let (store, checkpoint) = opened;
    let nobodys = || Not::Refused("there is no checkpoint that says whose it is".to_owned());
    let mut wish = Wish {
        connection,
        store: Some(store),
        checkpoint: checkpoint.ok_or_else(nobodys)?,
        gap: None,
        asked_server: false,
    };
    let until = Instant::now() + TRIED_FOR;
    loop {
        let not = match wish.attempt(signals).await {
            Ok(dropped) => return Ok(dropped),
            Err(not) => not,
        };
        if !not.is_transient() || Instant::now() >= until {
            wish.take_back().await;
            return Err(not);
        }
        if let Not::Server(error) = &not {
            tracing::warn!("the slot is not dropped yet, and it is tried again: {error}");
        }
        if is_asked(signals, LOOK_EVERY).await {
            wish.take_back().await;
            return Err(Not::Asked);
        }
    }
}

/// A slot that is to be dropped, over several attempts.
struct Wish<'a> {
    connection: &'a ConnectionConfig,
    /// Taken while it is written.
    store: Option<CheckpointFile>,
    checkpoint: Checkpoint,
    /// Once it is written.
    gap: Option<Gap>,
    /// The server was asked to drop it, and may have done so.
    asked_server: bool,
}

impl Wish<'_> {
    async fn attempt(&mut self, signals: &mut Signals) -> Result<(Gap, Option<Freed>), Not> {
        if is_asked(signals, Duration::ZERO).await {
            return Err(Not::Asked);
        }
        let watcher = Watcher::connect(self.connection).await?;
        let seen = unused(&watcher, &self.checkpoint.source.slot, signals).await?;
        let ours = identity(&self.checkpoint, self.connection.dbname());
        let row = seen.slot(&ours.slot);
        if let (None, true, Some(gap)) = (row, self.asked_server, &self.gap) {
            tracing::error!(slot = ours.slot, "the slot is dropped");
            return Ok((gap.clone(), None));
        }
        let system_id = watcher.server().system_id;
        let may = may_drop(&seen, system_id, &ours, None);
        let frees = may.map_err(|why| Not::Refused(why.to_string()))?;
        let row = row.ok_or_else(|| Not::Refused("it is gone".to_owned()))?;
        let gap = self.declare(&seen).await?;
        let manager = Manager::connect(self.connection).await?;
        let before = manager.wal_on_disk().await;
        tracing::warn!(
            slot = ours.slot,
            "the slot is dropped now; that frees {} of log with the next checkpoint",
            bytes(frees)
        );
        self.asked_server = true;
        let dropped = manager.drop_slot(row).await;
        self.asked_server = dropped.as_ref().is_err_and(|error| !error.is_refusal());
        if dropped? == Dropped::Changed {
            let why = "it is no longer what was looked at".to_owned();
            return Err(Not::Refused(why));
        }
        tracing::error!(slot = ours.slot, "the slot is dropped");
        let unseen = |error: WatchError| {
            tracing::warn!(
                hint = "GRANT pg_monitor to the role of Walgate",
                "whether the log falls can't be seen: {error}"
            );
        };
        let before = before.map_err(unseen).ok();
        Ok((gap, before.map(|before| Freed { manager, before })))
    }

    /// Writes the gap into the checkpoint, once.
    async fn declare(&mut self, seen: &Observation) -> Result<Gap, Not> {
        if let Some(gap) = &self.gap {
            return Ok(gap.clone());
        }
        let gap = Gap {
            from: self.checkpoint.confirmed,
            to: seen.wal_lsn.unwrap_or(self.checkpoint.confirmed),
            reason: GapReason::SlotLost,
        };
        tracing::warn!(from = %gap.from, to = %gap.to, "the gap is written into the checkpoint, before the slot is dropped");
        self.checkpoint.gaps.push(gap.clone());
        self.save().await?;
        self.gap = Some(gap.clone());
        Ok(gap)
    }

    /// What was not dropped leaves no gap, unless the server may have dropped it.
    async fn take_back(&mut self) {
        if self.asked_server || self.gap.take().is_none() {
            return;
        }
        self.checkpoint.gaps.pop();
        if let Err(not) = self.save().await {
            let failure = not.into_failure();
            tracing::warn!("the checkpoint keeps a gap that is none: {failure}");
        }
    }

    async fn save(&mut self) -> Result<(), Not> {
        let Some(mut store) = self.store.take() else {
            return Err(Not::Refused("the checkpoint was not written".to_owned()));
        };
        let checkpoint = self.checkpoint.clone();
        let saved = blocking(move || store.save(&checkpoint).map(|()| store)).await?;
        self.store = Some(saved);
        Ok(())
    }
}

/// Whether a human wants the process to end, now or within this time.
async fn is_asked(signals: &mut Signals, within: Duration) -> bool {
    if signals.is_asked() {
        return true;
    }
    let end = async {
        loop {
            if signals.next().await != Request::Reload {
                break;
            }
        }
    };
    tokio::time::timeout(within, end).await.is_ok()
}

/// Looks until nobody uses the slot: our walsender leaves when it notices that we have.
async fn unused(watcher: &Watcher, slot: &str, signals: &mut Signals) -> Result<Observation, Not> {
    let until = Instant::now() + LEAVES_WITHIN;
    loop {
        let seen = watcher.look().await?;
        let used = seen.slot(slot).is_some_and(|slot| slot.active);
        // A slot that is still in use is refused by what decides.
        if !used || Instant::now() >= until {
            return Ok(seen);
        }
        if is_asked(signals, LOOK_EVERY / 10).await {
            return Err(Not::Asked);
        }
    }
}

impl Freed {
    /// Tells whether there is less log once a checkpoint has come, or nothing more when the process is to
    /// end.
    pub(crate) async fn verify(self, signals: &mut Signals) {
        let Self { manager, before } = self;
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
                        hint = "look at wal_keep_size, archive_command and the other slots: walgate slots",
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
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes after which the unit that we ship does not start again.
    const STAYS_DOWN: [u8; 4] = [2, 4, 7, 8];

    #[test]
    fn what_was_not_dropped_is_started_again() {
        let silent = || WatchError::Silent {
            doing: "look",
            seconds: 8,
        };
        assert!(Not::Server(silent()).is_transient());
        assert!(!Not::Refused("it is in use by pid 7".to_owned()).is_transient());
        let old = WatchError::TooOld {
            version: "13".to_owned(),
        };
        assert!(!Not::Server(old).is_transient());
        for not in [
            Not::Server(silent()),
            Not::Refused("it is in use by pid 7".to_owned()),
            Not::Asked,
        ] {
            let failure = not.into_failure();
            let code = failure.reason.exit_code();
            assert!(!STAYS_DOWN.contains(&code), "{code}: {failure}");
        }
    }
}
