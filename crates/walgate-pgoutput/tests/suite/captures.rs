//! What real servers sent decodes, is in order, and encodes back to the same bytes.

use std::collections::BTreeSet;

use walgate_pgoutput::{Message, OldTuple, OrderChecker, Tag, Tuple, Value, decode, tag};

use crate::capture::captures;
use crate::hex::identity;

#[test]
fn every_message_decodes_in_order_and_encodes_back() {
    for capture in captures() {
        let mut order = OrderChecker::new();
        for (index, bytes) in capture.messages.iter().enumerate() {
            let message = identity(bytes, capture.dialect, order.in_stream());
            if let Err(error) = order.check(&message) {
                panic!("{} message {index}: {error}", capture.name);
            }
        }
        assert!(
            !order.in_transaction() && !order.in_stream(),
            "{} ends inside",
            capture.name
        );
    }
}

#[test]
fn every_kind_of_message_and_value_was_captured() {
    let mut tags = BTreeSet::new();
    let mut kinds = BTreeSet::new();
    for capture in captures() {
        let mut order = OrderChecker::new();
        for bytes in &capture.messages {
            let message = decode(bytes, capture.dialect, order.in_stream()).expect("captured");
            order.check(&message).expect("captured");
            tags.extend(tag(bytes).map(Tag::byte));
            match message {
                Message::Insert { new, .. } => note("new", &new, &mut kinds),
                Message::Update {
                    old: Some(OldTuple::Key(old)),
                    ..
                } => {
                    note("update key", &old, &mut kinds);
                }
                Message::Update {
                    old: Some(OldTuple::Full(old)),
                    ..
                } => {
                    note("update full", &old, &mut kinds);
                }
                Message::Update { old: None, new, .. } => note("update", &new, &mut kinds),
                Message::Delete {
                    old: OldTuple::Key(old),
                    ..
                } => {
                    note("delete key", &old, &mut kinds);
                }
                Message::Delete {
                    old: OldTuple::Full(old),
                    ..
                } => {
                    note("delete full", &old, &mut kinds);
                }
                Message::StreamAbort { abort: Some(_), .. } => {
                    kinds.insert(("long abort", ' '));
                }
                Message::StreamAbort { abort: None, .. } => {
                    kinds.insert(("short abort", ' '));
                }
                _ => {}
            }
        }
    }
    let all: BTreeSet<u8> = Tag::ALL.iter().map(|tag| tag.byte()).collect();
    assert_eq!(tags, all);
    for kind in [
        ("new", 't'),
        ("new", 'b'),
        ("new", 'n'),
        // A row filter made an insert of an update.
        ("new", 'u'),
        ("update", 'u'),
        ("update key", 't'),
        ("update full", 't'),
        ("delete key", 'n'),
        ("delete full", 't'),
        ("long abort", ' '),
        ("short abort", ' '),
    ] {
        assert!(
            kinds.contains(&kind),
            "{kind:?} was not captured, only {kinds:?}"
        );
    }
}

fn note(what: &'static str, tuple: &Tuple<'_>, kinds: &mut BTreeSet<(&'static str, char)>) {
    for value in tuple {
        let kind = match value {
            Value::Null => 'n',
            Value::Unchanged => 'u',
            Value::Text(_) => 't',
            Value::Binary(_) => 'b',
        };
        kinds.insert((what, kind));
    }
}

#[test]
fn captured_messages_cut_after_any_byte_are_refused() {
    for capture in captures() {
        let mut order = OrderChecker::new();
        // Streams hold hundreds of rows alike: one of each length is enough.
        let mut seen = BTreeSet::new();
        for bytes in &capture.messages {
            let in_stream = order.in_stream();
            if seen.insert((tag(bytes).map(Tag::byte), bytes.len())) {
                for len in 0..bytes.len() {
                    assert!(decode(&bytes[..len], capture.dialect, in_stream).is_err());
                }
            }
            let message = decode(bytes, capture.dialect, in_stream).expect("captured");
            order.check(&message).expect("captured");
        }
    }
}
