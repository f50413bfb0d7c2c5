//! Clients: a WebSocket by the library, an event stream by hand.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::{Message, WebSocket};
use walgate_tests::{PATIENCE, Patience, step};

/// A connection over WebSocket.
pub(crate) struct Client<S = TcpStream> {
    socket: WebSocket<S>,
    /// The last event's id, or position that was told.
    pub(crate) last: Option<String>,
    /// The first event's id.
    pub(crate) first: Option<String>,
}

/// What a server says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    /// An event.
    Event(Value),
    /// Anything else.
    Answer(Value),
    /// The end, with its code.
    Closed(u16),
}

impl Client {
    /// Connects; `query` is what the address says besides.
    pub(crate) fn connect(address: &str, query: &str) -> Result<Self> {
        Self::with_token(address, query, None)
    }

    /// As [`connect`](Self::connect), with a token in the header.
    pub(crate) fn with_token(address: &str, query: &str, token: Option<&str>) -> Result<Self> {
        Self::over(patient(address)?, address, query, token)
    }
}

/// What a server says, which is described.
fn message(text: &str) -> Result<Value> {
    let message = serde_json::from_str(text)?;
    super::contract::check(&message)?;
    Ok(message)
}

/// What is said is waited for, behind what was last.
fn waits(on: &str, last: &Option<String>) -> Patience {
    step(|| format!("wait on a {on} behind {last:?}"));
    Patience::new()
}

/// A connection to this address that waits for what is said.
pub(crate) fn patient(address: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

impl<S: Read + Write> Client<S> {
    /// Over a connection that there is.
    pub(crate) fn over(stream: S, address: &str, query: &str, token: Option<&str>) -> Result<Self> {
        let mut request = format!("ws://{address}/v1/stream{query}").into_client_request()?;
        if let Some(token) = token {
            let value = HeaderValue::from_str(&format!("Bearer {token}"))?;
            request.headers_mut().insert("authorization", value);
        }
        let (socket, _) = tungstenite::client(request, stream)
            .map_err(|error| anyhow::anyhow!("no WebSocket: {error}"))?;
        Ok(Self {
            socket,
            last: None,
            first: None,
        })
    }

    /// Says something.
    pub(crate) fn say(&mut self, request: &Value) -> Result<()> {
        Ok(self.socket.send(Message::text(request.to_string()))?)
    }

    /// What comes next, positions aside.
    pub(crate) fn next(&mut self) -> Result<Said> {
        let patience = waits("WebSocket", &self.last);
        loop {
            patience.lasts("message but positions")?;
            let text = match self.socket.read() {
                Ok(Message::Text(text)) => text,
                Ok(Message::Close(frame)) => {
                    let frame = frame.context("a code")?;
                    return Ok(Said::Closed(frame.code.into()));
                }
                Ok(_) => continue,
                Err(error) => bail!("the connection broke: {error}"),
            };
            let value = message(&text)?;
            if value.get("op").is_some() {
                if let Some(id) = value.get("id") {
                    self.last = id.as_str().map(str::to_owned);
                }
                return Ok(Said::Event(value));
            }
            if value["type"] == "position" {
                self.last = value["position"].as_str().map(str::to_owned);
                continue;
            }
            return Ok(Said::Answer(value));
        }
    }

    /// The next event, as it came.
    pub(crate) fn text(&mut self) -> Result<String> {
        let patience = waits("WebSocket", &self.last);
        loop {
            patience.lasts("event")?;
            let text = match self.socket.read()? {
                Message::Text(text) => text,
                Message::Ping(_) | Message::Pong(_) => continue,
                other => bail!("no event: {other:?}"),
            };
            let value = message(&text)?;
            if value.get("op").is_none() {
                continue;
            }
            if let Some(id) = value["id"].as_str() {
                self.last = Some(id.to_owned());
                self.first.get_or_insert_with(|| id.to_owned());
            }
            return Ok(text.to_string());
        }
    }

    /// The next event.
    pub(crate) fn event(&mut self) -> Result<Value> {
        match self.next()? {
            Said::Event(event) => Ok(event),
            other => bail!("no event: {other:?}"),
        }
    }

    /// So many events.
    pub(crate) fn events(&mut self, count: usize) -> Result<Vec<Value>> {
        (0..count).map(|_| self.event()).collect()
    }

    /// The next answer, which is of this type.
    pub(crate) fn answer(&mut self, kind: &str) -> Result<Value> {
        match self.next()? {
            Said::Answer(answer) if answer["type"] == kind => {
                if let Some(position) = answer["position"].as_str() {
                    self.last = Some(position.to_owned());
                }
                Ok(answer)
            }
            other => bail!("no {kind}: {other:?}"),
        }
    }

    /// Waits for the position to reach `position`.
    pub(crate) fn until_position(&mut self, reached: impl Fn(&str) -> bool) -> Result<()> {
        let patience = waits("WebSocket", &self.last);
        loop {
            patience.lasts("such position")?;
            match self.socket.read()? {
                Message::Text(text) => {
                    let value = message(&text)?;
                    if value["type"] != "position" {
                        bail!("no position: {value}");
                    }
                    let position = value["position"].as_str().context("a position")?;
                    self.last = Some(position.to_owned());
                    if reached(position) {
                        return Ok(());
                    }
                }
                Message::Ping(_) | Message::Pong(_) => {}
                other => bail!("no position: {other:?}"),
            }
        }
    }
}

/// A connection that is an event stream.
pub(crate) struct Events<S = TcpStream> {
    lines: BufReader<S>,
    /// What a browser would come back with.
    pub(crate) last: Option<String>,
}

/// A block of an event stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Block {
    pub(crate) event: String,
    pub(crate) data: Value,
}

impl Events {
    /// Asks for `path`, with more headers; gives the status where it is not 200.
    pub(crate) fn open(address: &str, query: &str, headers: &str) -> Result<Result<Self, u16>> {
        Self::over(patient(address)?, address, query, headers)
    }
}

impl<S: Read + Write> Events<S> {
    /// Over a connection that there is.
    pub(crate) fn over(
        mut stream: S,
        address: &str,
        query: &str,
        headers: &str,
    ) -> Result<Result<Self, u16>> {
        // HTTP/1.0: the body comes as it is.
        write!(
            stream,
            "GET /v1/events{query} HTTP/1.0\r\nHost: {address}\r\n{headers}\r\n"
        )?;
        let mut lines = BufReader::new(stream);
        let mut head = String::new();
        lines.read_line(&mut head)?;
        let code: u16 = head.split(' ').nth(1).context("a code")?.parse()?;
        let mut line = String::new();
        while lines.read_line(&mut line)? > 2 {
            line.clear();
        }
        Ok(match code {
            200 => Ok(Self { lines, last: None }),
            code => Err(code),
        })
    }

    /// The next block that says something; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Block>> {
        let (mut event, mut data) = ("message".to_owned(), None);
        let patience = waits("event stream", &self.last);
        loop {
            patience.lasts("block but heartbeats")?;
            let mut line = String::new();
            if self.lines.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            let line = line.trim_end_matches(['\r', '\n']);
            match line.split_once(':') {
                None if line.is_empty() => {
                    if let Some(data) = data.take() {
                        return Ok(Some(Block { event, data }));
                    }
                    event = "message".to_owned();
                }
                Some(("id", id)) => self.last = Some(id.trim_start().to_owned()),
                Some(("event", name)) => event = name.trim_start().to_owned(),
                Some(("data", text)) => data = Some(message(text)?),
                _ => {}
            }
        }
    }

    /// The next block, of this kind.
    pub(crate) fn expect(&mut self, event: &str) -> Result<Value> {
        match self.next()? {
            Some(block) if block.event == event => Ok(block.data),
            other => bail!("no {event}: {other:?}"),
        }
    }
}
