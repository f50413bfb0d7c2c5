//! Row 60: the state folder is full, damaged, of another slot, of a later release, or in use.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use walgate_tests::{Bed, CREATED, Program, events, failed, file_sink, program, stop, until};
use walgate_throwaway::PgVersion;

use super::brief::brief;

const SETUP: &str = "create table t (id int primary key);
     create publication walgate for table t;";

/// A bed that has delivered row 1, with its checkpoint.
fn bed(name: &str) -> Result<Bed> {
    let mut bed = Bed::shared(PgVersion::V17, name, SETUP)?;
    bed.configure(&file_sink(&bed.path("all.ndjson")))?;
    bed.begin()?;
    bed.sql("insert into t values (1);")?;
    bed.catch_up(&[])?;
    Ok(bed)
}

/// Row 2 is committed, and a start fails with exit code 8 and these texts, delivers nothing and
/// leaves the checkpoint as it is.
fn refused(bed: &Bed, texts: &[&str]) -> Result<()> {
    let config = bed.write_config()?;
    refused_with(&config, bed, texts)
}

fn refused_with(config: &Path, bed: &Bed, texts: &[&str]) -> Result<()> {
    let checkpoint = bed.path("state").join("checkpoint");
    let before = (std::fs::read(&checkpoint).ok(), bed.confirmed()?);
    bed.sql("insert into t values (2) on conflict do nothing;")?;
    let args = ["run".as_ref(), "-c".as_ref(), config.as_os_str()];
    let ended = Program::start(args)?.wait()?;
    failed(&ended, 8, &["error: ", "hint: "])?;
    failed(&ended, 8, texts)?;
    ensure!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    ensure!(
        (std::fs::read(&checkpoint).ok(), bed.confirmed()?) == before,
        "it is as it was"
    );
    Ok(())
}

/// Row 2 arrives, once, and nothing else again.
fn goes_on(bed: &Bed) -> Result<()> {
    bed.catch_up(&[])?;
    let got = brief(&events(&bed.path("all.ndjson"))?);
    ensure!(
        got == [r#"insert t {"id":1}"#, r#"insert t {"id":2}"#],
        "{got:?}"
    );
    Ok(())
}

/// Row 60: no room for the next checkpoint: it stops and says so, the old checkpoint is whole, and
/// nothing is confirmed that it does not have. The device that is always full stands for the disk.
#[test]
fn a_full_disk() -> Result<()> {
    let bed = bed("state_full")?;
    let temporary = bed.path("state").join("checkpoint.new");
    std::os::unix::fs::symlink("/dev/full", &temporary)?;
    let path = bed.path("state").join("checkpoint").display().to_string();
    refused(&bed, &[&path, "No space left on device", "make room"])?;
    std::fs::remove_file(&temporary)?;
    goes_on(&bed)
}

/// Row 60: the disk fills up while it runs: it says so once, goes on delivering, confirms nothing,
/// and confirms again when there is room.
#[test]
fn a_disk_that_is_full_for_a_while() -> Result<()> {
    let bed = bed("state_full_running")?;
    let checkpoint = bed.path("state").join("checkpoint");
    let of_the_end = std::fs::read(&checkpoint)?;
    let mut program = bed.serve()?;
    // One that can't be written at the start ends it.
    until("the checkpoint of the start is written", || {
        Ok(std::fs::read(&checkpoint)? != of_the_end)
    })?;
    let temporary = bed.path("state").join("checkpoint.new");
    until("the checkpoint can't be written", || {
        let made = std::os::unix::fs::symlink("/dev/full", &temporary);
        // It is there for a moment whenever a checkpoint is written.
        Ok(made.is_ok())
    })?;
    // A checkpoint that was written just before may be confirmed yet.
    let before = bed.head()?;
    bed.sql("insert into t values (2);")?;
    program.wait_for_log("nothing is confirmed until a checkpoint is written")?;
    until("it goes on delivering", || {
        Ok(events(&bed.path("all.ndjson"))?.len() == 2)
    })?;
    ensure!(bed.confirmed()? <= before, "nothing is confirmed");
    std::fs::remove_file(&temporary)?;
    bed.until_confirmed(&mut program)?;
    let ended = stop(program, &["nothing is confirmed until"])?;
    for text in ["No space left on device", "the checkpoint is written again"] {
        let said = ended.stderr.matches(text).count();
        ensure!(said == 1, "{text:?} {said} times: {}", ended.stderr);
    }
    goes_on(&bed)
}

/// Row 60: every byte that is cut off and every bit that is turned is found, and the remedy named.
#[test]
fn a_damaged_checkpoint() -> Result<()> {
    let bed = bed("state_damaged")?;
    let path = bed.path("state").join("checkpoint");
    let whole = std::fs::read(&path)?;
    let mut turned = whole.clone();
    turned[whole.len() / 2] ^= 1;
    for damaged in [&whole[..whole.len() / 2], b"", &turned, b"\0\0\0\0"] {
        std::fs::write(&path, damaged)?;
        refused(&bed, &[&path.display().to_string(), "damaged", "mv "])?;
    }
    std::fs::write(&path, &whole)?;
    goes_on(&bed)
}

/// Row 60: the folder of another slot: positions of one are nothing to the other.
#[test]
fn of_another_slot() -> Result<()> {
    let bed = bed("state_other")?;
    let text = std::fs::read_to_string(bed.write_config()?)?;
    let other = bed.path("other.toml");
    std::fs::write(
        &other,
        text.replace("slot = \"state_other\"", "slot = \"somebody_else\""),
    )?;
    refused_with(&other, &bed, &["\"state_other\"", "\"somebody_else\""])?;
    let slots = bed.admin()?.query(
        "select from pg_replication_slots where slot_name = 'somebody_else'",
        &[],
    )?;
    ensure!(slots.is_empty(), "a slot was made for nothing");
    goes_on(&bed)
}

/// Row 60: a checkpoint of a later release is not guessed at.
#[test]
fn of_a_later_release() -> Result<()> {
    let bed = bed("state_later")?;
    let path = bed.path("state").join("checkpoint");
    let whole = std::fs::read(&path)?;
    std::fs::write(&path, later(&String::from_utf8(whole.clone())?))?;
    refused(&bed, &["later release"])?;
    std::fs::write(&path, &whole)?;
    goes_on(&bed)
}

/// The same checkpoint with a version that nobody has written yet, and its own checksum.
fn later(text: &str) -> String {
    let (_, body) = text.split_once('\n').unwrap_or_default();
    let body = body.trim_end();
    let crc = crc32c::crc32c_append(crc32c::crc32c(b"999"), body.as_bytes());
    format!("walgate-checkpoint 999 {crc:08x} {}\n{body}\n", body.len())
}

/// Row 60 and 66: a second process on the folder is refused at once, and the first is not
/// disturbed; what is no folder, and a folder that may not be written, are told.
#[test]
fn in_use_or_not_writable() -> Result<()> {
    let bed = bed("state_in_use")?;
    let mut program = bed.serve()?;
    let pid = program.pid().to_string();
    let ended = bed.start()?.wait()?;
    failed(
        &ended,
        8,
        &["error: ", "state is in use by process", &pid, "hint: "],
    )?;
    bed.sql("insert into t values (2);")?;
    bed.until_confirmed(&mut program)?;
    stop(program, &[])?;
    goes_on(&bed)?;
    let state = bed.path("state");
    std::fs::rename(&state, bed.path("kept"))?;
    std::fs::write(&state, "a file")?;
    let ended = bed.start()?.wait()?;
    failed(&ended, 8, &[&state.display().to_string(), "hint: "])?;
    std::fs::remove_file(&state)?;
    std::fs::create_dir(&state)?;
    unwritable(&bed, &state)
}

/// Root may write everywhere: then the program runs as nobody.
fn unwritable(bed: &Bed, state: &Path) -> Result<()> {
    std::fs::set_permissions(state, PermissionsExt::from_mode(0o555))?;
    std::fs::set_permissions(bed.folder(), PermissionsExt::from_mode(0o755))?;
    // Where nobody may read the build folder, a copy serves.
    let copy = bed.path("walgate");
    std::fs::copy(program(), &copy)?;
    let mut command = Command::new(copy);
    command.args(["run", "-c"]).arg(bed.path("walgate.toml"));
    if std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
    {
        command.uid(65534).gid(65534);
    }
    let output = command.output()?;
    let log = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(8), "{}: {log}", output.status);
    for text in ["Permission denied", &state.display().to_string(), "ls -ld"] {
        ensure!(log.contains(text), "{text:?} is missing: {log}");
    }
    Ok(())
}

/// Without its checkpoint it takes the slot as it stands, and says so; a slot that has gone while
/// the checkpoint knows of it is never made again in silence.
#[test]
fn lost_with_and_without_its_slot() -> Result<()> {
    let bed = bed("state_lost")?;
    bed.sql("insert into t values (2);")?;
    std::fs::remove_dir_all(bed.path("state"))?;
    let ended = bed.catch_up(&["WARN"])?;
    ensure!(ended.stderr.contains("state_lost"), "{}", ended.stderr);
    let got = brief(&events(&bed.path("all.ndjson"))?);
    ensure!(
        got == [r#"insert t {"id":1}"#, r#"insert t {"id":2}"#],
        "{got:?}"
    );
    bed.sql("select pg_drop_replication_slot('state_lost');")?;
    let ended = bed.start()?.wait()?;
    failed(&ended, 4, &["state_lost", "hint: "])?;
    ensure!(bed.slot()?.is_none() && !ended.stderr.contains(CREATED));
    Ok(())
}
