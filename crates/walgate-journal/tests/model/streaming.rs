//! Transactions that are streamed: spools beside the log, adopted when they commit.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use walgate_core::{FrameKind, Frames, Lsn, Relation, Streamed, StreamedFrame, StreamedFrames};
use walgate_journal::log::{Committed, FinishedSpool, SpoolOptions, Spools, Taken};

use crate::server::{EPOCH, StreamedCommit, frames_of};
use crate::world::World;

/// One that commits never.
const OTHER: u32 = 7;

impl World {
    /// The keeper of spools of a log that begins with this segment.
    pub(crate) fn spools(&mut self, segment: u64) -> Spools {
        let options = SpoolOptions {
            memory_bytes: *self
                .random
                .choice(&[0, 500, 5_000, 1 << 20])
                .expect("not empty"),
            disk_bytes: *self.random.choice(&[10_000, 1 << 30]).expect("not empty"),
            keep_free_percent: 0,
        };
        let storage = self.sealing.storage(&self.disk);
        Spools::new(storage, segment, options)
    }

    /// The next transaction comes streamed, with parts that are rolled back, beside others that are
    /// rolled back or never end.
    pub(crate) fn stream(&mut self) {
        if self.session.is_open() || !self.takes() {
            return;
        }
        let Some(commit) = self.session.streamed(&mut self.server) else {
            return;
        };
        if self.log.is_none() {
            return;
        }
        let Some(taken) = self.feed(&commit) else {
            // The source connects again, and sends it once more.
            return;
        };
        self.session.pass();
        match taken {
            Committed::Runs(runs) => self.append_runs(runs, &commit),
            Committed::Spool(spool) => self.adopt(&spool, &commit),
        }
        self.check_budget();
    }

    /// Returns what is to be appended; none when it was given up.
    fn feed(&mut self, commit: &StreamedCommit) -> Option<Committed> {
        let xid = commit.transaction.xid;
        let mut sent = 0;
        let mut relations: Vec<Arc<Relation>> = Vec::new();
        while sent < commit.changes.len() {
            let more = self.random.usize(1..=8).min(commit.changes.len() - sent);
            let mut chunk = Chunk::default();
            for change in commit.changes.get(sent..sent + more).unwrap_or_default() {
                chunk.push(
                    change.kind,
                    &change.relations,
                    &change.bytes,
                    &mut relations,
                );
            }
            sent += more;
            let extra = match self.random.u8(0..4) {
                0 => self.random.usize(1..12),
                _ => 0,
            };
            for _ in 0..extra {
                let len = self.random.usize(1..200);
                let some = [Arc::clone(self.server.relation(self.random.usize(0..3)))];
                let bytes = Bytes::from(vec![0xAB; len]);
                chunk.push(FrameKind::Insert, &some, &bytes, &mut relations);
            }
            self.take(Streamed::Chunk {
                xid,
                frames: chunk.frames(),
            })?;
            if extra > 0 {
                let keep = sent as u64;
                self.take(Streamed::AbortSub {
                    xid,
                    sub: xid + 1,
                    keep,
                })?;
            }
            if self.random.u8(0..8) == 0 {
                let mut chunk = Chunk::default();
                let some = [Arc::clone(self.server.relation(0))];
                chunk.push(
                    FrameKind::Insert,
                    &some,
                    &Bytes::from_static(b"never"),
                    &mut Vec::new(),
                );
                self.take(Streamed::Chunk {
                    xid: OTHER,
                    frames: chunk.frames(),
                })?;
                if self.random.bool() {
                    self.take(Streamed::Abort { xid: OTHER })?;
                }
            }
        }
        let taken = self.take(Streamed::Commit {
            transaction: commit.transaction,
            end_lsn: commit.whole,
            epoch: EPOCH,
            frames: sent as u64,
            relations,
        })?;
        match taken {
            Taken::Committed(committed) => Some(committed),
            other => panic!("a commit is {other:?}"),
        }
    }

    /// None when it was given up.
    fn take(&mut self, streamed: Streamed) -> Option<Taken> {
        let log = self.log.as_mut()?;
        let mut taken = log.spools.take(streamed);
        if let Ok(Taken::Waits(_)) = taken {
            taken = log.spools.go_on();
        }
        match taken {
            Ok(Taken::GivenUp { .. } | Taken::Waits(_)) | Err(_) => {
                let trouble = format!("streamed: given up: {taken:?}");
                let discarded = log.spools.take(Streamed::DiscardAll);
                assert!(matches!(discarded, Ok(Taken::Kept)));
                self.say(trouble);
                None
            }
            Ok(taken) => Some(taken),
        }
    }

    fn append_runs(&mut self, runs: Vec<Frames>, commit: &StreamedCommit) {
        // The messages, and the table of the frames.
        let size = |run: &Frames| run.bytes.len() + 11 * run.frames.len();
        let bytes = runs.iter().map(size).sum();
        self.largest(bytes);
        for run in runs {
            let Some(log) = &mut self.log else { return };
            let number = log.appender.append(&run, self.wall).expect("appended");
            let whole = self.whole_behind(&run, commit);
            let what = format!("{} frames to {:?}", run.frames.len(), run.last());
            let expected = self.model.append(run, whole);
            assert_eq!(number, Some(expected), "entries are numbered without holes");
            self.say(format!("append streamed {expected}: {what}, whole {whole}"));
        }
    }

    fn adopt(&mut self, spool: &FinishedSpool, commit: &StreamedCommit) {
        let Some(log) = &mut self.log else { return };
        let first = log.appender.adopt(spool, self.wall).expect("adopted");
        let adoption = &spool.adoption;
        self.largest(adoption.spool_bytes as usize);
        let mut runs = vec![adoption.begin()];
        for (place, part) in adoption.parts.iter().enumerate() {
            let next = adoption.parts.get(place + 1);
            let end = next.map_or(u32::MAX, |next| next.first_index);
            runs.push(frames_of(commit, part.first_index..end));
        }
        runs.push(adoption.commit());
        let count = runs.len() as u64;
        assert_eq!(count, adoption.entries());
        for (number, run) in (first..).zip(runs) {
            let whole = self.whole_behind(&run, commit);
            let expected = self.model.append(run, whole);
            assert_eq!(number, expected, "entries are numbered without holes");
        }
        let end = commit.whole;
        self.say(format!(
            "adopt {first}, {count} entries, {} to {end}",
            spool.name
        ));
    }

    fn whole_behind(&self, run: &Frames, commit: &StreamedCommit) -> Lsn {
        let ends = run
            .frames
            .iter()
            .any(|frame| frame.kind == FrameKind::Commit);
        if ends { commit.whole } else { self.model.whole }
    }
}

#[derive(Default)]
struct Chunk {
    bytes: BytesMut,
    frames: Vec<StreamedFrame>,
    truncated: Vec<u32>,
}

impl Chunk {
    fn push(
        &mut self,
        kind: FrameKind,
        tables: &[Arc<Relation>],
        bytes: &Bytes,
        relations: &mut Vec<Arc<Relation>>,
    ) {
        let mut number = |relation: &Arc<Relation>| -> u32 {
            let known = relations.iter().position(|one| one == relation);
            known.unwrap_or_else(|| {
                relations.push(Arc::clone(relation));
                relations.len() - 1
            }) as u32
        };
        let numbers: Vec<u32> = tables.iter().map(&mut number).collect();
        let relation = match kind {
            FrameKind::Truncate => {
                let first = self.truncated.len() as u32;
                self.truncated.extend(numbers);
                first
            }
            _ => numbers.first().copied().unwrap_or(0),
        };
        self.frames.push(StreamedFrame {
            kind,
            relation,
            start: self.bytes.len() as u32,
            len: bytes.len() as u32,
            sub: 0,
        });
        self.bytes.extend_from_slice(bytes);
    }

    fn frames(self) -> StreamedFrames {
        StreamedFrames {
            pinned: self.bytes.len(),
            bytes: self.bytes.freeze(),
            frames: self.frames,
            truncated: self.truncated,
        }
    }
}
