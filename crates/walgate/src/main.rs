//! The program; everything is in the library, where tests reach it.

use std::process::ExitCode;

/// Of librdkafka, too: it allocates six times for a message in one thread and frees in another, at
/// which glibc's malloc spends a third of the processor time. Without huge pages, which it would fill with
/// a few objects of each thread.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    walgate::entry(std::env::args_os())
}
