//! Who may do what, and how that is told.

use std::sync::OnceLock;

use walgate_core::{ErrorClass, Op, Sink, SinkError};
use walgate_sink_kafka::{KafkaConfig, KafkaSink, Sasl, SaslMechanism, Tls, TopicCreation};
use walgate_throwaway::{Kafka, KafkaOptions};

use crate::bed::{
    Event, acl, allow, at, batch, close, consume, create, deliver, schema, sink, table,
};

const USER: &str = "gate";
const PASSWORD: &str = "open sesame";

/// One broker with everything: users, TLS and ACLs.
pub(crate) fn broker() -> &'static Kafka {
    static BROKER: OnceLock<Kafka> = OnceLock::new();
    BROKER.get_or_init(|| {
        let mut options = KafkaOptions::default().user(USER, PASSWORD);
        options.tls = true;
        options.authorizer = true;
        Kafka::start(&options).expect("a broker starts")
    })
}

fn sasl(mechanism: SaslMechanism, password: &str) -> Option<Sasl> {
    Some(Sasl {
        mechanism,
        username: USER.to_owned(),
        password: password.into(),
    })
}

/// A user with a password and no rights, and how to be that.
pub(crate) fn user() -> (&'static str, KafkaConfig) {
    let mut config = KafkaConfig::new(broker().sasl_bootstrap().expect("a listener"));
    config.sasl = sasl(SaslMechanism::Plain, PASSWORD);
    (USER, config)
}

fn tls() -> Option<Tls> {
    let ca = broker().certificates().expect("certificates").ca();
    Some(Tls {
        ca: Some(ca),
        ..Tls::default()
    })
}

/// A topic that the user may write to.
async fn granted(test: &str) -> (String, String) {
    let schema = schema(test);
    let topic = format!("{schema}.orders");
    let servers = broker().bootstrap();
    create(&servers, &topic, 1, &[]).await;
    allow(&servers, USER, acl::WRITE, &topic);
    allow(&servers, USER, acl::DESCRIBE, &topic);
    (schema, topic)
}

async fn delivers(config: KafkaConfig, schema: &str, topic: &str) {
    let orders = table(1, schema, "orders");
    let mut sink = sink(config, schema, "orders");
    open_when_granted(&mut sink).await.expect("the sink opens");
    let event = Event::new(at(1, 2), Op::Insert, Some(&orders)).key("21");
    deliver(&mut sink, &mut batch([event]))
        .await
        .expect("delivered");
    assert_eq!(consume(&broker().bootstrap(), topic).len(), 1);
    close(sink).await;
}

/// ACLs apply a moment after the broker has answered that it has them.
async fn open_when_granted(sink: &mut KafkaSink) -> Result<(), SinkError> {
    let start = std::time::Instant::now();
    loop {
        match sink.open().await {
            Err(error)
                if error.message.contains("TopicAuthorizationFailed")
                    && start.elapsed() < std::time::Duration::from_secs(10) => {}
            result => return result.map(|_| ()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_in_the_clear() {
    let (schema, topic) = granted("plain").await;
    for mechanism in [SaslMechanism::Plain] {
        let mut config = KafkaConfig::new(broker().sasl_bootstrap().expect("a listener"));
        config.sasl = sasl(mechanism, PASSWORD);
        delivers(config, &schema, &topic).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scram_over_tls() {
    for mechanism in [SaslMechanism::ScramSha256, SaslMechanism::ScramSha512] {
        let (schema, topic) = granted("scram").await;
        let mut config = KafkaConfig::new(broker().sasl_tls_bootstrap().expect("a listener"));
        config.sasl = sasl(mechanism, PASSWORD);
        config.tls = tls();
        delivers(config, &schema, &topic).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_fatal() {
    let _ = broker();
    for mechanism in [SaslMechanism::Plain, SaslMechanism::ScramSha512] {
        let mut config = KafkaConfig::new(broker().sasl_bootstrap().expect("a listener"));
        config.sasl = sasl(mechanism, "hunter2");
        let error = sink(config, "a", "b")
            .open()
            .await
            .expect_err("a wrong password");
        assert_eq!(error.class, ErrorClass::Fatal, "{error}");
        assert!(
            error
                .hint
                .clone()
                .is_some_and(|hint| hint.contains("password")),
            "{error:?}"
        );
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_authority_is_fatal() {
    let elsewhere = std::env::temp_dir().join(schema("authority"));
    let other = walgate_throwaway::Certificates::new(&elsewhere).expect("another authority");
    let mut config = KafkaConfig::new(broker().sasl_tls_bootstrap().expect("a listener"));
    config.sasl = sasl(SaslMechanism::Plain, PASSWORD);
    config.tls = Some(Tls {
        ca: Some(other.ca()),
        ..Tls::default()
    });
    let error = sink(config, "a", "b")
        .open()
        .await
        .expect_err("an unknown authority");
    std::fs::remove_dir_all(&elsewhere).expect("the folder goes");
    assert_eq!(error.class, ErrorClass::Fatal, "{error}");
    assert!(error.message.contains("certificate"), "{error}");
    assert!(error.hint.is_some_and(|hint| hint.contains("tls")));
}

#[test]
fn a_certificate_that_is_not_there_is_fatal() {
    let mut config = KafkaConfig::new("localhost:9093");
    config.tls = Some(Tls {
        ca: Some("/nowhere/ca.crt".into()),
        ..Tls::default()
    });
    let error = KafkaSink::new(config, "shop", &[])
        .err()
        .expect("no such file");
    assert_eq!(error.class, ErrorClass::Fatal, "{error}");
    assert!(error.message.contains("/nowhere/ca.crt"), "{error}");
}

fn restricted() -> KafkaConfig {
    let mut config = KafkaConfig::new(broker().sasl_bootstrap().expect("a listener"));
    config.sasl = sasl(SaslMechanism::Plain, PASSWORD);
    config
}

fn assert_acl(error: &SinkError, topic: &str, operation: &str) {
    assert_eq!(error.class, ErrorClass::Fatal, "{error}");
    let hint = error.hint.as_deref().unwrap_or_default();
    assert!(error.message.contains(topic), "{error}");
    for part in [
        "kafka-acls.sh",
        "--allow-principal User:gate",
        operation,
        topic,
    ] {
        assert!(hint.contains(part), "{part} is missing: {hint}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_may_not_be_seen() {
    let schema = schema("unseen");
    let topic = format!("{schema}.orders");
    create(&broker().bootstrap(), &topic, 1, &[]).await;
    let error = sink(restricted(), &schema, "orders")
        .open()
        .await
        .expect_err("no right");
    assert_acl(&error, &topic, "--operation Describe");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_may_not_be_written() {
    let (servers, schema) = (broker().bootstrap(), schema("unwritten"));
    let topic = format!("{schema}.orders");
    create(&servers, &topic, 1, &[]).await;
    allow(&servers, USER, acl::DESCRIBE, &topic);
    // An idempotent producer must be allowed to write to some topic.
    allow(&servers, USER, acl::WRITE, &format!("{schema}.other"));
    let mut sink = sink(restricted(), &schema, "orders");
    open_when_granted(&mut sink).await.expect("it may be seen");
    let orders = table(1, &schema, "orders");
    let events = (2..50).map(|index| Event::new(at(1, index), Op::Insert, Some(&orders)).key("21"));
    let mut events = batch(events);
    let error = deliver(&mut sink, &mut events).await.expect_err("no right");
    assert_acl(&error, &topic, "--operation Write");
    // Granted, it goes on where it stopped.
    allow(&servers, USER, acl::WRITE, &topic);
    let start = std::time::Instant::now();
    loop {
        open_when_granted(&mut sink)
            .await
            .expect("the sink opens again");
        match deliver(&mut sink, &mut events).await {
            Ok(_) => break,
            Err(error) => assert!(
                start.elapsed() < std::time::Duration::from_secs(10),
                "{error}"
            ),
        }
    }
    assert_eq!(consume(&servers, &topic).len(), 48);
    close(sink).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_may_not_be_created() {
    let schema = schema("uncreated");
    let topic = format!("{schema}.orders");
    allow(&broker().bootstrap(), USER, acl::DESCRIBE, &topic);
    // Whoever may write nowhere is refused as a producer, whatever other tests have granted so far.
    allow(&broker().bootstrap(), USER, acl::WRITE, &topic);
    let mut config = restricted();
    config.create_topics = Some(TopicCreation::default());
    let mut sink = sink(config, &schema, "orders");
    let error = open_when_granted(&mut sink).await.expect_err("no right");
    assert_acl(&error, &topic, "--operation Create");
    // Granted, it is created: the same sink opens.
    allow(&broker().bootstrap(), USER, acl::CREATE, &topic);
    open_when_granted(&mut sink)
        .await
        .expect("the topic is created");
    close(sink).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_takes_no_producer() {
    let (servers, schema) = (broker().bootstrap(), schema("noproducer"));
    let topic = format!("{schema}.orders");
    create(&servers, &topic, 1, &[]).await;
    // A user of a name of its own, who may write nowhere.
    let mut options = KafkaOptions::default().user("reader", PASSWORD);
    options.authorizer = true;
    let own = Kafka::start(&options).expect("a broker starts");
    create(&own.bootstrap(), &topic, 1, &[]).await;
    allow(&own.bootstrap(), "reader", acl::DESCRIBE, &topic);
    let mut config = KafkaConfig::new(own.sasl_bootstrap().expect("a listener"));
    config.sasl = Some(Sasl {
        mechanism: SaslMechanism::Plain,
        username: "reader".to_owned(),
        password: PASSWORD.into(),
    });
    let mut sink = sink(config, &schema, "orders");
    let orders = table(1, &schema, "orders");
    let event = Event::new(at(1, 2), Op::Insert, Some(&orders)).key("21");
    let error = match open_when_granted(&mut sink).await {
        Ok(()) => deliver(&mut sink, &mut batch([event]))
            .await
            .expect_err("no right"),
        Err(error) => error,
    };
    assert_eq!(error.class, ErrorClass::Fatal, "{error}");
    let hint = error.hint.as_deref().unwrap_or_default();
    assert!(
        hint.contains("kafka-acls.sh") && hint.contains("User:reader"),
        "{error:?}"
    );
}
