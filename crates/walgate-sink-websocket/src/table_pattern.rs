//! Which tables a subscription means.

/// `schema.table`, `schema.*`, or `*`. Names stand as PostgreSQL names them; one that holds a dot or
/// a star is put in double quotes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TablePattern {
    /// None: any.
    schema: Option<String>,
    table: Option<String>,
}

impl TablePattern {
    /// Every table.
    pub(crate) const ALL: Self = Self {
        schema: None,
        table: None,
    };

    /// Reads one.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::ALL);
        }
        let refused = || format!("{text:?} is no table: write schema.table, schema.* or *");
        let (schema, rest) = part(text).ok_or_else(refused)?;
        let rest = rest.strip_prefix('.').ok_or_else(refused)?;
        let (table, rest) = part(rest).ok_or_else(refused)?;
        if !rest.is_empty() || (schema.is_none() && table.is_some()) {
            return Err(refused());
        }
        Ok(Self { schema, table })
    }

    /// Whether it means this table.
    pub(crate) fn matches(&self, schema: &str, table: &str) -> bool {
        self.schema.as_deref().is_none_or(|own| own == schema)
            && self.table.as_deref().is_none_or(|own| own == table)
    }

    /// What both mean.
    pub(crate) fn and(&self, other: &Self) -> Option<Self> {
        let both = |one: &Option<String>, other: &Option<String>| match (one, other) {
            (Some(one), Some(other)) => (one == other).then(|| Some(one.clone())),
            (one, other) => Some(one.clone().or_else(|| other.clone())),
        };
        let own = Self {
            schema: both(&self.schema, &other.schema)?,
            table: both(&self.table, &other.table)?,
        };
        Some(own)
    }

    /// Whether it means one table and no other.
    pub(crate) const fn is_exact(&self) -> bool {
        self.schema.is_some() && self.table.is_some()
    }

    /// The one table that it means, when it means one.
    pub(crate) fn exact(&self) -> Option<(&str, &str)> {
        self.schema.as_deref().zip(self.table.as_deref())
    }
}

/// A name, none for a star, and what stands behind it.
fn part(text: &str) -> Option<(Option<String>, &str)> {
    if let Some(rest) = text.strip_prefix('*') {
        return Some((None, rest));
    }
    if let Some(mut rest) = text.strip_prefix('"') {
        let mut name = String::new();
        loop {
            let (before, behind) = rest.split_once('"')?;
            name.push_str(before);
            match behind.strip_prefix('"') {
                Some(behind) => {
                    name.push('"');
                    rest = behind;
                }
                None => return (!name.is_empty()).then_some((Some(name), behind)),
            }
        }
    }
    let end = text.find(['.', '*', '"']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    (!name.is_empty()).then(|| (Some(name.to_owned()), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_what_it_says() {
        let matches = |pattern: &str, schema, table| {
            TablePattern::parse(pattern).is_ok_and(|own| own.matches(schema, table))
        };
        assert!(matches("*", "any", "thing"));
        assert!(matches("*.*", "any", "thing"));
        assert!(matches("public.*", "public", "Orders"));
        assert!(!matches("public.*", "Public", "orders"));
        assert!(matches("public.orders", "public", "orders"));
        assert!(!matches("public.orders", "public", "orders2"));
        assert!(matches(r#""a.b"."c ""d""""#, "a.b", r#"c "d""#));
    }

    #[test]
    fn both_is_what_both_mean() {
        let both = |one: &str, other: &str| {
            let read = |text| TablePattern::parse(text).expect("a pattern");
            read(one).and(&read(other))
        };
        assert_eq!(both("*", "a.b"), TablePattern::parse("a.b").ok());
        assert_eq!(both("a.*", "a.b"), TablePattern::parse("a.b").ok());
        assert_eq!(both("a.*", "b.*"), None);
        assert_eq!(both("a.b", "a.c"), None);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "orders",
            ".",
            "public.",
            ".orders",
            "*.orders",
            "a.b.c",
            "public.or*",
            "\"a",
            "\"\".x",
            "a\"b\".c",
        ] {
            let error = TablePattern::parse(text).expect_err(text);
            assert!(error.contains("schema.table"), "{error}");
        }
    }
}
