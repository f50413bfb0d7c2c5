//! What an outage has cost.

use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{Story, plot};
use crate::machine::Versions;
use crate::measure::mebibytes;
use crate::{machine, results};

/// The figures of one run that count.
struct Summary {
    unconfirmed_most: i64,
    retained_most: i64,
    retained_more_than_beside: i64,
    journal_most: u64,
}

impl Summary {
    /// From when the outage began until the sink had caught up.
    fn of(story: &Story) -> Self {
        let during = || {
            let mut samples = story.samples.iter();
            samples
                .by_ref()
                .find(|sample| sample.seconds >= story.down_at);
            samples.take_while(|sample| sample.seconds <= story.caught_up_at)
        };
        let most = |of: fn(&super::Sample) -> i64| during().map(of).max().unwrap_or_default();
        Self {
            unconfirmed_most: most(|sample| sample.unconfirmed),
            retained_most: most(|sample| sample.retained),
            retained_more_than_beside: most(|sample| sample.retained - sample.retained_beside),
            journal_most: during()
                .map(|sample| sample.journal)
                .max()
                .unwrap_or_default(),
        }
    }
}

/// Both runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Outage {
    /// What it was measured on.
    pub(crate) machine: String,
    /// Programs and libraries with their versions.
    pub(crate) versions: Vec<String>,
    /// Changes a second.
    pub(crate) rate: u32,
    /// Each of the runs.
    pub(crate) stories: Vec<Story>,
}

impl Outage {
    /// What counts, in words.
    pub(crate) fn markdown(&self) -> String {
        self.stories.iter().map(text).collect()
    }
}

/// Prints the figures, and stores them with the plot.
#[expect(clippy::print_stdout, reason = "the report is the program's output")]
pub(crate) fn finish(stories: Vec<Story>, rate: u32, out: &Path) -> Result<()> {
    let outage = Outage {
        machine: machine::line(),
        versions: Versions::of(None).kafka(true).list(),
        rate,
        stories,
    };
    println!("{}\n{}", outage.machine, outage.markdown());
    let file = out.join("outage.json");
    results::write(&file, &outage)?;
    let picture = out.join("outage.svg");
    plot::draw(&outage.stories, &picture)?;
    println!("all figures: {}, {}", file.display(), picture.display());
    Ok(())
}

fn text(story: &Story) -> String {
    let Summary {
        unconfirmed_most,
        retained_most,
        retained_more_than_beside,
        journal_most,
    } = Summary::of(story);
    format!(
        "- {}: Kafka away for {:.0} s under {:.0} changes/s; {} rows, each delivered once\n\
         \x20 not confirmed: at most {:.1} MiB; retained by restart_lsn: at most {:.1} MiB, {:.1} MiB more than pg_recvlogical\n\
         \x20 caught up after {:.0} s at {:.0} changes/s, {:.2} of a drain's {:.0}; journal at most {:.0} MiB, memory at most {:.1} MiB\n",
        story.name,
        story.up_at - story.down_at,
        story.load_rate,
        story.rows,
        mebibytes(unconfirmed_most),
        mebibytes(retained_most),
        mebibytes(retained_more_than_beside),
        story.caught_up_at - story.up_at,
        story.catch_up_rate,
        story.catch_up_rate / story.drain_rate,
        story.drain_rate,
        mebibytes(journal_most as i64),
        mebibytes(story.peak_memory_bytes as i64),
    )
}
