//! A look at the topics before anything is sent.

use walgate_core::ErrorClass;
use walgate_sink_kafka::{KafkaConfig, TopicCreation, TopicLook, TopicState, look};

use crate::bed::{acl, allow, create, schema};
use crate::security::{broker, user};

async fn looked(
    config: KafkaConfig,
    schema: &str,
    tables: &[&str],
) -> Result<Vec<TopicLook>, walgate_core::SinkError> {
    let tables = tables.iter();
    let tables: Vec<_> = tables
        .map(|&table| (schema.to_owned(), table.to_owned()))
        .collect();
    let looked = tokio::task::spawn_blocking(move || look(&config, "db", &tables)).await;
    looked.expect("no panic")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_what_can_be_created_and_what_is_missing() {
    let servers = broker().bootstrap();
    let schema = schema("preflight");
    let there = format!("{schema}.there");
    create(
        &servers,
        &there,
        2,
        &[("max.message.bytes", "5000"), ("cleanup.policy", "compact")],
    )
    .await;
    let mut config = KafkaConfig::new(servers);
    let looks = looked(config.clone(), &schema, &["there", "gone"]).await;
    let looks = looks.expect("an answer");
    let [one, two] = looks.as_slice() else {
        panic!("{looks:?}");
    };
    let TopicState::There(facts) = &one.state else {
        panic!("{one:?}");
    };
    assert_eq!((facts.partitions, facts.replicas, facts.in_sync), (2, 1, 1));
    assert_eq!(facts.max_message_bytes, Some(5000));
    assert_eq!(facts.min_in_sync, Some(1));
    assert!(
        facts.compacted() && facts.writable == Some(true),
        "{facts:?}"
    );
    assert_eq!(one.tables, [there]);
    assert_eq!(two.state, TopicState::Missing(None));
    assert!(two.command.contains("kafka-topics.sh"), "{}", two.command);

    config.create_topics = Some(TopicCreation::default());
    let looks = looked(config.clone(), &schema, &["gone"]).await;
    assert_eq!(looks.expect("an answer")[0].state, TopicState::Creatable);
    // More copies than there are brokers.
    config.create_topics = Some(TopicCreation {
        replication_factor: 3,
        ..TopicCreation::default()
    });
    let looks = looked(config.clone(), &schema, &["gone"]).await;
    let TopicState::Missing(Some(error)) = &looks.expect("an answer")[0].state else {
        panic!("it can't be created");
    };
    assert_eq!(error.class, ErrorClass::Fatal, "{error}");
    // Nothing was created by looking.
    config.create_topics = None;
    let looks = looked(config, &schema, &["gone"]).await;
    assert_eq!(
        looks.expect("an answer")[0].state,
        TopicState::Missing(None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_are_told_before_anything_is_sent() {
    let servers = broker().bootstrap();
    let schema = schema("preflight_rights");
    for table in ["hidden", "seen", "open"] {
        create(&servers, &format!("{schema}.{table}"), 1, &[]).await;
    }
    let (name, config) = user();
    allow(&servers, name, acl::DESCRIBE, &format!("{schema}.seen"));
    allow(&servers, name, acl::DESCRIBE, &format!("{schema}.open"));
    allow(&servers, name, acl::WRITE, &format!("{schema}.open"));
    // ACLs apply a moment after the broker has answered that it has them.
    let start = std::time::Instant::now();
    loop {
        let looks = looked(config.clone(), &schema, &["hidden", "seen", "open"]).await;
        let looks = looks.expect("an answer");
        let writable = |place: usize| match &looks[place].state {
            TopicState::There(facts) => facts.writable,
            _ => None,
        };
        let hidden = matches!(&looks[0].state, TopicState::Refused(error)
            if error.hint.as_deref().is_some_and(|hint| hint.contains("kafka-acls.sh")));
        if hidden && writable(1) == Some(false) && writable(2) == Some(true) {
            return;
        }
        assert!(start.elapsed().as_secs() < 60, "{looks:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_not_there_and_one_that_refuses() {
    let mut config = KafkaConfig::new("127.0.0.1:1");
    let error = looked(config, "a", &["b"]).await.expect_err("nobody there");
    assert!(error.message.contains("127.0.0.1:1"), "{error}");
    config = user().1;
    if let Some(sasl) = &mut config.sasl {
        sasl.password = "hunter2".into();
    }
    let start = std::time::Instant::now();
    let error = looked(config, "a", &["b"]).await.expect_err("refused");
    assert_eq!(error.class, ErrorClass::Fatal, "{error}");
    assert!(start.elapsed().as_secs() < 30);
}
