//! A look at the topics before anything is sent: nothing is created and nothing changed.

use walgate_core::SinkError;

use crate::cluster::Cluster;
use crate::routes::{Role, Routes};
use crate::{KafkaConfig, refusal};

/// A topic, as a look has found it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicLook {
    /// Its name.
    pub topic: String,
    /// The tables that go there, as `schema.table`; none for the meta and the stream topic.
    pub tables: Vec<String>,
    /// It must have one partition, and not be compacted.
    pub single: bool,
    /// What there is.
    pub state: TopicState,
    /// The command that creates it, or that raises its limit.
    pub command: String,
}

/// What there is of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicState {
    /// It is there.
    There(TopicFacts),
    /// It is missing, and a start would create it: the brokers have checked that it can.
    Creatable,
    /// It is missing, and a start would not or could not create it; what the brokers say.
    Missing(Option<SinkError>),
    /// The brokers don't let us look at it.
    Refused(SinkError),
}

/// What the brokers say of a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicFacts {
    /// Partitions.
    pub partitions: usize,
    /// The fewest replicas of a partition.
    pub replicas: usize,
    /// The fewest replicas in sync of a partition.
    pub in_sync: usize,
    /// `max.message.bytes`, where it may be read.
    pub max_message_bytes: Option<u64>,
    /// `min.insync.replicas`, where it may be read.
    pub min_in_sync: Option<usize>,
    /// `cleanup.policy`, where it may be read.
    pub cleanup_policy: Option<String>,
    /// We may write to it; none when the brokers don't say.
    pub writable: Option<bool>,
}

/// Looks at the topics of a sink. It blocks, on a thread of a runtime that may be blocked.
///
/// # Errors
///
/// When the configuration can't be used, or the cluster can't be reached or refuses us.
pub fn look(
    config: &KafkaConfig,
    database: &str,
    tables: &[(String, String)],
) -> Result<Vec<TopicLook>, SinkError> {
    let routes = Routes::new(config, database, tables)?;
    let cluster = Cluster::new(config)?;
    let topics = routes.topics();
    let mut looks = Vec::with_capacity(topics.len());
    for topic in topics {
        let of = tables.iter().filter(|(schema, table)| {
            let route = routes.route(schema, table);
            route.is_some_and(|route| {
                routes
                    .topic(route.topic)
                    .is_some_and(|at| at.name == topic.name)
            })
        });
        let state = cluster.state(&topic.name, topic.create.as_ref())?;
        let command = match state {
            TopicState::There(_) => refusal::raise_command(config, &topic.name),
            _ => refusal::create_command(config, &topic.name),
        };
        looks.push(TopicLook {
            topic: topic.name.clone(),
            tables: of
                .map(|(schema, table)| format!("{schema}.{table}"))
                .collect(),
            single: topic.role != Role::Table,
            state,
            command,
        });
    }
    cluster.describe(&mut looks);
    Ok(looks)
}

impl TopicFacts {
    /// `cleanup.policy` has `compact`.
    #[must_use]
    pub fn compacted(&self) -> bool {
        let policy = self.cleanup_policy.as_deref();
        policy.is_some_and(|policy| policy.contains("compact"))
    }
}
