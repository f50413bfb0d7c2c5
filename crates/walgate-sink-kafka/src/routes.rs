//! Which table goes to which topic.

use std::collections::HashMap;
use std::sync::Arc;

use walgate_core::{Op, SinkError};

use crate::lanes::Lane;
use crate::template::check_topic_name;
use crate::{KafkaConfig, TopicCreation, properties};

/// Place of a topic in [`Routes`].
pub(crate) type TopicPlace = usize;

/// What is known about a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Topic {
    /// Its name.
    pub(crate) name: String,
    /// Whom it is for.
    pub(crate) role: Role,
    /// How it is created when it is missing.
    pub(crate) create: Option<TopicCreation>,
    /// What the cluster says about it; `None` until it was checked.
    pub(crate) facts: Option<Facts>,
    /// Largest batch that it is taken to accept, in bytes: `max.message.bytes` where it may be
    /// read, else what the broker's default is, less once that was refused.
    pub(crate) limit: usize,
    /// The lanes of its partitions.
    lanes: Vec<Lane>,
}

impl Topic {
    /// The lane of a partition.
    pub(crate) fn lane(&self, partition: i32) -> Lane {
        let place = usize::try_from(partition).unwrap_or(0);
        self.lanes.get(place).copied().unwrap_or(0)
    }

    /// Gives each partition a lane.
    fn line_up(&mut self, next: &mut Lane) {
        let partitions = self.facts.map_or(0, |facts| facts.partitions);
        while self.lanes.len() < usize::try_from(partitions).unwrap_or(0) {
            self.lanes.push(*next);
            *next += 1;
        }
    }
}

/// What a topic is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Rows of tables.
    Table,
    /// [`KafkaConfig::meta_topic`].
    Meta,
    /// [`KafkaConfig::stream_topic`].
    Stream,
}

/// What the cluster says about a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Partitions, at least 1.
    pub(crate) partitions: i32,
    /// `max.message.bytes`, where it may be read.
    pub(crate) max_message_bytes: Option<usize>,
    /// Whether `cleanup.policy` has `compact`.
    pub(crate) compacted: bool,
}

/// The broker's default of `max.message.bytes`.
pub(crate) const DEFAULT_LIMIT: usize = 1_048_588;

/// A table and its topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// `schema.table`: header, and key of the partition of rows without a key.
    pub(crate) label: String,
    /// Its topic.
    pub(crate) topic: TopicPlace,
    /// Whether deletes are followed by tombstones.
    pub(crate) tombstones: bool,
}

/// All topics of a sink, and the routes of the tables that it knows.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    topics: Vec<Topic>,
    /// The tables of each topic; the first one is the one that errors name.
    tables: HashMap<(String, String), Arc<Route>>,
    owners: HashMap<String, (String, String)>,
    meta: Option<TopicPlace>,
    stream: Option<TopicPlace>,
    /// [`KafkaConfig::transactions`].
    transactions: bool,
    /// [`KafkaConfig::schemas`].
    schemas: bool,
    next_lane: Lane,
}

impl Routes {
    /// The routes of the tables that are known at the start.
    ///
    /// # Errors
    ///
    /// Fatal, when a name can't be a topic, or tables would share one by accident.
    pub(crate) fn new(
        config: &KafkaConfig,
        database: &str,
        tables: &[(String, String)],
    ) -> Result<Self, SinkError> {
        let mut routes = Self {
            transactions: config.transactions,
            schemas: config.schemas,
            ..Self::default()
        };
        if let Some(meta) = &config.meta_topic {
            routes.meta = Some(routes.add_single(config, meta, Role::Meta)?);
        }
        if let Some(stream) = &config.stream_topic {
            if config.meta_topic.as_ref() == Some(stream) {
                return Err(SinkError::fatal(format!(
                    "meta topic and stream topic are both {stream:?}"
                ))
                .hint("the stream topic has every event: leave the meta topic out"));
            }
            routes.stream = Some(routes.add_single(config, stream, Role::Stream)?);
        }
        for (schema, table) in tables {
            routes.add(config, database, schema, table)?;
        }
        Ok(routes)
    }

    fn add_single(
        &mut self,
        config: &KafkaConfig,
        name: &str,
        role: Role,
    ) -> Result<TopicPlace, SinkError> {
        check_topic_name(name)
            .map_err(|error| SinkError::fatal(error.to_string()).hint(error.hint()))?;
        let create = config.create_topics.as_ref().map(|create| {
            let mut create = TopicCreation {
                partitions: 1,
                ..create.clone()
            };
            // Every event must stay until it ages: compaction would take what the log's order needs.
            create
                .config
                .insert("cleanup.policy".to_owned(), "delete".to_owned());
            create
        });
        Ok(self.push(name.to_owned(), role, create))
    }

    fn push(&mut self, name: String, role: Role, create: Option<TopicCreation>) -> TopicPlace {
        self.topics.push(Topic {
            name,
            role,
            create,
            facts: None,
            limit: DEFAULT_LIMIT,
            lanes: Vec::new(),
        });
        self.topics.len() - 1
    }

    /// Adds a table's route, unless it is there.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub(crate) fn add(
        &mut self,
        config: &KafkaConfig,
        database: &str,
        schema: &str,
        table: &str,
    ) -> Result<(), SinkError> {
        let owner = (schema.to_owned(), table.to_owned());
        if self.tables.contains_key(&owner) {
            return Ok(());
        }
        let special = config.table(schema, table);
        let chosen = special.and_then(|special| special.topic.as_ref());
        let label = format!("{schema}.{table}");
        let name = match chosen {
            Some(name) => check_topic_name(name).map(|()| name.clone()),
            None => config.topic.topic(database, schema, table),
        };
        let name = name.map_err(|error| {
            SinkError::fatal(format!("table {label}: {error}")).hint(error.hint())
        })?;
        let topic = match self.topics.iter().position(|topic| topic.name == name) {
            Some(place) => {
                self.may_share(config, place, (schema, table), chosen.is_some())?;
                place
            }
            None => {
                let create = special.and_then(|special| special.create.clone());
                let create = create.or_else(|| config.create_topics.clone());
                self.owners.insert(name.clone(), owner.clone());
                self.push(name, Role::Table, create)
            }
        };
        let tombstones = special
            .and_then(|special| special.tombstones)
            .unwrap_or(config.tombstones);
        self.tables.insert(
            owner,
            Arc::new(Route {
                label,
                topic,
                tombstones,
            }),
        );
        Ok(())
    }

    fn may_share(
        &self,
        config: &KafkaConfig,
        place: TopicPlace,
        (schema, table): (&str, &str),
        chosen: bool,
    ) -> Result<(), SinkError> {
        let Some(topic) = self.topics.get(place) else {
            return Ok(());
        };
        let name = &topic.name;
        let other = match (topic.role, self.owners.get(name)) {
            (Role::Table, Some((other_schema, other_table))) => {
                let special = config.table(other_schema, other_table);
                let both = chosen && special.is_some_and(|special| special.topic.is_some());
                let meant = config
                    .topic
                    .shares((schema, table), (other_schema, other_table));
                if both || (meant && !chosen) {
                    return Ok(());
                }
                format!("table {other_schema}.{other_table}")
            }
            (Role::Meta, _) => "the meta topic".to_owned(),
            (Role::Stream | Role::Table, _) => "the stream topic".to_owned(),
        };
        Err(SinkError::fatal(format!(
            "table {schema}.{table} and {other} would share topic {name:?}"
        ))
        .hint("choose another topic template, or name the topic in each table's own section"))
    }

    /// The route of a table.
    pub(crate) fn route(&self, schema: &str, table: &str) -> Option<&Arc<Route>> {
        self.tables.get(&(schema.to_owned(), table.to_owned()))
    }

    /// All topics.
    pub(crate) fn topics(&self) -> &[Topic] {
        &self.topics
    }

    /// A topic.
    pub(crate) fn topic(&self, place: TopicPlace) -> Option<&Topic> {
        self.topics.get(place)
    }

    /// The topic with this name.
    pub(crate) fn topic_named(&self, name: &str) -> Option<&Topic> {
        self.topics.iter().find(|topic| topic.name == name)
    }

    /// The meta topic, where it takes an event of that kind.
    pub(crate) fn meta(&self, op: Op) -> Option<TopicPlace> {
        self.meta.filter(|_| match op {
            Op::Begin | Op::Commit => self.transactions,
            Op::Schema => self.schemas,
            _ => true,
        })
    }

    /// The stream topic, where it takes an event of that kind: whoever reads it needs to know when a
    /// transaction is whole, and sees by its first event that it begins.
    pub(crate) fn stream(&self, op: Op) -> Option<TopicPlace> {
        self.stream.filter(|_| op != Op::Begin || self.transactions)
    }

    /// Takes what the cluster says about a topic.
    pub(crate) fn learn(&mut self, name: &str, facts: Facts) {
        if let Some(topic) = self.topics.iter_mut().find(|topic| topic.name == name) {
            topic.facts = Some(facts);
            topic.limit = facts.max_message_bytes.unwrap_or(topic.limit);
            topic.line_up(&mut self.next_lane);
        }
    }

    /// Takes the partitions that topics have grown to.
    pub(crate) fn learn_partitions(&mut self, counts: &HashMap<String, i32>) {
        for topic in &mut self.topics {
            let Some(facts) = &mut topic.facts else {
                continue;
            };
            if let Some(count) = counts
                .get(&topic.name)
                .filter(|count| **count > facts.partitions)
            {
                tracing::info!(
                    topic = topic.name,
                    from = facts.partitions,
                    to = count,
                    "topic has more partitions"
                );
                facts.partitions = *count;
                topic.line_up(&mut self.next_lane);
            }
        }
    }

    /// A batch of this topic was refused as too large: take less from now on, unless the topic's
    /// limit can be read.
    pub(crate) fn lower_limit(&mut self, name: &str) {
        /// No topic of this world takes less, and each step costs a failed attempt.
        const LEAST: usize = 1024;
        if let Some(topic) = self.topics.iter_mut().find(|topic| topic.name == name) {
            topic.limit = (topic.limit.min(properties::DEFAULT_BATCH_BYTES) / 2).max(LEAST);
        }
    }

    /// The largest `batch.size` that no topic's limit refuses.
    pub(crate) fn batch_bytes(&self) -> usize {
        let least = self
            .topics
            .iter()
            .map(|topic| topic.limit)
            .min()
            .unwrap_or(DEFAULT_LIMIT);
        // librdkafka's count of a batch is without the batch's own header of 61 bytes.
        (least - least / 16).max(1)
    }
}

#[cfg(test)]
mod tests {
    use walgate_core::ErrorClass;

    use super::*;
    use crate::TableOverride;

    fn tables(names: &[(&str, &str)]) -> Vec<(String, String)> {
        names
            .iter()
            .map(|(s, t)| ((*s).to_owned(), (*t).to_owned()))
            .collect()
    }

    fn config(template: &str) -> KafkaConfig {
        let mut config = KafkaConfig::new("localhost:9092");
        config.topic = template.parse().expect("template");
        config
    }

    fn routes(config: &KafkaConfig, names: &[(&str, &str)]) -> Result<Routes, SinkError> {
        Routes::new(config, "shop", &tables(names))
    }

    #[test]
    fn each_table_has_its_topic() {
        let config = config("{schema}.{table}");
        let routes =
            routes(&config, &[("public", "orders"), ("public", "order lines")]).expect("routes");
        let names: Vec<_> = routes
            .topics()
            .iter()
            .map(|topic| topic.name.as_str())
            .collect();
        assert_eq!(names, ["public.orders", "public.order_x20lines"]);
        assert_eq!(
            routes
                .route("public", "orders")
                .map(|route| route.label.as_str()),
            Some("public.orders")
        );
        assert_eq!(routes.route("public", "nothing"), None);
    }

    #[test]
    fn tables_that_would_share_a_topic_by_accident_are_refused() {
        for (template, names) in [
            ("{table}", [("a", "orders"), ("b", "orders")]),
            ("{schema}.{table}", [("a.b", "c"), ("a", "b.c")]),
            ("{table}", [("a", "o o"), ("a", "o_x20o")]),
        ] {
            let error = routes(&config(template), &names).expect_err(template);
            assert_eq!(error.class, ErrorClass::Fatal);
            for (schema, table) in names {
                assert!(
                    error.message.contains(&format!("{schema}.{table}")),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn tables_that_are_meant_to_share_a_topic_do() {
        let all = routes(&config("cdc"), &[("a", "x"), ("b", "y")]).expect("one topic");
        assert_eq!(all.topics().len(), 1);
        let mut named = config("{schema}.{table}");
        for label in ["a.x", "b.y"] {
            let special = TableOverride {
                topic: Some("both".to_owned()),
                ..TableOverride::default()
            };
            named.tables.insert(label.to_owned(), special);
        }
        assert_eq!(
            routes(&named, &[("a", "x"), ("b", "y")])
                .expect("named")
                .topics()
                .len(),
            1
        );
        named.tables.remove("b.y");
        assert_eq!(
            routes(&named, &[("a", "x"), ("b", "y")])
                .expect("apart")
                .topics()
                .len(),
            2
        );
    }

    #[test]
    fn a_table_never_takes_a_special_topic() {
        let mut special = config("{table}");
        special.meta_topic = Some("meta".to_owned());
        special.stream_topic = Some("stream".to_owned());
        assert!(routes(&special, &[("a", "x")]).is_ok());
        assert!(routes(&special, &[("a", "meta")]).is_err());
        assert!(routes(&special, &[("a", "stream")]).is_err());
        special.stream_topic = Some("meta".to_owned());
        assert!(routes(&special, &[]).is_err());
    }

    #[test]
    fn the_least_limit_bounds_a_batch() {
        let config = config("{table}");
        let mut routes = routes(&config, &[("a", "x"), ("a", "y")]).expect("routes");
        assert_eq!(routes.batch_bytes(), 983_052);
        let facts = Facts {
            partitions: 1,
            max_message_bytes: Some(10_000),
            compacted: false,
        };
        routes.learn("y", facts);
        assert_eq!(routes.batch_bytes(), 9_375);
        routes.lower_limit("x");
        assert_eq!(
            routes.topic_named("x").map(|topic| topic.limit),
            Some(125_000)
        );
    }
}
