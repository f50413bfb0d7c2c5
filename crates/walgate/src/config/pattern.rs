//! Patterns for tables.

use std::fmt;
use std::str::FromStr;

use super::text::{Refused, TextKind, text_value};

/// Tables: `schema.table`, with `*` for any characters, as the pipeline matches them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TablePattern(pub walgate_pipeline::TablePattern);

impl FromStr for TablePattern {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const ALLOWED: &str = "write schema.table, such as \"public.orders\" or \"public.*\"; \
                               a name with a dot, a star or a quote stands in double quotes";
        let pattern = text.parse::<walgate_pipeline::TablePattern>();
        pattern
            .map(Self)
            .map_err(|error| Refused::new(error.problem(), ALLOWED))
    }
}

impl fmt::Display for TablePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

text_value!(TablePattern, TextKind::TablePattern, None);
