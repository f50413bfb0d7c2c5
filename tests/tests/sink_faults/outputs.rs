//! Standard output and files: closed, blocked, locked, foreign, cut.

use std::io::{BufRead, Read};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use walgate_tests::{
    AFTER_A_KILL, Bed, CREATED, Program, clean, commit_lsn, events, failed, file_sink, stop, until,
};
use walgate_throwaway::PgVersion;

use super::brief::brief;

const SETUP: &str = "create table t (id int primary key, pad text);
     create publication walgate for table t;";

const STDOUT: &str = "[sinks.out]\ntype = \"stdout\"\n";

/// Row 59: `walgate tail | head`: who reads has seen enough. It ends with 0 and says nothing.
#[test]
fn tail_into_a_pipe_that_closes() -> Result<()> {
    let bed = Bed::shared(PgVersion::V17, "pipe_tail", SETUP)?;
    let args = [
        "tail",
        &bed.url,
        "--publication",
        "walgate",
        "--format",
        "json",
    ];
    let mut program = Program::start(args)?;
    until("it streams", || {
        let query = "select from pg_replication_slots s join pg_stat_replication r \
                     on r.pid = s.active_pid where s.database = 'pipe_tail' and r.state <> 'startup'";
        Ok(!bed.admin()?.query(query, &[])?.is_empty())
    })?;
    bed.sql("insert into t select n, repeat('x', 100) from generate_series(1, 20000) n;")?;
    let mut reader = program.take_stdout().context("its output")?;
    for _ in 0..3 {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        ensure!(line.starts_with("{\"id\":\""), "{line}");
    }
    drop(reader);
    let ended = program.wait()?;
    clean(&ended, &[])
}

/// Row 59: a service whose standard output closes can't do its work: exit code 6, and nothing is
/// confirmed that nobody has read.
#[test]
fn run_into_a_pipe_that_closes() -> Result<()> {
    let mut bed = Bed::shared(PgVersion::V17, "pipe_run", SETUP)?;
    bed.configure(STDOUT)?;
    let mut program = bed.serve()?;
    drop(program.take_stdout());
    bed.sql("insert into t values (1, 'x');")?;
    let ended = program.wait()?;
    failed(&ended, 6, &["error: sink out: ", "standard output"])?;
    let file = bed.path("all.ndjson");
    bed.configure(&file_sink(&file))?;
    bed.catch_up(AFTER_A_KILL)?;
    ensure!(
        brief(&events(&file)?) == [r#"insert t {"id":1,"pad":"x"}"#],
        "nothing was confirmed"
    );
    Ok(())
}

/// Row 59: standard output is blocked for several times `wal_sender_timeout`, with more behind it
/// than the journal holds: the slot's connection lives, and everything arrives once it is read.
#[test]
fn a_blocked_pipe_keeps_the_slots_connection() -> Result<()> {
    let mut bed = Bed::shared(PgVersion::V17, "pipe_blocked", SETUP)?;
    bed.source = "wal_sender_timeout = \"1s\"\nstatus_interval = \"100ms\"".to_owned();
    bed.configure(&format!("[journal]\nmemory = \"1MiB\"\n\n{STDOUT}"))?;
    let mut program = bed.serve()?;
    let walsender = bed.walsender()?;
    for n in 1..=8 {
        bed.sql(&format!(
            "insert into t select n, repeat('x', 1000) from generate_series({n}000, {n}999) n;"
        ))?;
    }
    // The server's own clock says how long it has had to hear from us.
    let reply =
        "select extract(epoch from reply_time)::float8 from pg_stat_replication where pid = $1";
    let mut first = None;
    until("the server has heard from us for four time-outs", || {
        let row = bed.admin()?.query_opt(reply, &[&walsender])?;
        let now: f64 = row.context("the walsender is gone")?.get(0);
        Ok(now > *first.get_or_insert(now) + 4.0)
    })?;
    ensure!(bed.walsender()? == walsender, "it is the same connection");
    let reader = program.take_stdout().context("its output")?;
    let lines: Vec<_> = reader.lines().take(8000).collect::<Result<_, _>>()?;
    let ids: Vec<_> = lines
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok()?["key"]["id"].as_u64())
        .collect();
    ensure!(
        ids == (1000..9000).collect::<Vec<_>>(),
        "{} rows",
        ids.len()
    );
    bed.until_confirmed(&mut program)?;
    ensure!(bed.walsender()? == walsender, "it is the same connection");
    stop(program, &[CREATED]).map(drop)
}

/// A required file in a folder that is not there, a folder in its place, and a file of somebody
/// else's: refused at the start, with the path, before there is a slot; the file is as it was.
#[test]
fn files_that_cannot_be_written() -> Result<()> {
    let mut bed = Bed::shared(PgVersion::V17, "file_unwritable", SETUP)?;
    let missing = bed.path("missing").join("all.ndjson");
    let foreign = bed.path("diary.txt");
    std::fs::write(&foreign, "dear diary\n")?;
    let folder = bed.folder().to_path_buf();
    for (path, hint) in [
        (&missing, "check the path in the configuration"),
        (&folder, "check the path in the configuration"),
        (&foreign, "move the file away, or name another one"),
    ] {
        bed.configure(&file_sink(path))?;
        let ended = bed.start()?.wait()?;
        failed(
            &ended,
            6,
            &["error: sink file: ", &path.display().to_string(), hint],
        )?;
        ensure!(bed.slot()?.is_none(), "a slot was made for nothing");
    }
    ensure!(std::fs::read_to_string(&foreign)? == "dear diary\n");
    Ok(())
}

/// A full disk holds delivery up and nothing else: it goes on by itself when there is room. A limit
/// on the size of files stands for the disk.
#[test]
fn a_full_disk_holds_up_and_goes_on() -> Result<()> {
    let mut bed = Bed::shared(PgVersion::V17, "file_full", SETUP)?;
    let file = bed.path("all.ndjson");
    bed.configure(&file_sink(&file))?;
    bed.begin()?;
    // 64 blocks of 512 bytes, and no signal for who reaches them.
    let limited = "trap '' XFSZ; ulimit -S -f 64; exec \"$0\" \"$@\"";
    let config = bed.path("walgate.toml");
    let args = ["run".as_ref(), "-c".as_ref(), config.as_os_str()];
    let mut program = Program::start_under(&["sh", "-c", limited], args)?;
    program.wait_for_log("streaming")?;
    bed.sql("insert into t select n, repeat('x', 1000) from generate_series(1, 100) n;")?;
    program.wait_for_log("free space on its file system")?;
    let confirmed = bed.confirmed()?;
    let room = Command::new("prlimit")
        .args(["--pid", &program.pid().to_string(), "--fsize=unlimited:"])
        .status()?;
    ensure!(room.success(), "prlimit: {room}");
    bed.until_confirmed(&mut program)?;
    let all = events(&file)?;
    ensure!(confirmed <= commit_lsn(&all[0])?, "nothing was confirmed");
    let ids: Vec<_> = all
        .iter()
        .filter_map(|event| event["key"]["id"].as_u64())
        .collect();
    ensure!(ids == (1..=100).collect::<Vec<_>>(), "{ids:?}");
    let ended = stop(program, &["File too large"])?;
    let said = ended.stderr.matches("sink fails").count();
    ensure!(said == 1, "said {said} times: {}", ended.stderr);
    Ok(())
}

/// Row 48: when the dead letters have no room, nothing moves on until they have. The device that
/// is always full stands for the disk.
#[test]
fn dead_letters_on_a_full_disk() -> Result<()> {
    let mut bed = super::refused_rows::ascii("dead_full")?;
    let (file, dead) = (bed.path("all.ndjson"), bed.path("dead.ndjson"));
    std::os::unix::fs::symlink("/dev/full", &dead)?;
    let policy = "on_definite = \"dead-letter\"\ndead_letter = { file = \"dead.ndjson\" }";
    bed.configure(&format!("{}{policy}", file_sink(&file)))?;
    let mut program = bed.serve()?;
    bed.sql(r"insert into t values (1, E'caf\xe9'); insert into t values (2, 'behind');")?;
    program.wait_for_log("No space left on device")?;
    let confirmed = bed.confirmed()?;
    ensure!(events(&file)?.is_empty(), "nothing goes past it");
    std::fs::remove_file(&dead)?;
    bed.until_confirmed(&mut program)?;
    stop(
        program,
        &[
            CREATED,
            "No space left on device",
            "went to the dead letters",
        ],
    )?;
    ensure!(brief(&events(&file)?) == [r#"insert t {"id":2,"word":"behind"}"#]);
    let letters = events(&dead)?;
    ensure!(
        letters.len() == 1 && confirmed <= commit_lsn(&letters[0])?,
        "{confirmed:X} and {letters:?}"
    );
    Ok(())
}

/// Two services on one file: the second waits until the first has gone, so no line is ever mixed.
#[test]
fn a_file_that_another_process_writes() -> Result<()> {
    let (mut first, mut second) = (
        Bed::shared(PgVersion::V17, "file_locked_1", SETUP)?,
        Bed::shared(PgVersion::V17, "file_locked_2", SETUP)?,
    );
    let file = first.path("all.ndjson");
    first.configure(&file_sink(&file))?;
    second.configure(&file_sink(&second.path("elsewhere.ndjson")))?;
    second.begin()?;
    second.configure(&file_sink(&file))?;
    let mut one = first.serve()?;
    first.sql("insert into t values (1, 'first');")?;
    first.until_confirmed(&mut one)?;
    let mut two = second.start()?;
    two.wait_for_log("another process writes to it")?;
    second.sql("insert into t values (2, 'second');")?;
    stop(one, &[CREATED])?;
    second.until_confirmed(&mut two)?;
    stop(two, &["another process writes to it"])?;
    let got = brief(&events(&file)?);
    ensure!(
        got == [
            r#"insert t {"id":1,"pad":"first"}"#,
            r#"insert t {"id":2,"pad":"second"}"#
        ],
        "{got:?}"
    );
    Ok(())
}

/// Somebody cuts the file while it is written: that is told, with exit code 6, and no hole of zeros
/// is ever left in it.
#[test]
fn a_file_that_somebody_cuts() -> Result<()> {
    let mut bed = Bed::shared(PgVersion::V17, "file_cut", SETUP)?;
    let file = bed.path("all.ndjson");
    bed.configure(&file_sink(&file))?;
    let mut program = bed.serve()?;
    bed.sql("insert into t select n, 'before' from generate_series(1, 100) n;")?;
    bed.until_confirmed(&mut program)?;
    std::fs::File::options()
        .write(true)
        .open(&file)?
        .set_len(10)?;
    bed.sql("insert into t values (1000, 'behind');")?;
    let ended = program.wait()?;
    failed(&ended, 6, &["error: sink file: ", "all.ndjson", "shrunk"])?;
    let mut bytes = Vec::new();
    std::fs::File::open(&file)?.read_to_end(&mut bytes)?;
    ensure!(
        !bytes.contains(&0),
        "a hole in the file: {} bytes",
        bytes.len()
    );
    // The next start says nothing of what was cut, which is somebody's own doing, and goes on.
    bed.catch_up(&[])?;
    let got = brief(&events(&file)?);
    ensure!(got == [r#"insert t {"id":1000,"pad":"behind"}"#], "{got:?}");
    Ok(())
}

/// The file is moved away while nobody runs, as a rotation does: a new one is begun, nothing is
/// repeated and nothing is lost.
#[test]
fn a_file_that_is_rotated_between_runs() -> Result<()> {
    let mut bed = Bed::shared(PgVersion::V17, "file_rotated", SETUP)?;
    let file = bed.path("all.ndjson");
    bed.configure(&file_sink(&file))?;
    bed.begin()?;
    bed.sql("insert into t values (1, 'old');")?;
    bed.catch_up(&[])?;
    std::fs::rename(&file, bed.path("old.ndjson"))?;
    bed.sql("insert into t values (2, 'new');")?;
    bed.catch_up(&[])?;
    ensure!(brief(&events(&file)?) == [r#"insert t {"id":2,"pad":"new"}"#]);
    let mode = std::fs::metadata(&file)?.permissions().mode();
    ensure!(mode & 0o002 == 0, "not for everybody: {mode:o}");
    Ok(())
}
