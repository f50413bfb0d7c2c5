//! A push server at the end of a chain, and the journal behind it for who comes back.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use walgate_core::{Change, Checkpoint, Encoder, Failure, Position, StopReason};
use walgate_pipeline::{
    Backlog, BacklogRead, Extras, Log, Pipeline, Selection, SinkOptions, StatusHandle,
};
use walgate_sink_websocket::{
    Certificate, History, Policy, PushMonitor, PushOptions, PushServer, QueueLimits, Read, Token,
};

use crate::config::{self, PushDelivery, PushPolicy};
use crate::http::server_tls;

/// Makes the encoder of a sink's events.
pub(super) type MakeEncoder = Arc<dyn Fn() -> Box<dyn Encoder> + Send + Sync>;

/// A push server that waits for its log.
pub(crate) struct Push {
    name: String,
    server: PushServer,
    selection: Arc<Selection>,
    encoder: MakeEncoder,
    delivery: PushDelivery,
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
    pub(super) fn add(
        pipeline: &mut Pipeline,
        mut options: SinkOptions,
        push: &config::Websocket,
        encoder: MakeEncoder,
    ) -> Result<(Self, StatusHandle), Failure> {
        options.extras = EXTRAS;
        let server = PushServer::start(push_options(push)?)?;
        let own = Self {
            name: options.name.clone(),
            selection: Arc::clone(&options.selection),
            encoder: Arc::clone(&encoder),
            delivery: push.delivery,
            server,
        };
        let (feeder, sink) = (own.server.encoder(encoder()), own.server.sink());
        let status = pipeline.add(options, feeder, sink, None);
        Ok((own, status))
    }

    /// Its sink's name, and what tells how it is doing.
    pub(super) fn monitor(&self) -> (String, PushMonitor) {
        (self.name.clone(), self.server.monitor())
    }

    /// Takes clients: the chain is about to run on this log.
    pub(super) fn open(&self, log: &Log, checkpoint: &Checkpoint) {
        let known = checkpoint.sinks.get(&self.name).copied();
        let begin = Position::new(log.head.epoch(), checkpoint.confirmed, 0);
        let history = JournalHistory {
            journal: log.journal.clone(),
            name: format!("{} (resumed)", self.name),
            selection: Arc::clone(&self.selection),
            is_durable: self.delivery == PushDelivery::Resumable,
        };
        let encoder = Arc::clone(&self.encoder);
        self.server
            .open(Arc::new(history), known.unwrap_or(begin), move || encoder());
    }
}

fn push_options(push: &config::Websocket) -> Result<PushOptions, Failure> {
    let policy = match push.policy() {
        PushPolicy::Open => Policy::Open,
        PushPolicy::Token => {
            let tokens = push.tokens.iter();
            let tokens: Result<Vec<_>, _> = tokens
                .map(|(name, token)| Token::new(name, &token.sha256, &token.tables))
                .collect();
            Policy::Tokens(tokens.map_err(|error| Failure::new(StopReason::Config, error))?)
        }
    };
    let size = |size: config::Size| usize::try_from(size.0).unwrap_or(usize::MAX);
    Ok(PushOptions {
        listen: push.listen.clone(),
        policy,
        origins: push.origins.clone(),
        max_connections: push.max_connections as usize,
        max_connections_of_one: push.max_connections_of_one as usize,
        max_new_a_second: push.max_new_a_second,
        queue: QueueLimits {
            events: push.queue_events as usize,
            bytes: size(push.queue_bytes),
        },
        memory: size(push.memory),
        ping_every: push.ping.0,
        tls: certificate(push.tls_cert.as_ref().zip(push.tls_key.as_ref()))?,
    })
}

fn certificate(files: Option<(&PathBuf, &PathBuf)>) -> Result<Option<Certificate>, Failure> {
    let Some((certificate, key)) = files else {
        return Ok(None);
    };
    let present = server_tls(certificate.clone(), key.clone())?;
    Ok(Some(Arc::new(present)))
}

/// The journal, for clients that come back.
struct JournalHistory {
    journal: walgate_journal::Journal,
    name: String,
    selection: Arc<Selection>,
    is_durable: bool,
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

    fn head(&self) -> Position {
        self.journal.newest()
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
