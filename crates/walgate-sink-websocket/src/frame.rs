//! Events as a WebSocket and as an event stream carry them.

use bytes::{BufMut, BytesMut};
use walgate_core::Position;

/// How a client's connection carries events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// Text messages of RFC 6455.
    WebSocket,
    /// Server-Sent Events, as the HTML standard describes them.
    EventStream,
}

/// FIN and the opcode of a text message.
const TEXT: u8 = 0x81;

/// Appends an event, whole, to be shared by everybody who gets it: a frame from a server has no mask.
pub(crate) fn put_event(carrier: Carrier, position: Position, event: &[u8], out: &mut BytesMut) {
    match carrier {
        Carrier::WebSocket => put_message(event, out),
        Carrier::EventStream => {
            out.reserve(event.len() + 40);
            out.put_slice(b"id: ");
            out.put_slice(&position.to_ascii());
            // An event is one line.
            out.put_slice(b"\ndata: ");
            out.put_slice(event);
            out.put_slice(b"\n\n");
        }
    }
}

/// Appends a row of a snapshot, whole: it is no position to come back with.
pub(crate) fn put_read(carrier: Carrier, event: &[u8], out: &mut BytesMut) {
    match carrier {
        Carrier::WebSocket => put_message(event, out),
        Carrier::EventStream => {
            out.reserve(event.len() + 8);
            out.put_slice(b"data: ");
            out.put_slice(event);
            out.put_slice(b"\n\n");
        }
    }
}

/// Appends a text message (RFC 6455 section 5.2).
pub(crate) fn put_message(text: &[u8], out: &mut BytesMut) {
    out.reserve(text.len() + 10);
    out.put_u8(TEXT);
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(len), _) if len < 126 => out.put_u8(len),
        (_, Ok(len)) => {
            out.put_u8(126);
            out.put_u16(len);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(text.len() as u64);
        }
    }
    out.put_slice(text);
}

#[cfg(test)]
mod tests {
    use tungstenite::protocol::frame::FrameHeader;
    use walgate_core::Lsn;

    use super::*;

    #[test]
    fn a_message_is_what_the_library_reads() {
        for len in [0, 1, 125, 126, 65_535, 65_536, 100_000] {
            let text = vec![b'x'; len];
            let mut out = BytesMut::new();
            put_message(&text, &mut out);
            let mut cursor = std::io::Cursor::new(&out[..]);
            let (header, payload) = FrameHeader::parse(&mut cursor)
                .expect("a header")
                .expect("a whole one");
            assert!(header.is_final && header.mask.is_none());
            assert_eq!(payload, len as u64);
            assert_eq!(out.len(), cursor.position() as usize + len);
        }
    }

    #[test]
    fn an_event_stream_has_the_id_and_one_line_of_data() {
        let mut out = BytesMut::new();
        let position = Position::new(0, Lsn(0x14A_2F60), 3);
        put_event(
            Carrier::EventStream,
            position,
            b"{\"op\":\"insert\"}",
            &mut out,
        );
        assert_eq!(
            &out[..],
            b"id: 00000000014a2f60-00000003\ndata: {\"op\":\"insert\"}\n\n"
        );
    }
}
