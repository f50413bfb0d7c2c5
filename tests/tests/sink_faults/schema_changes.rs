//! Schema changes across restarts, and what never reaches a sink. Those in one stream are
//! scenarios.

use anyhow::{Result, ensure};
use walgate_tests::{AFTER_A_KILL, Bed, CREATED, events, file_sink, session, stop};
use walgate_throwaway::{PgVersion, shared_kafka};

use super::brief::brief;
use super::kafka_format::prefix;
use super::topics::{creating, kafka_sink, values};

/// A bed with a table, a file sink and a slot, with all tables published that come.
fn bed(name: &str, setup: &str) -> Result<Bed> {
    let mut bed = Bed::shared(
        PgVersion::V17,
        name,
        &format!("{setup}\ncreate publication walgate for all tables;"),
    )?;
    bed.configure(&file_sink(&bed.path("all.ndjson")))?;
    bed.begin()?;
    Ok(bed)
}

fn check(bed: &Bed, expected: &[&str]) -> Result<()> {
    let got = brief(&events(&bed.path("all.ndjson"))?);
    ensure!(got == expected, "{got:#?}");
    Ok(())
}

/// Row 40: a schema change in the middle of a transaction, with another transaction open across
/// it, and a restart behind it: each row has the columns of its point in the log.
#[test]
fn in_the_middle_of_a_transaction() -> Result<()> {
    let bed = bed(
        "schema_middle",
        "create table t (id int primary key, a int); create table other (id int primary key, x text);",
    )?;
    let mut open = session(&bed.url)?;
    open.batch_execute("begin; insert into other values (1, 'before')")?;
    bed.sql(
        "begin;
         insert into t values (1, 10);
         alter table t add column b text default 'new';
         insert into t values (2, 20, 'x');
         alter table t drop column a;
         insert into t values (3, 'y');
         commit;",
    )?;
    bed.catch_up(&[])?;
    open.batch_execute(
        "alter table other rename column x to y; insert into other values (2, 'behind'); commit",
    )?;
    bed.sql("insert into t values (4, 'z');")?;
    bed.catch_up(&[])?;
    check(
        &bed,
        &[
            r#"insert t {"id":1,"a":10}"#,
            r#"insert t {"id":2,"a":20,"b":"x"}"#,
            r#"insert t {"id":3,"b":"y"}"#,
            r#"insert other {"id":1,"x":"before"}"#,
            r#"insert other {"id":2,"y":"behind"}"#,
            r#"insert t {"id":4,"b":"z"}"#,
        ],
    )
}

/// Row 41: columns are added, dropped and change their type while it is stopped, between rows that
/// it has not seen yet.
#[test]
fn while_it_is_stopped() -> Result<()> {
    let bed = bed(
        "schema_stopped",
        "create table t (id int primary key, a int);",
    )?;
    bed.sql("insert into t values (1, 10);")?;
    bed.catch_up(&[])?;
    bed.sql(
        "insert into t values (2, 20);
         alter table t add column b int8;
         insert into t values (3, 30, 9007199254740993);
         alter table t alter column a type text using 'was ' || a;
         insert into t values (4, 'text', 1);
         alter table t drop column a;
         update t set b = 2 where id = 4;
         alter table t drop constraint t_pkey, add primary key (b), alter column b set not null;",
    )
    .err();
    bed.sql("delete from t where id < 4; alter table t drop constraint if exists t_pkey;")?;
    bed.catch_up(&[])?;
    let got = brief(&events(&bed.path("all.ndjson"))?);
    let head = [
        r#"insert t {"id":1,"a":10}"#,
        r#"insert t {"id":2,"a":20}"#,
        r#"insert t {"id":3,"a":30,"b":9007199254740993}"#,
        r#"insert t {"id":4,"a":"text","b":1}"#,
        r#"update t {"id":4,"b":2}"#,
    ];
    ensure!(
        got.len() == head.len() + 3 && got[..head.len()] == head,
        "{got:#?}"
    );
    Ok(())
}

/// Row 42: a column is dropped and comes back under its name with another type, and two columns
/// swap their names, while it is stopped: places count, not names.
#[test]
fn columns_that_come_back_and_swap() -> Result<()> {
    let bed = bed(
        "schema_swap",
        "create table t (id int primary key, a text, b text);",
    )?;
    bed.sql("insert into t values (1, 'a', 'b');")?;
    bed.catch_up(&[])?;
    bed.sql(
        "alter table t rename column a to x;
         alter table t rename column b to a;
         alter table t rename column x to b;
         insert into t (id, a, b) values (2, 'now a', 'now b');
         update t set a = 'second' where id = 1;
         alter table t drop column a;
         alter table t add column a int;
         insert into t (id, a, b) values (3, 7, 'b');",
    )?;
    bed.catch_up(&[])?;
    check(
        &bed,
        &[
            r#"insert t {"id":1,"a":"a","b":"b"}"#,
            r#"insert t {"id":2,"b":"now b","a":"now a"}"#,
            r#"update t {"id":1,"b":"a","a":"second"}"#,
            r#"insert t {"id":3,"b":"b","a":7}"#,
        ],
    )
}

/// Row 43: a table is renamed, moved, dropped and made anew while the service streams into Kafka:
/// rows go under the name of their time, into that name's topic.
#[test]
fn tables_that_are_renamed_and_made_anew() -> Result<()> {
    let bootstrap = shared_kafka()?.bootstrap();
    let mut bed = bed(
        "schema_rename",
        "create table t (id int primary key); create schema other;",
    )?;
    let prefix = prefix("rename");
    let sink = kafka_sink(
        &bootstrap,
        &format!("topic = \"{prefix}.{{schema}}.{{table}}\"\n{}", creating(1)),
    );
    bed.configure(&format!("{sink}\n{}", file_sink(&bed.path("all.ndjson"))))?;
    let mut program = bed.serve()?;
    bed.sql("insert into t values (1);")?;
    bed.until_confirmed(&mut program)?;
    bed.sql(
        "alter table t rename to renamed;
         insert into renamed values (2);
         alter table renamed set schema other;
         insert into other.renamed values (3);
         drop table other.renamed;
         create table t (id int primary key, other text);
         insert into t values (4, 'anew');
         alter schema other rename to moved;
         create table moved.t (id int primary key);
         insert into moved.t values (5);",
    )?;
    bed.until_confirmed(&mut program)?;
    stop(program, &[])?;
    check(
        &bed,
        &[
            r#"insert t {"id":1}"#,
            r#"insert renamed {"id":2}"#,
            r#"insert renamed {"id":3}"#,
            r#"insert t {"id":4,"other":"anew"}"#,
            r#"insert t {"id":5}"#,
        ],
    )?;
    for (topic, ids) in [
        ("public.t", vec![1, 4]),
        ("public.renamed", vec![2]),
        ("other.renamed", vec![3]),
        ("moved.t", vec![5]),
    ] {
        let held = values(&bootstrap, &format!("{prefix}.{topic}"))?.concat();
        let held: Vec<_> = held
            .iter()
            .filter_map(|event| event["key"]["id"].as_i64())
            .collect();
        ensure!(held == ids, "{topic} holds {held:?}");
    }
    Ok(())
}

/// Row 44: an enum gets a value, and types are dropped and made anew with another OID, as an
/// extension does that is made anew: known on demand, also to a service that runs.
#[test]
fn types_that_change_their_oid() -> Result<()> {
    let setup = "create type mood as enum ('sad');
         create domain small as int;
         create table t (id int primary key, m mood, ms mood[], s small);";
    let bed = bed("schema_types", setup)?;
    let mut program = bed.serve()?;
    bed.sql("insert into t values (1, 'sad', '{sad}', 1);")?;
    bed.until_confirmed(&mut program)?;
    bed.sql(
        "alter type mood add value 'happy';
         insert into t values (2, 'happy', '{happy,NULL}', 2);",
    )?;
    // A type that is gone before its table's definition is read is text, as the format says.
    bed.until_confirmed(&mut program)?;
    bed.sql(
        "alter table t alter m type text, alter ms type text[], alter s type int;
         drop type mood;
         drop domain small;
         create type mood as enum ('happy', 'sad', 'new');
         create domain small as text;
         alter table t alter m type mood using m::mood, alter ms type mood[] using ms::mood[], alter s type small;
         insert into t values (3, 'new', '{new,sad}', 'three');",
    )?;
    bed.until_confirmed(&mut program)?;
    stop(program, &[CREATED])?;
    check(
        &bed,
        &[
            r#"insert t {"id":1,"m":"sad","ms":["sad"],"s":1}"#,
            r#"insert t {"id":2,"m":"happy","ms":["happy",null],"s":2}"#,
            r#"insert t {"id":3,"m":"new","ms":["new","sad"],"s":"three"}"#,
        ],
    )
}

/// Row 46: sub-transactions that abort, in any depth and with rows of several tables, leave only
/// what survives; a transaction that aborts as a whole leaves nothing and its positions are taken
/// by nobody.
#[test]
fn aborted_sub_transactions() -> Result<()> {
    let mut bed = bed(
        "schema_aborts",
        "create table t (id int primary key); create table u (id int primary key);",
    )?;
    // Every transaction spills to the server's disk at once, as large ones do.
    bed.source = "logical_decoding_work_mem = \"64KiB\"".to_owned();
    bed.configure(&file_sink(&bed.path("all.ndjson")))?;
    let mut script = String::from("begin;\ninsert into t values (0);\n");
    let mut survivors = vec![r#"insert t {"id":0}"#.to_owned()];
    for n in 1..=300 {
        script.push_str(&format!(
            "savepoint a{n};\ninsert into t values ({n});\ninsert into u values ({n});\n"
        ));
        match n % 3 {
            0 => script.push_str(&format!("rollback to a{n};\n")),
            1 => script.push_str(&format!(
                "savepoint b;\ninsert into u values (-{n});\nrollback to b;\nrelease a{n};\n"
            )),
            _ => {}
        }
        if n % 3 != 0 {
            survivors.extend(["t", "u"].map(|table| format!("insert {table} {{\"id\":{n}}}")));
        }
    }
    script.push_str("commit;\nbegin;\ninsert into t values (1000);\nsavepoint x;\ninsert into t values (1001);\nrelease x;\nrollback;\n");
    bed.sql(&script)?;
    bed.catch_up(&[])?;
    let all = events(&bed.path("all.ndjson"))?;
    let got = brief(&all);
    ensure!(
        got == survivors,
        "{} of {}: {got:?}",
        got.len(),
        survivors.len()
    );
    let indices: Vec<_> = all
        .iter()
        .filter_map(|event| u32::from_str_radix(event["id"].as_str()?.get(17..)?, 16).ok())
        .collect();
    ensure!(
        indices == (2..2 + 401).collect::<Vec<_>>(),
        "rows that survive are numbered without holes: {indices:?}"
    );
    Ok(())
}

/// Row 47, in short: a transaction that is prepared comes with its COMMIT PREPARED, once, also when
/// the service was killed in between.
#[test]
fn a_prepared_transaction_across_a_kill() -> Result<()> {
    let bed = bed("schema_prepared", "create table t (id int primary key);")?;
    let mut program = bed.serve()?;
    bed.sql("begin; insert into t values (1); prepare transaction 'schema_prepared';")?;
    bed.sql("insert into t values (2);")?;
    bed.until_confirmed(&mut program)?;
    program.signal("KILL")?;
    program.wait()?;
    bed.sql("commit prepared 'schema_prepared';")?;
    bed.catch_up(AFTER_A_KILL)?;
    bed.catch_up(&[])?;
    check(&bed, &[r#"insert t {"id":2}"#, r#"insert t {"id":1}"#])
}
