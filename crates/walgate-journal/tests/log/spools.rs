//! Transactions that are streamed: spools, and what the log makes of them.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use std::io::ErrorKind;
use walgate_core::{
    FrameKind, Frames, Lsn, PgMicros, Position, Relation, Streamed, StreamedFrame, StreamedFrames,
    Transaction, Xid,
};
use walgate_journal::log::{Committed, FinishedSpool, LogView, SpoolOptions, Spools, Taken};
use walgate_journal::storage::{Call, Fault, Storage, When};

use crate::rig::{Rig, file, open, options, read_all, read_on};
use crate::runs::{COMMIT_BYTES, at, commit, relation, rows, whole};

/// What spools of these tests may hold in memory: a few rows.
const MEMORY_BYTES: usize = 4_000;

fn spools(rig: &Rig) -> Spools {
    limited(rig, MEMORY_BYTES, 1 << 30)
}

fn limited(rig: &Rig, memory_bytes: usize, disk_bytes: u64) -> Spools {
    on(Arc::new(rig.disk.clone()), rig, (memory_bytes, disk_bytes))
}

fn on(storage: Arc<dyn Storage>, rig: &Rig, (memory_bytes, disk_bytes): (usize, u64)) -> Spools {
    let options = SpoolOptions {
        memory_bytes,
        disk_bytes,
        keep_free_percent: 0,
    };
    Spools::new(storage, rig.appender.segment(), options)
}

/// A streamed transaction of 200 rows at `lsn`, whose spool lies in `storage`.
pub(crate) fn adopt(rig: &mut Rig, storage: Arc<dyn Storage>, lsn: u64) {
    let mut spools = on(storage, rig, (MEMORY_BYTES, 1 << 30));
    send(&mut spools, 9, lsn, 2..202);
    let spool = finished(end(&mut spools, 9, lsn, 200));
    rig.appender.adopt(&spool, PgMicros(0)).expect("adopted");
}

/// Rows that say that they stand at `lsn`, with these indices.
fn chunk(lsn: u64, indices: std::ops::Range<u32>) -> StreamedFrames {
    let mut bytes = BytesMut::new();
    let mut frames = Vec::new();
    for index in indices {
        let start = bytes.len() as u32;
        bytes.put_u64(lsn);
        bytes.put_u32(index);
        bytes.put_bytes(index as u8, 50);
        frames.push(StreamedFrame {
            kind: FrameKind::Insert,
            relation: index % 2,
            start,
            len: bytes.len() as u32 - start,
            sub: 9,
        });
    }
    StreamedFrames {
        pinned: bytes.len(),
        bytes: bytes.freeze(),
        frames,
        truncated: Vec::new(),
    }
}

fn relations() -> Vec<Arc<Relation>> {
    vec![relation(1), relation(2)]
}

fn send(spools: &mut Spools, xid: Xid, lsn: u64, indices: std::ops::Range<u32>) {
    let frames = chunk(lsn, indices);
    let taken = spools.take(Streamed::Chunk { xid, frames }).expect("taken");
    assert!(matches!(taken, Taken::Kept), "{taken:?}");
}

fn cut(spools: &mut Spools, xid: Xid, keep: u64) {
    let sub = xid + 1;
    let taken = spools.take(Streamed::AbortSub { xid, sub, keep });
    assert!(matches!(taken, Ok(Taken::Kept)), "{taken:?}");
}

fn end(spools: &mut Spools, xid: Xid, lsn: u64, frames: u64) -> Committed {
    let streamed = Streamed::Commit {
        transaction: Transaction {
            xid,
            commit_lsn: Lsn(lsn),
            commit_time: PgMicros(lsn as i64),
        },
        end_lsn: Lsn(lsn + COMMIT_BYTES),
        epoch: 0,
        frames,
        relations: relations(),
    };
    match spools.take(streamed) {
        Ok(Taken::Committed(committed)) => committed,
        other => panic!("a commit is {other:?}"),
    }
}

fn finished(committed: Committed) -> Arc<FinishedSpool> {
    match committed {
        Committed::Spool(spool) => spool,
        Committed::Runs(runs) => panic!("{} runs", runs.len()),
    }
}

/// The rows that the log holds of a transaction.
fn rows_at(lsn: u64, indices: std::ops::Range<u32>) -> Vec<String> {
    indices.map(|index| format!("{lsn}.{index}")).collect()
}

/// A log with a small transaction, a streamed one of 500 rows at 1000, and another small one.
fn rig_with_a_spool() -> (Rig, Arc<FinishedSpool>) {
    let mut rig = Rig::new();
    rig.append(&whole(500).frames());
    let mut spools = spools(&rig);
    for first in (2..502).step_by(20) {
        send(&mut spools, 9, 1000, first..first + 20);
    }
    let spool = finished(end(&mut spools, 9, 1000, 500));
    let first = rig.appender.adopt(&spool, PgMicros(0)).expect("adopted");
    assert_eq!(first, 1);
    assert_eq!(rig.appender.next_entry(), 1 + spool.adoption.entries());
    rig.append(&whole(2000).frames());
    rig.flush();
    (rig, spool)
}

#[test]
fn a_small_one_touches_no_disk_and_becomes_ordinary_runs() {
    let rig = Rig::new();
    let mut spools = spools(&rig);
    let before = rig.disk.list().expect("listed");
    send(&mut spools, 9, 1000, 2..12);
    let Committed::Runs(runs) = end(&mut spools, 9, 1000, 10) else {
        panic!("it is in memory");
    };
    assert_eq!(rig.disk.list().expect("listed"), before);
    let [run] = &runs[..] else {
        panic!("{} runs", runs.len());
    };
    assert_eq!(run.last(), Some(commit(1000)));
    assert_eq!(rows(run), rows_at(1000, 2..12));
    let kinds = |run: &Frames| (run.frames[0].kind, run.frames[11].kind);
    assert_eq!(kinds(run), (FrameKind::Begin, FrameKind::Commit));
}

#[test]
fn a_large_one_is_adopted_and_reads_like_any_other() {
    let (rig, spool) = rig_with_a_spool();
    assert!(spool.adoption.parts.len() > 5, "{:?}", spool.adoption.parts);
    let mut expected = vec!["500.2".to_owned(), "500.3".to_owned()];
    expected.extend(rows_at(1000, 2..502));
    expected.extend(["2000.2".to_owned(), "2000.3".to_owned()]);
    let story = read_all(&rig.view);
    assert_eq!(story.rows, expected);
    assert!(story.damaged.is_empty());
    let entries = 2 + spool.adoption.entries();
    assert_eq!(story.numbers, (0..entries).collect::<Vec<_>>());
    let names = rig.disk.list().expect("listed");
    let spooled: Vec<_> = names.iter().filter(|name| name.contains("spool")).collect();
    assert_eq!(
        spooled,
        ["0000000000000002.spool"],
        "it has its segment's name"
    );
    let bytes = rig.disk.contents(spooled[0]).expect("there").len() as u64;
    assert_eq!(bytes, spool.adoption.spool_bytes);
    assert_eq!(
        rig.view.catalogue().segments()[1].spool_bytes,
        bytes,
        "the budget counts it"
    );
}

#[test]
fn reading_begins_anywhere_in_it() {
    let (rig, spool) = rig_with_a_spool();
    for entry in 0..2 + spool.adoption.entries() {
        let story = read_on(&mut rig.view.reader_at(entry));
        assert_eq!(story.numbers.first(), Some(&entry));
        assert!(story.gone.is_empty() && story.damaged.is_empty());
    }
    for index in [1, 2, 100, 251, 501] {
        let story = read_on(&mut rig.view.reader_behind(at(1000, index)));
        let behind: Vec<_> = rows_at(1000, index + 1..502);
        let first = story.rows.len() - 2 - behind.len();
        assert!(first < 60, "at most a part is read in vain: {first}");
        assert_eq!(story.rows[first..first + behind.len()], behind);
    }
    let story = read_on(&mut rig.view.reader_behind(commit(1000)));
    assert_eq!(story.rows, ["2000.2", "2000.3"]);
}

#[test]
fn what_is_rolled_back_is_cut_off_in_memory_and_on_disk() {
    for memory in [0, 300, MEMORY_BYTES, 1 << 20] {
        let mut rig = Rig::new();
        let mut spools = limited(&rig, memory, 1 << 30);
        let mut random = fastrand::Rng::with_seed(memory as u64);
        let mut kept = 0u32;
        for _ in 0..300 {
            let more = random.u32(1..40);
            send(&mut spools, 9, 1000, 2 + kept..2 + kept + more);
            kept += more;
            if random.u8(0..3) == 0 {
                kept = random.u32(kept / 2..kept);
                cut(&mut spools, 9, u64::from(kept));
            }
        }
        match end(&mut spools, 9, 1000, u64::from(kept)) {
            Committed::Runs(runs) => {
                for run in &runs {
                    rig.append(run);
                }
            }
            Committed::Spool(spool) => {
                rig.appender.adopt(&spool, PgMicros(0)).expect("adopted");
            }
        }
        rig.flush();
        assert_eq!(read_all(&rig.view).rows, rows_at(1000, 2..2 + kept));
    }
}

#[test]
fn several_grow_side_by_side_and_none_is_left_behind() {
    let mut rig = Rig::new();
    let mut spools = spools(&rig);
    for first in (2..202).step_by(10) {
        for xid in 1..=4u32 {
            send(&mut spools, xid, u64::from(xid) * 1000, first..first + 10);
        }
    }
    let abort = spools.take(Streamed::Abort { xid: 3 });
    assert!(matches!(abort, Ok(Taken::Kept)));
    for xid in [2u32, 1] {
        // In the order of their commits.
        let lsn = u64::from(3 - xid) * 10_000;
        let spool = finished(end(&mut spools, xid, lsn, 200));
        rig.appender.adopt(&spool, PgMicros(0)).expect("adopted");
    }
    assert_eq!(spools.len(), 1);
    let discarded = spools.take(Streamed::DiscardAll);
    assert!(matches!(discarded, Ok(Taken::Kept)));
    rig.flush();
    let names = rig.disk.list().expect("listed");
    assert!(!names.iter().any(|name| name.ends_with("ing")), "{names:?}");
    assert_eq!(read_all(&rig.view).rows.len(), 400);
}

#[test]
fn without_room_it_is_given_up_at_once() {
    let rig = Rig::new();
    let mut spools = limited(&rig, 500, 2_000);
    let mut given_up = None;
    for first in (2..1000).step_by(10) {
        let frames = chunk(1000, first..first + 10);
        match spools
            .take(Streamed::Chunk { xid: 9, frames })
            .expect("taken")
        {
            Taken::Kept => {}
            Taken::GivenUp { xid, why } => {
                given_up = Some((xid, why));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    let (xid, why) = given_up.expect("it is too large");
    assert_eq!(xid, 9);
    assert!(why.contains("2000 bytes"), "{why}");
    assert!(spools.is_empty());
    rig.disk.fail(Fault {
        call: Call::Write,
        error: ErrorKind::StorageFull,
        when: When::Next,
    });
    let frames = chunk(1000, 2..40);
    let taken = spools.take(Streamed::Chunk { xid: 10, frames });
    assert!(
        matches!(taken, Ok(Taken::GivenUp { xid: 10, .. })),
        "{taken:?}"
    );
}

#[test]
fn the_end_of_one_that_has_committed_waits_for_a_full_disk() {
    let rig = Rig::new();
    let mut spools = spools(&rig);
    send(&mut spools, 9, 1000, 2..102);
    send(&mut spools, 9, 1000, 102..110);
    rig.disk.fail(Fault {
        call: Call::Write,
        error: ErrorKind::StorageFull,
        when: When::Next,
    });
    let streamed = Streamed::Commit {
        transaction: Transaction {
            xid: 9,
            commit_lsn: Lsn(1000),
            commit_time: PgMicros(0),
        },
        end_lsn: Lsn(1008),
        epoch: 0,
        frames: 108,
        relations: relations(),
    };
    let waits = spools.take(streamed);
    assert!(matches!(waits, Ok(Taken::Waits(_))), "{waits:?}");
    let done = spools.go_on();
    assert!(matches!(done, Ok(Taken::Committed(_))), "{done:?}");
}

#[test]
fn after_a_crash_only_what_the_log_names_is_left() {
    for seed in 0..40 {
        let disk = walgate_journal::storage::SimulatedDisk::new(seed);
        let mut rig = Rig::on(&disk, 0);
        rig.append(&whole(500).frames());
        let mut spools = spools(&rig);
        send(&mut spools, 9, 1000, 2..202);
        send(&mut spools, 10, 9000, 2..202);
        let spool = finished(end(&mut spools, 9, 1000, 200));
        rig.appender.adopt(&spool, PgMicros(0)).expect("adopted");
        // Not written, written and not synced, or safe.
        let synced = seed % 4 > 1;
        match seed % 4 {
            0 => {}
            1 => drop(rig.write()),
            _ => drop(rig.flush()),
        }
        std::mem::forget(spools);
        let disk = disk.crash();
        let opened = open(&disk, 0).expect("opened");
        let story = read_all(opened.view());
        assert!(story.damaged.is_empty(), "{:?}", story.damaged);
        let rows = story.rows.len();
        assert!(!synced || rows == 202, "seed {seed}: {rows} rows");
        assert!([0, 2, 202].contains(&rows), "seed {seed}: {rows} rows");
        let names = disk.list().expect("listed");
        let left = names.iter().filter(|name| name.contains("spool")).count();
        assert_eq!(left, usize::from(rows == 202), "seed {seed}: {names:?}");
    }
}

#[test]
fn a_spool_that_is_missing_is_a_torn_tail_or_damage() {
    for confirmed in [500, 1008] {
        let (rig, _) = rig_with_a_spool();
        assert!(rig.disk.lose("0000000000000002.spool"));
        let disk = rig.disk.kill();
        let opened = open(&disk, confirmed).expect("opened");
        let story = read_all(opened.view());
        if confirmed == 500 {
            assert_eq!(story.rows, ["500.2", "500.3"], "it comes again");
            assert!(story.damaged.is_empty());
            assert!(!disk.list().expect("listed").contains(&file(2)));
            continue;
        }
        assert_eq!(story.rows, ["500.2", "500.3", "2000.2", "2000.3"]);
        let [place] = &story.damaged[..] else {
            panic!("{:?}", story.damaged);
        };
        assert_eq!((place.segment, place.to), (2, Some(commit(1000))));
        assert!(place.what.contains("missing"), "{place}");
    }
}

#[test]
fn a_flipped_bit_is_found_and_named() {
    let (rig, spool) = rig_with_a_spool();
    let part = spool.adoption.parts[3];
    assert!(rig.disk.flip("0000000000000002.spool", part.offset + 40, 1));
    let verified = rig.view.verify().expect("verified");
    assert_eq!(verified.damaged.len(), 1, "{:?}", verified.damaged);
    let story = read_all(&rig.view);
    assert_eq!(story.damaged.len(), 1);
    let before = usize::try_from(part.first_index).expect("few");
    assert_eq!(
        story.rows.len(),
        2 + before - 2 + 2,
        "what lies before it is read"
    );
}

#[test]
fn it_goes_with_its_segment() {
    let (mut rig, _) = rig_with_a_spool();
    rig.append(&whole(3000).frames());
    rig.flush();
    let segments = rig.segments();
    rig.files.delete(&segments[..2]).expect("deleted");
    let names = rig.disk.list().expect("listed");
    assert!(
        !names.iter().any(|name| name.contains("spool")),
        "{names:?}"
    );
    assert_eq!(
        read_all(&rig.view).rows.first().map(String::as_str),
        Some("2000.2")
    );
}

#[test]
fn its_end_is_durable_with_the_log_only() {
    let mut rig = Rig::new();
    let mut spools = spools(&rig);
    send(&mut spools, 9, 1000, 2..202);
    let spool = finished(end(&mut spools, 9, 1000, 200));
    rig.appender.adopt(&spool, PgMicros(0)).expect("adopted");
    assert_eq!(rig.files.synced().whole, Position::ZERO);
    let synced = rig.flush();
    assert_eq!(synced.whole, at(1008, 0));
    assert_eq!(synced.end_entry, spool.adoption.entries());
}

/// Nothing but keepalives for hours fills a segment as well.
#[test]
fn it_has_the_number_of_its_segment_behind_a_segment_full_of_progress() {
    let mut rig = Rig::new();
    let mut lsn = 100;
    while rig.view.catalogue().segments()[0].bytes < options().segment_bytes {
        rig.progress(lsn);
        lsn += 1;
    }
    let mut spools = spools(&rig);
    for first in (2..502).step_by(20) {
        send(&mut spools, 9, lsn, first..first + 20);
    }
    let spool = finished(end(&mut spools, 9, lsn, 500));
    rig.appender.adopt(&spool, PgMicros(0)).expect("adopted");
    rig.flush();
    let rig = Rig::on(&rig.disk.crash(), lsn + COMMIT_BYTES);
    let story = read_all(&rig.view);
    assert_eq!(story.damaged, []);
    assert!(story.rows.ends_with(&rows_at(lsn, 2..502)));
}

#[test]
fn what_is_rolled_back_gives_its_space_back() {
    let rig = Rig::new();
    let mut spools = spools(&rig);
    send(&mut spools, 9, 1000, 2..22);
    let before = rig.disk.used();
    for first in (22..1022).step_by(20) {
        send(&mut spools, 9, 1000, first..first + 20);
    }
    assert!(rig.disk.used() > before + 10 * MEMORY_BYTES as u64);
    cut(&mut spools, 9, 20);
    assert!(rig.disk.used() <= before + 2 * MEMORY_BYTES as u64);
}

/// The reference is torn, and what lies before it in its segment stays.
#[test]
fn the_spool_of_a_reference_that_is_cut_goes() {
    let mut rig = Rig::new();
    let storage: Arc<dyn Storage> = Arc::new(rig.disk.clone());
    adopt(&mut rig, Arc::clone(&storage), 1000);
    rig.progress(1100);
    adopt(&mut rig, storage, 2000);
    rig.flush();
    let segment = rig.view.catalogue().segments()[1].clone();
    assert!(segment.spool_bytes > 0, "{segment:?}");
    rig.disk.cut(&file(segment.number), segment.data_end - 5);
    let disk = rig.disk.crash();
    let opened = open(&disk, 1008).expect("opened");
    assert_eq!(
        (opened.damaged(), opened.tail()),
        (&[][..], Some(Lsn(1100)))
    );
    let segments = opened.view().catalogue().segments();
    let [first, second] = &segments[..] else {
        panic!("its progress stays: {segments:?}");
    };
    assert!(first.spool_bytes > 0 && second.spool_bytes == 0);
    let names = disk.list().expect("listed");
    assert!(names.contains(&"0000000000000001.spool".to_owned()));
    assert!(!names.contains(&"0000000000000002.spool".to_owned()));
}

/// Whoever looks on reads what the owner deletes meanwhile: the segment goes first.
#[test]
fn one_that_is_deleted_while_somebody_looks_is_no_damage() {
    let (rig, _) = rig_with_a_spool();
    let offline = || LogView::offline(Arc::new(rig.disk.clone())).expect("opened");
    let (verified, read) = (offline(), offline());
    let mut reader = read.reader_behind(Position::ZERO);
    rig.disk.lose(&file(1));
    rig.disk.lose(&file(2));
    rig.disk.lose("0000000000000002.spool");
    let verified = verified.verify().expect("verified");
    assert_eq!(verified.damaged, []);
    let story = read_on(&mut reader);
    assert_eq!(story.damaged, []);
    let gone = [(Position::ZERO, commit(500)), (commit(500), commit(1000))];
    assert_eq!(story.gone, gone);
    assert_eq!(story.rows, ["2000.2", "2000.3"]);
}

#[test]
fn damage_in_it_is_told_with_its_name() {
    let (rig, spool) = rig_with_a_spool();
    let name = "0000000000000002.spool";
    let offset = spool.adoption.parts[3].offset;
    assert!(rig.disk.flip(name, offset + 40, 1));
    let verified = rig.view.verify().expect("verified");
    let read = read_all(&rig.view);
    for damaged in [&verified.damaged, &read.damaged] {
        let [place] = &damaged[..] else {
            panic!("{damaged:?}");
        };
        assert_eq!((place.file().as_str(), place.offset), (name, offset));
    }
    assert!(rig.disk.lose(name));
    let [place] = &rig.view.verify().expect("verified").damaged[..] else {
        panic!("one is missing");
    };
    assert_eq!(place.file(), name);
}
