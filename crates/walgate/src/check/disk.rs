//! Room for the journal on disk.

use std::path::Path;

use rustix::fs::statvfs;
use walgate_journal::log::LogOptions;
use walgate_journal::storage::Space;
use walgate_slot::check::Finding;
use walgate_slot::words::bytes;

use super::machine::nearest;
use crate::config::Journal;

const CHECK: &str = "journal_disk";

/// Judges the disk of the journal; none without one.
pub(super) fn check(journal: &Journal) -> Option<Finding> {
    let folder = journal.path.as_ref()?;
    let there = nearest(folder);
    let wrong = |problem: String| {
        Finding::fail(
            CHECK,
            problem,
            "the start stops at it",
            format!(
                "mkdir -p {}, owned by who runs Walgate; or another [journal] path",
                folder.display()
            ),
        )
    };
    if !there.is_dir() {
        return Some(wrong(format!("{} is no folder", there.display())));
    }
    Some(match statvfs(&there) {
        Ok(stat) => {
            let space = Space {
                total: stat.f_blocks.saturating_mul(stat.f_frsize),
                available: stat.f_bavail.saturating_mul(stat.f_frsize),
            };
            judge(journal, folder, space, size(folder))
        }
        Err(error) => wrong(format!("{}: {error}", there.display())),
    })
}

/// What the files of a folder take; nothing where there is none.
fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| entry.metadata().map_or(0, |file| file.len()));
    sizes.sum()
}

/// `held`: what the journal has already.
fn judge(journal: &Journal, folder: &Path, space: Space, held: u64) -> Finding {
    let options = LogOptions {
        budget_bytes: journal.budget.map(|budget| budget.0),
        ..LogOptions::default()
    };
    let budget = options.budget(Some(space));
    let keep = space.total / 100 * u64::from(journal.keep_free);
    let room = held.saturating_add(space.available.saturating_sub(keep));
    let seen = format!(
        "the journal may take {}, and {} has room for {}: {} are free, of which {} ({} %) stay so",
        bytes(budget),
        folder.display(),
        bytes(room),
        bytes(space.available),
        bytes(keep),
        journal.keep_free,
    );
    if space.available < keep {
        return Finding::fail(
            CHECK,
            seen,
            "the journal is full before it has begun: nothing is read, and the slot holds the log",
            "free the disk, or a larger one; or lower [journal] keep_free",
        );
    }
    if room < budget {
        return Finding::warn(
            CHECK,
            seen,
            "it is full long before its budget is used up, and a sink may be down for less long",
            "free the disk, or a larger one; or lower [journal] budget, so that alerts about it are right",
        );
    }
    Finding::pass(CHECK, seen)
}

#[cfg(test)]
mod tests {
    use walgate_slot::check::Level;

    use super::*;
    use crate::config::Size;

    const GIB: u64 = 1 << 30;

    fn level(budget: Option<u64>, available: u64, held: u64) -> Level {
        let journal = Journal {
            budget: budget.map(|gib| Size(gib * GIB)),
            keep_free: 10,
            ..Journal::default()
        };
        let space = Space {
            total: 100 * GIB,
            available: available * GIB,
        };
        judge(&journal, Path::new("/j"), space, held * GIB).level
    }

    #[test]
    fn the_budget_has_to_fit_beside_what_stays_free() {
        assert_eq!(level(Some(20), 31, 0), Level::Pass);
        assert_eq!(level(Some(20), 29, 0), Level::Warn);
        // What it has already is its own.
        assert_eq!(level(Some(20), 29, 2), Level::Pass);
        assert_eq!(level(Some(20), 9, 20), Level::Fail);
        // The smaller of 20 GiB and half of it.
        assert_eq!(level(None, 31, 0), Level::Pass);
        assert_eq!(level(None, 29, 0), Level::Warn);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_on_the_disk_of_its_parent() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = |name: &str| Journal {
            path: Some(folder.path().join(name)),
            // Whatever this disk has.
            budget: Some(Size(1)),
            keep_free: 0,
            ..Journal::default()
        };
        let found = check(&journal("a/b")).expect("a journal on disk");
        assert_eq!(found.level, Level::Pass, "{found:?}");
        std::fs::write(folder.path().join("file"), "x").expect("written");
        let found = check(&journal("file/b")).expect("a journal on disk");
        assert_eq!(found.level, Level::Fail, "{found:?}");
        assert_eq!(size(folder.path()), 1);
        assert!(check(&Journal::default()).is_none());
    }
}
