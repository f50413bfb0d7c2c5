//! Files that are compressed and encrypted, on a share of the seeds.

use std::sync::Arc;

use fastrand::Rng;
use walgate_journal::segment::Keyring;
use walgate_journal::storage::{Keyed, SimulatedDisk, Storage};

use crate::world::World;

/// What is done to the files of a seed.
#[derive(Debug)]
pub(crate) struct Sealing {
    random: Rng,
    packs: bool,
    encrypts: bool,
}

impl Sealing {
    /// A quarter of the seeds each: as they are, compressed, encrypted, both.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Rng::with_seed(seed ^ 0x5EA1),
            packs: seed & 1 == 1,
            encrypts: seed & 2 == 2,
        }
    }

    /// The disk as the log is given it: with keys that change from start to start, all of which
    /// open, and at times without encrypting.
    pub(crate) fn storage(&mut self, disk: &SimulatedDisk) -> Arc<dyn Storage> {
        let disk: Arc<dyn Storage> = Arc::new(disk.clone());
        if !self.encrypts {
            return disk;
        }
        let mut keys = [1u8, 2, 3];
        self.random.shuffle(&mut keys);
        let lines = keys.map(|key| format!("{key:02x}").repeat(32));
        let keys = Keyring::parse(&lines.join("\n")).expect("keys");
        let keys = match self.random.u8(0..4) {
            0 => keys.opens_only(),
            _ => keys,
        };
        Arc::new(Keyed::new(disk, keys))
    }
}

impl World {
    /// A segment that can be is compressed, and at times nobody puts it in its place before the
    /// next crash.
    pub(crate) fn pack(&mut self) {
        if !self.sealing.packs {
            return;
        }
        let Some(log) = &mut self.log else {
            return;
        };
        let segments = log.view.catalogue().segments();
        let can: Vec<_> = segments.iter().filter(|one| one.can_be_packed()).collect();
        if can.is_empty() {
            return;
        }
        let number = can[self.sealing.random.usize(0..can.len())].number;
        let left = self.sealing.random.u8(0..6);
        let steps = std::cell::Cell::new(self.sealing.random.u32(0..40));
        let stop = || {
            steps.set(steps.get().saturating_sub(1));
            left == 0 && steps.get() == 0
        };
        let said = match log.view.pack(number, &stop) {
            Ok(Some(_)) if left == 1 => "is left aside".to_owned(),
            Ok(Some(packed)) => {
                let sizes = (packed.packed_from(), packed.bytes());
                let replaced = log.files.replace(&log.view, packed);
                format!("{sizes:?} is put in its place: {replaced:?}")
            }
            Ok(None) => "stays as it is".to_owned(),
            Err(failure) => format!("fails: {failure}"),
        };
        self.say(format!("segment {number}, compressed, {said}"));
    }
}
