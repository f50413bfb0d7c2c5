//! What a sink takes of the log.

use walgate_core::{Failure, Op, StopReason};
use walgate_pipeline::{Ops, Selection, TablePattern, TableRule};

use crate::config;

/// The operation of a configured name.
pub(crate) const fn operation(operation: config::Operation) -> Op {
    match operation {
        config::Operation::Insert => Op::Insert,
        config::Operation::Update => Op::Update,
        config::Operation::Delete => Op::Delete,
        config::Operation::Truncate => Op::Truncate,
        config::Operation::Message => Op::Message,
    }
}

/// Patterns of the configuration as the pipeline matches them.
pub(crate) fn patterns(patterns: &[config::TablePattern]) -> Vec<TablePattern> {
    patterns.iter().map(|pattern| pattern.0.clone()).collect()
}

/// The tables that a rule of the configuration is for.
pub(super) fn parse(text: &str) -> Result<TablePattern, Failure> {
    text.parse()
        .map_err(|error| Failure::new(StopReason::Config, format!("{error}")))
}

/// What a sink of the configuration takes.
pub(crate) fn selection(sink: &config::Sink) -> Result<Selection, Failure> {
    let mut rules = Vec::with_capacity(sink.rules.len());
    for (tables, rule) in &sink.rules {
        rules.push(TableRule {
            tables: parse(tables)?,
            drop: rule.drop.clone(),
            mask: rule.mask.clone(),
            key: rule.key.clone(),
            allow_key_columns: rule.allow_key_columns,
        });
    }
    Ok(Selection {
        include: patterns(&sink.tables),
        exclude: patterns(&sink.exclude_tables),
        ops: sink.ops.iter().copied().map(operation).collect::<Ops>(),
        rules,
        filters: Vec::new(),
    })
}
