//! Topics that are missing, created, or not as they must be.

use walgate_core::{ErrorClass, Op, Sink};
use walgate_sink_kafka::{KafkaConfig, TableOverride, TopicCreation};

use crate::bed::{
    Event, admin, at, batch, close, consume, create, deliver, open, partitions_of, schema, servers,
    sink, table, wait_for,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_an_error_with_the_command() {
    let (servers, schema) = (servers(), schema("missing"));
    let mut sink = sink(KafkaConfig::new(&servers), &schema, "orders");
    let error = sink.open().await.expect_err("there is no such topic");
    assert_eq!(error.class, ErrorClass::Fatal, "{error}");
    assert!(
        error.message.contains(&format!("{schema}.orders")),
        "{error}"
    );
    let hint = error.hint.expect("a hint");
    assert!(
        hint.contains("kafka-topics.sh") && hint.contains(&servers),
        "{hint}"
    );
    // It was not created by asking for it.
    assert_eq!(partitions_of(&servers, &format!("{schema}.orders")), 0);
    // Once somebody has created it, the same sink opens.
    create(&servers, &format!("{schema}.orders"), 1, &[]).await;
    sink.open().await.expect("the topic is there");
    close(sink).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_topics_are_created_when_that_is_allowed() {
    let (servers, schema) = (servers(), schema("created"));
    let mut config = KafkaConfig::new(&servers);
    let retention = ("retention.ms".to_owned(), "3600000".to_owned());
    config.create_topics = Some(TopicCreation {
        partitions: 4,
        replication_factor: 1,
        config: [retention].into_iter().collect(),
    });
    config.meta_topic = Some(format!("{schema}-meta"));
    config.stream_topic = Some(format!("{schema}-stream"));
    let special = TableOverride {
        create: Some(TopicCreation {
            partitions: 2,
            ..TopicCreation::default()
        }),
        ..TableOverride::default()
    };
    config.tables.insert(format!("{schema}.late"), special);
    let mut sink = open(config, &schema, "orders").await;
    for (name, partitions) in [("-meta", 1), ("-stream", 1), (".orders", 4)] {
        assert_eq!(
            partitions_of(&servers, &format!("{schema}{name}")),
            partitions,
            "{name}"
        );
    }
    // A table that arrives later gets its topic then.
    let late = table(9, &schema, "late");
    let event = Event::new(at(1, 2), Op::Insert, Some(&late)).key("21");
    deliver(&mut sink, &mut batch([event]))
        .await
        .expect("delivered");
    assert_eq!(partitions_of(&servers, &format!("{schema}.late")), 2);
    assert_eq!(consume(&servers, &format!("{schema}.late")).len(), 1);
    close(sink).await;

    let name = format!("{schema}.orders");
    let asked = [rdkafka::admin::ResourceSpecifier::Topic(&name)];
    let described = admin(&servers).describe_configs(&asked, &rdkafka::admin::AdminOptions::new());
    let described = described
        .await
        .expect("an answer")
        .remove(0)
        .expect("the topic's settings");
    let retention = described
        .get("retention.ms")
        .and_then(|entry| entry.value.clone());
    assert_eq!(retention.as_deref(), Some("3600000"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_arrives_without_a_topic_is_retried_first() {
    let (servers, schema) = (servers(), schema("late"));
    create(&servers, &format!("{schema}.orders"), 1, &[]).await;
    let mut sink = open(KafkaConfig::new(&servers), &schema, "orders").await;
    let late = table(9, &schema, "late");
    let mut events = batch([Event::new(at(1, 2), Op::Insert, Some(&late)).key("21")]);
    let error = sink.write(&mut events).await.expect_err("no topic");
    assert_eq!(error.class, ErrorClass::Transient, "{error}");
    assert!(
        error
            .hint
            .is_some_and(|hint| hint.contains("kafka-topics.sh"))
    );
    let error = sink.open().await.expect_err("still no topic");
    assert_eq!(error.class, ErrorClass::Transient, "{error}");
    create(&servers, &format!("{schema}.late"), 1, &[]).await;
    sink.open().await.expect("the topic is there");
    deliver(&mut sink, &mut events).await.expect("delivered");
    close(sink).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_arrives_may_not_take_another_ones_topic() {
    let (servers, schema) = (servers(), schema("clash"));
    create(&servers, &format!("{schema}.a.b"), 1, &[]).await;
    let mut sink = open(KafkaConfig::new(&servers), &schema, "a.b").await;
    let other = table(9, &format!("{schema}.a"), "b");
    let mut events = batch([Event::new(at(1, 2), Op::Insert, Some(&other)).key("21")]);
    let error = sink.write(&mut events).await.expect_err("a shared topic");
    assert_eq!(error.class, ErrorClass::Fatal, "{error}");
    close(sink).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn special_topics_must_be_one_uncompacted_partition() {
    let (servers, schema) = (servers(), schema("special"));
    create(&servers, &format!("{schema}.orders"), 1, &[]).await;
    create(&servers, &format!("{schema}-wide"), 2, &[]).await;
    create(
        &servers,
        &format!("{schema}-compacted"),
        1,
        &[("cleanup.policy", "compact")],
    )
    .await;
    for (name, word) in [("-wide", "partitions"), ("-compacted", "compacted")] {
        for stream in [true, false] {
            let mut config = KafkaConfig::new(&servers);
            let topic = Some(format!("{schema}{name}"));
            if stream {
                config.stream_topic = topic;
            } else {
                config.meta_topic = topic;
            }
            let error = sink(config, &schema, "orders")
                .open()
                .await
                .expect_err(name);
            assert_eq!(error.class, ErrorClass::Fatal, "{error}");
            assert!(error.message.contains(word), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_without_a_key_is_kept_out_of_a_compacted_topic() {
    let (servers, schema) = (servers(), schema("compact"));
    create(
        &servers,
        &format!("{schema}.log"),
        1,
        &[("cleanup.policy", "compact")],
    )
    .await;
    let log = table(1, &schema, "log");
    let mut sink = open(KafkaConfig::new(&servers), &schema, "log").await;
    let mut events = batch([
        Event::new(at(1, 2), Op::Insert, Some(&log)).key("21"),
        Event::new(at(1, 3), Op::Insert, Some(&log)),
    ]);
    let error = sink.write(&mut events).await.expect_err("no key");
    assert_eq!(
        (error.class, error.position),
        (ErrorClass::Fatal, Some(at(1, 3))),
        "{error}"
    );
    let delivered = sink.delivered();
    wait_for(
        || delivered.get() == at(1, 2),
        "the row before it is delivered",
    );
    close(sink).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_deleted_under_way_comes_back_with_what_it_missed() {
    let (servers, schema) = (servers(), schema("deleted"));
    let topic = format!("{schema}.orders");
    let orders = table(1, &schema, "orders");
    let mut config = KafkaConfig::new(&servers);
    config.create_topics = Some(TopicCreation {
        partitions: 1,
        ..TopicCreation::default()
    });
    config.properties.insert(
        "topic.metadata.refresh.interval.ms".to_owned(),
        "500".to_owned(),
    );
    config.properties.insert(
        "topic.metadata.propagation.max.ms".to_owned(),
        "1000".to_owned(),
    );
    let mut sink = open(config, &schema, "orders").await;
    let mut first = crate::bed::inserts(&orders, 1, 2..10);
    deliver(&mut sink, &mut first).await.expect("delivered");
    let deleted = admin(&servers)
        .delete_topics(&[topic.as_str()], &rdkafka::admin::AdminOptions::new())
        .await;
    assert!(deleted.expect("an answer").iter().all(Result::is_ok));
    let mut second = crate::bed::inserts(&orders, 2, 2..10);
    let error = deliver(&mut sink, &mut second)
        .await
        .expect_err("the topic is gone");
    assert_eq!(error.class, ErrorClass::Transient, "{error}");
    assert!(error.message.contains(&topic), "{error}");
    sink.open().await.expect("the topic is created again");
    deliver(&mut sink, &mut second).await.expect("delivered");
    assert_eq!(consume(&servers, &topic).len(), 8);
    close(sink).await;
}
