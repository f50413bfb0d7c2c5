//! Readers: each checks all that it reads, against the reference and against the server.

use std::sync::Arc;

use walgate_core::{Failure, Frame, FrameKind, Frames, Lsn, Position, Relation};
use walgate_journal::Demand;
use walgate_journal::log::{
    Chunk, DamagedPlace, Item as LogItem, LogEntry, LogReader, LogView, Then,
};

use crate::reference::{Item, Reference};
use crate::server::{EPOCH, Server, positions};

/// The least between two WAL records.
const ALIGNMENT: u64 = 8;

/// One reader of the log.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) name: &'static str,
    pub(crate) demand: Demand,
    /// Everything up to here was delivered, or named as lost.
    pub(crate) at: Position,
    /// What the checkpoint says that it has.
    pub(crate) has: Position,
    /// What it reads next, once it has begun.
    next: Option<u64>,
    log: Option<LogReader>,
    /// It has gone on behind something that it could not read.
    stopped: bool,
    /// How often it was told that something is lost.
    pub(crate) gaps: u32,
}

/// Where transactions are whole again when everything up to `lost` is lost.
fn first_whole(lost: Position) -> Lsn {
    match lost.index() {
        0 => lost.lsn(),
        _ => Lsn(lost.lsn().0 + ALIGNMENT),
    }
}

/// The tables of a row or a truncate.
fn tables(run: &Frames, frame: &Frame) -> Vec<Arc<Relation>> {
    let first = usize::from(frame.relation);
    let places: Vec<u16> = match frame.kind {
        FrameKind::Truncate => {
            let end = first + run.tables_of(frame) as usize;
            run.truncated.get(first..end).expect("its tables").to_vec()
        }
        FrameKind::Insert | FrameKind::Update | FrameKind::Delete => vec![frame.relation],
        _ => Vec::new(),
    };
    let table = |place: &u16| run.relations.get(usize::from(*place)).expect("a table");
    places.iter().map(table).cloned().collect()
}

/// The same frames, wherever their bytes lie.
fn assert_same(number: u64, read: &Frames, appended: &Frames) {
    let facts = |run: &Frames| (run.open, run.epoch, run.progress);
    assert_eq!(facts(read), facts(appended), "entry {number}");
    assert_eq!(read.frames.len(), appended.frames.len(), "entry {number}");
    for (one, other) in read.frames.iter().zip(&appended.frames) {
        let place = |frame: &Frame| (frame.kind, frame.index);
        assert_eq!(place(one), place(other), "entry {number}");
        // A spool may know more tables than are left in it.
        assert_eq!(tables(read, one), tables(appended, other), "entry {number}");
        assert!(
            read.message(one) == appended.message(other),
            "entry {number}: the bytes of a frame differ"
        );
    }
}

impl Reader {
    pub(crate) fn new(name: &'static str, demand: Demand, at: Position) -> Self {
        Self {
            name,
            demand,
            at,
            has: at,
            next: None,
            log: None,
            stopped: false,
            gaps: 0,
        }
    }

    /// Begins again behind a position, by number where it is known.
    pub(crate) fn rewind(&mut self, to: Position) {
        self.at = to;
        self.next = None;
        self.log = None;
    }

    /// Forgets the log that it reads, but not the number that it is at.
    pub(crate) fn reopen(&mut self) {
        self.log = None;
    }

    /// Reads a chunk. Returns whether there may be more, or that the disk has failed.
    pub(crate) fn read(
        &mut self,
        view: &LogView,
        model: &Reference,
        server: &mut Server,
    ) -> Result<bool, Failure> {
        let next = self.next;
        let at = self.at;
        let log = self.log.get_or_insert_with(|| match next {
            Some(next) => view.reader_at(next),
            None => view.reader_behind(at),
        });
        let Chunk { entries, then, .. } = log.read()?;
        let first = view.catalogue().entries().start;
        for entry in entries {
            self.take(&entry, first, model, server);
        }
        Ok(match then {
            Then::More => true,
            Then::Tail => {
                self.check_tail(view, model);
                false
            }
            Then::Gone { oldest, .. } => {
                self.lose(oldest, model, server);
                true
            }
            Then::Damaged(place) => {
                self.meet(&place, model, server);
                place.to.is_some()
            }
        })
    }

    fn take(&mut self, entry: &LogEntry, first: u64, model: &Reference, server: &mut Server) {
        let number = entry.number;
        match self.next {
            // Behind a stop, what it does not need may be left out.
            Some(next) if self.stopped => assert!(
                number >= next && model.highest_of(next..number) <= self.at,
                "{} goes on with {number}, not with {next}",
                self.name
            ),
            Some(next) => assert_eq!(number, next, "{} reads entries in order", self.name),
            // Whether it was told of damage, the positions say. What holds nothing behind its
            // position is not needed, wherever it lies.
            None => assert!(
                (model.behind(self.at, first)..number)
                    .filter(|left| model.highest_of(*left..left + 1) > self.at)
                    .all(|lost| model.is_damaged(lost)),
                "{} begins at {number} and skips what lies behind {}",
                self.name,
                self.at
            ),
        }
        self.stopped = false;
        self.next = Some(number + 1);
        let Some(expected) = model.get(number) else {
            panic!("{} got entry {number}, which was never appended", self.name);
        };
        match (&entry.item, &expected.item) {
            (LogItem::Frames(read), Item::Run(appended)) => {
                assert_same(number, read, appended);
                for (first, last) in positions(appended) {
                    if last > self.at {
                        let next = server.after(self.at);
                        assert_eq!(first, next, "{} is at {}", self.name, self.at);
                        self.at = last;
                    }
                }
            }
            (LogItem::Gap(read), Item::Gap(appended)) => {
                assert_eq!(read, appended, "entry {number}");
                self.at = self.at.max(expected.last);
            }
            (read, appended) => panic!("entry {number} is {read:?}, not {appended:?}"),
        }
    }

    /// At the tail, nothing that is written may be left.
    fn check_tail(&self, view: &LogView, model: &Reference) {
        let entries = view.catalogue().entries();
        let next = match self.next {
            Some(next) if !self.stopped => next,
            next => model.behind(self.at, next.unwrap_or(entries.start)),
        };
        assert!(
            next >= model.durable || model.is_damaged(next) || view.catalogue().is_empty(),
            "{} is at the tail at {next}, but {} entries are durable",
            self.name,
            model.durable
        );
    }

    /// What it needs is no longer kept.
    fn lose(&mut self, oldest: Position, model: &Reference, server: &mut Server) {
        let from = self.next.unwrap_or_else(|| model.behind(self.at, 0));
        let next = self.go_on();
        // The oldest file that somebody has removed looks like one that retention has.
        let removed = model.lost > self.at || (from..next).any(|number| model.is_damaged(number));
        assert!(
            self.demand == Demand::Optional || server.after(self.at) > oldest || removed,
            "{} is required, and is told that everything up to {oldest} is gone behind {}",
            self.name,
            self.at
        );
        self.check_lost(oldest, next, model, server);
    }

    fn meet(&mut self, place: &DamagedPlace, model: &Reference, server: &mut Server) {
        assert!(
            server.after(self.at) > place.from,
            "{} is at {}, and what is lost begins only behind {}",
            self.name,
            self.at,
            place.from
        );
        let from = self.next;
        let next = self.go_on();
        for number in from.unwrap_or(next)..next {
            assert!(
                model.is_damaged(number),
                "{} lost entry {number}, which is sound: {place}",
                self.name
            );
        }
        if let Some(to) = place.to {
            self.check_lost(to, next, model, server);
        }
    }

    fn go_on(&mut self) -> u64 {
        let log = self.log.as_mut().expect("it reads");
        log.go_on();
        let next = log.next_entry().expect("it knows where it goes on");
        self.next = Some(next);
        self.stopped = true;
        self.gaps += 1;
        next
    }

    /// Everything up to `lost` is lost, and the entry `next` comes next. No more is lost than was
    /// said: what is read next shows it. And no less.
    fn check_lost(&mut self, lost: Position, next: u64, model: &Reference, server: &mut Server) {
        let highest = model.highest(next).max(model.lost);
        let to = first_whole(lost);
        let resumed = Position::new(EPOCH, to, 0);
        if lost <= self.at || resumed <= self.at {
            return;
        }
        let really = Position::committed(EPOCH, highest.lsn()).max(self.at);
        let whole = server.after(really);
        assert!(
            whole.lsn() >= to,
            "{} is told of a gap up to {to}, but {whole} is there",
            self.name
        );
        self.at = resumed;
    }
}
