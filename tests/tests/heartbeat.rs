//! The heartbeat: written, seen to come back, and never delivered.

use anyhow::{Result, ensure};
use serde_json::json;
use walgate_tests::{Bed, CREATED, clean, events, file_sink, stop, until};
use walgate_throwaway::PgVersion;

const SETUP: &str = "create table t (id int primary key); create publication walgate for table t;";

#[test]
fn a_heartbeat_comes_back_and_is_not_delivered() -> Result<()> {
    for version in [PgVersion::V14, PgVersion::V18] {
        let mut bed = Bed::shared(version, "heartbeat", SETUP)?;
        bed.source = "heartbeat = \"1s\"".to_owned();
        let out = bed.path("out.ndjson");
        bed.configure(&file_sink(&out))?;
        bed.sql("select pg_create_logical_replication_slot('heartbeat_seen', 'pgoutput')")?;
        let mut service = bed.serve()?;
        let beats =
            "select count(*) from pg_logical_slot_peek_binary_changes('heartbeat_seen', null, null,
            'proto_version', '1', 'publication_names', 'walgate', 'messages', 'true')
            where position('heartbeat'::bytea in data) > 0";
        let mut admin = bed.admin()?;
        until("three heartbeats are written", || {
            Ok(admin.query_one(beats, &[])?.get::<_, i64>(0) >= 3)
        })?;
        bed.sql("select pg_drop_replication_slot('heartbeat_seen')")?;
        // A message of the user's with the same prefix is one.
        bed.sql(
            "insert into t values (1); select pg_logical_emit_message(true, 'walgate', 'mine')",
        )?;
        bed.until_confirmed(&mut service)?;
        stop(service, &[CREATED])?;
        let found = events(&out)?;
        let ops: Vec<_> = found.iter().map(|event| event["op"].clone()).collect();
        ensure!(ops == ["insert", "message"], "{version}: {found:?}");
        ensure!(found[1]["content"] == json!("mine"), "{found:?}");
    }
    Ok(())
}

#[test]
fn a_role_without_the_right_is_told_once() -> Result<()> {
    let mut bed = Bed::shared(PgVersion::V17, "heartbeat_right", SETUP)?;
    bed.sql(
        "create role heartbeat_weak login replication;
         revoke execute on function pg_logical_emit_message(boolean, text, text, boolean) from public",
    )?;
    bed.source = "heartbeat = \"1s\"".to_owned();
    bed.url = bed.url.replace("postgres@", "heartbeat_weak@");
    let out = bed.path("out.ndjson");
    bed.configure(&file_sink(&out))?;
    let refused = "no heartbeat is written: the role may not call pg_logical_emit_message";
    let mut service = bed.serve()?;
    service.wait_for_log(refused)?;
    bed.sql("insert into t values (1)")?;
    bed.until_confirmed(&mut service)?;
    let ended = stop(service, &[CREATED, refused])?;
    clean(&ended, &[CREATED, refused])?;
    ensure!(
        ended.stderr.matches(refused).count() == 1,
        "{}",
        ended.stderr
    );
    ensure!(events(&out)?.len() == 1);
    Ok(())
}
