//! Kafka goes away, and comes back.

use anyhow::{Result, ensure};
use walgate_tests::stop;
use walgate_throwaway::{Kafka, KafkaOptions, PgVersion};

use super::bench::Front;
use crate::push::address;
use crate::push::client::Client;
use crate::watch;

#[test]
fn clients_stay_while_kafka_is_away() -> Result<()> {
    let kafka = Kafka::start(&KafkaOptions::default())?;
    let setup = "create table t (id int primary key); create publication walgate for table t;";
    let front = Front::new(PgVersion::V17, "gateway_outage", setup, kafka.bootstrap())?;
    let run = front.bed.serve()?;
    front.bed.sql("insert into t values (1)")?;
    let mut gateway = front.gateway("one")?;
    let at = address(&mut gateway)?;
    let mut client = Client::connect(&at, "?table=public.t")?;
    client.answer("ready")?;
    let after = client.last.clone().unwrap_or_default();
    kafka.pause()?;
    gateway.wait_for_log("kafka can't be reached; clients stay")?;
    // It is ready for them, and not well.
    let http = watch::address(&mut gateway)?;
    ensure!(watch::get(&http, "/readyz")?.0 == 200);
    let status = watch::status(&http)?;
    ensure!(
        status["source"]["state"] == "down" && status["healthy"] == false,
        "{status}"
    );
    let trouble = status["troubles"][0].as_str().unwrap_or_default();
    ensure!(trouble.starts_with("kafka can't be reached: "), "{status}");
    // Who comes meanwhile is served from the window.
    let mut other = Client::connect(&at, &format!("?after={after}"))?;
    other.answer("ready")?;
    front.bed.sql("insert into t values (2)")?;
    kafka.resume()?;
    for client in [&mut client, &mut other] {
        ensure!(client.event()?["key"]["id"] == 2);
    }
    gateway.wait_for_log("kafka is reached again")?;
    stop(gateway, &["kafka can't be reached"])?;
    stop(run, &["kafka is unreachable", "sink kafka"])?;
    Ok(())
}
