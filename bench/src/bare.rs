//! The limit: takes what the walsender sends as cheaply as a program can, and counts it.
//!
//! One thread, one large buffer, `SO_RCVLOWAT` so that the kernel wakes it once for 64 KiB, no look at
//! any byte beyond the frames' headers. Nothing that also decodes can be faster on the same server.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::{Buf, BufMut, BytesMut};
use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use walgate_connection::{ConnectionConfig, Environment, ReplicationStream};
use walgate_pgoutput::{CopyFrame, Lsn, STANDBY_STATUS_LEN, StandbyStatus};
use walgate_replication::set_low_water;

use crate::slot_args::SlotArgs;

/// What is read at once at most, in bytes.
const BUFFER: usize = 1 << 20;

/// The low-water mark, in bytes: that of `walgate-replication` while it is behind.
const LOW_WATER: u32 = 64 << 10;

/// How long it may take to fill that: then there is no backlog.
const PATIENCE: Duration = Duration::from_millis(20);

/// How often the server is told, as often as pg_recvlogical does.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Reads a slot as cheaply as possible, and counts. For `make bench`.
#[derive(Args)]
pub(crate) struct BareArgs {
    #[command(flatten)]
    from: SlotArgs,
    /// Ends when the server has sent everything before this LSN; without it, only when it is stopped.
    #[arg(long)]
    until: Option<Lsn>,
    /// Ends when so many rows were inserted, updated or deleted.
    #[arg(long)]
    changes: Option<u64>,
    /// Asks for values in PostgreSQL's binary form (since PostgreSQL 14).
    #[arg(long)]
    binary: bool,
}

/// Reads to the end, and prints how many messages and bytes came.
#[expect(clippy::print_stdout, reason = "the count is the program's output")]
pub(crate) fn run(args: &BareArgs) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (messages, bytes) = runtime.block_on(read(args))?;
    println!("done {messages} {bytes}");
    Ok(())
}

async fn read(args: &BareArgs) -> Result<(u64, u64)> {
    let config = ConnectionConfig::parse(&args.from.url, &Environment::process())?;
    let mut stream = config.connect_replication(&[]).await?;
    stream.start_copy_both(&start(args)).await?;
    let mut buffer = BytesMut::with_capacity(BUFFER);
    let mut count = Count {
        looks: args.changes.is_some(),
        ..Count::default()
    };
    let mut told = Instant::now();
    loop {
        buffer.reserve(BUFFER / 2);
        let read = more(&mut stream, &mut buffer).await?;
        ensure!(
            read > 0,
            "the server closed the connection at {}",
            count.end
        );
        count.bytes += read as u64;
        let asked = count.take(&mut buffer)?;
        let is_done = args.until.is_some_and(|until| count.end >= until)
            || args.changes.is_some_and(|changes| count.changes >= changes);
        if is_done || asked || told.elapsed() >= TELL_EVERY {
            tell(&mut stream, count.end).await?;
            told = Instant::now();
        }
        if is_done {
            return Ok((count.messages, count.bytes));
        }
    }
}

/// START_REPLICATION, with version 1 of the protocol as pg_recvlogical has it.
fn start(args: &BareArgs) -> String {
    let binary = if args.binary { ", binary 'true'" } else { "" };
    format!(
        r#"START_REPLICATION SLOT "{}" LOGICAL 0/0 (proto_version '1', publication_names '"{}"'{binary})"#,
        args.from.slot, args.from.publication
    )
}

/// What has come since, a low-water mark at a time while there is so much.
async fn more(stream: &mut ReplicationStream, buffer: &mut BytesMut) -> Result<usize> {
    set_low_water(stream.as_fd(), LOW_WATER)?;
    if let Ok(read) = timeout(PATIENCE, stream.read_buf(buffer)).await {
        return Ok(read?);
    }
    set_low_water(stream.as_fd(), 1)?;
    Ok(stream.read_buf(buffer).await?)
}

/// Says that everything up to here may go.
async fn tell(stream: &mut ReplicationStream, end: Lsn) -> Result<()> {
    let status = StandbyStatus {
        written: end,
        flushed: end,
        applied: end,
        ..StandbyStatus::default()
    };
    let mut message = BytesMut::new();
    message.put_u8(b'd');
    message.put_u32(4 + STANDBY_STATUS_LEN as u32);
    status.encode(&mut message);
    stream.write_all(&message).await?;
    Ok(stream.flush().await?)
}

/// Whether it is a message that each receiver of a slot is sent alike. A definition comes again whenever the
/// server has forgotten that it told it, which vacuum and analyze bring about.
pub(crate) fn is_counted(payload: &[u8]) -> bool {
    payload.first() != Some(&b'R')
}

/// What has come.
#[derive(Default)]
struct Count {
    messages: u64,
    bytes: u64,
    /// Whether rows are counted, which is one byte of each message.
    looks: bool,
    changes: u64,
    /// How far the server has decoded, or sent.
    end: Lsn,
}

impl Count {
    /// Passes over all whole messages of the buffer; whether the server wants an answer.
    fn take(&mut self, buffer: &mut BytesMut) -> Result<bool> {
        let mut asked = false;
        while let Some((&tag, rest)) = buffer.split_first() {
            let Some(length) = rest.first_chunk::<4>() else {
                break;
            };
            let length = u32::from_be_bytes(*length) as usize;
            let Some(body) = rest.get(4..length) else {
                break;
            };
            ensure!(
                tag == b'd',
                "the server sent {:?}: {body:?}",
                char::from(tag)
            );
            match CopyFrame::decode(body)? {
                CopyFrame::XLogData {
                    wal_end, payload, ..
                } => {
                    self.messages += u64::from(is_counted(payload));
                    if self.looks && matches!(payload.first(), Some(b'I' | b'U' | b'D')) {
                        self.changes += 1;
                    }
                    self.end = self.end.max(wal_end);
                }
                CopyFrame::Keepalive {
                    wal_end,
                    reply_requested,
                    ..
                } => {
                    self.end = self.end.max(wal_end);
                    asked |= reply_requested;
                }
            }
            buffer.advance(1 + length);
        }
        Ok(asked)
    }
}
