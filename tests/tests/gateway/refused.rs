//! What a gateway does not begin with.

use anyhow::{Result, ensure};
use walgate_tests::stop;
use walgate_throwaway::{PgVersion, shared_kafka};

use super::bench::{Front, start};
use super::window::delete_below;
use crate::push::client::Client;
use crate::sink_faults::topics::create;

/// Starts it, and gives the exit code and what was said.
fn refused(config: &std::path::Path) -> Result<(Option<i32>, String)> {
    let ended = start(config)?.wait()?;
    Ok((ended.status.code(), ended.stderr))
}

#[test]
fn what_a_gateway_can_not_serve_is_refused_with_what_to_do() -> Result<()> {
    let bootstrap = shared_kafka()?.bootstrap();
    let setup = "create table t (id int primary key); create publication walgate for table t;";
    let mut front = Front::new(PgVersion::V18, "gateway_refused", setup, bootstrap)?;
    front.topic = format!("gateway-missing-{}", std::process::id());
    let (code, said) = refused(&front.config("missing", "")?)?;
    ensure!(
        code == Some(2) && said.contains("there is no topic"),
        "{said}"
    );
    ensure!(said.contains("stream_topic"), "{said}");

    front.topic = format!("gateway-partitions-{}", std::process::id());
    create(&front.bootstrap, &front.topic, 3, &[])?;
    let (code, said) = refused(&front.config("partitions", "")?)?;
    ensure!(
        code == Some(2) && said.contains("has 3 partitions"),
        "{said}"
    );
    ensure!(said.contains("--partitions 1"), "{said}");

    let config = front.config("file", "")?;
    let mut text = std::fs::read_to_string(&config)?;
    text += "[sinks.file]\ntype = \"file\"\npath = \"x.ndjson\"\n";
    std::fs::write(&config, text)?;
    let (code, said) = refused(&config)?;
    ensure!(
        code == Some(2) && said.contains("serves clients only"),
        "{said}"
    );

    let config = front.bed.write_config()?;
    let (code, said) = refused(&config)?;
    ensure!(code == Some(2) && said.contains("names no topic"), "{said}");

    let config = front.config("plain", "sasl_mechanism = \"PLAIN\"")?;
    let (code, said) = refused(&config)?;
    ensure!(code == Some(2) && said.contains("in plain text"), "{said}");
    ensure!(said.contains("sasl_username"), "{said}");
    Ok(())
}

/// A record that is no event stops the gateway, with its place; nothing behind it is served as if it had
/// not been there.
#[test]
fn a_record_that_is_no_event_stops_with_its_place() -> Result<()> {
    use rdkafka::ClientConfig;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

    let bootstrap = shared_kafka()?.bootstrap();
    let setup = "create table t (id int primary key); create publication walgate for table t;";
    let front = Front::new(PgVersion::V18, "gateway_damaged", setup, bootstrap)?;
    front.bed.sql("insert into t values (1)")?;
    front.bed.catch_up(&[])?;
    let mut gateway = front.gateway("one")?;
    crate::push::address(&mut gateway)?;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &front.bootstrap)
        .create()?;
    let record = BaseRecord::<(), str>::to(&front.topic).payload("{\"not\":\"ours\"}");
    producer.send(record).map_err(|(error, _)| error)?;
    producer.flush(std::time::Duration::from_secs(60))?;
    let ended = gateway.wait()?;
    let said = ended.stderr;
    ensure!(ended.status.code() == Some(7), "{said}");
    let place = format!(
        "topic {}, partition 0, offset 3: it has no \"op\"",
        front.topic
    );
    ensure!(said.contains(&place), "{said}");
    // The way on that it names.
    let passed = format!("\"topic\":\"{}\",\"partition\":0,\"offset\":4", front.topic);
    ensure!(said.contains(&passed), "{said}");
    let command = format!(
        "kafka-delete-records.sh --bootstrap-server {}",
        front.bootstrap
    );
    ensure!(said.contains(&command), "{said}");
    delete_below(&front, 4)?;
    let mut gateway = front.gateway("one")?;
    let at = crate::push::address(&mut gateway)?;
    let mut client = Client::connect(&at, "?table=public.t")?;
    client.answer("ready")?;
    front.bed.sql("insert into t values (2)")?;
    front.bed.catch_up(&[])?;
    ensure!(client.event()?["op"] == "gap");
    ensure!(client.event()?["key"]["id"] == 2);
    let known = [
        "the topic says that changes are lost",
        "the topic had no event when the gateway began",
        "changes are lost for this sink",
    ];
    stop(gateway, &known)?;
    Ok(())
}
