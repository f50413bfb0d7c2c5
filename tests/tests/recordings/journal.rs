//! What the journal's commands say of it, also while it is written.

use anyhow::{Result, ensure};
use walgate_tests::{refused, stop};

use super::beds::{TRAFFIC, args, bed, damage, object, run, said};

#[test]
fn it_is_looked_at_while_it_is_written() -> Result<()> {
    let bed = bed("journal_looked_at")?;
    let mut program = bed.serve()?;
    bed.sql(TRAFFIC)?;
    bed.until_confirmed(&mut program)?;
    let (config, journal) = (bed.write_config()?, bed.path("journal"));

    let listed = object("journal ls -c @ --json", &[&config])?;
    let segments = listed["segments"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    ensure!(segments.len() == 2, "one for each start: {listed}");
    ensure!(segments[0]["state"] == "sealed" && segments[1]["state"] == "open");
    ensure!(segments[0]["to"].as_str() <= segments[1]["from"].as_str());
    let checked = object("journal verify @ --json", &[&journal])?;
    ensure!(checked["sound"] == true && checked["damaged"] == serde_json::json!([]));

    let stat = object("journal stat -c @ --json", &[&config])?;
    let of = |table: &str, operation: &str| {
        let tables = stat["tables"].as_array().into_iter().flatten();
        let mut found = tables.filter(|one| one["table"] == table && one["operation"] == operation);
        found.next().and_then(|one| one["changes"].as_u64())
    };
    ensure!(of("public.shop", "insert") == Some(41), "{stat}");
    ensure!(of("public.shop", "update") == Some(2), "{stat}");
    ensure!(of("public.shop", "delete") == Some(8), "{stat}");
    ensure!(of("public.shop", "truncate") == Some(1), "{stat}");
    ensure!(of("public.notes", "insert") == Some(2), "{stat}");
    ensure!(of("", "message") == Some(2), "{stat}");
    ensure!(stat["changes"] == 58 && stat["gaps"] == 0, "{stat}");
    ensure!(stat["budget_bytes"].as_u64() > Some(0), "{stat}");

    for command in ["ls", "verify", "stat"] {
        let words = format!("journal {command} @");
        let lines = said(&words, &[&journal], &[])?;
        ensure!(
            lines.len() > 1 || command == "verify",
            "{command}: {lines:?}"
        );
    }
    stop(program, &[]).map(drop)
}

#[test]
fn all_damage_is_named() -> Result<()> {
    let bed = bed("journal_verified")?;
    bed.sql("insert into notes select repeat('x', 500) from generate_series(1, 15000);")?;
    bed.catch_up(&[])?;
    let journal = bed.path("journal");
    let listed = object("journal ls @ --json", &[&journal])?;
    let files: Vec<_> = listed["segments"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|segment| segment["file"].as_str())
        .collect();
    ensure!(files.len() > 4, "{files:?}");
    let (first, second) = (files[1], files[3]);
    for file in [first, second] {
        damage(&journal.join(file))?;
    }
    let ended = run(args("journal verify @", &[&journal]))?;
    refused(&ended, 7, &["is damaged in 2 places"], &[])?;
    ensure!(ended.lines[0].starts_with(first) && ended.lines[1].starts_with(second));
    let ended = run(args("journal verify @ --json", &[&journal]))?;
    let report: serde_json::Value = serde_json::from_str(&ended.lines.concat())?;
    ensure!(report["sound"] == false, "{report}");
    for (place, file) in [first, second].into_iter().enumerate() {
        let damaged = &report["damaged"][place];
        ensure!(
            damaged["file"] == file && damaged["offset"].as_u64() > Some(0),
            "{report}"
        );
        ensure!(
            damaged["from"].as_str() <= damaged["to"].as_str(),
            "{report}"
        );
    }
    let stat = run(args("journal stat @ --json", &[&journal]))?;
    let stat: serde_json::Value = serde_json::from_str(&stat.lines.concat())?;
    ensure!(stat["damaged"] == 2, "{stat}");
    Ok(())
}

#[test]
fn a_configuration_without_a_journal_is_told_so() -> Result<()> {
    let mut bed = bed("journal_none")?;
    bed.more.clear();
    let config = bed.write_config()?;
    let ended = run(args("journal ls -c @", &[&config]))?;
    refused(&ended, 2, &["[journal] path is not set"], &[])
}
