//! The checkpoint as bytes.
//!
//! Two lines. The first is a header, `walgate-checkpoint VERSION CRC32C LENGTH`: version decimal,
//! checksum 8 hexadecimal digits, length of the second line without its line feed. The second is
//! the checkpoint in JSON. The checksum covers the version and the second line; it is checked
//! before the version, so that a damaged version is damage and not news from the future.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use walgate_core::{Checkpoint, Gap, GapReason, Lsn, Position, SourceIdentity};

/// The version that this program writes. A file of every earlier version can be read.
pub(crate) const VERSION: u32 = 1;

const MAGIC: &str = "walgate-checkpoint";

/// Why bytes are not a checkpoint that this program can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// The bytes are not what was written.
    #[error("{0}")]
    Corrupt(String),
    /// A later version of this program has written it.
    #[error("it has version {0}, and this program reads up to version {VERSION}")]
    Newer(u32),
}

#[derive(Debug, Serialize, Deserialize)]
struct Version1 {
    system_id: String,
    timeline: u32,
    epoch: u8,
    slot: String,
    consistent_point: String,
    created_by_us: bool,
    confirmed: String,
    sinks: BTreeMap<String, String>,
    /// Not written by earlier programs, and not while one runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    received: Option<String>,
    gaps: Vec<GapVersion1>,
}

#[derive(Debug, Serialize, Deserialize)]
struct GapVersion1 {
    from: String,
    to: String,
    reason: String,
}

/// The bytes of a checkpoint.
pub(crate) fn encode(checkpoint: &Checkpoint) -> Vec<u8> {
    let source = &checkpoint.source;
    let body = Version1 {
        system_id: source.system_id.to_string(),
        timeline: source.timeline,
        epoch: source.epoch,
        slot: source.slot.clone(),
        consistent_point: source.consistent_point.to_string(),
        created_by_us: source.created_by_us,
        confirmed: checkpoint.confirmed.to_string(),
        sinks: checkpoint
            .sinks
            .iter()
            .map(|(name, position)| (name.clone(), position.to_string()))
            .collect(),
        received: checkpoint.received.map(|position| position.to_string()),
        gaps: checkpoint
            .gaps
            .iter()
            .map(|gap| GapVersion1 {
                from: gap.from.to_string(),
                to: gap.to.to_string(),
                reason: gap.reason.name().to_owned(),
            })
            .collect(),
    };
    // Strings and maps of strings: this can't fail.
    let body = serde_json::to_string(&body).unwrap_or_default();
    let checksum = checksum(VERSION, body.as_bytes());
    format!("{MAGIC} {VERSION} {checksum:08x} {}\n{body}\n", body.len()).into_bytes()
}

/// The checkpoint of bytes.
pub(crate) fn decode(bytes: &[u8]) -> Result<Checkpoint, DecodeError> {
    let corrupt = |what: &str| DecodeError::Corrupt(what.to_owned());
    let text = std::str::from_utf8(bytes).map_err(|_| corrupt("it is not text"))?;
    let (header, rest) = text
        .split_once('\n')
        .ok_or_else(|| corrupt("it has no header"))?;
    let mut words = header.split(' ');
    let (Some(MAGIC), Some(version), Some(crc), Some(len), None) = (
        words.next(),
        words.next(),
        words.next(),
        words.next(),
        words.next(),
    ) else {
        return Err(corrupt("its header is damaged"));
    };
    let (Ok(version), Ok(crc), Ok(len)) = (
        version.parse::<u32>(),
        u32::from_str_radix(crc, 16),
        len.parse::<usize>(),
    ) else {
        return Err(corrupt("its header is damaged"));
    };
    let body = rest
        .strip_suffix('\n')
        .ok_or_else(|| corrupt("its end is missing"))?;
    if body.len() != len {
        return Err(DecodeError::Corrupt(format!(
            "it has {} bytes and should have {len}",
            body.len()
        )));
    }
    if checksum(version, body.as_bytes()) != crc {
        return Err(corrupt("its checksum does not match"));
    }
    if version > VERSION {
        return Err(DecodeError::Newer(version));
    }
    let body: Version1 =
        serde_json::from_str(body).map_err(|error| DecodeError::Corrupt(error.to_string()))?;
    from_version_1(body).ok_or_else(|| corrupt("a value of it makes no sense"))
}

fn checksum(version: u32, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(version.to_string().as_bytes()), body)
}

fn from_version_1(body: Version1) -> Option<Checkpoint> {
    let lsn = |text: &str| text.parse::<Lsn>().ok();
    Some(Checkpoint {
        source: SourceIdentity {
            system_id: body.system_id.parse().ok()?,
            timeline: body.timeline,
            epoch: body.epoch,
            slot: body.slot,
            consistent_point: lsn(&body.consistent_point)?,
            created_by_us: body.created_by_us,
        },
        confirmed: lsn(&body.confirmed)?,
        sinks: body
            .sinks
            .into_iter()
            .map(|(name, position)| Some((name, position.parse::<Position>().ok()?)))
            .collect::<Option<_>>()?,
        received: match body.received {
            Some(position) => Some(position.parse().ok()?),
            None => None,
        },
        gaps: body
            .gaps
            .iter()
            .map(|gap| {
                Some(Gap {
                    from: lsn(&gap.from)?,
                    to: lsn(&gap.to)?,
                    reason: reason(&gap.reason)?,
                })
            })
            .collect::<Option<_>>()?,
    })
}

fn reason(name: &str) -> Option<GapReason> {
    [
        GapReason::SinkFellBehind,
        GapReason::SlotAhead,
        GapReason::SlotLost,
        GapReason::TemporarySlot,
        GapReason::Timeline,
        GapReason::JournalDamaged,
    ]
    .into_iter()
    .find(|reason| reason.name() == name)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn example() -> Checkpoint {
        Checkpoint {
            source: SourceIdentity {
                system_id: 7_300_000_000_000_000_123,
                timeline: 3,
                epoch: 1,
                slot: "walgate".into(),
                consistent_point: Lsn(0x1_0000_0028),
                created_by_us: true,
            },
            confirmed: Lsn(0x16_B374_D848),
            sinks: [("kafka".to_owned(), Position::new(1, Lsn(0x16_B374_D848), 0))].into(),
            received: None,
            gaps: vec![Gap {
                from: Lsn(1),
                to: Lsn(2),
                reason: GapReason::SlotAhead,
            }],
        }
    }

    #[test]
    fn reads_what_it_writes() {
        let last = Checkpoint {
            received: Some(Position::new(1, Lsn(0x16_B374_D900), 7)),
            ..example()
        };
        for checkpoint in [example(), last] {
            assert_eq!(decode(&encode(&checkpoint)), Ok(checkpoint));
        }
    }

    /// What version 1 has written stays readable.
    #[test]
    fn reads_version_1() {
        let body = concat!(
            r#"{"system_id":"7300000000000000123","timeline":3,"epoch":1,"slot":"walgate","#,
            r#""consistent_point":"1/28","created_by_us":true,"confirmed":"16/B374D848","#,
            r#""sinks":{"kafka":"01000016b374d848-00000000"},"#,
            r#""gaps":[{"from":"0/1","to":"0/2","reason":"slot_ahead"}]}"#
        );
        let file = format!("walgate-checkpoint 1 59556f9d {}\n{body}\n", body.len());
        assert_eq!(decode(file.as_bytes()), Ok(example()));
    }

    #[test]
    fn every_cut_is_found() {
        let bytes = encode(&example());
        for len in 0..bytes.len() {
            let error = decode(&bytes[..len]).expect_err("cut");
            assert!(matches!(error, DecodeError::Corrupt(_)), "{len}: {error}");
        }
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let bytes = encode(&example());
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // The checksum's hexadecimal digits may change their case, which changes nothing.
            if let Ok(read) = decode(&damaged) {
                assert_eq!(read, example());
                assert!(damaged[bit / 8].is_ascii_uppercase());
            }
            assert!(!matches!(decode(&damaged), Err(DecodeError::Newer(_))));
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        let body = r#"{"anything":1}"#;
        let file = format!(
            "{MAGIC} 2 {:08x} {}\n{body}\n",
            checksum(2, body.as_bytes()),
            body.len()
        );
        assert_eq!(decode(file.as_bytes()), Err(DecodeError::Newer(2)));
    }
}
