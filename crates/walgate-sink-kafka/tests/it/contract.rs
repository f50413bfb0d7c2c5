//! The contract that every sink keeps.

use walgate_sink_kafka::{KafkaConfig, KafkaSink};
use walgate_sink_testkit::contract::{self, Rig};

use crate::bed::{consume, create, schema, servers};

struct Topic {
    servers: String,
    schema: String,
}

impl Topic {
    async fn new(test: &str) -> Self {
        let topic = Self {
            servers: servers(),
            schema: schema(test),
        };
        create(&topic.servers, &format!("{}.kit", topic.schema), 1, &[]).await;
        topic
    }
}

impl Rig for Topic {
    type Sink = KafkaSink;

    async fn sink(&mut self) -> KafkaSink {
        let mut config = KafkaConfig::new(&self.servers);
        config.topic = format!("{}.{{table}}", self.schema)
            .parse()
            .expect("a template");
        // Less than the kit writes, so that the sink has to wait.
        config.buffer_bytes = 1 << 20;
        KafkaSink::new(config, "shop", &[("public".to_owned(), "kit".to_owned())]).expect("a sink")
    }

    async fn held(&mut self) -> Vec<String> {
        let got = consume(&self.servers, &format!("{}.kit", self.schema));
        got.into_iter()
            .filter_map(|message| message.value)
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn order_and_saturation() {
    contract::order_and_saturation(&mut Topic::new("order").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn durability() {
    contract::durability(&mut Topic::new("durability").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeat_after_crash() {
    contract::repeat_after_crash(&mut Topic::new("crash").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn close_delivers() {
    contract::close_delivers(&mut Topic::new("close").await).await;
}
