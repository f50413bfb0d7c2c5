//! What the figures were measured on.

use std::thread::available_parallelism;

/// System, cores, processor, memory and load of this machine, as far as it tells.
pub(crate) fn line() -> String {
    let cores = available_parallelism().map_or(0, usize::from);
    let mut line = format!(
        "{} {}, {cores} cores",
        std::env::consts::OS,
        std::env::consts::ARCH
    );
    let processor = value("/proc/cpuinfo", "model name");
    let memory = value("/proc/meminfo", "MemTotal");
    let load = std::fs::read_to_string("/proc/loadavg").ok();
    let load = load
        .as_ref()
        .and_then(|load| load.split_whitespace().next());
    for (what, value) in [
        ("", processor.as_deref()),
        ("memory ", memory.as_deref()),
        ("load at the end ", load),
    ] {
        if let Some(value) = value {
            line += &format!(", {what}{value}");
        }
    }
    line
}

/// The value of the first line with this name, in a file of `name: value` lines.
fn value(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
