//! `walgate diff`.

mod events;
mod report;

use std::collections::BTreeSet;
use std::path::Path;

use walgate_core::{Failure, StopReason};

use crate::args::DiffArgs;
use crate::config::{Config, Overrides, Surroundings, load};
use crate::ending::Ending;
use crate::wiring::{Recording, Walk};
use events::Side;
use report::{Report, SinkReport};

/// What two configurations make of one recording, and where that differs.
///
/// # Errors
///
/// When the recording or a configuration can't be used.
pub fn diff(args: &DiffArgs) -> Result<String, Ending> {
    let (old_file, new_file) = two(&args.configs)?;
    let (old, new) = (configuration(old_file)?, configuration(new_file)?);
    let recording = Recording::open(&args.path, args.keys.load()?)?;
    let range = recording.range(&args.range)?;
    if range.to == recording.whole() {
        recording.warn_of_its_end();
    }
    let mut report = Report {
        recording: args.path.display().to_string(),
        old: old_file.display().to_string(),
        new: new_file.display().to_string(),
        sinks: Vec::new(),
    };
    for name in names(args, &old, &new)? {
        let (old, new) = (old.sinks.get(&name), new.sinks.get(&name));
        let side = |sink: Option<_>| sink.map(|sink| Side::new(&name, sink, range)).transpose();
        let (mut old, mut new) = (side(old)?, side(new)?);
        let mut sink = SinkReport::new(&name, old.is_some(), new.is_some());
        let walk = recording.walk(range, args.on_damage);
        compare(walk, old.as_mut(), new.as_mut(), &mut sink, args.examples)?;
        report.sinks.push(sink);
    }
    report.render(args.json)
}

fn two(configs: &[std::path::PathBuf]) -> Result<(&Path, &Path), Failure> {
    match configs {
        [old, new] => Ok((old, new)),
        _ => Err(
            Failure::new(StopReason::Config, "two configurations are compared")
                .hint("name the old one and then the new one: -c walgate.toml -c new.toml"),
        ),
    }
}

fn configuration(file: &Path) -> Result<Config, Ending> {
    let loaded = load(
        Some(file),
        &Overrides::default(),
        &Surroundings::of_process(),
    )?;
    Ok(loaded.config)
}

/// The sinks that either has.
fn names(args: &DiffArgs, old: &Config, new: &Config) -> Result<Vec<String>, Failure> {
    let all: BTreeSet<_> = old.sinks.keys().chain(new.sinks.keys()).collect();
    let Some(wanted) = &args.sink else {
        return Ok(all.into_iter().cloned().collect());
    };
    if all.contains(wanted) {
        return Ok(vec![wanted.clone()]);
    }
    let all: Vec<_> = all.into_iter().map(String::as_str).collect();
    let message = format!("neither configuration has a sink {wanted}");
    Err(Failure::new(StopReason::Config, message).hint(format!("they have: {}", all.join(", "))))
}

/// Hands the recording to both, and what they make of it to the report, in order.
fn compare(
    mut walk: Walk,
    mut old: Option<&mut Side>,
    mut new: Option<&mut Side>,
    sink: &mut SinkReport,
    examples: usize,
) -> Result<(), Failure> {
    while let Some(pieces) = walk.read()? {
        for piece in &pieces {
            let events = |side: Option<&mut Side>| match side {
                Some(side) => side.events(piece),
                None => Ok(Vec::new()),
            };
            let before = events(old.as_deref_mut())?;
            let after = events(new.as_deref_mut())?;
            sink.take(before, after, examples);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::wiring::Range;

    use super::*;

    #[test]
    fn two_configurations_are_compared() {
        let paths = ["a", "b", "c"].map(std::path::PathBuf::from);
        assert!(two(&paths[..1]).is_err() && two(&paths).is_err());
        assert_eq!(two(&paths[..2]), Ok((Path::new("a"), Path::new("b"))));
    }

    #[test]
    fn a_range_is_what_both_are_given() {
        // A side begins with whole transactions: the position itself is left out by the skip.
        let range = Range {
            from: walgate_core::Position::committed(0, walgate_core::Lsn(8)),
            to: walgate_core::Position::ZERO,
        };
        assert!(Side::new("x", &crate::config::Sink::default(), range).is_ok());
    }
}
