//! Changes to Apache Kafka.
