//! The session with PostgreSQL: connection, authentication, start, frames in batches, feedback, reconnect.
