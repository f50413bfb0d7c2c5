//! A journal is replayed into Kafka.

use anyhow::{Context, Result, ensure};
use walgate_tests::{CREATED, refused};
use walgate_throwaway::shared_kafka;

use super::beds::{bed, command, topic};

#[test]
fn a_replay_into_kafka_is_marked_and_has_the_same_records() -> Result<()> {
    let bootstrap = shared_kafka()?.bootstrap();
    let name = format!("rewind_replay_{}", std::process::id());
    let bed = bed(&name, &bootstrap)?;
    bed.begin()?;
    bed.sql(
        "insert into ledger select n, 1, 0, 'n' from generate_series(1, 100) n;
         update ledger set version = 2;\ndelete from ledger where id > 90;",
    )?;
    bed.catch_up(&[])?;
    let journal = bed.path("journal");
    let journal = journal.to_str().context("a name")?;
    let ended = command(&bed, &["replay", journal, "--sink", "kafka"])?;
    refused(
        &ended,
        2,
        &["sink kafka is a Kafka", "--accept-reorder"],
        &[CREATED],
    )?;
    let words = ["replay", journal, "--sink", "kafka", "--accept-reorder"];
    let ended = command(&bed, &words)?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    ensure!(
        ended.stderr.contains("210 events into kafka"),
        "{}",
        ended.stderr
    );
    for records in topic(&bootstrap, &name)? {
        let (first, again) = records.split_at(records.len() / 2);
        ensure!(!first.is_empty() && first.len() == again.len(), "twice");
        let id = again.first().and_then(|record| record.replay.as_deref());
        ensure!(id.is_some(), "a mark");
        for (one, other) in first.iter().zip(again) {
            ensure!(one.replay.is_none() && other.replay.as_deref() == id);
            ensure!(one.id == other.id && one.stored.value == other.stored.value);
            ensure!(one.stored.key == other.stored.key);
        }
    }
    Ok(())
}
