//! What a gateway can give to who comes back.

use anyhow::{Result, ensure};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use walgate_tests::{ends, stop, until};
use walgate_throwaway::{PgVersion, shared_kafka};

use super::bench::{Front, start};
use crate::push::address;
use crate::push::client::Client;

const SETUP: &str = "create table t (id int primary key); create publication walgate for table t;";

fn ids(client: &mut Client, count: usize) -> Result<Vec<i64>> {
    let events = client.events(count)?;
    let ids = events.iter().map(|event| event["key"]["id"].as_i64());
    Ok(ids.map(Option::unwrap_or_default).collect())
}

/// The id of the first event of the stream topic that is about a row.
fn first_row(front: &Front) -> Result<String> {
    let records = walgate_tests::records(&front.bootstrap, &front.topic)?;
    let rows = records.into_iter().flatten();
    let mut inserts = rows.filter(|record| {
        record
            .headers
            .contains(&("walgate-op".to_owned(), "insert".to_owned()))
    });
    let headers = inserts.next().map(|record| record.headers);
    let id = headers
        .into_iter()
        .flatten()
        .find(|(name, _)| name == "walgate-id");
    Ok(id.map(|(_, id)| id).unwrap_or_default())
}

/// Deletes everything that the topic has before an offset, as its retention would.
pub(super) fn delete_below(front: &Front, offset: i64) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &front.bootstrap)
        .create()?;
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&front.topic, 0, Offset::Offset(offset))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let deleted = runtime.block_on(admin.delete_records(&offsets, &AdminOptions::new()))?;
    for element in deleted.elements() {
        element.error()?;
    }
    Ok(())
}

#[test]
fn a_gateway_that_starts_late_fills_its_window_and_one_that_lost_its_place_says_so() -> Result<()> {
    let bootstrap = shared_kafka()?.bootstrap();
    let front = Front::new(PgVersion::V15, "gateway_window", SETUP, bootstrap)?;
    let mut run = front.bed.serve()?;
    front.bed.sql("insert into t values (1)")?;
    front
        .bed
        .sql("insert into t select generate_series(2, 100)")?;
    until("all of it is in the topic", || {
        let records = walgate_tests::records(&front.bootstrap, &front.topic);
        // The topic comes with its first record.
        let count = records.map_or(0, |all| all.iter().map(Vec::len).sum());
        // 100 rows, two commits and a definition.
        Ok(count == 103)
    })?;
    // Late: all of the topic is in its window.
    let mut late = front.gateway("late")?;
    let at = address(&mut late)?;
    let first = first_row(&front)?;
    let mut client = Client::connect(&at, &format!("?after={first}"))?;
    ensure!(ids(&mut client, 99)? == (2..=100).collect::<Vec<_>>());
    client.answer("ready")?;
    // One that looks back not at all begins behind what is there.
    let mut blind = start(&front.config("blind", "window = \"0ms\"")?)?;
    let mut refused = Client::connect(&address(&mut blind)?, &format!("?after={first}"))?;
    let answer = refused.answer("resync_required")?;
    ensure!(answer["oldest"].is_string(), "{answer}");
    stop(blind, &[])?;
    let seen = client.last.clone().unwrap_or_default();
    stop(late, &[])?;
    // While it is away the topic loses what it has not read.
    front.bed.sql("insert into t values (101)")?;
    until("it is in the topic", || {
        Ok(ends(&front.bootstrap, &front.topic)?[0] >= 105)
    })?;
    delete_below(&front, ends(&front.bootstrap, &front.topic)?[0])?;
    // The definition is gone with it, and comes again when what writes the topic starts again.
    front.bed.sql("insert into t values (102)")?;
    front.bed.until_confirmed(&mut run)?;
    stop(run, &[])?;
    let run = front.bed.serve()?;
    front.bed.sql("insert into t values (103)")?;
    let mut late = front.gateway("late")?;
    let at = address(&mut late)?;
    let mut lost = Client::connect(&at, &format!("?after={seen}"))?;
    lost.answer("resync_required")?;
    // What is behind the hole is whole.
    let mut live = Client::connect(&at, "?table=public.t")?;
    live.answer("ready")?;
    front.bed.sql("insert into t values (104)")?;
    ensure!(ids(&mut live, 1)? == [104]);
    let known = [
        "the topic lost this",
        "changes are lost for this sink",
        "no schema event",
        "the topic says that changes are lost",
    ];
    stop(late, &known)?;
    stop(run, &[])?;
    Ok(())
}
