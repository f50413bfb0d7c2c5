//! The listener, its bounds, and the two ways to be connected.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use walgate_core::{Encoder, Failure, Position, StopReason};

use crate::access::{Access, Policy};
use crate::counters::Counters;
use crate::encoder::PushEncoder;
use crate::event_stream;
use crate::feed::MakeEncoder;
use crate::frame::Carrier;
use crate::handshake::{self, Refused};
use crate::history::History;
use crate::hub::Hub;
use crate::options::PushOptions;
use crate::protocol::Start;
use crate::seats::{Seat, Seats};
use crate::session::{Desk, Session};
use crate::sink::PushSink;
use crate::websocket;

/// How long a client may take for a handshake and for the head of a request.
const PATIENCE: Duration = Duration::from_secs(5);

/// The largest head of a request.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// How long to wait when no connection can be taken, which is because of too many open files.
const AFTER_ERROR: Duration = Duration::from_millis(500);

/// A push server that listens, and whose clients wait until it is told where the log is.
pub struct PushServer {
    address: SocketAddr,
    hub: Arc<Hub>,
    desk: Arc<OnceLock<Arc<Desk>>>,
    options: PushOptions,
    serving: JoinHandle<()>,
}

impl std::fmt::Debug for PushServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushServer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl PushServer {
    /// Begins to listen. Must be called within a runtime.
    ///
    /// # Errors
    ///
    /// When the address can't be had.
    pub fn start(options: PushOptions) -> Result<Self, Failure> {
        let listen = &options.listen;
        let refused = |error: std::io::Error| {
            let message = format!("can't listen on {listen}: {error}");
            Failure::new(StopReason::Config, message)
                .hint("give listen an address of this machine, and a port that is free")
        };
        let listener = std::net::TcpListener::bind(listen).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let listener = TcpListener::from_std(listener).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let hub = Arc::new(Hub::new(options.memory));
        let desk = Arc::new(OnceLock::new());
        let app = router(&desk);
        let door = Door {
            seats: Seats::new(options.max_connections, options.max_connections_of_one),
            tls: options.tls.clone(),
            hub: Arc::clone(&hub),
            max_new_a_second: options.max_new_a_second,
        };
        tracing::info!(%address, tls = options.tls.is_some(), "listening for WebSocket and event streams");
        let serving = tokio::spawn(serve(listener, door, app));
        Ok(Self {
            address,
            hub,
            desk,
            options,
            serving,
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The end of the chain that feeds it.
    pub fn sink(&self) -> PushSink {
        PushSink::new(Arc::clone(&self.hub))
    }

    /// The encoder of that chain, with the events of `inner`.
    pub fn encoder<E: Encoder>(&self, inner: E) -> PushEncoder<E> {
        PushEncoder::for_all(inner, Arc::clone(&self.hub))
    }

    /// Takes clients from here on: the chain begins behind `from`, `history` has what is before it,
    /// and `encoder` makes the events of a replay as the chain's are made.
    pub fn open(
        &self,
        history: Arc<dyn History>,
        from: Position,
        encoder: impl Fn() -> Box<dyn Encoder> + Send + Sync + 'static,
    ) {
        self.hub.begin(from);
        let encoder: MakeEncoder = Arc::new(encoder);
        let desk = Desk {
            hub: Arc::clone(&self.hub),
            history,
            encoder,
            options: self.options.clone(),
        };
        // A second time it is open already.
        if self.desk.set(Arc::new(desk)).is_ok() {
            tracing::info!(address = %self.address, %from, "clients can connect");
        }
    }

    /// Tells how it is doing, also when it has gone.
    pub fn monitor(&self) -> PushMonitor {
        PushMonitor(Arc::clone(&self.hub))
    }
}

/// Tells how a push server is doing.
#[derive(Debug, Clone)]
pub struct PushMonitor(Arc<Hub>);

impl PushMonitor {
    /// How it is doing now.
    pub fn stats(&self) -> PushStats {
        self.0.stats()
    }
}

impl Drop for PushServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// How a push server is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PushStats {
    /// Clients that follow now.
    pub clients: usize,
    /// Bytes of events that wait for clients.
    pub waiting_bytes: usize,
    /// Connections that were taken.
    pub connections: u64,
    /// Connections that were refused.
    pub refused: u64,
    /// Clients that were sent away because they were too slow.
    pub slow: u64,
    /// Clients that have resumed.
    pub resumed: u64,
    /// Clients that were told to take a new copy.
    pub resyncs: u64,
    /// Events that were given to clients.
    pub deliveries: u64,
}

struct Door {
    seats: Seats,
    tls: Option<crate::options::Certificate>,
    hub: Arc<Hub>,
    max_new_a_second: u32,
}

async fn serve(listener: TcpListener, door: Door, app: Router) {
    let mut pace = Pace::new(door.max_new_a_second);
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok((stream, address)) => (stream, address.ip()),
            Err(error) => {
                tracing::warn!("can't take a connection for push: {error}");
                tokio::time::sleep(AFTER_ERROR).await;
                continue;
            }
        };
        let Some(seat) = door.seats.take(peer) else {
            Counters::count(&door.hub.counters.refused);
            tracing::debug!(%peer, "a connection for push was closed: there are too many");
            continue;
        };
        Counters::count(&door.hub.counters.connections);
        let (tls, app) = (door.tls.clone(), app.clone());
        tokio::spawn(async move {
            if let Err(error) = Box::pin(talk(stream, tls, app, Place::new(peer, seat))).await {
                tracing::debug!(%peer, "a connection for push has ended: {error}");
            }
        });
        pace.wait().await;
    }
}

/// At most so many a second.
struct Pace {
    most: u32,
    since: Instant,
    taken: u32,
}

impl Pace {
    fn new(most: u32) -> Self {
        Self {
            most,
            since: Instant::now(),
            taken: 0,
        }
    }

    async fn wait(&mut self) {
        self.taken += 1;
        if self.taken < self.most {
            return;
        }
        tokio::time::sleep_until(self.since + Duration::from_secs(1)).await;
        self.since = Instant::now();
        self.taken = 0;
    }
}

/// A connection's place, which goes on with what the connection becomes.
#[derive(Debug, Clone)]
struct Place {
    peer: IpAddr,
    seat: Arc<Mutex<Option<Seat>>>,
}

impl Place {
    fn new(peer: IpAddr, seat: Seat) -> Self {
        Self {
            peer,
            seat: Arc::new(Mutex::new(Some(seat))),
        }
    }

    fn take(&self) -> Option<Seat> {
        self.seat
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

type Broken = Box<dyn std::error::Error + Send + Sync>;

async fn talk(
    stream: TcpStream,
    tls: Option<crate::options::Certificate>,
    app: Router,
    place: Place,
) -> Result<(), Broken> {
    stream.set_nodelay(true)?;
    match tls {
        None => answer(stream, app, place).await,
        Some(tls) => {
            let acceptor = TlsAcceptor::from(tls());
            let stream = timeout(PATIENCE, acceptor.accept(stream)).await??;
            answer(stream, app, place).await
        }
    }
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    app: Router,
    place: Place,
) -> Result<(), Broken> {
    let service = TowerToHyperService::new(app.layer(axum::Extension(place)));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await?;
    Ok(())
}

type Shared = Arc<OnceLock<Arc<Desk>>>;

fn router(desk: &Shared) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/v1/stream", any(stream))
        .route("/v1/events", get(events))
        .with_state(Arc::clone(desk))
}

const TEXT: &str = "text/plain; charset=utf-8";

fn text(code: StatusCode, body: impl Into<String>) -> Response {
    let headers: [(HeaderName, &str); 2] = [(CONTENT_TYPE, TEXT), (CACHE_CONTROL, "no-store")];
    (code, headers, body.into() + "\n").into_response()
}

async fn index() -> Response {
    let lines = concat!(
        "walgate ",
        env!("CARGO_PKG_VERSION"),
        "\n/v1/stream  changes over WebSocket\n/v1/events  changes as Server-Sent Events"
    );
    text(StatusCode::OK, lines)
}

/// A request that may become a connection.
struct Admitted {
    desk: Arc<Desk>,
    /// What its token opens; none when it has none, and a message may still bring it.
    access: Option<Access>,
    /// What its address says.
    start: Option<Start>,
}

/// What every connection needs before it is one, or the answer that it gets instead.
fn admit(desk: &Shared, request: &Request) -> Result<Admitted, Refused> {
    admitted(desk, request).inspect_err(|_| {
        if let Some(desk) = desk.get() {
            Counters::count(&desk.hub.counters.refused);
        }
    })
}

fn admitted(desk: &Shared, request: &Request) -> Result<Admitted, Refused> {
    let Some(desk) = desk.get() else {
        let soon = [(RETRY_AFTER, "1")];
        let reason = "walgate has not reached its source yet: come back\n";
        let refused = (StatusCode::SERVICE_UNAVAILABLE, soon, reason);
        return Err(refused.into_response().into());
    };
    let headers = request.headers();
    let options = &desk.options;
    // Who needs no token could be any page whose name was made to mean this machine.
    if matches!(options.policy, Policy::Open)
        && !handshake::is_our_name(headers, &options.listen, &options.origins)
    {
        let reason = "this is not the name of the server: add it to origins";
        return Err(text(StatusCode::FORBIDDEN, reason).into());
    }
    if !handshake::is_welcome(headers, &options.origins) {
        let reason = "pages of this origin may not connect";
        return Err(text(StatusCode::FORBIDDEN, reason).into());
    }
    let start = handshake::start_of(request.uri().query())
        .map_err(|message| text(StatusCode::BAD_REQUEST, message))?;
    let token = handshake::token(headers);
    let access = desk.policy().access(token);
    // A token that is wrong is never taken for one that was not sent.
    if access.is_none() && token.is_some() {
        return Err(unauthorized().into());
    }
    Ok(Admitted {
        desk: Arc::clone(desk),
        access,
        start,
    })
}

fn unauthorized() -> Response {
    let refused = (
        StatusCode::UNAUTHORIZED,
        [(WWW_AUTHENTICATE, "Bearer"), (CONTENT_TYPE, TEXT)],
        "the header Authorization: Bearer TOKEN is needed\n",
    );
    refused.into_response()
}

async fn stream(State(desk): State<Shared>, mut request: Request) -> Result<Response, Refused> {
    let Admitted {
        desk,
        access,
        start,
    } = admit(&desk, &request)?;
    if access.is_none() && start.is_some() {
        return Err(unauthorized().into());
    }
    let response = handshake::accept(request.method(), request.version(), request.headers())?;
    let place = request.extensions().get::<Place>().cloned();
    let seat = place.as_ref().and_then(Place::take);
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let peer = place.map(|place| place.peer);
        let ended = match upgrade.await {
            Ok(upgraded) => {
                let stream = TokioIo::new(upgraded);
                Box::pin(websocket::run(stream, desk, access, start)).await
            }
            Err(error) => Err(std::io::Error::other(error)),
        };
        if let Err(error) = ended {
            tracing::debug!(?peer, "a WebSocket has ended: {error}");
        }
        drop(seat);
    });
    Ok(response)
}

async fn events(State(desk): State<Shared>, request: Request) -> Result<Response, Refused> {
    let Admitted {
        desk,
        access,
        start,
    } = admit(&desk, &request)?;
    let access = access.ok_or_else(unauthorized)?;
    let start = start.unwrap_or_default();
    // What a browser sends when it comes back is later than what the page's address says.
    let last = request
        .headers()
        .get("last-event-id")
        .and_then(|id| id.to_str().ok());
    let last = last.filter(|id| !id.is_empty()).map(str::to_owned);
    let after = last
        .or(start.after)
        .map(|after| after.parse::<Position>())
        .transpose();
    let after = after.map_err(|error| text(StatusCode::BAD_REQUEST, error.to_string()))?;
    let session = Session::new(&desk, access, start.subscriptions)
        .map_err(|refusal| text(StatusCode::BAD_REQUEST, refusal.message))?;
    let feed = session.feed(Carrier::EventStream, after);
    let every = desk.options.ping_every;
    let body = event_stream::body(session, feed, every, Arc::clone(&desk.hub));
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
        // Proxies of nginx's family pass it on at once.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((StatusCode::OK, headers, Body::from_stream(body)).into_response())
}
