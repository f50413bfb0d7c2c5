//! The contract of a sink, on a file and on a pipe.

use std::io::{BufRead, BufReader, PipeReader, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use walgate_core::{ErrorClass, Sink};
use walgate_sink_stdout::{FileOutput, FileSink, Stdout, StdoutSink, WriterSink};
use walgate_sink_testkit::{batch, contract, event, position};

struct FileRig {
    path: PathBuf,
    _dir: tempfile::TempDir,
}

impl FileRig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            path: dir.path().join("events.ndjson"),
            _dir: dir,
        }
    }
}

impl contract::Rig for FileRig {
    type Sink = FileSink;

    async fn sink(&mut self) -> FileSink {
        // The thread of a sink that was dropped ends a moment later; its lock says when.
        while std::fs::File::open(&self.path).is_ok_and(|file| file.try_lock().is_err()) {
            tokio::task::yield_now().await;
        }
        WriterSink::start(FileOutput::new(&self.path)).unwrap()
    }

    async fn held(&mut self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.path).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

/// A pipe with a reader that keeps all lines.
#[derive(Default)]
struct PipeRig {
    lines: Arc<Mutex<Vec<String>>>,
    written: usize,
}

impl contract::Rig for PipeRig {
    type Sink = StdoutSink;

    async fn sink(&mut self) -> StdoutSink {
        let (reader, writer) = std::io::pipe().unwrap();
        let lines = Arc::clone(&self.lines);
        thread::spawn(move || {
            for line in BufReader::new(reader).lines() {
                lines.lock().unwrap().push(line.unwrap());
            }
        });
        WriterSink::start(Stdout::from(std::os::fd::OwnedFd::from(writer))).unwrap()
    }

    async fn held(&mut self) -> Vec<String> {
        // What the system has taken, the reader gets: wait until it has stopped growing at the
        // same length twice, which can only make the check stricter, never let it pass wrongly.
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let lines = self.lines.lock().unwrap();
            if lines.len() == self.written {
                return lines.clone();
            }
            self.written = lines.len();
        }
    }
}

#[tokio::test]
async fn a_file_keeps_order_and_waits_when_saturated() {
    contract::order_and_saturation(&mut FileRig::new()).await;
}

#[tokio::test]
async fn a_file_holds_what_it_calls_delivered() {
    contract::durability(&mut FileRig::new()).await;
}

#[tokio::test]
async fn a_file_repeats_nothing_after_a_crash() {
    let mut rig = FileRig::new();
    contract::repeat_after_crash(&mut rig).await;
    let held = contract::Rig::held(&mut rig).await;
    let mut sorted = held.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(
        held, sorted,
        "a file knows what it holds, so nothing comes twice"
    );
}

#[tokio::test]
async fn a_file_closes() {
    contract::close_delivers(&mut FileRig::new()).await;
}

#[tokio::test]
async fn a_pipe_keeps_order_and_waits_when_saturated() {
    contract::order_and_saturation(&mut PipeRig::default()).await;
}

#[tokio::test]
async fn a_pipe_holds_what_it_calls_delivered() {
    contract::durability(&mut PipeRig::default()).await;
}

#[tokio::test]
async fn a_pipe_closes() {
    contract::close_delivers(&mut PipeRig::default()).await;
}

fn pipe() -> (PipeReader, StdoutSink) {
    let (reader, writer) = std::io::pipe().unwrap();
    let sink = WriterSink::start(Stdout::from(std::os::fd::OwnedFd::from(writer))).unwrap();
    (reader, sink)
}

#[tokio::test]
async fn a_closed_pipe_is_an_end_not_an_alarm() {
    let (reader, mut sink) = pipe();
    sink.open().await.unwrap();
    drop(reader);
    sink.write(&mut batch([position(1, 2)])).await.unwrap();
    let error = sink.flush().await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Closed, "{error}");
    assert_eq!(sink.delivered().get(), position(0, 0), "nothing was taken");
}

#[tokio::test]
async fn a_blocked_pipe_holds_back_and_goes_on() {
    let (mut reader, mut sink) = pipe();
    sink.open().await.unwrap();
    // A pipe holds 64 KiB; each batch is larger, so the third has to wait.
    let big = |lsn| batch((2..2000).map(move |index| position(lsn, index)));
    sink.write(&mut big(1)).await.unwrap();
    let mut blocked = big(3);
    let waiting = async {
        sink.write(&mut big(2)).await.unwrap();
        sink.write(&mut blocked).await.unwrap();
    };
    assert!(
        tokio::time::timeout(Duration::from_millis(50), waiting)
            .await
            .is_err()
    );
    let close = sink
        .close(Instant::now() + Duration::from_millis(50))
        .await
        .unwrap_err();
    assert_eq!(
        close.class,
        ErrorClass::Transient,
        "closing does not wait for ever"
    );
    let mut first = vec![0; event(position(1, 2)).len()];
    reader.read_exact(&mut first).unwrap();
    assert_eq!(String::from_utf8(first).unwrap(), event(position(1, 2)));
}

#[tokio::test]
async fn a_file_in_a_folder_that_is_not_there_is_fatal_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("missing").join("events.ndjson");
    let mut sink = WriterSink::start(FileOutput::new(path)).unwrap();
    let error = sink.open().await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Fatal);
    assert!(error.hint.is_some(), "{error}");
}
