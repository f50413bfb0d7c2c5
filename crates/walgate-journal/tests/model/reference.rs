//! The reference model of the log: a list of entries, and what was promised of them.

use std::collections::BTreeMap;
use std::ops::Range;

use walgate_core::{Frame, FrameKind, Frames, Gap, Lsn, Position};

use crate::server::{EPOCH, positions};

/// One append.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    Run(Frames),
    Gap(Gap),
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) item: Item,
    first: Position,
    /// Position of its last frame; where a gap ends.
    pub(crate) last: Position,
    /// Behind it, everything that commits below this LSN lies in the log for certain.
    whole: Lsn,
}

/// Behind some append.
#[derive(Debug, Clone, Copy)]
struct Mark {
    end: u64,
    whole: Lsn,
}

/// What the log has to hold.
#[derive(Debug, Default)]
pub(crate) struct Reference {
    entries: BTreeMap<u64, Entry>,
    /// The number of the next entry.
    pub(crate) end: u64,
    /// Everything that commits below this LSN was appended.
    pub(crate) whole: Lsn,
    /// After each append, progress too.
    marks: Vec<Mark>,
    /// Entries below this number survive everything but damage.
    pub(crate) durable: u64,
    /// Everything that commits below this LSN survives everything but damage.
    pub(crate) durable_whole: Lsn,
    /// The highest position of those that were durable, damaged, and forgotten with their numbers.
    pub(crate) lost: Position,
    /// Entries below this number may have been deleted.
    deleted: u64,
    /// Entries that were damaged on purpose: those of whole segments.
    damaged: Vec<Range<u64>>,
}

impl Reference {
    /// Frames were appended; behind them, everything that commits below `whole` was. Returns the
    /// number of the entry.
    pub(crate) fn append(&mut self, run: Frames, whole: Lsn) -> u64 {
        let last = run.last().expect("a position");
        let ends = |frame: &Frame| matches!(frame.kind, FrameKind::Commit | FrameKind::Standalone);
        let says = run.progress.is_some() || run.frames.iter().any(ends);
        let before = self.whole_at(self.end).0;
        let certain = if says { before.max(whole) } else { before };
        self.insert(Item::Run(run), last, certain, whole)
    }

    /// A gap was appended. Whether the log counts what is lost as whole is up to it.
    pub(crate) fn append_gap(&mut self, gap: Gap) -> u64 {
        let last = Position::new(EPOCH, gap.to, 0);
        let (certain, to) = (self.whole_at(self.end).0, gap.to);
        self.insert(Item::Gap(gap), last, certain, to)
    }

    fn insert(&mut self, item: Item, last: Position, certain: Lsn, whole: Lsn) -> u64 {
        let number = self.end;
        self.end += 1;
        let first = match &item {
            Item::Run(run) => positions(run).first().map(|(first, _)| *first),
            Item::Gap(gap) => Some(Position::new(EPOCH, gap.from, 0)),
        };
        let entry = Entry {
            first: first.unwrap_or_default(),
            item,
            last,
            whole: certain,
        };
        self.entries.insert(number, entry);
        self.progress(whole);
        number
    }

    /// Everything that commits below the LSN was appended.
    pub(crate) fn progress(&mut self, whole: Lsn) {
        self.whole = self.whole.max(whole);
        self.marks.push(Mark {
            end: self.end,
            whole: self.whole,
        });
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Entry> {
        self.entries.get(&number)
    }

    /// The highest position of the entries below this number.
    pub(crate) fn highest(&self, below: u64) -> Position {
        self.highest_of(0..below)
    }

    /// The highest position of these entries.
    pub(crate) fn highest_of(&self, entries: Range<u64>) -> Position {
        let entries = self.entries.range(entries);
        entries
            .map(|(_, entry)| entry.last)
            .max()
            .unwrap_or_default()
    }

    /// The first entry from `first` on that holds anything behind the position.
    pub(crate) fn behind(&self, position: Position, first: u64) -> u64 {
        let mut entries = self.entries.range(first..);
        let behind = entries.find(|(_, entry)| entry.last > position);
        behind.map_or(self.end, |(number, _)| *number)
    }

    /// A sync has returned.
    pub(crate) fn synced(&mut self, end: u64, whole: Lsn) {
        assert!(
            end <= self.end,
            "entries are durable that were never appended"
        );
        assert!(
            whole <= self.whole_at(end).1,
            "{whole} is durable with {end} entries, which reach {}",
            self.whole_at(end).1
        );
        assert!(
            end >= self.durable && whole >= self.durable_whole,
            "what is durable goes back: {end} {whole}"
        );
        self.durable = end;
        self.durable_whole = whole;
    }

    /// What a log that holds the entries below this number may say of its end: at least and at most
    /// (with the progress behind its last entry).
    pub(crate) fn whole_at(&self, end: u64) -> (Lsn, Lsn) {
        let least = self.entries.range(..end).next_back();
        let least = least.map_or(Lsn(0), |(_, entry)| entry.whole);
        let marks = self.marks.partition_point(|mark| mark.end <= end);
        let most = marks.checked_sub(1).and_then(|last| self.marks.get(last));
        (least, most.map_or(Lsn(0), |mark| mark.whole))
    }

    /// The last that was said to be whole, at or below an LSN.
    pub(crate) fn said(&self, at: Lsn) -> Lsn {
        let marks = self.marks.partition_point(|mark| mark.whole <= at);
        let last = marks.checked_sub(1).and_then(|last| self.marks.get(last));
        last.map_or(Lsn(0), |mark| mark.whole)
    }

    /// How many entries hold everything that commits below this LSN.
    pub(crate) fn needed_for(&self, confirmed: Lsn) -> u64 {
        let mark = self.marks.partition_point(|mark| mark.whole < confirmed);
        let mut end = self.marks.get(mark).map_or(self.end, |mark| mark.end);
        // Not what was not confirmed: a gap behind it may say more than any transaction.
        let below = Position::new(EPOCH, confirmed, 0);
        let mut entries = self.entries.range(..end);
        if let Some((number, _)) = entries.find(|(_, entry)| entry.first > below) {
            end = *number;
        }
        end
    }

    /// A recovery has kept the entries below this number, and the progress that says `whole`. The
    /// rest never was, and what is kept is durable.
    pub(crate) fn recovered(&mut self, end: u64, whole: Lsn) {
        let gone = self.entries.split_off(&end);
        self.deleted = self.deleted.min(end);
        let durable = gone.range(..self.durable.max(end));
        let lost = durable.map(|(_, entry)| entry.last).max();
        self.lost = self.lost.max(lost.unwrap_or_default());
        self.marks
            .retain(|mark| mark.end <= end && mark.whole <= whole);
        self.end = end;
        self.whole = whole;
        self.durable = end;
        self.durable_whole = whole;
        self.progress(whole);
    }

    /// The source starts here: what commits below is in the log, or the slot no longer has it.
    pub(crate) fn started(&mut self, at: Lsn) {
        if at > self.whole {
            // Confirmed because every sink had it, and never kept: lost to whoever goes back.
            self.lost = self.lost.max(Position::new(EPOCH, at, 0));
        }
        self.progress(at);
        self.durable_whole = self.durable_whole.max(at);
    }

    /// Retention has deleted, or begun to delete, the entries below this number.
    pub(crate) fn deleted(&mut self, below: u64) {
        self.deleted = self.deleted.max(below);
    }

    /// Whether a recovery that keeps the entries below `end` may forget those up to `durable`: they
    /// are deleted or damaged, or only repeat what is kept. Behind damage, what lies
    /// above `confirmed` and what is kept comes again.
    pub(crate) fn may_forget(&self, end: u64, durable: u64, confirmed: Option<Lsn>) -> bool {
        let kept = self.highest(end);
        let comes_again = |number: u64| {
            let first = self.get(number).map(|entry| entry.first.max(kept));
            confirmed
                .zip(first)
                .is_some_and(|(confirmed, first)| first > Position::new(EPOCH, confirmed, 0))
        };
        let needed =
            |number: &u64| self.highest_of(*number..number + 1) > kept && !comes_again(*number);
        (end.max(self.deleted)..durable)
            // What follows damage may be cut with it, so that the slot sends it again.
            .find(needed)
            .is_none_or(|first| self.is_damaged(first))
    }

    /// These entries may be unreadable from here on.
    pub(crate) fn damage(&mut self, entries: Range<u64>) {
        self.damaged.push(entries);
    }

    /// Whether an entry may be unreadable.
    pub(crate) fn is_damaged(&self, number: u64) -> bool {
        self.damaged.iter().any(|entries| entries.contains(&number))
    }
}
