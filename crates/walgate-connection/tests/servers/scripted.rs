//! A server that follows a script instead of the protocol.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What it does with a connection.
#[derive(Clone)]
pub(crate) enum Script {
    /// Sends the first piece after the start-up message, each further one after a message.
    Answers(Vec<Vec<u8>>),
    /// Answers a request for TLS (or whatever comes first) with these bytes, and reads on.
    Raw(Vec<u8>),
    /// Starts a session over TLS, and answers each message with [`RECORDS`] records of [`RECORD`].
    /// That they are sent is noted as a byte that was received.
    Encrypted(TlsAcceptor),
    /// Takes the connection and never says a word.
    Silent,
    /// Sends this piece again and again after the start-up message.
    Endless(Vec<u8>),
}

/// A TLS record, as a walsender makes one of each row.
pub(crate) const RECORD: [u8; 100] = [b'r'; 100];
/// All of them fit into a socket's buffer.
pub(crate) const RECORDS: usize = 200;

/// What the server proves itself with.
pub(crate) struct Tls {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: Vec<u8>,
    pub(crate) alpn: bool,
}

/// A running script. It ends when this value is dropped.
pub(crate) struct Scripted {
    port: u16,
    connections: Arc<AtomicUsize>,
    received: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scripted {
    pub(crate) async fn start(script: Script) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let received = Arc::new(Mutex::new(Vec::new()));
        let (counter, record) = (Arc::clone(&connections), Arc::clone(&received));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(play(stream, script.clone(), Arc::clone(&record)));
            }
        });
        Self {
            port,
            connections,
            received,
            task,
        }
    }

    pub(crate) async fn encrypted(tls: Tls) -> Self {
        let key = PrivateKeyDer::try_from(tls.key).expect("a key");
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![tls.certificate], key)
            .expect("a certificate");
        if tls.alpn {
            config.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        Self::start(Script::Encrypted(TlsAcceptor::from(Arc::new(config)))).await
    }

    pub(crate) async fn answering(pieces: &[&[u8]]) -> Self {
        Self::start(Script::Answers(
            pieces.iter().map(|piece| piece.to_vec()).collect(),
        ))
        .await
    }

    /// Key/value text of a connection to it.
    pub(crate) fn text(&self, more: &str) -> String {
        let port = self.port;
        format!("host=localhost hostaddr=127.0.0.1 port={port} user=trust_user {more}")
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Everything that came in plain text.
    pub(crate) fn received(&self) -> Vec<u8> {
        self.received.lock().expect("not poisoned").clone()
    }
}

/// One message of the server.
pub(crate) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("short");
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

/// AuthenticationOk, the parameters, the key and ReadyForQuery.
pub(crate) fn ready(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = message(b'R', &[0; 4]);
    for (name, value) in parameters {
        bytes.extend(message(b'S', format!("{name}\0{value}\0").as_bytes()));
    }
    bytes.extend(message(b'K', &[0, 0, 0, 7, 1, 2, 3, 4]));
    bytes.extend(message(b'Z', b"I"));
    bytes
}

async fn play(stream: TcpStream, script: Script, record: Arc<Mutex<Vec<u8>>>) {
    // The client may hang up at any point: that ends the script, and is what many tests want.
    let _ended: Option<()> = perform(stream, script, &record).await;
}

async fn perform(mut stream: TcpStream, script: Script, record: &Mutex<Vec<u8>>) -> Option<()> {
    match script {
        Script::Answers(pieces) => {
            read_startup(&mut stream, record).await?;
            for (index, piece) in pieces.iter().enumerate() {
                if index > 0 {
                    read_message(&mut stream).await?;
                }
                stream.write_all(piece).await.ok()?;
            }
            read_all(&mut stream, record).await
        }
        Script::Raw(bytes) => {
            stream.write_all(&bytes).await.ok()?;
            read_all(&mut stream, record).await
        }
        Script::Encrypted(acceptor) => {
            let mut first = [0];
            stream.peek(&mut first).await.ok()?;
            // A TLS record of a handshake begins with 22; anything else is the request for it.
            if first != [22] {
                read_startup(&mut stream, record).await?;
                stream.write_all(b"S").await.ok()?;
            }
            let mut stream = acceptor.accept(stream).await.ok()?;
            read_startup(&mut stream, &Mutex::default()).await?;
            stream.write_all(&ready(&[])).await.ok()?;
            stream.flush().await.ok()?;
            loop {
                read_message(&mut stream).await?;
                for _ in 0..RECORDS {
                    stream.write_all(&RECORD).await.ok()?;
                    stream.flush().await.ok()?;
                }
                record.lock().expect("not poisoned").push(b'.');
            }
        }
        Script::Silent => read_all(&mut stream, record).await,
        Script::Endless(piece) => {
            read_startup(&mut stream, record).await?;
            loop {
                stream.write_all(&piece).await.ok()?;
            }
        }
    }
}

async fn read_startup<S: AsyncRead + Unpin>(stream: &mut S, record: &Mutex<Vec<u8>>) -> Option<()> {
    let length = stream.read_u32().await.ok()?;
    let mut body = vec![0; usize::try_from(length).ok()?.checked_sub(4)?];
    stream.read_exact(&mut body).await.ok()?;
    record.lock().expect("not poisoned").extend(body);
    Some(())
}

async fn read_message<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Option<()> {
    stream.read_u8().await.ok()?;
    let length = stream.read_u32().await.ok()?;
    let mut body = vec![0; usize::try_from(length).ok()?.checked_sub(4)?];
    stream.read_exact(&mut body).await.ok()?;
    Some(())
}

async fn read_all<S: AsyncRead + Unpin>(stream: &mut S, record: &Mutex<Vec<u8>>) -> Option<()> {
    let mut buffer = [0; 4096];
    loop {
        let count = stream
            .read(&mut buffer)
            .await
            .ok()
            .filter(|count| *count > 0)?;
        record
            .lock()
            .expect("not poisoned")
            .extend(buffer.get(..count)?);
    }
}
