//! A Kafka sink is rewound under load.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use walgate_tests::{AFTER_A_KILL, Bed, CREATED, Workload, ledger, long, seed, stop, until};
use walgate_throwaway::shared_kafka;

use super::beds::{BEGUN, OVER, Record, bed, each_once, is_under_way, last_wins, rewind, topic};

/// Waits until the workload has committed so many more transactions.
fn work(workload: &Workload, transactions: u64) -> Result<()> {
    let from = workload.committed();
    until("the workload goes on", || {
        Ok(workload.committed() >= from + transactions)
    })
}

/// Kills of `make test`, and of `make test-all`.
fn kills() -> u32 {
    if long() { 100 } else { 8 }
}

fn lsn(position: u64) -> String {
    format!("{:X}/{:X}", position >> 32, position & 0xFFFF_FFFF)
}

/// What is confirmed, which never falls.
struct Confirmed<'a>(&'a Bed, u64);

impl Confirmed<'_> {
    fn look(&mut self) -> Result<()> {
        let now = self.0.confirmed()?;
        ensure!(now >= self.1, "confirmed fell from {:X} to {now:X}", self.1);
        self.1 = now;
        Ok(())
    }
}

#[test]
fn what_is_retained_comes_again_marked_and_new_changes_go_on() -> Result<()> {
    let seed = seed();
    under_load(seed).with_context(|| format!("WALGATE_TEST_SEED={seed}"))
}

fn under_load(seed: u64) -> Result<()> {
    let bootstrap = shared_kafka()?.bootstrap();
    let name = format!("rewind_load_{}", seed % 1_000_000);
    let bed = bed(&name, &bootstrap)?;
    let mut program = bed.serve()?;
    let workload = Workload::start(&bed.url, seed, 2, Duration::from_millis(4));
    work(&workload, 60)?;
    let from = bed.head()?;
    work(&workload, 120)?;
    bed.until_confirmed(&mut program)?;
    let mut confirmed = Confirmed(&bed, 0);
    let asked = rewind(&bed, &lsn(from))?;
    until("the rewind is over", || {
        confirmed.look()?;
        Ok(program.stderr().contains(OVER))
    })?;
    work(&workload, 60)?;
    workload.stop()?;
    bed.until_confirmed(&mut program)?;
    confirmed.look()?;
    let log = stop(program, &[CREATED])?.stderr;
    ensure!(log.contains(BEGUN), "{log}");
    // What a stop leaves waits in the journal.
    bed.catch_up(&[])?;

    let partitions = topic(&bootstrap, &name)?;
    let id = asked["id"].as_str().context("an id")?;
    let mut again = 0;
    for records in &partitions {
        again += one_block(records, id, asked["from"].as_str().context("a position")?)?;
    }
    ensure!(again > 50, "{again} records have come again");
    let table = ledger(&mut bed.admin()?)?;
    ensure!(each_once(&partitions)? == table, "each event once");
    ensure!(last_wins(&partitions)? == table, "whatever comes last");
    Ok(())
}

/// What has come again is one block: everything that came before it, from a position on, the same
/// to the byte. Returns how much.
fn one_block(records: &[Record], id: &str, from: &str) -> Result<usize> {
    let marked = |record: &Record| record.replay.as_deref() == Some(id);
    let Some(begin) = records.iter().position(marked) else {
        anyhow::bail!("nothing has come again in a partition");
    };
    let len = records[begin..].iter().take_while(|r| marked(r)).count();
    let (before, rest) = records.split_at(begin);
    let (again, behind) = rest.split_at(len);
    ensure!(
        behind
            .iter()
            .chain(before)
            .all(|record| record.replay.is_none()),
        "the header ends"
    );
    let first = before.partition_point(|record| *record.id < *from);
    ensure!(
        before.len() - first == len,
        "{len} of {}",
        before.len() - first
    );
    for (before, again) in before[first..].iter().zip(again) {
        let (one, other) = (&before.stored, &again.stored);
        ensure!(
            before.id == again.id,
            "{} instead of {}",
            again.id,
            before.id
        );
        ensure!(
            (&one.key, &one.value) == (&other.key, &other.value),
            "{}",
            again.id
        );
    }
    let last = before.last().map(|record| &record.id);
    ensure!(
        behind.first().map(|r| &r.id) > last,
        "it goes on behind what it had"
    );
    Ok(len)
}

/// Killed in the midst of rewinds, and at random moments of what follows: each begins again with the
/// next start, before anything else, and at the end nothing is lost and nothing old stands last.
#[test]
fn kill_9_in_its_midst_loses_nothing() -> Result<()> {
    let seed = seed();
    killed(seed).with_context(|| format!("WALGATE_TEST_SEED={seed}"))
}

fn killed(seed: u64) -> Result<()> {
    let bootstrap = shared_kafka()?.bootstrap();
    let name = format!("rewind_kill_{}", seed % 1_000_000);
    let bed = bed(&name, &bootstrap)?;
    bed.begin()?;
    let from = bed.head()?;
    let workload = Workload::start(&bed.url, seed, 3, Duration::from_millis(2));
    work(&workload, 400)?;
    bed.catch_up(&[])?;
    let state = bed.path("state");
    let mut confirmed = Confirmed(&bed, 0);
    let (mut midst, mut lengths) = (0, seed);
    for round in 0..kills() {
        let mut program = bed.serve()?;
        if !is_under_way(&state) {
            // A sink that has just begun knows where it is.
            until("a rewind is accepted", || {
                Ok(rewind(&bed, &lsn(from)).is_ok())
            })?;
        }
        program.wait_for_log(BEGUN)?;
        lengths = lengths.rotate_left(7);
        std::thread::sleep(Duration::from_micros(lengths % 40_000));
        program.signal("KILL")?;
        program.wait()?;
        midst += u32::from(is_under_way(&state));
        confirmed.look().with_context(|| format!("round {round}"))?;
    }
    ensure!(midst > 0, "no kill has hit a rewind");
    workload.stop()?;
    if !is_under_way(&state) {
        let program = bed.serve()?;
        until("a rewind is accepted", || {
            Ok(rewind(&bed, &lsn(from)).is_ok())
        })?;
        // In order this time: it stays, and the next start begins it again.
        program.signal("TERM")?;
        program.wait()?;
    }
    let ended = bed.catch_up(AFTER_A_KILL)?;
    ensure!(!is_under_way(&state), "it is over: {}", ended.stderr);
    let partitions = topic(&bootstrap, &name)?;
    let again = partitions.iter().flatten().filter(|r| r.replay.is_some());
    ensure!(again.count() > 500, "much has come again");
    let table = ledger(&mut bed.admin()?)?;
    ensure!(each_once(&partitions)? == table, "nothing is lost");
    ensure!(last_wins(&partitions)? == table, "nothing old stands last");
    Ok(())
}
