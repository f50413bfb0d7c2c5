//! What lies on an encrypted disk can't be read without its key, and is never taken for damage.

use std::sync::Arc;

use walgate_core::{PgMicros, StopReason};
use walgate_journal::log::{LogOptions, LogView, Opened};
use walgate_journal::segment::Keyring;
use walgate_journal::storage::{Keyed, SimulatedDisk, Storage};

use crate::rig::{Rig, checkpoint, file, options, read_all, rows_of};
use crate::runs::whole;
use crate::spools::adopt;

/// `"row"` in every row's bytes: what must not be found.
const ROW: [u8; 32] = [2; 32];

pub(crate) fn keys(text: &[u8]) -> Keyring {
    let line = |byte: &u8| format!("{byte:02x}").repeat(32);
    let lines: Vec<_> = text.iter().map(line).collect();
    Keyring::parse(&lines.join("\n")).expect("keys")
}

fn keyed(disk: &SimulatedDisk, keys: Keyring) -> Arc<dyn Storage> {
    Arc::new(Keyed::new(Arc::new(disk.clone()), keys))
}

fn rig(disk: &SimulatedDisk, ring: Keyring) -> Rig {
    Rig::in_folder(keyed(disk, ring), 0)
}

fn append(rig: &mut Rig, lsns: std::ops::RangeInclusive<u64>) {
    for lsn in lsns {
        rig.append(&whole(lsn * 100).frames());
    }
    rig.flush();
}

fn pack(rig: &mut Rig) -> usize {
    let mut count = 0;
    for number in rig.segments() {
        if let Some(packed) = rig.view.pack(number, &|| false).expect("packed") {
            assert!(rig.files.replace(&rig.view, packed).expect("replaced"));
            count += 1;
        }
    }
    count
}

/// Whether any file holds `bytes`.
fn holds(disk: &SimulatedDisk, bytes: &[u8]) -> bool {
    let names = disk.list().expect("listed");
    let contents = names.iter().filter_map(|name| disk.contents(name));
    let mut contents = contents.filter(|content| content.len() >= bytes.len());
    contents.any(|content| content.windows(bytes.len()).any(|part| part == bytes))
}

fn rows_to(last: u64) -> Vec<String> {
    rows_of((1..=last).map(|lsn| lsn * 100))
}

fn offline(disk: &SimulatedDisk, ring: Keyring) -> LogView {
    LogView::offline(keyed(disk, ring)).expect("opened")
}

#[test]
fn neither_rows_nor_names_are_on_the_disk() {
    let plain = SimulatedDisk::new(1);
    append(&mut rig(&plain, Keyring::default()), 1..=20);
    assert!(
        holds(&plain, &ROW) && holds(&plain, b"public"),
        "the search finds them"
    );
    let disk = SimulatedDisk::new(1);
    let mut rig = rig(&disk, keys(&[1]));
    append(&mut rig, 1..=30);
    assert!(!holds(&disk, &ROW) && !holds(&disk, b"public"));
    assert_eq!(read_all(&rig.view).rows, rows_to(30));
    assert!(pack(&mut rig) > 2);
    assert!(!holds(&disk, &ROW) && !holds(&disk, b"public"));
    assert_eq!(read_all(&rig.view).rows, rows_to(30));
}

#[test]
fn every_segment_has_a_key_of_its_own_and_another_when_it_is_written_anew() {
    let disk = SimulatedDisk::new(1);
    let mut rig = rig(&disk, keys(&[1]));
    append(&mut rig, 1..=30);
    // Equal rows in equal places: equal keys would make equal bytes.
    let body = |number: u64| disk.contents(&file(number)).expect("a file")[300..400].to_vec();
    let (one, two) = (body(2), body(3));
    assert_ne!(one, two);
    assert!(pack(&mut rig) > 2);
    assert_ne!(body(2), one);
}

#[test]
fn without_the_key_it_looks_sound_and_says_which_key_it_needs() {
    let disk = SimulatedDisk::new(1);
    let mut rig = rig(&disk, keys(&[1]));
    append(&mut rig, 1..=30);
    pack(&mut rig);
    let id = keys(&[1]).ids()[0].to_owned();
    for wrong in [Keyring::default(), keys(&[2]), keys(&[3, 2])] {
        let given = wrong.ids().join(", ");
        let view = offline(&disk, wrong.clone());
        let verified = view.verify().expect("verified");
        assert_eq!((verified.damaged.len(), verified.torn), (0, None));
        assert_eq!(verified.entries, 30);
        let failure = view.reader_at(0).read().expect_err("locked");
        assert_eq!(failure.reason, StopReason::State, "{failure}");
        let text = failure.to_string();
        assert!(text.contains(&format!("key {id}")), "{text}");
        assert!(text.contains(&given), "{text}");
        assert!(
            failure
                .hint
                .is_some_and(|hint| hint.contains("encryption_key_file"))
        );
    }
    assert_eq!(read_all(&offline(&disk, keys(&[1]))).rows, rows_to(30));
}

#[test]
fn a_start_with_the_wrong_key_cuts_nothing() {
    let disk = SimulatedDisk::new(1);
    let mut running = rig(&disk, keys(&[1]));
    append(&mut running, 1..=30);
    running.append(&whole(3_100).frames());
    running.write();
    let contents = |disk: &SimulatedDisk| -> Vec<_> {
        let names = disk.list().expect("listed");
        names.iter().map(|name| disk.contents(name)).collect()
    };
    let before = contents(&disk);
    for wrong in [Keyring::default(), keys(&[2])] {
        let opened = Opened::open(keyed(&disk, wrong), options(), Some(&checkpoint(0)));
        let failure = opened.map(drop).expect_err("refused");
        assert!(
            failure.to_string().contains("encrypted with key"),
            "{failure}"
        );
        assert!(contents(&disk) == before, "nothing is changed");
    }
    let again = rig(&disk, keys(&[1]));
    assert_eq!(read_all(&again.view).rows, rows_to(31));
}

/// Also where recovery would read nothing that is encrypted.
#[test]
fn a_start_with_the_wrong_key_is_refused_after_a_clean_stop() {
    let disk = SimulatedDisk::new(1);
    let mut running = rig(&disk, keys(&[1]));
    append(&mut running, 1..=30);
    running.appender.seal(PgMicros(0)).expect("sealed");
    running.flush();
    for wrong in [Keyring::default(), keys(&[2])] {
        let checkpoint = checkpoint(10_000);
        let opened = Opened::open(keyed(&disk, wrong), options(), Some(&checkpoint));
        let failure = opened.map(drop).expect_err("refused");
        assert!(
            failure.to_string().contains("encrypted with key"),
            "{failure}"
        );
    }
}

#[test]
fn keys_come_and_go_from_start_to_start() {
    let disk = SimulatedDisk::new(1);
    let rings = [
        Keyring::default(),
        keys(&[1]),
        keys(&[1, 2]),
        keys(&[1, 2]).opens_only(),
        keys(&[2, 3, 1]),
    ];
    let mut last = 0;
    for ring in rings {
        let mut rig = Rig::in_folder(keyed(&disk, ring), last * 100 + 8);
        assert_eq!(read_all(&rig.view).rows, rows_to(last));
        append(&mut rig, last + 1..=last + 12);
        last += 12;
        assert_eq!(read_all(&rig.view).rows, rows_to(last));
        pack(&mut rig);
        assert_eq!(read_all(&rig.view).rows, rows_to(last));
    }
    // What was confirmed long ago is not read to start; who reads it needs its key.
    let rig = Rig::in_folder(keyed(&disk, keys(&[2, 3, 1]).opens_only()), last * 100 + 8);
    assert_eq!(read_all(&rig.view).rows, rows_to(last));
    let newest = offline(&disk, keys(&[1]));
    assert_eq!(newest.verify().expect("verified").damaged, []);
    let read = newest.reader_at(12).read().expect("the second start's");
    assert!(!read.entries.is_empty());
    let failure = newest.reader_at(30).read().expect_err("the third start's");
    assert!(
        failure
            .to_string()
            .contains(&keys(&[2]).ids()[0].to_owned())
    );
}

#[test]
fn after_a_crash_a_segment_is_cut_and_read_with_its_key() {
    for seed in 0..60 {
        let disk = SimulatedDisk::new(seed);
        let mut running = rig(&disk, keys(&[1]));
        append(&mut running, 1..=20);
        for lsn in 21..=40 {
            running.append(&whole(lsn * 100).frames());
        }
        running.write();
        let after = disk.crash();
        let mut again = rig(&after, keys(&[2, 1]));
        let rows = read_all(&again.view).rows;
        assert!(rows.len() >= 40, "seed {seed}: {}", rows.len());
        assert_eq!(rows, rows_to(rows.len() as u64 / 2), "seed {seed}");
        let verified = again.view.verify().expect("verified");
        assert_eq!(verified.damaged, [], "seed {seed}");
        pack(&mut again);
    }
}

#[test]
fn every_flipped_bit_is_found_without_the_key() {
    let disk = SimulatedDisk::new(1);
    let mut running = rig(&disk, keys(&[1]));
    append(&mut running, 1..=30);
    pack(&mut running);
    for number in [3, *running.segments().last().expect("segments")] {
        let name = file(number);
        let len = disk.contents(&name).expect("a file").len() as u64;
        for offset in (0..len).step_by(3) {
            disk.flip(&name, offset, (offset % 8) as u8);
            let verified = offline(&disk, Keyring::default())
                .verify()
                .expect("verified");
            assert!(
                !verified.damaged.is_empty() || verified.torn.is_some(),
                "offset {offset} of {number}"
            );
            disk.flip(&name, offset, (offset % 8) as u8);
        }
    }
}

#[test]
fn what_was_altered_with_its_checksum_is_no_damage_and_not_believed() {
    let disk = SimulatedDisk::new(1);
    let mut running = rig(&disk, keys(&[1]));
    append(&mut running, 1..=30);
    let number = 3u64;
    let mut bytes = disk.contents(&file(number)).expect("a file");
    // The header's record, then the first of the others, ordinal 1.
    let len = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4")) as usize;
    let start = 8 + 12 + len(8);
    let end = start + 12 + len(start);
    bytes[end - 1] ^= 1;
    let mut checked = number.to_le_bytes().to_vec();
    checked.extend_from_slice(&1u32.to_le_bytes());
    checked.extend_from_slice(&bytes[start + 8..end]);
    let crc = crc32c::crc32c(&checked).to_le_bytes();
    bytes[start + 4..start + 8].copy_from_slice(&crc);
    disk.overwrite(&file(number), 0, &bytes);
    let view = offline(&disk, keys(&[1]));
    let first = view.catalogue().segments()[2].first_entry;
    let failure = view.reader_at(first).read().expect_err("altered");
    assert!(failure.to_string().contains("altered"), "{failure}");
}

#[test]
fn a_budget_counts_what_is_compressed() {
    let disk = SimulatedDisk::new(1);
    let mut running = rig(&disk, keys(&[1]));
    append(&mut running, 1..=100);
    let before = running.view.catalogue().bytes();
    pack(&mut running);
    let after = running.view.catalogue().bytes();
    assert!(after < before * 3 / 4, "{before} to {after}");
    let options = LogOptions {
        replay_bytes: after,
        ..options()
    };
    let retention = running
        .view
        .catalogue()
        .retention(&options, PgMicros(0), &[], None);
    assert_eq!(retention.delete, Vec::<u64>::new());
}

/// Recovery could not write its index, which is never encrypted.
#[test]
fn a_segment_without_index_hides_nothing_behind_it_from_who_has_no_key() {
    let disk = SimulatedDisk::new(1);
    let mut rig = rig(&disk, keys(&[1]));
    append(&mut rig, 1..=30);
    let second = rig.view.catalogue().segments()[1].clone();
    assert!(disk.cut(&file(second.number), second.data_end));
    for ring in [Keyring::default(), keys(&[1])] {
        let verified = offline(&disk, ring).verify().expect("verified");
        assert_eq!(verified.damaged, []);
        assert_eq!(verified.entries, 30);
    }
}

#[test]
fn a_spool_is_looked_into_with_its_key_and_named_without() {
    let disk = SimulatedDisk::new(1);
    let mut rig = rig(&disk, keys(&[1]));
    append(&mut rig, 1..=2);
    adopt(&mut rig, keyed(&disk, keys(&[1])), 1_000);
    append(&mut rig, 11..=12);
    let spool = "0000000000000002.spool";
    let len = disk.contents(spool).expect("there").len() as u64;
    let verify = |ring| offline(&disk, ring).verify().expect("verified");
    let with = verify(keys(&[1]));
    assert_eq!((with.damaged, with.locked), (vec![], vec![]));
    let without = verify(Keyring::default());
    assert_eq!(without.damaged, []);
    assert_eq!(without.locked, [spool]);
    assert_eq!(without.entries, with.entries);
    assert!(disk.flip(spool, len - 10, 1));
    let [place] = &verify(keys(&[1])).damaged[..] else {
        panic!("a bit is flipped");
    };
    assert_eq!(place.file(), spool);
    assert_eq!(verify(Keyring::default()).locked, [spool]);
    // That it is there needs no key.
    assert!(disk.lose(spool));
    for ring in [Keyring::default(), keys(&[1])] {
        let verified = verify(ring);
        assert_eq!(verified.locked, Vec::<String>::new());
        let [place] = &verified.damaged[..] else {
            panic!("it is missing");
        };
        assert_eq!(place.file(), spool);
    }
}
