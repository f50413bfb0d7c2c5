//! The benchmark itself, in miniature: every kind of measurement runs, and what is delivered is right.

use std::fs::{File, read_to_string};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// Only bounds a run that hangs: it takes less than a minute, and a machine may be much slower.
const PATIENCE: Duration = Duration::from_secs(600);

/// `walgate` has to be there as well: a test of the whole workspace builds it.
#[test]
fn every_kind_of_measurement_runs_and_checks_what_is_delivered() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let mut bench = Command::new(env!("CARGO_BIN_EXE_walgate-bench"))
        .arg("--quick")
        .current_dir(folder.path())
        .stdout(File::create(folder.path().join("report")).expect("a file"))
        .stderr(File::create(&log).expect("a file"))
        .spawn()
        .expect("the benchmark starts");
    let since = Instant::now();
    let ended = loop {
        if let Some(ended) = bench.try_wait().expect("its state") {
            break Some(ended);
        }
        if since.elapsed() > PATIENCE {
            bench.kill().expect("it can be killed");
            bench.wait().expect("its state");
            break None;
        }
        thread::sleep(Duration::from_millis(50));
    };
    let said = read_to_string(&log).expect("its log");
    assert!(
        ended.is_some_and(|ended| ended.success()),
        "{ended:?}: {said}"
    );
}
