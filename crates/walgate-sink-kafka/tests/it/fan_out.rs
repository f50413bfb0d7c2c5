//! What a record becomes.

use walgate_core::Op;
use walgate_sink_kafka::{KafkaConfig, TableOverride};

use crate::bed::{
    Event, Got, at, batch, close, consume, create, deliver, open, schema, servers, table,
};

/// Partitions of these keys among 3, as kafka-clients 4.2.0 says.
const OF_JAVA: &[(&str, i32)] = &[(r#"{"id":42}"#, 1), ("21", 0), ("abcd", 2), ("foobar", 0)];

fn of<'a>(got: &'a [Got], id: &str) -> Vec<&'a Got> {
    got.iter()
        .filter(|message| message.header("walgate-id") == id)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_partitions_and_headers() {
    let (servers, schema) = (servers(), schema("keys"));
    let topic = format!("{schema}.orders");
    create(&servers, &topic, 3, &[]).await;
    let orders = table(1, &schema, "orders");
    let mut sink = open(KafkaConfig::new(&servers), &schema, "orders").await;
    let events = OF_JAVA
        .iter()
        .zip(2..)
        .map(|((key, _), index)| Event::new(at(1, index), Op::Insert, Some(&orders)).key(key));
    let delivered = deliver(&mut sink, &mut batch(events))
        .await
        .expect("delivered");
    assert_eq!(delivered, at(1, 5));
    let got = consume(&servers, &topic);
    assert_eq!(got.len(), OF_JAVA.len());
    for ((key, partition), index) in OF_JAVA.iter().zip(2..) {
        let id = at(1, index).to_string();
        let [message] = of(&got, &id)[..] else {
            panic!("{id} is there once: {got:?}")
        };
        assert_eq!(message.partition, *partition, "{key}");
        assert_eq!(message.key.as_deref(), Some(*key));
        assert_eq!(message.value, Some(format!("insert {id}")));
        assert_eq!(message.header("walgate-op"), "insert");
        assert_eq!(message.header("walgate-table"), topic);
        assert_eq!(message.headers.len(), 3);
    }
    close(sink).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tombstones_follow_deletes_and_changed_keys() {
    let (servers, schema) = (servers(), schema("tombstones"));
    let topic = format!("{schema}.orders");
    create(&servers, &topic, 3, &[]).await;
    let orders = table(1, &schema, "orders");
    let mut sink = open(KafkaConfig::new(&servers), &schema, "orders").await;
    let on = |index, op| Event::new(at(1, index), op, Some(&orders));
    let mut events = batch([
        on(2, Op::Insert).key("21"),
        on(3, Op::Update).key("21"),
        on(4, Op::Update).key("abcd").old_key("21"),
        on(5, Op::Delete).key("abcd"),
    ]);
    deliver(&mut sink, &mut events).await.expect("delivered");
    let got = consume(&servers, &topic);
    let seen: Vec<_> = got
        .iter()
        .map(|message| {
            let id = message
                .header("walgate-id")
                .trim_start_matches("0000000000000001-0000000");
            (
                message.partition,
                message.key.as_deref().unwrap_or(""),
                id,
                message.value.is_some(),
            )
        })
        .collect();
    let expected = [
        (0, "21", "2", true),
        (0, "21", "3", true),
        (0, "21", "4-t", false),
        (2, "abcd", "4", true),
        (2, "abcd", "5", true),
        (2, "abcd", "5-t", false),
    ];
    assert_eq!(seen, expected);
    let ops: Vec<_> = got
        .iter()
        .map(|message| message.header("walgate-op"))
        .collect();
    assert_eq!(
        ops,
        ["insert", "update", "update", "update", "delete", "delete"]
    );
    close(sink).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tombstones_can_be_left_out() {
    let (servers, schema) = (servers(), schema("no-tombstones"));
    let topic = format!("{schema}.orders");
    create(&servers, &topic, 1, &[]).await;
    let orders = table(1, &schema, "orders");
    let mut config = KafkaConfig::new(&servers);
    let special = TableOverride {
        tombstones: Some(false),
        ..TableOverride::default()
    };
    config.tables.insert(topic.clone(), special);
    let mut sink = open(config, &schema, "orders").await;
    let mut events = batch([Event::new(at(1, 2), Op::Delete, Some(&orders)).key("21")]);
    deliver(&mut sink, &mut events).await.expect("delivered");
    assert_eq!(consume(&servers, &topic).len(), 1);
    close(sink).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_a_key_has_one_partition() {
    let (servers, schema) = (servers(), schema("keyless"));
    let topic = format!("{schema}.log");
    create(&servers, &topic, 6, &[]).await;
    let log = table(1, &schema, "log");
    let mut sink = open(KafkaConfig::new(&servers), &schema, "log").await;
    let events = (2..40).map(|index| Event::new(at(1, index), Op::Insert, Some(&log)));
    deliver(&mut sink, &mut batch(events))
        .await
        .expect("delivered");
    let got = consume(&servers, &topic);
    assert_eq!(got.len(), 38);
    assert!(
        got.iter()
            .all(|message| message.partition == got[0].partition && message.key.is_none())
    );
    let ids: Vec<_> = got
        .iter()
        .map(|message| message.header("walgate-id").to_owned())
        .collect();
    let expected: Vec<_> = (2..40).map(|index| at(1, index).to_string()).collect();
    assert_eq!(ids, expected);
    close(sink).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_goes_to_every_partition() {
    let (servers, schema) = (servers(), schema("truncate"));
    let (plain, compacted) = (format!("{schema}.plain"), format!("{schema}.compacted"));
    create(&servers, &plain, 3, &[]).await;
    create(&servers, &compacted, 2, &[("cleanup.policy", "compact")]).await;
    let tables = [table(1, &schema, "plain"), table(2, &schema, "compacted")];
    let mut sink = open(KafkaConfig::new(&servers), &schema, "plain").await;
    let events = tables
        .iter()
        .zip(2..)
        .map(|(table, index)| Event::new(at(1, index), Op::Truncate, Some(table)));
    deliver(&mut sink, &mut batch(events))
        .await
        .expect("delivered");
    for (topic, partitions, key) in [(&plain, 3, None), (&compacted, 2, Some("{}"))] {
        let got = consume(&servers, topic);
        let places: Vec<_> = got.iter().map(|message| message.partition).collect();
        assert_eq!(places, (0..partitions).collect::<Vec<_>>(), "{topic}");
        assert!(
            got.iter().all(|message| message.key.as_deref() == key),
            "{got:?}"
        );
        assert!(
            got.iter()
                .all(|message| message.header("walgate-op") == "truncate"),
            "{got:?}"
        );
    }
    close(sink).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn meta_and_stream_topics() {
    let (servers, schema) = (servers(), schema("meta"));
    let topic = format!("{schema}.orders");
    let (meta, stream) = (format!("{schema}-meta"), format!("{schema}-stream"));
    create(&servers, &topic, 3, &[]).await;
    create(&servers, &meta, 1, &[]).await;
    create(&servers, &stream, 1, &[]).await;
    let orders = table(1, &schema, "orders");
    let mut config = KafkaConfig::new(&servers);
    config.meta_topic = Some(meta.clone());
    config.stream_topic = Some(stream.clone());
    let mut sink = open(config, &schema, "orders").await;
    let on = |index, op| Event::new(at(1, index), op, Some(&orders));
    let bare = |index, op| Event::new(at(1, index), op, None);
    let mut events = batch([
        bare(1, Op::Begin),
        on(1, Op::Schema),
        on(2, Op::Insert).key("21"),
        on(3, Op::Delete).key("abcd"),
        bare(4, Op::Message),
        on(5, Op::Truncate),
        bare(u32::MAX, Op::Commit),
        Event::new(at(2, 0), Op::Gap, None),
    ]);
    let delivered = deliver(&mut sink, &mut events).await.expect("delivered");
    assert_eq!(delivered, at(2, 0));
    let ops = |topic: &str| -> Vec<String> {
        let got = consume(&servers, topic);
        got.iter()
            .map(|message| message.header("walgate-op").to_owned())
            .collect()
    };
    assert_eq!(ops(&meta), ["begin", "schema", "message", "commit", "gap"]);
    let all = [
        "begin", "schema", "insert", "delete", "message", "truncate", "commit", "gap",
    ];
    assert_eq!(ops(&stream), all);
    let gaps = consume(&servers, &topic);
    let gaps = gaps
        .iter()
        .filter(|message| message.header("walgate-op") == "gap");
    assert_eq!(
        gaps.map(|message| message.partition).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    // A definition has no id.
    assert!(
        consume(&servers, &meta)[1]
            .headers
            .keys()
            .all(|name| name != "walgate-id")
    );
    close(sink).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_meta_topic_positions_still_advance() {
    let (servers, schema) = (servers(), schema("silent"));
    create(&servers, &format!("{schema}.orders"), 1, &[]).await;
    let mut sink = open(KafkaConfig::new(&servers), &schema, "orders").await;
    let mut events = batch([
        Event::new(at(1, 1), Op::Begin, None),
        Event::new(at(1, u32::MAX), Op::Commit, None),
    ]);
    assert_eq!(deliver(&mut sink, &mut events).await, Ok(at(1, u32::MAX)));
    close(sink).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_partitions_are_used() {
    let (servers, schema) = (servers(), schema("grow"));
    let topic = format!("{schema}.orders");
    create(&servers, &topic, 1, &[]).await;
    let orders = table(1, &schema, "orders");
    let mut config = KafkaConfig::new(&servers);
    config
        .properties
        .insert("statistics.interval.ms".to_owned(), "100".to_owned());
    config.properties.insert(
        "topic.metadata.refresh.interval.ms".to_owned(),
        "200".to_owned(),
    );
    let mut sink = open(config, &schema, "orders").await;
    let grow = rdkafka::admin::NewPartitions::new(&topic, 3);
    let grown = crate::bed::admin(&servers)
        .create_partitions(&[grow], &rdkafka::admin::AdminOptions::new())
        .await;
    assert!(grown.expect("an answer").iter().all(Result::is_ok));
    let mut index = 2;
    // `abcd` belongs to partition 2 of 3.
    let start = std::time::Instant::now();
    loop {
        let event = Event::new(at(1, index), Op::Insert, Some(&orders)).key("abcd");
        deliver(&mut sink, &mut batch([event]))
            .await
            .expect("delivered");
        if consume(&servers, &topic)
            .iter()
            .any(|message| message.partition == 2)
        {
            break;
        }
        index += 1;
        assert!(
            start.elapsed() < crate::bed::PATIENCE,
            "the new partitions are never used"
        );
    }
    let statistics = sink.statistics().snapshot();
    assert!(statistics.transmitted_messages > 0, "{statistics:?}");
    assert!(
        statistics.brokers.iter().any(|broker| broker.state == "UP"),
        "{statistics:?}"
    );
    close(sink).await;
}
