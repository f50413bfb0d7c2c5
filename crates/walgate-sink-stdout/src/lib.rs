//! Changes to standard output or to a file.
//!
//! Both write a batch's bytes as they stand, in one go: large writes while there is a backlog, at
//! once at the head, because the chain hands over whatever is there. A thread of its own does the
//! writing, so a reader that blocks the pipe for an hour blocks nothing else.
//!
//! [`StdoutSink`] counts a change as delivered once the system has taken it. [`FileSink`] counts it
//! once it is fsynced, and finds in the file itself what it already holds: a crash leaves neither a
//! torn line nor a repeated one behind.
#![forbid(unsafe_code)]

mod file;
mod last_line;
mod stdout;
mod writer;

pub use file::{FileOutput, FileSink};
pub use stdout::{Stdout, StdoutSink};
pub use writer::{Output, WriterSink};
