//! Real servers start, stop, survive what tests do to them, and leave nothing behind.

mod kafka_broker;
mod left_behind;
mod postgres_server;
mod proxied;
