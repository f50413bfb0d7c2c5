//! Gateways on real servers: PostgreSQL, a `walgate run` that writes a stream topic, Kafka, and one or
//! two `walgate gateway` whose clients can't tell them from a slot's own server.

#[path = "gateway/bench.rs"]
mod bench;
#[path = "gateway/empty.rs"]
mod empty;
#[path = "gateway/moved.rs"]
mod moved;
#[path = "gateway/outage.rs"]
mod outage;
#[path = "gateway/refused.rs"]
mod refused;
#[path = "gateway/same.rs"]
mod same;
#[path = "gateway/window.rs"]
mod window;
