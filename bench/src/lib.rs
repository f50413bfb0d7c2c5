//! Benchmarks against real servers.
