//! Scenario, fault and end-to-end tests against real servers.
