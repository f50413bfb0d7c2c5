//! Throw-away PostgreSQL and Kafka servers for the demo and the tests.
