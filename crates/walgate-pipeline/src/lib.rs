//! One source into many sinks: chains, retry, dead letters, the confirmed position, the checkpoint.
