//! A push server with a log of its own.

use std::future::Future;
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use tokio::runtime::Runtime;
use walgate_core::{
    Batch, Body, Change, Column, ColumnUse, EncodeError, Encoded, Encoder, Failure, Lsn, PgMicros,
    Position, Relation, ReplicaIdentity, Shape, Sink, Table, Value,
};
use walgate_pgoutput::TupleBuf;
use walgate_sink_websocket::{
    Backlog, History, Policy, PushEncoder, PushOptions, PushServer, PushSink, PushStats,
    QueueLimits, Read, SnapshotLimits, Snapshots,
};

use crate::wire::{Wire, handshake};

/// Longer than anything takes on a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A value that no encoder can write.
pub(crate) const UNENCODABLE: &str = "unencodable";

/// Just before the first row was committed: 2020-01-01T00:00:00Z.
const BEGINNING: PgMicros = PgMicros::from_unix_micros(1_577_836_800_000_000);

/// Encodes rows of `public.t (id int, note text)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text;

impl Encoder for Text {
    fn encode(&mut self, change: &Change<'_>, out: &mut BytesMut) -> Result<Encoded, EncodeError> {
        let (Body::Insert { new, .. } | Body::Read { new, .. }) = change.body else {
            return Ok(Encoded::default());
        };
        let mut values = new.iter().map(|value| match value {
            Value::Text(text) => String::from_utf8_lossy(text).into_owned(),
            other => panic!("{other:?}"),
        });
        let (id, note) = (values.next().expect("id"), values.next().expect("note"));
        if note == UNENCODABLE {
            return Err(EncodeError {
                message: "it has no form".to_owned(),
                hint: None,
            });
        }
        let position = change.position;
        let op = change.body.op().name();
        let text =
            format!("{{\"op\":\"{op}\",\"id\":\"{position}\",\"n\":{id},\"note\":\"{note}\"}}\n");
        out.put_slice(text.as_bytes());
        Ok(Encoded::default())
    }
}

/// The log that there is.
pub(crate) struct Log {
    rows: Mutex<Vec<(Position, TupleBuf)>>,
    table: Arc<Table>,
    epoch: u8,
    oldest: Mutex<Position>,
    pub(crate) is_durable: AtomicBool,
    /// Whoever reads waits before the last row, as on a disk that is slow.
    pub(crate) holds: AtomicBool,
}

impl Log {
    fn rows(&self) -> MutexGuard<'_, Vec<(Position, TupleBuf)>> {
        self.rows.lock().expect("nobody panics with it")
    }

    /// The position of the n-th row, from 1 on.
    pub(crate) fn at(&self, n: u32) -> Position {
        Position::new(self.epoch, Lsn(u64::from(n) * 16), 2)
    }

    /// What lies before the n-th row is not retained any more.
    pub(crate) fn retain_from(&self, n: u32) {
        *self.oldest.lock().expect("nobody panics with it") = self.at(n - 1);
    }

    fn change<'a>(&'a self, (position, row): &'a (Position, TupleBuf)) -> Change<'a> {
        Change {
            position: *position,
            transaction: None,
            body: Body::Insert {
                table: &self.table,
                new: row.as_tuple(),
            },
        }
    }
}

struct Shelf(Arc<Log>);

impl History for Shelf {
    fn is_durable(&self) -> bool {
        self.0.is_durable.load(Ordering::SeqCst)
    }

    fn oldest(&self) -> Position {
        *self.0.oldest.lock().expect("nobody panics with it")
    }

    fn head(&self) -> Position {
        let none = Position::new(self.0.epoch, Lsn(0), 0);
        self.0.rows().last().map_or(none, |(position, _)| *position)
    }

    /// The n-th row was committed n seconds after [`BEGINNING`].
    fn position_at(&self, time: PgMicros) -> Result<Option<Position>, Failure> {
        let micros = time.unix_micros() - BEGINNING.unix_micros();
        let first = u32::try_from((micros + 999_999).div_euclid(1_000_000)).unwrap_or(0);
        let after = self.0.at(first.max(1) - 1);
        let is_retained = micros >= 0 && after >= self.oldest();
        Ok(is_retained.then(|| after.min(self.head())))
    }

    fn read(&self, after: Position) -> Result<Box<dyn Backlog>, Failure> {
        let log = Arc::clone(&self.0);
        Ok(Box::new(Reading { log, seen: after }))
    }
}

struct Reading {
    log: Arc<Log>,
    seen: Position,
}

impl Backlog for Reading {
    fn next<'a>(
        &'a mut self,
        take: &'a mut (dyn for<'c> FnMut(&Change<'c>) + Send),
    ) -> Pin<Box<dyn Future<Output = Result<Read, Failure>> + Send + 'a>> {
        Box::pin(async move {
            loop {
                let rest = {
                    let rows = self.log.rows();
                    let rest = rows.iter().filter(|(at, _)| *at > self.seen);
                    rest.take(2).cloned().collect::<Vec<_>>()
                };
                let Some(row) = rest.first() else {
                    return Ok(Read::End(self.seen));
                };
                if rest.len() == 1 && self.log.holds.load(Ordering::SeqCst) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                }
                take(&self.log.change(row));
                self.seen = row.0;
                return Ok(Read::More(self.seen));
            }
        })
    }
}

/// A server, its chain and its log.
pub(crate) struct Server {
    pub(crate) log: Arc<Log>,
    chain: Mutex<(PushEncoder<Text>, PushSink)>,
    push: PushServer,
    pub(crate) runtime: Runtime,
}

/// Everybody is welcome, and pings are rare.
pub(crate) fn options() -> PushOptions {
    PushOptions {
        listen: "127.0.0.1:0".to_owned(),
        policy: Policy::Open,
        origins: Vec::new(),
        max_connections: 10_000,
        max_connections_of_one: 10_000,
        max_connections_of_subject: 10_000,
        max_new_a_second: 100_000,
        queue: QueueLimits::default(),
        memory: 256 << 20,
        snapshots: SnapshotLimits::default(),
        ping_every: Duration::from_secs(600),
        tls: None,
        page: true,
        source: None,
    }
}

impl Server {
    pub(crate) fn start(options: PushOptions) -> Self {
        Self::with(options, 0, None)
    }

    pub(crate) fn of_epoch(options: PushOptions, epoch: u8) -> Self {
        Self::with(options, epoch, None)
    }

    /// Rows come from `source`.
    pub(crate) fn with_snapshots(options: PushOptions, source: Arc<dyn Snapshots>) -> Self {
        Self::with(options, 0, Some(source))
    }

    fn with(options: PushOptions, epoch: u8, source: Option<Arc<dyn Snapshots>>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let inside = runtime.enter();
        let push = PushServer::start(options).expect("it listens");
        let start = Position::new(epoch, Lsn(0), 0);
        let log = Arc::new(Log {
            rows: Mutex::default(),
            table: table(),
            epoch,
            oldest: Mutex::new(start),
            is_durable: AtomicBool::new(true),
            holds: AtomicBool::new(false),
        });
        let chain = Mutex::new((push.encoder(Text), push.sink()));
        let shelf = Arc::new(Shelf(Arc::clone(&log)));
        push.open(shelf, source, start, || Box::new(Text));
        drop(inside);
        Self {
            log,
            chain,
            push,
            runtime,
        }
    }

    /// Commits these notes, one row each, and delivers them in one batch.
    pub(crate) fn publish(&self, notes: &[&str]) {
        let mut added = Vec::new();
        for note in notes {
            let mut rows = self.log.rows();
            let n = u32::try_from(rows.len()).expect("few") + 1;
            let mut row = TupleBuf::new();
            for value in [n.to_string().as_bytes(), note.as_bytes()] {
                row.push(Value::Text(value)).expect("a small value");
            }
            rows.push((self.log.at(n), row));
            added.extend(rows.last().cloned());
        }
        let mut chain = self.chain.lock().expect("nobody panics with it");
        let (encoder, sink) = &mut *chain;
        let mut batch = Batch::default();
        for row in &added {
            let change = self.log.change(row);
            // As the chain does with dead letters.
            if let Ok(encoded) = encoder.encode(&change, &mut batch.bytes) {
                batch.push(
                    change.position,
                    change.body.op(),
                    change.body.table(),
                    encoded,
                );
            }
        }
        self.runtime
            .block_on(sink.write(&mut batch))
            .expect("it never fails");
    }

    /// The sink ends, as the process does.
    pub(crate) fn stop(&self) {
        let mut chain = self.chain.lock().expect("nobody panics with it");
        self.runtime
            .block_on(chain.1.close(Instant::now() + PATIENCE))
            .expect("it closes");
    }

    pub(crate) fn stats(&self) -> PushStats {
        self.push.monitor().stats()
    }

    /// Waits until this is so.
    pub(crate) fn until(&self, what: &str, so: impl Fn(PushStats) -> bool) {
        let since = Instant::now();
        while !so(self.stats()) {
            assert!(
                since.elapsed() < PATIENCE,
                "never: {what}: {:?}",
                self.stats()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A connection that has said nothing yet.
    pub(crate) fn connect(&self) -> Wire {
        let stream = TcpStream::connect(self.push.address()).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a time-out");
        Wire { stream }
    }

    /// A WebSocket.
    pub(crate) fn socket(&self, query: &str) -> Wire {
        let mut wire = self.connect();
        wire.send(handshake(&format!("/v1/stream{query}")).as_bytes());
        let head = wire.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        wire
    }

    /// An event stream; the head is read.
    pub(crate) fn events(&self, query: &str) -> Wire {
        let mut wire = self.connect();
        wire.send(format!("GET /v1/events{query} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes());
        let head = wire.head();
        assert!(head.starts_with("HTTP/1.0 200 "), "{head}");
        wire
    }
}

pub(crate) fn table() -> Arc<Table> {
    let column = |(name, type_oid): (&str, u32)| Column {
        name: name.to_owned(),
        type_oid,
        type_name: String::new(),
        typmod: -1,
        key: name == "id",
        shape: Shape::of_builtin(type_oid).expect("a builtin type"),
    };
    let relation = Relation {
        oid: 16_384,
        schema: "public".to_owned(),
        name: "t".to_owned(),
        identity: ReplicaIdentity::Default,
        columns: [("id", 23), ("note", 25)].map(column).into(),
        primary_key: vec![0],
    };
    Arc::new(Table {
        id: 1,
        key: relation.key(),
        columns: vec![ColumnUse::Keep; 2],
        relation: Arc::new(relation),
    })
}
