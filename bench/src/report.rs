//! What the rounds say.

use std::path::Path;

use anyhow::Result;
use serde_json::json;

use crate::contender::Contender;
use crate::dataset::Backlog;
use crate::machine;
use crate::measure::Figure;

/// The figures of one round, in the order of the contenders.
pub(crate) type Round = Vec<Figure>;

/// One drain in a line.
pub(crate) fn line(contender: &Contender, figure: &Figure, backlog: &Backlog) -> String {
    let millions = backlog.changes as f64 / 1e6;
    format!(
        "{:24} {:6.2} s {:8.0} changes/s, client {:5.2} and walsender {:5.2} CPU-s a million, peak {:5.1} MiB",
        contender.name(),
        figure.wall_s,
        backlog.changes as f64 / figure.wall_s,
        figure.client_cpu_s / millions,
        figure.walsender_cpu_s / millions,
        mebibytes(figure.peak_memory_bytes as i64),
    )
}

/// Prints the medians and stores all figures.
#[expect(clippy::print_stdout, reason = "the report is the program's output")]
pub(crate) fn finish(
    contenders: &[Contender],
    rounds: &[Round],
    backlog: &Backlog,
    out: &Path,
) -> Result<()> {
    let machine = machine::line();
    let (changes, wal_mib) = (backlog.changes, backlog.wal_bytes >> 20);
    println!("{machine}");
    println!(
        "{changes} changes, {wal_mib} MiB of WAL, medians of {} rounds",
        rounds.len()
    );
    print!("{}", table(contenders, rounds, backlog));
    println!("ratios are of the rates of one round; CPU-s are for a million changes");
    if let Some(folder) = out.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let names: Vec<_> = contenders.iter().map(Contender::name).collect();
    let all = json!({
        "machine": machine, "changes": changes, "wal_bytes": backlog.wal_bytes,
        "contenders": names, "rounds": rounds,
    });
    std::fs::write(out, serde_json::to_string_pretty(&all)?)?;
    println!("all figures: {}", out.display());
    Ok(())
}

/// A line for each contender; the peak is the largest of all rounds, the rest are medians.
fn table(contenders: &[Contender], rounds: &[Round], backlog: &Backlog) -> String {
    let millions = backlog.changes as f64 / 1e6;
    let mut table = format!(
        "{:24} {:>12} {:>12} {:>10} {:>13} {:>13} {:>9}\n",
        "", "/recvlogical", "/tail", "changes/s", "client CPU-s", "sender CPU-s", "peak MiB"
    );
    for (place, contender) in contenders.iter().enumerate() {
        let over = |yardstick: &Contender| {
            let yardstick = contenders.iter().position(|other| other == yardstick);
            median(rounds, |round| {
                Some(round.get(yardstick?)?.wall_s / round.get(place)?.wall_s)
            })
        };
        let of =
            |figure: &dyn Fn(&Figure) -> f64| median(rounds, |round| round.get(place).map(figure));
        let peak = rounds.iter().filter_map(|round| round.get(place));
        let peak = peak
            .map(|figure| figure.peak_memory_bytes)
            .max()
            .unwrap_or(0);
        table += &format!(
            "{:24} {:12.2} {:12.2} {:10.0} {:13.2} {:13.2} {:9.1}\n",
            contender.name(),
            over(&Contender::RecvLogical),
            over(&Contender::Tail),
            of(&|figure| backlog.changes as f64 / figure.wall_s),
            of(&|figure| figure.client_cpu_s / millions),
            of(&|figure| figure.walsender_cpu_s / millions),
            mebibytes(peak as i64),
        );
    }
    table
}

/// The median over the rounds; not a number where no round has the figure.
fn median(rounds: &[Round], figure: impl Fn(&Round) -> Option<f64>) -> f64 {
    let mut values: Vec<f64> = rounds.iter().filter_map(figure).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// For people; differences may be negative.
pub(crate) fn mebibytes(bytes: i64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(wall_s: f64) -> Figure {
        Figure {
            wall_s,
            client_cpu_s: 2.0,
            walsender_cpu_s: 4.0,
            peak_memory_bytes: 3 << 20,
        }
    }

    #[test]
    fn ratios_are_of_one_round_and_the_median_is_of_ratios() {
        let contenders = [Contender::RecvLogical, Contender::Tail, Contender::Kafka];
        // The second round was disturbed from its start to its end.
        let rounds = [
            vec![figure(2.0), figure(1.0), figure(2.0)],
            vec![figure(20.0), figure(10.0), figure(20.0)],
            vec![figure(2.0), figure(1.0), figure(4.0)],
        ];
        let backlog = Backlog {
            changes: 2_000_000,
            end: String::new(),
            wal_bytes: 0,
        };
        let table = table(&contenders, &rounds, &backlog);
        let words: Vec<Vec<_>> = table
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            words[1],
            [
                "pg_recvlogical",
                "1.00",
                "0.50",
                "1000000",
                "1.00",
                "2.00",
                "3.0"
            ]
        );
        assert_eq!(
            words[3][4..],
            ["1.00", "0.50", "500000", "1.00", "2.00", "3.0"]
        );
    }
}
