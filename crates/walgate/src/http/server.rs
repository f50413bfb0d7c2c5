//! Connections, and their bounds.

use std::net::SocketAddr;
use std::sync::Arc;
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

use super::answers::{Look, router};
use super::tls::Tls;
use crate::config;
use crate::watch::Pulse;

/// Connections at once; more wait. A scrape and two probes need three.
const CONNECTIONS: usize = 64;

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
                Some(Arc::new(Tls::read(certificate.clone(), key.clone())?))
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
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!("can't take a connection for HTTP: {error}");
                tokio::time::sleep(AFTER_ERROR).await;
                continue;
            }
        };
        let (tls, app) = (tls.clone(), app.clone());
        tokio::spawn(async move {
            let talked = timeout(LIFE, Box::pin(talk(stream, tls, app))).await;
            if !matches!(talked, Ok(Ok(()))) {
                debug!("a connection for HTTP was broken off");
            }
            drop(place);
        });
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
