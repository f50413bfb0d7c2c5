//! What the rounds say.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde_json::json;

use crate::contender::Contender;
use crate::dataset::Backlog;
use crate::measure::Figure;

/// One drain in a line.
pub(crate) fn line(contender: Contender, figure: &Figure, backlog: &Backlog) -> String {
    let millions = backlog.changes as f64 / 1e6;
    format!(
        "{:24} {:6.2} s {:8.0} changes/s, client {:5.2} and walsender {:5.2} CPU-s a million, peak {:5.1} MiB",
        contender.name(),
        figure.wall_s,
        backlog.changes as f64 / figure.wall_s,
        figure.client_cpu_s / millions,
        figure.walsender_cpu_s / millions,
        figure.peak_memory_bytes as f64 / f64::from(1 << 20),
    )
}

/// Prints the medians and stores all figures.
#[expect(clippy::print_stdout, reason = "the report is the program's output")]
pub(crate) fn finish(
    rounds: &[Vec<(String, Figure)>],
    backlog: &Backlog,
    out: &Path,
) -> Result<()> {
    let millions = backlog.changes as f64 / 1e6;
    let mut rows: BTreeMap<&str, Vec<[f64; 5]>> = BTreeMap::new();
    for round in rounds {
        let yardstick = round.first().map_or(f64::NAN, |(_, figure)| figure.wall_s);
        for (name, figure) in round {
            rows.entry(name).or_default().push([
                yardstick / figure.wall_s,
                backlog.changes as f64 / figure.wall_s,
                figure.client_cpu_s / millions,
                figure.walsender_cpu_s / millions,
                figure.peak_memory_bytes as f64 / f64::from(1 << 20),
            ]);
        }
    }
    println!(
        "{} changes, {} MiB of WAL, medians of {} rounds",
        backlog.changes,
        backlog.wal_bytes >> 20,
        rounds.len()
    );
    println!(
        "{:24} {:>8} {:>12} {:>14} {:>14} {:>10}",
        "", "ratio", "changes/s", "client CPU-s", "sender CPU-s", "peak MiB"
    );
    for (name, figures) in &rows {
        let median = |column: usize| {
            let mut values: Vec<f64> = figures.iter().map(|row| row[column]).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        println!(
            "{name:24} {:8.2} {:12.0} {:14.2} {:14.2} {:10.1}",
            median(0), median(1), median(2), median(3), median(4)
        );
    }
    println!("ratio: rate against pg_recvlogical of the same round; CPU-s for a million changes");
    if let Some(folder) = out.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let all = json!({
        "changes": backlog.changes, "wal_bytes": backlog.wal_bytes,
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "rounds": rounds,
    });
    std::fs::write(out, serde_json::to_string_pretty(&all)?)?;
    println!("all figures: {}", out.display());
    Ok(())
}
