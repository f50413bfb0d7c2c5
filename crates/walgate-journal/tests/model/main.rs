//! The log on disk against a reference model, on a simulated disk that crashes, tears, reorders,
//! fills up, fails, lies and rots, over thousands of seeds.
//!
//! A seed that fails says how it is run again alone (`WALGATE_TEST_SEED`), and what was done.
//! `WALGATE_TEST_LONG=1` runs many more, `WALGATE_TEST_SEEDS=from..to` any.
//!
//! # What has to hold
//!
//! - Entries are numbered without holes, and read as they were appended, in order.
//! - What was said to be durable is there after every crash; after a failed fsync at least what was
//!   confirmed.
//! - A reader sees every change that the server has sent behind its position, in order, or is told
//!   of a loss that names exactly what it does not see. A required reader is told of none but
//!   damage.
//! - What can't be read was damaged, and is named. A log is cut only behind what was durable, or
//!   where it was damaged on purpose.
//! - The budget is exceeded by no more than a segment and a run.
#![expect(clippy::expect_used, reason = "a test that can't go on says so")]

mod reading;
mod reference;
mod sealing;
mod server;
mod sinks;
mod streaming;
mod trouble;
mod world;

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use trouble::End;
use world::World;

/// Enough that each kind of trouble meets each other many times, in some seconds.
const SEEDS: u64 = 2_000;
/// Seeds that have failed once, besides.
const ONCE_FAILED: &[u64] = &[
    11_513, 14_089, 15_340, 15_793, 17_677, 31_401, 36_062, 41_051, 73_525, 81_247, 94_686,
    103_474, 143_436, 175_921,
];
/// Minutes.
const LONG_SEEDS: u64 = 200_000;
/// Crashes come every fifty steps; a log sees a few of them.
const STEPS: u32 = 250;
/// The end of the trace, which is what a failure follows from.
const SHOWN: usize = 200;

impl World {
    fn step(&mut self) {
        match self.random.u8(0..128) {
            0..28 => self.append(),
            28..34 => self.stream(),
            34..38 => self.append_progress(),
            38 => self.append_gap(),
            39..41 => self.disconnect(),
            41..60 => self.write(),
            60..67 => self.sync(),
            67 => {
                self.sync();
                self.pack();
            }
            68..74 => self.pass(),
            74..78 => drop(self.retain()),
            78..98 => self.read(),
            98..106 => self.release(),
            106..109 => self.rewind(),
            109..111 => self.reopen_reader(),
            111..119 => self.confirm(),
            119 => self.trouble(),
            120..123 => self.heal(),
            123 => self.restart(End::PowerCut),
            124 => self.restart(End::Kill),
            125 if self.random.bool() => self.restart(End::Clean),
            126 if self.random.bool() => self.rot(),
            _ if self.lost => self.restart(End::PowerCut),
            _ => self.settle(),
        }
    }

    fn run(&mut self) {
        self.restart(End::Kill);
        let steps = self.random.u32(1..STEPS);
        (0..steps).for_each(|_| self.step());
        self.finish();
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "it panicked".to_owned())
}

/// Runs one seed; on failure says why, and what was done.
fn run(seed: u64) -> Result<(), String> {
    let mut world = World::new(seed);
    let result = catch_unwind(AssertUnwindSafe(|| world.run()));
    let Err(panic) = result else {
        return Ok(());
    };
    let from = world.trace.len().saturating_sub(SHOWN);
    let trace = world.trace.get(from..).unwrap_or_default().join("\n  ");
    Err(format!(
        "{}\n\nsteps of seed {seed}:\n  {trace}\n\n{}\n\nagain: WALGATE_TEST_SEED={seed} cargo test \
         -p walgate-journal --test model\n",
        message(panic.as_ref()),
        message(panic.as_ref()),
    ))
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn seeds() -> Vec<u64> {
    let range = seed_range();
    match range {
        Some(range) => range.collect(),
        None => (0..SEEDS).chain(ONCE_FAILED.iter().copied()).collect(),
    }
}

/// The seeds that were asked for.
fn seed_range() -> Option<Range<u64>> {
    let number = |text: &str| text.parse::<u64>().expect("a number");
    if let Some(seed) = setting("WALGATE_TEST_SEED") {
        let seed = number(&seed);
        return Some(seed..seed + 1);
    }
    if let Some(seeds) = setting("WALGATE_TEST_SEEDS") {
        let (from, to) = seeds.split_once("..").expect("from..to");
        return Some(number(from)..number(to));
    }
    setting("WALGATE_TEST_LONG").map(|_| 0..LONG_SEEDS)
}

#[test]
fn the_log_is_what_the_model_is() {
    let seeds = seeds();
    let next = AtomicUsize::new(0);
    // Of the seeds, in their order.
    let failed = AtomicUsize::new(usize::MAX);
    let work = || {
        loop {
            let place = next.fetch_add(1, Ordering::SeqCst);
            let seed = *seeds.get(place)?;
            if place > failed.load(Ordering::SeqCst) {
                return None;
            }
            if let Err(why) = run(seed) {
                failed.fetch_min(place, Ordering::SeqCst);
                return Some(why);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let failures: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ends = threads
            .into_iter()
            .map(|thread| thread.join().expect("it is caught"));
        ends.flatten().collect()
    });
    assert!(failures.is_empty(), "{}", failures.concat());
}
