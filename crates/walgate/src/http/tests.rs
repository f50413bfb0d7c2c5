use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use walgate_replication::SourceMonitor;

use super::*;
use crate::config::{Config, Http, Secret};
use crate::watch::{Instance, Looks, Pulse, Sight};

const TOKEN: &str = "0123456789abcdef0123";

fn look() -> Arc<dyn Fn() -> Sight + Send + Sync> {
    let instance = Instance::new(&Config::default(), SourceMonitor::new());
    Arc::new(move || Sight {
        moment: instance.moment(&walgate_slot::History::new()),
        looks: Looks::default(),
        view: None,
    })
}

async fn start(http: Http) -> (HttpServer, Pulse) {
    let pulse = Pulse::default();
    let listen = Some("127.0.0.1:0".to_owned());
    let http = Http { listen, ..http };
    let server = HttpServer::start(&http, look(), pulse.clone()).await;
    (server.expect("it starts").expect("it listens"), pulse)
}

/// Sends a head, and gives everything that comes.
async fn say(stream: impl AsyncRead + AsyncWrite + Unpin, head: &str) -> String {
    let mut stream = stream;
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    // TLS clients are told of the end or not; what came is what counts.
    let _end = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).expect("text")
}

async fn get(at: SocketAddr, path: &str, headers: &str) -> String {
    let stream = TcpStream::connect(at).await.expect("it listens");
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    say(stream, &head).await
}

#[tokio::test]
async fn every_page_is_there_and_nothing_else() {
    let (server, _) = start(Http::default()).await;
    let at = server.address();
    for (path, code, part) in [
        ("/", "200", "/metrics"),
        ("/livez", "200", "ok\n"),
        ("/readyz", "503", "it has not reached the server yet\n"),
        ("/metrics", "200", "walgate_ready 0\n"),
        ("/status", "200", "\"state\":\"connecting\""),
        ("/metrics/", "404", ""),
        ("/../etc/passwd", "404", ""),
        ("/status?x=1", "200", "\"healthy\":false"),
    ] {
        let answer = get(at, path, "").await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {code}")),
            "{path}: {answer}"
        );
        assert!(answer.contains(part), "{path}: {answer}");
    }
    let metrics = get(at, "/metrics", "Accept: application/openmetrics-text\r\n").await;
    assert!(
        metrics.contains("content-type: application/openmetrics-text"),
        "{metrics}"
    );
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    let post = "POST /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let stream = TcpStream::connect(at).await.expect("it listens");
    let answer = say(stream, post).await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
}

#[tokio::test]
async fn a_loop_that_is_stuck_is_named_and_the_database_never() {
    let (server, pulse) = start(Http::default()).await;
    let long_ago = Instant::now() - Duration::from_secs(5);
    pulse.beat("engine", long_ago, Duration::from_secs(1));
    let answer = get(server.address(), "/livez", "").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.ends_with("stuck: engine\n"), "{answer}");
    pulse.beat("engine", Instant::now(), Duration::from_secs(100));
    let answer = get(server.address(), "/livez", "").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn who_opens_many_connections_and_says_nothing_keeps_nobody_else_out() {
    let (server, _) = start(Http::default()).await;
    let at = server.address();
    let mut idle = Vec::new();
    for _ in 0..64 {
        idle.push(TcpStream::connect(at).await.expect("it listens"));
    }
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket
        .bind("127.0.0.2:0".parse().expect("an address"))
        .expect("bound");
    let stream = socket.connect(at).await.expect("it listens");
    let request = "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    // The places of the others are free again after 5 s only.
    let answer = tokio::time::timeout(Duration::from_secs(4), say(stream, request)).await;
    let answer = answer.expect("an answer in time");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(idle);
}

#[tokio::test]
async fn a_token_guards_what_says_more_than_yes_or_no() {
    let token = Some(Secret::new(format!("{TOKEN}\n")));
    let http = Http {
        token,
        ..Http::default()
    };
    let (server, _) = start(http).await;
    let at = server.address();
    for headers in [
        "",
        "Authorization: Bearer\r\n",
        "Authorization: Bearer wrong\r\n",
        "Authorization: Basic 0123456789abcdef0123\r\n",
        "Authorization: Bearer 0123456789abcdef012\r\n",
        "Authorization: \u{e9}\u{e9}\u{e9}\u{e9}\r\n",
    ] {
        for path in ["/metrics", "/status"] {
            let answer = get(at, path, headers).await;
            assert!(answer.starts_with("HTTP/1.1 401"), "{headers}: {answer}");
            assert!(!answer.contains("walgate_"), "{answer}");
            assert!(!answer.contains(TOKEN), "{answer}");
        }
    }
    let right = format!("authorization: bearer {TOKEN}\r\n");
    let answer = get(at, "/metrics", &right).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let ready = get(at, "/readyz", "").await;
    assert!(ready.ends_with("not ready\n"), "no reasons: {ready}");
    assert!(get(at, "/livez", "").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn who_is_slow_or_says_too_much_keeps_nobody_out() {
    let (server, _) = start(Http::default()).await;
    let at = server.address();
    let connect = || async { TcpStream::connect(at).await.expect("it listens") };
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(connect().await);
    }
    assert!(get(at, "/livez", "").await.contains("ok"));
    let long = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "x".repeat(1 << 20)
    );
    let mut stream = connect().await;
    // It is not read to the end.
    let _cut = stream.write_all(long.as_bytes()).await;
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );
    // Those that said nothing are sent away, so that more than the limit can come.
    let mut first = silent.swap_remove(0);
    let mut nothing = Vec::new();
    let _end = first.read_to_end(&mut nothing).await;
    assert!(get(at, "/livez", "").await.contains("ok"));
}

fn certificate(folder: &Path, name: &str) -> Http {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let (cert, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    std::fs::write(&cert, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    Http {
        tls_cert: Some(cert),
        tls_key: Some(key),
        ..Http::default()
    }
}

/// Over TLS, trusting what lies in the file; none when the handshake fails.
async fn get_safely(at: SocketAddr, cert: &Path, name: &'static str) -> Option<String> {
    let mut roots = rustls::RootCertStore::empty();
    let cert = CertificateDer::from_pem_file(cert).expect("a certificate");
    roots.add(cert).expect("a root");
    let provider = Arc::new(ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(at).await.expect("it listens");
    let name = ServerName::try_from(name).expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let head = "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    Some(say(stream.await.ok()?, head).await)
}

#[tokio::test]
async fn a_certificate_is_read_again_and_a_wrong_one_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let http = certificate(folder.path(), "first.example");
    let cert = folder.path().join("tls.crt");
    let (server, _) = start(http).await;
    let at = server.address();
    let answer = get_safely(at, &cert, "first.example").await;
    assert!(answer.is_some_and(|answer| answer.starts_with("HTTP/1.1 200")));
    // Plain text is nothing to it.
    let plain = get(at, "/livez", "").await;
    assert!(!plain.contains("200 OK"), "{plain}");

    let _new = certificate(folder.path(), "second.example");
    assert!(
        get_safely(at, &cert, "second.example").await.is_none(),
        "not read yet"
    );
    server.reload();
    let answer = get_safely(at, &cert, "second.example").await;
    assert!(answer.is_some_and(|answer| answer.starts_with("HTTP/1.1 200")));

    let good = std::fs::read(&cert).expect("read");
    std::fs::write(&cert, "no certificate").expect("written");
    server.reload();
    std::fs::write(&cert, good).expect("written");
    assert!(get_safely(at, &cert, "second.example").await.is_some());
}

#[tokio::test]
async fn what_can_not_be_had_is_refused_with_the_reason() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let listen = Some(taken.local_addr().expect("an address").to_string());
    let http = Http {
        listen,
        ..Http::default()
    };
    let refused = HttpServer::start(&http, look(), Pulse::default()).await;
    let failure = refused.expect_err("taken");
    assert!(
        failure.message.contains("can't listen on 127.0.0.1:"),
        "{failure}"
    );
    let missing = Http {
        listen: Some("127.0.0.1:0".to_owned()),
        tls_cert: Some("/does/not/exist.crt".into()),
        tls_key: Some("/does/not/exist.key".into()),
        ..Http::default()
    };
    let refused = HttpServer::start(&missing, look(), Pulse::default()).await;
    let failure = refused.expect_err("missing");
    assert!(failure.message.contains("exist.crt"), "{failure}");
    let none = HttpServer::start(&Http::default(), look(), Pulse::default()).await;
    assert!(none.expect("fine").is_none(), "off unless it is set");
}
