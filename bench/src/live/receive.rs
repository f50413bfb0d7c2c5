//! What followers hand over: lines of a pipe, messages of a WebSocket, records of a topic.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message as _;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tungstenite::{Message, WebSocket};

/// Is given each event as it comes.
pub(crate) type Take = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// A thread that reads until its source ends.
pub(crate) type Reader = JoinHandle<Result<()>>;

/// What is read of a pipe at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Only bounds a run in which something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a consumer waits before it looks whether it is to end.
const POLL: Duration = Duration::from_millis(100);

/// Reads lines until the other side closes.
pub(crate) fn lines(output: impl Read + Send + 'static, take: Take) -> Reader {
    thread::spawn(move || {
        let mut output = BufReader::with_capacity(BUFFER_BYTES, output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line)? > 0 {
            take(&line);
            line.clear();
        }
        Ok(())
    })
}

/// Connects to a server that may have to start first, and reads messages until it closes.
pub(crate) fn messages(address: &str, table: &str, take: Take) -> Result<Reader> {
    let since = Instant::now();
    let mut socket = loop {
        match connect(address, table) {
            Ok(socket) => break socket,
            Err(_) if since.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(20)),
            Err(error) => return Err(error.context("the server does not answer")),
        }
    };
    Ok(thread::spawn(move || {
        loop {
            match socket.read() {
                Ok(Message::Text(text)) => take(text.as_bytes()),
                Ok(Message::Binary(bytes)) => take(&bytes),
                Ok(Message::Close(_)) => return Ok(()),
                Ok(_) => {}
                // The server was ended.
                Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed) => {
                    return Ok(());
                }
                Err(tungstenite::Error::Protocol(_) | tungstenite::Error::Io(_)) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }))
}

fn connect(address: &str, table: &str) -> Result<WebSocket<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let target = format!("ws://{address}/v1/stream?table=public.{table}");
    let (socket, _) = tungstenite::client(target, stream)?;
    Ok(socket)
}

/// Reads all partitions of a topic from the beginning, until it is told to stop.
pub(crate) fn records(
    bootstrap: &str,
    topic: &str,
    partitions: i32,
    take: Take,
    stop: Arc<AtomicBool>,
) -> Result<Reader> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "walgate-bench")
        .set("enable.auto.commit", "false")
        .set("fetch.min.bytes", "1");
    let consumer: BaseConsumer = config.create()?;
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    Ok(thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            let Some(record) = consumer.poll(POLL) else {
                continue;
            };
            let record = record.context("the broker sends no more")?;
            if let Some(value) = record.payload() {
                take(value);
            }
        }
        Ok(())
    }))
}
