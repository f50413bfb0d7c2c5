//! What a look costs the server.

use walgate_throwaway::PgVersion;

use crate::bed::Bed;

/// Looks: the kernel counts in hundredths of a second.
const LOOKS: u64 = 1000;

/// The promise: CPU of the backend for one look.
const MOST_MICROS: u64 = 1000;

#[expect(
    clippy::print_stdout,
    reason = "what was measured, for `cargo test … -- --nocapture`"
)]
#[tokio::test(flavor = "multi_thread")]
async fn a_look_costs_less_than_a_millisecond() {
    for version in PgVersion::ALL {
        let mut bed = Bed::start(version).await;
        for number in 0..10 {
            bed.create_slot(&format!("s{number}"));
        }
        for _ in 0..20 {
            bed.look().await;
        }
        let pid = bed.watcher.backend_pid();
        let before = cpu_micros(pid);
        for _ in 0..LOOKS {
            bed.watcher.look().await.expect("a look");
        }
        let each = (cpu_micros(pid) - before) / LOOKS;
        println!("PostgreSQL {version}: {each} µs of CPU for each look");
        assert!(
            each < MOST_MICROS,
            "{version}: {each} µs of CPU for each look"
        );
        assert!(each > 10, "{version}: {each} µs were not measured");
    }
}

/// User and system time of a process: fields 14 and 15 of `/proc/PID/stat`, in ticks of 10 ms.
fn cpu_micros(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the backend");
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let fields: Vec<_> = fields.split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<u64>().expect("a number");
    (ticks(11) + ticks(12)) * 10_000
}
