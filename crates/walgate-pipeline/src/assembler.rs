//! The assembler: frames into the changes that an output is given. Pure state.

use std::sync::Arc;
use std::time::{Duration, Instant};

use walgate_core::{
    Body, Change, Failure, Frame, FrameKind, Frames, Gap, GapReason, Lsn, OldTuple, Op, Position,
    Relation, StopReason, Transaction, Tuple, is_heartbeat,
};
use walgate_pgoutput::{Dialect, Message, decode};

use crate::Selection;
use crate::known_tables::KnownTables;

/// What an output is given beyond changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extras {
    /// `begin` and `commit` of transactions that give it at least one change.
    pub transactions: bool,
    /// `schema` before the first row of each definition.
    pub schemas: bool,
}

/// How far a chain has read, and what it needs to know to go on from there.
///
/// It is kept at the boundaries of batches, so that a chain can begin again at what was delivered
/// without the begin of a transaction that is larger than the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// The epoch of the log: a sink may have stopped in an earlier one.
    epoch: u8,
    /// The last frame that was read: selected or not, it is accounted for.
    pub seen: Position,
    /// Everything that commits below this LSN lies before this place: the end of the last whole
    /// transaction, or a keepalive's position.
    pub whole: Lsn,
    /// Events that were given, for an output that ends after so many.
    pub events: u64,
    open: Option<OpenTransaction>,
}

/// The transaction that is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OpenTransaction {
    commit_lsn: Lsn,
    /// Changes of it that the output was given.
    changes: u64,
    /// The output was given its `begin`.
    begun: bool,
}

impl Place {
    /// The place of a chain that has everything that commits below `lsn`.
    pub fn start(epoch: u8, lsn: Lsn) -> Self {
        Self {
            epoch,
            seen: Position::new(epoch, lsn, 0),
            whole: lsn,
            events: 0,
            open: None,
        }
    }

    /// The place of a chain that has everything up to `from`, which lies before this place. What is
    /// in between is not accounted for before the chain is told of the gap. An LSN of another epoch
    /// says nothing about this log.
    #[must_use]
    pub fn behind(self, from: Position) -> Self {
        let whole = if from.epoch() == self.epoch {
            from.lsn()
        } else {
            Lsn::ZERO
        };
        Self {
            seen: from,
            whole,
            ..self
        }
    }

    /// The epoch of the log that it lies in.
    pub fn epoch(&self) -> u8 {
        self.epoch
    }

    /// [`whole`](Self::whole) as a position.
    pub fn whole_position(&self) -> Position {
        if self.whole == Lsn::ZERO {
            return Position::ZERO;
        }
        Position::new(self.epoch, self.whole, 0)
    }

    /// The same, having read only up to `seen`, which lies before it.
    #[must_use]
    pub fn seen_up_to(self, seen: Position) -> Self {
        Self { seen, ..self }
    }

    fn close(&mut self, seen: Position, whole: Lsn) {
        self.seen = seen;
        self.whole = self.whole.max(whole);
        self.open = None;
    }
}

/// Turns frames into changes: selection, transactions, what was given before.
///
/// Two positions keep what repeats out. What is at or before [`Place::seen`] is accounted for and
/// is passed over, as when the source sends a cut transaction again. What is behind it and at or
/// before `skip` is counted and not given: the output holds it already.
#[derive(Debug)]
pub struct Assembler {
    selection: Arc<Selection>,
    extras: Extras,
    tables: KnownTables,
    place: Place,
    skip: Position,
    /// Events up to here are of an earlier process and are not counted in [`Place::events`].
    started: Position,
    /// The next frame of the run.
    at: usize,
    /// The next table of the truncate at `at`.
    table_at: u32,
    /// The transaction of the frame at `at`.
    current: Option<Transaction>,
    /// An output is told of a definition again when it was told this long ago.
    tells_again: Option<Duration>,
    /// When the run was begun.
    now: Option<Instant>,
}

/// What [`Assembler::step`] has found. It borrows from the frames only.
#[derive(Debug, Clone, Copy)]
enum Found<'f> {
    Insert(u16, Tuple<'f>),
    Update(u16, Option<OldTuple<'f>>, Tuple<'f>),
    Delete(u16, OldTuple<'f>),
    Truncate(u16, bool, bool),
    Message(Lsn, bool, &'f str, &'f [u8]),
    Schema(u16),
    Begin,
    Commit(u64),
}

impl Assembler {
    /// An assembler that starts at `place` for an output that holds everything up to `skip`.
    pub fn new(selection: Arc<Selection>, extras: Extras, place: Place, skip: Position) -> Self {
        Self {
            selection,
            extras,
            tables: KnownTables::default(),
            place,
            skip,
            started: skip,
            at: 0,
            table_at: 0,
            current: None,
            tells_again: None,
            now: None,
        }
    }

    /// Tells of a definition again when a row uses it that long after it was told last: for an output
    /// that forgets what is old. Time is that of [`set_now`](Self::set_now).
    #[must_use]
    pub fn telling_again(mut self, after: Option<Duration>) -> Self {
        self.tells_again = after;
        self
    }

    /// What time it is while the next run is read.
    pub fn set_now(&mut self, now: Instant) {
        self.now = Some(now);
    }

    /// How far it has read.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Begins again at `place`, for an output that holds everything up to `skip`. What follows is
    /// a run.
    pub fn rewind(&mut self, place: Place, skip: Position) {
        self.place = place;
        self.skip = skip;
        self.tables.untell(skip);
    }

    /// Begins a run. The run before it is either read to its end or given up.
    ///
    /// # Errors
    ///
    /// When the selection does not fit a definition of the run.
    pub fn start(&mut self, frames: &Frames) -> Result<(), Failure> {
        self.at = 0;
        self.table_at = 0;
        self.current = frames.open;
        self.tables.start_run(&frames.relations, &self.selection)
    }

    /// The next change of the run, with its frame's place in the run; none at its end.
    ///
    /// # Errors
    ///
    /// When the frames break their invariant.
    #[inline]
    pub fn next<'a>(
        &'a mut self,
        frames: &'a Frames,
    ) -> Result<Option<(Change<'a>, usize)>, Failure> {
        let Some((position, found)) = self.step(frames)? else {
            return Ok(None);
        };
        self.place.events += u64::from(position > self.started);
        let selected = |place: u16| {
            let known = self.tables.get(place).and_then(|k| k.selected.as_ref());
            known.map(|s| &s.table).ok_or_else(|| broken(position))
        };
        let body = match found {
            Found::Insert(table, new) => {
                let table = selected(table)?;
                Body::Insert { table, new }
            }
            Found::Update(table, old, new) => {
                let table = selected(table)?;
                Body::Update { table, old, new }
            }
            Found::Delete(table, old) => {
                let table = selected(table)?;
                Body::Delete { table, old }
            }
            Found::Truncate(table, cascade, restart_identity) => Body::Truncate {
                table: selected(table)?,
                cascade,
                restart_identity,
            },
            Found::Message(lsn, transactional, prefix, content) => Body::Message {
                lsn,
                transactional,
                prefix,
                content,
            },
            Found::Schema(table) => Body::Schema {
                table: selected(table)?,
            },
            Found::Begin => Body::Begin,
            Found::Commit(changes) => Body::Commit { changes },
        };
        let standalone = matches!(found, Found::Message(_, false, ..));
        // A truncate of several tables and what introduces a change stay at their frame.
        let stays = self.table_at > 0 || matches!(found, Found::Begin | Found::Schema(_));
        let change = Change {
            position,
            transaction: self.current.as_ref().filter(|_| !standalone),
            body,
        };
        Ok(Some((change, self.at.saturating_sub(usize::from(!stays)))))
    }

    /// The change that was just returned went somewhere else: `commit` does not count it.
    pub fn disregard(&mut self) {
        self.place.events = self.place.events.saturating_sub(1);
        if let Some(open) = &mut self.place.open {
            open.changes = open.changes.saturating_sub(1);
        }
    }

    /// The end of a run, or news from the journal: everything up to `position` has been read.
    pub fn progress(&mut self, position: Position) {
        // While a transaction is open this can only be older news: the source says it when
        // nothing is in flight.
        if position > self.place.seen && self.place.open.is_none() {
            self.place.close(position, position.lsn());
        }
    }

    /// A gap. Returns its position when the output is to be given it.
    pub fn gap(&mut self, gap: &Gap) -> Option<Position> {
        let position = Position::new(self.place.epoch, gap.to, 0);
        if position <= self.place.seen {
            return None;
        }
        self.place.close(position, gap.to);
        let given = position > self.skip;
        self.place.events += u64::from(given);
        given.then_some(position)
    }

    /// The log goes on in a later epoch, behind `to`, whose LSNs say nothing about those before.
    /// Returns the gap that the output is to be told of.
    pub fn cross(&mut self, epoch: u8, to: Lsn) -> Gap {
        let from = self.place.whole;
        self.place.epoch = epoch;
        self.place.whole = Lsn::ZERO;
        Gap {
            from,
            to,
            reason: GapReason::Timeline,
        }
    }

    /// Walks on to the next thing that the output is given.
    fn step<'f>(&mut self, frames: &'f Frames) -> Result<Option<(Position, Found<'f>)>, Failure> {
        while let Some(frame) = frames.frames.get(self.at) {
            let found = match frame.kind {
                FrameKind::Insert | FrameKind::Update | FrameKind::Delete => {
                    self.row(frames, frame)?
                }
                FrameKind::Begin => {
                    self.begin(frames, frame)?;
                    None
                }
                FrameKind::Commit => self.commit(frames, frame)?,
                FrameKind::Truncate => self.truncate(frames, frame)?,
                FrameKind::Message => self.message(frames, frame)?,
                FrameKind::Standalone => self.standalone(frames, frame)?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        if let Some(lsn) = frames.progress {
            self.progress(Position::new(frames.epoch, lsn, 0));
        }
        Ok(None)
    }

    #[inline]
    fn row<'f>(
        &mut self,
        frames: &'f Frames,
        frame: &Frame,
    ) -> Result<Option<(Position, Found<'f>)>, Failure> {
        let position = self.enter(frames, frame.index)?;
        if position <= self.place.seen {
            self.at += 1;
            return Ok(None);
        }
        let op = match frame.kind {
            FrameKind::Insert => Op::Insert,
            FrameKind::Update => Op::Update,
            _ => Op::Delete,
        };
        let selected = self
            .tables
            .get(frame.relation)
            .ok_or_else(|| broken(position))?;
        let Some(selected) = selected
            .selected
            .as_ref()
            .filter(|_| self.selection.ops.contains(op))
        else {
            self.pass(position);
            return Ok(None);
        };
        let (old, new, found) = match decode(frames.message(frame), Dialect::default(), false) {
            Ok(Message::Insert { new, .. }) => {
                (None, Some(new), Found::Insert(frame.relation, new))
            }
            Ok(Message::Update { old, new, .. }) => {
                (old, Some(new), Found::Update(frame.relation, old, new))
            }
            Ok(Message::Delete { old, .. }) => {
                (Some(old), None, Found::Delete(frame.relation, old))
            }
            _ => return Err(broken(position)),
        };
        if !selected.passes(old, new) {
            self.pass(position);
            return Ok(None);
        }
        if let Some(first) = self.introduce(position, Some(frame.relation)) {
            return Ok(Some(first));
        }
        self.at += 1;
        Ok(self.give(position, found))
    }

    fn begin(&mut self, frames: &Frames, frame: &Frame) -> Result<(), Failure> {
        let begun = frames.begun(frame).ok_or_else(|| broken(self.place.seen))?;
        self.current = Some(begun);
        let position = self.enter(frames, Position::BEGIN)?;
        self.pass(position.max(self.place.seen));
        Ok(())
    }

    fn commit<'f>(
        &mut self,
        frames: &'f Frames,
        frame: &Frame,
    ) -> Result<Option<(Position, Found<'f>)>, Failure> {
        let position = self.enter(frames, Position::COMMIT)?;
        self.at += 1;
        if position <= self.place.seen {
            return Ok(None);
        }
        let Ok(Message::Commit { end_lsn, .. }) =
            decode(frames.message(frame), Dialect::default(), false)
        else {
            return Err(broken(position));
        };
        let begun = self.place.open.filter(|open| open.begun);
        self.place.close(position, end_lsn);
        let Some(open) = begun else {
            return Ok(None);
        };
        if position > self.skip {
            return Ok(Some((position, Found::Commit(open.changes))));
        }
        self.count_held(position);
        Ok(None)
    }

    fn truncate<'f>(
        &mut self,
        frames: &'f Frames,
        frame: &Frame,
    ) -> Result<Option<(Position, Found<'f>)>, Failure> {
        let Ok(Message::Truncate {
            cascade,
            restart_identity,
            relations,
            ..
        }) = decode(frames.message(frame), Dialect::default(), false)
        else {
            return Err(broken(self.place.seen));
        };
        let taken = self.selection.ops.contains(Op::Truncate);
        while (self.table_at as usize) < relations.len() {
            let position = self.enter(frames, frame.index.saturating_add(self.table_at))?;
            let place = usize::from(frame.relation) + self.table_at as usize;
            let place = *frames
                .truncated
                .get(place)
                .ok_or_else(|| broken(position))?;
            let known = self.tables.get(place).ok_or_else(|| broken(position))?;
            if position <= self.place.seen || !taken || known.selected.is_none() {
                self.table_at += 1;
                self.place.seen = self.place.seen.max(position);
                continue;
            }
            if let Some(first) = self.introduce(position, Some(place)) {
                return Ok(Some(first));
            }
            self.table_at += 1;
            let given = self.give(position, Found::Truncate(place, cascade, restart_identity));
            if given.is_some() {
                return Ok(given);
            }
        }
        self.table_at = 0;
        self.at += 1;
        Ok(None)
    }

    fn message<'f>(
        &mut self,
        frames: &'f Frames,
        frame: &Frame,
    ) -> Result<Option<(Position, Found<'f>)>, Failure> {
        let position = self.enter(frames, frame.index)?;
        if position <= self.place.seen || !self.selection.ops.contains(Op::Message) {
            self.pass(position.max(self.place.seen));
            return Ok(None);
        }
        let Ok(Message::Message {
            lsn,
            prefix,
            content,
            ..
        }) = decode(frames.message(frame), Dialect::default(), false)
        else {
            return Err(broken(position));
        };
        if is_heartbeat(prefix, content) {
            self.pass(position.max(self.place.seen));
            return Ok(None);
        }
        if let Some(first) = self.introduce(position, None) {
            return Ok(Some(first));
        }
        self.at += 1;
        Ok(self.give(position, Found::Message(lsn, true, prefix, content)))
    }

    fn standalone<'f>(
        &mut self,
        frames: &'f Frames,
        frame: &Frame,
    ) -> Result<Option<(Position, Found<'f>)>, Failure> {
        let Ok(Message::Message {
            lsn,
            prefix,
            content,
            ..
        }) = decode(frames.message(frame), Dialect::default(), false)
        else {
            return Err(broken(self.place.seen));
        };
        self.at += 1;
        let position = Position::new(frames.epoch, lsn, 0);
        if position <= self.place.seen {
            return Ok(None);
        }
        self.place.close(position, lsn);
        let given = self.selection.ops.contains(Op::Message) && position > self.skip;
        Ok(given.then_some((position, Found::Message(lsn, false, prefix, content))))
    }

    /// The position `index` of the current transaction, which is opened when it is a new one.
    #[inline]
    fn enter(&mut self, frames: &Frames, index: u32) -> Result<Position, Failure> {
        let Some(transaction) = &self.current else {
            return Err(broken(self.place.seen));
        };
        let position = frames.position(transaction, index);
        let commit_lsn = transaction.commit_lsn;
        if position > self.place.seen
            && self
                .place
                .open
                .is_none_or(|open| open.commit_lsn != commit_lsn)
        {
            self.place.open = Some(OpenTransaction {
                commit_lsn,
                changes: 0,
                begun: false,
            });
        }
        Ok(position)
    }

    /// Passes over the frame at `at`.
    #[inline]
    fn pass(&mut self, position: Position) {
        self.place.seen = position;
        self.at += 1;
    }

    /// What the output is given before a change: `begin`, `schema`. Called again until there is
    /// nothing.
    #[inline]
    fn introduce<'f>(
        &mut self,
        position: Position,
        table: Option<u16>,
    ) -> Option<(Position, Found<'f>)> {
        let given = position > self.skip;
        if self.extras.transactions
            && let Some(open) = self.place.open.as_mut().filter(|open| !open.begun)
        {
            open.begun = true;
            let begin = Position::new(position.epoch(), position.lsn(), Position::BEGIN);
            if begin > self.skip {
                return Some((begin, Found::Begin));
            }
            self.count_held(begin);
        }
        if self.extras.schemas
            && let Some(table) = table
            && let Some(known) = self.tables.get_mut(table)
            && known.is_to_be_told(position, self.now, self.tells_again)
        {
            known.told = Some(position);
            known.told_at = self.now;
            let before = position.index().saturating_sub(1);
            let before = Position::new(position.epoch(), position.lsn(), before);
            if given {
                return Some((before, Found::Schema(table)));
            }
            self.count_held(before);
        }
        None
    }

    /// Counts a change, and gives it unless the output holds it already.
    #[inline]
    fn give<'f>(&mut self, position: Position, found: Found<'f>) -> Option<(Position, Found<'f>)> {
        self.place.seen = position;
        if let Some(open) = &mut self.place.open {
            open.changes += 1;
        }
        if position > self.skip {
            return Some((position, found));
        }
        self.count_held(position);
        None
    }

    /// Counts an event that the output was given before the chain began again.
    fn count_held(&mut self, position: Position) {
        self.place.events += u64::from(position > self.started);
    }
}

#[cold]
fn broken(position: Position) -> Failure {
    let message = format!("a frame behind {position} breaks the order or the form of the stream");
    Failure::new(StopReason::Data, message)
        .hint("this is a bug of the source's side: please report it with the log around it")
}

/// The name of a table in messages.
pub(crate) fn table_name(relation: &Relation) -> String {
    format!("{}.{}", relation.schema, relation.name)
}
