//! Connections to PostgreSQL with libpq's parameters: TCP, Unix sockets, TLS, authentication, for replication and for SQL.
