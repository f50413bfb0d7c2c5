//! A snapshot while a transaction is prepared: its rows come once, as changes or as rows.

use anyhow::{Result, ensure};
use serde_json::json;
use walgate_tests::{Bed, session, stop};
use walgate_throwaway::PgVersion;

use super::client::Client;
use super::{address, websocket};

#[test]
fn a_prepared_transaction_is_no_part_of_a_snapshot_until_it_commits() -> Result<()> {
    let tables = "create table t (id int primary key); insert into t values (1); \
                  create publication walgate for table t;";
    let mut bed = Bed::shared(PgVersion::V17, "push_prepared", tables)?;
    bed.sinks = websocket("delivery = \"live-only\"");
    bed.begin()?;
    let mut program = bed.serve()?;
    let at = address(&mut program)?;
    let mut other = session(&bed.direct)?;
    for (id, ending) in [(2, "commit"), (3, "rollback")] {
        other.batch_execute(&format!(
            "begin; insert into t values ({id}); prepare transaction 'push_prepared_{id}'"
        ))?;
        let mut client = Client::connect(&at, "?snapshot=true")?;
        let before = client.events(id - 1)?;
        ensure!(
            before.iter().all(|event| event["op"] == "read"),
            "{before:?}"
        );
        ensure!(client.answer("snapshot")?["rows"] == id - 1);
        // It is not waited for.
        client.answer("ready")?;
        other.batch_execute(&format!("{ending} prepared 'push_prepared_{id}'"))?;
        bed.sql(&format!("insert into t values ({id}0)"))?;
        let next = client.event()?;
        let expected = if ending == "commit" { id } else { id * 10 };
        ensure!(
            next["op"] == "insert" && next["key"] == json!({"id": expected}),
            "{next}"
        );
        bed.sql(&format!("delete from t where id = {id}0"))?;
    }
    stop(program, &[])?;
    Ok(())
}
