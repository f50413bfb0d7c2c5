//! "In Kafka" of the format, through the program.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use walgate_tests::{
    Bed, CREATED, Stored, commit_lsn, events, failed, file_sink, records, stop, until,
};
use walgate_throwaway::{PgVersion, shared_kafka};

use super::brief::brief;
use super::topics::{create, creating, header, kafka_sink, only, values};

/// The partitions of 7 that `BuiltInPartitioner.partitionForKey` of kafka-clients 4.2.0 chooses
/// for the keys `{"id":1,"name":"zürich 1"}` to `{"id":40,"name":"zürich 40"}`.
const OF_JAVA: [usize; 40] = [
    5, 6, 0, 4, 2, 6, 0, 6, 5, 6, 4, 2, 5, 1, 5, 5, 1, 6, 2, 0, 0, 0, 5, 0, 6, 1, 2, 5, 1, 1, 3, 2,
    5, 4, 3, 2, 1, 0, 6, 3,
];
/// The same for `public.keyless`.
const KEYLESS_OF_JAVA: usize = 0;

/// A prefix of topics that nobody else has, also on a user's own broker.
pub(crate) fn prefix(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

fn op(record: &Stored) -> &str {
    header(record, "walgate-op").unwrap_or("-")
}

/// Rows go to the partition that Java's producer would choose, with the key as JSON, the event as
/// the value and three headers; a table without a key has one partition; a truncate goes to all.
#[test]
fn keys_partitions_and_headers() -> Result<()> {
    let bootstrap = shared_kafka()?.bootstrap();
    let mut bed = Bed::shared(
        PgVersion::V17,
        "kafka_keys",
        "create table cities (id int, name text, note text, primary key (id, name));
         create table keyless (note text);
         create publication walgate for table cities, keyless;",
    )?;
    let prefix = prefix("keys");
    let topic = format!("topic = \"{prefix}.{{schema}}.{{table}}\"\n{}", creating(7));
    bed.configure(&kafka_sink(&bootstrap, &topic))?;
    bed.begin()?;
    bed.sql(
        "insert into cities select n, 'zürich ' || n, 'x' from generate_series(1, 40) n;
         insert into keyless select 'n' || n from generate_series(1, 20) n;
         truncate cities;",
    )?;
    bed.catch_up(&[])?;
    let cities = records(&bootstrap, &format!("{prefix}.public.cities"))?;
    ensure!(cities.len() == 7, "{} partitions", cities.len());
    for (partition, records) in cities.iter().enumerate() {
        let (truncate, rows) = records
            .split_last()
            .context("a truncate in each partition")?;
        ensure!(
            op(truncate) == "truncate" && truncate.key.is_none(),
            "{truncate:?}"
        );
        for record in rows {
            let event: Value = serde_json::from_str(record.value.as_deref().context("a value")?)?;
            let id = event["key"]["id"].as_u64().context("an id")?;
            let due = OF_JAVA[usize::try_from(id)? - 1];
            ensure!(
                partition == due,
                "{record:?} in {partition}, Java says {due}"
            );
            let key = format!("{{\"id\":{id},\"name\":\"zürich {id}\"}}");
            ensure!(record.key.as_deref() == Some(&key), "{record:?}");
            let headers = [
                ("walgate-id", event["id"].as_str()),
                ("walgate-op", Some("insert")),
                ("walgate-table", Some("public.cities")),
            ];
            for (name, value) in headers {
                ensure!(header(record, name) == value, "{name} of {record:?}");
            }
        }
    }
    ensure!(cities.iter().flatten().count() == 40 + 7);
    let keyless = records(&bootstrap, &format!("{prefix}.public.keyless"))?;
    for (partition, records) in keyless.iter().enumerate() {
        let due = if partition == KEYLESS_OF_JAVA { 20 } else { 0 };
        ensure!(
            records.len() == due,
            "{} rows in {partition}",
            records.len()
        );
    }
    Ok(())
}

/// A delete is followed by a tombstone; a changed key is the event under the new key, followed by a
/// tombstone under the old; a tombstone's id is the event's with `-t` behind it.
#[test]
fn tombstones() -> Result<()> {
    let bootstrap = shared_kafka()?.bootstrap();
    let mut bed = Bed::shared(
        PgVersion::V17,
        "kafka_tombstones",
        "create table t (id int primary key, note text);
         create table bare (id int primary key);
         create publication walgate for table t, bare;",
    )?;
    let prefix = prefix("tombstones");
    let more = format!(
        "topic = \"{prefix}.{{table}}\"\n{}\nrules = {{ \"public.bare\" = {{ tombstones = false }} }}",
        creating(1)
    );
    bed.configure(&kafka_sink(&bootstrap, &more))?;
    bed.begin()?;
    bed.sql(
        "insert into t values (1, 'a');
         update t set note = 'b';
         update t set id = 2;
         delete from t;
         insert into bare values (1);
         delete from bare;",
    )?;
    bed.catch_up(&[])?;
    let all = only(records(&bootstrap, &format!("{prefix}.t"))?)?;
    let seen: Vec<_> = all
        .iter()
        .map(|record| {
            (
                op(record),
                record.key.as_deref().unwrap_or("-"),
                record.value.is_some(),
            )
        })
        .collect();
    let expected = [
        ("insert", "{\"id\":1}", true),
        ("update", "{\"id\":1}", true),
        ("update", "{\"id\":2}", true),
        ("update", "{\"id\":1}", false),
        ("delete", "{\"id\":2}", true),
        ("delete", "{\"id\":2}", false),
    ];
    ensure!(seen == expected, "{seen:?}");
    for pair in [&all[2..4], &all[4..6]] {
        let id = header(&pair[0], "walgate-id").context("an id")?;
        let tombstone = header(&pair[1], "walgate-id").context("an id")?;
        ensure!(tombstone == format!("{id}-t"), "{tombstone} behind {id}");
        ensure!(header(&pair[1], "walgate-table") == Some("public.t"));
    }
    let bare = only(records(&bootstrap, &format!("{prefix}.bare"))?)?;
    let ops: Vec<_> = bare.iter().map(op).collect();
    ensure!(
        ops == ["insert", "delete"],
        "no tombstone was wanted: {ops:?}"
    );
    Ok(())
}

/// The events but for the definitions, which are those of these tables.
fn without_schemas(mut all: Vec<Value>, tables: &[&str]) -> Result<Vec<Value>> {
    let schemas: Vec<_> = all
        .extract_if(.., |event| event["op"] == "schema")
        .map(|event| event["table"].clone())
        .collect();
    ensure!(schemas == tables, "{schemas:?}");
    Ok(all)
}

/// A stream topic has what a reader needs to take rows for rows of the log: their definitions, and
/// where a transaction is whole. The meta topic has only what was asked for.
#[test]
fn a_stream_topic_has_definitions_and_commits_unasked() -> Result<()> {
    let bootstrap = shared_kafka()?.bootstrap();
    let mut bed = Bed::shared(
        PgVersion::V17,
        "kafka_definitions",
        "create domain positive as int check (value > 0);
         create table a (id int primary key, p positive, secret text);
         create publication walgate for table a;",
    )?;
    let prefix = prefix("definitions");
    let (meta, stream) = (format!("{prefix}.meta"), format!("{prefix}.stream"));
    let more = format!(
        "topic = \"{prefix}.{{table}}\"\nmeta_topic = \"{meta}\"\nstream_topic = \"{stream}\"\n\
         mask_key = \"correct horse battery staple\"\n{}\n\
         rules = {{ \"public.a\" = {{ mask = [\"secret\"] }} }}",
        creating(1)
    );
    bed.configure(&kafka_sink(&bootstrap, &more))?;
    bed.begin()?;
    bed.sql("insert into a values (1, 2, 'x');")?;
    bed.sql("alter table a replica identity full; insert into a values (2, 2, 'x');")?;
    bed.catch_up(&[])?;
    let meta = records(&bootstrap, &meta)?;
    ensure!(meta.iter().all(Vec::is_empty), "not asked for: {meta:?}");
    let all = only(values(&bootstrap, &stream)?)?;
    let ops: Vec<_> = all.iter().map(|event| event["op"].clone()).collect();
    ensure!(
        ops == ["schema", "insert", "commit", "schema", "insert", "commit"],
        "{ops:?}"
    );
    let (first, second) = (&all[0], &all[3]);
    ensure!(first["replica_identity"] == "default", "{first}");
    ensure!(first["oid"].is_u64(), "{first}");
    let columns = &first["columns"];
    ensure!(columns[0]["identity"] == true, "{first}");
    ensure!(columns[1]["shape"] == "integer", "{first}");
    ensure!(columns[2]["masked"] == true, "{first}");
    ensure!(second["replica_identity"] == "full", "{second}");
    ensure!(second["columns"][0]["primary_key"] == true, "{second}");
    Ok(())
}

/// `begin`, `commit` and messages go to the meta topic; the stream topic has every event in commit
/// order, also of transactions that interleave.
#[test]
fn meta_and_stream_topic() -> Result<()> {
    let bootstrap = shared_kafka()?.bootstrap();
    let mut bed = Bed::shared(
        PgVersion::V17,
        "kafka_stream",
        "create table a (id int primary key);
         create table b (id int primary key);
         create publication walgate for table a, b;",
    )?;
    let prefix = prefix("stream");
    let (meta, stream) = (format!("{prefix}.meta"), format!("{prefix}.stream"));
    let more = format!(
        "topic = \"{prefix}.{{table}}\"\nmeta_topic = \"{meta}\"\nstream_topic = \"{stream}\"\n\
         transactions = true\n{}",
        creating(3)
    );
    bed.configure(&kafka_sink(&bootstrap, &more))?;
    bed.begin()?;
    let mut other = walgate_tests::session(&bed.url)?;
    other.batch_execute("begin; insert into b values (1)")?;
    bed.sql(
        "begin;
         insert into a values (1);
         select pg_logical_emit_message(true, 'note', 'inside');
         insert into b values (2);
         commit;
         select pg_logical_emit_message(false, 'note', 'outside');",
    )?;
    other.batch_execute("insert into a values (2); commit")?;
    bed.sql("truncate a, b;")?;
    bed.catch_up(&[])?;
    let meta: Vec<_> = only(values(&bootstrap, &meta)?)?;
    let ops: Vec<_> = meta
        .iter()
        .map(|event| event["op"].as_str().unwrap_or("-"))
        .collect();
    ensure!(
        ops == [
            "begin", "message", "commit", "message", "begin", "commit", "begin", "commit"
        ],
        "{ops:?}"
    );
    let changes: Vec<_> = meta
        .iter()
        .filter_map(|event| event["changes"].as_u64())
        .collect();
    ensure!(changes == [3, 2, 2], "{changes:?}");
    let all = without_schemas(only(values(&bootstrap, &stream)?)?, &["a", "b"])?;
    let ids: Vec<_> = all.iter().map(|event| event["id"].to_string()).collect();
    ensure!(ids.is_sorted_by(|a, b| a < b), "commit order: {ids:?}");
    let rows: Vec<_> = all
        .iter()
        .filter(|event| event["table"].is_string())
        .cloned()
        .collect();
    let expected = [
        "insert a {\"id\":1}",
        "insert b {\"id\":2}",
        "insert b {\"id\":1}",
        "insert a {\"id\":2}",
        "truncate a null",
        "truncate b null",
    ];
    ensure!(brief(&rows) == expected, "{:?}", brief(&rows));
    ensure!(
        all.len() == expected.len() + meta.len(),
        "everything is in the stream topic"
    );
    Ok(())
}

/// Tables and operations that a sink does not take, columns that it drops or masks, a key of its
/// own, and bigint as a string: each sink has its own view of one slot.
#[test]
fn selection_masks_and_keys() -> Result<()> {
    let bootstrap = shared_kafka()?.bootstrap();
    let mut bed = Bed::shared(PgVersion::V17,
        "kafka_view",
        "create schema crm;
         create table crm.users (id int primary key, tenant int not null, big int8, email text, secret text);
         create table crm.sessions (id int primary key);
         create table public.orders (id int primary key);
         create publication walgate for table crm.users, crm.sessions, public.orders;",
    )?;
    let prefix = prefix("view");
    let more = format!(
        "topic = \"{prefix}.{{schema}}.{{table}}\"\ntables = [\"crm.*\"]\n\
         exclude_tables = [\"crm.sessions\"]\nops = [\"insert\", \"delete\"]\nint8 = \"string\"\n\
         mask_key = \"correct horse battery staple\"\n{}\n\
         rules = {{ \"crm.*\" = {{ drop = [\"secret\"], mask = [\"email\"], key = [\"tenant\", \"id\"] }} }}",
        creating(1)
    );
    let file = bed.path("all.ndjson");
    bed.configure(&format!(
        "{}\n{}",
        kafka_sink(&bootstrap, &more),
        file_sink(&file)
    ))?;
    bed.begin()?;
    bed.sql(
        "alter table crm.users replica identity full;
         insert into crm.users values (1, 7, 9007199254740993, 'a@example.com', 'hidden');
         insert into crm.users values (2, 7, null, 'a@example.com', 'hidden');
         update crm.users set big = 5 where id = 1;
         insert into crm.sessions values (1);
         insert into orders values (1);
         delete from crm.users where id = 2;",
    )?;
    bed.catch_up(&[])?;
    let users = only(values(&bootstrap, &format!("{prefix}.crm.users"))?)?;
    check_view(&users)?;
    let sessions = records(&bootstrap, &format!("{prefix}.crm.sessions"))?;
    ensure!(sessions.is_empty(), "no topic was made: {sessions:?}");
    let all = events(&file)?;
    ensure!(
        all.len() == 6,
        "the file sink takes everything: {:?}",
        brief(&all)
    );
    ensure!(all[0]["after"]["big"] == json!(9_007_199_254_740_993_i64));
    // What is filtered has its place in the numbering all the same.
    let ids: Vec<_> = all.iter().map(|event| event["id"].clone()).collect();
    ensure!(
        users.iter().all(|event| ids.contains(&event["id"])),
        "{ids:?}"
    );
    Ok(())
}

/// Only what was selected, with its own key, and nothing of what is dropped or masked.
fn check_view(users: &[Value]) -> Result<()> {
    let ops: Vec<_> = users
        .iter()
        .map(|event| event["op"].as_str().unwrap_or("-"))
        .collect();
    ensure!(ops == ["insert", "insert", "delete"], "{ops:?}");
    ensure!(
        users[0]["key"] == json!({"tenant": 7, "id": 1}),
        "{}",
        users[0]
    );
    ensure!(
        users[0]["after"]["big"] == "9007199254740993",
        "{}",
        users[0]
    );
    let masked = users[0]["after"]["email"].as_str().context("a mask")?;
    ensure!(
        masked.starts_with("hmac:") && masked.len() == 5 + 64,
        "{masked}"
    );
    ensure!(
        users[1]["after"]["email"] == masked,
        "equal values stay equal"
    );
    ensure!(
        users[2]["before"]["email"] == masked,
        "the old row is masked too: {}",
        users[2]
    );
    let text = format!("{users:?}");
    ensure!(
        !text.contains("hidden") && !text.contains("example.com"),
        "{text}"
    );
    Ok(())
}

/// Masking a column of the key would change which row an event is about: refused with the reason,
/// as a name that shares a topic by accident is.
#[test]
fn refused_views() -> Result<()> {
    let bootstrap = shared_kafka()?.bootstrap();
    let mut bed = Bed::shared(
        PgVersion::V17,
        "kafka_refused",
        "create table users (id int primary key);
         create table \"a.b\" (id int primary key);
         create schema a;
         create table a.b (id int primary key);
         create publication walgate for table users;
         insert into users values (1);",
    )?;
    let more = format!(
        "topic = \"{}.{{table}}\"\nmask_key = \"correct horse battery staple\"\n{}\n\
         rules = {{ \"public.users\" = {{ mask = [\"id\"] }} }}",
        prefix("refused"),
        creating(1)
    );
    bed.configure(&kafka_sink(&bootstrap, &more))?;
    bed.begin()?;
    bed.sql("insert into users values (2);")?;
    let ended = bed.start()?.wait()?;
    failed(
        &ended,
        2,
        &["error: ", "public.users", "\"id\"", "allow_key_columns"],
    )?;
    ensure!(
        !ended.stderr.contains("battery staple"),
        "a secret: {}",
        ended.stderr
    );
    // Two tables, one topic: told before anything is sent.
    bed.sql("alter publication walgate set table users, a.b, \"a.b\";")?;
    let more = format!("topic = \"{}.{{table}}\"\n{}", prefix("one"), creating(1));
    bed.sql("create schema z; create table z.users (id int primary key); alter publication walgate add table z.users;")?;
    bed.configure(&kafka_sink(&bootstrap, &more))?;
    let ended = bed.start()?.wait()?;
    failed(&ended, 2, &["public.users", "z.users", ".users\""])?;
    Ok(())
}

/// One publication, two sinks: the required file goes on and the slot with it while the optional
/// Kafka is away; with a small journal it loses its place, and says so when it is back.
#[test]
fn an_optional_sink_that_is_down_holds_nobody_up() -> Result<()> {
    let mut broker = walgate_throwaway::Kafka::start(&walgate_throwaway::KafkaOptions::default())?;
    let mut bed = Bed::shared(
        PgVersion::V17,
        "kafka_optional",
        "create table t (id int primary key, pad text);
         create publication walgate for table t;",
    )?;
    bed.more = "shutdown_timeout = \"2s\"".to_owned();
    let bootstrap = broker.bootstrap();
    create(&bootstrap, "optional.t", 2, &[])?;
    create(&bootstrap, "optional.meta", 1, &[])?;
    let file = bed.path("all.ndjson");
    let optional = "required = false\ntopic = \"optional.{table}\"\nmeta_topic = \"optional.meta\"\nbuffer = \"1MiB\"";
    bed.configure(&format!(
        "[journal]\nmemory = \"1MiB\"\n\n{}\n{}",
        kafka_sink(&bootstrap, optional),
        file_sink(&file)
    ))?;
    let mut program = bed.serve()?;
    bed.sql("insert into t values (0, 'before');")?;
    until("the first row is in Kafka", || {
        Ok(values(&bootstrap, "optional.t")?.concat().len() == 1)
    })?;
    broker.stop()?;
    for n in 1..=40 {
        let rows = format!(
            "insert into t select g, repeat('x', 1000) from generate_series({n}001, {n}500) g;"
        );
        bed.sql(&rows)?;
    }
    // The position moves on without changes, too.
    bed.sql("checkpoint;")?;
    bed.until_confirmed(&mut program)?;
    ensure!(
        events(&file)?.len() == 1 + 40 * 500,
        "the file has everything"
    );
    broker.start_again()?;
    program.wait_for_log("changes are lost for this sink")?;
    bed.sql("insert into t values (1, 'after');")?;
    until("the row behind the gap is in Kafka", || {
        let all = values(&bootstrap, "optional.t")?.concat();
        Ok(all.iter().any(|event| event["after"]["pad"] == "after"))
    })?;
    let known = [
        CREATED,
        "kafka is unreachable",
        "changes are lost for this sink",
        "sink kafka",
    ];
    stop(program, &known)?;
    let meta = only(values(&bootstrap, "optional.meta")?)?;
    let gap = meta
        .iter()
        .find(|event| event["op"] == "gap")
        .context("a gap in the meta topic")?;
    ensure!(
        gap["from"].is_string() && gap["to"].is_string() && gap["reason"].is_string(),
        "{gap}"
    );
    for partition in values(&bootstrap, "optional.t")? {
        ensure!(
            partition.iter().any(|event| event["op"] == "gap"),
            "a gap in every partition"
        );
    }
    complete_but_for_the_gap(
        &values(&bootstrap, "optional.t")?.concat(),
        &events(&file)?,
        gap,
    )
}

/// Every event of the file that Kafka lacks lies inside of the gap.
fn complete_but_for_the_gap(kafka: &[Value], file: &[Value], gap: &Value) -> Result<()> {
    let parse = |name: &str| -> Result<u64> {
        let text = gap[name].as_str().context("an lsn")?;
        let (high, low) = text.split_once('/').context("X/X")?;
        Ok((u64::from_str_radix(high, 16)? << 32) | u64::from_str_radix(low, 16)?)
    };
    let (from, to) = (parse("from")?, parse("to")?);
    let held: std::collections::BTreeSet<_> =
        kafka.iter().map(|event| event["id"].to_string()).collect();
    let mut lost = 0;
    for event in file {
        if !held.contains(&event["id"].to_string()) {
            let at = commit_lsn(event)?;
            ensure!(
                from <= at && at <= to,
                "{at:X} is missing, and not in {from:X} to {to:X}"
            );
            lost += 1;
        }
    }
    ensure!(lost > 0, "the journal was too small for everything");
    Ok(())
}
