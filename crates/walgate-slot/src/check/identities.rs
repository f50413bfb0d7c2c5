//! Which rows an update or a delete is of.

use super::published::{listed, qualified};
use super::{Finding, PublishedTable, Relation, Subject};
use crate::words::identifier;

const CHECK: &str = "replica_identity";

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let without: Vec<&PublishedTable> = subject
        .facts
        .tables
        .iter()
        .filter(|table| table.publishes_changes && !table.has_identity())
        .collect();
    let mut findings = outside(subject);
    if without.is_empty() && findings.is_empty() && !subject.facts.tables.is_empty() {
        let count = subject.facts.tables.len();
        let seen = format!("{count} published tables can be told by row");
        findings.push(Finding::pass(CHECK, seen));
    }
    let without = without.into_iter().map(|table| {
        let full = qualified(&table.schema, &table.name);
        let mut lacking: Vec<_> = table.unidentified.iter().collect();
        let itself = lacking.iter().position(|one| {
            (one.schema.as_str(), one.name.as_str()) == (table.schema.as_str(), table.name.as_str())
        });
        let itself = itself.map(|at| lacking.remove(at));
        // It does not pass from a table to its partitions.
        if itself.is_none() {
            return of_partitions(&full, &lacking);
        }
        let by = match &table.candidate {
            Some(index) => format!("USING INDEX {}", identifier(index)),
            None => "FULL".to_owned(),
        };
        let statement = format!("ALTER TABLE {full} REPLICA IDENTITY {by}");
        let fix = match table.candidate {
            Some(_) => statement.clone(),
            None => format!("ALTER TABLE {full} ADD PRIMARY KEY (…), or REPLICA IDENTITY FULL"),
        };
        let mut finding = Finding::fail(
            CHECK,
            format!(
                "table {full} has no replica identity, and its updates or deletes are published"
            ),
            "the application's own UPDATE and DELETE of it fail",
            fix,
        )
        .with_statement(statement);
        finding
            .statements
            .extend(lacking.iter().map(|part| full_row(part)));
        finding.only_for = Some(full);
        finding
    });
    findings.extend(without);
    findings
}

fn full_row(part: &Relation) -> String {
    let name = qualified(&part.schema, &part.name);
    format!("ALTER TABLE {name} REPLICA IDENTITY FULL")
}

/// The table has a replica identity, and partitions of it have none.
fn of_partitions(table: &str, parts: &[&Relation]) -> Finding {
    let names: Vec<_> = parts
        .iter()
        .map(|part| qualified(&part.schema, &part.name))
        .collect();
    let mut finding = Finding::fail(
        CHECK,
        format!(
            "partitions of {table} have no replica identity, and their updates or deletes are published: {}",
            listed(&names)
        ),
        "the application's own UPDATE and DELETE of them fail",
        "ALTER TABLE … REPLICA IDENTITY for each of them: it does not pass from a table to its partitions",
    );
    finding.statements = parts.iter().map(|part| full_row(part)).collect();
    finding.only_for = Some(table.to_owned());
    finding
}

/// Column lists and row filters that don't go with the replica identity.
fn outside(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for table in &subject.facts.tables {
        let full = qualified(&table.schema, &table.name);
        for (filter, what) in [
            (
                true,
                "the row filter of table {} uses what is not in its replica identity",
            ),
            (
                false,
                "the column list of table {} lacks what is in its replica identity",
            ),
        ] {
            let columns = table.outside_identity.iter();
            let columns = columns.filter(|one| one.filter == filter);
            let columns: Vec<_> = columns.map(|one| one.column.clone()).collect();
            if columns.is_empty() {
                continue;
            }
            let fix = match filter {
                true => format!(
                    "filter by columns of the key, or ALTER TABLE {full} REPLICA IDENTITY FULL"
                ),
                false => format!("add them to the list: ALTER PUBLICATION … SET TABLE {full} (…)"),
            };
            findings.push(Finding::fail(
                "publication_columns",
                format!("{}: {}", what.replace("{}", &full), listed(&columns)),
                "the application's own UPDATE and DELETE of it fail",
                fix,
            ));
        }
    }
    findings
}
