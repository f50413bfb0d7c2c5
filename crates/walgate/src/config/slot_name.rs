//! The name of a replication slot.

use std::fmt;
use std::str::FromStr;

use super::text::{Refused, TextKind, text_value};

/// The longest name that PostgreSQL keeps (`NAMEDATALEN - 1`). It cuts longer names silently, so
/// that two configurations could end up with one slot.
const MAX_BYTES: usize = 63;

/// A name that PostgreSQL takes for a replication slot (`ReplicationSlotValidateName`): 1 to 63
/// lower-case letters, digits and underscores.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SlotName(String);

impl SlotName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SlotName {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const ALLOWED: &str = "a slot's name has 1 to 63 of the characters a-z, 0-9 and _";
        if text.is_empty() {
            return Err(Refused::new("is empty", ALLOWED));
        }
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if let Some(wrong) = text.chars().find(|c| !allowed(*c)) {
            let problem = format!("contains {wrong:?}, which PostgreSQL refuses in a slot's name");
            return Err(Refused::new(problem, ALLOWED));
        }
        if text.len() > MAX_BYTES {
            let problem = format!(
                "has {} characters, PostgreSQL keeps {MAX_BYTES}",
                text.len()
            );
            return Err(Refused::new(problem, ALLOWED));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_value!(SlotName, TextKind::SlotName, Some("^[a-z0-9_]{1,63}$"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_postgresql_takes() {
        for text in ["walgate", "a", "_", "0", "slot_1", &"x".repeat(63)] {
            assert!(text.parse::<SlotName>().is_ok(), "{text}");
        }
    }

    #[test]
    fn refuses_what_postgresql_refuses_or_cuts() {
        for text in [
            "",
            "Walgate",
            "wal-gate",
            "wal.gate",
            "wal gate",
            "tür",
            "a\0",
            &"x".repeat(64),
        ] {
            assert!(text.parse::<SlotName>().is_err(), "{text}");
        }
    }
}
