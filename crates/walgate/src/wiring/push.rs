//! A push server at the end of a chain, and the journal behind it for who comes back.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use walgate_core::{Change, Checkpoint, Encoder, Failure, PgMicros, Position, StopReason};
use walgate_pipeline::{
    Backlog, BacklogRead, Extras, Log, Pipeline, Selection, SinkOptions, StatusHandle,
};
use walgate_sink_websocket::{
    Certificate, Guard, History, Jwt, Policy, PushMonitor, PushOptions, PushServer, QueueLimits,
    Read, SnapshotLimits, Snapshots, SourceView,
};

use walgate_source_kafka::EMPTY;

use super::snapshot::RowSource;
use crate::config::{self, PushDelivery, PushPolicy};
use crate::http::{TlsFiles, server_tls};
use crate::wiring::push_keys::{self, KeyReader};

/// Makes the encoder of a sink's events.
pub(crate) type MakeEncoder = Arc<dyn Fn() -> Box<dyn Encoder> + Send + Sync>;

/// A push server that waits for its log.
pub(crate) struct Push {
    name: String,
    server: PushServer,
    selection: Arc<Selection>,
    encoder: MakeEncoder,
    delivery: PushDelivery,
    /// Reads the keys of tokens as long as it lives.
    _keys: Option<KeyReader>,
}

/// What a chain gives a push server beyond changes: the bounds of transactions, for who wants them.
const EXTRAS: Extras = Extras {
    transactions: true,
    schemas: false,
};

impl Push {
    /// Listens, and adds the chain that feeds it.
    ///
    /// # Errors
    ///
    /// When it can't listen, or the certificate is none.
    pub(crate) fn add(
        pipeline: &mut Pipeline,
        mut options: SinkOptions,
        push: &config::Websocket,
        encoder: MakeEncoder,
        source: Option<SourceView>,
    ) -> Result<(Self, StatusHandle), Failure> {
        options.extras = EXTRAS;
        let (jwt, keys) = push_keys::jwt(&push.jwt)?;
        let server = PushServer::start(push_options(push, jwt, source)?)?;
        let own = Self {
            name: options.name.clone(),
            selection: Arc::clone(&options.selection),
            encoder: Arc::clone(&encoder),
            delivery: push.delivery,
            _keys: keys,
            server,
        };
        let (feeder, sink) = (own.server.encoder(encoder()), own.server.sink());
        let status = pipeline.add(options, feeder, sink, None);
        Ok((own, status))
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Its sink's name, and what tells how it is doing.
    pub(crate) fn monitor(&self) -> (String, PushMonitor) {
        (self.name.clone(), self.server.monitor())
    }

    /// Takes clients: the chain is about to run on this log.
    pub(super) fn open(&self, log: &Log, checkpoint: &Checkpoint, rows: &RowSource) {
        let snapshots = rows.clone().snapshots(&self.selection);
        self.opening(log, checkpoint).open(Some(snapshots));
    }

    /// For taking clients later: the chain is about to run on this log.
    pub(crate) fn opening(&self, log: &Log, checkpoint: &Checkpoint) -> Opening<'_> {
        let known = checkpoint.sinks.get(&self.name).copied();
        let begin = Position::new(log.head.epoch(), checkpoint.confirmed, 0);
        let history = JournalHistory {
            journal: log.journal.clone(),
            name: format!("{} (resumed)", self.name),
            selection: Arc::clone(&self.selection),
            is_durable: self.delivery == PushDelivery::Resumable,
            first: OnceLock::new(),
        };
        Opening {
            push: self,
            history,
            from: known.unwrap_or(begin),
        }
    }
}

/// What a push server is opened with.
pub(crate) struct Opening<'a> {
    push: &'a Push,
    history: JournalHistory,
    from: Position,
}

impl Opening<'_> {
    /// Takes clients from now on, and gives them the rows that there are where somebody can read them.
    pub(crate) fn open(self, snapshots: Option<Arc<dyn Snapshots>>) {
        let encoder = Arc::clone(&self.push.encoder);
        let (server, history) = (&self.push.server, Arc::new(self.history));
        server.open(history, snapshots, self.from, move || encoder());
    }
}

fn push_options(
    push: &config::Websocket,
    jwt: Option<Jwt>,
    source: Option<SourceView>,
) -> Result<PushOptions, Failure> {
    let policy = match push.policy() {
        PushPolicy::Open => Policy::Open,
        PushPolicy::Token => Policy::Guarded(guard(push, jwt)?),
    };
    let size = |size: config::Size| usize::try_from(size.0).unwrap_or(usize::MAX);
    Ok(PushOptions {
        listen: push.listen.clone(),
        policy,
        origins: push.origins.clone(),
        max_connections: push.max_connections as usize,
        max_connections_of_one: push.max_connections_of_one as usize,
        max_connections_of_subject: push.max_connections_of_subject as usize,
        max_new_a_second: push.max_new_a_second,
        queue: QueueLimits {
            events: push.queue_events as usize,
            bytes: size(push.queue_bytes),
        },
        memory: size(push.memory),
        snapshots: SnapshotLimits {
            rows: push.snapshot_rows,
            time: push.snapshot_time.0,
            at_once: push.snapshots as usize,
        },
        ping_every: push.ping.0,
        tls: certificate(push)?,
        page: push.page,
        source,
    })
}

fn guard(push: &config::Websocket, jwt: Option<Jwt>) -> Result<Guard, Failure> {
    let refused = |error| Failure::new(StopReason::Config, error);
    let tokens = push.tokens.iter();
    let tokens: Result<_, _> = tokens.map(|(name, token)| token.read(name)).collect();
    let subjects = push.subjects.iter();
    let subjects: Result<_, _> = subjects.map(|(name, own)| own.read(name)).collect();
    let rules = push.access_rules.values();
    let rules: Result<_, _> = rules.map(config::AccessRule::read).collect();
    Ok(Guard {
        tokens: tokens.map_err(refused)?,
        subjects: subjects.map_err(refused)?,
        jwt,
        rules: rules.map_err(refused)?,
    })
}

fn certificate(push: &config::Websocket) -> Result<Option<Certificate>, Failure> {
    let Some(files) = tls_files(push) else {
        return Ok(None);
    };
    Ok(Some(Arc::new(server_tls(files)?)))
}

/// The files of a push server's TLS, where it has some.
pub(crate) fn tls_files(push: &config::Websocket) -> Option<TlsFiles> {
    let (certificate, key) = push.tls_cert.as_ref().zip(push.tls_key.as_ref())?;
    Some(TlsFiles {
        clients: push.client_ca.clone(),
        ..TlsFiles::of_server(certificate, key)
    })
}

/// How long who begins at a time waits for the journal to have on disk what it has in memory.
const WRITTEN_WITHIN: Duration = Duration::from_secs(2);

/// How often it looks.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The journal, for clients that come back.
struct JournalHistory {
    journal: walgate_journal::Journal,
    name: String,
    selection: Arc<Selection>,
    is_durable: bool,
    /// Before the first transaction, of a log that began with a topic without events.
    first: OnceLock<Position>,
}

impl JournalHistory {
    /// Before the first transaction that it has; none while it is not on disk, or can't be read.
    fn first(&self) -> Option<Position> {
        if self.first.get().is_none()
            && let Ok(Some(first)) = self.journal.view()?.position_at(PgMicros(i64::MIN))
        {
            return Some(*self.first.get_or_init(|| first));
        }
        self.first.get().copied()
    }
}

impl History for JournalHistory {
    fn is_durable(&self) -> bool {
        self.is_durable
    }

    fn oldest(&self) -> Position {
        match self.journal.view() {
            Some(log) => log.catalogue().oldest(),
            None => self.journal.newest(),
        }
    }

    /// What a topic had before it was found empty is nowhere, however far back the log of it seems to begin.
    fn holds(&self, after: Position) -> bool {
        let (oldest, head) = (self.oldest(), self.head());
        match oldest == EMPTY && after > EMPTY && after <= head {
            true => self.first().is_some_and(|first| after >= first),
            false => after >= oldest,
        }
    }

    fn retained(&self) -> Position {
        match self.journal.view() {
            Some(log) => log.catalogue().oldest(),
            None => self.journal.stats().oldest,
        }
    }

    fn head(&self) -> Position {
        self.journal.newest()
    }

    fn position_at(&self, time: PgMicros) -> Result<Option<Position>, Failure> {
        let Some(log) = self.journal.view() else {
            return Ok(None);
        };
        let catalogue = log.catalogue();
        if catalogue.oldest_time().is_none_or(|oldest| oldest > time) {
            return Ok(None);
        }
        // What is in memory alone is not looked at. It is written soon; a disk that stands still makes
        // the beginning an earlier one.
        let (head, asked) = (self.journal.newest(), Instant::now());
        while log.catalogue().newest() < head && asked.elapsed() < WRITTEN_WITHIN {
            std::thread::sleep(LOOK_AGAIN);
        }
        // Before the search, so that all that comes later comes behind.
        let written = log.catalogue().newest();
        let found = log.position_at(time)?.unwrap_or(written);
        Ok(Some(found.max(catalogue.oldest())))
    }

    fn read(&self, after: Position) -> Result<Box<dyn walgate_sink_websocket::Backlog>, Failure> {
        let selection = Arc::clone(&self.selection);
        let backlog = Backlog::new(&self.journal, &self.name, selection, EXTRAS, after);
        Ok(Box::new(Retained(backlog)))
    }
}

struct Retained(Backlog);

impl walgate_sink_websocket::Backlog for Retained {
    fn next<'a>(
        &'a mut self,
        take: &'a mut (dyn for<'c> FnMut(&Change<'c>) + Send),
    ) -> Pin<Box<dyn Future<Output = Result<Read, Failure>> + Send + 'a>> {
        Box::pin(async move {
            Ok(match self.0.next(take).await? {
                BacklogRead::More(upto) => Read::More(upto),
                BacklogRead::End(upto) => Read::End(upto),
                BacklogRead::Gone(gap) => Read::Gone(gap),
            })
        })
    }
}
