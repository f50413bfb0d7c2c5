//! A required sink that is let go.

use anyhow::{Result, ensure};
use walgate_tests::{events, until};
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions};

use super::receiver::Receiver;
use super::{bed, down, sections, up, write};

/// The slot goes on without it, the next start does not stop for what was given up, and the sink is
/// told what it has not got.
#[test]
fn a_dead_sink_is_released_and_told_of_its_gap_after_a_kill() -> Result<()> {
    let server = Postgres::start(&PostgresOptions::version(PgVersion::V16))?;
    let mut bed = bed(&server, "guard_release")?;
    let receiver = Receiver::start("200 OK")?;
    bed.more = sections(
        "policy = [\"alert\", \"release-sink out\"]\nallow_data_loss = true",
        &format!("webhook = \"{}\"", receiver.url),
    );
    let both = format!("{}\n{}", down("out"), up(&bed, "kept"));
    bed.configure(&both)?;
    let mut program = bed.serve()?;
    bed.sql("insert into t select generate_series(1, 1000);")?;
    let held = bed.head()?;
    write(&bed, 45)?;
    program.wait_for_log("the sink is released until the next start")?;
    until("the slot goes on without the sink", || {
        Ok(bed.confirmed()? >= held)
    })?;
    program.signal("KILL")?;
    program.wait()?;
    let both = format!("{}\n{}", up(&bed, "out"), up(&bed, "kept"));
    bed.configure(&both)?;
    let mut program = bed.serve()?;
    bed.sql("insert into t values (1001);")?;
    bed.until_confirmed(&mut program)?;
    receiver.wait_for("gap", "raised", "critical")?;
    program.signal("TERM")?;
    let ended = program.wait()?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    let told = receiver.all();
    let gap = told.iter().find(|message| message["rule"] == "gap");
    let subject = gap.map(|gap| gap["subject"].clone());
    ensure!(subject == Some("out".into()), "{told:?}");
    ensure!(ended.stderr.contains("it was released"), "{}", ended.stderr);
    let text = std::fs::read_to_string(bed.path("out.ndjson"))?;
    ensure!(text.contains("sink_fell_behind"), "{text}");
    ensure!(events(&bed.path("kept.ndjson"))?.len() >= 1001);
    Ok(())
}

/// What nobody can get any more is confirmed, also when it was the only sink.
#[test]
fn the_only_sink_is_released_and_the_slot_goes_on() -> Result<()> {
    let server = Postgres::start(&PostgresOptions::version(PgVersion::V18))?;
    let mut bed = bed(&server, "guard_release_only")?;
    bed.more = format!(
        "{}[journal]\nmemory = \"4MiB\"\n",
        sections(
            "policy = [\"alert\", \"release-sink out\"]\nallow_data_loss = true",
            ""
        )
    );
    bed.configure(&down("out"))?;
    let mut program = bed.serve()?;
    bed.sql("insert into t values (0);")?;
    let held = bed.head()?;
    write(&bed, 45)?;
    program.wait_for_log("the sink is released until the next start")?;
    for batch in 0..20 {
        bed.sql(&format!(
            "insert into t select generate_series({batch} * 10000 + 1, {batch} * 10000 + 10000);"
        ))?;
    }
    until("the slot goes on", || Ok(bed.confirmed()? > held))?;
    program.signal("TERM")?;
    let ended = program.wait()?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    Ok(())
}
