//! The log and its reference, side by side: each step does the same to both.

use std::time::{Duration, Instant};

use fastrand::Rng;
use walgate_core::{Checkpoint, Gap, GapReason, Lsn, PgMicros, Position, SourceIdentity};
use walgate_journal::Demand;
use walgate_journal::log::Spools;
use walgate_journal::log::{
    Appender, DiskState, LogFiles, LogOptions, LogView, Need, Opened, Room,
};
use walgate_journal::segment::SegmentFacts;
use walgate_journal::storage::{SimulatedDisk, Storage};
use walgate_pgoutput::Dialect;

use crate::reading::Reader;
use crate::reference::Reference;
use crate::sealing::Sealing;
use crate::server::{EPOCH, START, Server, Session};

/// What was done, for the message of a failure.
pub(crate) type Trace = Vec<String>;

/// A log that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) appender: Appender,
    pub(crate) files: LogFiles,
    pub(crate) view: LogView,
    pub(crate) spools: Spools,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) random: Rng,
    pub(crate) sealing: Sealing,
    pub(crate) disk: SimulatedDisk,
    pub(crate) options: LogOptions,
    pub(crate) server: Server,
    pub(crate) session: Session,
    pub(crate) log: Option<Running>,
    pub(crate) model: Reference,
    pub(crate) readers: Vec<Reader>,
    now: Instant,
    pub(crate) wall: PgMicros,
    pub(crate) checkpoint: Checkpoint,
    /// What is confirmed need not be on this disk: the sinks have it.
    confirm_sinks: bool,
    /// A sync has failed: what was not confirmed is discarded.
    pub(crate) lost: bool,
    /// The disk is in trouble: reads may fail.
    pub(crate) may_fail: bool,
    /// Entries from here on may be unreadable, also above what is confirmed.
    pub(crate) rotten_from: Option<u64>,
    /// The largest append so far, in bytes: what the budget may be exceeded by.
    largest: u64,
    pub(crate) trace: Trace,
}

fn options(random: &mut Rng) -> LogOptions {
    let segment_bytes = *random.choice(&[2_000, 6_000, 20_000]).expect("not empty");
    LogOptions {
        segment_bytes,
        sync_every: Duration::from_millis(50),
        sync_bytes: *random.choice(&[1, 5_000, 1 << 20]).expect("not empty"),
        replay_bytes: segment_bytes * random.u64(0..6),
        replay_age: Duration::from_secs(*random.choice(&[5, 60, 100_000]).expect("not empty")),
        budget_bytes: Some(segment_bytes * random.u64(4..40)),
        keep_free_percent: *random.choice(&[0, 0, 10]).expect("not empty"),
    }
}

pub(crate) fn facts(slot: &str) -> SegmentFacts {
    SegmentFacts {
        system_id: 7_300_000_000_000_000_000,
        timeline: 1,
        epoch: EPOCH,
        slot: slot.to_owned(),
        dialect: Dialect::default(),
        server_version: "17.2".to_owned(),
        settings: vec![("datestyle".to_owned(), "ISO".to_owned())],
    }
}

/// The position of everything that commits below an LSN.
pub(crate) fn below(lsn: Lsn) -> Position {
    Position::new(EPOCH, lsn, 0)
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let options = options(&mut random);
        let start = START;
        let facts = facts("model");
        let readers = vec![
            Reader::new("first", Demand::Required, below(start)),
            Reader::new("second", Demand::Required, below(start)),
            Reader::new("replay", Demand::Optional, Position::ZERO),
            Reader::new("tail", Demand::Optional, below(start)),
        ];
        Self {
            sealing: Sealing::new(seed),
            disk: SimulatedDisk::new(random.u64(..)),
            options,
            server: Server::new(random.u64(..)),
            session: Session::default(),
            log: None,
            model: Reference::default(),
            readers,
            now: Instant::now(),
            wall: PgMicros(1_000_000_000),
            checkpoint: Checkpoint {
                source: SourceIdentity {
                    system_id: facts.system_id,
                    timeline: facts.timeline,
                    epoch: EPOCH,
                    slot: facts.slot,
                    consistent_point: start,
                    created_by_us: true,
                },
                confirmed: start,
                sinks: std::collections::BTreeMap::new(),
                received: None,
                gaps: Vec::new(),
            },
            confirm_sinks: random.u8(0..6) == 0,
            lost: false,
            may_fail: false,
            rotten_from: None,
            largest: 0,
            trace: Trace::new(),
            random,
        }
    }

    pub(crate) fn say(&mut self, what: impl Into<String>) {
        self.trace.push(what.into());
    }

    /// Starts what was opened, and the session behind it.
    pub(crate) fn start(&mut self, opened: Opened) {
        let start = self
            .checkpoint
            .confirmed
            .max(opened.tail().unwrap_or_default());
        let view = opened.view().clone();
        let started = opened.start(facts("model"), below(start), self.wall);
        let (appender, files) = started.expect("the log of this slot starts");
        let spools = self.spools(appender.segment());
        self.log = Some(Running {
            appender,
            files,
            view,
            spools,
        });
        self.session = Session::start(&mut self.server, start);
        self.model.started(start);
        self.say(format!("start at {start}, entry {}", self.model.end));
    }

    /// The source's connection breaks: it begins again with the transaction that was cut.
    pub(crate) fn disconnect(&mut self) {
        let whole = self.session.whole(&mut self.server);
        self.session = Session::start(&mut self.server, whole);
        self.say(format!("disconnect, start at {whole}"));
    }

    /// What may go goes. Returns whether there is room.
    pub(crate) fn retain(&mut self) -> bool {
        let Some(log) = &mut self.log else {
            return false;
        };
        let needs: Vec<Need> = self
            .readers
            .iter()
            .map(|reader| Need {
                name: reader.name.to_owned(),
                demand: reader.demand,
                has: reader.has,
            })
            .collect();
        let catalogue = log.view.catalogue().clone();
        let space = self.disk.space().ok();
        let retention = catalogue.retention(&self.options, self.wall, &needs, space);
        for segment in catalogue.segments() {
            if !retention.delete.contains(&segment.number) {
                continue;
            }
            self.model.deleted(segment.end_entry);
            // What is damaged is no longer known to have been there.
            let last = (segment.first_entry..segment.end_entry)
                .filter(|number| !self.model.is_damaged(*number))
                .filter_map(|number| self.model.get(number))
                .map(|entry| entry.last)
                .max()
                .unwrap_or_default();
            for reader in &self.readers {
                assert!(
                    reader.demand == Demand::Optional || reader.has >= last,
                    "{segment:?} goes, and {} needs it: it has {}",
                    reader.name,
                    reader.has
                );
            }
        }
        if !retention.delete.is_empty() {
            let deleted = log.files.delete(&retention.delete).is_ok();
            self.trace
                .push(format!("delete {:?} {deleted}", retention.delete));
            self.look_at_state();
        }
        retention.room == Room::Free
    }

    /// Whether the program would take anything from the source.
    pub(crate) fn takes(&mut self) -> bool {
        let room = self.retain();
        let works = |log: &Running| *log.files.state() == DiskState::Works;
        room && self.log.as_ref().is_some_and(works)
    }

    pub(crate) fn append(&mut self) {
        if !self.takes() {
            return;
        }
        let messages = match self.random.u8(0..10) {
            0 => self.random.usize(1..400),
            1..4 => 1,
            _ => self.random.usize(1..20),
        };
        let run = self
            .session
            .run(&mut self.server, messages, &mut self.random);
        let whole = self.session.whole(&mut self.server);
        let whole = run.progress.map_or(whole, |progress| progress.max(whole));
        let Some(log) = &mut self.log else {
            return;
        };
        let number = log.appender.append(&run, self.wall).expect("appended");
        self.largest = self.largest.max(1000 + 2 * run.bytes.len() as u64);
        let what = format!("{} frames to {:?}", run.frames.len(), run.last());
        let expected = self.model.append(run, whole);
        assert_eq!(number, Some(expected), "entries are numbered without holes");
        self.say(format!("append {expected}: {what}, whole {whole}"));
        self.check_budget();
    }

    /// So many bytes are appended at once.
    pub(crate) fn largest(&mut self, bytes: usize) {
        self.largest = self.largest.max(2000 + 2 * bytes as u64);
    }

    pub(crate) fn append_progress(&mut self) {
        if self.session.is_open() || !self.takes() {
            return;
        }
        let progress = self.session.progress(&mut self.server, &mut self.random);
        let Some(log) = &mut self.log else {
            return;
        };
        let run = walgate_core::Frames::progress(EPOCH, progress);
        let number = log.appender.append(&run, self.wall).expect("appended");
        assert_eq!(number, None, "progress is no entry");
        self.model.progress(progress);
        self.say(format!("progress {progress}"));
    }

    /// The slot is ahead of what we have: changes are lost for all.
    pub(crate) fn append_gap(&mut self) {
        if !self.takes() {
            return;
        }
        let from = self.session.whole(&mut self.server);
        let lost = self.server.at_or_behind(from) + self.random.usize(1..4);
        let to = self.server.commit(lost).lsn;
        let gap = Gap {
            from,
            to,
            reason: GapReason::SlotAhead,
        };
        let Some(log) = &mut self.log else {
            return;
        };
        let number = log.appender.append_gap(&gap, self.wall).expect("appended");
        let expected = self.model.append_gap(gap);
        assert_eq!(number, expected, "entries are numbered without holes");
        self.session = Session::start(&mut self.server, to);
        self.say(format!("gap {expected}: {from} to {to}"));
    }

    /// Nothing is larger than was agreed.
    pub(crate) fn check_budget(&self) {
        let Some(log) = &self.log else {
            return;
        };
        let budget = self.options.budget(None);
        let bytes = log.view.catalogue().bytes();
        let most = budget + self.options.segment_bytes + self.largest;
        assert!(
            bytes <= most,
            "{bytes} bytes are over the budget of {budget}"
        );
    }

    /// Gives the files what was appended, and lets them write it.
    pub(crate) fn write(&mut self) {
        let Some(log) = &mut self.log else {
            return;
        };
        log.files.queue(log.appender.take_pending());
        let all = log.files.write_out(self.now);
        assert!(!all || log.files.pending_bytes() == 0, "all is written");
        let state = format!("{:?}", log.files.state());
        self.trace.push(format!("write {all} {state:.40}"));
        self.look_at_state();
    }

    pub(crate) fn sync(&mut self) {
        let Some(log) = &mut self.log else {
            return;
        };
        let result = log.files.sync();
        match result {
            Ok(synced) => {
                assert!(!self.lost, "a sync that had failed succeeds");
                let whole = synced.whole.lsn();
                self.model.synced(synced.end_entry, whole);
                self.say(format!("sync: entries below {}, {whole}", synced.end_entry));
            }
            Err(_) => self.look_at_state(),
        }
    }

    /// Everything that was appended is written and synced.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            self.write();
            self.sync();
            let Some(log) = &self.log else {
                return;
            };
            if self.lost || self.may_fail {
                return;
            }
            if *log.files.state() != DiskState::Works {
                self.wait(1100);
                continue;
            }
            if log.files.pending_bytes() == 0 {
                assert_eq!(self.model.durable, self.model.end, "all is durable");
                let certain = self.model.whole_at(self.model.end).0;
                assert!(
                    self.model.durable_whole >= certain || self.rotten_from.is_some(),
                    "the end of all is {certain}, not {}",
                    self.model.durable_whole
                );
                return;
            }
        }
        panic!("writing comes to no end");
    }

    /// Time passes; what is due is done.
    pub(crate) fn pass(&mut self) {
        let millis = match self.random.u8(0..5) {
            0 => 5000,
            _ => self.random.u64(1..200),
        };
        self.wait(millis);
        let now = self.now;
        if self
            .log
            .as_ref()
            .is_some_and(|log| log.files.is_sync_due(now))
        {
            self.sync();
        }
        let due = |log: &Running| log.files.due(now).is_some_and(|due| due <= now);
        if self.log.as_ref().is_some_and(due) {
            self.write();
        }
    }

    /// The clocks go on.
    pub(crate) fn wait(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        self.wall = PgMicros(self.wall.0 + 1000 * millis as i64);
        self.say(format!("{millis} ms"));
    }

    /// The time on the wall.
    pub(crate) const fn wall(&self) -> PgMicros {
        self.wall
    }

    fn look_at_state(&mut self) {
        let lost = |log: &Running| matches!(log.files.state(), DiskState::Lost(_));
        if !self.lost && self.log.as_ref().is_some_and(lost) {
            self.lost = true;
            self.say("a sync has failed");
        }
    }

    /// The checkpoint is written, and the slot confirmed.
    pub(crate) fn confirm(&mut self) {
        let mut confirmed = self.model.durable_whole;
        if self.confirm_sinks {
            let required = self.readers.iter();
            let required = required.filter(|reader| reader.demand == Demand::Required);
            let least = required.map(|reader| reader.has).min().unwrap_or_default();
            // What is not whole is not confirmed.
            let commit = self.server.at_or_behind(least.lsn());
            let whole = commit + usize::from(least.index() == Position::COMMIT);
            confirmed = whole
                .checked_sub(1)
                .map_or(START, |last| self.server.commit(last).whole);
        }
        if self.random.u8(0..4) == 0 && confirmed > self.checkpoint.confirmed {
            let between = self.checkpoint.confirmed.0..=confirmed.0;
            confirmed = Lsn(self.random.u64(between));
        }
        // Only what the log has said can be confirmed.
        confirmed = self.model.said(confirmed);
        self.checkpoint.confirmed = self.checkpoint.confirmed.max(confirmed);
        self.say(format!("confirm {}", self.checkpoint.confirmed));
    }
}
