//! `sql/heartbeat.sql`.

use anyhow::{Result, ensure};
use walgate_tests::session;
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions};

const SCRIPT: &str = include_str!("../../../sql/heartbeat.sql");

/// What a consumer of pgoutput that asks for messages is sent.
const MESSAGES: &str = "select data from pg_logical_slot_get_binary_changes('s', null, null,
    'proto_version', '1', 'publication_names', 'p', 'messages', 'true')
    where get_byte(data, 0) = ascii('M')";

/// The right is everybody's at first.
const TAKEN: &str = "do $$
declare
    emit record;
begin
    for emit in select oid::regprocedure as name from pg_proc where proname = 'pg_logical_emit_message' loop
        execute format('revoke execute on function %s from public', emit.name);
    end loop;
end $$";

#[test]
fn the_heartbeat_is_written_and_the_role_may_write_it() -> Result<()> {
    // Before and after the function was given its fourth argument.
    for version in [PgVersion::V16, PgVersion::V17] {
        let server = Postgres::start(&PostgresOptions::version(version))?;
        server.sql("create role walgate login; create publication p")?;
        server.sql("select pg_create_logical_replication_slot('s', 'pgoutput')")?;
        server.sql(TAKEN)?;

        let emit = "select pg_logical_emit_message(true, 'heartbeat', 'mine')";
        let mut role = session(&server.url_of("walgate", "postgres"))?;
        ensure!(
            role.batch_execute(emit).is_err(),
            "{version}: the right was not taken away"
        );
        for _ in 0..2 {
            server.sql(SCRIPT)?;
        }
        role.batch_execute(emit)?;

        let read = session(&server.url())?.query(MESSAGES, &[])?;
        let texts: Vec<Vec<u8>> = read.iter().map(|row| row.get(0)).collect();
        let beats = texts
            .iter()
            .filter(|text| text.windows(9).any(|part| part == b"heartbeat"));
        ensure!(
            beats.count() == 3,
            "{version}: {} messages came",
            texts.len()
        );
    }
    Ok(())
}
