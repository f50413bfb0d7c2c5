//! What is replayed is what was delivered: the same events, ids and bytes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use walgate_tests::{AFTER_A_KILL, Workload, failed, file_sink, refused, seed, until};

use super::beds::{TRAFFIC, args, bed, damage, field, filled, lines, run, said};

#[test]
fn a_journal_gives_the_bytes_of_the_first_time() -> Result<()> {
    let seed = seed();
    first_time(seed).with_context(|| format!("WALGATE_TEST_SEED={seed}"))
}

fn first_time(seed: u64) -> Result<()> {
    let bed = bed("replay_bytes")?;
    bed.sql(walgate_tests::LEDGER)?;
    bed.sql("alter publication walgate add table ledger;")?;
    let workload = Workload::start(&bed.url, seed, 2, Duration::from_millis(2));
    for _ in 0..3 {
        let mut program = bed.serve()?;
        let from = workload.committed();
        until("the workload goes on", || {
            Ok(workload.committed() >= from + 40)
        })?;
        bed.until_confirmed(&mut program)?;
        // Inside of a transaction, more often than not.
        program.signal("KILL")?;
        program.wait()?;
    }
    workload.stop()?;
    bed.sql(TRAFFIC)?;
    bed.catch_up(AFTER_A_KILL)?;
    let delivered = lines(&bed.path("out.ndjson"))?;
    ensure!(delivered.len() > 150, "{} events", delivered.len());

    let journal = bed.path("journal");
    let replayed = said("replay @ --format json --transactions", &[&journal], &[])?;
    ensure!(replayed == delivered, "replayed to stdout");

    let copy = bed.path("copy");
    said("journal export @ @", &[&journal, &copy], &[])?;
    let replayed = said("replay @ --format json --transactions", &[&copy], &[])?;
    ensure!(replayed == delivered, "a copy");
    said("journal verify @", &[&copy], &[])?;

    let again = file_sink(&bed.path("again.ndjson")) + "transactions = true\n";
    let config = bed.path("again.toml");
    std::fs::write(&config, again)?;
    let into = ["replay @ -c @ --sink file", "replay @ -c @ --sink file"];
    let ended = run(args(into[0], &[&journal, &config]))?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    ensure!(
        lines(&bed.path("again.ndjson"))? == delivered,
        "into a file"
    );
    // A second time it has everything, and is told so.
    let ended = run(args(into[1], &[&journal, &config]))?;
    ensure!(ended.stderr.contains("holds events"), "{}", ended.stderr);
    ensure!(
        lines(&bed.path("again.ndjson"))? == delivered,
        "never twice"
    );
    Ok(())
}

#[test]
fn a_range_is_named_by_events_positions_and_times() -> Result<()> {
    let bed = filled("replay_range")?;
    let journal = bed.path("journal");
    let all = said("replay @ --format json", &[&journal], &[])?;
    let part = |range: &str| said(&format!("replay @ --format json {range}"), &[&journal], &[]);
    let place = all.len() / 2;
    let (id, lsn) = (field(&all[place], "id")?, field(&all[place], "lsn")?);
    ensure!(part(&format!("--from {id}"))? == all[place + 1..]);
    ensure!(part(&format!("--to {id}"))? == all[..=place]);
    ensure!(part(&format!("--from {id} --to {id}"))?.is_empty());
    // An LSN is the end of its transaction, a time the begin.
    let of_it = |line: &&String| field(line, "lsn").is_ok_and(|other| other == lsn);
    let first = all
        .iter()
        .position(|line| of_it(&line))
        .context("it is there")?;
    let end = all
        .iter()
        .rposition(|line| of_it(&line))
        .context("it is there")?
        + 1;
    ensure!(part(&format!("--from {lsn}"))? == all[end..]);
    ensure!(part(&format!("--to {lsn}"))? == all[..end]);
    let time = field(&all[first], "time")?;
    ensure!(part(&format!("--from {time}"))? == all[first..]);
    ensure!(part(&format!("--to {time}"))? == all[..first]);
    // A copy of a part has whole transactions.
    let copy = bed.path("part");
    let range = format!(
        "journal export @ @ --from {} --to {id}",
        field(&all[3], "id")?
    );
    said(&range, &[&journal, &copy], &[])?;
    ensure!(said("replay @ --format json", &[&copy], &[])? == all[..end]);
    let rest = bed.path("rest");
    said(
        &format!("journal export @ @ --from {lsn}"),
        &[&journal, &rest],
        &[],
    )?;
    ensure!(said("replay @ --format json", &[&rest], &[])? == all[end..]);
    Ok(())
}

#[test]
fn what_makes_no_sense_is_refused() -> Result<()> {
    let bed = filled("replay_refused")?;
    let journal = bed.path("journal");
    let none = bed.path("none");
    let config = bed.write_config()?;
    let refuse = |words: &str, paths: &[&std::path::Path], code, text: &str| {
        refused(&run(args(words, paths))?, code, &[text], &[]).with_context(|| words.to_owned())
    };
    refuse("replay @", &[&none], 8, "can't be opened")?;
    refuse("replay @", &[bed.folder()], 8, "holds no segment")?;
    refuse("replay @ --from F/0", &[&journal], 2, "behind the end")?;
    refuse(
        "replay @ --from 2100-01-01",
        &[&journal],
        2,
        "no transaction",
    )?;
    refuse("replay @ --to 0/1", &[&journal], 2, "nothing lies")?;
    refuse(
        "replay @ -c @ --sink other",
        &[&journal, &config],
        2,
        "no sink other",
    )?;
    refuse(
        "journal export @ @",
        &[&journal, &journal],
        8,
        "is not empty",
    )?;
    // Earlier than its begin is told, and all that there is comes.
    let ended = run(args("replay @ --from 0/1 --format json", &[&journal]))?;
    ensure!(ended.stderr.contains("begins later"), "{}", ended.stderr);
    ensure!(ended.lines == said("replay @ --format json", &[&journal], &[])?);
    Ok(())
}

#[test]
fn the_selection_is_that_of_tail() -> Result<()> {
    let bed = filled("replay_selection")?;
    let journal = bed.path("journal");
    let words = "replay @ --format json --table public.shop --op insert --where id=7";
    let chosen = said(words, &[&journal], &[])?;
    ensure!(
        chosen.len() == 1 && chosen[0].contains("item 7"),
        "{chosen:?}"
    );
    let pretty = said("replay @ --format pretty --count 3", &[&journal], &[])?;
    ensure!(
        pretty.len() == 3 && !pretty[0].starts_with('{'),
        "{pretty:?}"
    );
    let schemas = said("replay @ --format json --schema-events", &[&journal], &[])?;
    let schemas = schemas
        .iter()
        .filter(|line| line.contains("\"op\":\"schema\""));
    ensure!(
        schemas.count() == 3,
        "shop before and after its new column, and notes"
    );
    Ok(())
}

#[test]
fn the_original_speed_has_its_pauses() -> Result<()> {
    let bed = bed("replay_speed")?;
    bed.sql(
        "insert into notes values ('a');\nselect pg_sleep(1.2);\ninsert into notes values ('b');",
    )?;
    bed.catch_up(&[])?;
    let journal = bed.path("journal");
    let took = |speed: &str| -> Result<Duration> {
        let begun = Instant::now();
        let words = format!("replay @ --format json --speed {speed}");
        ensure!(said(&words, &[&journal], &[])?.len() == 2);
        Ok(begun.elapsed())
    };
    ensure!(took("original")? >= Duration::from_millis(1200));
    ensure!(took("2x")? >= Duration::from_millis(600));
    took("max").map(drop)
}

#[test]
fn damage_stops_it_or_is_a_gap() -> Result<()> {
    let bed = bed("replay_damage")?;
    bed.sql("insert into notes select repeat('x', 500) from generate_series(1, 5000);")?;
    bed.sql(TRAFFIC)?;
    bed.catch_up(&[])?;
    let journal = bed.path("journal");
    let all = said("replay @ --format json", &[&journal], &[])?;
    let copy = bed.path("copy");
    std::fs::create_dir(&copy)?;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&journal)? {
        let entry = entry?;
        std::fs::copy(entry.path(), copy.join(entry.file_name()))?;
        names.push(entry.file_name());
    }
    names.retain(|name| name.to_string_lossy().ends_with(".segment"));
    names.sort();
    let name = names.get(1).context("several segments")?;
    damage(&copy.join(name))?;
    let name = name.to_string_lossy();

    let ended = run(args("replay @ --format json", &[&copy]))?;
    refused(&ended, 7, &[&name, "is damaged", "at offset"], &[])?;
    ensure!(
        all.starts_with(&ended.lines),
        "what comes before it is delivered"
    );
    let ended = run(args("journal verify @", &[&copy]))?;
    failed(&ended, 7, &["is damaged in 1 place"])?;
    ensure!(ended.lines[0].contains(&*name) && ended.lines[0].contains("offset"));

    let words = "replay @ --format json --on-damage gap";
    let known = ["damaged", "changes are lost"];
    let passed = said(words, &[&copy], &known)?;
    let gaps: Vec<_> = passed
        .iter()
        .filter(|line| line.contains("journal_damaged"))
        .collect();
    ensure!(gaps.len() == 1, "{gaps:?}");
    ensure!(passed.len() < all.len() && passed.last() == all.last());
    let part = bed.path("part");
    let ended = run(args("journal export @ @", &[&copy, &part]))?;
    refused(&ended, 7, &[&name], &[])?;
    said(
        "journal export @ @ --on-damage gap",
        &[&copy, &part],
        &["damaged"],
    )?;
    said("journal verify @", &[&part], &[])?;
    ensure!(said("replay @ --format json", &[&part], &["changes are lost"])? == passed);
    Ok(())
}
