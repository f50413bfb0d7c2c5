//! What Walgate may use of memory, against what it is given.

use std::path::Path;

use walgate_slot::check::Finding;
use walgate_slot::words::bytes;

use crate::config::{Config, Destination, Surroundings};

const CHECK: &str = "memory";

/// Program, connections, definitions of tables, and buffers that no key sizes.
const BASE_BYTES: u64 = 64 << 20;

/// A cgroup of version 1 without a limit has the largest number of pages.
const NO_LIMIT_BYTES: u64 = 1 << 60;

/// Judges the memory of this machine, or of the container.
pub(super) fn check(config: &Config) -> Finding {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let of_group = of_group(Path::new("/sys/fs/cgroup"), &read("/proc/self/cgroup"));
    judge(config, of_group, Surroundings::of_process().memory)
}

fn judge(config: &Config, of_group: Option<u64>, of_machine: Option<u64>) -> Finding {
    let most_bytes = buffers(config).saturating_add(BASE_BYTES);
    let with_row = most_bytes.saturating_add(config.source.max_row.0);
    let needs = format!(
        "Walgate takes up to {}, and {} with the largest row that [source] max_row lets in",
        bytes(most_bytes),
        bytes(with_row),
    );
    let (limit, whose) = match (of_group, of_machine) {
        (Some(group), Some(machine)) if machine < group => (machine, "the machine has"),
        (Some(group), _) => (group, "its cgroup allows"),
        (None, Some(machine)) => (machine, "the machine has"),
        (None, None) => return Finding::pass(CHECK, needs + "; no limit is known"),
    };
    let seen = format!("{needs}; {whose} {}", bytes(limit));
    let fix = "give it more (MemoryMax, limits.memory), or lower [journal] memory, spool_memory, the sinks' buffer and memory";
    if most_bytes > limit {
        return Finding::fail(
            CHECK,
            seen,
            "the kernel kills it as soon as a sink is slow",
            fix,
        );
    }
    if with_row > limit {
        return Finding::warn(
            CHECK,
            seen,
            "the kernel kills it at a row that large, again and again",
            format!("{fix}; or [source] max_row: a larger row stops Walgate, and is named"),
        );
    }
    Finding::pass(CHECK, seen)
}

/// What the configuration sizes.
fn buffers(config: &Config) -> u64 {
    let journal = &config.journal;
    let spools = match journal.path.is_some() && journal.streaming {
        true => journal.spool_memory.0,
        false => 0,
    };
    let sinks = config.sinks.values().map(|sink| match &sink.destination {
        Destination::Kafka(kafka) => kafka.buffer.0,
        Destination::Websocket(push) => push.memory.0,
        Destination::File(_) | Destination::Stdout(_) => 0,
    });
    sinks.fold(journal.memory.0.saturating_add(spools), u64::saturating_add)
}

/// The least limit of the group that a process is in, and of those around it; `groups` is its
/// `/proc/self/cgroup`, `mounted` where groups are found (cgroups(7)).
fn of_group(mounted: &Path, groups: &str) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (number, controllers, group) = (parts.next()?, parts.next()?, parts.next()?);
        let (root, file) = match (number, controllers) {
            ("0", "") => (mounted.to_owned(), "memory.max"),
            (_, controllers) if controllers.split(',').any(|one| one == "memory") => {
                (mounted.join("memory"), "memory.limit_in_bytes")
            }
            _ => return None,
        };
        let group = Path::new(group.trim_start_matches('/'));
        // In a container the path may be the host's, and what is mounted is the group itself.
        let around = group.ancestors().map(|group| root.join(group).join(file));
        around.filter_map(|file| limit(&file)).min()
    });
    limits.min()
}

fn limit(file: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let limit = text.trim().parse().ok()?;
    (limit < NO_LIMIT_BYTES).then_some(limit)
}

#[cfg(test)]
mod tests {
    use walgate_slot::check::Level;

    use super::*;
    use crate::config::Size;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_is_configured_has_to_fit_into_what_is_given() {
        let mut config = Config::default();
        config.journal.memory = Size::mib(100);
        config.source.max_row = Size::mib(256);
        let level = |config: &Config, mib: u64| judge(config, Some(mib * MIB), None).level;
        assert_eq!(level(&config, 420), Level::Pass);
        assert_eq!(level(&config, 419), Level::Warn);
        assert_eq!(level(&config, 163), Level::Fail);
        config.journal.spool_memory = Size::mib(50);
        assert_eq!(level(&config, 420), Level::Pass, "nothing is spooled");
        config.journal.path = Some("/j".into());
        assert_eq!(level(&config, 420), Level::Warn);
        let sink = "type = \"kafka\"\nbrokers = [\"k:9092\"]\ntopic = \"t\"\nbuffer = \"300MiB\"";
        let sink = toml::from_str(sink).expect("a sink");
        config.sinks.insert("k".to_owned(), sink);
        assert_eq!(level(&config, 420), Level::Fail);
        // The machine may have less than the group is allowed.
        assert_eq!(
            judge(&config, Some(4096 * MIB), Some(100 * MIB)).level,
            Level::Fail
        );
        assert_eq!(judge(&config, None, Some(4096 * MIB)).level, Level::Pass);
        assert_eq!(judge(&config, None, None).level, Level::Pass);
    }

    #[test]
    fn limits_are_found_in_both_versions_and_around() {
        let folder = tempfile::tempdir().expect("a folder");
        let put = |name: &str, text: &str| {
            let file = folder.path().join(name);
            let parent = file.parent().expect("a folder");
            std::fs::create_dir_all(parent).expect("made");
            std::fs::write(file, text).expect("written");
        };
        let found = |groups: &str| of_group(folder.path(), groups);
        assert_eq!(found("0::/\n"), None, "the root has no such file");
        put("system.slice/memory.max", "1000000\n");
        put("system.slice/walgate.service/memory.max", "max\n");
        assert_eq!(found("0::/system.slice/walgate.service\n"), Some(1_000_000));
        put("system.slice/walgate.service/memory.max", "4096\n");
        assert_eq!(found("0::/system.slice/walgate.service\n"), Some(4096));
        // A container's own group is what is mounted, under whatever name.
        put("memory.max", "8192\n");
        assert_eq!(found("0::/kubepods/pod1/container1\n"), Some(8192));
        put("memory/a/memory.limit_in_bytes", "9223372036854771712\n");
        let old = "12:cpu,cpuacct:/a\n3:memory:/a\n1:name=systemd:/a\n";
        assert_eq!(found(old), None, "no limit");
        put("memory/a/memory.limit_in_bytes", "5000\n");
        assert_eq!(found(old), Some(5000));
        for nonsense in ["", "0", "0::", ":::", "3:memory"] {
            let _any = found(nonsense);
        }
    }
}
