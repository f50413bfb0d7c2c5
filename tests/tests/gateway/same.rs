//! What a gateway sends is what the slot's own server sends, byte for byte.

use anyhow::{Result, ensure};
use walgate_tests::stop;
use walgate_throwaway::{PgVersion, shared_kafka};

use super::bench::Front;
use crate::push::client::Client;
use crate::push::{address, websocket};

const SETUP: &str = "
    create type mood as enum ('sad', 'happy');
    create domain positive as int8 check (value > 0);
    create table t (id int primary key, n numeric, f float8, j jsonb, raw json, b bytea, s timestamptz,
        p timestamp, z timetz, d date, a int[], texts text[], m mood, moods mood[], dom positive, u uuid,
        r int4range, big text, flag bool);
    create table whole (id int, k int, big text, primary key (id, k));
    alter table whole replica identity full;
    alter table whole alter big set storage external;
    create table keyless (note text);
    alter table t alter big set storage external;
    create publication walgate for table t, whole, keyless;";

const WORK: &str = r#"
    insert into t values (1, 12.50, 1e20, '{"a": [1, null]}', ' {"a" : 1,
        "b":2} ', '\xdeadbeef', '2026-11-21 09:30:00.5+02', 'infinity', '10:00:00+02', '0044-03-15 BC',
        '[0:1]={1,null}', '{"a,b","",NULL,"null","\"\\"}', 'sad', '{sad,happy}', 9007199254740993,
        '018f4f6e-0000-7000-8000-000000000000', '[1,5)', repeat('x', 9000), true);
    insert into t (id, n, f, big) values (2, 'NaN', '-Infinity', repeat('y', 9000));
    begin;
    update t set n = n + 1 where id = 1;
    update t set id = 3, flag = false where id = 2;
    insert into whole values (1, 1, repeat('z', 9000)), (2, 1, 'small');
    select pg_logical_emit_message(true, 'note', 'inside');
    update whole set k = 2 where id = 1;
    delete from whole where id = 2;
    insert into keyless values ('é "quoted" \');
    commit;
    select pg_logical_emit_message(false, 'note', 'outside');
    alter table t add column late int default 7;
    update t set n = 100 where id = 1;
    delete from t where id = 3;
    truncate t, whole cascade;
    begin;
    insert into t (id, n, m) values (5, 3, 'happy'), (6, 30, 'sad');
    commit;
    insert into t (id, n, m) values (999, 999, 'happy');
    "#;

/// What clients ask for; the last row is in all of it.
const ASKED: [&str; 5] = [
    "?table=*&transactions=true",
    "?table=public.t&where=n%20%3E%205&column=n&column=late",
    "?table=public.t&where=m%20%3D%20%27happy%27&transactions=true",
    "?table=public.t&op=insert&op=delete",
    "?table=public.*&where=id%20%3E%3D%201",
];

/// Everything up to the last row, as it came.
fn all(client: &mut Client) -> Result<Vec<String>> {
    let mut all = Vec::new();
    loop {
        let text = client.text()?;
        let is_last = text.contains("999");
        all.push(text);
        if is_last {
            return Ok(all);
        }
    }
}

#[test]
fn what_a_gateway_sends_is_what_the_slots_own_server_sends() -> Result<()> {
    let bootstrap = shared_kafka()?.bootstrap();
    let mut front = Front::new(PgVersion::V17, "gateway_same", SETUP, bootstrap)?;
    front.bed.sinks += &websocket("delivery = \"resumable\"");
    let mut run = front.bed.serve()?;
    let direct = address(&mut run)?;
    // So that there is an event to begin with.
    front.bed.sql("insert into keyless values ('first')")?;
    let mut gateway = front.gateway("one")?;
    let behind = address(&mut gateway)?;
    let connect = |at: &str| -> Result<Vec<Client>> {
        let mut clients = Vec::new();
        for asked in ASKED {
            let mut client = Client::connect(at, asked)?;
            client.answer("ready")?;
            clients.push(client);
        }
        Ok(clients)
    };
    let (mut in_front, mut in_back) = (connect(&direct)?, connect(&behind)?);
    front.bed.sql(WORK)?;
    for ((front, back), asked) in in_front.iter_mut().zip(&mut in_back).zip(ASKED) {
        let (expected, found) = (all(front)?, all(back)?);
        ensure!(expected.len() > 1, "{asked}: {expected:?}");
        ensure!(
            found == expected,
            "{asked}: {found:#?} is not {expected:#?}"
        );
    }
    // What is replayed is the same too.
    for asked in ASKED {
        let begin = format!(
            "{asked}&after={}",
            in_front[0].first.as_deref().unwrap_or_default()
        );
        let expected = all(&mut Client::connect(&direct, &begin)?)?;
        let found = all(&mut Client::connect(&behind, &begin)?)?;
        ensure!(
            found == expected,
            "{begin}: {found:#?} is not {expected:#?}"
        );
    }
    stop(gateway, &[])?;
    stop(run, &[])?;
    Ok(())
}
