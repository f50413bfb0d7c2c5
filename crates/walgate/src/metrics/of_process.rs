//! What the kernel counts of this process. Only Linux says it; elsewhere it is not known.

use std::fs;

/// `USER_HZ`, the unit of times in `/proc`: 100 on every Linux that there is (proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;

/// Numbers of this process; NaN where it is not known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct OfProcess {
    pub(super) resident_bytes: f64,
    pub(super) cpu_seconds: f64,
    pub(super) open_files: f64,
}

impl OfProcess {
    pub(super) fn now() -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).ok();
        let files = fs::read_dir("/proc/self/fd").ok();
        #[expect(clippy::cast_precision_loss, reason = "some files")]
        let files = files.map(|files| files.count() as f64);
        Self {
            resident_bytes: read("status")
                .and_then(|status| resident(&status))
                .unwrap_or(f64::NAN),
            cpu_seconds: read("stat").and_then(|stat| cpu(&stat)).unwrap_or(f64::NAN),
            // The listing has one open itself.
            open_files: files.map_or(f64::NAN, |files| (files - 1.0).max(0.0)),
        }
    }
}

/// `VmRSS:      1234 kB`
fn resident(status: &str) -> Option<f64> {
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}

/// The 14th and 15th field; the second is a name in parentheses, with anything in it.
fn cpu(stat: &str) -> Option<f64> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_the_kernel_are_read() {
        assert_eq!(
            resident("Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t3"),
            Some(2_097_152.0)
        );
        let stat = "7 (a) b) S 1 1 1 0 -1 0 1 2 3 4 150 50 0 0 20";
        assert_eq!(cpu(stat), Some(2.0));
        for nonsense in ["", ")", "x) 1 2", "VmRSS: many"] {
            assert_eq!(resident(nonsense), None);
            assert_eq!(cpu(nonsense), None);
        }
        if cfg!(target_os = "linux") {
            let now = OfProcess::now();
            assert!(now.resident_bytes > 1e6 && now.open_files >= 3.0, "{now:?}");
            assert!(now.cpu_seconds >= 0.0);
        }
    }
}
