//! The listener, its bounds, and the two ways to be connected.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use walgate_core::{Encoder, Failure, Position, StopReason};

use crate::access::Peer;
use crate::admission::{self, Admitted, admit, unauthorized};
use crate::cors;
use crate::counters::Counters;
use crate::encoder::PushEncoder;
use crate::event_stream;
use crate::feed::MakeEncoder;
use crate::frame::Carrier;
use crate::handshake::{self, Refused};
use crate::history::History;
use crate::hub::Hub;
use crate::options::PushOptions;
use crate::page;
use crate::patient::{Patient, STALLED_AFTER};
use crate::protocol::SNAPSHOT_OR_AFTER;
use crate::resources;
use crate::seats::{Seat, Seats};
use crate::session::{Desk, Session};
use crate::sink::PushSink;
use crate::snapshot::{SnapshotDesk, Snapshots};
use crate::subjects::Subjects;
use crate::websocket;

/// How long a client may take for a handshake and for the head of a request.
const PATIENCE: Duration = Duration::from_secs(5);

/// The largest head of a request.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// Connections that the kernel holds until they are taken: after a restart all clients come at once, and
/// who does not fit in tries again only after a second. The kernel has its own bound.
const QUEUED: i32 = 4096;

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
        SockRef::from(&listener).listen(QUEUED).map_err(refused)?;
        let listener = TcpListener::from_std(listener).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let hub = Arc::new(Hub::new(options.memory));
        let desk = Arc::new(OnceLock::new());
        let app = router(&desk, options.page, &options.origins);
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
    /// `snapshots` the rows that there are, where they can be read, and `encoder` makes the events of a
    /// replay as the chain's are made.
    pub fn open(
        &self,
        history: Arc<dyn History>,
        snapshots: Option<Arc<dyn Snapshots>>,
        from: Position,
        encoder: impl Fn() -> Box<dyn Encoder> + Send + Sync + 'static,
    ) {
        self.hub.begin(from);
        let encoder: MakeEncoder = Arc::new(encoder);
        let (hub, limits) = (&self.hub, self.options.snapshots);
        let snapshots = SnapshotDesk::new(snapshots, limits, hub, &history, &encoder);
        let desk = Desk {
            subjects: Subjects::new(self.options.max_connections_of_subject),
            hub: Arc::clone(&self.hub),
            history,
            encoder,
            snapshots,
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
    /// Events that were left out of a replay because they can't be encoded.
    pub unencodable: u64,
    /// Changes that somebody was not given because a row rule could not be judged.
    pub undecided: u64,
    /// Snapshots that were taken, each once for all who shared it.
    pub snapshots: u64,
    /// Rows of them.
    pub snapshot_rows: u64,
    /// Snapshots that were refused or broke.
    pub snapshots_failed: u64,
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
    // Of one that has gone without a word nothing is heard, and an event stream asks nothing: what is
    // written to it is not acknowledged.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    SockRef::from(&stream).set_tcp_user_timeout(Some(STALLED_AFTER))?;
    let stream = Patient::new(stream);
    match tls {
        None => answer(stream, app, place, Peer::default()).await,
        Some(tls) => {
            let acceptor = TlsAcceptor::from(tls());
            let stream = timeout(PATIENCE, acceptor.accept(stream)).await??;
            let shown = stream.get_ref().1.peer_certificates();
            let peer = shown.and_then(|all| all.first()).map(|own| Peer::of(own));
            answer(stream, app, place, peer.unwrap_or_default()).await
        }
    }
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    app: Router,
    place: Place,
    peer: Peer,
) -> Result<(), Broken> {
    let app = app.layer(axum::Extension(place));
    let app = app.layer(axum::Extension(peer));
    let service = TowerToHyperService::new(app);
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await?;
    Ok(())
}

pub(crate) type Shared = Arc<OnceLock<Arc<Desk>>>;

fn router(desk: &Shared, has_page: bool, origins: &[String]) -> Router {
    let first = match has_page {
        true => page::routes(),
        false => Router::new().route("/", get(index)),
    };
    first
        .route("/v1/stream", any(stream))
        .route("/v1/events", get(events))
        .route(
            "/v1/session",
            post(admission::keep).delete(admission::forget),
        )
        .route("/v1/source", get(source))
        .route("/v1/tables", get(tables))
        .route("/v1/asyncapi.json", get(resources::asyncapi))
        .layer(from_fn_with_state(origins.into(), cors::allow))
        .with_state(Arc::clone(desk))
}

pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

pub(crate) fn text(code: StatusCode, body: impl Into<String>) -> Response {
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

async fn stream(State(desk): State<Shared>, mut request: Request) -> Result<Response, Refused> {
    let Admitted {
        desk,
        access,
        start,
    } = admit(&desk, &request).await?;
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

/// How the source does, for who may read the streams.
async fn source(State(desk): State<Shared>, request: Request) -> Result<Response, Refused> {
    let Admitted { desk, access, .. } = admit(&desk, &request).await?;
    access.ok_or_else(unauthorized)?;
    // An empty object where nobody looks.
    let look = desk.options.source.as_ref();
    let seen = look.map_or_else(|| serde_json::json!({}), |look| look());
    Ok(resources::json(seen.to_string(), "no-store"))
}

/// The tables that may be asked for, as far as they are known: from the first change on.
async fn tables(State(desk): State<Shared>, request: Request) -> Result<Response, Refused> {
    let Admitted { desk, access, .. } = admit(&desk, &request).await?;
    let access = access.ok_or_else(unauthorized)?;
    let known = desk.hub.tables();
    Ok(resources::tables(known.iter().map(AsRef::as_ref), &access))
}

async fn events(State(desk): State<Shared>, request: Request) -> Result<Response, Refused> {
    let Admitted {
        desk,
        access,
        start,
    } = admit(&desk, &request).await?;
    let access = access.ok_or_else(unauthorized)?;
    let start = start.unwrap_or_default();
    // What a browser sends when it comes back is later than what the page's address says.
    let last = request
        .headers()
        .get("last-event-id")
        .and_then(|id| id.to_str().ok());
    let last = last.filter(|id| !id.is_empty()).map(str::to_owned);
    if start.snapshot && (start.after.is_some() || start.since.is_some()) {
        return Err(text(StatusCode::BAD_REQUEST, SNAPSHOT_OR_AFTER).into());
    }
    let since = match last {
        Some(_) => None,
        None => start
            .since()
            .map_err(|message| text(StatusCode::BAD_REQUEST, message))?,
    };
    let after = last
        .or(start.after)
        .map(|after| desk.resume_point(&after))
        .transpose();
    let after = after.map_err(|error| text(StatusCode::BAD_REQUEST, error.to_string()))?;
    let session = Session::new(&desk, access, start.subscriptions).map_err(admission::refusal)?;
    let feed = session
        .feed(Carrier::EventStream, after, start.snapshot)
        .since(since);
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
