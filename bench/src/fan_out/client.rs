//! The clients, in a process of their own: as cheap as can be, so that the server is what is measured.

use std::cell::{Cell, RefCell};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use clap::Args;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local};

use super::EXPERIMENTS;
use super::contender::Running;
use crate::live::arrivals::{last_number, number};
use crate::live::now_us;
use crate::measure;

/// Clients whose frames are looked into, spread over all of them.
const SAMPLED: usize = 50;

/// Clients that connect at a time.
const CONNECTING: usize = 100;

/// What is read at once.
const READ_BYTES: usize = 256 << 10;

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// The process of the clients; the bench starts it itself.
#[derive(Args)]
pub(crate) struct ClientArgs {
    /// Where the server is
    address: String,
    /// How many
    clients: usize,
    /// Each follows one experiment
    #[arg(long)]
    filtered: bool,
}

/// What the clients have seen of one load.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Events that all clients were given together.
    pub(crate) deliveries: u64,
    /// From the first to the last of them.
    pub(crate) seconds: f64,
    /// Age of rows when they had come, in microseconds.
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) p999_us: u64,
    /// User and system time of the clients.
    pub(crate) cpu_s: f64,
}

/// The process of the clients, as the bench sees it.
pub(crate) struct Clients<'a> {
    server: &'a Running,
    child: Child,
    say: ChildStdin,
    hear: BufReader<ChildStdout>,
    clients: usize,
}

impl<'a> Clients<'a> {
    /// Starts the process and connects the first client.
    pub(crate) fn start(server: &'a Running, clients: usize, filtered: bool) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["fan-out-client", &server.address, &clients.to_string()]);
        if filtered {
            command.arg("--filtered");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("start the clients")?;
        let say = child.stdin.take().context("its input")?;
        let hear = BufReader::new(child.stdout.take().context("its output")?);
        let mut own = Self {
            server,
            child,
            say,
            hear,
            clients,
        };
        ensure!(own.line()? == "first", "the first client is not connected");
        Ok(own)
    }

    /// Connects all, and says how much memory of the server each has taken, in bytes; none for one.
    pub(crate) fn all(&mut self) -> Result<Option<u64>> {
        let before = self.server.memory_bytes()?;
        writeln!(self.say, "all")?;
        ensure!(self.line()? == "ready", "the clients are not connected");
        let more = self.server.memory_bytes()?.saturating_sub(before);
        Ok((self.clients > 1).then(|| more / (self.clients as u64 - 1)))
    }

    /// So many deliveries will come.
    pub(crate) fn expect(&mut self, deliveries: usize, samples: bool) -> Result<()> {
        writeln!(self.say, "{deliveries} {samples}")?;
        ensure!(self.line()? == "expecting", "the clients do not listen");
        Ok(())
    }

    /// Waits until they have come.
    pub(crate) fn seen(&mut self) -> Result<Seen> {
        Ok(serde_json::from_str(&self.line()?)?)
    }

    /// Ends the process.
    pub(crate) fn end(mut self) -> Result<()> {
        writeln!(self.say, "end")?;
        let ended = self.child.wait()?;
        ensure!(ended.success(), "the clients ended with {ended}");
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(
            self.hear.read_line(&mut line)? > 0,
            "the clients have ended"
        );
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Clients<'_> {
    fn drop(&mut self) {
        // It has ended, or something else went wrong that is told.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// What all clients count together.
struct Count {
    deliveries: Cell<u64>,
    goal: Cell<u64>,
    first: Cell<Option<SystemTime>>,
    samples: Cell<bool>,
    ages: RefCell<Histogram<u64>>,
    cpu_s: Cell<f64>,
    buffer: RefCell<Vec<u8>>,
}

impl Count {
    fn new() -> Result<Self> {
        Ok(Self {
            deliveries: Cell::new(0),
            goal: Cell::new(0),
            first: Cell::new(None),
            samples: Cell::new(false),
            ages: RefCell::new(Histogram::new(3)?),
            cpu_s: Cell::new(0.0),
            buffer: RefCell::new(vec![0; READ_BYTES]),
        })
    }

    fn expect(&self, line: &str) -> Result<()> {
        let (goal, samples) = line.split_once(' ').context("a goal")?;
        self.goal.set(goal.parse()?);
        self.samples.set(samples == "true");
        self.deliveries.set(0);
        self.first.set(None);
        self.ages.borrow_mut().reset();
        self.cpu_s.set(own_cpu_s());
        Ok(())
    }

    fn came(&self, frames: u64) -> Result<()> {
        if frames == 0 {
            return Ok(());
        }
        if self.first.get().is_none() {
            self.first.set(Some(SystemTime::now()));
        }
        let all = self.deliveries.get() + frames;
        self.deliveries.set(all);
        ensure!(all <= self.goal.get(), "more has come than was sent");
        if all == self.goal.get() {
            let first = self.first.get().context("it has begun")?;
            let ages = self.ages.borrow();
            let seen = Seen {
                deliveries: all,
                seconds: first.elapsed()?.as_secs_f64(),
                p50_us: ages.value_at_quantile(0.5),
                p99_us: ages.value_at_quantile(0.99),
                p999_us: ages.value_at_quantile(0.999),
                cpu_s: own_cpu_s() - self.cpu_s.get(),
            };
            tell(&serde_json::to_string(&seen)?);
        }
        Ok(())
    }

    /// An event of a client whose frames are looked into; `row` is the one before it.
    fn looked_into(&self, event: &[u8], row: &mut Option<u64>, step: u64) -> Result<()> {
        let own = last_number(event, b"\"id\":").context("an event without a row")?;
        if let Some(before) = row.replace(own) {
            ensure!(
                own == before + step,
                "row {own} has come behind row {before}"
            );
        }
        let sent = number(event, b"\"sent\":").context("an event without a time")?;
        let age = now_us().saturating_sub(sent);
        Ok(self.ages.borrow_mut().record(age.max(1))?)
    }
}

#[expect(clippy::print_stdout, reason = "the bench reads it")]
fn tell(text: &str) {
    println!("{text}");
}

fn own_cpu_s() -> f64 {
    measure::cpu_of(std::process::id()).unwrap_or_default()
}

/// Runs the clients until they are told to end.
pub(crate) fn run(args: &ClientArgs) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, drive(args))
}

async fn drive(args: &ClientArgs) -> Result<()> {
    let count = Rc::new(Count::new()?);
    let (send, mut lines) = tokio::sync::mpsc::unbounded_channel();
    thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let Ok(line) = line else { break };
            if send.send(line).is_err() {
                break;
            }
        }
    });
    let first = patiently(args).await?;
    tell("first");
    lines.recv().await.context("the bench has gone")?;
    let mut sockets = vec![first];
    while sockets.len() < args.clients {
        let more = CONNECTING.min(args.clients - sockets.len());
        let tasks: Vec<_> = (sockets.len()..sockets.len() + more)
            .map(|place| spawn_local(connect(args.address.clone(), target(args, place))))
            .collect();
        for task in tasks {
            sockets.push(task.await??);
        }
    }
    let every = (args.clients / SAMPLED).max(1);
    let step = if args.filtered { EXPERIMENTS as u64 } else { 1 };
    for (place, socket) in sockets.into_iter().enumerate() {
        let (count, samples) = (Rc::clone(&count), place % every == 0);
        spawn_local(async move {
            if let Err(error) = read(socket, &count, samples, step).await {
                crate::say(&format!("a client has ended: {error:#}"));
                std::process::exit(1);
            }
        });
    }
    tell("ready");
    while let Some(line) = lines.recv().await.filter(|line| line != "end") {
        count.expect(&line)?;
        tell("expecting");
    }
    Ok(())
}

fn target(args: &ClientArgs, place: usize) -> String {
    match args.filtered {
        true => format!(
            "/v1/stream?table=public.moves&where=experiment_id%3D{}",
            place % EXPERIMENTS
        ),
        false => "/v1/stream?table=public.moves".to_owned(),
    }
}

/// The first client waits for the server.
async fn patiently(args: &ClientArgs) -> Result<TcpStream> {
    let connected = async {
        loop {
            match connect(args.address.clone(), target(args, 0)).await {
                Ok(socket) => return socket,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let connected = tokio::time::timeout(PATIENCE, connected).await;
    connected.context("the server does not answer")
}

/// Connects, and reads up to the first message, which says that it is ready.
async fn connect(address: String, target: String) -> Result<TcpStream> {
    let mut socket = TcpStream::connect(&address).await?;
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    ensure!(
        head.starts_with(b"HTTP/1.1 101"),
        "{}",
        String::from_utf8_lossy(&head)
    );
    let (_, len) = loop {
        let byte = socket.read_u8().await?;
        head.clear();
        head.push(byte);
        head.push(socket.read_u8().await?);
        for _ in 2..header_len(&head) {
            head.push(socket.read_u8().await?);
        }
        if let Some(header) = header(&head) {
            break header;
        }
    };
    let mut ready = vec![0; len];
    socket.read_exact(&mut ready).await?;
    ensure!(
        ready.windows(7).any(|part| part == b"\"ready\""),
        "it is not ready"
    );
    Ok(socket)
}

/// Bytes of a header whose first two are there.
fn header_len(head: &[u8]) -> usize {
    match head.get(1).map(|byte| byte & 0x7F) {
        Some(126) => 4,
        Some(127) => 10,
        _ => 2,
    }
}

/// Bytes of the header, and of the payload, of a frame from a server; none before they are there.
fn header(head: &[u8]) -> Option<(usize, usize)> {
    let all = header_len(head);
    let len = match head.get(2..all)? {
        [] => usize::from(head.get(1)? & 0x7F),
        more => more
            .iter()
            .fold(0, |len, byte| len << 8 | usize::from(*byte)),
    };
    Some((all, len))
}

/// Counts frames until the connection ends, which is an error.
///
/// `step` is from the number of a row that this client wants to that of the next one: rows are looked into for
/// whether each has come, once and in order.
async fn read(socket: TcpStream, count: &Count, samples: bool, step: u64) -> Result<()> {
    // What is left of a frame, and of a header that was cut.
    let (mut left, mut cut) = (0, Vec::new());
    let mut event = Vec::new();
    let mut row = None;
    loop {
        socket.readable().await?;
        let mut buffer = count.buffer.borrow_mut();
        let read = match socket.try_read(&mut buffer) {
            Ok(0) => anyhow::bail!("the server has closed"),
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.into()),
        };
        let looks = samples && count.samples.get();
        let mut rest = buffer.get(..read).unwrap_or_default();
        if !looks {
            row = None;
        }
        let mut frames = 0;
        while !rest.is_empty() {
            if left == 0 {
                let Some(len) = next_header(&mut cut, &mut rest)? else {
                    break;
                };
                (left, frames) = (len, frames + 1);
            }
            let part;
            (part, rest) = rest.split_at(left.min(rest.len()));
            left -= part.len();
            if looks {
                event.extend_from_slice(part);
                if left == 0 {
                    count.looked_into(&event, &mut row, step)?;
                    event.clear();
                }
            }
        }
        drop(buffer);
        count.came(frames)?;
    }
}

/// Takes a header; none when it is cut, and kept.
fn next_header(cut: &mut Vec<u8>, rest: &mut &[u8]) -> Result<Option<usize>> {
    let (len, used) = if cut.is_empty() {
        match header(rest) {
            Some((all, len)) => (len, all),
            None => {
                cut.extend_from_slice(rest);
                return Ok(None);
            }
        }
    } else {
        let before = cut.len();
        cut.extend(rest.iter().take(10 - before.min(10)));
        let Some((all, len)) = header(cut) else {
            return Ok(None);
        };
        let used = all - before;
        (len, used)
    };
    let first = cut.first().or_else(|| rest.first()).copied();
    cut.clear();
    ensure!(first == Some(0x81), "a frame of another kind: {first:?}");
    *rest = rest.get(used..).unwrap_or_default();
    Ok(Some(len))
}
