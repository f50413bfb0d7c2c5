//! Publications that are missing, too young, or dropped.

use anyhow::{Context, Result, ensure};
use walgate_tests::{commit_lsn, refused};
use walgate_throwaway::PgVersion;

use super::ledger_bed::{DOWN, LedgerBed};

/// 18 skips what it does not find and only warns; 15 refuses at the first change.
const VERSIONS: [PgVersion; 2] = [PgVersion::V15, PgVersion::V18];

/// Row 34: there is no such publication; the server would only say so at the first change.
#[test]
fn a_missing_publication_is_named_before_the_slot_is_touched() -> Result<()> {
    for version in VERSIONS {
        let bed = LedgerBed::shared(version, "publication_missing")?;
        bed.sql("alter publication walgate rename to other;")?;
        let text = [
            "publication walgate does not exist in this database (there are: other)",
            "CREATE PUBLICATION \"walgate\" FOR TABLE",
        ];
        refused(&bed.run_until_now()?, 2, &text, &[])?;
        ensure!(bed.slot()?.is_none(), "no slot was made");
    }
    Ok(())
}

/// Row 35: the publication is younger than the slot. It is there now, and was not when the changes
/// were made.
#[test]
fn a_publication_that_is_younger_than_the_slot_is_explained() -> Result<()> {
    for version in VERSIONS {
        let bed = LedgerBed::shared(version, "publication_young")?;
        bed.sql("drop publication walgate;")?;
        bed.sql("select pg_create_logical_replication_slot('publication_young', 'pgoutput');")?;
        bed.insert(1..=10)?;
        bed.sql("create publication walgate for table ledger;")?;
        bed.insert(11..=20)?;
        let before = bed.confirmed()?;
        let text = [
            "publication",
            "walgate",
            "created after the slot",
            "drop the slot",
        ];
        let known = ["nothing is known about it", DOWN];
        refused(&bed.run_until_now()?, 2, &text, &known)?;
        ensure!(
            bed.events()?.is_empty() && bed.confirmed()? == before,
            "nothing was skipped over"
        );
    }
    Ok(())
}

/// Row 36: the publication is dropped while we run. The changes that it would have had are not
/// skipped over, and the server is not asked again and again.
#[test]
fn a_publication_that_is_dropped_while_it_runs_stops_it() -> Result<()> {
    for version in VERSIONS {
        let bed = LedgerBed::shared(version, "publication_dropped")?;
        bed.begin()?;
        let mut program = bed.serve()?;
        bed.insert(1..=10)?;
        bed.until_complete(&mut program)?;
        bed.until_confirmed(&mut program)?;
        let last = bed.events()?;
        let last = commit_lsn(last.last().context("an event")?)?;
        bed.sql("drop publication walgate;")?;
        let dropped = bed.head()?;
        bed.insert(11..=20)?;
        let ended = program.wait()?;
        let text = ["publication", "walgate", "at this point of the log"];
        refused(&ended, 2, &text, &[DOWN])?;
        ensure!(
            ended.stderr.matches("streaming").count() == 1,
            "it came again and again: {}",
            ended.stderr
        );
        let confirmed = bed.confirmed()?;
        ensure!(
            bed.events()?.len() == 10 && confirmed > last && confirmed <= dropped + 1024,
            "{confirmed:X} is confirmed, and the publication was dropped before {dropped:X}"
        );
        // And so at the next start.
        refused(
            &bed.run_until_now()?,
            2,
            &["publication walgate does not exist"],
            &[],
        )?;
    }
    Ok(())
}
