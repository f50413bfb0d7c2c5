//! Everything that is measured, one part after the other. What is there is not measured again, so that a run
//! which was cut off goes on with the part in which it was.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::cost::{self, CostArgs};
use crate::drain::{self, DrainArgs, Way};
use crate::fan_out::{self, FanOutArgs};
use crate::instructions;
use crate::markdown::{self, ResultsArgs};
use crate::outage::{self, OutageArgs};
use crate::peer::Peer;
use crate::rates::{self, RatesArgs};
use crate::soak::{self, SoakArgs};
use crate::work::Work;
use crate::{contender, say};

/// How everything is measured.
#[derive(Args)]
pub(crate) struct AllArgs {
    /// Where the figures go; the page goes beside this folder
    #[arg(long, default_value = "bench/results")]
    into: PathBuf,
    /// Rounds of each part
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Only this part; may be repeated
    #[arg(long)]
    part: Vec<String>,
    /// Measure again what is there
    #[arg(long)]
    again: bool,
    /// Leave programs of others out
    #[arg(long)]
    without_peers: bool,
    /// Only list the parts
    #[arg(long)]
    list: bool,
}

/// How much is measured.
pub(crate) struct Scale {
    /// Rounds of each part.
    pub(crate) rounds: usize,
    /// Whether programs of others join.
    pub(crate) with_peers: bool,
    /// As little as shows that it works.
    pub(crate) in_miniature: bool,
}

/// One part of it.
pub(crate) struct Part {
    /// The name, also of its file.
    pub(crate) name: &'static str,
    /// About how long it takes on two cores with seven rounds.
    minutes: u32,
    /// What it tells.
    tells: &'static str,
    /// Measures, and writes a file of its name into a folder.
    measure: fn(&Scale, &Path) -> Result<()>,
}

const PARTS: [Part; 9] = [
    Part {
        name: "drain",
        minutes: 30,
        tells: "a backlog to stdout and into Kafka, beside programs of others",
        measure: drain,
    },
    Part {
        name: "ways",
        minutes: 10,
        tells: "the same backlog over TLS and over a Unix socket",
        measure: ways,
    },
    Part {
        name: "works",
        minutes: 30,
        tells: "backlogs of other shapes",
        measure: works,
    },
    Part {
        name: "rates",
        minutes: 35,
        tells: "the age of changes at steady rates",
        measure: rates,
    },
    Part {
        name: "cost",
        minutes: 15,
        tells: "what following costs the source",
        measure: cost,
    },
    Part {
        name: "fan-out",
        minutes: 40,
        tells: "one stream to many clients",
        measure: fan_out,
    },
    Part {
        name: "instructions",
        minutes: 5,
        tells: "decoding and encoding alone",
        measure: |_, into| instructions::run(&into.join("instructions.json")),
    },
    Part {
        name: "outage",
        minutes: 20,
        tells: "Kafka away for five minutes",
        measure: outage,
    },
    Part {
        name: "soak",
        minutes: 65,
        tells: "an hour under load, and kills",
        measure: soak,
    },
];

/// Measures what is not there yet, and makes the page.
#[expect(clippy::print_stdout, reason = "the list is the program's output")]
pub(crate) fn run(args: &AllArgs) -> Result<()> {
    for name in &args.part {
        ensure!(
            PARTS.iter().any(|part| part.name == name),
            "there is no part {name}: --list"
        );
    }
    let wanted =
        |part: &&Part| args.part.is_empty() || args.part.iter().any(|own| own == part.name);
    if args.list {
        for part in PARTS.iter().filter(wanted) {
            println!("{:8} {:3} min  {}", part.name, part.minutes, part.tells);
        }
        return Ok(());
    }
    contender::check()?;
    ensure!(
        cost::is_possible(),
        "pgbench is not installed: apt-get install postgresql"
    );
    let counts = PARTS
        .iter()
        .filter(wanted)
        .any(|part| part.name == "instructions");
    ensure!(
        !counts || instructions::is_possible(),
        "valgrind is not installed: apt-get install valgrind"
    );
    let scale = Scale {
        rounds: args.rounds,
        with_peers: !args.without_peers,
        in_miniature: false,
    };
    for part in PARTS.iter().filter(wanted) {
        part.run(&scale, &args.into, args.again)?;
    }
    make_page(&args.into)
}

/// Runs what needs no other build in miniature, twice: the second time nothing is left to do.
pub(crate) fn in_miniature(into: &Path) -> Result<()> {
    let scale = Scale {
        rounds: 1,
        with_peers: false,
        in_miniature: true,
    };
    let has_pgbench = cost::is_possible();
    if !has_pgbench {
        say("cost is left out: pgbench is not installed");
    }
    let quick = || {
        PARTS.iter().filter(|part| match part.name {
            "cost" => has_pgbench,
            // It builds benchmarks with all optimisations.
            "instructions" => false,
            _ => true,
        })
    };
    for part in quick() {
        ensure!(part.run(&scale, into, false)?, "{} was there", part.name);
    }
    for part in quick() {
        ensure!(!part.run(&scale, into, false)?, "{} ran again", part.name);
    }
    make_page(into)?;
    markdown::run(&ResultsArgs {
        check: true,
        ..page(into)
    })
}

fn page(into: &Path) -> ResultsArgs {
    ResultsArgs {
        from: into.to_owned(),
        page: into.with_file_name("RESULTS.md"),
        check: false,
    }
}

fn make_page(into: &Path) -> Result<()> {
    let args = page(into);
    markdown::run(&args)?;
    say(&format!("the page: {}", args.page.display()));
    Ok(())
}

impl Part {
    /// Measures unless that was done. Whether it was still to be done.
    fn run(&self, scale: &Scale, into: &Path, again: bool) -> Result<bool> {
        let file = format!("{}.json", self.name);
        if !again && into.join(&file).exists() {
            say(&format!(
                "{}: is there, --again measures it again",
                self.name
            ));
            return Ok(false);
        }
        say(&format!("{}: {}", self.name, self.tells));
        // A part that is cut off leaves nothing that could be taken for its figures.
        let unfinished = into.join("unfinished");
        std::fs::create_dir_all(&unfinished)?;
        (self.measure)(scale, &unfinished).context(self.name)?;
        std::fs::rename(unfinished.join(&file), into.join(&file))?;
        std::fs::remove_dir_all(&unfinished)?;
        Ok(true)
    }
}

fn drains(scale: &Scale, work: &[Work], way: &[Way], out: PathBuf) -> DrainArgs {
    DrainArgs {
        work: work.to_vec(),
        way: way.to_vec(),
        // Some transactions with updates and deletes are the least.
        rows: if scale.in_miniature {
            10_000
        } else {
            1_000_000
        },
        rounds: scale.rounds,
        without_kafka: true,
        peer: Vec::new(),
        variant: Vec::new(),
        out,
        in_miniature: scale.in_miniature,
    }
}

fn drain(scale: &Scale, into: &Path) -> Result<()> {
    let peers = [
        Peer::Debezium,
        Peer::DebeziumConnect,
        Peer::GoPqCdc,
        Peer::Node,
    ];
    drain::run(&DrainArgs {
        without_kafka: false,
        peer: if scale.with_peers {
            peers.to_vec()
        } else {
            Vec::new()
        },
        ..drains(scale, &[Work::Orders], &[Way::Tcp], into.join("drain.json"))
    })
}

fn ways(scale: &Scale, into: &Path) -> Result<()> {
    let out = into.join("ways.json");
    drain::run(&drains(scale, &[Work::Orders], &[Way::Tls, Way::Unix], out))
}

fn works(scale: &Scale, into: &Path) -> Result<()> {
    let all = [
        Work::Narrow,
        Work::Wide,
        Work::Toast,
        Work::Tiny,
        Work::Huge,
        Work::Tables,
    ];
    let works = match scale.in_miniature {
        true => &all[3..4],
        false => &all,
    };
    drain::run(&drains(scale, works, &[Way::Tcp], into.join("works.json")))
}

fn rates(scale: &Scale, into: &Path) -> Result<()> {
    rates::run(&RatesArgs {
        rate: match scale.in_miniature {
            true => vec![500],
            false => vec![1_000, 10_000, 50_000],
        },
        seconds: if scale.in_miniature { 1 } else { 10 },
        rounds: scale.rounds,
        without_kafka: false,
        without_notify: false,
        debezium: scale.with_peers,
        only: Vec::new(),
        out: into.join("rates.json"),
        in_miniature: scale.in_miniature,
    })
}

fn cost(scale: &Scale, into: &Path) -> Result<()> {
    cost::run(&CostArgs {
        transactions: if scale.in_miniature { 200 } else { 20_000 },
        scale: if scale.in_miniature { 1 } else { 10 },
        rate: scale.in_miniature.then_some(200),
        rounds: scale.rounds,
        debezium: scale.with_peers,
        without_notify: false,
        out: into.join("cost.json"),
    })
}

fn fan_out(scale: &Scale, into: &Path) -> Result<()> {
    fan_out::run(&FanOutArgs {
        clients: match scale.in_miniature {
            true => vec![10],
            false => vec![1, 100, 1_000, 5_000],
        },
        rounds: scale.rounds,
        deliveries: if scale.in_miniature {
            1_000
        } else {
            20_000_000
        },
        seconds: if scale.in_miniature { 1 } else { 5 },
        without_notify: false,
        without_filters: false,
        out: into.join("fan-out.json"),
    })
}

fn outage(scale: &Scale, into: &Path) -> Result<()> {
    outage::run(&OutageArgs {
        seconds: if scale.in_miniature { 1 } else { 300 },
        rate: if scale.in_miniature { 200 } else { 5_000 },
        out: into.to_owned(),
        in_miniature: scale.in_miniature,
    })
}

fn soak(scale: &Scale, into: &Path) -> Result<()> {
    let out = into.join("soak.json");
    soak::run(&match scale.in_miniature {
        true => SoakArgs {
            seconds: 1,
            rate: 200,
            kills: 1,
            out,
            in_miniature: true,
        },
        false => SoakArgs {
            seconds: 3_600,
            rate: 5_000,
            kills: 7,
            out,
            in_miniature: false,
        },
    })
}
