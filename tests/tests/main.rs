//! One binary for all tests with servers: each server is started at most once for a run.

mod arrows;
mod checks;
mod clients;
mod deploy;
mod documents;
mod follow;
mod gateway;
mod guard;
mod heartbeat;
mod journal_faults;
mod kill_matrix;
mod large;
mod page;
mod push;
mod readme;
mod recordings;
mod rewinds;
mod scenarios;
mod sink_faults;
mod slots;
mod source_faults;
mod two_instances;
mod types;
mod watch;
