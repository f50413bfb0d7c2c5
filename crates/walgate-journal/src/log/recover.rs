//! Recovery: what of a folder counts, and what is cut.
//!
//! Nothing is changed before everything has been looked at. Then segments behind a cut are deleted,
//! the newest first; the cut one is shortened; survivors are sealed; and all that was not trusted is
//! synced, files and folder, before it counts. A crash in between leaves a folder from which the
//! same is decided again.

use walgate_core::{Failure, PgMicros, Position};

use super::catalogue::{Segment, SegmentState};
use super::damaged::DamagedPlace;
use super::found::Found;
use super::marker;
use super::repair::{Cut, Kept, Repair};
use super::scan::{Ending, Rule, Scan, Scanned};
use super::strays;
use super::unscanned::{Before, of_index, unreadable};
use crate::segment::{EncodeError, RECORD_HEADER_BYTES, SegmentHeader, SegmentIndex};
use crate::storage::{Storage, unusable};

/// What is left of a folder.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) segments: Vec<Segment>,
    /// The end of the last whole transaction, or a keepalive's position; zero when there is none.
    pub(super) whole: Position,
    pub(super) next_segment: u64,
    pub(super) next_entry: u64,
    pub(super) next_definition: u32,
    pub(super) damaged: Vec<DamagedPlace>,
    /// Of the last segment.
    pub(super) header: Option<SegmentHeader>,
}

impl Recovered {
    fn note_cut(&mut self, cut: Cut) {
        let mut segments = self.segments.iter_mut();
        if let Some(known) = segments.find(|segment| segment.number == cut.number) {
            (known.bytes, known.written, known.synced) = (cut.len, cut.len, cut.len);
            if cut.sealed {
                known.state = SegmentState::Sealed;
            }
        }
    }
}

/// Decides what counts in a folder of which everything up to `confirmed` (index 0) was confirmed,
/// and makes it so.
pub(super) fn recover(
    storage: &dyn Storage,
    found: Vec<Found>,
    confirmed: Position,
) -> Result<Recovered, Failure> {
    let failed = storage
        .list()
        .map_err(|error| unusable(storage.path(), "can't be read", &error))?
        .iter()
        .any(|name| name == marker::FSYNC_FAILED);
    let rule = match failed {
        true => Rule::Discard(confirmed),
        false => Rule::Confirmed(confirmed),
    };
    let mut survey = Survey::new(storage, &found, rule, confirmed);
    for place in 0..found.len() {
        if survey.segment(place)? == Verdict::Cut {
            break;
        }
    }
    survey.finish()?;
    let Survey {
        mut recovered,
        mut repair,
        ..
    } = survey;
    if let Some(last) = repair.keep.last_mut() {
        // Those before it were synced before it was made.
        last.rewrite = recovered.segments.last().map(|one| one.number) == Some(last.number);
    }
    let first = found.first();
    repair.forget = first.and_then(|first| first.number.checked_sub(1).filter(|one| *one > 0));
    recovered.next_segment = found.last().map_or(1, |last| last.number + 1);
    for cut in repair.carry_out(storage)? {
        recovered.note_cut(cut);
    }
    strays::remove(storage, &recovered.segments, &repair.without_spool)?;
    strays::measure(storage, &mut recovered.segments)?;
    if failed {
        tracing::warn!(
            folder = %storage.path().display(),
            confirmed = %confirmed.lsn(),
            "an fsync had failed, or the server's history has parted from ours: what lies behind is discarded and comes from the slot"
        );
        marker::clear(storage)
            .map_err(|error| unusable(storage.path(), "can't be synced", &error))?;
    }
    Ok(recovered)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It counts, and so may what follows.
    Counts,
    /// Nothing behind it counts.
    Cut,
}

/// Looks at segment after segment, and changes nothing.
#[derive(Debug)]
struct Survey<'a> {
    storage: &'a dyn Storage,
    found: &'a [Found],
    rule: Rule,
    confirmed: Position,
    recovered: Recovered,
    repair: Repair,
    /// Whether `recovered` knows `whole` and the definitions up to the segment at hand: trusted
    /// segments are not asked before somebody needs it.
    exact: bool,
}

impl<'a> Survey<'a> {
    fn new(storage: &'a dyn Storage, found: &'a [Found], rule: Rule, confirmed: Position) -> Self {
        Self {
            storage,
            found,
            rule,
            confirmed,
            recovered: Recovered {
                segments: Vec::with_capacity(found.len()),
                whole: Position::ZERO,
                next_segment: 1,
                next_entry: 0,
                next_definition: 0,
                damaged: Vec::new(),
                header: None,
            },
            repair: Repair::default(),
            exact: true,
        }
    }

    fn segment(&mut self, place: usize) -> Result<Verdict, Failure> {
        let Some(found) = self.found.get(place) else {
            return Ok(Verdict::Cut);
        };
        let (header, reader) = match &found.header {
            Ok((header, reader)) => (header, reader.clone()),
            Err(damage) => {
                let what = damage.what.to_owned();
                return self.without_header(place, found, what);
            }
        };
        if let Some(segment) = self.trusted(place, found, header)? {
            self.push(segment, Some(header));
            self.exact = false;
            return Ok(Verdict::Counts);
        }
        self.make_exact(place)?;
        if self.is_behind_a_hole(header) {
            if self.is_all_confirmed() {
                return Ok(self.cut_from(place));
            }
            self.rule = self.rule.behind(Some(header.before));
            self.recovered.damaged.push(DamagedPlace {
                segment: found.number,
                spool: false,
                offset: 0,
                what: "the segments before this one are missing".to_owned(),
                from: self.newest(),
                to: Some(header.before),
            });
        }
        let mut whole = self.recovered.whole;
        if header.before.index() == 0 {
            // All that commits below lies before: in the log, or it was confirmed before this
            // segment was begun.
            whole = whole.max(header.before);
        }
        let file = found.open(self.storage)?;
        let scanned = Scanned {
            storage: self.storage,
            file,
            header,
            reader,
            len: found.len,
            own_index: found.index(self.storage)?,
        };
        let scan = scanned.scan(whole, self.rule)?;
        Ok(self.take(place, found, header, scan))
    }

    /// A sealed segment of which all was confirmed is not read again.
    fn trusted(
        &self,
        place: usize,
        found: &Found,
        header: &SegmentHeader,
    ) -> Result<Option<Segment>, Failure> {
        let Some(index_offset) = found.index_offset else {
            return Ok(None);
        };
        let next = self.found.get(place + 1);
        let contiguous = next
            .filter(|next| next.number == found.number + 1)
            .and_then(Found::header);
        let (end_entry, highest, closed) = match contiguous {
            // What lies behind a hole that was confirmed does not lie in this segment; it is said
            // to reach too far then, which only keeps it longer.
            Some(next) => (next.first_entry, next.before, Some(next.created)),
            None => match found.index(self.storage)? {
                Some(index) => (index.next_entry(), index.last, None),
                None => return Ok(None),
            },
        };
        if highest > self.confirmed || self.has_progress_to_discard(found, header)? {
            return Ok(None);
        }
        Ok(Some(Segment {
            number: found.number,
            first_entry: header.first_entry,
            end_entry,
            before: header.before,
            highest,
            whole: Position::ZERO,
            created: header.created,
            closed,
            commit_times: None,
            bytes: found.len,
            spool_bytes: 0,
            packed_from: found.packed_from(),
            written: found.len,
            synced: found.len,
            data_end: index_offset,
            state: SegmentState::Sealed,
        }))
    }

    /// Whether a segment says that more was confirmed than is to be left.
    fn has_progress_to_discard(
        &self,
        found: &Found,
        header: &SegmentHeader,
    ) -> Result<bool, Failure> {
        let Rule::Discard(confirmed) = self.rule else {
            return Ok(false);
        };
        let whole = found.index(self.storage)?.and_then(|index| index.whole);
        let whole = whole.map(|lsn| Position::new(header.facts.epoch, lsn, 0));
        Ok(whole.is_some_and(|whole| whole > confirmed))
    }

    /// Finds out what trusted segments before `place` end with, from the last indexes.
    fn make_exact(&mut self, place: usize) -> Result<(), Failure> {
        if self.exact {
            return Ok(());
        }
        self.exact = true;
        for number in (0..place).rev() {
            let Some(found) = self.found.get(number) else {
                continue;
            };
            let Some(index) = found.index(self.storage)? else {
                continue;
            };
            let known = &mut self.recovered;
            known.next_definition = known.next_definition.max(index.next_definition);
            // An index also counts what was found damaged later: the next segment then began below.
            let next = self.found.get(number + 1).and_then(Found::header);
            if next.is_some_and(|next| next.before < index.last) {
                continue;
            }
            let epoch = found.header().map_or(0, |header| header.facts.epoch);
            if let Some(lsn) = index.whole {
                known.whole = known.whole.max(Position::new(epoch, lsn, 0));
                break;
            }
        }
        Ok(())
    }

    fn newest(&self) -> Position {
        let last = self.recovered.segments.last();
        last.map_or(Position::ZERO, |last| last.highest)
    }

    /// What lies before the segment at hand.
    fn before(&self) -> Before {
        let known = &self.recovered;
        let created = known.segments.last().map(|last| last.created);
        Before {
            highest: self.newest(),
            whole: known.whole,
            end_entry: known.next_entry,
            created: created.unwrap_or(PgMicros(0)),
        }
    }

    /// Whether everything that was confirmed lies before the segment at hand.
    fn is_all_confirmed(&self) -> bool {
        self.recovered.whole >= self.confirmed || self.newest() >= self.confirmed
    }

    /// Whether entries before this segment are missing that no damage explains.
    fn is_behind_a_hole(&self, header: &SegmentHeader) -> bool {
        self.recovered
            .segments
            .last()
            .is_some_and(|last| last.end_entry < header.first_entry)
            && self.recovered.next_entry < header.first_entry
    }

    fn cut_from(&mut self, place: usize) -> Verdict {
        let rest = self.found.get(place..).unwrap_or_default();
        self.repair.delete.extend(rest.iter().map(|one| one.number));
        Verdict::Cut
    }

    fn without_header(
        &mut self,
        place: usize,
        found: &Found,
        what: String,
    ) -> Result<Verdict, Failure> {
        self.make_exact(place)?;
        if self.is_all_confirmed() {
            return Ok(self.cut_from(place));
        }
        if found.blank {
            // It was made, and nothing of it was ever durable.
            self.repair.delete.push(found.number);
            return Ok(Verdict::Counts);
        }
        if let Some(index) = found.index(self.storage)? {
            if index.before >= self.confirmed {
                // Nothing in it was confirmed: pages of it were never written, the first of them.
                return Ok(self.cut_from(place));
            }
            self.push_by_index(found, &index);
            return Ok(Verdict::Counts);
        }
        let from = self.newest();
        let next = self.found.get(place + 1..).unwrap_or_default();
        let next = next.iter().find_map(Found::header);
        let to = next.map(|next| next.before.max(from));
        self.recovered.damaged.push(DamagedPlace {
            segment: found.number,
            spool: false,
            offset: 0,
            what,
            from,
            to,
        });
        // Nothing says when it was closed.
        let segment = Segment {
            closed: None,
            ..unreadable(found, &self.before(), next)
        };
        self.lose_definitions(found.len);
        self.push(segment, None);
        self.rule = self.rule.behind(to);
        Ok(Verdict::Counts)
    }

    /// A sealed segment whose header is damaged and whose index is not: all its entries can be read.
    fn push_by_index(&mut self, found: &Found, index: &SegmentIndex) {
        let epoch = index.last.epoch();
        let whole = index
            .whole
            .map_or(self.recovered.whole, |lsn| Position::new(epoch, lsn, 0));
        let known = &mut self.recovered;
        known.whole = known.whole.max(whole);
        known.next_definition = known.next_definition.max(index.next_definition);
        let data_end = found.index_offset.unwrap_or(found.len);
        let segment = Segment {
            whole,
            ..of_index(found, index, &self.before(), None, data_end)
        };
        self.push(segment, None);
    }

    /// Numbers of definitions that may lie in bytes that can't be read are not given out again.
    fn lose_definitions(&mut self, bytes: u64) {
        let lost = u32::try_from(bytes / RECORD_HEADER_BYTES as u64).unwrap_or(u32::MAX);
        let next = self.recovered.next_definition;
        self.recovered.next_definition = next.saturating_add(lost);
    }

    fn take(&mut self, place: usize, found: &Found, header: &SegmentHeader, scan: Scan) -> Verdict {
        if let Ending::Torn(damage) = &scan.ending {
            tracing::info!(
                segment = found.number,
                offset = damage.offset,
                bytes = found.len - scan.end.offset,
                "the journal's tail is torn ({}): it is cut, and comes from the slot again",
                damage.what
            );
        }
        let next = self.found.get(place + 1).and_then(Found::header);
        let cut = matches!(scan.ending, Ending::Torn(_) | Ending::Discarded);
        self.rule = match scan.ending {
            Ending::Damaged => scan.rule.behind(next.map(|next| next.before)),
            _ => scan.rule,
        };
        let is_last = place + 1 == self.found.len();
        // The first stays even when it is empty: the numbers of entries and segments go on from it.
        // Not where what it says to lie before it was deleted and comes again, because less was
        // confirmed: for every later start it would seem that all of that is there.
        let comes_again = header.before > self.confirmed.max(scan.whole);
        let stays = self.recovered.segments.is_empty() && !comes_again;
        if scan.is_empty() && (cut || is_last) && !stays {
            let known = &mut self.recovered;
            known.next_entry = known.next_entry.max(scan.index.first_entry);
            known.next_definition = known.next_definition.max(header.next_definition);
            known.header.get_or_insert_with(|| header.clone());
            return self.cut_from(place);
        }
        self.recovered.whole = self.recovered.whole.max(scan.whole);
        self.repair.keep.push(kept(found.number, &scan, cut));
        // Where something can't be read, it may be what names it.
        if !scan.names_spool && scan.damaged.is_empty() && scan.ending != Ending::Damaged {
            self.repair.without_spool.push(found.number);
        }
        let next = next.filter(|_| !cut);
        let segment = self.counted(found, &scan, next);
        let known = &mut self.recovered;
        known.next_definition = known.next_definition.max(scan.index.next_definition);
        known
            .damaged
            .extend(scan.damaged.into_iter().map(|mut one| {
                one.to = one
                    .to
                    .or_else(|| next.map(|next| next.before.max(one.from)));
                one
            }));
        self.push(segment, Some(header));
        match cut {
            true => self.cut_from(place + 1),
            false => Verdict::Counts,
        }
    }

    /// What is known of a segment that was scanned, before it is cut and sealed.
    fn counted(&mut self, found: &Found, scan: &Scan, next: Option<&SegmentHeader>) -> Segment {
        let mut end_entry = scan.index.next_entry();
        let mut highest = scan.index.last;
        let mut data_end = scan.end.offset;
        if let Some(next) = next {
            // Numbers that the next segment gives out again did not count when it was begun.
            end_entry = end_entry.min(next.first_entry);
        }
        if scan.ending == Ending::Damaged {
            // What can't be read has a number at least, which is not given again: a reader that
            // stands before it must not take what comes next for it. Without a next segment, the
            // numbers of entries behind it are, as nobody will ever read those.
            end_entry = next.map_or(end_entry + 1, |next| next.first_entry.max(end_entry));
            highest = next.map_or(highest, |next| next.before.max(highest));
            data_end = found.len;
            self.lose_definitions(found.len.saturating_sub(scan.end.offset));
        }
        Segment {
            end_entry,
            highest,
            whole: scan.whole,
            state: match scan.ending {
                Ending::Sealed => SegmentState::Sealed,
                _ => SegmentState::Open,
            },
            ..of_index(found, &scan.index, &self.before(), next, data_end)
        }
    }

    fn push(&mut self, segment: Segment, header: Option<&SegmentHeader>) {
        let known = &mut self.recovered;
        known.next_entry = known.next_entry.max(segment.end_entry);
        if let Some(header) = header {
            known.next_definition = known.next_definition.max(header.next_definition);
            known.header = Some(header.clone());
        }
        known.segments.push(segment);
    }

    /// Behind the last segment that counts.
    fn finish(&mut self) -> Result<(), Failure> {
        self.make_exact(self.recovered.segments.len())
    }
}

/// What is done with a segment that stays. One with damage is never sealed: an index says that
/// everything in the segment can be read.
fn kept(number: u64, scan: &Scan, cut: bool) -> Kept {
    let seal = match scan.ending {
        Ending::Clean | Ending::Torn(_) | Ending::Discarded if scan.damaged.is_empty() => {
            // An index that is too large for a record leaves the segment as it is.
            encode_index(scan, number).ok()
        }
        _ => None,
    };
    Kept {
        number,
        cut: (cut || seal.is_some()).then_some(scan.end.offset),
        seal,
        rewrite: false,
    }
}

fn encode_index(scan: &Scan, segment: u64) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    scan.index.seal(segment, scan.end.offset, &mut out)?;
    Ok(out)
}
