//! Checkpoints in a compacted topic.

use walgate_core::{ErrorClass, SinkError};
use walgate_sink_kafka::{CheckpointTopic, KafkaConfig, TopicCreation, TopicError};

use crate::bed::{create, schema};
use crate::security::broker;

type Taken = Result<(CheckpointTopic, Option<Vec<u8>>), SinkError>;

fn config() -> KafkaConfig {
    let mut config = KafkaConfig::new(broker().bootstrap());
    config.create_topics = Some(TopicCreation::default());
    config
}

async fn take(config: &KafkaConfig, topic: &str, slot: &str) -> Taken {
    let (config, topic, slot) = (config.clone(), topic.to_owned(), slot.to_owned());
    let taken = tokio::task::spawn_blocking(move || CheckpointTopic::take(&config, &topic, &slot));
    taken.await.expect("no panic")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_checkpoint_of_each_slot_is_there_for_who_comes_next() {
    let topic = schema("checkpoints");
    let (mut one, none) = take(&config(), &topic, "one").await.expect("taken");
    let (mut two, _) = take(&config(), &topic, "two").await.expect("taken");
    assert_eq!(none, None);
    one.still_ours().expect("nothing to save yet");
    for number in 0..10 {
        one.save(format!("one {number}").as_bytes()).expect("saved");
        two.save(format!("two {number}").as_bytes()).expect("saved");
    }
    one.still_ours().expect("ours");
    drop((one, two));
    let (_one, last) = take(&config(), &topic, "one").await.expect("taken");
    assert_eq!(last.as_deref(), Some(&b"one 9"[..]));
    let (config, at) = (config(), topic.clone());
    let peeked =
        tokio::task::spawn_blocking(move || CheckpointTopic::peek(&config, &at, "two")).await;
    let peeked = peeked.expect("no panic").expect("an answer");
    assert_eq!(peeked.as_deref(), Some(&b"two 9"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_replaced_saves_nothing_any_more() {
    let topic = schema("fenced");
    let (mut old, _) = take(&config(), &topic, "s").await.expect("taken");
    old.save(b"old 1").expect("saved");
    let (mut new, last) = take(&config(), &topic, "s").await.expect("taken");
    assert_eq!(last.as_deref(), Some(&b"old 1"[..]));
    new.save(b"new 2").expect("saved");
    for _ in 0..2 {
        let refused = old.save(b"old 9").expect_err("it was replaced");
        assert!(matches!(refused, TopicError::Fenced(_)), "{refused:?}");
        let refused = old.still_ours().expect_err("it was replaced");
        assert!(matches!(refused, TopicError::Fenced(_)), "{refused:?}");
    }
    new.still_ours().expect("the new one is not disturbed");
    drop((old, new));
    let (_, last) = take(&config(), &topic, "s").await.expect("taken");
    assert_eq!(last.as_deref(), Some(&b"new 2"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_would_forget_is_refused_with_the_command() {
    let topic = schema("forgets");
    for policy in ["delete", "compact,delete"] {
        let name = format!("{topic}.{}", policy.len());
        create(
            &broker().bootstrap(),
            &name,
            1,
            &[("cleanup.policy", policy)],
        )
        .await;
        let error = take(&config(), &name, "s").await.expect_err("it forgets");
        assert_eq!(error.class, ErrorClass::Fatal);
        let hint = error.hint.unwrap_or_default();
        assert!(
            hint.contains("--add-config cleanup.policy=compact"),
            "{hint}"
        );
    }
    let missing = KafkaConfig::new(broker().bootstrap());
    let error = take(&missing, &topic, "s").await.expect_err("missing");
    let hint = error.hint.unwrap_or_default();
    assert!(hint.contains("--config cleanup.policy=compact"), "{hint}");
}
