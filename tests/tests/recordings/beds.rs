//! A service with a journal, and commands on what it has left.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;
use walgate_tests::{Bed, CREATED, Ended, Program, clean, file_sink, journal_on_disk};
use walgate_throwaway::PgVersion;

const SETUP: &str = "create table shop (id int primary key, name text, amount numeric);
create table notes (note text);
alter table notes replica identity full;
create publication walgate for table shop, notes;";

/// A bit of everything that a recording has to hold.
pub(crate) const TRAFFIC: &str =
    "insert into shop select id, 'item ' || id, id * 1.5 from generate_series(1, 40) id;
begin; update shop set amount = null where id = 7; insert into notes values ('one'); commit;
update shop set id = 1001 where id = 1;
select pg_logical_emit_message(true, 'app', 'inside');
select pg_logical_emit_message(false, 'app', 'outside');
alter table shop add column extra jsonb default '{}';
insert into shop values (2001, 'later', 1, '{\"a\": 1}');
delete from shop where id < 10;
update notes set note = 'two';
truncate shop, notes;
insert into notes values ('end');";

/// A database with two tables, and a service with a journal and a file. Its slot is made.
pub(crate) fn bed(name: &str) -> Result<Bed> {
    let mut bed = Bed::shared(PgVersion::V17, name, SETUP)?;
    bed.more = journal_on_disk("");
    let sink = file_sink(&bed.path("out.ndjson")) + "transactions = true\n";
    bed.configure(&sink)?;
    bed.catch_up(&[CREATED])?;
    Ok(bed)
}

/// The same, with traffic that was delivered.
pub(crate) fn filled(name: &str) -> Result<Bed> {
    let bed = bed(name)?;
    bed.sql(TRAFFIC)?;
    bed.catch_up(&[])?;
    Ok(bed)
}

/// Runs a command to its end.
pub(crate) fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Result<Ended> {
    Program::start(args)?.wait()
}

/// Runs a command that says nothing but `known`, and gives its output.
pub(crate) fn said(words: &str, paths: &[&Path], known: &[&str]) -> Result<Vec<String>> {
    let ended = run(args(words, paths))?;
    clean(&ended, known).with_context(|| words.to_owned())?;
    Ok(ended.lines)
}

/// The words of a command; each `@` is the next path.
pub(crate) fn args(words: &str, paths: &[&Path]) -> Vec<std::ffi::OsString> {
    let mut paths = paths.iter();
    let words = words.split_whitespace();
    words
        .map(|word| match word {
            "@" => paths
                .next()
                .map_or_else(Default::default, |path| path.into()),
            word => word.into(),
        })
        .collect()
}

/// Runs a command whose output is one JSON object.
pub(crate) fn object(words: &str, paths: &[&Path]) -> Result<Value> {
    let lines = said(words, paths, &[])?;
    Ok(serde_json::from_str(&lines.concat())?)
}

/// The lines of a file.
pub(crate) fn lines(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path)?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// A part of an event.
pub(crate) fn field(line: &str, name: &str) -> Result<String> {
    let event: Value = serde_json::from_str(line)?;
    let value = event[name].as_str().context(name.to_owned())?;
    Ok(value.to_owned())
}

/// Turns a bit over in the middle of a file.
pub(crate) fn damage(path: &Path) -> Result<()> {
    let mut bytes = std::fs::read(path)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    Ok(std::fs::write(path, bytes)?)
}
