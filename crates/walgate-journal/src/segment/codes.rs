//! The numbers that stand for things in a record. They never change their meaning; a number that
//! is not known was given out by a later version.

use walgate_core::{FrameKind, GapReason, Scalar, Shape};
use walgate_pgoutput::{Dialect, ProtocolVersion, Streaming};

pub(super) const fn frame_code(kind: FrameKind) -> u8 {
    match kind {
        FrameKind::Begin => 1,
        FrameKind::Commit => 2,
        FrameKind::Insert => 3,
        FrameKind::Update => 4,
        FrameKind::Delete => 5,
        FrameKind::Truncate => 6,
        FrameKind::Message => 7,
        FrameKind::Standalone => 8,
    }
}

pub(super) const fn frame_kind(code: u8) -> Option<FrameKind> {
    Some(match code {
        1 => FrameKind::Begin,
        2 => FrameKind::Commit,
        3 => FrameKind::Insert,
        4 => FrameKind::Update,
        5 => FrameKind::Delete,
        6 => FrameKind::Truncate,
        7 => FrameKind::Message,
        8 => FrameKind::Standalone,
        _ => return None,
    })
}

const fn scalar_code(scalar: Scalar) -> u8 {
    match scalar {
        Scalar::Bool => 1,
        Scalar::Integer => 2,
        Scalar::BigInt => 3,
        Scalar::Float => 4,
        Scalar::Json => 5,
        Scalar::Bytea => 6,
        Scalar::Timestamp => 7,
        Scalar::TimestampTz => 8,
        Scalar::TimeTz => 9,
        Scalar::Plain => 10,
        Scalar::Text => 11,
    }
}

const fn scalar(code: u8) -> Option<Scalar> {
    Some(match code {
        1 => Scalar::Bool,
        2 => Scalar::Integer,
        3 => Scalar::BigInt,
        4 => Scalar::Float,
        5 => Scalar::Json,
        6 => Scalar::Bytea,
        7 => Scalar::Timestamp,
        8 => Scalar::TimestampTz,
        9 => Scalar::TimeTz,
        10 => Scalar::Plain,
        11 => Scalar::Text,
        _ => return None,
    })
}

/// A shape: whether it is an array, the scalar or element, the delimiter (zero where no array is).
pub(super) const fn shape_codes(shape: Shape) -> [u8; 3] {
    match shape {
        Shape::Scalar(scalar) => [0, scalar_code(scalar), 0],
        Shape::Array { element, delimiter } => [1, scalar_code(element), delimiter],
    }
}

pub(super) fn shape(codes: [u8; 3]) -> Option<Shape> {
    let [array, code, delimiter] = codes;
    let element = scalar(code)?;
    match (array, delimiter) {
        (0, 0) => Some(Shape::Scalar(element)),
        (1, delimiter) => Some(Shape::Array { element, delimiter }),
        _ => None,
    }
}

/// The reason's name in events. Written out here: the name is part of the format, and a reason that
/// is added has to be read too.
pub(super) const fn gap_reason_name(reason: GapReason) -> &'static str {
    match reason {
        GapReason::SinkFellBehind => "sink_fell_behind",
        GapReason::SlotAhead => "slot_ahead",
        GapReason::SlotLost => "slot_lost",
        GapReason::TemporarySlot => "temporary_slot",
        GapReason::Timeline => "timeline",
        GapReason::JournalDamaged => "journal_damaged",
    }
}

pub(super) fn gap_reason(name: &str) -> Option<GapReason> {
    Some(match name {
        "sink_fell_behind" => GapReason::SinkFellBehind,
        "slot_ahead" => GapReason::SlotAhead,
        "slot_lost" => GapReason::SlotLost,
        "temporary_slot" => GapReason::TemporarySlot,
        "timeline" => GapReason::Timeline,
        "journal_damaged" => GapReason::JournalDamaged,
        _ => return None,
    })
}

pub(super) const fn dialect_codes(dialect: Dialect) -> [u8; 2] {
    let streaming = match dialect.streaming {
        Streaming::Off => 0,
        Streaming::On => 1,
        Streaming::Parallel => 2,
    };
    [dialect.version.number(), streaming]
}

pub(super) const fn dialect(codes: [u8; 2]) -> Option<Dialect> {
    let [version, streaming] = codes;
    let version = match version {
        1 => ProtocolVersion::V1,
        2 => ProtocolVersion::V2,
        3 => ProtocolVersion::V3,
        4 => ProtocolVersion::V4,
        _ => return None,
    };
    let streaming = match streaming {
        0 => Streaming::Off,
        1 => Streaming::On,
        2 => Streaming::Parallel,
        _ => return None,
    };
    Some(Dialect { version, streaming })
}
