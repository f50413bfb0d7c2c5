//! Changes to standard output or a file.
