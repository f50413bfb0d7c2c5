//! The side of the service.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{debug, warn};
use walgate_core::{Failure, StopReason};

use super::protocol::Answer;
use super::{Desk, MAX_LINE_BYTES, socket};

/// How long whoever connects may take for the request, and for taking the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long an answer may take: to find a time in a journal, segments are read.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Connections that are served at once; more wait for their turn.
const CONNECTIONS: usize = 4;

/// How long to wait when no connection can be taken, which is because of too many open files.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// The socket; it goes when this is dropped.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    path: PathBuf,
    /// Device and inode: what lies there later may be another process's.
    file: (u64, u64),
    serving: JoinHandle<()>,
}

impl ControlSocket {
    /// Answers at the socket of a state directory, which must be this process's, from now on. What a
    /// process that was killed has left there is replaced. Without a socket the service runs all the
    /// same: that is said, and there is none.
    pub(crate) fn start(state_dir: &Path, desk: Desk) -> Option<Self> {
        let path = socket(state_dir);
        match bind(&path) {
            Ok((listener, owner, file)) => Some(Self {
                path,
                file,
                serving: tokio::spawn(serve(listener, owner, Arc::new(desk))),
            }),
            Err(error) => {
                warn!(path = %path.display(), "there is no control socket, walgate rewind and walgate status can't ask: {error}");
                None
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.serving.abort();
        let now = std::fs::symlink_metadata(&self.path);
        if now.is_ok_and(|now| (now.dev(), now.ino()) == self.file)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            debug!("the control socket stays: {error}");
        }
    }
}

/// Makes the socket under another name first, so that it is never there with the rights of the
/// umask. Gives its owner, device and inode too.
fn bind(path: &Path) -> io::Result<(UnixListener, u32, (u64, u64))> {
    let new = path.with_extension("new");
    for path in [&new, path] {
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path)?,
            Ok(_) => return Err(io::Error::other("something else lies there")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let listener = UnixListener::bind(&new)?;
    std::fs::set_permissions(&new, Permissions::from_mode(0o600))?;
    std::fs::rename(&new, path)?;
    let made = std::fs::symlink_metadata(path)?;
    Ok((listener, made.uid(), (made.dev(), made.ino())))
}

async fn serve(listener: UnixListener, owner: u32, desk: Arc<Desk>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                debug!("the control socket takes no connection: {error}");
                tokio::time::sleep(AFTER_ERROR).await;
                continue;
            }
        };
        // Rights of files are not checked for sockets everywhere.
        let peer = stream.peer_cred().map(|peer| peer.uid());
        if !peer.is_ok_and(|uid| uid == owner || uid == 0) {
            continue;
        }
        let desk = Arc::clone(&desk);
        tokio::spawn(async move {
            if let Err(error) = talk(stream, desk).await {
                debug!("a request to the control socket was broken off: {error}");
            }
            drop(place);
        });
    }
}

/// Takes one request and answers it.
async fn talk(mut stream: UnixStream, desk: Arc<Desk>) -> io::Result<()> {
    let (reading, mut writing) = stream.split();
    let mut line = Vec::new();
    let mut reading = BufReader::new(reading.take(MAX_LINE_BYTES));
    timeout(PATIENCE, reading.read_until(b'\n', &mut line)).await??;
    let answer = if line.ends_with(b"\n") {
        let working = tokio::task::spawn_blocking(move || desk.answer(&line));
        match timeout(ANSWER_WITHIN, working).await {
            Ok(answer) => answer.map_err(io::Error::other)?,
            Err(_) => refused("the answer takes too long: the log says what comes of it"),
        }
    } else {
        refused("no request: a line of at most 64 KiB is expected")
    };
    timeout(PATIENCE, writing.write_all(&answer.to_line())).await??;
    Ok(())
}

fn refused(message: &str) -> Answer {
    Answer::refused(Failure::new(StopReason::Config, message))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream as Stream;

    use super::*;
    use crate::config::Config;

    fn start(folder: &Path) -> ControlSocket {
        let rewinds = walgate_pipeline::Rewinds::open(folder).expect("opens");
        let desk = Desk::new(rewinds, &Config::default());
        ControlSocket::start(folder, desk).expect("a socket")
    }

    async fn say(folder: &Path, text: &[u8]) -> String {
        let (path, text) = (socket(folder), text.to_vec());
        let talk = move || {
            let mut stream = Stream::connect(path).expect("it listens");
            // Who says too much is not heard to the end.
            let _cut = stream.write_all(&text);
            let _closed = stream.shutdown(std::net::Shutdown::Write);
            let mut answer = String::new();
            let _reset = stream.read_to_string(&mut answer);
            answer
        };
        tokio::task::spawn_blocking(talk).await.expect("no panic")
    }

    #[tokio::test]
    async fn it_is_the_users_alone_replaces_a_stale_one_and_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = socket(folder.path());
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a stale one"));
        let control = start(folder.path());
        let mode = std::fs::metadata(&path).expect("it is there").mode();
        assert_eq!(mode & 0o777, 0o600);
        let answer = say(folder.path(), b"{\"v\":1,\"command\":\"dance\"}\n").await;
        assert!(
            answer.contains("\"ok\":false") && answer.ends_with('\n'),
            "{answer}"
        );
        drop(control);
        assert!(!path.exists());
        // Anything else that lies there is left alone.
        std::fs::write(&path, "mine").expect("written");
        let rewinds = walgate_pipeline::Rewinds::open(folder.path()).expect("opens");
        let desk = Desk::new(rewinds, &Config::default());
        assert!(ControlSocket::start(folder.path(), desk).is_none());
        assert_eq!(std::fs::read_to_string(&path).expect("there"), "mine");
    }

    #[tokio::test]
    async fn what_is_no_line_is_refused_and_the_next_is_answered() {
        let folder = tempfile::tempdir().expect("a folder");
        let _control = start(folder.path());
        for text in [&b""[..], b"{}", &[b'x'; 200 << 10], b"\xff\xff\n"] {
            let answer = say(folder.path(), text).await;
            assert!(
                answer.is_empty() || answer.contains("no request"),
                "{answer}"
            );
        }
        let request = b"{\"v\":1,\"command\":\"rewind\",\"sink\":\"a\",\"to\":\"0/1\"}\n";
        let answer = say(folder.path(), request).await;
        assert!(answer.contains("still starting"), "{answer}");
    }

    #[tokio::test]
    async fn who_connects_and_says_nothing_keeps_nobody_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let _control = start(folder.path());
        let connect = || Stream::connect(socket(folder.path())).expect("it listens");
        let _silent: Vec<_> = (0..CONNECTIONS - 1).map(|_| connect()).collect();
        let answer = say(folder.path(), b"{\"v\":1}\n").await;
        assert!(answer.contains("no command"), "{answer}");
    }
}
