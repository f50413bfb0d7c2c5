//! Keeps the log within its budget: deletes, holds, releases.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};
use walgate_core::Failure;

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

    /// Deletes what may go. Fails when the disk has lost what it had promised to keep.
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
            let room = self.delete(files, &holders, space)?;
            match room {
                Room::Free => {
                    self.is_free(now);
                    return Ok(());
                }
                Room::Full {
                    held_by,
                    over_bytes,
                } => {
                    if self.release(&held_by) {
                        continue;
                    }
                    self.is_held(held_by, over_bytes);
                    return Ok(());
                }
            }
        }
    }

    fn delete(
        &mut self,
        files: &mut LogFiles,
        holders: &[Holder],
        space: Option<Space>,
    ) -> Result<Room, Failure> {
        let Some(behind) = &self.shared.behind else {
            return Ok(Room::Free);
        };
        let needs: Vec<_> = holders
            .iter()
            .map(|holder| Need {
                name: holder.name.clone(),
                demand: Demand::Required,
                has: holder.until,
            })
            .collect();
        let retention =
            behind
                .view
                .catalogue()
                .retention(&self.options, wall_clock(), &needs, space);
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
            segments: 0,
            oldest: walgate_core::Position::ZERO,
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
