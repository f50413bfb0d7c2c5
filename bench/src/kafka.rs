//! The Kafka of a run.

use anyhow::Result;
use walgate_throwaway::{Kafka, KafkaOptions, SharedKafka, shared_kafka};

use crate::say;

/// A broker.
pub(crate) enum Broker {
    /// One that ends when this is dropped, and that is as fast as in production.
    Own(Box<Kafka>),
    /// The one of all that is run in miniature; it ends with the process.
    Shared(&'static SharedKafka),
}

impl Broker {
    /// Starts one, or takes that which runs.
    pub(crate) fn start(in_miniature: bool) -> Result<Self> {
        say("starting Kafka");
        if in_miniature {
            return Ok(Self::Shared(shared_kafka()?));
        }
        let options = KafkaOptions {
            optimised: true,
            ..KafkaOptions::default()
        };
        Ok(Self::Own(Box::new(Kafka::start(&options)?)))
    }

    /// `bootstrap.servers`.
    pub(crate) fn bootstrap(&self) -> String {
        match self {
            Self::Own(broker) => broker.bootstrap(),
            Self::Shared(broker) => broker.bootstrap(),
        }
    }
}
