//! A connection as Server-Sent Events (the WHATWG's HTML, section 9.2).

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use reqwest::{Client, Response, Url};
use walgate_core::{Failure, StopReason};

use super::http;
use super::refusal::Refusal;
use super::said::{Said, position};
use crate::config::Secret;

/// A connection as Server-Sent Events.
pub(super) struct EventStream {
    answer: Response,
    blocks: Blocks,
    found: VecDeque<Block>,
}

impl EventStream {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Why there is no connection.
    pub(super) async fn open(
        client: &Client,
        url: Url,
        token: Option<&Secret>,
    ) -> Result<Self, Refusal> {
        let request = http::get(client, url, token)?
            .header(ACCEPT, "text/event-stream")
            .header(CACHE_CONTROL, "no-cache");
        let answer = http::send(request, 200).await?;
        let kind = answer.headers().get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("text/event-stream") {
            let what = format!("the server answers with {kind:?} and not with an event stream");
            let failure = Failure::new(StopReason::Config, what);
            return Err(Refusal::Final(failure.hint(
                "give the URL of a Walgate with a sink of type websocket: what it listens on is in its log",
            )));
        }
        Ok(Self {
            answer,
            blocks: Blocks::default(),
            found: VecDeque::new(),
        })
    }

    /// What comes next; none at the end. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Option<Said>, Refusal> {
        loop {
            if let Some(block) = self.found.pop_front() {
                let said = block.said();
                let senseless = |what| Refusal::Final(Failure::new(StopReason::Data, what));
                return said.map(Some).map_err(senseless);
            }
            match self.answer.chunk().await {
                Ok(Some(bytes)) => {
                    self.blocks.push(&bytes, &mut self.found);
                    if self.found.is_empty() {
                        return Ok(Some(Said::Alive));
                    }
                }
                Ok(None) => return Ok(None),
                Err(error) => {
                    let what = format!("the connection broke: {}", error.without_url());
                    return Err(Refusal::Later(what, None));
                }
            }
        }
    }
}

/// A block, as far as it is of interest.
#[derive(Debug, Default, PartialEq, Eq)]
struct Block {
    id: Option<String>,
    data: Option<Bytes>,
}

impl Block {
    fn said(self) -> Result<Said, String> {
        match (self.data, self.id) {
            (Some(data), _) => Said::parse(data),
            (None, Some(id)) if !id.is_empty() => position(&id).map(Said::Position),
            (None, _) => Ok(Said::Alive),
        }
    }
}

/// Cuts what comes into blocks.
#[derive(Debug, Default)]
struct Blocks {
    buffer: BytesMut,
    /// Of the buffer, this much holds no end of a line.
    looked: usize,
    block: Block,
    data: BytesMut,
    has_data: bool,
}

impl Blocks {
    fn push(&mut self, bytes: &[u8], found: &mut VecDeque<Block>) {
        self.buffer.extend_from_slice(bytes);
        // A server of ours ends lines with a line feed alone; a carriage return before it goes.
        while let Some(end) = self.line_end() {
            let mut line = self.buffer.split_to(end + 1);
            self.looked = 0;
            line.truncate(end);
            if line.last() == Some(&b'\r') {
                line.truncate(end - 1);
            }
            self.line(&line, found);
        }
    }

    fn line_end(&mut self) -> Option<usize> {
        let rest = self.buffer.get(self.looked..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\n');
        match end {
            Some(end) => Some(self.looked + end),
            None => {
                self.looked = self.buffer.len();
                None
            }
        }
    }

    fn line(&mut self, line: &[u8], found: &mut VecDeque<Block>) {
        if line.is_empty() {
            if self.has_data {
                self.block.data = Some(self.data.split().freeze());
            }
            self.has_data = false;
            found.push_back(std::mem::take(&mut self.block));
            return;
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (field, value) = match colon {
            Some(at) => (line.get(..at), line.get(at + 1..).unwrap_or_default()),
            None => (Some(line), &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            Some(b"data") => {
                if self.has_data {
                    self.data.extend_from_slice(b"\n");
                }
                self.data.extend_from_slice(value);
                self.has_data = true;
            }
            Some(b"id") => self.block.id = Some(String::from_utf8_lossy(value).into_owned()),
            // A comment, `retry`, and the name, which what is said has as its type.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(pieces: &[&[u8]]) -> Vec<Block> {
        let (mut blocks, mut found) = (Blocks::default(), VecDeque::new());
        for piece in pieces {
            blocks.push(piece, &mut found);
        }
        found.into()
    }

    fn block(id: Option<&str>, data: Option<&'static str>) -> Block {
        Block {
            id: id.map(str::to_owned),
            data: data.map(Bytes::from),
        }
    }

    #[test]
    fn blocks_are_found_wherever_the_bytes_are_cut() {
        let whole = "retry: 2000\n\n:\n\nid: a\ndata: {\"n\":1}\n\nevent: closed\r\nid:\r\ndata:x\r\ndata: y\r\n\r\nid: p\n\ndata\n\n";
        let expected = vec![
            block(None, None),
            block(None, None),
            block(Some("a"), Some("{\"n\":1}")),
            block(Some(""), Some("x\ny")),
            block(Some("p"), None),
            block(None, Some("")),
        ];
        assert_eq!(blocks(&[whole.as_bytes()]), expected);
        for cut in 1..whole.len() {
            let (first, second) = whole.as_bytes().split_at(cut);
            assert_eq!(blocks(&[first, second]), expected, "cut at {cut}");
        }
        assert!(blocks(&[b"id: a\ndata: x\n"]).is_empty(), "not ended yet");
    }

    #[test]
    fn a_block_with_nothing_but_an_id_is_a_position() {
        let id = "00000000014a2f60-00000003";
        let said = block(Some(id), None).said();
        assert_eq!(said, Ok(Said::Position(id.parse().expect("an id"))));
        assert_eq!(block(Some(""), None).said(), Ok(Said::Alive));
        assert!(block(Some("x"), None).said().is_err());
    }
}
