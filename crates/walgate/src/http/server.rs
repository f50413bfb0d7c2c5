//! Connections, and their bounds.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};
use walgate_core::{Failure, StopReason};

use super::answers::router;
use super::snapshot::Look;
use super::tls::{Tls, TlsFiles};
use crate::config;
use crate::watch::Pulse;

/// Connections at once; more wait. A scrape and two probes need three.
const CONNECTIONS: usize = 64;

/// Connections of one address at once; more are closed. One that opens many and says nothing must not
/// keep a probe out, for which the process would be killed.
const CONNECTIONS_OF_ONE: usize = CONNECTIONS - 8;

/// How long a client may take for a handshake, for the head of a request, and until it asks again.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest that a connection lives, whatever the client does with it: who reads nothing is cut.
const LIFE: Duration = Duration::from_secs(60);

/// The largest head of a request; with it, 64 connections hold 1 MiB.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// How long to wait when no connection can be taken, which is because of too many open files.
const AFTER_ERROR: Duration = Duration::from_millis(500);

/// Listens until it is dropped.
#[derive(Debug)]
pub(crate) struct HttpServer {
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
    serving: JoinHandle<()>,
}

impl HttpServer {
    /// Begins to listen, where the configuration says so.
    ///
    /// # Errors
    ///
    /// When the address can't be had, or the certificate is none.
    pub(crate) async fn start(
        config: &config::Http,
        look: Look,
        pulse: Pulse,
    ) -> Result<Option<Self>, Failure> {
        let Some(listen) = &config.listen else {
            return Ok(None);
        };
        let tls = match (&config.tls_cert, &config.tls_key) {
            (Some(certificate), Some(key)) => {
                let files = TlsFiles::of_server(certificate, key);
                Some(Arc::new(Tls::read(files)?))
            }
            _ => None,
        };
        let refused = |error: std::io::Error| {
            let message = format!("can't listen on {listen}: {error}");
            Failure::new(StopReason::Config, message)
                .hint("give [http] listen an address of this machine, and a port that is free")
        };
        let listener = TcpListener::bind(listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        info!(%address, tls = tls.is_some(), "listening for HTTP");
        let app = router(look, pulse, config.token.clone());
        let serving = tokio::spawn(serve(listener, tls.clone(), app));
        Ok(Some(Self {
            address,
            tls,
            serving,
        }))
    }

    /// Where it listens.
    #[cfg(test)]
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads the certificate again. One that is wrong leaves the old one, and is said.
    pub(crate) fn reload(&self) {
        let Some(tls) = &self.tls else { return };
        match tls.read_again() {
            Ok(()) => info!(address = %self.address, "read the certificate again"),
            Err(failure) => {
                let hint = failure.hint.as_deref();
                tracing::error!(hint, "the certificate for HTTP stays as it was: {failure}");
            }
        }
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, tls: Option<Arc<Tls>>, app: Router) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let peers = Peers::default();
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let (stream, peer) = match listener.accept().await {
            Ok((stream, address)) => (stream, address.ip()),
            Err(error) => {
                warn!("can't take a connection for HTTP: {error}");
                tokio::time::sleep(AFTER_ERROR).await;
                continue;
            }
        };
        let Some(seat) = peers.seat(peer) else {
            debug!(%peer, "a connection for HTTP was closed: this address has too many");
            continue;
        };
        let (tls, app) = (tls.clone(), app.clone());
        tokio::spawn(async move {
            let talked = timeout(LIFE, Box::pin(talk(stream, tls, app))).await;
            if !matches!(talked, Ok(Ok(()))) {
                debug!("a connection for HTTP was broken off");
            }
            drop((place, seat));
        });
    }
}

/// How many connections each address has.
#[derive(Debug, Clone, Default)]
struct Peers(Arc<Mutex<BTreeMap<IpAddr, usize>>>);

/// A connection that counts for its address until it is dropped.
struct Seat(Peers, IpAddr);

impl Peers {
    /// None when the address has as many as it may.
    fn seat(&self, peer: IpAddr) -> Option<Seat> {
        let mut peers = self.lock();
        let count = peers.entry(peer).or_default();
        if *count >= CONNECTIONS_OF_ONE {
            return None;
        }
        *count += 1;
        drop(peers);
        Some(Seat(self.clone(), peer))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Self(peers, peer) = self;
        let mut peers = peers.lock();
        if let Some(count) = peers.get_mut(peer) {
            *count -= 1;
            if *count == 0 {
                peers.remove(peer);
            }
        }
    }
}

type Broken = Box<dyn std::error::Error + Send + Sync>;

async fn talk(stream: TcpStream, tls: Option<Arc<Tls>>, app: Router) -> Result<(), Broken> {
    stream.set_nodelay(true)?;
    match tls {
        None => answer(stream, app).await,
        Some(tls) => {
            let acceptor = TlsAcceptor::from(tls.present());
            let stream = timeout(PATIENCE, acceptor.accept(stream)).await??;
            answer(stream, app).await
        }
    }
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    app: Router,
) -> Result<(), Broken> {
    let service = TowerToHyperService::new(app);
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}
