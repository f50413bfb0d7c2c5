//! What goes wrong: disks that fail and fill up, crashes, rot, a wrong folder; and what has to be
//! left.

use std::io::ErrorKind;

use walgate_core::{Checkpoint, Failure};
use walgate_journal::Demand;
use walgate_journal::log::{LogView, Opened, SegmentState};
use walgate_journal::storage::{Call, Fault, SimulatedDisk, Storage, When};

use crate::world::{World, below};

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It stops, with everything written.
    Clean,
    /// It is killed.
    Kill,
    /// The power fails.
    PowerCut,
}

impl World {
    /// The disk gets into trouble.
    pub(crate) fn trouble(&mut self) {
        let what = self.random.u8(0..11);
        self.may_fail = true;
        let after = self.random.u32(0..4);
        let mut fail = |call, error, when| {
            let fault = Fault { call, error, when };
            self.disk.fail(fault);
            self.trace.push(format!("{fault:?}"));
        };
        match what {
            0..3 => {
                let room = self.disk.used() + self.random.u64(0..3) * 4096;
                self.disk.set_capacity(room);
                self.say(format!("room for {room} bytes"));
            }
            3 => fail(Call::Write, ErrorKind::Other, When::After(after)),
            4 => fail(Call::Write, ErrorKind::QuotaExceeded, When::OneIn(3)),
            5 => fail(Call::Create, ErrorKind::Other, When::Next),
            6 => fail(Call::Remove, ErrorKind::Other, When::Next),
            7 => fail(Call::Read, ErrorKind::Other, When::OneIn(3)),
            8 => {
                self.disk.set_read_only(true);
                self.say("read-only");
            }
            9 => {
                self.disk.set_vanished(true);
                self.say("vanished");
            }
            _ => match self.random.bool() {
                true => fail(Call::Sync, ErrorKind::Other, When::After(after)),
                false => fail(Call::SyncFolder, ErrorKind::Other, When::Next),
            },
        }
    }

    /// The trouble is over.
    pub(crate) fn heal(&mut self) {
        self.disk.heal();
        self.disk.set_capacity(1 << 40);
        self.disk.set_read_only(false);
        self.disk.set_vanished(false);
        self.may_fail = false;
        self.say("healed");
    }

    /// One bit rots, or one file is lost.
    pub(crate) fn rot(&mut self) {
        let Some(log) = &self.log else {
            return;
        };
        let segments = log.view.catalogue().segments();
        let Some(place) = (!segments.is_empty()).then(|| self.random.usize(0..segments.len()))
        else {
            return;
        };
        let segment = segments.get(place).expect("in range");
        let name = format!("{:016x}.segment", segment.number);
        // What is being appended is not known to have a place yet.
        if segment.state == SegmentState::Active || self.disk.contents(&name).is_none() {
            return;
        }
        let confirmed = below(self.checkpoint.confirmed);
        let spool = format!("{:016x}.spool", segment.number);
        let what = match self.random.u8(0..5) {
            _ if segment.spool_bytes > 0 && self.random.bool() => match self.random.u8(0..3) {
                0 => {
                    self.disk.lose(&spool);
                    format!("{spool} is lost")
                }
                _ => {
                    let offset = self.random.u64(0..segment.spool_bytes);
                    let bit = self.random.u8(0..8);
                    self.disk.flip(&spool, offset, bit);
                    format!("bit {bit} of byte {offset} in {spool} is flipped")
                }
            },
            0 if segment.highest <= confirmed && place + 1 < segments.len() => {
                self.disk.lose(&name);
                format!("{name} is lost")
            }
            _ => {
                let offset = self.random.u64(0..segment.bytes.max(1));
                let bit = self.random.u8(0..8);
                self.disk.flip(&name, offset, bit);
                format!("bit {bit} of byte {offset} in {name} is flipped")
            }
        };
        let entries = segment.first_entry..segment.end_entry;
        self.say(format!("{what}, which holds {entries:?}"));
        let from = self
            .rotten_from
            .map_or(entries.start, |from| from.min(entries.start));
        self.rotten_from = Some(from);
        self.model.damage(entries);
    }

    fn open(&mut self, checkpoint: Option<&Checkpoint>) -> Result<Opened, Failure> {
        let storage = self.sealing.storage(&self.disk);
        Opened::open(storage, self.options.clone(), checkpoint)
    }

    /// The process ends as it likes, and starts again.
    pub(crate) fn restart(&mut self, end: End) {
        self.say(format!("{end:?}"));
        if end == End::Clean {
            self.close();
        }
        if let Some(log) = self.log.take() {
            // Who is killed has no time to remove them.
            self.disk.set_vanished(end != End::Clean);
            drop(log);
            self.disk.set_vanished(false);
        }
        self.readers
            .iter_mut()
            .for_each(crate::reading::Reader::reopen);
        self.disk = match end {
            End::PowerCut => self.disk.crash(),
            End::Clean | End::Kill => self.disk.kill(),
        };
        self.heal();
        // The recovery can be cut as well.
        while self.random.u8(0..4) == 0 {
            self.fail_to_open();
        }
        if self.random.u8(0..4) == 0 {
            self.refuse_strangers();
        }
        let checkpoint = self.checkpoint.clone();
        let opened = match self.open(Some(&checkpoint)) {
            Ok(opened) => opened,
            Err(failure) => panic!("the log can't be opened: {failure}"),
        };
        self.check_recovered(&opened);
        self.start(opened);
        self.restart_readers();
    }

    fn close(&mut self) {
        self.settle();
        let wall = self.wall();
        if let Some(log) = &mut self.log
            && !self.lost
            && log.files.pending_bytes() == 0
        {
            log.appender.seal(wall).expect("sealed");
            self.settle();
        }
    }

    /// The disk fails in the recovery, or the power does.
    fn fail_to_open(&mut self) {
        let calls = [
            Call::Sync,
            Call::SyncFolder,
            Call::Write,
            Call::Truncate,
            Call::Remove,
            Call::Read,
            Call::Open,
            Call::List,
        ];
        let call = *self.random.choice(&calls).expect("not empty");
        let when = When::After(self.random.u32(0..6));
        let error = ErrorKind::Other;
        self.disk.fail(Fault { call, error, when });
        let checkpoint = self.checkpoint.clone();
        let result = self.open(Some(&checkpoint)).map(drop);
        if result.is_err() && matches!(call, Call::Sync | Call::SyncFolder) {
            self.lost = true;
        }
        self.say(format!("open with {call:?} failing {when:?}: {result:?}"));
        self.disk = match self.random.bool() {
            true => self.disk.crash(),
            false => self.disk.kill(),
        };
        self.heal();
    }

    /// Who is not the owner of the folder changes nothing in it.
    fn refuse_strangers(&mut self) {
        let names = self.disk.list().expect("listed");
        if !names.iter().any(|name| name.ends_with(".segment")) {
            return;
        }
        let contents = |disk: &SimulatedDisk| -> Vec<_> {
            let names = disk.list().expect("listed");
            names
                .iter()
                .map(|name| (name.clone(), disk.contents(name)))
                .collect()
        };
        let before = contents(&self.disk);
        let mut other_slot = self.checkpoint.clone();
        other_slot.source.slot = "other".to_owned();
        let mut other_system = self.checkpoint.clone();
        other_system.source.system_id += 1;
        for stranger in [None, Some(&other_slot), Some(&other_system)] {
            // Without one sound header nobody knows whose it is.
            if self.rotten_from.is_some() && stranger.is_some() {
                continue;
            }
            let Err(refused) = self.open(stranger).map(drop) else {
                panic!("the log of another is taken with {stranger:?}");
            };
            assert!(refused.hint.is_some(), "{refused}");
        }
        assert!(
            contents(&self.disk) == before,
            "strangers have changed the folder"
        );
        self.say("strangers are refused");
    }

    /// At least what was durable is there, and it says so.
    fn check_recovered(&mut self, opened: &Opened) {
        let confirmed = self.checkpoint.confirmed;
        if confirmed > self.model.durable_whole {
            // The sinks have more than the disk has promised: what is torn of it looks damaged.
            let (from, end) = (self.model.durable, self.model.end);
            self.rotten_from = Some(self.rotten_from.map_or(from, |rotten| rotten.min(from)));
            self.model.damage(from..end);
        }
        let end = opened.next_entry();
        if self.rotten_from.is_some() && opened.tail().unwrap_or_default() < confirmed {
            // What says how far the log went has rotten, and what is torn looks damaged as well.
            self.model.damage(self.model.durable..end);
        }
        let needed = self.model.needed_for(confirmed).min(self.model.durable);
        let least = match (self.lost, self.rotten_from) {
            (true, _) => needed,
            (false, None) => self.model.durable,
            (false, Some(from)) => self.model.durable.min(needed.max(from)),
        };
        self.say(format!(
            "recovered below {end}, tail {:?}, least {least} of {}",
            opened.tail(),
            self.model.end
        ));
        if self.rotten_from.is_none() {
            assert!(
                opened.damaged().is_empty(),
                "there is damage without rot: {:?}",
                opened.damaged()
            );
        }
        // What only repeats is not needed: a confirmed keepalive behind a repeat may count as that.
        assert!(
            self.model
                .may_forget(end, least, self.rotten_from.map(|_| confirmed)),
            "entry {end} was durable and is lost"
        );
        assert!(
            end <= self.model.end || self.rotten_from.is_some(),
            "{end} entries are recovered of {}",
            self.model.end
        );
        let tail = opened.tail().unwrap_or_default();
        let (certain, most) = self.model.whole_at(end);
        assert!(
            tail <= most.max(confirmed),
            "the tail is said to be {tail}, it is {most}"
        );
        if self.rotten_from.is_none() {
            assert!(
                tail.max(confirmed) >= certain,
                "the tail is said to be {tail}, it is {certain}"
            );
            assert!(
                self.lost || tail.max(confirmed) >= self.model.durable_whole,
                "{} was durable, the tail is {tail}",
                self.model.durable_whole
            );
        }
        self.model.recovered(end, tail);
        self.lost = false;
        self.check_survivors(opened.view());
    }

    /// No spool is left that no segment names.
    fn check_spools(&self, view: &LogView) {
        let segments = view.catalogue().segments();
        for name in self.disk.list().expect("listed") {
            let number = name.strip_suffix(".spool");
            let number = number.map(|digits| u64::from_str_radix(digits, 16).expect("a number"));
            let known = |number| segments.iter().any(|segment| segment.number == number);
            assert!(
                !name.ends_with(".spooling") && number.is_none_or(known),
                "{name} is left"
            );
        }
    }

    /// What is left reads as it was appended.
    fn check_survivors(&mut self, view: &LogView) {
        self.check_spools(view);
        let first = view.catalogue().oldest();
        let mut reader = crate::reading::Reader::new("recovery", Demand::Optional, first);
        for _ in 0..100_000 {
            let read = reader.read(view, &self.model, &mut self.server);
            if !read.expect("the disk is sound") {
                return;
            }
        }
        panic!("reading comes to no end");
    }

    /// The sinks come back with what they have, which may be more than the log.
    fn restart_readers(&mut self) {
        for reader in &mut self.readers {
            let to = match reader.demand {
                Demand::Required => reader.has,
                Demand::Optional => reader.at,
            };
            reader.rewind(to);
        }
    }

    /// In the end everybody has everything.
    pub(crate) fn finish(&mut self) {
        self.heal();
        // A file that somebody has removed can fail a sync even now.
        for _ in 0..2 {
            if self.lost {
                self.restart(End::Kill);
            }
            self.wait(6000);
            self.settle();
        }
        let end = self.model.end;
        assert_eq!(self.model.durable, end, "all is durable in the end");
        let last = self.model.highest(end);
        for place in 0..self.readers.len() {
            let at = self.read_to_end(place);
            assert!(
                at >= last || self.rotten_from.is_some(),
                "a reader ends at {at}, the log at {last}"
            );
        }
        self.say(format!("end: {end} entries to {last}"));
    }
}
