//! The header: what the segment belongs to, and what a reader has to know to decode it.

use std::sync::Arc;

use walgate_core::{PgMicros, Position};
use walgate_pgoutput::Dialect;

use super::cipher::{SegmentLock, Shut, State};
use super::codes;
use super::error::{EncodeError, Unreadable};
use super::fields::{Fields, put_count, put_position, put_text};
use super::keyring::{Keyring, NewKey, NotOpened, WRAPPED_BYTES};
use super::record::{self, Flags, Kind, RECORD_HEADER_BYTES};

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

/// The number of AES-256-GCM, the one cipher.
const AES_256_GCM: u8 = 1;

/// What only some headers say.
#[derive(Debug, Clone, Default)]
pub(super) struct Extension {
    /// How long the segment was before it was compressed, in bytes.
    pub(super) packed_from: Option<u64>,
    pub(super) lock: SegmentLock,
}

impl SegmentHeader {
    /// Appends the magic and the header's record. `packed_from`: the length of the segment before it
    /// was compressed, if it is; `key`: its new key, if it is encrypted.
    pub(super) fn encode(
        &self,
        packed_from: Option<u64>,
        key: Option<NewKey<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let before = out.len();
        out.extend_from_slice(&MAGIC);
        let mut flags = Flags::default();
        if packed_from.is_some() {
            flags = flags.with(Flags::PACKED);
        }
        if key.is_some() {
            flags = flags.with(Flags::ENCRYPTED);
        }
        let start = record::begin_with(out, Kind::Header, flags);
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
        if let Some(bytes) = packed_from {
            out.extend_from_slice(&bytes.to_le_bytes());
        }
        if let Some(key) = key {
            put_key(out, start, key);
        }
        match record::finish(out, start, self.number, 0) {
            Ok(_) => Ok(()),
            Err(error) => {
                out.truncate(before);
                Err(error)
            }
        }
    }

    /// `body`: what `fields` goes over.
    pub(super) fn decode(
        mut fields: Fields<'_>,
        body: &[u8],
        flags: Flags,
        keys: &Keyring,
    ) -> Result<(Self, Extension), Unreadable> {
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
        let extension = Extension::decode(&mut fields, body, flags, keys)?;
        fields.end()?;
        let header = Self {
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
        };
        Ok((header, extension))
    }
}

impl Extension {
    fn decode(
        fields: &mut Fields<'_>,
        body: &[u8],
        flags: Flags,
        keys: &Keyring,
    ) -> Result<Self, Unreadable> {
        let mut extension = Self::default();
        if flags.has(Flags::PACKED) {
            let bytes = fields.u64("a header without the length before compression")?;
            extension.packed_from = Some(bytes);
        }
        if flags.has(Flags::ENCRYPTED) {
            extension.lock = lock(fields, body, keys)?;
        }
        Ok(extension)
    }
}

/// Ends the body of the header that starts at `start` with its key.
pub(super) fn put_key(out: &mut Vec<u8>, start: usize, key: NewKey<'_>) {
    out.push(AES_256_GCM);
    put_text(out, key.id());
    // Bound to everything before: what a header says is as true as its key.
    let wrapped = key.wrap(out.get(start + RECORD_HEADER_BYTES..).unwrap_or_default());
    out.extend_from_slice(&wrapped);
}

/// The key at the end of a header. `body`: what `fields` goes over.
pub(super) fn lock(
    fields: &mut Fields<'_>,
    body: &[u8],
    keys: &Keyring,
) -> Result<SegmentLock, Unreadable> {
    let at = *fields;
    let cipher = fields.u8("a header without its cipher")?;
    if cipher != AES_256_GCM {
        return Err(at.newer("cipher", cipher));
    }
    let id = fields.text("a header without its key")?;
    let aad = body.get(..body.len().saturating_sub(fields.left()));
    let wrapped = fields.array::<WRAPPED_BYTES>("a header without its key")?;
    let state = match keys.unwrap(id, &wrapped, aad.unwrap_or_default()) {
        Ok(cipher) => State::Open {
            id: id.into(),
            cipher: Arc::new(cipher),
        },
        Err(why) => State::Shut(Arc::new(Shut {
            id: id.to_owned(),
            given: keys.ids().into_iter().map(str::to_owned).collect(),
            altered: why == NotOpened::Altered,
        })),
    };
    Ok(SegmentLock(state))
}
