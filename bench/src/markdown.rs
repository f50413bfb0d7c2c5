//! Results for readers: `bench/RESULTS.md`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::cost::figures::{BASELINE, NOBODY};
use crate::goals::{Figure, Verdict, goals};
use crate::live::follower::Follower;
use crate::results::{Drained, Measured};
use crate::statistics::Estimate;
use crate::{bars, outage, rates, soak};

/// Makes the page and its plots, or fails when the page is not what the figures make.
#[derive(Args)]
pub(crate) struct ResultsArgs {
    /// The folder of the figures
    #[arg(long, default_value = "bench/results")]
    pub(crate) from: PathBuf,
    /// The page
    #[arg(long, default_value = "bench/RESULTS.md")]
    pub(crate) page: PathBuf,
    /// Only compare
    #[arg(long)]
    pub(crate) check: bool,
}

/// Makes the page.
pub(crate) fn run(args: &ResultsArgs) -> Result<()> {
    let measured = Measured::read(&args.from)?;
    let page = page(&measured);
    let path = args.page.display();
    if args.check {
        let there = std::fs::read_to_string(&args.page).with_context(|| path.to_string())?;
        ensure!(
            there == page,
            "{path} is not what the figures make: make bench-results"
        );
        return Ok(());
    }
    draw(&measured, &args.from)?;
    std::fs::write(&args.page, page).with_context(|| path.to_string())
}

/// Draws the plots beside their figures.
fn draw(measured: &Measured, folder: &Path) -> Result<()> {
    if !measured.drains.is_empty() {
        let works = measured.drains.iter().flat_map(|own| &own.works);
        let groups = works.map(|work| {
            let bar = |name: &String| Some((name.clone(), work.rate_over(name, BASELINE)?));
            let bars = work.contenders.iter().filter_map(bar).collect();
            (work.work.clone(), bars)
        });
        let groups: Vec<_> = groups.collect();
        let caption = "Rate of a drain, in times that of the bare receiver";
        bars::draw(caption, &groups, &folder.join("drains.svg"))?;
    }
    if let Some(costs) = &measured.costs {
        let bar = |name: &str| Some((name.to_owned(), costs.source_over(name, NOBODY)?));
        let bars = costs.contenders().into_iter().filter_map(bar).collect();
        let caption = "CPU of the source for a transaction, in times that with nobody who follows";
        bars::draw(caption, &[(String::new(), bars)], &folder.join("cost.svg"))?;
    }
    if let Some(rates) = &measured.rates {
        rates::plot::draw(rates, &folder.join("rates.svg"))?;
    }
    if let Some(outage) = &measured.outage {
        outage::plot::draw(&outage.stories, &folder.join("outage.svg"))?;
    }
    if let Some(soak) = &measured.soak {
        soak::figures::draw(soak, &folder.join("soak.svg"))?;
    }
    Ok(())
}

/// The page.
pub(crate) fn page(measured: &Measured) -> String {
    let mut page = String::from(
        "# Results\n\nMade by `make bench-results` from `bench/results`; never edited. How to read it: `bench/README.md`.\n\n",
    );
    page += &judged(measured);
    page += &compared(measured);
    if !measured.drains.is_empty() {
        page += "## Drains of a backlog\n\nRatios are medians of the rounds' own ratios, with the interval that holds the true median with 95 % confidence.\n\n![rates of drains](results/drains.svg)\n\n";
    }
    for drains in &measured.drains {
        page += &measured_on(&drains.machine, &drains.versions);
        for work in &drains.works {
            page += &drained(work);
        }
    }
    if let Some(rates) = &measured.rates {
        page += "## Steady rates\n\nThe age of a change when it arrives, from when its transaction was due.\n\n![ages by rate](results/rates.svg)\n\n";
        page += &measured_on(&rates.machine, &rates.versions);
        page += &rates.markdown();
    }
    if let Some(costs) = &measured.costs {
        page += "## Cost on the source\n\n![CPU of the source](results/cost.svg)\n\n";
        page += &measured_on(&costs.machine, &costs.versions);
        page += &(costs.markdown() + "\n");
    }
    if let Some(fan_out) = &measured.fan_out {
        page += "## Fan-out\n\n";
        page += &measured_on(&fan_out.machine, &fan_out.versions);
        page += &(fan_out.markdown() + "\n");
    }
    if let Some(instructions) = &measured.instructions {
        page += "## Decoding and encoding alone\n\nInstructions that a row of nine columns takes, counted by callgrind.\n\n";
        page += &measured_on(&instructions.machine, &instructions.versions);
        page += &(instructions.markdown() + "\n");
    }
    if let Some(outage) = &measured.outage {
        page += "## An outage of Kafka\n\n![what the slot holds back](results/outage.svg)\n\n";
        page += &measured_on(&outage.machine, &outage.versions);
        page += &(outage.markdown() + "\n");
    }
    if let Some(soak) = &measured.soak {
        page += "## An hour under load\n\n![memory](results/soak.svg)\n\n";
        page += &measured_on(&soak.machine, &soak.versions);
        page += &(soak.markdown() + "\n");
    }
    page
}

fn measured_on(machine: &str, versions: &[String]) -> String {
    format!("Measured on: {machine}.\nWith {}.\n\n", versions.join(", "))
}

fn judged(measured: &Measured) -> String {
    let mut text = String::from(
        "## Goals\n\nA goal is missed when all of the interval is.\n\n| goal | measured | |\n|---|---|---|\n",
    );
    for goal in goals() {
        let (figure, verdict) = goal.judge(measured);
        let figure = match figure {
            Figure::Of(measured) => estimate(Some(measured), 3),
            Figure::NotHeld => "a rate that is not held".to_owned(),
            Figure::None => String::new(),
        };
        let verdict = match verdict {
            Verdict::Reached => "reached",
            Verdict::Open => "within the noise",
            Verdict::Missed => "**missed**",
            Verdict::NotMeasured => "not measured",
        };
        text += &format!("| {} | {figure} | {verdict} |\n", goal.text());
    }
    text + "\n"
}

/// The three ways to hear of changes, side by side.
fn compared(measured: &Measured) -> String {
    let (Some(rates), Some(costs)) = (&measured.rates, &measured.costs) else {
        return String::new();
    };
    let Some(rate) = rates.rates().into_iter().min() else {
        return String::new();
    };
    let mut text = format!(
        "## Three ways to hear of changes\n\nAges at {rate} changes a second; CPU of the source for a transaction of pgbench, beside nobody who follows.\n\n\
         | | p50 ms | p99 ms | CPU of the source |\n|---|---|---|---|\n"
    );
    for (way, follower, costly) in [
        (
            "logical replication: Walgate",
            Follower::WebSocket,
            Follower::Stdout,
        ),
        (
            "LISTEN/NOTIFY by a trigger",
            Follower::Notify,
            Follower::Notify,
        ),
        ("polling every 2 s", Follower::Polling, Follower::Polling),
    ] {
        let milliseconds = |of: rates::figures::Of| {
            let age = rates.age(follower.name(), rate, of);
            age.map_or_else(
                || "not held".to_owned(),
                |age| format!("{:.2}", age.median / 1e3),
            )
        };
        let cost = costs.source_over(costly.name(), NOBODY);
        text += &format!(
            "| {way} | {} | {} | {} |\n",
            milliseconds(|own| own.p50_us),
            milliseconds(|own| own.p99_us),
            estimate(cost, 2)
        );
    }
    text + "\n"
}

/// One work: a table of its contenders.
pub(crate) fn drained(work: &Drained) -> String {
    let mut text = format!(
        "### {}\n\n{} changes, {} MiB of WAL, {} rounds\n\n| | of pg_recvlogical | of the bare receiver | changes/s | CPU-s a million | walsender's | peak MiB |\n|---|---|---|---|---|---|---|\n",
        work.work,
        work.changes,
        work.wal_bytes >> 20,
        work.rounds.len()
    );
    for name in &work.contenders {
        text += &format!(
            "| {name} | {} | {} | {} | {} | {} | {} |\n",
            estimate(work.rate_over(name, "pg_recvlogical"), 2),
            estimate(work.rate_over(name, "bare receiver"), 2),
            work.rate(name)
                .map_or_else(String::new, |rate| format!("{:.0}", rate.median)),
            estimate(work.cpu_a_million(name), 2),
            estimate(work.walsender_cpu_a_million(name), 2),
            work.peak_mebibytes(name)
                .map_or_else(String::new, |peak| format!("{peak:.1}")),
        );
    }
    text + "\n"
}

/// A median with its interval; nothing when there is none.
pub(crate) fn estimate(estimate: Option<Estimate>, digits: usize) -> String {
    let Some(Estimate { median, low, high }) = estimate else {
        return String::new();
    };
    if low.total_cmp(&high).is_eq() {
        return format!("{median:.digits$}");
    }
    format!("{median:.digits$} ({low:.digits$} to {high:.digits$})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::figures::Costs;
    use crate::cost::figures::tests::cost;
    use crate::measure;
    use crate::rates::figures::tests::{latency, rates};
    use crate::results::Drains;

    fn drains(own: [f64; 3]) -> Measured {
        let figure = |wall_s: f64| measure::Figure {
            wall_s,
            client_cpu_s: 1.0,
            walsender_cpu_s: 1.0,
            peak_memory_bytes: 1 << 20,
            counted: None,
        };
        let drains = Drains {
            machine: "a machine".to_owned(),
            versions: vec!["a server".to_owned()],
            works: vec![Drained {
                work: "tiny".to_owned(),
                changes: 1_000_000,
                wal_bytes: 1 << 20,
                contenders: vec!["pg_recvlogical".to_owned(), "walgate tail".to_owned()],
                rounds: own.map(|own| vec![figure(1.0), figure(own)]).to_vec(),
            }],
        };
        Measured {
            drains: vec![drains],
            ..Measured::default()
        }
    }

    #[test]
    fn a_goal_is_missed_only_when_the_whole_interval_is() {
        for (own, expected) in [
            ([0.5, 0.6, 0.9], "| reached |"),
            ([0.5, 1.1, 1.2], "| within the noise |"),
            ([1.1, 1.2, 1.3], "| **missed** |"),
        ] {
            let page = page(&drains(own));
            assert!(page.contains(expected), "{page}");
        }
        let page = page(&drains([0.5, 0.5, 0.5]));
        assert!(
            page.contains("| walgate tail | 2.00 |  | 2000000 | 1.00 | 1.00 | 1.0 |"),
            "{page}"
        );
        assert!(page.contains("| not measured |"), "{page}");
    }

    #[test]
    fn the_three_ways_are_side_by_side_when_both_were_measured() {
        let name = |own: Follower| own.name();
        let measured = Measured {
            rates: Some(rates(vec![
                latency(name(Follower::WebSocket), 1_000, 1, Some(1_500)),
                latency(name(Follower::Notify), 1_000, 1, None),
            ])),
            costs: Some(Costs {
                machine: String::new(),
                versions: Vec::new(),
                rate: 1,
                scale: 1,
                figures: vec![
                    cost(NOBODY, 1, 1.0),
                    cost(name(Follower::Stdout), 1, 1.25),
                    cost(name(Follower::Notify), 1, 2.5),
                ],
            }),
            ..Measured::default()
        };
        let page = page(&measured);
        assert!(
            page.contains("| logical replication: Walgate | 1.50 | 3.00 | 1.25 |"),
            "{page}"
        );
        assert!(
            page.contains("| LISTEN/NOTIFY by a trigger | not held | not held | 2.50 |"),
            "{page}"
        );
    }
}
