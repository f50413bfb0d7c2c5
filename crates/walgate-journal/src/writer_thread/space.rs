//! Keeps the log within its budget: deletes, holds, releases.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};
use walgate_core::{Failure, Position, StopReason};

use crate::disk_journal::wall_clock;
use crate::journal::Shared;
use crate::log::{DiskState, LogFiles, LogOptions, Need, Room};
use crate::ring::Holder;
use crate::storage::Space;
use crate::{Demand, DiskOptions, DiskStats, OnFull};

/// It is over only when there was room for this long: a reader that is slow, not down, makes room
/// for one segment at a time, and nobody wants a line for each.
const OVER_AFTER: Duration = Duration::from_secs(10);

/// Whether there is room, and who is in the way.
#[derive(Debug)]
pub(super) struct SpaceKeeper {
    shared: Arc<Shared>,
    options: LogOptions,
    on_full: OnFull,
    budget: u64,
    full: bool,
    held_by: Vec<String>,
    /// It was said that there is no room.
    said: bool,
    /// Since when there is room again.
    free_since: Option<Instant>,
    /// It was said that a segment can't be deleted.
    said_undeleted: bool,
    /// Of these sinks it was said that not all of what was to come again does.
    gives_way: Vec<String>,
}

/// What readers need; `again`: also what they are to be given again.
fn needs(holders: &[Holder], again: bool) -> Vec<Need> {
    let need = |holder: &Holder| Need {
        name: holder.name.clone(),
        demand: Demand::Required,
        has: holder.again.filter(|_| again).unwrap_or(holder.until),
    };
    holders.iter().map(need).collect()
}

impl SpaceKeeper {
    pub(super) fn new(shared: Arc<Shared>, options: &DiskOptions) -> Self {
        let log = options.log();
        let space = shared.behind.as_ref().and_then(|behind| {
            let space = behind.view.storage().space();
            space.ok()
        });
        Self {
            shared,
            budget: log.budget(space),
            options: log,
            on_full: options.on_full.clone(),
            full: false,
            held_by: Vec::new(),
            said: false,
            free_since: None,
            said_undeleted: false,
            gives_way: Vec::new(),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// Whether `more` bytes may be too many, so that it is time to look.
    pub(super) fn is_near(&self, more: u64) -> bool {
        let bytes = self
            .shared
            .behind
            .as_ref()
            .map_or(0, |behind| behind.view.catalogue().bytes());
        bytes + more > self.budget
    }

    /// Deletes what may go. Fails when the disk has lost what it had promised to keep, and when what
    /// fills it can't go before its end, for which there is no room.
    pub(super) fn look(&mut self, files: &mut LogFiles, now: Instant) -> Result<(), Failure> {
        let space = self.shared.behind.as_ref().and_then(|behind| {
            let space = behind.view.storage().space().ok()?;
            // Bounded by their own budget; see there why it is not held against the log.
            let available = space.available.saturating_add(behind.unadopted.bytes());
            Some(Space { available, ..space })
        });
        self.budget = self.options.budget(space);
        loop {
            let holders = self.shared.lock().ring.holders();
            let comes_again = |sink: &String| {
                let mut sinks = holders.iter().filter(|holder| holder.again.is_some());
                sinks.any(|holder| holder.name == *sink)
            };
            self.gives_way.retain(comes_again);
            let options = self.options.clone();
            let mut room = self.delete(files, needs(&holders, true), &options, space)?;
            if room != Room::Free && holders.iter().any(|holder| holder.again.is_some()) {
                room = self.give_way(files, &holders, space)?;
            }
            match room {
                Room::Free => {
                    self.is_free(now);
                    return Ok(());
                }
                Room::Full {
                    held_by,
                    over_bytes,
                } => {
                    if let Some(failure) = self.too_large(&holders) {
                        return Err(failure);
                    }
                    if self.release(&held_by) {
                        continue;
                    }
                    self.is_held(held_by, over_bytes);
                    return Ok(());
                }
            }
        }
    }

    /// Deletes what is only kept to be given again, as far as there has to be room.
    fn give_way(
        &mut self,
        files: &mut LogFiles,
        holders: &[Holder],
        space: Option<Space>,
    ) -> Result<Room, Failure> {
        let options = LogOptions {
            replay_bytes: u64::MAX,
            replay_age: Duration::MAX,
            ..self.options.clone()
        };
        let room = self.delete(files, needs(holders, false), &options, space)?;
        let oldest = self.oldest();
        let loses = |holder: &&Holder| holder.again.is_some_and(|again| again < oldest);
        let losing: Vec<_> = holders.iter().filter(loses).map(|one| &one.name).collect();
        for sink in losing.iter().filter(|one| !self.gives_way.contains(one)) {
            let folder = self.folder();
            warn!(
                folder,
                sink,
                "the journal is full: the oldest of what was to come again for this sink goes"
            );
        }
        self.gives_way = losing.into_iter().cloned().collect();
        Ok(room)
    }

    fn oldest(&self) -> Position {
        let behind = self.shared.behind.as_ref();
        behind.map_or(Position::ZERO, |behind| behind.view.catalogue().oldest())
    }

    fn delete(
        &mut self,
        files: &mut LogFiles,
        needs: Vec<Need>,
        options: &LogOptions,
        space: Option<Space>,
    ) -> Result<Room, Failure> {
        let Some(behind) = &self.shared.behind else {
            return Ok(Room::Free);
        };
        let catalogue = behind.view.catalogue();
        let retention = catalogue.retention(options, wall_clock(), &needs, space);
        match files.delete(&retention.delete) {
            Ok(()) => self.said_undeleted = false,
            Err(failure) => {
                if matches!(files.state(), DiskState::Lost(_)) {
                    return Err(failure);
                }
                if !std::mem::replace(&mut self.said_undeleted, true) {
                    let hint = failure.hint.as_deref();
                    warn!(hint, "a segment can't be deleted, trying again: {failure}");
                }
            }
        }
        Ok(retention.room)
    }

    /// Whether one transaction has filled the budget. Its readers have everything before it; its
    /// begin is kept until all of it was delivered, since after a crash it comes again as a whole.
    fn too_large(&self, holders: &[Holder]) -> Option<Failure> {
        let behind = self.shared.behind.as_ref()?;
        let catalogue = behind.view.catalogue();
        let newest = catalogue.newest();
        let whole = Position::new(newest.epoch(), behind.durable.get(), 0);
        let waits_for_nobody = holders.iter().all(|holder| holder.until >= whole);
        let bytes = catalogue.bytes_behind(whole);
        // What is not synced yet may hold the ends of many.
        let segments = catalogue.segments();
        let is_synced = segments.iter().all(|one| one.synced >= one.written);
        // What others have taken of the disk may come back; what is over the budget does not.
        if !is_synced
            || newest <= whole
            || holders.is_empty()
            || !waits_for_nobody
            || bytes <= self.budget
        {
            return None;
        }
        let message = format!(
            "the transaction that commits at {} is larger than the journal may be: {bytes} bytes of it are here, and the budget is {}",
            newest.lsn(),
            self.budget
        );
        Some(Failure::new(StopReason::Config, message).hint(
            "raise [journal] budget above the transaction's size, and start again: nothing is lost",
        ))
    }

    /// Releases the first reader that the policy allows. Returns whether there was one.
    fn release(&self, held_by: &[String]) -> bool {
        let OnFull::Release(names) = &self.on_full else {
            return false;
        };
        let Some(name) = names.iter().find(|name| held_by.contains(name)) else {
            return false;
        };
        self.shared.free(|ring| ring.dismiss(name));
        error!(
            folder = self.folder(),
            sink = name.as_str(),
            "the journal is full: the sink is released as configured, and loses what it still needs of it"
        );
        true
    }

    fn is_free(&mut self, now: Instant) {
        self.full = false;
        self.held_by.clear();
        if !self.said {
            return;
        }
        let since = *self.free_since.get_or_insert(now);
        if now.duration_since(since) >= OVER_AFTER {
            self.said = false;
            info!(folder = self.folder(), "the journal has room again");
        }
    }

    fn is_held(&mut self, held_by: Vec<String>, over_bytes: u64) {
        self.full = true;
        self.free_since = None;
        self.held_by = held_by;
        if std::mem::replace(&mut self.said, true) {
            return;
        }
        let (budget_bytes, folder) = (self.budget, self.folder());
        if self.held_by.is_empty() {
            warn!(
                folder,
                over_bytes,
                budget_bytes,
                hint = "make room on the file system, or give the journal another",
                "the journal has no room and nothing to delete; the slot holds what follows"
            );
            return;
        }
        let sinks = self.behind();
        warn!(
            folder,
            budget_bytes,
            hint = "get these sinks going, raise the budget, or let the journal release them",
            "the journal is full because required sinks are behind ({sinks}); the slot holds what follows"
        );
    }

    /// Who is behind, and by how much.
    fn behind(&self) -> String {
        let holders = self.shared.lock().ring.holders();
        let Some(behind) = &self.shared.behind else {
            return String::new();
        };
        let one = |name: &String| {
            let until = holders
                .iter()
                .find(|holder| holder.name == *name)
                .map(|holder| holder.until)
                .unwrap_or_default();
            let mib = behind.view.catalogue().bytes_behind(until) >> 20;
            format!("{name} by {mib} MiB")
        };
        let each: Vec<_> = self.held_by.iter().map(one).collect();
        each.join(", ")
    }

    fn folder(&self) -> String {
        self.shared
            .behind
            .as_ref()
            .map(|behind| behind.view.storage().path().display().to_string())
            .unwrap_or_default()
    }

    /// Shows how things stand.
    pub(super) fn publish(&self, state: &DiskState) {
        let mut stats = DiskStats {
            bytes: 0,
            budget_bytes: self.budget,
            spool_bytes: 0,
            segments: 0,
            oldest: Position::ZERO,
            oldest_time: None,
            synced: walgate_core::Lsn::ZERO,
            state: state.clone(),
            held_by: self.held_by.clone(),
            full: self.full,
        };
        if self.full && stats.state == DiskState::Works {
            stats.state = DiskState::Full;
        }
        self.shared.lock().desk.stats = Some(stats);
    }
}
