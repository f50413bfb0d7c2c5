//! A process that starts servers and is killed with SIGKILL leaves nothing running, nothing on disk.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use walgate_throwaway::{Kafka, KafkaOptions, Postgres, PostgresOptions};

/// Set in the child that is going to be killed.
const VICTIM: &str = "WALGATE_TEST_VICTIM";

/// Ending two servers and removing their folders takes a second; a busy machine more.
const PATIENCE: Duration = Duration::from_secs(60);

/// Not a test of its own: the part that the killed child runs.
#[test]
#[expect(
    clippy::print_stdout,
    reason = "the parent reads what the victim prints"
)]
fn victim() {
    if env::var_os(VICTIM).is_none() {
        return;
    }
    let postgres = Postgres::start(&PostgresOptions::default()).unwrap();
    let kafka = Kafka::start(&KafkaOptions::default()).unwrap();
    for (pid, dir) in [(postgres.pid(), postgres.dir()), (kafka.pid(), kafka.dir())] {
        println!("\nserver {} {}", pid.unwrap(), dir.display());
    }
    // Until the parent kills us.
    loop {
        std::thread::park();
    }
}

fn is_running(pid: &str) -> bool {
    let answer = Command::new("ps")
        .args(["-o", "stat=", "-p", pid])
        .output()
        .unwrap();
    let state = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    // A zombie has ended; whether someone collects it is up to the machine's init.
    !state.is_empty() && !state.starts_with('Z')
}

#[test]
fn nothing_is_left_when_the_owner_is_killed() {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["left_behind::victim", "--exact", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let servers: Vec<(String, String)> = lines
        .map_while(Result::ok)
        .filter_map(|line| {
            let mut words = line.strip_prefix("server ")?.split(' ').map(str::to_owned);
            Some((words.next()?, words.next()?))
        })
        .take(2)
        .collect();
    assert_eq!(servers.len(), 2, "the child ended before its servers ran");
    for (pid, dir) in &servers {
        assert!(is_running(pid) && Path::new(dir).exists());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let deadline = Instant::now() + PATIENCE;
    for (pid, dir) in &servers {
        while is_running(pid) || Path::new(dir).exists() {
            assert!(
                Instant::now() < deadline,
                "pid {pid} or {dir} is still there"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
