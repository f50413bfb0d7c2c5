//! The header: what the segment belongs to, and what a reader has to know to decode it.

use walgate_core::{PgMicros, Position};
use walgate_pgoutput::Dialect;

use super::codes;
use super::error::{EncodeError, Unreadable};
use super::fields::{Fields, put_count, put_position, put_text};
use super::record::{self, Kind};

/// The first eight bytes of a segment.
pub const MAGIC: [u8; 8] = *b"WALGATE\n";

/// The version of the format that is written, and the highest that is read.
pub const FORMAT_VERSION: u16 = 1;

/// Where the frames of a segment come from and how they were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentFacts {
    /// `systemid` of IDENTIFY_SYSTEM.
    pub system_id: u64,
    /// The timeline that was streamed when the segment began.
    pub timeline: u32,
    /// The epoch of the source, from the configuration; that of all frames in the segment.
    pub epoch: u8,
    /// The slot.
    pub slot: String,
    /// How the messages are encoded.
    pub dialect: Dialect,
    /// `server_version` as the server reports it.
    pub server_version: String,
    /// The settings that were pinned for the connection because the text of values depends on
    /// them: name and value.
    pub settings: Vec<(String, String)>,
}

/// The first record of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The segment's number, which is in its file's name; from 1, never used twice.
    pub number: u64,
    /// The number of the first entry that lies in the segment, or would.
    pub first_entry: u64,
    /// The highest position of all entries before this segment: the
    /// [`last`](super::SegmentIndex::last) of the segment before, or where the source started.
    pub before: Position,
    /// When the segment was begun.
    pub created: PgMicros,
    /// The number that the next new definition gets: above all that were given out before.
    pub next_definition: u32,
    /// Where its frames come from.
    pub facts: SegmentFacts,
}

impl SegmentHeader {
    /// Appends the magic and the header's record.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let before = out.len();
        out.extend_from_slice(&MAGIC);
        let start = record::begin(out, Kind::Header);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.first_entry.to_le_bytes());
        put_position(out, self.before);
        out.extend_from_slice(&self.created.0.to_le_bytes());
        out.extend_from_slice(&self.next_definition.to_le_bytes());
        out.push(self.facts.epoch);
        out.extend_from_slice(&self.facts.system_id.to_le_bytes());
        out.extend_from_slice(&self.facts.timeline.to_le_bytes());
        out.extend_from_slice(&codes::dialect_codes(self.facts.dialect));
        put_text(out, &self.facts.slot);
        put_text(out, &self.facts.server_version);
        put_count(out, self.facts.settings.len());
        for (name, value) in &self.facts.settings {
            put_text(out, name);
            put_text(out, value);
        }
        match record::finish(out, start, self.number, 0) {
            Ok(_) => Ok(()),
            Err(error) => {
                out.truncate(before);
                Err(error)
            }
        }
    }

    pub(super) fn decode(mut fields: Fields<'_>) -> Result<Self, Unreadable> {
        let at = fields;
        let version = fields.u16("a header without version")?;
        if version != FORMAT_VERSION {
            // Version 0 was never written; whatever it is, it is not ours to cut.
            return Err(at.newer("format version", version));
        }
        let number = fields.u64("a header without number")?;
        let first_entry = fields.u64("a header without first entry")?;
        let before = fields.position("a header without position")?;
        let created = fields.time("a header without time")?;
        let next_definition = fields.u32("a header without definition number")?;
        let epoch = fields.u8("a header without epoch")?;
        let system_id = fields.u64("a header without system id")?;
        let timeline = fields.u32("a header without timeline")?;
        let at = fields;
        let codes = [
            fields.u8("a header without protocol version")?,
            fields.u8("a header without streaming mode")?,
        ];
        let dialect = codes::dialect(codes)
            .ok_or_else(|| at.newer("protocol", format!("{}/{}", codes[0], codes[1])))?;
        let slot = fields.text("a header without slot")?.to_owned();
        let server_version = fields.text("a header without server version")?.to_owned();
        let count = fields.count("a header with too many settings", 8)?;
        let mut settings = Vec::with_capacity(count);
        for _ in 0..count {
            let name = fields.text("a setting without name")?.to_owned();
            let value = fields.text("a setting without value")?.to_owned();
            settings.push((name, value));
        }
        fields.end()?;
        Ok(Self {
            number,
            first_entry,
            before,
            created,
            next_definition,
            facts: SegmentFacts {
                system_id,
                timeline,
                epoch,
                slot,
                dialect,
                server_version,
                settings,
            },
        })
    }
}
