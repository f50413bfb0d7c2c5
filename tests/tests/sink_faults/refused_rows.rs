//! Rows that a destination or a format can never take.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use walgate_tests::{
    Bed, CREATED, Ended, commit_lsn, database, events, failed, file_sink, quiet, session, stop,
    until,
};
use walgate_throwaway::{PgVersion, shared_kafka};

use super::brief::brief;
use super::kafka_format::prefix;
use super::topics::{create, kafka_sink, only, values};

/// A topic that takes rows of 20 kB, and rows of which the third is larger.
fn large_row(name: &str, policy: &str) -> Result<(Bed, String)> {
    let bootstrap = shared_kafka()?.bootstrap();
    let mut bed = Bed::shared(
        PgVersion::V17,
        name,
        "create table t (id int primary key, pad text);
         create publication walgate for table t;",
    )?;
    let topic = format!("{}.t", prefix(name));
    create(&bootstrap, &topic, 1, &[("max.message.bytes", "20000")])?;
    bed.configure(&kafka_sink(
        &bootstrap,
        &format!("topic = \"{topic}\"\n{policy}"),
    ))?;
    bed.begin()?;
    bed.sql(
        "begin;
         insert into t values (1, repeat('a', 9000));
         insert into t values (2, repeat('b', 9000));
         insert into t select 3, string_agg(md5(n::text), '') from generate_series(1, 1000) n;
         insert into t values (4, repeat('c', 9000));
         commit;
         insert into t values (5, 'last');",
    )?;
    Ok((bed, topic))
}

fn ids(events: &[Value]) -> Vec<i64> {
    events
        .iter()
        .filter_map(|event| event["key"]["id"].as_i64())
        .collect()
}

/// Row 48: by default it stops, names table, key, size and limit, says how to raise the limit, and
/// has confirmed nothing of that transaction. When the limit is raised, it goes on.
#[test]
fn a_row_above_the_topics_limit_stops() -> Result<()> {
    let (bed, topic) = large_row("refused_stop", "")?;
    let bootstrap = shared_kafka()?.bootstrap();
    let ended = bed.start()?.wait()?;
    failed(
        &ended,
        7,
        &[
            "error: sink kafka at ",
            &topic,
            "{\"id\":3}",
            "20000",
            "max.message.bytes",
            "hint: ",
        ],
    )?;
    let held = only(values(&bootstrap, &topic)?)?;
    ensure!(
        ids(&held) == [1, 2],
        "innocent rows before it were delivered: {:?}",
        ids(&held)
    );
    let confirmed = bed.confirmed()?;
    ensure!(
        confirmed <= commit_lsn(&held[0])?,
        "nothing of the transaction was confirmed"
    );
    alter(&bootstrap, &topic, "max.message.bytes", "200000")?;
    bed.catch_up(&[])?;
    let all = only(values(&bootstrap, &topic)?)?;
    let mut unique = ids(&all);
    unique.sort_unstable();
    unique.dedup();
    ensure!(unique == [1, 2, 3, 4, 5], "{:?}", ids(&all));
    Ok(())
}

fn alter(bootstrap: &str, topic: &str, name: &str, value: &str) -> Result<()> {
    super::topics::alter(bootstrap, topic, name, value)?;
    until("the new limit applies", || {
        super::topics::takes(bootstrap, topic, 100_000)
    })
}

/// Checks a dead letter of row 3: table, key, id, error and payload.
fn check_letter(letter: &Value) -> Result<()> {
    ensure!(
        letter["sink"] == "kafka" && letter["op"] == "insert",
        "{letter}"
    );
    ensure!(
        letter["table"] == "public.t" && letter["key"]["id"] == "3",
        "{letter}"
    );
    ensure!(
        letter["id"].as_str().is_some_and(|id| id.len() == 25),
        "{letter}"
    );
    ensure!(
        letter["row"]["pad"]
            .as_str()
            .is_some_and(|pad| pad.len() == 32_000),
        "{letter}"
    );
    ensure!(
        letter["error"]
            .as_str()
            .is_some_and(|error| error.contains("20000")),
        "{letter}"
    );
    ensure!(letter["payload_base64"].is_string(), "{letter}");
    Ok(())
}

/// One line says that a record went to the dead letters, and nothing else is wrong.
fn said_once(ended: &Ended) -> Result<()> {
    let said = ended
        .stderr
        .matches("record went to the dead letters")
        .count();
    ensure!(said == 1, "{said} lines: {}", ended.stderr);
    quiet(&ended.stderr, &["record went to the dead letters"])
}

/// Row 48: with dead letters in a file the others go on, in order, and the position with them.
#[test]
fn a_row_above_the_limit_goes_to_a_file() -> Result<()> {
    let policy = "on_definite = \"dead-letter\"\ndead_letter = { file = \"dead.ndjson\" }";
    let (bed, topic) = large_row("refused_file", policy)?;
    let ended = bed.catch_up(&["record went to the dead letters"])?;
    said_once(&ended)?;
    let held = only(values(&shared_kafka()?.bootstrap(), &topic)?)?;
    ensure!(ids(&held) == [1, 2, 4, 5], "{:?}", ids(&held));
    let letters = events(&bed.path("dead.ndjson"))?;
    ensure!(letters.len() == 1, "{letters:?}");
    check_letter(&letters[0])?;
    // It is behind us: nothing comes again.
    let head = bed.head()?;
    bed.catch_up(&[])?;
    ensure!(bed.confirmed()? >= head);
    ensure!(only(values(&shared_kafka()?.bootstrap(), &topic)?)?.len() == 4);
    Ok(())
}

/// Row 48: the same into a topic.
#[test]
fn a_row_above_the_limit_goes_to_a_topic() -> Result<()> {
    let bootstrap = shared_kafka()?.bootstrap();
    let dead = format!("{}.dead", prefix("refused_topic"));
    create(&bootstrap, &dead, 1, &[])?;
    let policy = format!("on_definite = \"dead-letter\"\ndead_letter = {{ topic = \"{dead}\" }}");
    let (bed, topic) = large_row("refused_topic", &policy)?;
    let ended = bed.catch_up(&["record went to the dead letters"])?;
    said_once(&ended)?;
    let held = only(values(&bootstrap, &topic)?)?;
    ensure!(ids(&held) == [1, 2, 4, 5], "{:?}", ids(&held));
    let letters = only(values(&bootstrap, &dead)?)?;
    ensure!(letters.len() == 1, "{letters:?}");
    check_letter(&letters[0])
}

/// A database whose text is bytes of no encoding, with an invalid one in the second row.
pub(crate) fn ascii(name: &str) -> Result<Bed> {
    let server = database(PgVersion::V17, &format!("{name}_admin"))?;
    let mut admin = session(&server)?;
    admin.batch_execute(&format!(
        "create database {name} encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C' template template0"
    ))?;
    let url = server.replace(&format!("{name}_admin"), name);
    Bed::at(
        url,
        name,
        "create table t (id int primary key, word text);
         create publication walgate for table t;",
    )
}

/// Rows 49 and 50: bytes that are not UTF-8 can't be JSON. It stops and names table, column and
/// place, nothing is confirmed past it, and the next start says the same.
#[test]
fn bytes_that_are_not_utf8_stop() -> Result<()> {
    let mut bed = ascii("refused_ascii")?;
    let file = bed.path("all.ndjson");
    bed.configure(&file_sink(&file))?;
    bed.begin()?;
    bed.sql("insert into t values (1, 'fine');")?;
    bed.catch_up(&[])?;
    bed.sql(
        r"insert into t values (2, E'caf\xe9');
          insert into t values (3, 'behind');",
    )?;
    for _ in 0..2 {
        let ended = bed.start()?.wait()?;
        let texts = ["public.t", "\"word\"", "UTF-8", "sink file at 00", "hint: "];
        failed(&ended, 7, &texts)?;
        ensure!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        ensure!(brief(&events(&file)?) == [r#"insert t {"id":1,"word":"fine"}"#]);
    }
    // Nothing was confirmed past it: with a place for it, it comes, and what is behind it.
    let confirmed = bed.confirmed()?;
    let policy = "on_definite = \"dead-letter\"\ndead_letter = { file = \"dead.ndjson\" }";
    bed.configure(&format!("{}{policy}", file_sink(&file)))?;
    bed.catch_up(&["record went to the dead letters"])?;
    let letters = events(&bed.path("dead.ndjson"))?;
    ensure!(
        letters.len() == 1 && confirmed <= commit_lsn(&letters[0])?,
        "{confirmed:X}"
    );
    ensure!(events(&file)?.len() == 2, "rows 1 and 3");
    Ok(())
}

/// Row 49: with dead letters the row goes there, whole, and the others go on.
#[test]
fn bytes_that_are_not_utf8_go_to_a_file() -> Result<()> {
    let mut bed = ascii("refused_ascii_dead")?;
    let file = bed.path("all.ndjson");
    let policy = "on_definite = \"dead-letter\"\ndead_letter = { file = \"dead.ndjson\" }";
    bed.configure(&format!("{}{policy}", file_sink(&file)))?;
    bed.begin()?;
    bed.sql(
        r"insert into t values (1, 'fine');
          insert into t values (2, E'caf\xe9');
          insert into t values (3, 'behind');",
    )?;
    let ended = bed.catch_up(&["record went to the dead letters"])?;
    said_once(&ended)?;
    let expected = [
        r#"insert t {"id":1,"word":"fine"}"#,
        r#"insert t {"id":3,"word":"behind"}"#,
    ];
    ensure!(brief(&events(&file)?) == expected);
    let letters = events(&bed.path("dead.ndjson"))?;
    ensure!(
        letters.len() == 1 && letters[0]["key"]["id"] == "2",
        "{letters:?}"
    );
    Ok(())
}

/// Row 49: what a double or a calendar can't hold is passed on as text; nothing is changed, and
/// nothing panics. All types: see `types`.
#[test]
fn values_without_a_json_form_are_text() -> Result<()> {
    let mut bed = Bed::shared(PgVersion::V17,
        "refused_values",
        "create table t (id int primary key, f float8, n numeric, d date, ts timestamptz, i interval);
         create publication walgate for table t;",
    )?;
    let file = bed.path("all.ndjson");
    bed.configure(&file_sink(&file))?;
    bed.begin()?;
    bed.sql(
        "insert into t values (1, 'NaN', 'NaN', 'infinity', '-infinity', 'infinity');
         insert into t values (2, '-Infinity', 'Infinity', '0044-03-15 BC', '0044-03-15 12:00:00+00 BC', '-178000000 years');
         insert into t values (3, 5e-324, 1e-100, '5874897-12-31', '294276-12-31 23:59:59.999999+00', '-infinity');",
    )?;
    bed.catch_up(&[])?;
    let numeric = format!("0.{}1", "0".repeat(99));
    let expected = [
        r#"insert t {"id":1,"f":"NaN","n":"NaN","d":"infinity","ts":"-infinity","i":"infinity"}"#.to_owned(),
        r#"insert t {"id":2,"f":"-Infinity","n":"Infinity","d":"0044-03-15 BC","ts":"0044-03-15 12:00:00+00 BC","i":"P-178000000Y"}"#.to_owned(),
        format!(r#"insert t {{"id":3,"f":5e-324,"n":"{numeric}","d":"5874897-12-31","ts":"294276-12-31 23:59:59.999999+00","i":"-infinity"}}"#),
    ];
    let got = brief(&events(&file)?);
    ensure!(got == expected, "{got:#?}");
    Ok(())
}

/// Row 51: settings of the database and of the role that change while it streams, and before it
/// connects again, change nothing in the output.
#[test]
fn settings_that_change_under_way_change_nothing() -> Result<()> {
    let mut bed = Bed::shared(PgVersion::V17,
        "settings_under_way",
        "create table t (id int primary key, at timestamptz, span interval, f float8, raw bytea, m money);
         create publication walgate for table t;",
    )?;
    let file = bed.path("all.ndjson");
    bed.configure(&file_sink(&file))?;
    let mut program = bed.serve()?;
    let row = "'2026-11-21 09:30:00+00', 'P1Y2DT3H4M5S', 0.1::float8, decode('00ff', 'hex'), 12.34::numeric::money";
    bed.sql(&format!("insert into t values (1, {row});"))?;
    for setting in [
        "timezone = 'Asia/Tokyo'",
        "datestyle = 'German, DMY'",
        "intervalstyle = 'sql_standard'",
        "extra_float_digits = -15",
        "bytea_output = 'escape'",
        "search_path = 'public'",
        "client_encoding = 'LATIN1'",
    ] {
        bed.sql(&format!("alter database settings_under_way set {setting};"))?;
    }
    bed.sql(&format!("insert into t values (2, {row});"))?;
    bed.until_confirmed(&mut program)?;
    let walsender = bed.walsender()?.context("a walsender")?;
    bed.admin()?
        .execute("select pg_terminate_backend($1)", &[&walsender])?;
    until("another walsender streams", || {
        Ok(bed.walsender()?.is_some_and(|pid| pid != walsender))
    })?;
    bed.sql(&format!("insert into t values (3, {row});"))?;
    bed.until_confirmed(&mut program)?;
    stop(program, &[CREATED, "57P01", "lost"])?;
    let rows: Vec<_> = events(&file)?
        .into_iter()
        .map(|mut event| {
            event["after"]["id"] = Value::Null;
            event["after"].take()
        })
        .collect();
    ensure!(
        rows.len() == 3 && rows.iter().all(|row| *row == rows[0]),
        "{rows:#?}"
    );
    ensure!(
        rows[0]["at"] == "2026-11-21T09:30:00Z" && rows[0]["span"] == "P1Y2DT3H4M5S",
        "{}",
        rows[0]
    );
    ensure!(
        rows[0]["raw"] == "AP8=" && rows[0]["f"].as_f64() == Some(0.1),
        "{}",
        rows[0]
    );
    Ok(())
}
