//! `walgate journal verify`.

use serde::Serialize;
use walgate_core::{Failure, StopReason};
use walgate_journal::log::{DamagedPlace, Verified};

use super::{Folder, Said, json};
use crate::ending::Ending;
use crate::status_line::bytes;

#[derive(Debug, Serialize)]
struct Report {
    folder: String,
    sound: bool,
    segments: usize,
    bytes: u64,
    entries: u64,
    damaged: Vec<Place>,
    /// Files that were not looked into, since their keys are missing.
    locked: Vec<String>,
    /// Where the last segment ends inside of a record; this is no damage.
    torn: Option<Torn>,
}

#[derive(Debug, Serialize)]
struct Place {
    file: String,
    offset: u64,
    what: String,
    /// Changes behind this position, up to `to`, can't be read.
    from: String,
    to: Option<String>,
}

#[derive(Debug, Serialize)]
struct Torn {
    offset: u64,
    what: &'static str,
}

/// Reads every byte of a folder.
pub(super) fn verify(folder: &Folder, as_json: bool) -> Result<Said, Ending> {
    let recording = &folder.recording;
    let verified = recording.view().verify()?;
    let text = match as_json {
        true => json(&report(recording.folder().display().to_string(), &verified))?,
        false => text(&verified),
    };
    let count = verified.damaged.len();
    let failure = (count > 0).then(|| {
        let places = if count == 1 { "place" } else { "places" };
        let message = format!(
            "{} is damaged in {count} {places}",
            recording.folder().display()
        );
        Failure::new(StopReason::Data, message).hint(
            "restore the named files from a copy, or go on behind the damage with a gap: \
             [journal] on_damage = \"gap\", for replay --on-damage gap",
        )
    });
    Ok(Said { text, failure })
}

fn report(folder: String, verified: &Verified) -> Report {
    Report {
        folder,
        sound: verified.damaged.is_empty(),
        segments: verified.segments,
        bytes: verified.bytes,
        entries: verified.entries,
        damaged: verified.damaged.iter().map(place).collect(),
        locked: verified.locked.clone(),
        torn: verified.torn.as_ref().map(|torn| Torn {
            offset: torn.offset,
            what: torn.what,
        }),
    }
}

fn place(damaged: &DamagedPlace) -> Place {
    Place {
        file: damaged.file(),
        offset: damaged.offset,
        what: damaged.what.clone(),
        from: damaged.from.to_string(),
        to: damaged.to.map(|to| to.to_string()),
    }
}

fn text(verified: &Verified) -> String {
    let mut text = String::new();
    for damaged in &verified.damaged {
        text.push_str(&format!("{}: {damaged}\n", damaged.file()));
    }
    if let Some(torn) = &verified.torn {
        text.push_str(&format!(
            "the last segment ends at offset {} with {}: about to be written, or cut off with the next start\n",
            torn.offset, torn.what
        ));
    }
    let (segments, entries) = (verified.segments, verified.entries);
    let bytes = bytes(verified.bytes);
    for file in &verified.locked {
        text.push_str(&format!(
            "{file} is there, and was not looked into: it is encrypted, name its keys with --key-file\n"
        ));
    }
    let found = match (verified.damaged.len(), verified.locked.len()) {
        (0, 0) => "sound",
        (0, _) => "sound, as far as can be told without the keys",
        _ => "damaged",
    };
    text.push_str(&format!(
        "{segments} segments, {bytes}, {entries} entries that can be read: {found}\n"
    ));
    text
}
