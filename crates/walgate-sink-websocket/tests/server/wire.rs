//! A client that is bytes.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value as Json;

/// A request for a WebSocket.
pub(crate) fn handshake(target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// A client's end of a connection.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
}

/// A frame of a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// Its text as JSON.
    pub(crate) fn json(&self) -> Json {
        assert_eq!(self.opcode, 1, "no text: {self:?}");
        serde_json::from_slice(&self.payload).expect("JSON")
    }
}

/// A frame as a client sends it: masked, with a mask that changes every byte.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | u8::try_from(len).expect("small")),
        len @ 126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(len).expect("small").to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

impl Wire {
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("it is taken");
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.send(&masked(0x81, text.as_bytes()));
    }

    /// The head of an answer.
    pub(crate) fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match self.stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => break,
            }
        }
        String::from_utf8(head).expect("text")
    }

    /// The next frame; none at the end.
    pub(crate) fn try_frame(&mut self) -> Option<Frame> {
        let mut read = |len: usize| -> Option<Vec<u8>> {
            let mut bytes = vec![0; len];
            self.stream.read_exact(&mut bytes).ok().map(|()| bytes)
        };
        let head = read(2)?;
        assert_eq!(
            head[0] & 0xF0,
            0x80,
            "whole, and no reserved bits: {head:?}"
        );
        assert_eq!(head[1] & 0x80, 0, "a server does not mask: {head:?}");
        let len = match head[1] {
            126 => u64::from(u16::from_be_bytes(read(2)?.try_into().expect("two"))),
            127 => u64::from_be_bytes(read(8)?.try_into().expect("eight")),
            len => u64::from(len),
        };
        let payload = read(usize::try_from(len).expect("small"))?;
        Some(Frame {
            opcode: head[0] & 0x0F,
            payload,
        })
    }

    pub(crate) fn frame(&mut self) -> Frame {
        self.try_frame().expect("a frame")
    }

    /// The next text, as JSON.
    pub(crate) fn json(&mut self) -> Json {
        loop {
            let frame = self.frame();
            if frame.opcode != 9 {
                return frame.json();
            }
        }
    }

    /// The next text, of this type.
    pub(crate) fn expect(&mut self, kind: &str) -> Json {
        let json = self.json();
        assert_eq!(json["type"], kind, "{json}");
        json
    }

    /// The numbers of the rows that come next.
    pub(crate) fn rows(&mut self, count: usize) -> Vec<u64> {
        let rows = (0..count).map(|_| {
            let json = self.json();
            json["n"]
                .as_u64()
                .unwrap_or_else(|| panic!("no row: {json}"))
        });
        rows.collect()
    }

    /// The code of the close that comes next; none when the connection just ends.
    pub(crate) fn code(&mut self) -> Option<u16> {
        loop {
            let frame = self.try_frame()?;
            if frame.opcode == 8 {
                let code = frame.payload.get(..2).map(|code| [code[0], code[1]]);
                return code.map(u16::from_be_bytes);
            }
        }
    }

    /// Everything up to the end.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        // How it ends does not matter.
        let _end = self.stream.read_to_end(&mut rest);
        String::from_utf8(rest).expect("text")
    }

    /// Reads until this has come, and returns everything.
    pub(crate) fn until(&mut self, text: &str) -> String {
        let mut all = Vec::new();
        while !String::from_utf8_lossy(&all).contains(text) {
            let mut some = [0; 4096];
            let read = self.stream.read(&mut some).unwrap_or_default();
            let seen = String::from_utf8_lossy(&all).into_owned();
            assert!(read > 0, "it ended without {text:?}: {seen}");
            all.extend_from_slice(&some[..read]);
        }
        String::from_utf8(all).expect("text")
    }
}
