//! A journal that is compressed and encrypted: nothing in the clear, nothing lost by a crash, and the
//! bytes of the first time with its keys.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use walgate_tests::{AFTER_A_KILL, Bed, file_sink, journal_on_disk, refused};

use super::beds::{args, bed, lines, object, run, said};

const OLD: &str = "000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f";
const NEW: &str = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

/// In every row; and what the rows are in.
const CLEAR: [&str; 3] = ["MARKER", "notes", "shop"];

/// Rows of about 90 bytes, in transactions of one.
const ROWS: &str = "do $$ begin for n in 1..6000 loop \
    insert into notes values ('MARKER ' || n || repeat(' and so on', 6)); commit; end loop; end $$;";

/// One transaction that is streamed, and waits in a spool.
const LARGE: &str = "insert into notes select 'MARKER ' || n || repeat(' large', 40) from generate_series(1, 60000) n;";

fn sealed(bed: &mut Bed, lines: &str) {
    bed.more = journal_on_disk(&format!("compression = \"zstd\"\n{lines}"));
}

/// Whether a file of the folder holds any of the texts.
fn clear(folder: &Path) -> Result<Option<String>> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let bytes = std::fs::read(&path)?;
        for text in CLEAR {
            if bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes())
            {
                return Ok(Some(format!("{text} is in {}", path.display())));
            }
        }
    }
    Ok(None)
}

fn packed(folder: &Path) -> Result<u64> {
    let listed = object("journal ls @ --json", &[folder])?;
    let segments = listed["segments"].as_array().into_iter().flatten();
    Ok(segments.filter(|one| one["packed_from"].is_u64()).count() as u64)
}

#[test]
fn nothing_is_in_the_clear_and_a_crash_loses_nothing() -> Result<()> {
    let mut bed = bed("replay_encrypted")?;
    let (journal, keys) = (bed.path("journal"), bed.path("keys"));
    bed.sql(ROWS)?;
    bed.catch_up(&[])?;
    ensure!(clear(&journal)?.is_some(), "the search finds what is plain");
    std::fs::write(&keys, OLD)?;
    sealed(
        &mut bed,
        "encryption_key_file = \"keys\"\nspool_memory = \"64KiB\"",
    );
    bed.sql("alter database replay_encrypted set logical_decoding_work_mem = '64kB';")?;
    // What was written before stays as it is: it is put aside for the search.
    let plain = bed.path("plain");
    std::fs::create_dir(&plain)?;
    let first: Vec<_> = std::fs::read_dir(&journal)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<std::io::Result<_>>()?;

    let mut program = bed.serve()?;
    bed.sql(ROWS)?;
    bed.sql(LARGE)?;
    bed.until_confirmed(&mut program)?;
    program.wait_until("full segments are compressed", |_| {
        packed(&journal).is_ok_and(|count| count > 0)
    })?;
    bed.sql(ROWS)?;
    program.signal("KILL")?;
    let said_by_it = program.wait()?.stderr;
    ensure!(!said_by_it.contains(OLD), "the key is in the log");
    for name in &first {
        std::fs::rename(journal.join(name), plain.join(name))?;
    }
    ensure!(contents(&journal, "spool")?.len() == 1, "it was streamed");
    ensure!(clear(&journal)?.is_none(), "{:?}", clear(&journal)?);
    for name in &first {
        std::fs::rename(plain.join(name), journal.join(name))?;
    }
    without_its_key(&bed, &journal)?;

    // A new key: the old one opens what it has encrypted.
    std::fs::write(&keys, format!("{OLD}\n{NEW}\n"))?;
    bed.sql(ROWS)?;
    bed.catch_up(AFTER_A_KILL)?;
    let delivered = lines(&bed.path("out.ndjson"))?;
    ensure!(delivered.len() > 60_000 + 4 * 6_000, "{}", delivered.len());
    let replay = "replay @ --key-file @ --format json --transactions";
    ensure!(
        said(replay, &[&journal, &keys], &[])? == delivered,
        "replayed"
    );

    let copy = bed.path("copy");
    said(
        "journal export @ @ --key-file @",
        &[&journal, &copy, &keys],
        &[],
    )?;
    ensure!(clear(&copy)?.is_none(), "a copy is encrypted too");
    std::fs::write(&keys, NEW)?;
    ensure!(said(replay, &[&copy, &keys], &[])? == delivered, "a copy");

    // Off again: the keys still open what is there.
    std::fs::write(&keys, format!("{OLD}\n{NEW}\n"))?;
    sealed(&mut bed, "encryption_key_file = \"keys\"\nencrypt = false");
    bed.sql("insert into notes values ('the end');")?;
    bed.catch_up(&[])?;
    let delivered = lines(&bed.path("out.ndjson"))?;
    ensure!(
        said(replay, &[&journal, &keys], &[])? == delivered,
        "once more"
    );
    Ok(())
}

/// It can be looked at, not read; and nothing that starts without the key changes it.
fn without_its_key(bed: &Bed, journal: &Path) -> Result<()> {
    let before = contents(journal, "segment")?;
    let listed = object("journal ls @ --json", &[journal])?;
    let last = listed["segments"].as_array().and_then(|all| all.last());
    let key = last
        .and_then(|last| last["key"].as_str())
        .context("no key")?;
    let checked = object("journal verify @ --json", &[journal])?;
    ensure!(checked["sound"] == true, "{checked}");
    let other = bed.path("other");
    std::fs::write(&other, NEW)?;
    for words in [
        "replay @ --format json",
        "replay @ --key-file @ --format json",
        "journal stat @",
    ] {
        let ended = run(args(words, &[journal, &other]))?;
        refused(&ended, 8, &["encrypted with key", key], &[])?;
    }
    let config = bed.write_config()?;
    let text = std::fs::read_to_string(&config)?;
    for keys in ["", "encryption_key_file = \"other\""] {
        let text = text.replace("encryption_key_file = \"keys\"", keys);
        std::fs::write(&config, text)?;
        let ended = run(args("run --until now -c @", &[&config]))?;
        refused(&ended, 8, &["encrypted with key", key], &[])?;
    }
    ensure!(
        contents(journal, "segment")? == before,
        "something was changed"
    );
    Ok(())
}

fn contents(folder: &Path, kind: &str) -> Result<Vec<(std::ffi::OsString, Vec<u8>)>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry
            .path()
            .extension()
            .is_some_and(|extension| extension == kind)
        {
            all.push((entry.file_name(), std::fs::read(entry.path())?));
        }
    }
    all.sort();
    Ok(all)
}

#[test]
fn keys_that_are_none_are_refused_before_anything_is_touched() -> Result<()> {
    let mut bed = bed("replay_no_keys")?;
    let keys = bed.path("keys");
    for (lines, says) in [
        ("encryption_key_file = \"nowhere\"", "nowhere can't be read"),
        ("encryption_key_file = \"keys\"", "line 1 is no key"),
        (
            "encryption_key_command = [\"sh\", \"-c\", \"exit 7\"]",
            "has failed: exit status: 7",
        ),
    ] {
        std::fs::write(&keys, "hunter2hunter2")?;
        sealed(&mut bed, lines);
        let ended = bed.run_until_now()?;
        refused(&ended, 2, &[says], &[])?;
        ensure!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
    }
    sealed(
        &mut bed,
        &format!("encryption_key_command = [\"echo\", \"{OLD}\"]"),
    );
    bed.catch_up(&[])?;
    Ok(())
}

#[test]
fn dead_letters_are_encrypted_with_the_journal() -> Result<()> {
    let mut bed = crate::sink_faults::refused_rows::ascii("replay_letters")?;
    let (file, dead, keys) = (
        bed.path("all.ndjson"),
        bed.path("dead.ndjson"),
        bed.path("keys"),
    );
    std::fs::write(&keys, OLD)?;
    sealed(&mut bed, "encryption_key_file = \"keys\"");
    let policy = "on_definite = \"dead-letter\"\ndead_letter = { file = \"dead.ndjson\" }";
    bed.configure(&format!("{}{policy}\n", file_sink(&file)))?;
    bed.begin()?;
    bed.sql(r"insert into t values (1, E'MARKER caf\xe9'); insert into t values (2, 'behind');")?;
    bed.catch_up(&["went to the dead letters"])?;
    let text = std::fs::read_to_string(&dead)?;
    ensure!(
        !text.contains("MARKER") && !text.contains("public.t"),
        "{text}"
    );
    let letters = said("journal letters @ --key-file @", &[&dead, &keys], &[])?;
    ensure!(letters.len() == 1, "{letters:?}");
    let letter: serde_json::Value = serde_json::from_str(&letters[0])?;
    ensure!(
        letter["table"] == "public.t" && letter["key"]["id"] == "1",
        "{letter}"
    );
    ensure!(
        letter["row"]["word"]
            .as_str()
            .is_some_and(|word| word.contains("MARKER"))
    );
    let ended = run(args("journal letters @", &[&dead]))?;
    refused(&ended, 8, &["encrypted with key", "--key-file"], &[])
}

#[test]
fn a_recording_is_encrypted_where_keys_are_named() -> Result<()> {
    let bed = bed("replay_recorded")?;
    let (keys, out) = (bed.path("keys"), bed.path("recorded"));
    std::fs::write(&keys, OLD)?;
    bed.sql("insert into notes values ('MARKER');")?;
    let url = Path::new(&bed.direct);
    let record = "record @ --slot replay_recorded --publication walgate --until now --peek";
    let words = format!("{record} --key-file @ @");
    said(&words, &[url, &keys, &out], &[])?;
    ensure!(clear(&out)?.is_none(), "{:?}", clear(&out)?);
    let words = "replay @ --key-file @ --format json";
    let replayed = said(words, &[&out, &keys], &[])?;
    ensure!(
        replayed.len() == 1 && replayed[0].contains("MARKER"),
        "{replayed:?}"
    );
    Ok(())
}
