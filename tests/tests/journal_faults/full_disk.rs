//! Row 60 while it runs: the disk of the journal fills up, and the budget does.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use walgate_tests::{
    Bed, CREATED, Program, clean, file_sink, journal_on_disk, ledger, replay, until,
};

use super::beds::{DOWN, bed, begin_and_take_down, once_in_order, out, up};

/// Starts the service in a name space of its own, with a small disk at `folder`: nobody needs to be
/// root for that, and the disk goes with it. Returns how the test sees the folder.
fn serve_on_a_small_disk(bed: &Bed, folder: &Path) -> Result<(Program, PathBuf)> {
    std::fs::create_dir_all(folder)?;
    let config = bed.write_config()?;
    let script = "mount -t tmpfs -o size=24m tmpfs \"$0\" && exec \"$@\"";
    let at = folder.to_str().context("a path")?;
    let prefix = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        script,
        at,
    ];
    let args = ["run".as_ref(), "-c".as_ref(), config.as_os_str()];
    let mut program = Program::start_under(&prefix, args)?;
    program
        .wait_for_log("streaming")
        .context("a disk of its own needs user name spaces: sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns")?;
    let seen = format!("/proc/{}/root{at}", program.pid());
    Ok((program, PathBuf::from(seen)))
}

/// Fills the disk to the last byte.
fn fill(disk: &Path) -> Result<PathBuf> {
    let path = disk.join("filler");
    let mut file = std::fs::File::create(&path)?;
    let zeros = vec![0; 64 << 10];
    while file.write_all(&zeros).is_ok() {}
    Ok(path)
}

/// The disk is full: it says so once, the slot keeps what is not safe, and it goes on when there is
/// room.
#[test]
fn the_disk_is_full_for_a_while() -> Result<()> {
    let mut bed = bed("journal_full")?;
    let disk = bed.path("disk");
    bed.more = journal_on_disk("replay_bytes = \"0B\"").replace(
        "\"journal\"",
        &format!("\"{}\"", disk.join("journal").display()),
    );
    let path = bed.path("out.ndjson");
    bed.configure(&file_sink(&path).replace("[sinks.file]", "[sinks.out]"))?;
    let (mut program, seen) = serve_on_a_small_disk(&bed, &disk)?;
    bed.sql("insert into ledger values (1, 1, 0, 'x');")?;
    bed.until_confirmed(&mut program)?;
    let filler = fill(&seen)?;
    let before = bed.confirmed()?;
    bed.sql(
        "insert into ledger select id, 1, 0, repeat('x', 500) from generate_series(2, 5000) id;",
    )?;
    program.wait_until("that the disk is full is told", |log| {
        log.lines()
            .any(|line| line.contains("WARN") && !line.contains(CREATED))
    })?;
    let committed = bed.head()?;
    ensure!(
        bed.confirmed()? < committed,
        "what is not on disk is not confirmed: {before:X} {committed:X}"
    );
    std::fs::remove_file(filler)?;
    bed.until_confirmed(&mut program)?;
    until("everything arrives", || Ok(out(&bed)?.len() == 5000))?;
    program.signal("TERM")?;
    let ended = program.wait()?;
    let warnings = ended.stderr.lines().filter(|line| line.contains("WARN"));
    let warnings: Vec<_> = warnings.filter(|line| !line.contains(CREATED)).collect();
    ensure!(warnings.len() == 1, "{warnings:#?}");
    ensure!(ended.status.success(), "{}", ended.stderr);
    once_in_order(&out(&bed)?)
}

/// The budget is full because a required sink is behind: it stops confirming and names the sink;
/// when the sink is back nothing is missing.
#[test]
fn the_budget_is_full_and_holds() -> Result<()> {
    let mut bed = bed("journal_budget")?;
    bed.more = journal_on_disk("budget = \"8MiB\"\nmemory = \"4MiB\"");
    begin_and_take_down(&mut bed)?;
    let mut program = bed.serve()?;
    for n in 0..30 {
        bed.sql(&format!(
            "insert into ledger select id, 1, 0, repeat('x', 1000) from generate_series({n} * 1000 + 1, {n} * 1000 + 1000) id;"
        ))?;
    }
    program.wait_until("the sink that holds it is named", |log| {
        log.lines()
            .any(|line| line.contains("WARN") && line.contains("journal") && line.contains("out"))
    })?;
    let head = bed.head()?;
    ensure!(bed.confirmed()? < head, "the slot holds the rest back");
    program.signal("TERM")?;
    let ended = program.wait()?;
    let known: Vec<_> = DOWN.iter().copied().chain(["journal"]).collect();
    clean(&ended, &known)?;
    let sink = up(&bed);
    bed.configure(&sink)?;
    bed.catch_up(&["journal"])?;
    let all = out(&bed)?;
    once_in_order(&all)?;
    ensure!(replay(&all)? == ledger(&mut bed.admin()?)?);
    Ok(())
}

/// By declared policy the sink that holds it loses changes, with a gap event, and the slot goes on.
#[test]
fn the_budget_is_full_and_a_sink_is_released() -> Result<()> {
    let mut bed = bed("journal_release")?;
    bed.more = journal_on_disk(
        "budget = \"8MiB\"\nmemory = \"4MiB\"\non_full = \"release-sink\"\nrelease = [\"out\"]\nallow_data_loss = true",
    );
    begin_and_take_down(&mut bed)?;
    let mut program = bed.serve()?;
    for n in 0..30 {
        bed.sql(&format!(
            "insert into ledger select id, 1, 0, repeat('x', 1000) from generate_series({n} * 1000 + 1, {n} * 1000 + 1000) id;"
        ))?;
    }
    bed.until_confirmed(&mut program)?;
    program.signal("TERM")?;
    let ended = program.wait()?;
    let known: Vec<_> = DOWN
        .iter()
        .copied()
        .chain(["journal", "released"])
        .collect();
    clean(&ended, &known)?;
    ensure!(ended.stderr.contains("ERROR"), "{}", ended.stderr);
    Ok(())
}
