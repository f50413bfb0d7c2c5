//! Random logs over several segments come back as they were.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use walgate_core::{
    Column, FrameKind, Frames, Gap, GapReason, Lsn, PgMicros, Position, Relation, ReplicaIdentity,
    Scalar, Shape,
};
use walgate_journal::segment::{
    DefinitionCache, Definitions, Keyring, Record, SegmentHeader, SegmentIndex, SegmentWriter,
    TRAILER_BYTES, Trailer,
};

use crate::capture::{Capture, facts};
use crate::packed::{keys, pack};
use crate::reading::{Ending, addresses, assert_same, read_with};

/// What happens to a log.
#[derive(Debug, Clone)]
enum Step {
    Begin {
        time: i64,
    },
    Row {
        kind: u8,
        table: usize,
        values: Vec<Vec<u8>>,
    },
    Truncate(Vec<usize>),
    Message(Vec<u8>),
    Commit,
    Standalone(Vec<u8>),
    Progress,
    /// The buffer is full: the run ends here.
    Cut,
    /// The connection ends; the definitions come again in other `Arc`s.
    Reconnect,
    Gap(u8),
    /// The segment is full.
    Roll,
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = || vec(any::<u8>(), 0..40);
    prop_oneof![
        3 => any::<i64>().prop_map(|time| Step::Begin { time }),
        8 => (0u8..3, 0usize..6, vec(bytes(), 0..4))
            .prop_map(|(kind, table, values)| Step::Row { kind, table, values }),
        1 => vec(0usize..6, 1..5).prop_map(Step::Truncate),
        1 => bytes().prop_map(Step::Message),
        3 => Just(Step::Commit),
        1 => bytes().prop_map(Step::Standalone),
        1 => Just(Step::Progress),
        4 => Just(Step::Cut),
        1 => Just(Step::Reconnect),
        1 => (0u8..5).prop_map(Step::Gap),
        1 => Just(Step::Roll),
    ]
}

fn scalar() -> impl Strategy<Value = Scalar> {
    prop::sample::select(vec![
        Scalar::Bool,
        Scalar::Integer,
        Scalar::BigInt,
        Scalar::Float,
        Scalar::Json,
        Scalar::Bytea,
        Scalar::Timestamp,
        Scalar::TimestampTz,
        Scalar::TimeTz,
        Scalar::Plain,
        Scalar::Text,
    ])
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        scalar().prop_map(Shape::Scalar),
        (scalar(), any::<u8>())
            .prop_map(|(element, delimiter)| Shape::Array { element, delimiter }),
    ]
}

fn columns() -> impl Strategy<Value = Vec<Column>> {
    let column = (
        any::<String>(),
        any::<u32>(),
        any::<String>(),
        any::<i32>(),
        any::<bool>(),
        shape(),
    )
        .prop_map(|(name, type_oid, type_name, typmod, key, shape)| Column {
            name,
            type_oid,
            type_name,
            typmod,
            key,
            shape,
        });
    vec(column, 0..5)
}

/// Few OIDs, so that definitions of one relation follow each other.
fn relation() -> impl Strategy<Value = Arc<Relation>> {
    let identity = prop::sample::select(vec![
        ReplicaIdentity::Default,
        ReplicaIdentity::Nothing,
        ReplicaIdentity::Full,
        ReplicaIdentity::Index,
    ]);
    (
        0u32..3,
        any::<String>(),
        any::<String>(),
        identity,
        columns(),
        any::<bool>(),
    )
        .prop_map(|(oid, schema, name, identity, columns, all)| {
            let key = if all { columns.len() as u16 } else { 0 };
            Arc::new(Relation {
                oid,
                schema,
                name,
                identity,
                columns,
                primary_key: (0..key).rev().collect(),
            })
        })
}

#[derive(Debug, Clone)]
enum Written {
    Run(Frames),
    Gap(Gap),
    Progress(Lsn),
}

struct Segment {
    number: u64,
    file: Vec<u8>,
    index: SegmentIndex,
    written: Vec<Written>,
}

/// Writes a log as the journal does.
struct Log {
    capture: Capture,
    definitions: Definitions,
    writer: SegmentWriter,
    keys: Keyring,
    file: Vec<u8>,
    written: Vec<Written>,
    sealed: Vec<Segment>,
    lsn: u64,
    xid: u32,
}

fn header(number: u64, first_entry: u64, before: Position, next_definition: u32) -> SegmentHeader {
    SegmentHeader {
        number,
        first_entry,
        before,
        created: PgMicros(number as i64),
        next_definition,
        facts: facts(),
    }
}

impl Log {
    fn new(keys: Keyring) -> Self {
        let mut file = Vec::new();
        let header = header(1, 7, Position::ZERO, 3);
        Self {
            capture: Capture::default(),
            definitions: Definitions::starting_at(3),
            writer: SegmentWriter::begin_with(&header, &keys, &mut file).unwrap(),
            keys,
            file,
            written: Vec::new(),
            sealed: Vec::new(),
            lsn: 0x1000,
            xid: 700,
        }
    }

    fn forward(&mut self) -> u64 {
        self.lsn += 0x20;
        self.lsn
    }

    fn flush(&mut self) {
        let frames = self.capture.take();
        let entry = self.writer.next_entry();
        let at = self
            .writer
            .append(&frames, &mut self.definitions, &mut self.file)
            .unwrap();
        assert_eq!(
            at.map(|at| at.entry),
            (!frames.frames.is_empty()).then_some(entry)
        );
        assert_eq!(self.writer.len(), self.file.len() as u64);
        match (frames.frames.is_empty(), frames.progress) {
            (true, Some(lsn)) => self.written.push(Written::Progress(lsn)),
            (true, None) => assert_eq!(self.writer.next_entry(), entry),
            (false, _) => self.written.push(Written::Run(frames)),
        }
    }

    fn roll(&mut self) {
        self.flush();
        let header = header(
            self.writer.segment() + 1,
            self.writer.next_entry(),
            self.writer.last(),
            self.definitions.next(),
        );
        let mut file = Vec::new();
        let writer = SegmentWriter::begin_with(&header, &self.keys, &mut file).unwrap();
        let full = std::mem::replace(&mut self.writer, writer);
        let mut file = std::mem::replace(&mut self.file, file);
        let number = full.segment();
        let (index, len) = full.seal(&mut file).unwrap();
        assert_eq!(len, file.len() as u64);
        self.sealed.push(Segment {
            number,
            file,
            index,
            written: std::mem::take(&mut self.written),
        });
    }

    fn take(&mut self, step: &Step, tables: &mut [Arc<Relation>]) {
        let open = self.capture.is_open();
        match step {
            Step::Begin { time } if !open => {
                self.xid += 1;
                let lsn = self.forward();
                self.capture.begin(self.xid, lsn, *time);
            }
            Step::Row {
                kind,
                table,
                values,
            } if open => {
                let kind =
                    [FrameKind::Insert, FrameKind::Update, FrameKind::Delete][*kind as usize];
                let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
                self.capture
                    .row(kind, &tables[table % tables.len()], &values);
            }
            Step::Truncate(places) if open => {
                let named: Vec<_> = places.iter().map(|p| &tables[p % tables.len()]).collect();
                self.capture.truncate(&named);
            }
            Step::Message(content) if open => self.capture.message(content),
            Step::Commit if open => self.capture.commit(),
            Step::Standalone(content) if !open => {
                let lsn = self.forward();
                self.capture.standalone(lsn, content);
            }
            Step::Progress if !open => {
                let lsn = self.forward();
                self.capture.progress(lsn);
            }
            Step::Cut => self.flush(),
            Step::Reconnect => {
                self.flush();
                self.capture.disconnect();
                for table in tables {
                    *table = Arc::new((**table).clone());
                }
            }
            Step::Gap(reason) if !open => {
                self.flush();
                let reason = [
                    GapReason::SinkFellBehind,
                    GapReason::SlotAhead,
                    GapReason::SlotLost,
                    GapReason::TemporarySlot,
                    GapReason::Timeline,
                ][*reason as usize];
                let from = Lsn(self.lsn);
                let to = Lsn(self.forward());
                let gap = Gap { from, to, reason };
                self.writer.gap(&gap, &mut self.file).unwrap();
                self.written.push(Written::Gap(gap));
            }
            Step::Roll => self.roll(),
            _ => {}
        }
    }
}

fn check(
    segment: &Segment,
    keys: &Keyring,
    cache: &mut DefinitionCache,
    arcs: &mut HashMap<u32, *const Relation>,
) {
    let reading = read_with(segment.number, &segment.file, keys, cache);
    assert_eq!(reading.ending, Ending::Sealed);
    assert_eq!(reading.scanned.as_ref(), Some(&segment.index));
    let mut written = segment.written.iter();
    for (_, record) in &reading.records {
        match record {
            Record::Definition { number, relation } => {
                let address = *arcs.entry(*number).or_insert(Arc::as_ptr(relation));
                assert_eq!(address, Arc::as_ptr(relation), "one number, one Arc");
            }
            Record::Run(run) => match written.next() {
                Some(Written::Run(frames)) => {
                    assert_same(frames, &run.frames);
                    assert_eq!(Some(run.last), frames.last());
                    for address in addresses(&run.frames.relations) {
                        assert!(arcs.values().any(|known| *known == address));
                    }
                }
                other => panic!("{other:?} was read as {run:?}"),
            },
            Record::Gap { gap, epoch: 0, .. } => {
                assert!(matches!(written.next(), Some(Written::Gap(ours)) if ours == gap));
            }
            Record::Progress { lsn, epoch: 0 } => {
                assert!(matches!(written.next(), Some(Written::Progress(ours)) if ours == lsn));
            }
            Record::Index(index) => assert_eq!(index, &segment.index),
            other => panic!("{other:?} was never written"),
        }
    }
    assert!(written.next().is_none(), "something was not read");
    check_trailer(segment);
}

fn check_trailer(segment: &Segment) {
    let last = &segment.file[segment.file.len() - TRAILER_BYTES..];
    let trailer = Trailer::decode(segment.number, last).expect("a sealed segment has a trailer");
    let at = trailer.index_offset;
    let index = SegmentIndex::decode(segment.number, at, &segment.file[at as usize..]).unwrap();
    assert_eq!(index, segment.index);
    assert!(Trailer::decode(segment.number + 1, last).is_none());
}

/// The segment compressed, and encrypted again with these keys.
fn packed(segment: &Segment, keys: &Keyring) -> Segment {
    let (file, index) = pack(segment.number, &segment.file, keys);
    let same = SegmentIndex {
        points: segment.index.points.clone(),
        definitions: segment.index.definitions.clone(),
        ..index.clone()
    };
    assert_eq!(same, segment.index);
    Segment {
        number: segment.number,
        file,
        index,
        written: segment.written.clone(),
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        tables in vec(relation(), 1..6),
        steps in vec(step(), 0..120),
        encrypts: bool,
    ) {
        let mut tables = tables;
        let keys = if encrypts { keys() } else { Keyring::default() };
        let mut log = Log::new(keys.clone());
        for step in &steps {
            log.take(step, &mut tables);
        }
        log.roll();
        let mut cache = DefinitionCache::new();
        let mut arcs = HashMap::new();
        let mut entry = 7;
        for segment in &log.sealed {
            prop_assert_eq!(segment.index.first_entry, entry);
            entry = segment.index.next_entry();
            check(segment, &keys, &mut cache, &mut arcs);
            let mut others = (DefinitionCache::new(), HashMap::new());
            check(&packed(segment, &keys), &keys, &mut others.0, &mut others.1);
        }
        let distinct = log.definitions.next() - 3;
        prop_assert!(distinct as usize <= tables.len(), "equal definitions share a number");
        prop_assert_eq!(cache.len(), distinct as usize);
    }
}
