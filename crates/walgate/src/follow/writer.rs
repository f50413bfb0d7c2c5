//! A thread that writes: batched while much comes, at once when nothing more does.

use std::io::{self, BufWriter, Write};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use walgate_core::Position;
use walgate_format::PrettyEvents;

use super::resume_file::ResumeFile;
use crate::ending::Ending;

/// Events that may wait for the output; more are left in the connection.
const WAITING: usize = 256;

/// What is written at once.
const BUFFER: usize = 64 << 10;

/// While output never pauses, the position is kept this often: each time costs an fsync.
const KEEP_EVERY: Duration = Duration::from_secs(1);

/// Something to be written, or a position that is reached without.
#[derive(Debug)]
pub(super) struct Entry {
    /// An event, as it came.
    pub(super) event: Option<Bytes>,
    /// Once it is written, everything up to here is.
    pub(super) position: Option<Position>,
}

/// Takes what is to be written. Dropping it ends the thread once everything is.
pub(super) type Entries = mpsc::Sender<Entry>;

/// The thread that writes.
#[derive(Debug)]
pub(super) struct Writer {
    ended: oneshot::Receiver<Result<(), Ending>>,
}

impl Writer {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub(super) fn start(
        out: impl Write + Send + 'static,
        pretty: Option<PrettyEvents>,
        resume: Option<ResumeFile>,
    ) -> Result<(Entries, Self), Ending> {
        let (entries, waiting) = mpsc::channel(WAITING);
        let (tell, ended) = oneshot::channel();
        let writing = move || {
            let output = Output {
                out: BufWriter::with_capacity(BUFFER, out),
                pretty,
                resume,
                reached: None,
            };
            // Nobody waits for it any more when the process ends at once.
            let _told = tell.send(output.write(waiting));
        };
        thread::Builder::new()
            .name("walgate-writer".to_owned())
            .spawn(writing)
            .map_err(|error| Ending::other(format!("can't start a thread: {error}")))?;
        Ok((entries, Self { ended }))
    }

    /// Waits until everything is written, or can't be.
    pub(super) async fn finished(self) -> Result<(), Ending> {
        self.ended
            .await
            .unwrap_or_else(|_| Err(Ending::other("the thread that writes has gone")))
    }
}

struct Output<W: Write> {
    out: BufWriter<W>,
    pretty: Option<PrettyEvents>,
    resume: Option<ResumeFile>,
    /// Everything up to here went into the buffer.
    reached: Option<Position>,
}

impl<W: Write> Output<W> {
    fn write(mut self, mut waiting: mpsc::Receiver<Entry>) -> Result<(), Ending> {
        let mut kept = Instant::now();
        while let Some(first) = waiting.blocking_recv() {
            let mut next = Some(first);
            while let Some(entry) = next {
                self.put(&entry)?;
                if self.resume.is_some() && kept.elapsed() >= KEEP_EVERY {
                    self.flush()?;
                    kept = Instant::now();
                }
                next = waiting.try_recv().ok();
            }
            // Nothing more is here: nobody waits for what is.
            self.flush()?;
        }
        self.flush()
    }

    fn put(&mut self, entry: &Entry) -> Result<(), Ending> {
        if let Some(event) = &entry.event {
            let written = match &mut self.pretty {
                None => self.out.write_all(event),
                Some(pretty) => {
                    let line = pretty.line(event).map_err(|error| {
                        let what = format!("the server says an event that makes no sense: {error}");
                        walgate_core::Failure::new(walgate_core::StopReason::Data, what)
                    })?;
                    self.out.write_all(line.as_bytes())
                }
            };
            written
                .and_then(|()| self.out.write_all(b"\n"))
                .map_err(|error| unwritten(&error))?;
        }
        self.reached = self.reached.max(entry.position);
        Ok(())
    }

    /// First the events, then the position: what is killed between repeats and never leaves out.
    fn flush(&mut self) -> Result<(), Ending> {
        self.out.flush().map_err(|error| unwritten(&error))?;
        if let (Some(file), Some(position)) = (&mut self.resume, self.reached) {
            file.keep(position)?;
        }
        Ok(())
    }
}

fn unwritten(error: &io::Error) -> Ending {
    Ending::of_output(error)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// Output whose reader takes one piece after the other.
    struct Pipe(SyncSender<Vec<u8>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
            self.0.send(bytes.to_vec()).map_err(gone)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn pipe() -> (Pipe, Receiver<Vec<u8>>) {
        let (pieces, reader) = sync_channel(1);
        (Pipe(pieces), reader)
    }

    fn entry(text: &str, id: &str) -> Entry {
        Entry {
            event: Some(Bytes::copy_from_slice(text.as_bytes())),
            position: Some(id.parse().expect("a position")),
        }
    }

    #[tokio::test]
    async fn an_event_is_written_at_once_and_then_its_position() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pos");
        let file = ResumeFile::open(&path).expect("none yet");
        let (out, reader) = pipe();
        let (entries, writer) = Writer::start(out, None, Some(file)).expect("a thread");
        entries
            .send(entry("{\"a\":1}", "0/10"))
            .await
            .expect("taken");
        let piece = tokio::task::spawn_blocking(move || (reader.recv(), reader)).await;
        let (piece, reader) = piece.expect("waited");
        assert_eq!(piece.expect("written"), b"{\"a\":1}\n");
        let position = Entry {
            event: None,
            position: Some("0/20".parse().expect("a position")),
        };
        entries.send(position).await.expect("taken");
        drop(entries);
        writer.finished().await.expect("written");
        assert!(reader.recv().is_err(), "nothing else is written");
        let kept = ResumeFile::open(&path).expect("read").kept();
        assert_eq!(kept, Some("0/20".parse().expect("a position")));
    }

    #[tokio::test]
    async fn a_reader_that_has_gone_ends_it() {
        let (out, reader) = pipe();
        drop(reader);
        let (entries, writer) = Writer::start(out, None, None).expect("a thread");
        entries.send(entry("{}", "0/10")).await.expect("taken");
        entries.closed().await;
        let ended = writer.finished().await;
        assert!(matches!(ended, Err(Ending::OutputClosed)), "{ended:?}");
    }

    #[tokio::test]
    async fn output_that_nobody_reads_holds_back_what_comes() {
        let (out, reader) = pipe();
        let (entries, writer) = Writer::start(out, None, None).expect("a thread");
        // One piece is in the pipe, one is being written, and both are full buffers at most.
        let long = "x".repeat(BUFFER + 1);
        let mut sent = 0;
        while entries.try_send(entry(&long, "0/10")).is_ok() || sent < WAITING {
            sent += 1;
            tokio::task::yield_now().await;
        }
        assert!(sent >= WAITING);
        let count = tokio::task::spawn_blocking(move || {
            let bytes: usize = reader.iter().map(|piece| piece.len()).sum();
            bytes / (BUFFER + 2)
        });
        drop(entries);
        writer.finished().await.expect("written");
        let count = count.await.expect("counted");
        assert!(count >= WAITING, "{count}");
    }
}
