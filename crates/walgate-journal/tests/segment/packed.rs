//! Compressing and encrypting a whole file in memory, and files that were.

use std::path::PathBuf;

use bytes::Bytes;
use walgate_journal::segment::{
    DefinitionCache, Definitions, Keyring, Next, Record, SegmentIndex, SegmentPacker,
    SegmentReader, SegmentWriter, Start, Unreadable,
};

use crate::capture::header;
use crate::golden::{self, NUMBER};
use crate::reading::{Ending, Reading, assert_same, read, read_with};

/// A key that is no secret.
pub(crate) fn keys() -> Keyring {
    Keyring::parse(&"000102030405060708090a0b0c0d0e0f".repeat(2)).unwrap()
}

/// A sealed file written anew, and its index.
pub(crate) fn pack(number: u64, file: &[u8], keys: &Keyring) -> (Vec<u8>, SegmentIndex) {
    let mut chunk = Bytes::copy_from_slice(file);
    let Ok(Start::Segment(header, mut reader)) = SegmentReader::open_with(number, &mut chunk, keys)
    else {
        panic!("no header");
    };
    reader.keep_bodies();
    let mut out = Vec::new();
    let bytes = file.len() as u64;
    let mut packer = SegmentPacker::begin(&header, bytes, keys, &mut out).unwrap();
    let mut cache = DefinitionCache::new();
    loop {
        match reader.next(&mut chunk, &mut cache).unwrap() {
            Next::Record(_, _, Record::Index(_)) => break,
            Next::Record(_, _, record) => {
                assert!(packer.take(record, reader.body(), &mut out).unwrap());
            }
            other => panic!("{other:?}"),
        }
    }
    let (index, _, len) = packer.seal(&mut out).unwrap();
    assert_eq!(len, out.len() as u64);
    (out, index)
}

fn encrypted() -> Vec<u8> {
    let mut file = Vec::new();
    let mut definitions = Definitions::starting_at(40);
    let mut writer = SegmentWriter::begin_with(&header(NUMBER), &keys(), &mut file).unwrap();
    golden::write(&mut writer, &mut definitions, &mut file);
    writer.seal(&mut file).unwrap();
    file
}

fn golden_file(name: &str, encode: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/segments");
    let path = path.join(name);
    // What is encrypted is never written twice in the same way: a file that is there stays.
    if std::env::var_os("WALGATE_BLESS_SEGMENT").is_some() && !path.exists() {
        std::fs::write(&path, encode()).unwrap();
    }
    std::fs::read(path).unwrap()
}

#[track_caller]
fn assert_golden(reading: &Reading) {
    assert_eq!(reading.ending, Ending::Sealed);
    assert_eq!(reading.header, Some(header(NUMBER)));
    let mut runs = reading.runs();
    for written in &golden::written() {
        assert_same(written, runs.next().unwrap());
    }
    assert!(runs.next().is_none());
    let plain = read(NUMBER, &golden::encode(), &mut DefinitionCache::new());
    let said = |reading: &Reading| {
        let index = reading.scanned.clone().unwrap();
        (
            index.entries,
            index.last,
            index.whole,
            index.times,
            index.next_definition,
        )
    };
    assert_eq!(said(reading), said(&plain));
}

#[test]
fn compressed_and_encrypted_files_of_version_1_are_read() {
    let plain = golden::encode();
    for (name, encode) in [
        (
            "v1-packed.segment",
            &(|| pack(NUMBER, &plain, &Keyring::default()).0) as &dyn Fn() -> _,
        ),
        ("v1-encrypted.segment", &encrypted),
        ("v1-packed-encrypted.segment", &|| {
            pack(NUMBER, &encrypted(), &keys()).0
        }),
    ] {
        let file = golden_file(name, encode);
        let reading = read_with(NUMBER, &file, &keys(), &mut DefinitionCache::new());
        assert_golden(&reading);
    }
}

#[test]
fn the_length_before_is_told() {
    let plain = golden::encode();
    let (packed, _) = pack(NUMBER, &plain, &keys());
    for (file, expected) in [(&plain, None), (&packed, Some(plain.len() as u64))] {
        let mut chunk = Bytes::copy_from_slice(file);
        let Ok(Start::Segment(_, reader)) = SegmentReader::open(NUMBER, &mut chunk) else {
            panic!("no header");
        };
        assert_eq!(reader.packed_from(), expected);
        let id = expected.map(|_| keys().ids()[0].to_owned());
        assert_eq!(reader.lock().key_id(), id.as_deref());
        assert_eq!(reader.lock().is_shut(), expected.is_some());
    }
}

#[test]
fn without_its_key_a_file_is_locked_and_can_be_counted() {
    let other = Keyring::parse(&"ff".repeat(32)).unwrap();
    for file in [encrypted(), pack(NUMBER, &encrypted(), &keys()).0] {
        for wrong in [Keyring::default(), other.clone()] {
            let reading = read_with(NUMBER, &file, &wrong, &mut DefinitionCache::new());
            let Ending::Unreadable(Unreadable::Locked(locked)) = &reading.ending else {
                panic!("{:?}", reading.ending);
            };
            assert_eq!(locked.key, keys().ids()[0]);
            assert!(!locked.altered);
            let mut chunk = Bytes::copy_from_slice(&file);
            let start = SegmentReader::open_with(NUMBER, &mut chunk, &wrong).unwrap();
            let Start::Segment(header, mut reader) = start else {
                panic!("no header");
            };
            reader.pass_locked();
            let mut index = SegmentIndex::new(&header);
            let mut cache = DefinitionCache::new();
            loop {
                match reader.next(&mut chunk, &mut cache).unwrap() {
                    Next::Record(_, _, Record::Index(read)) => {
                        assert_eq!(index.entries, read.entries);
                        break;
                    }
                    Next::Record(at, len, record) => index.note(at, len, &record),
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

#[test]
fn every_flipped_bit_is_found_without_the_key() {
    for file in [encrypted(), pack(NUMBER, &encrypted(), &keys()).0] {
        for place in 0..8 * file.len() {
            let mut file = file.clone();
            file[place / 8] ^= 1 << (place % 8);
            let mut chunk = Bytes::from(file);
            let Ok(Start::Segment(_, mut reader)) = SegmentReader::open(NUMBER, &mut chunk) else {
                continue;
            };
            reader.pass_locked();
            let mut cache = DefinitionCache::new();
            let sound = loop {
                match reader.next(&mut chunk, &mut cache) {
                    Ok(Next::Record(_, _, Record::Index(_))) => break true,
                    Ok(Next::Record(..)) => {}
                    Ok(_) | Err(_) => break false,
                }
            };
            assert!(!sound, "bit {place} is flipped and nobody sees it");
        }
    }
}

#[test]
fn neither_names_nor_rows_are_in_the_clear() {
    let plain = golden::encode();
    let names: [&[u8]; 5] = [b"orders", b"shapes", b"first", b"inside", b"alone"];
    let holds = |file: &[u8], name: &[u8]| file.windows(name.len()).any(|part| part == name);
    for name in names {
        assert!(holds(&plain, name));
        assert!(!holds(&encrypted(), name));
        assert!(!holds(&pack(NUMBER, &encrypted(), &keys()).0, name));
    }
}
