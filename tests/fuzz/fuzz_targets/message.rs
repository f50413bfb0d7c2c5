//! Any bytes under any dialect: what decodes encodes back to the same bytes, and what does not
//! says where. The first byte chooses the dialect as in a capture, its top bit the place.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use walgate_pgoutput::{
    Dialect, Message, ProtocolVersion, Streaming, Tuple, decode, peek_relation, tag,
};

fuzz_target!(|data: &[u8]| {
    let Some((&choice, bytes)) = data.split_first() else {
        return;
    };
    let dialect = Dialect {
        version: match (choice >> 4) & 7 {
            0 | 1 => ProtocolVersion::V1,
            2 => ProtocolVersion::V2,
            3 => ProtocolVersion::V3,
            _ => ProtocolVersion::V4,
        },
        streaming: match choice & 15 {
            0 => Streaming::Off,
            1 => Streaming::On,
            _ => Streaming::Parallel,
        },
    };
    let in_stream = choice & 0x80 != 0;
    let peeked = peek_relation(bytes, in_stream);
    match decode(bytes, dialect, in_stream) {
        Err(error) => {
            assert!(error.offset <= bytes.len());
            assert!(!error.to_string().is_empty());
        }
        Ok(message) => {
            let mut encoded = BytesMut::new();
            message
                .encode(dialect, &mut encoded)
                .expect("what was decoded has a form");
            assert_eq!(encoded, bytes);
            assert_eq!(tag(bytes), Some(message.tag()));
            check_lists(&message, peeked.ok());
        }
    }
});

/// The lazy lists hold what they count, and peeking sees what decoding sees.
fn check_lists(message: &Message<'_>, peeked: Option<u32>) {
    let full = |tuple: &Tuple<'_>| assert_eq!(tuple.iter().count(), tuple.len());
    match message {
        Message::Insert { relation, new, .. } => {
            assert_eq!(peeked, Some(*relation));
            full(new);
        }
        Message::Update {
            relation, old, new, ..
        } => {
            assert_eq!(peeked, Some(*relation));
            if let Some(old) = old {
                full(&old.tuple());
            }
            full(new);
        }
        Message::Delete { relation, old, .. } => {
            assert_eq!(peeked, Some(*relation));
            full(&old.tuple());
        }
        Message::Relation(relation) => {
            let columns = relation.columns;
            assert_eq!(columns.count(), relation.columns.len());
            assert_eq!(peeked, None);
        }
        Message::Truncate { relations, .. } => {
            let oids = *relations;
            assert_eq!(oids.count(), relations.len());
            assert_eq!(peeked, None);
        }
        _ => assert_eq!(peeked, None),
    }
}
