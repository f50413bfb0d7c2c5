//! What can't be read again is not written.

use bytes::Bytes;
use walgate_core::{Frame, FrameKind, Frames, Lsn};
use walgate_journal::segment::{Definitions, EncodeError, SegmentWriter};

use crate::capture::{Capture, header, table};

fn run() -> Frames {
    let mut capture = Capture::default();
    capture.begin(731, 0x1000, 50);
    capture.row(FrameKind::Insert, &table(16_400, "orders"), &[b"1"]);
    capture.truncate(&[&table(16_400, "orders")]);
    capture.commit();
    capture.take()
}

#[track_caller]
fn assert_refused(edit: impl FnOnce(&mut Frames), why: &'static str) {
    let mut file = Vec::new();
    let mut writer = SegmentWriter::begin(&header(5), &mut file).unwrap();
    let mut definitions = Definitions::default();
    let before = (file.len(), writer.len(), writer.next_entry());
    let mut frames = run();
    edit(&mut frames);
    let refused = writer.append(&frames, &mut definitions, &mut file);
    assert_eq!(refused, Err(EncodeError::Frames(why)));
    assert_eq!((file.len(), writer.len(), writer.next_entry()), before);
    writer.append(&run(), &mut definitions, &mut file).unwrap();
}

#[test]
fn a_message_beyond_the_bytes() {
    let why = "a message reaches beyond the bytes";
    assert_refused(|run| run.frames[1].len = u32::MAX, why);
    assert_refused(|run| run.frames[1].start = u32::MAX, why);
    assert_refused(|run| run.bytes = Bytes::new(), why);
}

#[test]
fn places_beyond_their_lists() {
    assert_refused(
        |run| run.frames[1].relation = 9,
        "a row's relation is not in the list",
    );
    assert_refused(
        |run| run.frames[2].relation = 9,
        "a truncate's tables are not in the list",
    );
    assert_refused(
        |run| run.truncated[0] = 9,
        "a truncated table is not in the list of relations",
    );
}

#[test]
fn frames_out_of_order() {
    let why = "frames that are in no legal order";
    assert_refused(|run| run.frames.swap(0, 3), why);
    assert_refused(
        |run| {
            run.frames.remove(0);
        },
        why,
    );
    assert_refused(|run| run.frames[3].kind = FrameKind::Standalone, why);
}

#[test]
fn frames_that_are_something_else() {
    assert_refused(
        |run| {
            let commit: Frame = run.frames[3];
            (run.frames[0].start, run.frames[0].len) = (commit.start, commit.len);
        },
        "a begin that is none",
    );
    assert_refused(|run| run.frames[3].len -= 1, "a boundary that is none");
}

#[test]
fn another_epoch() {
    assert_refused(|run| run.epoch = 1, "another epoch than the segment's");
}

#[test]
fn nothing_is_written_for_nothing() {
    let mut file = Vec::new();
    let mut writer = SegmentWriter::begin(&header(5), &mut file).unwrap();
    let len = file.len();
    let mut nothing = Frames::progress(0, Lsn(0x1000));
    nothing.progress = None;
    let mut definitions = Definitions::default();
    assert_eq!(
        writer.append(&nothing, &mut definitions, &mut file),
        Ok(None)
    );
    assert_eq!((file.len(), writer.next_entry()), (len, 100));
}
