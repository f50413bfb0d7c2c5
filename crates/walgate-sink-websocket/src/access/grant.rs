//! What is known of somebody who was recognised, whatever by.

use super::claims::Claims;
use crate::table_pattern::TablePattern;

/// Who it is, and what that opens before the rules.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Grant {
    /// Whose connections these are; in the log.
    pub(super) subject: String,
    /// None: every table that the sink is given.
    pub(super) tables: Option<Vec<TablePattern>>,
    pub(super) claims: Claims,
}

impl Grant {
    /// For these tables (`schema.table`, `schema.*`), or for all where none are said.
    ///
    /// # Errors
    ///
    /// What is wrong with the tables.
    pub(super) fn new(
        subject: impl Into<String>,
        tables: Option<&[String]>,
        claims: Claims,
    ) -> Result<Self, String> {
        Ok(Self {
            subject: subject.into(),
            tables: tables.map(patterns).transpose()?,
            claims,
        })
    }
}

/// The tables that these texts mean, in order.
///
/// # Errors
///
/// What is wrong with one; and a list that is empty, which could be meant as all or as none.
pub(super) fn patterns(tables: &[String]) -> Result<Vec<TablePattern>, String> {
    if tables.is_empty() {
        return Err("tables = [] opens nothing: leave it out for all tables".to_owned());
    }
    let read = tables.iter().map(|text| TablePattern::parse(text));
    let mut read = read.collect::<Result<Vec<_>, _>>()?;
    read.sort();
    read.dedup();
    Ok(read)
}
