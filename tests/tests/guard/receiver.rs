//! Somebody who is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use serde_json::Value;
use walgate_tests::until;

/// A small HTTP server that keeps what it is sent. It lives as long as the tests do.
pub(crate) struct Receiver {
    pub(crate) url: String,
    told: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    /// Answers every request with this status line.
    pub(crate) fn start(status: &'static str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/hook/geheim", listener.local_addr()?);
        let told = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&told);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let kept = Arc::clone(&kept);
                thread::spawn(move || {
                    // A client that goes away has told nothing.
                    if let Ok(body) = answer(&stream, status) {
                        kept.lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(body);
                    }
                });
            }
        });
        Ok(Self { url, told })
    }

    /// Takes connections and never answers.
    pub(crate) fn silent() -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/hook/geheim", listener.local_addr()?);
        thread::spawn(move || {
            let kept: Vec<_> = listener.incoming().collect();
            drop(kept);
        });
        Ok(url)
    }

    /// The kind and severity of what was told of a rule, in order.
    pub(crate) fn told(&self, rule: &str) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let all = self.all();
        let of = all.iter().filter(|message| message["rule"] == rule);
        of.map(|message| (text(&message["kind"]), text(&message["severity"])))
            .collect()
    }

    pub(crate) fn all(&self) -> Vec<Value> {
        self.told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until this was told of a rule.
    pub(crate) fn wait_for(&self, rule: &str, kind: &str, severity: &str) -> Result<()> {
        let wanted = (kind.to_owned(), severity.to_owned());
        until(&format!("{rule} is told as {kind} {severity}"), || {
            Ok(self.told(rule).contains(&wanted))
        })
    }
}

fn answer(stream: &TcpStream, status: &str) -> Result<Value> {
    let mut reader = BufReader::new(stream);
    let (mut length, mut token) = (0, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(": ") else {
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().context("a length")?,
            "authorization" => value.clone_into(&mut token),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    let mut body: Value = match length {
        0 => Value::Null,
        _ => serde_json::from_slice(&body)?,
    };
    if let Value::Object(body) = &mut body {
        body.insert("authorization".to_owned(), Value::from(token));
    }
    Ok(body)
}
